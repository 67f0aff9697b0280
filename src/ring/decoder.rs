//! The one decoder of rings, over words from anywhere.

use core::fmt;
use std::error;
use std::sync::Arc;

use super::directory::{self, Directory, Entry};
use super::layout::{self, header as at};
use super::slot;
use super::sync::{self, Ordering, Site};
use super::words::{Span as _, Words};
use super::{Damage, FormatError, Geometry, Header, Part};
use crate::record::{ABSENT, Record, RecordHeader, Repr, Series, f64_of_word, u64_of_word};

/// How often [`Ring::latest`] begins again when the writer has lapped it.
const LATEST_TRIES: u32 = 8;
/// How many records before the head it looks at when the head is not there.
const LATEST_BACK: u64 = 1;

/// Why a record could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// It has not been published: its sequence is above the head.
    NotYet,
    /// The ring has moved past it; [`Ring::bounds`] says what can still be there.
    Overrun,
    /// It is not there although the ring reaches further back, and never will be: it was lost with
    /// its writer.
    Lost,
    /// Its slot holds what no writer puts there.
    Corrupt,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotYet => "the record has not been published",
            Self::Overrun => "the record has been overwritten",
            Self::Lost => "the record was lost",
            Self::Corrupt => "the record's slot is damaged",
        })
    }
}

impl error::Error for ReadError {}

/// A ring, read through `W`.
///
/// The writer never waits for readers: all that is read here may be overwritten while it is being
/// read, and every function either notices and says so, or says in its documentation that the
/// caller must ask afterwards.
#[derive(Clone, Debug)]
pub struct Ring<W> {
    words: W,
    header: Header,
}

impl<W: Words> Ring<W> {
    /// Takes `words` for a ring.
    ///
    /// # Errors
    ///
    /// [`FormatError`] when they are none, or one that this version cannot read.
    pub fn decode(words: W) -> Result<Self, FormatError> {
        let header = Header::decode(&words)?;
        Ok(Self { words, header })
    }

