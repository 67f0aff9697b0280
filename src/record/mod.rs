//! What is measured: the vocabulary that every other module speaks.
//!
//! A [`Record`] is what one tick wrote: a [`RecordHeader`] and one 8-byte word per *column*. Which
//! quantity a column holds is said by a [`Series`], and what is known of a quantity before it is
//! ever measured (kind, unit, help, Prometheus family) by its line in the [`CATALOG`].
//!
//! A word is an `f64` or a `u64`, as the series says, and [`ABSENT`] when there was nothing to
//! write. This module does no I/O and imports no other module of the crate.

mod catalog;
mod schema;
mod series;

pub use catalog::{CATALOG, Metric, metric};
pub use schema::{COLUMNS_MAX, Change, Schema, SchemaError};
pub use series::{
    Class, Kind, METRIC_BYTES_MAX, OBJECT_ID_BYTES_MAX, Repr, Series, Unit, info_metric, object_id,
};

/// The word that says "nothing was measured".
///
/// Read as an `f64` it is a NaN, which is never stored; read as a `u64` it is the value that kernel
/// counters print for "minus one".
pub const ABSENT: u64 = u64::MAX;

/// The word that holds `value`, or [`ABSENT`] when it is not finite.
#[inline]
#[must_use]
pub fn word_of_f64(value: f64) -> u64 {
    if value.is_finite() { value.to_bits() } else { ABSENT }
}

/// The `f64` in `word`; `None` when it is [`ABSENT`] or, in a damaged record, not finite.
#[inline]
#[must_use]
pub fn f64_of_word(word: u64) -> Option<f64> {
    let value = f64::from_bits(word);
    value.is_finite().then_some(value)
}

/// The `u64` in `word`; `None` when it is [`ABSENT`].
#[inline]
#[must_use]
pub fn u64_of_word(word: u64) -> Option<u64> {
    (word != ABSENT).then_some(word)
}

/// The fixed head of a record: eight words, one cache line.
///
/// In the ring the first word carries the slot's state instead of the plain sequence; everywhere
/// else it is the sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct RecordHeader {
    /// Number of the record in its ring: 1, 2, 3, ...
    pub seq: u64,
    /// `CLOCK_REALTIME` when the tick began to read, in nanoseconds since 1970.
    pub realtime_ns: u64,
    /// `CLOCK_BOOTTIME` at the same moment, in nanoseconds; goes on during suspend, never steps.
    pub boottime_ns: u64,
    /// Low 32 bits: the writer's epoch, one more at each start. High 32 bits: [`flags`].
    pub epoch_and_flags: u64,
    /// How many columns this record has; a column at or beyond it is absent.
    pub columns: u64,
    /// How long reading and parsing took, in nanoseconds.
    pub tick_duration_ns: u64,
    /// Sequence at which the *run* began that this record belongs to: within a run the realtime
    /// strictly increases, so times can be bisected; a clock set back begins a new run.
    pub run_first: u64,
    /// Ticks that were due since the previous record of this epoch and were not taken.
    pub missed_ticks: u64,
}

impl RecordHeader {
    /// Words in the header.
    pub const WORDS: usize = size_of::<Self>() / size_of::<u64>();

    /// The writer's epoch.
    #[inline]
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch_and_flags as u32
    }

    /// Which of [`flags`] are set.
    #[inline]
    #[must_use]
    pub fn flags(&self) -> u32 {
        (self.epoch_and_flags >> 32) as u32
    }

    /// Sets epoch and flags.
    #[inline]
    pub fn set_epoch_and_flags(&mut self, epoch: u32, flags: u32) {
        self.epoch_and_flags = u64::from(flags) << 32 | u64::from(epoch);
    }
}

/// Bits of [`RecordHeader::flags`].
pub mod flags {
    /// The first record since the writer started.
    pub const EPOCH_FIRST: u32 = 1;
    /// The wall clock moved against the boot clock since the previous record: it was set.
    pub const CLOCK_STEP: u32 = 1 << 1;
    /// At least one tick was missed right before this record.
    pub const MISSED: u32 = 1 << 2;
}

/// One record in process memory: where a tick is put together, or what a reader copies out.
///
/// Fixed size once made; [`Record::set_columns`] is the only thing that allocates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The head.
    pub header: RecordHeader,
    words: Vec<u64>,
}

impl Record {
    /// A record of `columns` absent words.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        let header = RecordHeader { columns: columns as u64, ..RecordHeader::default() };
        Self { header, words: vec![ABSENT; columns] }
    }

    /// Makes the record `columns` wide. New words are absent.
    pub fn set_columns(&mut self, columns: usize) {
        self.words.resize(columns, ABSENT);
        self.header.columns = columns as u64;
    }

    /// One word per column.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// One word per column, to be written.
    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// Sets the value of an integer series. `u64::MAX` is [`ABSENT`].
    ///
    /// # Panics
    ///
    /// When the record has no such column.
    #[inline]
    pub fn set_u64(&mut self, column: usize, value: u64) {
        self.words[column] = value;
    }

    /// Sets the value of a series of doubles. What is not finite is absent.
    ///
    /// # Panics
    ///
    /// When the record has no such column.
    #[inline]
    pub fn set_f64(&mut self, column: usize, value: f64) {
        self.words[column] = word_of_f64(value);
    }

    /// Makes every word absent.
    pub fn clear(&mut self) {
        self.words.fill(ABSENT);
    }

    /// The `u64` in `column`, if it was measured.
    #[must_use]
    pub fn u64(&self, column: usize) -> Option<u64> {
        self.words.get(column).copied().and_then(u64_of_word)
    }

    /// The `f64` in `column`, if it was measured.
    #[must_use]
    pub fn f64(&self, column: usize) -> Option<f64> {
        self.words.get(column).copied().and_then(f64_of_word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_neither_a_float_nor_an_integer() {
        assert_eq!(f64_of_word(ABSENT), None);
        assert_eq!(u64_of_word(ABSENT), None);
        for unfit in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(word_of_f64(unfit), ABSENT);
        }
        assert_eq!(f64_of_word(word_of_f64(-0.25)), Some(-0.25));
        assert_eq!(u64_of_word(u64::MAX - 1), Some(u64::MAX - 1));
    }

    #[test]
    fn values_are_set_by_column() {
        let mut record = Record::new(3);
        record.set_u64(0, 7);
        record.set_f64(1, -0.5);
        record.set_f64(2, f64::NAN);
        assert_eq!((record.u64(0), record.f64(1), record.f64(2)), (Some(7), Some(-0.5), None));
        record.set_u64(0, u64::MAX);
        assert_eq!((record.u64(0), record.words()[2]), (None, ABSENT));
    }

    #[test]
    fn header_is_one_cache_line_and_keeps_epoch_apart_from_flags() {
        assert_eq!(size_of::<RecordHeader>(), 64);
        let mut header = RecordHeader::default();
        header.set_epoch_and_flags(u32::MAX, flags::CLOCK_STEP);
        assert_eq!((header.epoch(), header.flags()), (u32::MAX, flags::CLOCK_STEP));
    }

    #[test]
    fn record_widens_with_absent_words() {
        let mut record = Record::new(1);
        record.words_mut()[0] = 7;
        record.set_columns(3);
        assert_eq!(record.words(), [7, ABSENT, ABSENT]);
        assert_eq!(record.header.columns, 3);
        assert_eq!((record.u64(0), record.u64(1), record.u64(9)), (Some(7), None, None));
    }
}
