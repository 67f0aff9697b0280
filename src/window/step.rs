//! A window in steps of the wall clock: what gauges were, and what counters counted.
//!
//! Per step and series there is an [`Aggregate`]. The rules:
//!
//! 1. A step is `(start, end]` on multiples of its length on the wall clock. A value belongs to the
//!    step that its record's time lies in. An increase belongs, whole, to the step that the later of
//!    its two records lies in: increases of adjacent steps add up to the increase over both.
//! 2. A rate is the increase divided by the time between the records that it was taken from, by the
//!    boot clock, never by the step's length: a gap makes neither a spike nor a dip.
//! 3. An absent value is passed over: the pair is made with the last present value of the same
//!    lifetime. Values of two lifetimes make no pair. For the first pair of a window, the value is
//!    looked for in the [`LOOK_BACK_RECORDS`] records before it.
//! 4. A counter that is smaller than before began anew, and what it counted in between is unknown:
//!    the pair adds neither increase nor time, and a reset is counted. Of a total that may fall
//!    ([`Kind::Derive`]) a smaller value is a negative increase.
//! 5. Some drivers count in 32 bits. An integer counter of a network interface or a disk, in bytes,
//!    packets or a disk's milliseconds (also told as a file system's or a store's), that was below 2^32 by at most 2^28 and is now below 2^28
//!    wrapped: it increased by what lies between modulo 2^32. Anything else smaller is a reset.
//! 6. CPU times are corrected downwards now and then: a fall by at most [`CPU_FALL_TICKS_MAX`] is no
//!    reset; the time did not advance, and the pair adds no increase but its time.
//! 7. The kernel's counters outlive a restart of the recorder. The recorder's own, and all of an
//!    application's ring, begin anew with their process, so their pair across two epochs is unknown,
//!    also when the value is larger.
//! 8. Ticks that were missed and records that are missing or overwritten are told with the step of
//!    the record that follows; the pair spans them. The mean of a gauge is the plain mean over the
//!    records that have it, not weighted by time.
//! 9. The boot clock goes on while the machine is suspended and counters stand still: the rate is the
//!    true mean over that time.
//! 10. A clock that is set back ends the step, and the same hour has steps again; where it is set
//!     forward, no empty steps are made up. Durations are by the boot clock throughout; a pair over
//!     which it did not advance is damaged, and unknown.
//! 11. What is not finite is absent. Integers are added exactly, doubles with compensation.
//! 12. A sum of doubles that leaves their range has no value, nor has what follows from it.

use super::track::Track;
use super::{GapReason, Window, bound};
use crate::record::{Class, Kind, RecordHeader, Repr, flags};
use crate::ring::{ReadError, Ring, RingKind, Value, Words};

/// In how many records before a window the values are looked for that its first increases are taken
/// from. Sources that are read every so many ticks leave their series absent in between.
pub const LOOK_BACK_RECORDS: u64 = 1024;
/// By how much CPU time may fall without having begun anew: a second of one CPU.
pub const CPU_FALL_TICKS_MAX: u64 = 100;

/// Where counters of 32 bits begin again.
const WRAP: u64 = 1 << 32;
/// How near to the wrap both values of a pair must lie for it to be one.
const WRAP_MARGIN: u64 = 1 << 28;
const NS_PER_S: f64 = 1e9;

/// What stands between the records of a step, or before its first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Ticks that the recorder could not take.
    pub missed: u64,
    /// Records that are not in the ring: their writer was killed, or their slots are damaged.
    pub missing: u64,
    /// Records that were overwritten before they were read.
    pub overrun: u64,
    /// How often the recorder was started.
    pub epochs: u64,
    /// How often the wall clock was set.
    pub clock_steps: u64,
}

impl Gaps {
    /// What there is of them, as a [`Window`] tells of gaps; of several starts, how many.
    pub fn reasons(self) -> impl Iterator<Item = GapReason> {
        let to = u32::try_from(self.epochs).unwrap_or(u32::MAX);
        [
            (self.overrun, GapReason::Overrun(self.overrun)),
            (self.missing, GapReason::Missing(self.missing)),
            (self.missed, GapReason::Missed(self.missed)),
            (self.clock_steps, GapReason::ClockStep),
            (self.epochs, GapReason::Epoch { to }),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(_, reason)| reason)
    }
}

