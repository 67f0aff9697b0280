//! The header of a ring: any words.

use tachograph::ring::layout::{self, header as at};
use tachograph::ring::{Header, Indexed, Words, heap_words};

use super::input::Input;

/// Words of the immutable part, its checksum included.
const WORDS: usize = at::CHECKSUM + 1;

/// Bits of the first byte: what of the header is made right before it is decoded.
pub const MAGIC: u8 = 1;
/// The checksum is made right.
pub const CHECKSUM: u8 = 2;
/// The file is as long as its header says.
pub const LENGTH: u8 = 4;

/// A file that has only its header, however long it says it is.
struct HeaderOnly {
    block: [u64; WORDS],
    len: usize,
}

impl Words for HeaderOnly {
    type Span<'a>
        = Indexed<'a, Self>
    where
        Self: 'a;

    fn span(&self, start: usize, len: usize) -> Indexed<'_, Self> {
        Indexed::new(self, start, len)
    }

    fn len(&self) -> usize {
        self.len
    }

    fn load(&self, index: usize) -> u64 {
        if index < self.len { self.block.get(index).copied().unwrap_or(0) } else { 0 }
    }
}

/// Decodes a header and holds what was accepted to the format's own promises.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let made_right = input.byte();
    let len = input.word();
    let mut block: [u64; WORDS] = std::array::from_fn(|_| input.word());
    if made_right & MAGIC != 0 {
        block[at::MAGIC] = layout::MAGIC;
        block[at::ENDIAN_TAG] = layout::ENDIAN_TAG;
    }
    if made_right & CHECKSUM != 0 {
        block[at::CHECKSUM] = crc32(&block[..at::CHECKSUM]);
    }
    let len = if made_right & LENGTH != 0 { block[at::FILE_BYTES] / layout::WORD } else { len };
    // No file has more bytes than can be counted.
    let len = len.min(u64::MAX / layout::WORD) as usize;
    let file = HeaderOnly { block, len };
    match Header::decode(&file) {
        Ok(header) => check(&header, &file),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn check(header: &Header, file: &HeaderOnly) {
    assert_eq!(file.block[at::CHECKSUM], crc32(&file.block[..at::CHECKSUM]));
    assert!(header.interval_ns > 0);

    // Every region lies behind the one before it and inside the file, in numbers too wide to wrap.
    let geometry = &header.geometry;
    let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
    let mut end = 512;
    for (offset, bytes) in [
        (geometry.directory_offset, product(geometry.entry_capacity as u64, geometry.entry_bytes)),
        (geometry.arena_offset, u128::from(geometry.arena_bytes)),
        (geometry.slots_offset, product(geometry.slot_count, geometry.slot_bytes)),
    ] {
        assert!(u128::from(offset) >= end, "{geometry:?}");
        end = u128::from(offset) + bytes;
    }
    assert!(end <= product(file.len as u64, layout::WORD), "{geometry:?}");

    // And so does whatever is computed from them.
    let slot_words = geometry.column_capacity + 8;
    for seq in [0, 1, geometry.slot_count - 1, geometry.slot_count, u64::MAX] {
        assert!(geometry.slot_word(seq) + slot_words <= geometry.file_words());
        assert!((1..=seq.max(1)).contains(&geometry.oldest(seq)));
        assert!(seq - geometry.oldest(seq).min(seq) < geometry.slot_count);
    }
    let entry = geometry.entry_word(geometry.entry_capacity - 1);
    assert!(entry + (layout::ENTRY_BYTES / layout::WORD) as usize <= geometry.arena_word());

    let again = heap_words(WORDS);
    header.encode(&again);
    let block = std::array::from_fn(|index| again.load(index));
    assert_eq!(Header::decode(&HeaderOnly { block, len: file.len }), Ok(*header));
}

/// CRC-32 by the book, bit by bit.
pub fn crc32(words: &[u64]) -> u64 {
    let mut crc = u32::MAX;
    for byte in words.iter().flat_map(|word| word.to_le_bytes()) {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    u64::from(!crc)
}
