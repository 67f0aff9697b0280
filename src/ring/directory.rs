//! The directory: which series lived in which column, from which record to which.
//!
//! Entries are only ever appended. Of an entry in place one word changes, once: `last`, when its
//! series ends. A column may be taken by a new series at once, since the two lifetimes do not meet;
//! what an old record holds is never relabelled.

use super::Header;
use super::layout::{self, LIVES, entry as at, header};
use super::words::Words;
use crate::record::{COLUMNS_MAX, Kind, OBJECT_ID_BYTES_MAX, Repr, Series, Unit};

/// Longest metric name, in bytes.
pub const METRIC_BYTES_MAX: usize = 255;

/// One series of a ring: what it is, where it lies and in which records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is measured.
    pub series: Series,
    /// Where it lies in a record.
    pub column: usize,
    /// The first record that has it.
    pub first: u64,
    /// The last record that has it; `u64::MAX` while it lives.
    pub last: u64,
}

impl Entry {
    /// Whether the record `seq` has this series.
    #[must_use]
    pub fn covers(&self, seq: u64) -> bool {
        (self.first..=self.last).contains(&seq)
    }

    /// Whether some record from `seq` on has this series.
    #[must_use]
    pub fn covers_any_since(&self, seq: u64) -> bool {
        self.last >= seq && self.last >= self.first
    }

    /// Whether the series still lives.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.last == LIVES
    }
}

/// All that the directory held at one moment.
///
/// A snapshot in process memory: series that begin later are not in it. Compare
/// [`Directory::changes`] with [`super::Ring::directory_changes`] to see whether it is still whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// The entries, in the order in which they were made. `None` is one that was damaged.
    pub entries: Vec<Option<Entry>>,
    /// How many changes the directory had seen.
    pub changes: u64,
}

impl Directory {
    /// The entries that could be read.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().flatten()
    }

    /// The entry of the series that lives now and has these names.
    #[must_use]
    pub fn find(&self, object: &str, metric: &str) -> Option<&Entry> {
        let named =
            |entry: &&Entry| &*entry.series.object == object && &*entry.series.metric == metric;
        self.iter().rev().filter(|entry| entry.lives()).find(named)
    }

    /// How many entries were damaged.
    #[must_use]
    pub fn damaged(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_none()).count()
    }

    pub(super) fn decode<W: Words + ?Sized>(words: &W, header: &Header) -> Self {
        let geometry = &header.geometry;
        // The count of changes is loaded before the entries: a change meanwhile makes the snapshot
        // look older than it is, never newer.
        let changes = words.load(header::DIRECTORY_CHANGES);
        super::sync::fence(super::sync::Ordering::Acquire);
        let count = words.load(header::ENTRY_COUNT).min(geometry.entry_capacity as u64) as usize;
        super::sync::fence(super::sync::Ordering::Acquire);
        let entries = (0..count).map(|index| decode_entry(words, header, index)).collect();
        Self { entries, changes }
    }
}

fn decode_entry<W: Words + ?Sized>(words: &W, header: &Header, index: usize) -> Option<Entry> {
    let mut fields = [0; at::FIELDS.len()];
    words.copy(header.geometry.entry_word(index), &mut fields);
    let field = |name: usize| fields[name];
    let [kind, unit, repr, rest @ ..] = field(at::MEANING).to_le_bytes();
    if rest.iter().any(|byte| *byte != 0) {
        return None;
    }
    let series = Series {
        object: text(words, header, field(at::OBJECT), OBJECT_ID_BYTES_MAX)?,
        metric: text(words, header, field(at::METRIC), METRIC_BYTES_MAX)?,
        kind: Kind::from_code(kind)?,
        unit: Unit::from_code(unit)?,
        repr: Repr::from_code(repr)?,
    };
    let column = usize::try_from(field(at::COLUMN)).ok()?;
    let (first, last) = (field(at::FIRST), field(at::LAST));
    let sound =
        column < header.geometry.column_capacity.min(COLUMNS_MAX) && first > 0 && last >= first - 1;
    sound.then_some(Entry { series, column, first, last })
}

/// A name of the arena: byte offset in the high half of `place`, length in the low half.
fn text<W: Words + ?Sized>(words: &W, header: &Header, place: u64, max: usize) -> Option<Box<str>> {
    let (offset, len) = (place >> 32, place & u64::from(u32::MAX));
    if len == 0 || len > max as u64 || !offset.is_multiple_of(layout::WORD) {
        return None;
    }
    if offset + len > header.geometry.arena_bytes {
        return None;
    }
    let first_word = header.geometry.arena_word() + (offset / layout::WORD) as usize;
    // On the stack and in one piece: a file that is read and not mapped costs a system call here.
    let mut block = [0; OBJECT_ID_BYTES_MAX.div_ceil(layout::WORD as usize)];
    let block = &mut block[..len.div_ceil(layout::WORD) as usize];
    words.copy(first_word, block);
    for word in &mut *block {
        *word = word.to_le();
    }
    let text = bytemuck::cast_slice(block).get(..len as usize)?;
    Some(str::from_utf8(text).ok()?.into())
}
