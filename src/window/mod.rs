//! Which part of the ring is asked for, and what follows from it.
//!
//! A [`Window`] is the records between two bounds; walking it reports every gap, change of epoch and
//! step of the clock, and what the writer overwrote meanwhile. A [`Grid`] picks one record per step
//! out of it; [`step`] makes all records of each step into one aggregate per series, and has the
//! rules for rates. [`mod@derive`] turns CPU times into shares. [`lane`] says which of several rings
//! answers for a series, and an [`Extract`] is what a window over several of them takes of one. A
//! [`Walk`] goes over records with rests.
//!
//! Nothing here does I/O. Once set up, nothing allocates.
//!
//! # Examples
//!
//! How long a queue was in the last ten seconds, and how fast it was worked off:
//!
//! ```
//! use tachograph::ring::{Reader, realtime_ns};
//! use tachograph::window::{Aggregate, Steps, Track, Window};
//!
//! # use std::time::Duration;
//! # use tachograph::{Kind, Producer, RunDir, Unit, WriterOptions};
//! # let dir = std::path::PathBuf::from(format!("/dev/shm/tachograph-doc-mean-{}", std::process::id()));
//! # let mut shop = Producer::declare(&RunDir::for_writing(Some(&dir))?, "shop")?;
//! # let waiting = shop.add::<u64>("queue/orders", "waiting", Kind::Gauge, Unit::Count)?;
//! # let taken = shop.add::<u64>("queue/orders", "taken", Kind::Counter, Unit::Count)?;
//! # let mut shop = shop.start(&WriterOptions::every(Duration::from_secs(1)))?;
//! # let begin_ns = realtime_ns() - 19_500_000_000;
//! # for second in 0..20 {
//! #     shop.set(&waiting, second);
//! #     shop.set(&taken, 5 * second);
//! #     shop.publish_at(begin_ns + second * 1_000_000_000, 1 + second * 1_000_000_000);
//! # }
//! # let path = dir.join("shop.ring");
//! # let realtime_ns = || begin_ns + 19_500_000_000;
//! let reader = Reader::open(&path)?;
//! let ring = reader.ring();
//! let now_ns = realtime_ns();
//! let window = Window::between(ring, now_ns - 10_000_000_000, now_ns);
//! // Read after the window was made, it knows all series of the window's records.
//! let directory = ring.directory();
//! let track = |metric| Track::of(&directory, "queue/orders", metric).ok_or("no such series");
//! // As one step; with another length there is a step for each multiple of it on the wall clock.
//! let mut steps = Steps::new(vec![track("waiting")?, track("taken")?], u64::MAX);
//! steps.begin(&window);
//! let step = steps.next(ring).ok_or("there is no record")?;
//! let [Aggregate::Gauge(waiting), Aggregate::Counter(taken)] = steps.aggregates() else {
//!     return Err("they mean something else".into());
//! };
//! // Twenty records, one a second: the queue grew by one, and five were taken.
//! assert_eq!((step.records, waiting.mean(), taken.rate()), (10, Some(14.5), Some(5.0)));
//! // Missed ticks, records that were overwritten, restarts: nothing is skipped in silence.
//! assert_eq!(step.gaps.reasons().count(), 0);
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The same by hand, record by record:
//!
//! ```
//! use tachograph::window::{Event, Window};
//! # use std::time::Duration;
//! # use tachograph::{Kind, Producer, Reader, RunDir, Unit, WriterOptions};
//! # let dir = std::path::PathBuf::from(format!("/dev/shm/tachograph-doc-hand-{}", std::process::id()));
//! # let mut shop = Producer::declare(&RunDir::for_writing(Some(&dir))?, "shop")?;
//! # let waiting = shop.add::<u64>("queue/orders", "waiting", Kind::Gauge, Unit::Count)?;
//! # let mut shop = shop.start(&WriterOptions::every(Duration::from_secs(1)))?;
//! # for length in 1..=5 {
//! #     shop.set(&waiting, length);
//! #     shop.publish_at(100 + length, 1 + length);
//! # }
//! # let reader = Reader::open(&dir.join("shop.ring"))?;
//! # let ring = reader.ring();
//! let waiting = ring.find("queue/orders", "waiting").ok_or("no such series")?;
//! let (sum, count) = Window::newest(ring, 3).read(|events| {
//!     // It begins here anew if the writer overtakes it, so what is counted is counted inside.
//!     let mut found = (0, 0);
//!     for event in events {
//!         match event {
//!             Event::Record(record) => {
//!                 if let Some(length) = record.u64(&waiting) {
//!                     found = (found.0 + length, found.1 + 1);
//!                 }
//!             }
//!             Event::Gap(gap) => eprintln!("before record {}: {}", gap.before, gap.reason.as_str()),
//!         }
//!     }
//!     found
//! })?;
//! assert_eq!((sum, count), (3 + 4 + 5, 3));
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bound;
pub mod derive;
mod extract;
mod grid;
pub mod lane;
mod objects;
pub mod step;
mod track;
mod walk;

use core::fmt;
use std::error;

use crate::record::flags;
use crate::ring::{ReadError, RecordView, Ring, Words};

