//! The directory: which series lived in which column, from which record to which.
//!
//! Entries are only ever appended. Of an entry in place one word changes, once: `last`, when its
//! series ends. A column may be taken by a new series at once, since the two lifetimes do not meet;
//! what an old record holds is never relabelled.

use std::ops::Range;

use super::layout::{self, LIVES, entry as at, header};
use super::sync::{Ordering, Site, fence};
use super::words::Words;
use super::{Damage, Header, Part, Ring};
use crate::record::{COLUMNS_MAX, Kind, OBJECT_ID_BYTES_MAX, Repr, Series, Unit};

pub use crate::record::METRIC_BYTES_MAX;

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
/// A snapshot in process memory: series that begin later are not in it until it is brought up to
/// date by [`Directory::update`]. [`Directory::is_current`] says whether it is still whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// The entries, in the order in which they were made. `None` is one that was damaged;
    /// [`Ring::entry`] says what is wrong with it.
    pub entries: Vec<Option<Entry>>,
    /// How many changes the directory had seen.
    pub changes: u64,
    cursor: DirectoryCursor,
    /// Which of the entries lived, ascending.
    living: Vec<usize>,
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

    /// Brings the snapshot up to date: it then is what [`Ring::directory`] would give. Of entries
    /// that it has, only the end of those that lived is looked at again.
    ///
    /// A snapshot of another ring is replaced by one of this.
    pub fn update<W: Words>(&mut self, ring: &Ring<W>) {
        let Self { entries, changes, cursor, living } = self;
        let Some(news) = cursor.news(ring) else { return };
        if news.anew {
            entries.clear();
            living.clear();
        }
        living.retain(|&index| {
            let last = ring.entry_last(index);
            if last == LIVES {
                return true;
            }
            if let Some(place) = entries.get_mut(index) {
                let ended = |entry: Entry| (last >= entry.first - 1).then_some(entry);
                *place = place.take().and_then(ended).map(|entry| Entry { last, ..entry });
            }
            false
        });
        entries.extend(news.entries.map(|index| {
            let entry = ring.entry(index).ok();
            living.extend(entry.as_ref().filter(|entry| entry.lives()).map(|_| index));
            entry
        }));
        *changes = cursor.changes;
    }

    /// Whether the directory of `ring` is still as the snapshot has it. Asked *after* a record was
    /// read, `true` means that the snapshot knows all series of that record.
    #[must_use]
    pub fn is_current<W: Words>(&self, ring: &Ring<W>) -> bool {
        self.cursor.is_current(ring)
    }
}

/// How far a reader knows the directory of a ring.
///
/// For whoever keeps of the entries only what it needs; a [`Directory`] keeps them all. The reader
/// asks for [`DirectoryCursor::news`], decodes the entries that are new with [`Ring::entry`], and
/// looks at [`Ring::entry_last`] of those that it knows and that lived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectoryCursor {
    /// Id of the ring; none before the first look.
    ring: Option<[u64; 2]>,
    epoch: u64,
    changes: u64,
    entries: usize,
}

/// What a reader does not know of a directory yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryNews {
    /// Whether all that was known before is void.
    pub anew: bool,
    /// The entries that are new; all that there are if it begins anew.
    pub entries: Range<usize>,
}

impl DirectoryCursor {
    /// Whether nothing has changed since the last [`DirectoryCursor::news`].
    #[inline]
    #[must_use]
    pub fn is_current<W: Words>(&self, ring: &Ring<W>) -> bool {
        self.ring == Some(ring.header().ring_id)
            && self.epoch == ring.epoch()
            && self.changes == ring.directory_changes()
    }

