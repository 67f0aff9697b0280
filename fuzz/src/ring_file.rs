//! A whole ring from an input: a sound header, and behind it whatever the input has.
//!
//! The input says how large the parts are and then gives their words one after another, without
//! what lies between them, so that a small input is a whole ring and each of its bytes counts.

use tachograph::ring::layout::{self, header as at};
use tachograph::ring::{Geometry, Header, Sizes, Words as _, WordsMut as _, heap_words};

use super::input::Input;

/// The words of the header that change, in the order in which an input gives them.
const CHANGING: [usize; 10] = [
    at::HEAD,
    at::HEARTBEAT_NS,
    at::NOTIFY,
    at::STATE,
    at::EPOCH,
    at::PID,
    at::PID_START,
    at::ENTRY_COUNT,
    at::ARENA_USED,
    at::DIRECTORY_CHANGES,
];

/// The sizes of a ring as an input has them.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Binary logarithm of the number of slots, less one.
    pub slots: u8,
    /// Columns, less one.
    pub columns: u8,
    /// Directory entries, less one.
    pub entries: u8,
    /// Words of names, less one.
    pub arena_words: u8,
    /// What a newer writer has put between the parts.
    pub padding: u8,
    /// Nanoseconds between ticks.
    pub interval_ns: u64,
}

impl Shape {
    /// The next shape of an input.
    pub fn take(input: &mut Input<'_>) -> Self {
        Self {
            slots: input.below(5),
            columns: input.below(12),
            entries: input.below(12),
            arena_words: input.below(32),
            padding: input.below(36),
            interval_ns: input.word(),
        }
    }

    /// The bytes from which [`Shape::take`] makes this.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend([self.slots, self.columns, self.entries, self.arena_words, self.padding]);
        out.extend(self.interval_ns.to_le_bytes());
    }

    /// The header of a ring of this shape.
    pub fn header(&self) -> Header {
        let sizes = Sizes {
            slot_count: 2 << self.slots,
            column_capacity: u64::from(self.columns) + 1,
            entry_capacity: u64::from(self.entries) + 1,
            arena_bytes: (u64::from(self.arena_words) + 1) * layout::WORD,
        };
        let mut geometry = Geometry::of(sizes).expect("sizes in bounds");
        let padding = u64::from(self.padding);
        geometry.slot_bytes += padding % 3 * layout::SLOT_ALIGN;
        geometry.entry_bytes += padding / 3 % 3 * layout::WORD;
        geometry.directory_offset += padding / 9 * 64;
        let entries_end = geometry.directory_offset + sizes.entry_capacity * geometry.entry_bytes;
        geometry.arena_offset = entries_end + padding / 9 * 8;
        geometry.slots_offset =
            (geometry.arena_offset + geometry.arena_bytes).next_multiple_of(layout::SLOT_ALIGN);
        geometry.file_bytes = geometry.slots_offset + sizes.slot_count * geometry.slot_bytes;
        Header {
            version: layout::VERSION,
            compatible_flags: 0,
            geometry,
            ring_id: [1, 2],
            boot_id: [3, 4],
            interval_ns: self.interval_ns.max(1),
            created_ns: 5,
            first_seq: 0,
        }
    }
}

/// The ring that `shape` and what follows it in the input say.
pub fn take(shape: &Shape, input: &mut Input<'_>) -> Vec<u64> {
    take_behind(&shape.header(), input)
}

/// The ring with this header, and behind it what the input says.
pub fn take_behind(header: &Header, input: &mut Input<'_>) -> Vec<u64> {
    let words = heap_words(header.geometry.file_words());
    header.encode(&words);
    for (start, len) in parts(&header.geometry) {
        for index in start..start + len {
            words.store(index, input.word());
        }
    }
    (0..words.len()).map(|index| words.load(index)).collect()
}

/// Appends the bytes from which [`take`] makes this ring.
pub fn put(shape: &Shape, words: &[u64], out: &mut Vec<u8>) {
    shape.put(out);
    for (start, len) in parts(&shape.header().geometry) {
        out.extend(words[start..start + len].iter().flat_map(|word| word.to_le_bytes()));
    }
}

/// First word and number of words of each part that an input fills.
fn parts(geometry: &Geometry) -> impl Iterator<Item = (usize, usize)> {
    let entries = (0..geometry.entry_capacity)
        .map(|index| (geometry.entry_word(index), layout::entry::LAST + 1));
    let arena = (geometry.arena_word(), (geometry.arena_bytes / layout::WORD) as usize);
    let slots = (0..geometry.slot_count)
        .map(|slot_index| (geometry.slot_word(slot_index), 8 + geometry.column_capacity));
    let changing = CHANGING.into_iter().map(|index| (index, 1));
    changing.chain(entries).chain([arena]).chain(slots)
}