pub use extract::{Bounds, Extract, KnownDirectory, NamedRing, Numbered};
pub use grid::{Generation, Grid};
pub use objects::Objects;
pub use step::{Aggregate, Step, Steps};
pub use track::{Stretch, Track};
pub use walk::{Between, Walk};

/// How often [`Window::read`] begins again, each time further from the writer, before it gives up.
const READ_TRIES: u32 = 4;
/// The share of the ring that a window which was overrun keeps away from the writer.
const OVERRUN_MARGIN: u64 = 8;

/// The writer overwrote the window faster than it could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

impl fmt::Display for Overrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ring was overwritten faster than the window could be read")
    }
}

impl error::Error for Overrun {}

/// A place where the records of a window do not simply follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first record after the gap; one more than the window's last when nothing follows.
    pub before: u64,
    /// What there is instead of a plain succession.
    pub reason: GapReason,
}

/// Why there is a [`Gap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapReason {
    /// The window asked for this many records that had been overwritten before it was read.
    Overrun(
        /// How many.
        u64,
    ),
    /// This many records are not in the ring although it reaches further back: their writer was
    /// killed, or their slots are damaged.
    Missing(
        /// How many.
        u64,
    ),
    /// The recorder could not take this many ticks that were due.
    Missed(
        /// How many.
        u64,
    ),
    /// The recorder was started anew.
    Epoch {
        /// The epoch that began.
        to: u32,
    },
    /// The wall clock was set.
    ClockStep,
}

impl GapReason {
    /// The name that APIs have for it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Overrun(_) => "overrun",
            Self::Missing(_) => "missing",
            Self::Missed(_) => "missed",
            Self::Epoch { .. } => "epoch",
            Self::ClockStep => "clock_step",
        }
    }

    /// How many records or ticks are not there; of an epoch, its number; of a step of the clock, 1.
    #[must_use]
    pub const fn count(&self) -> u64 {
        match *self {
            Self::Overrun(count) | Self::Missing(count) | Self::Missed(count) => count,
            Self::Epoch { to } => to as u64,
            Self::ClockStep => 1,
        }
    }
}

/// What walking a window yields.
pub enum Event<'a, W: Words> {
    /// A record, in place.
    Record(RecordView<'a, W>),
    /// Something that stands between two records.
    Gap(Gap),
}

/// A contiguous range of sequences, of which those records belong to the window whose time is
/// within its bounds: after a clock was set back, records of one hour can lie in two places.
#[derive(Debug)]
pub struct Window<'a, W> {
    ring: &'a Ring<W>,
    /// First sequence that was asked for.
    first: u64,
    /// Last sequence.
    last: u64,
    after_ns: u64,
    up_to_ns: u64,
    /// Whether times or sequences were asked for.
    by_time: bool,
    /// Whether what stands before its first record is told as well.
    continues: bool,
}

// Derived, these would ask that the ring's words can be copied as well.
impl<W> Clone for Window<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W> Copy for Window<'_, W> {}

impl<'a, W: Words> Window<'a, W> {
    /// The records whose time is strictly after `after_ns` and not after `up_to_ns`, both in
    /// nanoseconds since 1970.
    #[must_use]
    pub fn between(ring: &'a Ring<W>, after_ns: u64, up_to_ns: u64) -> Self {
        let (first, last) = bound::cover(ring, after_ns, up_to_ns).unwrap_or((1, 0));
        Self { ring, first, last, after_ns, up_to_ns, by_time: true, continues: false }
    }

    /// The records `first..=last`. What the ring no longer has of them is reported as overrun; what
    /// it does not have yet is not part of the window.
    #[must_use]
    pub fn sequences(ring: &'a Ring<W>, first: u64, last: u64) -> Self {
        let last = last.min(ring.head());
        Self {
            ring,
            first: first.max(1),
            last,
            after_ns: 0,
            up_to_ns: u64::MAX,
            by_time: false,
            continues: false,
        }
    }

    /// The newest `count` records.
    #[must_use]
    pub fn newest(ring: &'a Ring<W>, count: u64) -> Self {
        let (oldest, head) = ring.bounds().unwrap_or((1, 0));
        let first = head.saturating_sub(count.saturating_sub(1)).max(oldest);
        let last = if count == 0 { 0 } else { head };
        Self {
            ring,
            first,
            last,
            after_ns: 0,
            up_to_ns: u64::MAX,
            by_time: false,
            continues: false,
        }
    }

    /// The records after `seq`, for somebody who has read that one: what stands between it and the
    /// next record belongs to the window.
    #[must_use]
    pub fn after(ring: &'a Ring<W>, seq: u64) -> Self {
        Self { continues: true, ..Self::sequences(ring, seq.saturating_add(1), u64::MAX) }
    }

    /// First and last sequence that may belong to the window; `None` when it is empty.
    #[must_use]
    pub fn bounds(&self) -> Option<(u64, u64)> {
        (self.first <= self.last).then_some((self.first, self.last))
    }

