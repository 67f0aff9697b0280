//! [`Vitals`] of a ring in a file.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::listing::{LatestPull, Listed, Listing, RingsPull, SeriesPull};
use super::query::{ListParameters, StreamParameters, WindowParameters};
use super::ring_pull::RingPull;
use super::rings::Rings;
use super::scrapes::{HistoryStart, ScrapeWanted, Scraped, Scrapes};
use super::seen::{Seen, SeenRing};
use super::stream::{Feed, LiveFeed};
use super::tag::Version;
use super::usage::UsagePull;
use super::vitals::{Freshness, Part, Pull, Vitals, VitalsError};
use super::window::{self, RING_DEFAULT, WindowError};
use crate::rights::Sight;
use crate::ring::{OpenError, ReadMap, Reader, Ring, boottime_ns, layout, realtime_ns};

/// How often the ring's name is looked at, in case another file has taken its place unannounced.
const NAME_CHECK: Duration = Duration::from_secs(1);

/// The data of the ring at a path, which may come, go and be replaced at any time.
#[derive(Debug)]
pub struct RingVitals {
    main: Rc<Main>,
    rings: Option<Rc<Rings>>,
    seen: Seen,
}

/// The ring itself, whoever sees it.
#[derive(Debug)]
struct Main {
    path: PathBuf,
    name: String,
    reader: RefCell<Option<Reader>>,
    looked: Cell<Instant>,
}

impl RingVitals {
    /// The ring at `path`, whether it is there yet or not.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self::new(path.to_owned(), None)
    }

    /// The ring of a reader.
    #[must_use]
    pub fn over(reader: Reader) -> Self {
        Self::new(reader.path().to_owned(), Some(reader))
    }

    fn new(path: PathBuf, reader: Option<Reader>) -> Self {
        let looked = Cell::new(Instant::now());
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let main = Rc::new(Main { path, name, reader: RefCell::new(reader), looked });
        Self { main, rings: None, seen: Seen::by(Rc::new(Sight::everything())) }
    }

    /// Runs `f` on the ring that is asked for.
    fn with_ring<T>(
        &self,
        wanted: &Option<String>,
        f: impl FnOnce(&Ring<ReadMap>, &Rc<Scrapes>) -> Result<T, VitalsError>,
    ) -> Result<T, VitalsError> {
        let main = &*self.main;
        if let Some(name) = wanted.as_ref().filter(|name| **name != main.name) {
            let rings = self.rings.as_ref().ok_or(VitalsError::Absent)?;
            let listed = rings.listed(std::slice::from_ref(name), &self.seen);
            let listed = listed.map_err(VitalsError::UnknownRing)?;
            let Listed { ring, .. } = listed.first().ok_or(VitalsError::Absent)?;
            return f(ring, &self.seen.ring(name, ring).scrapes);
        }
        self.with_main(|ring, seen| f(ring, &seen.scrapes))
    }

    /// Runs `f` on the ring of the host, or whatever is in its place.
    fn with_main<T>(
        &self,
        f: impl FnOnce(&Ring<ReadMap>, &SeenRing) -> Result<T, VitalsError>,
    ) -> Result<T, VitalsError> {
        let main = &*self.main;
        let mut reader = main.reader.borrow_mut();
        match main.follow(&mut reader) {
            Ok(()) => {}
            Err(OpenError::Missing(_)) if reader.is_none() => return Err(VitalsError::Absent),
            Err(error) => return Err(VitalsError::Unreadable(Box::new(error))),
        }
        let ring = reader.as_ref().ok_or(VitalsError::Absent)?.ring();
        f(ring, &self.seen.ring(&main.name, ring))
    }

    /// The same ring, with `rings` for the native API. Those say nothing in any other.
    #[must_use]
    pub fn with_rings(self, rings: Rings) -> Self {
        Self { rings: Some(Rc::new(rings)), ..self }
    }
}

impl Main {
    /// Sees to it that `reader` is on the file that now has the ring's name.
    fn follow(&self, reader: &mut Option<Reader>) -> Result<(), OpenError> {
        let Some(reader) = reader else {
            *reader = Some(Reader::open(&self.path)?);
            return Ok(());
        };
        let due = self.looked.get().elapsed() >= NAME_CHECK;
        if due || reader.ring().state() == layout::state::RETIRED {
            self.looked.set(Instant::now());
            if reader.refresh()? {
                tracing::info!("following the ring {} to a new file", self.path.display());
            }
        }
        Ok(())
    }
}

impl Vitals for RingVitals {
    fn seen_by(&self, sight: &Rc<Sight>) -> Rc<dyn Vitals> {
        let (main, rings) = (Rc::clone(&self.main), self.rings.clone());
        Rc::new(Self { main, rings, seen: Seen::by(Rc::clone(sight)) })
    }