/// One step of a window: those of its records that lie in `(start_ns, end_ns]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it begins, itself excluded, in nanoseconds since 1970.
    pub start_ns: u64,
    /// Where it ends, itself included.
    pub end_ns: u64,
    /// Its first record.
    pub first_seq: u64,
    /// Its last record.
    pub last_seq: u64,
    /// How many records it has; at least one.
    pub records: u64,
    /// Where they do not simply follow one another.
    pub gaps: Gaps,
}

/// A sum as exact as its series: of integers, or of doubles with what rounding has lost so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sum {
    /// Of integers, exact.
    Integer(i128),
    /// Of doubles.
    Double {
        /// The running sum.
        sum: f64,
        /// What has been rounded off it.
        lost: f64,
    },
}

impl Sum {
    fn zero(repr: Repr) -> Self {
        match repr {
            Repr::U64 => Self::Integer(0),
            Repr::F64 => Self::Double { sum: 0.0, lost: 0.0 },
        }
    }

    fn add(&mut self, amount: Amount) {
        match (self, amount) {
            // Every term has 65 bits with its sign, and a ring has fewer than 2^62 records.
            (Self::Integer(sum), Amount::Integer(term)) => *sum += term,
            (Self::Double { sum, lost }, Amount::Double(term)) => {
                let next = *sum + term;
                // The smaller of the two is the one that was rounded.
                *lost += if sum.abs() >= term.abs() {
                    (*sum - next) + term
                } else {
                    (term - next) + *sum
                };
                *sum = next;
            }
            // A series has one representation.
            _ => {}
        }
    }

    /// The nearest double; `None` when the sum has left their range.
    #[must_use]
    pub fn as_f64(self) -> Option<f64> {
        match self {
            Self::Integer(sum) => Some(sum as f64),
            Self::Double { sum, lost } => Some(sum + lost).filter(|sum| sum.is_finite()),
        }
    }

    fn over(self, count: u64) -> Option<f64> {
        match self {
            _ if count == 0 => None,
            // Whole part and rest by themselves: the sum may have more bits than a double.
            Self::Integer(sum) => {
                let count = i128::from(count);
                Some((sum / count) as f64 + (sum % count) as f64 / count as f64)
            }
            Self::Double { .. } => Some(self.as_f64()? / count as f64),
        }
    }
}

/// A difference of two values, or a value.
#[derive(Clone, Copy)]
enum Amount {
    Integer(i128),
    Double(f64),
}

/// The levels of a gauge in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    /// How many records have a value.
    pub count: u64,
    /// The smallest value; `None` without any, as the two that follow.
    pub min: Option<Value>,
    /// The largest.
    pub max: Option<Value>,
    /// The last.
    pub last: Option<Value>,
    /// All of them added up.
    pub sum: Sum,
}

impl Levels {
    fn new(repr: Repr) -> Self {
        Self { count: 0, min: None, max: None, last: None, sum: Sum::zero(repr) }
    }

    /// The plain mean over the records that have a value.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        self.sum.over(self.count)
    }

    fn add(&mut self, value: Value) {
        self.count += 1;
        self.sum.add(match value {
            Value::U64(value) => Amount::Integer(value.into()),
            Value::F64(value) => Amount::Double(value),
        });
        let is_less = |a: Value, b: Value| match (a, b) {
            (Value::U64(a), Value::U64(b)) => a < b,
            (a, b) => a.as_f64() < b.as_f64(),
        };
        if self.min.is_none_or(|min| is_less(value, min)) {
            self.min = Some(value);
        }
        if self.max.is_none_or(|max| is_less(max, value)) {
            self.max = Some(value);
        }
        self.last = Some(value);
    }
}

/// What a counter, or a total that may fall, did in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Advance {
    /// Pairs of values of which the increase is known.
    pub pairs: u64,
    /// What they increased by together. Nothing is known, not even zero, while `pairs` is 0: ask
    /// [`Advance::increase`].
    pub sum: Sum,
    /// The time that they span together, by the boot clock.
    pub covered_ns: u64,
    /// How often the counter began anew.
    pub resets: u64,
    /// How often it went over 2^32.
    pub wraps: u64,
    /// Other pairs of which nothing is known: of the recorder's own counters across two epochs, and
    /// damaged ones.
    pub unknown: u64,
    /// The last value.
    pub last: Option<Value>,
}

