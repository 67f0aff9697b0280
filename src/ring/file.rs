//! A ring's file in its writer's hands: the mapping, and what the directory in it holds.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;

use super::Ring;
use super::directory::Entry;
use super::layout::{self, LIVES, entry as entry_at, header as at};
use super::map::WriteMap;
use super::words::{Words, WordsMut};
use crate::record::{Change, Schema, Series};

/// A ring's file and what its directory holds.
#[derive(Debug)]
pub(super) struct RingFile {
    // Held for its lock on the inode.
    pub(super) _file: File,
    pub(super) ring: Ring<WriteMap>,
    pub(super) installed: bool,
    pub(super) entries: Vec<Entry>,
    /// Column to index in `entries`.
    pub(super) live: Vec<Option<usize>>,
    /// How many of `entries` the file has.
    pub(super) written: usize,
    /// Entries of the file whose end it does not know yet.
    pub(super) ended: Vec<usize>,
    pub(super) names: HashMap<Box<str>, u64>,
    pub(super) arena_used: u64,
}

impl RingFile {
    /// The file of an old ring that goes on. Its entries are kept as they are, in their places.
    pub(super) fn of(file: File, ring: Ring<WriteMap>, entries: Vec<Entry>) -> Self {
        let mut this = Self::new(file, ring, true);
        let directory = this.ring.directory();
        this.written = directory.entries.len();
        // A damaged entry keeps its place, without meaning and without a lifetime.
        let placeholder = || Entry { series: no_series(), column: usize::MAX, first: 1, last: 0 };
        let mut sound = entries.into_iter();
        let geometry = *this.ring.geometry();
        // No name of an entry may be written over, whatever the header says of the arena.
        let mut used = this.ring.words().load(at::ARENA_USED).min(geometry.arena_bytes);
        for index in 0..this.written {
            let Some(found) = &directory.entries[index] else {
                // Nor may it gain one, when a name is stored where its own is said to be.
                this.ended.push(index);
                this.push(placeholder());
                continue;
            };
            let entry = sound.next().unwrap_or_else(placeholder);
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
                this.ended.push(index);
            }
            this.push(entry);
        }
        this.arena_used = used.next_multiple_of(layout::WORD);
        this
    }

    pub(super) fn new(file: File, ring: Ring<WriteMap>, installed: bool) -> Self {
        Self {
            _file: file,
            ring,
            installed,
            entries: Vec::new(),
            live: Vec::new(),
            written: 0,
            ended: Vec::new(),
            names: HashMap::new(),
            arena_used: 0,
        }
    }

    pub(super) fn push(&mut self, entry: Entry) {
        if entry.lives() {
            if self.live.len() <= entry.column {
                self.live.resize(entry.column + 1, None);
            }
            self.live[entry.column] = Some(self.entries.len());
        }
        self.entries.push(entry);
    }

    /// Makes the entries agree with `schema` in `columns`, from the record after `head` on. A series
    /// that has ended among `changes` and is there again is another one.
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
            let entry = self.live.get(column).copied().flatten();
            let wanted = schema.series(column);
            let same = entry.map(|index| &self.entries[index].series) == wanted;
            if same && !ended.contains(&column) {
                continue;
            }
            if let Some(index) = entry {
                self.live[column] = None;
                if index < self.written || !self.installed {
                    self.entries[index].last = head.max(self.entries[index].first - 1);
                    if index < self.written {
                        self.ended.push(index);
                    }
                } else {
                    // It came and went while the directory was full, and is forgotten: otherwise
                    // the list would grow for as long as that lasts. What lies behind it lives.
                    self.entries.swap_remove(index);
                    if let Some(moved) = self.entries.get(index) {
                        self.live[moved.column] = Some(index);
                    }
                }
            }
            if let Some(series) = wanted {
                self.push(Entry { series: series.clone(), column, first: head + 1, last: LIVES });
            }
        }
    }

    pub(super) fn has_room(&self, schema: &Schema) -> bool {
        let geometry = self.ring.geometry();
        let new = &self.entries[self.written..];
        let mut names = BTreeSet::new();
        let mut bytes = self.arena_used;
        for name in new.iter().flat_map(|entry| [&entry.series.object, &entry.series.metric]) {
            if !self.names.contains_key(name) && names.insert(name) {
                bytes += (name.len() as u64).next_multiple_of(layout::WORD);
            }
        }
        schema.width() <= geometry.column_capacity
            && self.entries.len() <= geometry.entry_capacity
            && bytes <= geometry.arena_bytes
    }

    /// Writes which series have ended. That needs no room, so it is done even when all else must
    /// wait: what is published from now on in their columns would be taken for theirs.
    pub(super) fn write_ends(&mut self) {
        let (words, geometry) = (self.ring.words(), self.ring.geometry());
        for index in self.ended.drain(..) {
            words.store(geometry.entry_word(index) + entry_at::LAST, self.entries[index].last);
        }
        words.store_release(
            at::DIRECTORY_CHANGES,
            words.load(at::DIRECTORY_CHANGES).wrapping_add(1),
        );
    }

    /// Writes what the file does not know yet. There is room for it.
    pub(super) fn write_entries(&mut self, head: u64) {
        self.write_ends();
        let words = self.ring.words().clone();
        let geometry = *self.ring.geometry();
        for index in self.written..self.entries.len() {
            let Entry { series, column, first, last } = self.entries[index].clone();
            let meaning =
                [series.kind.code(), series.unit.code(), series.repr.code(), 0, 0, 0, 0, 0];
            let start = geometry.entry_word(index);
            words.store(start + entry_at::OBJECT, self.name(&series.object));
            words.store(start + entry_at::METRIC, self.name(&series.metric));
            words.store(start + entry_at::MEANING, u64::from_le_bytes(meaning));
            words.store(start + entry_at::COLUMN, column as u64);
            words.store(start + entry_at::FIRST, first);
            words.store(start + entry_at::LAST, last);
        }
        debug_assert!(self.entries[self.written..].iter().all(|entry| entry.first <= head + 1));
        self.written = self.entries.len();
        words.store(at::ARENA_USED, self.arena_used);
        words.store_release(at::ENTRY_COUNT, self.written as u64);
        words.store_release(
            at::DIRECTORY_CHANGES,
            words.load(at::DIRECTORY_CHANGES).wrapping_add(1),
        );
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

fn no_series() -> Series {
    use crate::record::{Kind, Repr, Unit};
    let (kind, unit, repr) = (Kind::Gauge, Unit::Count, Repr::U64);
    Series { object: "".into(), metric: "".into(), kind, unit, repr }
}