    /// Whether the ring still has all that was ever recorded of the window. `false` means that its
    /// beginning, or all of it, has been overwritten; may become `false` at any time.
    ///
    /// Of a window between two times it is only known whether some record from before its beginning
    /// is still there.
    #[must_use]
    pub fn reaches_back(&self) -> bool {
        let Some((oldest, _)) = self.ring.bounds() else { return true };
        match bound::time(self.ring, oldest) {
            _ if oldest == 1 => true,
            _ if !self.by_time => self.first >= oldest,
            Ok(time_ns) => time_ns <= self.after_ns,
            Err(_) => false,
        }
    }

    /// Whether no record can belong to the window.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first > self.last
    }

    /// Runs `f` on the events of the window, oldest first, reading in place, and returns its result
    /// only if nothing that it can have seen was overwritten meanwhile: one look at the oldest
    /// record, at the end, vouches for all.
    ///
    /// When the writer was faster, `f` begins again on a window that is farther from it; what was
    /// given up is reported as [`GapReason::Overrun`].
    ///
    /// # Errors
    ///
    /// [`Overrun`] when that happened four times in a row.
    pub fn read<T>(&self, mut f: impl FnMut(&mut Events<'a, W>) -> T) -> Result<T, Overrun> {
        let mut margin = 0;
        // The head has not shrunk since the window was made, unless the ring is not a writer's: then
        // this keeps the walk no longer than the ring.
        let least = self.first.max(self.ring.oldest(self.last));
        for _ in 0..READ_TRIES {
            let (oldest, _) = self.ring.bounds().unwrap_or((1, 0));
            let mut events = Events::new(self, least.max(oldest.saturating_add(margin)));
            let result = f(&mut events);
            let seen_from = events.seen_from;
            if seen_from == 0 || self.ring.vouch(seen_from).is_ok() {
                return Ok(result);
            }
            margin += self.ring.geometry().slot_count / OVERRUN_MARGIN;
        }
        Err(Overrun)
    }
}

/// The events of a window, oldest first. Made by [`Window::read`].
pub struct Events<'a, W: Words> {
    window: Window<'a, W>,
    next: u64,
    /// Records missing since the last one that was there.
    missing: u64,
    overrun: u64,
    /// The record to come after the gaps that stand before it, and which of them were told.
    held: Option<(RecordView<'a, W>, u8)>,
    /// Oldest record of which a view was made; 0 when none was.
    seen_from: u64,
    /// Whether some of the window has been told, be it a record or that there is none.
    begun: bool,
}

impl<'a, W: Words> Events<'a, W> {
    fn new(window: &Window<'a, W>, next: u64) -> Self {
        let overrun = next.min(window.last.saturating_add(1)).saturating_sub(window.first);
        let (window, begun) = (*window, window.continues);
        Self { window, next, missing: 0, overrun, held: None, seen_from: 0, begun }
    }

    fn gap(&self, before: u64, reason: GapReason) -> Option<Event<'a, W>> {
        Some(Event::Gap(Gap { before, reason }))
    }

    /// The next record of the window that can be read, counting those that cannot.
    fn advance(&mut self) -> Option<RecordView<'a, W>> {
        while self.next <= self.window.last {
            let seq = self.next;
            self.next += 1;
            match self.window.ring.peek(seq) {
                Ok(view) => {
                    if self.seen_from == 0 {
                        self.seen_from = seq;
                    }
                    let time_ns = view.realtime_ns();
                    if time_ns > self.window.after_ns && time_ns <= self.window.up_to_ns {
                        return Some(view);
                    }
                }
                // Nothing younger has been seen yet, so this one was lost to the writer.
                Err(ReadError::Overrun) if self.seen_from == 0 => self.overrun += 1,
                Err(_) => self.missing += 1,
            }
        }
        None
    }
}

impl<'a, W: Words> Iterator for Events<'a, W> {
    type Item = Event<'a, W>;

    fn next(&mut self) -> Option<Event<'a, W>> {
        if self.held.is_none() {
            self.held = self.advance().map(|view| (view, 0));
        }
        let before = self.held.map_or(self.window.last.saturating_add(1), |(view, _)| view.seq());
        if self.overrun > 0 {
            let lost = std::mem::take(&mut self.overrun);
            self.begun = true;
            return self.gap(before, GapReason::Overrun(lost));
        }
        if self.missing > 0 {
            let missing = std::mem::take(&mut self.missing);
            self.begun = true;
            return self.gap(before, GapReason::Missing(missing));
        }
        let (view, told) = self.held?;
        // What happened before the first record that the window asked for is not the window's.
        if told < 3 && self.begun {
            let header = view.header();
            let set = header.flags();
            let reasons = [
                (flags::MISSED, GapReason::Missed(header.missed_ticks)),
                (flags::CLOCK_STEP, GapReason::ClockStep),
                (flags::EPOCH_FIRST, GapReason::Epoch { to: header.epoch() }),
            ];
            for (index, (flag, reason)) in reasons.into_iter().enumerate().skip(told.into()) {
                if set & flag != 0 {
                    self.held = Some((view, index as u8 + 1));
                    return self.gap(before, reason);
                }
            }
        }
        self.held = None;
        self.begun = true;
        Some(Event::Record(view))
    }
}