    /// What has changed since the last call; `None` if nothing has. What is decoded afterwards is
    /// at least as new as the cursor.
    ///
    /// Entries are known for good, all but their end: the count that covers one is stored after all
    /// of its words, and loaded before them. It begins anew in another ring; when there are fewer
    /// entries than before, which no writer brings about; and with each epoch, because a writer that
    /// comes to a damaged ring mends what is not sound, also in entries that had ended.
    pub fn news<W: Words>(&mut self, ring: &Ring<W>) -> Option<DirectoryNews> {
        if self.is_current(ring) {
            return None;
        }
        let header = ring.header();
        // The count of changes is loaded before all else: a change meanwhile makes what is known
        // look older than it is, never newer. A writer that has come states its epoch after its
        // changes and before its first record: whoever saw that record finds another epoch.
        let changes = ring.directory_changes();
        fence(Site::FoundChanges, Ordering::Acquire); // F
        let epoch = ring.epoch();
        let count = ring.words().load(header::ENTRY_COUNT);
        let count = count.min(header.geometry.entry_capacity as u64) as usize;
        fence(Site::FoundCount, Ordering::Acquire); // E
        let same = self.ring == Some(header.ring_id) && self.epoch == epoch;
        let anew = !same || count < self.entries;
        let first = if anew { 0 } else { self.entries };
        *self = Self { ring: Some(header.ring_id), epoch, changes, entries: count };
        Some(DirectoryNews { anew, entries: first..count })
    }
}

/// Decodes entry number `index`, for which there is room. The first field that is wrong is named.
pub(super) fn decode_entry<W: Words + ?Sized>(
    words: &W,
    header: &Header,
    index: usize,
) -> Result<Entry, Damage> {
    let mut fields = [0; at::FIELDS.len()];
    words.copy(header.geometry.entry_word(index), &mut fields);
    let damaged = |word: usize, reason| Damage {
        part: Part::Entry(index),
        field: at::FIELDS[word].0,
        value: fields[word],
        reason,
    };
    let name = |word: usize, max| {
        text(words, header, fields[word], max).map_err(|reason| damaged(word, reason))
    };
    let [kind, unit, repr, rest @ ..] = fields[at::MEANING].to_le_bytes();
    let meaning = |reason| move || damaged(at::MEANING, reason);
    let series = Series {
        object: name(at::OBJECT, OBJECT_ID_BYTES_MAX)?,
        metric: name(at::METRIC, METRIC_BYTES_MAX)?,
        kind: Kind::from_code(kind).ok_or_else(meaning("whose first byte is no kind"))?,
        unit: Unit::from_code(unit).ok_or_else(meaning("whose second byte is no unit"))?,
        repr: Repr::from_code(repr).ok_or_else(meaning("whose third byte is no representation"))?,
    };
    let check = |holds, word, reason| if holds { Ok(()) } else { Err(damaged(word, reason)) };
    let rest_is_zero = rest.iter().all(|byte| *byte == 0);
    check(rest_is_zero, at::MEANING, "whose last five bytes are not all zero")?;
    let capacity = header.geometry.column_capacity.min(COLUMNS_MAX);
    let column = usize::try_from(fields[at::COLUMN]).unwrap_or(usize::MAX);
    check(column < capacity, at::COLUMN, "not below column_capacity")?;
    let (first, last) = (fields[at::FIRST], fields[at::LAST]);
    check(first > 0, at::FIRST, "which no record has")?;
    check(last >= first - 1, at::LAST, "which is further below first than by one")?;
    Ok(Entry { series, column, first, last })
}

/// A name of the arena: byte offset in the high half of `place`, length in the low half.
fn text<W: Words + ?Sized>(
    words: &W,
    header: &Header,
    place: u64,
    max: usize,
) -> Result<Box<str>, &'static str> {
    let (offset, len) = (place >> 32, place & u64::from(u32::MAX));
    if len == 0 {
        return Err("an empty name");
    }
    if len > max as u64 {
        return Err("a longer name than there can be");
    }
    if !offset.is_multiple_of(layout::WORD) {
        return Err("a name that does not begin at a multiple of 8 bytes");
    }
    if offset + len > header.geometry.arena_bytes {
        return Err("a name that does not end within arena_bytes");
    }
    let first_word = header.geometry.arena_word() + (offset / layout::WORD) as usize;
    // On the stack and in one piece: a file that is read and not mapped costs a system call here.
    let mut block = [0; OBJECT_ID_BYTES_MAX.div_ceil(layout::WORD as usize)];
    let block = &mut block[..len.div_ceil(layout::WORD) as usize];
    words.copy(first_word, block);
    for word in &mut *block {
        *word = word.to_le();
    }
    let text = bytemuck::cast_slice(block).get(..len as usize).unwrap_or_default();
    Ok(str::from_utf8(text).map_err(|_| "a name that is not UTF-8")?.into())
}
