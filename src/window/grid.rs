//! One record per step: generations.

use super::bound::{partition, time};
use crate::record::RecordHeader;
use crate::ring::{ReadError, Ring, Words};

/// A record that stands for one step of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The record.
    pub seq: u64,
    /// Its time, in nanoseconds since 1970.
    pub realtime_ns: u64,
    /// The record that the step began with, from which derived values are taken: the generation
    /// before this one. `None` for the first record of an epoch, whose step began at boot.
    pub base: Option<u64>,
}

/// A ring seen in steps on the wall clock.
///
/// A *generation* is the first record at or after each multiple of the step, and the first record of
/// each epoch. Which records are generations, and over what they are derived, depends only on records
/// that were there before: once there, a generation never changes. One whose beginning the ring no
/// longer has is no longer there.
#[derive(Debug)]
pub struct Grid<'a, W> {
    ring: &'a Ring<W>,
    step_ns: u64,
}

// Derived, these would ask that the ring's words can be copied as well.
impl<W> Clone for Grid<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W> Copy for Grid<'_, W> {}

impl<'a, W: Words> Grid<'a, W> {
    /// The grid of `ring` with this step.
    ///
    /// # Panics
    ///
    /// When the step is zero.
    #[must_use]
    pub fn new(ring: &'a Ring<W>, step_ns: u64) -> Self {
        assert!(step_ns > 0, "a grid has a step");
        Self { ring, step_ns }
    }

    /// The newest generation.
    #[must_use]
    pub fn newest(&self) -> Option<Generation> {
        self.iter().next()
    }

    /// The generations, newest first, by sequence.
    pub fn iter(&self) -> Generations<'a, W> {
        let (oldest, head) = self.ring.bounds().unwrap_or((1, 0));
        let found = self.at_or_before(head, oldest);
        Generations { grid: *self, found, oldest, run_first: 0 }
    }

    /// The youngest generation that is not younger than the record `seq`. `least` is a record that
    /// was the oldest: in a ring that is not a writer's, where the head can shrink, no search goes
    /// below it, so that all of them together are no longer than the ring.
    fn at_or_before(&self, seq: u64, least: u64) -> Option<Found> {
        let (oldest, _) = self.ring.bounds()?;
        let oldest = oldest.max(least);
        let mut seq = seq;
        // Records that their writer did not live to finish are passed over.
        let header = loop {
            if seq < oldest {
                return None;
            }
            match self.header(seq) {
                Ok(header) => break header,
                Err(ReadError::Overrun) => return None,
                Err(_) => seq -= 1,
            }
        };
        let start = header.run_first.clamp(oldest, seq);
        let step_start_ns = header.realtime_ns / self.step_ns * self.step_ns;
        let first = self.first_since(start, seq, step_start_ns, header.realtime_ns);
        let first = self.epoch_start(first, seq, header.epoch());
        let found = self.header(first).ok()?;
        // Whether a record that the ring no longer has would have been the first cannot be known.
        let beginning = found.run_first == first || first > start;
        let epoch_first = found.flags() & crate::record::flags::EPOCH_FIRST != 0;
        (beginning || epoch_first).then_some(Found {
            seq: first,
            realtime_ns: found.realtime_ns,
            epoch: found.epoch(),
            epoch_first,
            run_first: found.run_first,
        })
    }

    /// The first record of the run part `start..=seq` at or after `time_ns`, where `seq` is one,
    /// taken at `seq_time_ns`. Ticks are regular, so a guess is nearly always right.
    fn first_since(&self, start: u64, seq: u64, time_ns: u64, seq_time_ns: u64) -> u64 {
        let steps_back = (seq_time_ns - time_ns) / self.ring.header().interval_ns.max(1);
        let guess = seq.saturating_sub(steps_back).clamp(start, seq);
        let is_at = |seq: u64| time(self.ring, seq).is_ok_and(|time| time >= time_ns);
        for guess in [guess, (guess + 1).min(seq)] {
            if is_at(guess)
                && (guess == start || time(self.ring, guess - 1).is_ok_and(|time| time < time_ns))
            {
                return guess;
            }
        }
        partition(start, seq, |seq| time(self.ring, seq), |time| time >= time_ns)
    }

    /// The first record of `epoch` in `first..=seq`, where `seq` is one: a younger epoch that began
    /// inside the step is a generation of its own.
    fn epoch_start(&self, first: u64, seq: u64, epoch: u32) -> u64 {
        let epoch_of = |seq| self.ring.read(seq, |view| view.header().epoch());
        if epoch_of(first) == Ok(epoch) {
            return first;
        }
        partition(first, seq, epoch_of, |found| found >= epoch)
    }

    fn header(&self, seq: u64) -> Result<RecordHeader, ReadError> {
        self.ring.read(seq, |view| view.header())
    }
}

#[derive(Clone, Copy, Debug)]
struct Found {
    seq: u64,
    realtime_ns: u64,
    epoch: u32,
    epoch_first: bool,
    run_first: u64,
}

/// The generations of a grid, newest first. Made by [`Grid::iter`].
#[derive(Debug)]
pub struct Generations<'a, W> {
    grid: Grid<'a, W>,
    found: Option<Found>,
    /// The oldest record when the walk began.
    oldest: u64,
    /// Where the run of the last generation began.
    run_first: u64,
}

impl<W: Words> Generations<'_, W> {
    /// Passes over what is left of the last generation's run: the records in which the clock was not
    /// set back.
    pub fn skip_run(&mut self) {
        while self.found.is_some_and(|found| found.seq >= self.run_first) {
            let before = self.run_first.checked_sub(1);
            self.found = before.and_then(|seq| self.grid.at_or_before(seq, self.oldest));
        }
    }
}

impl<W: Words> Iterator for Generations<'_, W> {
    type Item = Generation;

    fn next(&mut self) -> Option<Generation> {
        let found = self.found.take()?;
        let before = found.seq.checked_sub(1);
        self.found = before.and_then(|seq| self.grid.at_or_before(seq, self.oldest));
        let Found { seq, realtime_ns, epoch, epoch_first, run_first } = found;
        self.run_first = run_first;
        let base = match self.found {
            _ if epoch_first => None,
            Some(before) if before.epoch == epoch => Some(before.seq),
            // Its step began with a record that is gone.
            _ => return None,
        };
        Some(Generation { seq, realtime_ns, base })
    }
}