    /// What the ring says of itself once and for all.
    #[inline]
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Where everything lies.
    #[inline]
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.header.geometry
    }

    /// The words.
    #[inline]
    #[must_use]
    pub fn words(&self) -> &W {
        &self.words
    }

    /// The newest record's sequence; 0 when there is none. May increase at any time.
    ///
    /// It is at most [`layout::SEQUENCE_MAX`], also in a damaged ring, so that the number after it
    /// is a number too.
    #[inline]
    #[must_use]
    pub fn head(&self) -> u64 {
        slot::head(&self.words).min(layout::SEQUENCE_MAX)
    }

    /// The sequences that the ring can hold now, oldest and newest; the oldest is the next to go.
    /// `None` when nothing has been published.
    ///
    /// A record inside these bounds may still be missing where a former writer was killed.
    #[must_use]
    pub fn bounds(&self) -> Option<(u64, u64)> {
        let head = self.head();
        let oldest = self.oldest(head);
        (0 < head && oldest <= head).then_some((oldest, head))
    }

    /// The lowest sequence that the ring can hold when its newest one is `head`.
    #[inline]
    pub(crate) fn oldest(&self, head: u64) -> u64 {
        self.geometry().oldest(head).max(self.header.first_seq)
    }

    /// Runs `f` on the record `seq` in place, without copying it, and returns what it made of it if
    /// the record was the same before and afterwards.
    ///
    /// While `f` runs the words may turn into those of another record; what it computes from them is
    /// then dropped, but what it has done elsewhere is not undone.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the record is not there or was overwritten meanwhile.
    #[inline]
    pub fn read<T>(
        &self,
        seq: u64,
        f: impl FnOnce(RecordView<'_, W>) -> T,
    ) -> Result<T, ReadError> {
        let slot = self.geometry().slot_word(seq);
        slot::observe(&self.words, slot, seq, || f(self.view(slot, seq)))
            .map_err(|error| self.diagnose(slot, seq, error))
    }

    /// Runs `f` on the newest record in place, as [`Ring::read`] does; `None` when there is none. Where
    /// the newest one is damaged, or was lost with its writer, the one before it stands for it.
    ///
    /// `f` runs again, a bounded number of times, when the writer laps the ring in the time that one
    /// run takes.
    #[inline]
    pub fn latest<T>(&self, mut f: impl FnMut(RecordView<'_, W>) -> T) -> Option<T> {
        // Whether it is a sequence at all is asked below.
        let head = slot::head(&self.words);
        let slot = self.geometry().slot_word(head);
        if head == 0 {
            return None;
        }
        match slot::observe(&self.words, slot, head, || f(self.view(slot, head))) {
            Ok(result) => Some(result),
            Err(_) => self.latest_again(f),
        }
    }

    #[cold]
    fn latest_again<T>(&self, mut f: impl FnMut(RecordView<'_, W>) -> T) -> Option<T> {
        let backoff = crossbeam_utils::Backoff::new();
        for _ in 0..LATEST_TRIES {
            backoff.spin();
            let head = self.head();
            if head == 0 {
                return None;
            }
            // Behind a damaged record, or one that was lost with its writer, the one before it is the
            // newest that there is.
            let oldest = head.saturating_sub(LATEST_BACK).max(1);
            for seq in (oldest..=head).rev() {
                match self.read(seq, &mut f) {
                    Ok(result) => return Some(result),
                    Err(ReadError::Lost | ReadError::Corrupt) => {}
                    Err(_) => break,
                }
            }
        }
        None
    }

    /// Copies the record `seq` into `out`, which becomes as wide as the record.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; `out` then holds some mix of records and must not be used.
    pub fn read_into(&self, seq: u64, out: &mut Record) -> Result<(), ReadError> {
        self.read(seq, |view| view.copy_into(out))
    }

    /// A view of the record `seq` whose words nobody vouches for until [`Ring::vouch`] has.
    ///
    /// This is how a whole window is read at the price of one check: the views of records `first`
    /// and younger, then one `vouch(first)`.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the record is not there to begin with.
    #[inline]
    pub fn peek(&self, seq: u64) -> Result<RecordView<'_, W>, ReadError> {
        let slot = self.geometry().slot_word(seq);
        slot::observe(&self.words, slot, seq, || ())
            .map_err(|error| self.diagnose(slot, seq, error))?;
        Ok(self.view(slot, seq))
    }

    /// Says whether all that was peeked at, of the record `first` and of younger ones, was
    /// theirs. The writer overwrites in order, so one look at the oldest is enough.
    ///
    /// # Errors
    ///
    /// [`ReadError::Overrun`] when the writer has reached `first`.
    #[inline]
    pub fn vouch(&self, first: u64) -> Result<(), ReadError> {
        let slot = self.geometry().slot_word(first);
        slot::recheck(&self.words, slot, first).map_err(|error| self.diagnose(slot, first, error))
    }

    /// What the directory holds now.
    #[must_use]
    pub fn directory(&self) -> Directory {
        let mut directory = Directory::default();
        directory.update(self);
        directory
    }

    /// Entry number `index` of the directory, from 0. Whether it is there yet is for the caller to
    /// know.
    ///
    /// # Errors
    ///
    /// [`Damage`], naming the first field of the entry that is wrong, or `entry_capacity` when there
    /// is no room for so many.
    pub fn entry(&self, index: usize) -> Result<Entry, Damage> {
        let capacity = self.geometry().entry_capacity;
        if index < capacity {
            return directory::decode_entry(&self.words, &self.header, index);
        }
        let (field, value) = ("entry_capacity", capacity as u64);
        Err(Damage { part: Part::Entry(index), field, value, reason: "too few for this one" })
    }

    /// The last record that has the series of entry number `index`, as [`Entry::last`]: all of an
    /// entry that can change. 0 if there is no room for so many entries.
    #[must_use]
    pub fn entry_last(&self, index: usize) -> u64 {
        if index >= self.geometry().entry_capacity {
            return 0;
        }
        self.words.load(self.geometry().entry_word(index) + layout::entry::LAST)
    }

    /// How many changes the directory has seen. Asked *after* a record was read, the same number as
    /// in a snapshot means that the snapshot knows all series of that record.
    #[inline]
    #[must_use]
    pub fn directory_changes(&self) -> u64 {
        self.words.load(at::DIRECTORY_CHANGES)
    }

    /// Finds the series `metric` of `object` among those that live now. Allocates; look a series up
    /// once and read it many times.
    #[must_use]
    pub fn find(&self, object: &str, metric: &str) -> Option<Column> {
        let directory = self.directory();
        let found = directory.find(object, metric)?;
        let entry = directory.entries.iter().position(|entry| entry.as_ref() == Some(found))?;
        Some(Column {
            offset: RecordHeader::WORDS + found.column,
            repr: found.series.repr,
            first: found.first,
            last_word: self.geometry().entry_word(entry) + layout::entry::LAST,
            ring: self.header.ring_id[0],
        })
    }

    /// How long after its last record a writer that does nothing is taken to hang, in nanoseconds:
    /// three intervals and a second.
    #[must_use]
    pub fn stale_after_ns(&self) -> u64 {
        self.header.interval_ns.saturating_mul(3).saturating_add(1_000_000_000)
    }

    /// `CLOCK_BOOTTIME` when the newest record was published, in nanoseconds.
    #[must_use]
    pub fn heartbeat_ns(&self) -> u64 {
        self.words.load(at::HEARTBEAT_NS)
    }

    /// Pid of the last writer, in its own name space; a hint for people.
    #[must_use]
    pub fn writer_pid(&self) -> u64 {
        self.words.load(at::PID)
    }

    /// The last writer's epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.words.load(at::EPOCH)
    }

    /// The writer's `state`, as [`layout::state`] has it. Asked *before* the head, a state that ends
    /// the ring means that the head is its last.
    #[must_use]
    pub fn state(&self) -> u64 {
        let state = self.words.load(at::STATE);
        sync::fence(Site::FoundState, Ordering::Acquire); // G
        state
    }

    #[inline]
    fn view(&self, slot: usize, seq: u64) -> RecordView<'_, W> {
        let columns = self.words.load(slot + layout::record::COLUMNS);
        let columns = columns.min(self.geometry().column_capacity as u64) as usize;
        let span = self.words.span(slot, RecordHeader::WORDS + columns);
        RecordView { ring: self, slot, seq, columns, span }
    }

    /// Tells a damaged slot from one that is merely early or late, and a record that never comes
    /// from one that is not there yet.
    #[cold]
    fn diagnose(&self, slot: usize, seq: u64, error: ReadError) -> ReadError {
        let head = self.head();
        // After the head: what is not stable by now never will be.
        let found = self.words.load(slot);
        let elsewhere = found != 0 && self.geometry().slot_word(found.div_ceil(2)) != slot;
        match error {
            _ if elsewhere => ReadError::Corrupt,
            ReadError::NotYet if seq <= head && found / 2 != seq => {
                if seq < self.oldest(head) {
                    ReadError::Overrun
                } else {
                    ReadError::Lost
                }
            }
            error => error,
        }
    }
}

