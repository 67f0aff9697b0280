//! A ring's file in its writer's hands: the mapping, and what the directory in it holds.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;

use super::Ring;
use super::directory::Entry;
use super::layout::{self, LIVES, entry as entry_at, header as at};
use super::make::ahead;
use super::map::WriteMap;
use super::sync::{self, Site};
use super::words::WordsMut;
use crate::record::{COLUMNS_MAX, Change, Schema, Series};

/// How many times what a file has seen since its beginning a whole turn is taken to bring at most.
const CHURN_TIMES_MAX: u64 = 8;

/// A ring's file and what a writer must know of its directory: the series that live, and what the
/// file does not say yet. What has ended is in the file alone, so that memory is taken by the series
/// that live and not by all that ever did.
#[derive(Debug)]
pub(super) struct RingFile<W = WriteMap> {
    // Held for its lock on the inode.
    pub(super) file: File,
    pub(super) ring: Ring<W>,
    pub(super) installed: bool,
    /// The series that live, by column.
    pub(super) live: Vec<Option<Living>>,
    /// How many entries the file has.
    pub(super) written: usize,
    /// Columns of living series that the file has no entry of yet.
    pub(super) new: BTreeSet<usize>,
    /// Entries of the file whose end it does not know yet, and that end.
    pub(super) ended: Vec<(usize, u64)>,
    pub(super) names: HashMap<Box<str>, u64>,
    pub(super) arena_used: u64,
    /// What was taken when this writer began to write to it.
    pub(super) began: Taken,
}

/// A series that lives.
#[derive(Debug)]
pub(super) struct Living {
    pub(super) series: Series,
    pub(super) first: u64,
    /// Which entry of the file it has, if it has one.
    pub(super) index: Option<usize>,
}

/// How much of a file's room is taken, and after which record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    pub(super) head: u64,
    pub(super) entries: u64,
    pub(super) arena_bytes: u64,
    pub(super) columns: u64,
}

/// The entries and the bytes of names that come in one turn of the ring.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Churn {
    pub(super) entries: u64,
    pub(super) arena_bytes: u64,
}

impl<W: WordsMut> RingFile<W> {
    /// The file of an old ring that goes on after the record `head`. Its entries stay in their
    /// places; of `entries`, which are the sound ones, only the end may be another than in the file.
    pub(super) fn of(file: File, ring: Ring<W>, entries: Vec<Entry>, head: u64) -> Self {
        let mut this = Self::new(file, ring, true);
        let directory = this.ring.directory();
        this.written = directory.entries.len();
        let mut sound = entries.into_iter();
        let geometry = *this.ring.geometry();
        // No name of an entry may be written over, whatever the header says of the arena.
        let mut used = this.ring.words().load(at::ARENA_USED).min(geometry.arena_bytes);
        for index in 0..this.written {
            let found = directory.entries[index].as_ref();
            let Some((found, entry)) = found.and_then(|found| Some((found, sound.next()?))) else {
                // A damaged entry keeps its place without a lifetime. Nor may it gain a meaning
                // when a name is stored where its own is said to be.
                this.ended.push((index, 0));
                continue;
            };
            let start = geometry.entry_word(index);
            let names = [
                (&found.series.object, start + entry_at::OBJECT),
                (&found.series.metric, start + entry_at::METRIC),
            ];
            for (name, word) in names {
                let place = this.ring.words().load(word);
                used = used.max((place >> 32) + name.len() as u64);
                this.names.insert(name.clone(), place);
            }
            if entry.last != found.last {
                this.ended.push((index, entry.last));
            }
            if entry.lives() {
                let Entry { series, column, first, .. } = entry;
                this.settle(column, Living { series, first, index: Some(index) });
            }
        }
        this.arena_used = used.next_multiple_of(layout::WORD);
        this.began = this.taken(head, this.live.len());
        this
    }

    pub(super) fn new(file: File, ring: Ring<W>, installed: bool) -> Self {
        Self {
            file,
            ring,
            installed,
            live: Vec::new(),
            written: 0,
            new: BTreeSet::new(),
            ended: Vec::new(),
            names: HashMap::new(),
            arena_used: 0,
            began: Taken::default(),
        }
    }