    fn pull(&self, history: bool, start: i64) -> Result<Box<dyn Pull>, VitalsError> {
        let now = Duration::from_nanos(realtime_ns());
        let pulled = self.with_main(|ring, seen| {
            let pull = RingPull::begin(ring, &seen.answers, history, start, now);
            Ok(Box::new(pull) as Box<dyn Pull>)
        });
        match pulled {
            // Nothing has been recorded, which is an answer and no failure.
            Err(VitalsError::Absent) => Ok(Box::new(Nothing)),
            pulled => pulled,
        }
    }

    fn scrape(&self, wanted: &ScrapeWanted) -> Result<Scraped, VitalsError> {
        self.with_ring(&wanted.ring, |ring, scrapes| scrapes.newest(ring, wanted))
    }

    fn history(&self, wanted: &ScrapeWanted, start: HistoryStart) -> Result<Scraped, VitalsError> {
        let now = Duration::from_nanos(realtime_ns());
        self.with_ring(&wanted.ring, |ring, scrapes| scrapes.history(ring, wanted, start, now))
    }

    fn stream(&self, wanted: &StreamParameters) -> Result<Box<dyn Feed>, VitalsError> {
        let main = &*self.main;
        let name = wanted.ring.as_ref().unwrap_or(&main.name);
        let path = if *name == main.name {
            main.path.clone()
        } else {
            let rings = self.rings.as_ref().ok_or(VitalsError::Absent)?;
            let unknown = || VitalsError::UnknownRing(name.clone());
            rings.path_of(name, &self.seen).ok_or_else(unknown)?
        };
        // Of its own: it follows the ring at its own time, when it has read all of the one before.
        match Reader::open(&path) {
            Ok(reader) => {
                let objects = self.seen.ring(name, reader.ring()).objects.clone();
                Ok(Box::new(LiveFeed::of(reader, name, objects, wanted)))
            }
            Err(OpenError::Missing(_)) => Err(VitalsError::Absent),
            Err(error) => Err(VitalsError::Unreadable(Box::new(error))),
        }
    }

    fn freshness(&self) -> Freshness {
        let main = &*self.main;
        let mut reader = main.reader.borrow_mut();
        let followed = main.follow(&mut reader);
        let state = if followed.is_ok() { "" } else { "unreadable" };
        let Some(reader) = &*reader else {
            let state =
                if matches!(followed, Err(OpenError::Missing(_))) { "absent" } else { state };
            return Freshness { newest_age: None, limit: Duration::ZERO, state };
        };
        let ring = reader.ring();
        let now_ns = boottime_ns();
        let newest = ring.latest(|view| view.header().boottime_ns);
        Freshness {
            newest_age: newest.map(|ns| Duration::from_nanos(now_ns.saturating_sub(ns))),
            limit: Duration::from_nanos(ring.stale_after_ns()),
            state: if followed.is_ok() { reader.liveness().as_str() } else { state },
        }
    }

    fn list(&self, listing: Listing) -> Result<Box<dyn Pull>, VitalsError> {
        let rings = || self.rings.as_ref().ok_or(VitalsError::Absent);
        let listed = |wanted: &ListParameters| {
            rings()?.listed(&wanted.rings, &self.seen).map_err(VitalsError::UnknownRing)
        };
        Ok(match listing {
            Listing::Rings => Box::new(RingsPull::of(rings()?.lines(&self.seen))),
            Listing::Series(wanted) => Box::new(SeriesPull::of(listed(&wanted)?, wanted)),
            Listing::Latest(wanted) => Box::new(LatestPull::of(listed(&wanted)?, wanted)),
            Listing::Usage => {
                Box::new(self.with_main(|ring, seen| Ok(UsagePull::of(ring, &seen.objects)))?)
            }
        })
    }

    fn version(&self, rings: Option<&[String]>) -> Option<Version> {
        if let Some(names) = rings {
            return self.rings.as_ref()?.version(names);
        }
        let mut reader = self.main.reader.borrow_mut();
        self.main.follow(&mut reader).ok()?;
        Some(Version::of(reader.as_ref()?.ring()))
    }

    fn window(
        &self,
        mut wanted: WindowParameters,
        points_max: u64,
    ) -> Result<Box<dyn Pull>, VitalsError> {
        let rings = self.rings.as_ref().ok_or(VitalsError::Absent)?;
        let names = &mut wanted.series.rings;
        if wanted.since_seq.is_some() {
            match names.len() {
                0 => names.push(RING_DEFAULT.to_owned()),
                1 => {}
                _ => return Err(WindowError::ManyRings.into()),
            }
        }
        let rings = rings.listed(names, &self.seen).map_err(VitalsError::UnknownRing)?;
        let rings = rings.into_iter().map(Listed::into_named).collect();
        window::begin(rings, wanted, points_max, realtime_ns())
    }
}

/// The answer while there is no ring.
struct Nothing;

impl Pull for Nothing {
    fn part(&mut self, _: &mut Vec<u8>) -> Part {
        Part::Last
    }
}