impl Advance {
    fn new(repr: Repr) -> Self {
        let sum = Sum::zero(repr);
        Self { pairs: 0, sum, covered_ns: 0, resets: 0, wraps: 0, unknown: 0, last: None }
    }

    /// By how much it increased, if that is known of any part of the step.
    #[must_use]
    pub fn increase(&self) -> Option<Sum> {
        (self.pairs > 0).then_some(self.sum)
    }

    /// Increase per second of the time of which it is known.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        if self.covered_ns == 0 {
            return None;
        }
        let rate = self.increase()?.as_f64()? / self.covered_ns as f64 * NS_PER_S;
        rate.is_finite().then_some(rate)
    }

    fn add(&mut self, pair: Pair, passed_ns: u64) {
        let amount = match pair {
            Pair::Reset => {
                self.resets += 1;
                return;
            }
            Pair::Unknown => {
                self.unknown += 1;
                return;
            }
            Pair::Wrap(amount) => {
                self.wraps += 1;
                amount
            }
            Pair::Known(amount) => amount,
        };
        self.pairs += 1;
        self.covered_ns = self.covered_ns.saturating_add(passed_ns);
        self.sum.add(amount);
    }
}

/// What one step says of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregate {
    /// Of a gauge.
    Gauge(Levels),
    /// Of a counter or a total that may fall.
    Counter(Advance),
}

impl Aggregate {
    fn new(track: &Track) -> Self {
        let repr = track.series.repr;
        if track.is_gauge() {
            Self::Gauge(Levels::new(repr))
        } else {
            Self::Counter(Advance::new(repr))
        }
    }
}

/// A value from which the next increase is taken.
#[derive(Clone, Copy, Debug)]
struct Base {
    value: Value,
    /// Which lifetime of the track it belongs to.
    stretch: usize,
    boottime_ns: u64,
    epoch: u32,
}

enum Pair {
    Known(Amount),
    Wrap(Amount),
    Reset,
    Unknown,
}

/// What lies between two values of one lifetime in a ring of this kind.
fn pair(kind: RingKind, track: &Track, before: &Base, now: &Base) -> Pair {
    let own = kind == RingKind::Application || track.class == Some(Class::Tachograph);
    if now.boottime_ns <= before.boottime_ns || own && now.epoch != before.epoch {
        return Pair::Unknown;
    }
    let may_fall = track.series.kind == Kind::Derive;
    match (before.value, now.value) {
        (Value::U64(before), Value::U64(now)) if now >= before || may_fall => {
            Pair::Known(Amount::Integer(i128::from(now) - i128::from(before)))
        }
        (Value::U64(before), Value::U64(now)) => {
            let wrapped = (WRAP - WRAP_MARGIN..WRAP).contains(&before) && now < WRAP_MARGIN;
            if track.may_wrap() && wrapped {
                Pair::Wrap(Amount::Integer((now + WRAP - before).into()))
            } else if track.is_cpu_time() && before - now <= CPU_FALL_TICKS_MAX {
                Pair::Known(Amount::Integer(0))
            } else {
                Pair::Reset
            }
        }
        (before, now) => {
            let increase = now.as_f64() - before.as_f64();
            if !increase.is_finite() {
                Pair::Unknown
            } else if increase >= 0.0 || may_fall {
                Pair::Known(Amount::Double(increase))
            } else if track.is_cpu_time() && -increase <= CPU_FALL_TICKS_MAX as f64 {
                Pair::Known(Amount::Double(0.0))
            } else {
                Pair::Reset
            }
        }
    }
}