impl<W> Ring<W> {
    /// The same ring, which can then be cloned for the price of a count.
    #[must_use]
    pub fn shared(self) -> Ring<Arc<W>> {
        Ring { words: Arc::new(self.words), header: self.header }
    }
}

impl Ring<super::map::WriteMap> {
    /// The same ring without the means to store.
    pub(super) fn read_only(&self) -> Ring<super::ReadMap> {
        Ring { words: self.words.read_only(), header: self.header }
    }
}

/// A series' place in the records of one ring, made by [`Ring::find`].
///
/// It goes stale by itself: once the series has ended, or in a record of another ring, its value is
/// absent; a column that now holds another series is never taken for this one.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its word's place in a slot.
    offset: usize,
    repr: Repr,
    first: u64,
    last_word: usize,
    ring: u64,
}

impl Column {
    /// Where it lies in a record.
    #[must_use]
    pub fn index(&self) -> usize {
        self.offset - RecordHeader::WORDS
    }
}

/// A value as its series represents it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// An exact integer.
    U64(u64),
    /// A double.
    F64(f64),
}

impl Value {
    /// The value in `word`, unless it is absent.
    #[inline]
    #[must_use]
    pub fn of_word(word: u64, repr: Repr) -> Option<Self> {
        match repr {
            Repr::F64 => f64_of_word(word).map(Self::F64),
            Repr::U64 => u64_of_word(word).map(Self::U64),
        }
    }

