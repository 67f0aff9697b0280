//! The records of a window one by one, with what stands between them, for whoever takes long over it.
//!
//! [`Window::read`](super::Window::read) vouches for a whole window at once, and so has to be done
//! before the writer comes round. A [`Walk`] may rest between any two records: each is checked by
//! itself, and what is overwritten meanwhile is told as overrun.

use super::GapReason;
use super::extract::Bounds;
use crate::record::{RecordHeader, flags};
use crate::ring::{ReadError, Ring, Words};

/// What stands before a record, or behind the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Between {
    overrun: u64,
    missing: u64,
    missed: u64,
    clock_step: bool,
    epoch: Option<u32>,
}

impl Between {
    /// The reasons for which the records do not simply follow one another.
    pub fn reasons(&self) -> impl Iterator<Item = GapReason> {
        let count = |count: u64| (count > 0).then_some(count);
        [
            count(self.overrun).map(GapReason::Overrun),
            count(self.missing).map(GapReason::Missing),
            count(self.missed).map(GapReason::Missed),
            self.clock_step.then_some(GapReason::ClockStep),
            self.epoch.map(|to| GapReason::Epoch { to }),
        ]
        .into_iter()
        .flatten()
    }

    fn tell(&mut self, header: &RecordHeader) {
        let set = header.flags();
        if set & flags::MISSED != 0 {
            self.missed = self.missed.saturating_add(header.missed_ticks);
        }
        self.clock_step |= set & flags::CLOCK_STEP != 0;
        if set & flags::EPOCH_FIRST != 0 {
            self.epoch = Some(header.epoch());
        }
    }

    fn lose(&mut self, records: u64) {
        self.overrun += records;
    }
}

/// A walk over records, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    next: u64,
    last: u64,
    bounds: Bounds,
    between: Between,
    /// Whether something of the window has been told: what happened before its first record is not
    /// the window's.
    begun: bool,
    /// The record `next`, once it was found.
    found: Option<RecordHeader>,
}

impl Walk {
    /// A walk over the records `first..=last` that are in bounds. `begun` says that it goes on where
    /// another one has ended.
    #[must_use]
    pub fn new<W: Words>(
        ring: &Ring<W>,
        (first, last): (u64, u64),
        bounds: Bounds,
        begun: bool,
    ) -> Self {
        // Keeps the walk no longer than the ring, whatever was asked for.
        let next = first.max(ring.geometry().oldest(last)).max(1);
        let lost = if first <= last { next - first.max(1) } else { 0 };
        let between = Between { overrun: lost, ..Between::default() };
        Self { next, last, bounds, between, begun: begun || lost > 0, found: None }
    }

    /// The header of the record that comes next, until [`Walk::pass`]; `None` behind the last one.
    pub fn seek<W: Words>(&mut self, ring: &Ring<W>) -> Option<RecordHeader> {
        while self.found.is_none() && self.next <= self.last {
            match ring.read(self.next, |view| view.header()) {
                Ok(header) => {
                    if self.begun {
                        self.between.tell(&header);
                    }
                    if self.bounds.admits(header.realtime_ns) {
                        self.found = Some(header);
                    } else {
                        self.next += 1;
                    }
                }
                Err(ReadError::Overrun) => {
                    let (oldest, _) = ring.bounds().unwrap_or((1, 0));
                    let there = oldest.clamp(self.next + 1, self.last.saturating_add(1));
                    self.between.lose(there - self.next);
                    (self.next, self.begun) = (there, true);
                }
                Err(_) => {
                    self.between.missing += 1;
                    (self.next, self.begun) = (self.next + 1, true);
                }
            }
        }
        self.found
    }

    /// What stands before the record that comes next, or behind the last one. Told once.
    pub fn between(&mut self) -> Between {
        std::mem::take(&mut self.between)
    }

    /// Goes on to the record after the one that was found.
    pub fn pass(&mut self) {
        (self.found, self.begun) = (None, true);
        self.next = self.next.saturating_add(1);
    }

    /// Goes on because the record that was found has been overwritten before all of it was read.
    pub fn lose(&mut self) {
        self.between.lose(1);
        self.pass();
    }

    /// The sequence of the record that comes next, whether it is there or not.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next
    }
}