    /// Puts a living series in its column.
    pub(super) fn settle(&mut self, column: usize, living: Living) {
        if self.live.len() <= column {
            self.live.resize_with(column + 1, || None);
        }
        if living.index.is_none() {
            self.new.insert(column);
        }
        self.live[column] = Some(living);
    }

    /// Which entry of the file the series has that lives in `column`.
    pub(super) fn entry_of(&self, column: usize) -> Option<usize> {
        self.live.get(column)?.as_ref()?.index
    }

    /// Makes the living series those of `schema` in `columns`, from the record after `head` on. A
    /// series that has ended among `changes` and is there again is another one.
    pub(super) fn reconcile(
        &mut self,
        schema: &Schema,
        changes: &[Change],
        columns: impl IntoIterator<Item = usize>,
        head: u64,
    ) {
        let ended = changes.iter().filter(|change| matches!(change, Change::Ended(_)));
        let ended: BTreeSet<usize> = ended.map(|change| change.column()).collect();
        for column in columns {
            let living = self.live.get(column).and_then(Option::as_ref);
            let wanted = schema.series(column);
            if living.map(|living| &living.series) == wanted && !ended.contains(&column) {
                continue;
            }
            if let Some(living) = self.live.get_mut(column).and_then(Option::take) {
                self.end(column, &living, head);
            }
            if let Some(series) = wanted {
                let series = series.clone();
                self.settle(column, Living { series, first: head + 1, index: None });
            }
        }
    }

    /// Ends a series after the record `head`. One that came and went while the directory was full is
    /// forgotten: otherwise there would be ever more of them for as long as that lasts.
    fn end(&mut self, column: usize, living: &Living, head: u64) {
        match living.index {
            Some(index) => self.ended.push((index, head.max(living.first - 1))),
            None => {
                self.new.remove(&column);
            }
        }
    }

    /// Whether all that lives fits in, in records of `width` columns.
    pub(super) fn has_room(&self, width: usize) -> bool {
        let geometry = self.ring.geometry();
        width <= geometry.column_capacity
            && self.written + self.new.len() <= geometry.entry_capacity
            && self.arena_used + self.new_name_bytes() <= geometry.arena_bytes
    }

    /// Bytes of the arena that the series without an entry need.
    pub(super) fn new_name_bytes(&self) -> u64 {
        let mut names = BTreeSet::new();
        let new = self.new.iter().filter_map(|column| self.live[*column].as_ref());
        new.flat_map(|living| [&living.series.object, &living.series.metric])
            .filter(|name| !self.names.contains_key(*name) && names.insert(*name))
            .map(|name| (name.len() as u64).next_multiple_of(layout::WORD))
            .sum()
    }

    /// Writes which series have ended. That needs no room, so it is done even when all else must
    /// wait: what is published from now on in their columns would be taken for theirs.
    pub(super) fn write_ends(&mut self) {
        let (words, geometry) = (self.ring.words(), self.ring.geometry());
        for (index, last) in self.ended.drain(..) {
            let word = geometry.entry_word(index) + entry_at::LAST;
            sync::store(words, Site::SeriesEnd, word, last);
        }
        self.state_change(Site::ChangesOfEnds); // F
    }

    /// Writes what the file does not know yet. There is room for it.
    pub(super) fn write_entries(&mut self, head: u64) {
        self.write_ends();
        for column in std::mem::take(&mut self.new) {
            let Some(mut living) = self.live[column].take() else { continue };
            debug_assert!(living.first <= head + 1, "a series begins with the next record");
            living.index = Some(self.append(&living.series, column, living.first, LIVES));
            self.live[column] = Some(living);
        }
        self.state_entries();
    }

    /// Whether there is room for one more entry, of this series.
    pub(super) fn has_room_for(&self, series: &Series, column: usize) -> bool {
        let geometry = self.ring.geometry();
        let names = [&series.object, &series.metric];
        let new = names.into_iter().filter(|name| !self.names.contains_key(*name));
        let bytes: u64 = new.map(|name| (name.len() as u64).next_multiple_of(layout::WORD)).sum();
        column < geometry.column_capacity
            && self.written < geometry.entry_capacity
            && self.arena_used + bytes <= geometry.arena_bytes
    }

