//! A ring that an honest writer would leave, and that writer going on, one store at a time.
//!
//! Every word of a record follows from its sequence, so that a mix of two records shows itself.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tachograph::record::{Kind, Repr, Unit, flags};
use tachograph::ring::layout::{LIVES, entry, header as at};
use tachograph::ring::{Geometry, Indexed, Words, WordsMut as _, heap_words};

use super::ring_file::Shape;

/// Nanoseconds since 1970 of a record.
pub fn time_ns(seq: u64, interval_ns: u64) -> u64 {
    seq * interval_ns
}

/// The word of a column in a record: what the `u64` column 0 and all others hold.
pub fn word(seq: u64, column: usize) -> u64 {
    seq * 100 + column as u64
}

/// The words of a record behind its first.
pub fn payload(seq: u64, shape: &Shape) -> Vec<u64> {
    let interval_ns = shape.interval_ns.max(1);
    let first = u64::from(if seq == 1 { flags::EPOCH_FIRST } else { 0 });
    let columns = usize::from(shape.columns) + 1;
    let mut words = vec![time_ns(seq, interval_ns), seq * 7, first << 32 | 1, columns as u64, 3];
    words.extend([1, 0]);
    words.extend((0..columns).map(|column| word(seq, column)));
    words
}

/// A ring in memory with a writer that is somewhere in its work.
pub struct Sound {
    words: Vec<Cell<u64>>,
    shape: Shape,
    geometry: Geometry,
    /// Stores that the writer has yet to make of the record it is at.
    pending: RefCell<VecDeque<(usize, u64)>>,
    /// The record that the writer is at.
    at: Cell<u64>,
}

impl Sound {
    /// A ring in which `records` are published and whose writer is about to begin the next.
    pub fn new(shape: Shape, records: u64) -> Self {
        let header = shape.header();
        let geometry = header.geometry;
        let encoded = heap_words(geometry.file_words());
        header.encode(&encoded);
        encoded.store(at::STATE, 1);
        encoded.store(at::EPOCH, 1);
        let words = (0..encoded.len()).map(|index| Cell::new(encoded.load(index))).collect();
        let ring = Self { words, shape, geometry, pending: RefCell::default(), at: Cell::new(0) };
        ring.add_series();
        for _ in 0..records {
            ring.store_some(1);
            while !ring.pending.borrow().is_empty() {
                ring.store_some(1);
            }
        }
        ring
    }

    /// Two series, or one if there is no room: names of one and of several words.
    fn add_series(&self) {
        let names: [&[u8]; 2] = [b"host", b"tachograph_ticks"];
        let arena = self.geometry.arena_word();
        let mut place = 0;
        let mut count = 0;
        for (column, name) in names.into_iter().enumerate() {
            let len = name.len().next_multiple_of(8);
            let fits = place + len <= self.geometry.arena_bytes as usize
                && column < self.geometry.entry_capacity
                && column < self.geometry.column_capacity;
            if !fits {
                break;
            }
            for (index, chunk) in name.chunks(8).enumerate() {
                let mut bytes = [0; 8];
                bytes[..chunk.len()].copy_from_slice(chunk);
                self.words[arena + place / 8 + index].set(u64::from_le_bytes(bytes));
            }
            let name = (place as u64) << 32 | name.len() as u64;
            let meaning = [Kind::Counter.code(), Unit::Count.code(), Repr::U64.code()];
            let meaning = meaning.iter().rev().fold(0, |word, code| word << 8 | u64::from(*code));
            for (field, value) in [
                (entry::OBJECT, name),
                (entry::METRIC, name),
                (entry::MEANING, meaning),
                (entry::COLUMN, column as u64),
                (entry::FIRST, 1),
                (entry::LAST, LIVES),
            ] {
                self.words[self.geometry.entry_word(column) + field].set(value);
            }
            place += len;
            count += 1;
        }
        self.words[at::ARENA_USED].set(place as u64);
        self.words[at::ENTRY_COUNT].set(count);
        self.words[at::DIRECTORY_CHANGES].set(count);
    }

    /// The writer makes the next `count` stores, over records if need be.
    pub fn store_some(&self, count: usize) {
        let mut pending = self.pending.borrow_mut();
        for _ in 0..count {
            if pending.is_empty() {
                let seq = self.at.get() + 1;
                self.at.set(seq);
                let slot = self.geometry.slot_word(seq);
                pending.push_back((slot, 2 * seq - 1));
                let payload = payload(seq, &self.shape).into_iter().enumerate();
                pending.extend(payload.map(|(index, value)| (slot + 1 + index, value)));
                pending.push_back((slot, 2 * seq));
                pending.push_back((at::HEAD, seq));
            }
            if let Some((index, value)) = pending.pop_front() {
                self.words[index].set(value);
            }
        }
    }

    /// All words as they are.
    pub fn to_words(&self) -> Vec<u64> {
        self.words.iter().map(Cell::get).collect()
    }
}

impl Words for Sound {
    type Span<'a>
        = Indexed<'a, Self>
    where
        Self: 'a;

    fn span(&self, start: usize, len: usize) -> Indexed<'_, Self> {
        Indexed::new(self, start, len)
    }

    fn len(&self) -> usize {
        self.words.len()
    }

    fn load(&self, index: usize) -> u64 {
        self.words[index].get()
    }
}