    /// The value of `series` in `word`, unless it is absent.
    #[must_use]
    pub fn of(word: u64, series: &Series) -> Option<Self> {
        Self::of_word(word, series.repr)
    }

    /// The nearest double.
    #[inline]
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::U64(value) => value as f64,
            Self::F64(value) => value,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U64(value) => fmt::Display::fmt(value, f),
            Self::F64(value) => fmt::Display::fmt(value, f),
        }
    }
}

/// A record in place: every call loads from the ring.
///
/// Two loads may see two different records, see [`Ring::read`]; all bit patterns are valid and no
/// call panics.
pub struct RecordView<'a, W: Words> {
    ring: &'a Ring<W>,
    slot: usize,
    seq: u64,
    columns: usize,
    /// The record's header and columns.
    span: W::Span<'a>,
}

impl<W: Words> Clone for RecordView<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W: Words> Copy for RecordView<'_, W> {}

impl<'a, W: Words> RecordView<'a, W> {
    /// The sequence that was asked for.
    #[inline]
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// `CLOCK_REALTIME` of the tick, in nanoseconds since 1970.
    #[inline]
    #[must_use]
    pub fn realtime_ns(&self) -> u64 {
        self.span.load(layout::record::REALTIME_NS).unwrap_or(0)
    }

    /// The whole header.
    #[must_use]
    pub fn header(&self) -> RecordHeader {
        let mut words = [0; RecordHeader::WORDS];
        self.ring.words.copy(self.slot, &mut words);
        words[0] = self.seq;
        bytemuck::must_cast(words)
    }

    /// How many columns the record has, at most the ring's capacity.
    #[inline]
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The word of a column; absent beyond the record's width. Whether the column held a certain
    /// series in this record is for the caller to know, by [`super::Entry::covers`].
    #[inline]
    #[must_use]
    pub fn word(&self, column: usize) -> u64 {
        // The span ends with the record's last column.
        self.span.load(RecordHeader::WORDS.saturating_add(column)).unwrap_or(ABSENT)
    }

    /// Header and columns in place: of a mapped ring, a slice of atomics.
    #[inline]
    #[must_use]
    pub fn span(&self) -> W::Span<'a> {
        self.span
    }

    /// The words of all columns, in order.
    #[inline]
    pub fn words(&self) -> impl ExactSizeIterator<Item = u64> {
        self.span.words(RecordHeader::WORDS)
    }

    /// The value of a series, if this record has it and it was measured.
    #[inline]
    #[must_use]
    pub fn value(&self, column: &Column) -> Option<Value> {
        Value::of_word(self.word_of(column), column.repr)
    }

    /// The value of an integer series, if this record has it and it was measured.
    #[inline]
    #[must_use]
    pub fn u64(&self, column: &Column) -> Option<u64> {
        if column.repr == Repr::U64 { u64_of_word(self.word_of(column)) } else { None }
    }

    /// The value of a series of doubles, if this record has it and it was measured.
    #[inline]
    #[must_use]
    pub fn f64(&self, column: &Column) -> Option<f64> {
        if column.repr == Repr::F64 { f64_of_word(self.word_of(column)) } else { None }
    }

    /// The word of a series, absent where this record does not have it.
    #[inline]
    fn word_of(&self, column: &Column) -> u64 {
        let last = self.ring.words.load(column.last_word);
        let covered = (column.first..=last).contains(&self.seq);
        let here = column.ring == self.ring.header.ring_id[0];
        if covered && here { self.span.load(column.offset).unwrap_or(ABSENT) } else { ABSENT }
    }

    /// Copies the record, which becomes the width of this one.
    pub fn copy_into(&self, out: &mut Record) {
        out.header = self.header();
        out.set_columns(self.columns);
        self.ring.words.copy(self.slot + RecordHeader::WORDS, out.words_mut());
    }
}