    /// Stores an entry and its names behind the others, for which there is room. Readers are told of
    /// it by [`RingFile::state_entries`].
    pub(super) fn append(
        &mut self,
        series: &Series,
        column: usize,
        first: u64,
        last: u64,
    ) -> usize {
        let index = self.written;
        let [object, metric] = [self.name(&series.object), self.name(&series.metric)];
        let meaning = [series.kind.code(), series.unit.code(), series.repr.code(), 0, 0, 0, 0, 0];
        let start = self.ring.geometry().entry_word(index);
        let words = self.ring.words();
        words.store(start + entry_at::OBJECT, object);
        words.store(start + entry_at::METRIC, metric);
        words.store(start + entry_at::MEANING, u64::from_le_bytes(meaning));
        words.store(start + entry_at::COLUMN, column as u64);
        words.store(start + entry_at::FIRST, first);
        sync::store(words, Site::EntryLast, start + entry_at::LAST, last);
        self.written += 1;
        index
    }

    /// States how many entries and names there are.
    pub(super) fn state_entries(&self) {
        let words = self.ring.words();
        words.store(at::ARENA_USED, self.arena_used);
        sync::store_release(words, Site::EntryCount, at::ENTRY_COUNT, self.written as u64); // E
        self.state_change(Site::ChangesOfEntries); // F
    }

    /// States that the directory is not what it was, after all that has changed in it.
    fn state_change(&self, site: Site) {
        let words = self.ring.words();
        let changes = words.load(at::DIRECTORY_CHANGES).wrapping_add(1);
        sync::store_release(words, site, at::DIRECTORY_CHANGES, changes);
    }

    /// How much room is taken after the record `head`, if records have `width` columns.
    pub(super) fn taken(&self, head: u64, width: usize) -> Taken {
        let (entries, columns) = (self.written as u64, width as u64);
        Taken { head, entries, arena_bytes: self.arena_used, columns }
    }

    /// Whether of the entries, the names or the columns that were free when this writer began so
    /// many 1024ths are taken that a larger file is to be made.
    pub(super) fn is_filling(&self, width: usize, taken_1024ths: u64) -> bool {
        let (geometry, began, now) = (self.ring.geometry(), self.began, self.taken(0, width));
        let filling = |now: u64, began: u64, capacity: u64| {
            let (taken, free) = (now.saturating_sub(began), capacity.saturating_sub(began));
            taken * ahead::WHOLE >= free * taken_1024ths
        };
        // There can be no more columns than these, whatever is made.
        let widest = geometry.column_capacity == COLUMNS_MAX;
        filling(now.entries, began.entries, geometry.entry_capacity as u64)
            || filling(now.arena_bytes, began.arena_bytes, geometry.arena_bytes)
            || !widest && filling(now.columns, began.columns, geometry.column_capacity as u64)
    }

    /// What a turn of the ring brings, if it goes on as it went since this file's beginning.
    pub(super) fn churn(&self, head: u64) -> Churn {
        let slots = self.ring.geometry().slot_count;
        // A file that is full after a few records says little of a whole turn: its churn is not
        // taken for more than so many times what was seen.
        let least = (slots / CHURN_TIMES_MAX).max(1);
        let records = head.saturating_sub(self.began.head).max(least);
        let in_a_turn = |made: u64| {
            u64::try_from(u128::from(made) * u128::from(slots) / u128::from(records))
                .unwrap_or(u64::MAX)
        };
        let now = self.taken(head, 0);
        Churn {
            entries: in_a_turn((now.entries + self.new.len() as u64) - self.began.entries),
            arena_bytes: in_a_turn(now.arena_bytes - self.began.arena_bytes),
        }
    }

    /// The place of a name in the arena, put there if it is new.
    pub(super) fn name(&mut self, name: &str) -> u64 {
        if let Some(place) = self.names.get(name) {
            return *place;
        }
        let place = self.arena_used << 32 | name.len() as u64;
        let first_word =
            self.ring.geometry().arena_word() + (self.arena_used / layout::WORD) as usize;
        for (word, chunk) in name.as_bytes().chunks(8).enumerate() {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.ring.words().store(first_word + word, u64::from_le_bytes(bytes));
        }
        self.arena_used += (name.len() as u64).next_multiple_of(layout::WORD);
        self.names.insert(name.into(), place);
        place
    }
}