/// A window's steps for a list of series, one after the other.
///
/// [`Steps::begin`] takes a window, each [`Steps::next`] makes one step, and [`Steps::aggregates`]
/// says what it has. Each record is checked by itself after it was read, so a step that was returned
/// stands, however long the caller takes for the next: what the writer overwrites meanwhile is told
/// as overrun. Used again, it does not allocate.
#[derive(Debug)]
pub struct Steps {
    step_ns: u64,
    tracks: Vec<Track>,
    aggregates: Vec<Aggregate>,
    bases: Vec<Option<Base>>,
    /// The record that was read last: its header and, per track, lifetime and value.
    header: RecordHeader,
    values: Vec<Option<(usize, Value)>>,
    /// Whether that record waits to be the first of the next step.
    held: bool,
    next: u64,
    first: u64,
    last: u64,
    after_ns: u64,
    up_to_ns: u64,
    /// What has been seen since the last record of the window.
    gaps: Gaps,
    kind: RingKind,
}

impl Steps {
    /// Steps of `step_ns` for `tracks`. Allocates.
    ///
    /// # Panics
    ///
    /// When the step is zero.
    #[must_use]
    pub fn new(tracks: Vec<Track>, step_ns: u64) -> Self {
        assert!(step_ns > 0, "a step has a length");
        Self {
            step_ns,
            aggregates: tracks.iter().map(Aggregate::new).collect(),
            bases: vec![None; tracks.len()],
            values: vec![None; tracks.len()],
            tracks,
            header: RecordHeader::default(),
            held: false,
            next: 1,
            first: 1,
            last: 0,
            after_ns: 0,
            up_to_ns: 0,
            gaps: Gaps::default(),
            kind: RingKind::Lane,
        }
    }

    /// The series, in the order of the aggregates.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Takes a window. The tracks must be of its ring, from a directory that was read after the
    /// window was made or has not changed since: then it knows all series of the window's records.
    pub fn begin<W: Words>(&mut self, window: &Window<'_, W>) {
        let Window { ring, first, last, after_ns, up_to_ns, .. } = *window;
        self.bases.fill(None);
        self.reset();
        (self.held, self.gaps) = (false, Gaps::default());
        self.kind = ring.header().kind();
        (self.last, self.after_ns, self.up_to_ns) = (last, after_ns, up_to_ns);
        // Keeps the walk no longer than the ring when the window was made of a head that lied.
        self.first = first.max(ring.geometry().oldest(last));
        self.next = self.first;
        if first <= last {
            self.gaps.overrun = self.first - first;
            self.look_back(ring);
        }
    }

    /// The next step; `None` after the last. Its aggregates stand until the next call.
    pub fn next<W: Words>(&mut self, ring: &Ring<W>) -> Option<Step> {
        self.reset();
        let mut step: Option<Step> = None;
        let mut last_ns = 0;
        while self.held || self.advance(ring) {
            self.held = true;
            let header = self.header;
            let time_ns = header.realtime_ns;
            if time_ns <= self.after_ns || time_ns > self.up_to_ns {
                // Not the window's, but what its counters count from.
                self.absorb(false);
                (self.gaps, self.held) = (Gaps::default(), false);
                continue;
            }
            let end_ns = self.end_ns(time_ns);
            let fresh = Step {
                start_ns: end_ns.saturating_sub(self.step_ns),
                end_ns,
                first_seq: header.seq,
                last_seq: header.seq,
                records: 0,
                gaps: Gaps::default(),
            };
            let open = step.get_or_insert(fresh);
            // A run that the reader did not see begin is known by its time that went back.
            let same_run =
                open.records == 0 || header.run_first <= open.first_seq && time_ns > last_ns;
            if open.end_ns != end_ns || !same_run {
                break;
            }
            open.last_seq = header.seq;
            open.records += 1;
            self.tell(&mut open.gaps);
            last_ns = time_ns;
            self.absorb(true);
            self.held = false;
        }
        step
    }

    /// What the last step has of each track, in the order of [`Steps::tracks`].
    #[must_use]
    pub fn aggregates(&self) -> &[Aggregate] {
        &self.aggregates
    }

    /// After the last step: the gaps that no record of the window followed.
    #[must_use]
    pub fn rest(&self) -> Gaps {
        self.gaps
    }

    fn reset(&mut self) {
        for (aggregate, track) in self.aggregates.iter_mut().zip(&self.tracks) {
            *aggregate = Aggregate::new(track);
        }
    }

    /// The end of the step that a time lies in; the last step of all ends with the numbers.
    fn end_ns(&self, time_ns: u64) -> u64 {
        time_ns.div_ceil(self.step_ns).saturating_mul(self.step_ns)
    }

