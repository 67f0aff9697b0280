//! Answers of the prometheus view from a ring, of whatever kind.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::cursors::Mark;
use super::vitals::{Part, Pull, VitalsError};
use crate::encode::prometheus::{
    Collectors, Exposition, HISTORY_RECORDS_MAX, History, HistoryFrom, HistoryReach, Scrape, Sheets,
};
use crate::ring::{Ring, Words};
use crate::window::{Objects, Window};

/// Histories kept for their memory.
const HISTORIES_POOLED: usize = 4;

/// What a scrape asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeWanted {
    /// Name of the ring; that of the host, if there is none.
    pub ring: Option<String>,
    /// The format.
    pub exposition: Exposition,
    /// The families.
    pub collectors: Collectors,
}

/// Where a history is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryStart {
    /// So long before now.
    Window(
        /// How long.
        Duration,
    ),
    /// After this record.
    Since(
        /// Its sequence.
        u64,
    ),
    /// After what a cursor's client was given last, and no further back than that.
    Cursor {
        /// The record. Without one, the window's beginning or else the newest record.
        mark: Option<Mark>,
        /// How far back at most.
        window: Option<Duration>,
        /// Most records that its client takes at once.
        records_max: usize,
    },
}

/// An answer of the prometheus view that has begun.
pub struct Scraped {
    /// What writes it.
    pub pull: Box<dyn Pull>,
    /// Id of the ring.
    pub ring_id: [u64; 2],
    /// The record, or the records.
    pub reach: HistoryReach,
}

/// What outlives one answer of one ring.
#[derive(Debug)]
pub(super) struct Scrapes {
    sheets: RefCell<Sheets>,
    pooled: RefCell<Vec<History>>,
}

impl Scrapes {
    /// For these objects of the ring of this name.
    pub(super) fn of(name: &str, objects: Objects) -> Self {
        let sheets = RefCell::new(Sheets::only(name, objects));
        Self { sheets, pooled: RefCell::default() }
    }

    /// Begins an answer with the newest record of `ring`.
    pub(super) fn newest<W: Words + Clone + 'static>(
        &self,
        ring: &Ring<W>,
        wanted: &ScrapeWanted,
    ) -> Result<Scraped, VitalsError> {
        let sheets = &mut *self.sheets.borrow_mut();
        let wanted = (wanted.exposition, wanted.collectors);
        let scrape = Scrape::begin(ring, sheets, wanted).map_err(|_| VitalsError::Overrun)?;
        let reach = HistoryReach { last_seq: scrape.seq(), ..HistoryReach::default() };
        let pull = Box::new(ScrapePull { ring: ring.clone(), scrape });
        Ok(Scraped { pull, ring_id: ring.header().ring_id, reach })
    }

    /// Begins an answer with the records of `ring` from `start` on, at the time `now`, since 1970.
    pub(super) fn history<W: Words + Clone + 'static>(
        self: &Rc<Self>,
        ring: &Ring<W>,
        wanted: &ScrapeWanted,
        start: HistoryStart,
        now: Duration,
    ) -> Result<Scraped, VitalsError> {
        let mut history = self.pooled.borrow_mut().pop().unwrap_or_default();
        let sheets = &mut *self.sheets.borrow_mut();
        let from = from(ring, start, now);
        let wanted = (wanted.exposition, wanted.collectors);
        let records_max = match start {
            HistoryStart::Cursor { records_max, .. } => records_max,
            _ => HISTORY_RECORDS_MAX,
        };
        history.begin(ring, sheets, from, wanted, records_max).map_err(|_| VitalsError::Overrun)?;
        let reach = history.reach();
        let pull = Box::new(HistoryPull { ring: ring.clone(), history, scrapes: Rc::clone(self) });
        Ok(Scraped { pull, ring_id: ring.header().ring_id, reach })
    }
}

/// Where a history of `ring` begins that is asked for at the time `now`.
fn from<W: Words>(ring: &Ring<W>, start: HistoryStart, now: Duration) -> HistoryFrom {
    let after_ns =
        |window: Duration| u64::try_from(now.saturating_sub(window).as_nanos()).unwrap_or(u64::MAX);
    let (mark, window) = match start {
        HistoryStart::Window(window) => return HistoryFrom::After(after_ns(window)),
        HistoryStart::Since(seq) => return HistoryFrom::Since(seq),
        HistoryStart::Cursor { mark, window, .. } => (mark, window),
    };
    let from = match (mark, window) {
        (Some(mark), _) if mark.ring == ring.header().ring_id => mark.seq,
        (Some(mark), window) => {
            let bound_ns = window.map_or(0, after_ns);
            return HistoryFrom::After(mark.realtime_ns.max(bound_ns));
        }
        (None, Some(window)) => return HistoryFrom::After(after_ns(window)),
        (None, None) => ring.head().saturating_sub(1),
    };
    let Some(window) = window else { return HistoryFrom::Since(from) };
    let bounds = Window::between(ring, after_ns(window), u64::MAX).bounds();
    let first = bounds.map_or(ring.head(), |(first, _)| first - 1);
    HistoryFrom::Since(from.max(first))
}

/// The newest record, being written.
struct ScrapePull<W> {
    ring: Ring<W>,
    scrape: Scrape,
}

impl<W: Words> Pull for ScrapePull<W> {
    fn part(&mut self, out: &mut Vec<u8>) -> Part {
        match self.scrape.part(&self.ring, out) {
            Ok(true) => Part::More,
            Ok(false) => Part::Last,
            Err(_) => Part::Broken,
        }
    }
}

/// A history, being written.
struct HistoryPull<W> {
    ring: Ring<W>,
    history: History,
    scrapes: Rc<Scrapes>,
}

impl<W: Words> Pull for HistoryPull<W> {
    fn part(&mut self, out: &mut Vec<u8>) -> Part {
        match self.history.part(&self.ring, out) {
            Ok(true) => Part::More,
            Ok(false) => Part::Last,
            Err(_) => Part::Broken,
        }
    }
}

impl<W> Drop for HistoryPull<W> {
    fn drop(&mut self) {
        let mut pooled = self.scrapes.pooled.borrow_mut();
        if pooled.len() < HISTORIES_POOLED {
            pooled.push(std::mem::take(&mut self.history));
        }
    }
}