    /// Reads the next record that is there, counting those that are not.
    fn advance<W: Words>(&mut self, ring: &Ring<W>) -> bool {
        while self.next <= self.last {
            let seq = self.next;
            self.next += 1;
            match self.load(ring, seq) {
                Ok(()) => return true,
                Err(ReadError::Overrun) => {
                    let (oldest, _) = ring.bounds().unwrap_or((1, 0));
                    self.next = oldest.clamp(self.next, self.last + 1);
                    self.gaps.overrun += self.next - seq;
                }
                Err(_) => self.gaps.missing += 1,
            }
        }
        false
    }

    /// Reads what the tracks have in the record `seq`.
    fn load<W: Words>(&mut self, ring: &Ring<W>, seq: u64) -> Result<(), ReadError> {
        let Self { tracks, values, header, .. } = self;
        ring.read(seq, |view| {
            *header = view.header();
            for (value, track) in values.iter_mut().zip(&*tracks) {
                *value = track.at(seq).and_then(|(index, stretch)| {
                    let word = view.word(stretch.column);
                    Some((index, Value::of_word(word, track.series.repr)?))
                });
            }
        })
    }

    /// Takes the record that was read into the bases and, when it is the window's, the aggregates.
    fn absorb(&mut self, is_inside: bool) {
        let header = &self.header;
        for (index, track) in self.tracks.iter().enumerate() {
            let Some((stretch, value)) = self.values[index] else { continue };
            let (boottime_ns, epoch) = (header.boottime_ns, header.epoch());
            let now = Base { value, stretch, boottime_ns, epoch };
            let before = self.bases[index].replace(now);
            if !is_inside {
                continue;
            }
            match &mut self.aggregates[index] {
                Aggregate::Gauge(levels) => levels.add(value),
                Aggregate::Counter(advance) => {
                    advance.last = Some(value);
                    if let Some(before) = before.filter(|before| before.stretch == stretch) {
                        let passed_ns = boottime_ns.saturating_sub(before.boottime_ns);
                        advance.add(pair(self.kind, track, &before, &now), passed_ns);
                    }
                }
            }
        }
    }

    /// Moves what was seen before the record into `gaps`, with what the record says itself.
    fn tell(&mut self, gaps: &mut Gaps) {
        let seen = std::mem::take(&mut self.gaps);
        gaps.missing += seen.missing;
        gaps.overrun += seen.overrun;
        let set = self.header.flags();
        if set & flags::MISSED != 0 {
            gaps.missed = gaps.missed.saturating_add(self.header.missed_ticks);
        }
        gaps.epochs += u64::from(set & flags::EPOCH_FIRST != 0);
        gaps.clock_steps += u64::from(set & flags::CLOCK_STEP != 0);
    }

    /// Finds, for each counter, the last value before the window.
    fn look_back<W: Words>(&mut self, ring: &Ring<W>) {
        let oldest = ring.bounds().map_or(1, |(oldest, _)| oldest);
        let least = oldest.max(self.first.saturating_sub(LOOK_BACK_RECORDS));
        for seq in (least..self.first).rev() {
            match self.load(ring, seq) {
                Ok(()) => {}
                Err(ReadError::Overrun) => return,
                Err(_) => continue,
            }
            let (boottime_ns, epoch) = (self.header.boottime_ns, self.header.epoch());
            let mut open = 0;
            for (index, track) in self.tracks.iter().enumerate() {
                if track.is_gauge() || self.bases[index].is_some() {
                    continue;
                }
                let base = |(stretch, value)| Base { value, stretch, boottime_ns, epoch };
                self.bases[index] = self.values[index].map(base);
                open += usize::from(self.bases[index].is_none());
            }
            if open == 0 {
                return;
            }
        }
    }
}

/// The time of the oldest record that can be read, in nanoseconds since 1970; of a ring whose oldest
/// records are damaged, that of the next.
pub(super) fn oldest_time_ns<W: Words>(ring: &Ring<W>) -> Option<u64> {
    let (oldest, head) = ring.bounds()?;
    (oldest..=head).find_map(|seq| bound::time(ring, seq).ok())
}
