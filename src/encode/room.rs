//! A buffer with room behind its text, into which blocks of constant size are copied.
//!
//! A block may reach beyond the end of what it says; the next one overwrites that. The bytes behind
//! the text are made once and kept, so that a part is not filled with zeros before each piece of it.

use super::PART_BYTES;
use super::number::{self, F64_BYTES_MAX, F64_ROOM, FirstDigits};
use super::string::push_escaped;
use crate::record::{Repr, f64_of_word, u64_of_word};
use crate::ring::Value;

/// Texts are copied in blocks of this size.
pub(super) const BLOCK: usize = 64;

/// A number and a comma are copied in a block of this size.
const NUMBER_BLOCK: usize = 32;
const _: () = assert!(F64_BYTES_MAX < NUMBER_BLOCK);

/// How much of a buffer is made ready at a time where nothing is reserved: little enough to stay in the
/// fastest cache until it is written to.
const STRIDE: usize = 4096;

/// Text that is being appended to a `Vec`, which is as long as the text again when this is dropped.
pub(super) struct Room<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
}

impl<'a> Room<'a> {
    /// Room behind what is in `out`.
    pub(super) fn behind(out: &'a mut Vec<u8>) -> Self {
        let end = out.len();
        Self { out, end }
    }

    /// How long the text is.
    pub(super) fn len(&self) -> usize {
        self.end
    }

    /// Takes back what stands behind `end`.
    pub(super) fn truncate(&mut self, end: usize) {
        self.end = self.end.min(end);
    }

    /// Sees to it that so many bytes can be written.
    #[inline]
    pub(super) fn reserve(&mut self, bytes: usize) {
        if self.out.len() - self.end < bytes {
            self.out.resize(self.end + bytes, 0);
        }
    }

    /// The next bytes, which need not be reserved; [`Room::grow`] then says how many are text.
    #[inline]
    pub(super) fn ready<const N: usize>(&mut self) -> &mut [u8; N] {
        if self.out.len() < self.end + N {
            self.extend(N);
        }
        self.next()
    }

    #[cold]
    fn extend(&mut self, bytes: usize) {
        self.reserve(bytes.max(STRIDE));
    }

    /// Makes so many of the next bytes text.
    #[inline]
    pub(super) fn grow(&mut self, bytes: usize) {
        self.end += bytes;
    }

    /// Appends `len` bytes of `text` from `at`, behind which a block follows in `text`, whether there is
    /// room or not.
    #[inline]
    pub(super) fn blocks(&mut self, text: &[u8], mut at: usize, mut len: usize) {
        loop {
            let block: &[u8; BLOCK] = text[at..].first_chunk().expect("a block behind each text");
            *self.ready() = *block;
            let taken = len.min(BLOCK);
            (at, len, self.end) = (at + taken, len - taken, self.end + taken);
            if len == 0 {
                return;
            }
        }
    }

    /// The next bytes.
    ///
    /// # Panics
    ///
    /// When they were not reserved.
    #[inline]
    fn next<const N: usize>(&mut self) -> &mut [u8; N] {
        self.out[self.end..].first_chunk_mut().expect("what is written was reserved")
    }

    /// Appends the first `len` bytes of a block, for which there must be room.
    #[inline]
    pub(super) fn block<const N: usize>(&mut self, block: &[u8; N], len: usize) {
        *self.next() = *block;
        self.end += len;
    }

    /// Appends a number, for which there must be [`F64_ROOM`].
    #[inline]
    pub(super) fn value(&mut self, value: Value) {
        let room = self.next::<F64_ROOM>();
        self.end += match value {
            Value::U64(value) => number::write_u64(room, value),
            Value::F64(value) => number::write_f64(room, value),
        };
    }

    /// Appends values with a comma behind each, `null` for what is absent, until the text is as long
    /// as a part, and says how many. There must be room for a part and a number.
    pub(super) fn values(&mut self, values: &[Option<Value>]) -> u64 {
        let mut count = 0;
        for value in values {
            if self.end >= PART_BYTES {
                break;
            }
            match value {
                Some(value) => self.value(*value),
                None => self.block(b"null", 4),
            }
            self.block(b",", 1);
            count += 1;
        }
        count
    }

    /// The same of the words of a column.
    pub(super) fn words(&mut self, words: impl Iterator<Item = u64>, repr: Repr) -> u64 {
        // Each in a loop of its own, in which the kind of number is not asked again.
        match repr {
            Repr::U64 => {
                let mut known = FirstDigits::default();
                self.numbers(words, |room, word| {
                    u64_of_word(word).map(|value| number::write_next_u64(room, value, &mut known))
                })
            }
            Repr::F64 => self.numbers(words, |room, word| {
                f64_of_word(word).map(|value| number::write_f64(room, value))
            }),
        }
    }

    /// Most columns change little from one record to the next: words that are alike are written once,
    /// and copied when there is another one.
    #[inline]
    fn numbers(
        &mut self,
        words: impl Iterator<Item = u64>,
        mut write: impl FnMut(&mut [u8; F64_ROOM], u64) -> Option<usize>,
    ) -> u64 {
        let (mut begin, mut written, mut end, mut count) = (self.end, self.end, self.end, 0);
        let mut previous = None;
        for word in words {
            if end >= PART_BYTES {
                break;
            }
            count += 1;
            if previous == Some(word) {
                end += written - begin;
                continue;
            }
            if end > written {
                self.repeat((begin, written), end);
            }
            let room: &mut [u8; F64_ROOM + 1] =
                self.out[end..].first_chunk_mut().expect("what is written was reserved");
            let number = room.first_chunk_mut().expect("it is longer");
            let len = write(number, word).unwrap_or_else(|| {
                number[..4].copy_from_slice(b"null");
                4
            });
            // No number is longer than its room less the blocks that it is written in.
            room[len] = b',';
            (begin, written, end) = (end, end + len + 1, end + len + 1);
            previous = Some(word);
        }
        self.repeat((begin, written), end);
        self.end = end;
        count
    }

    /// Fills what is there up to `end` with the text that lies before it, again and again.
    fn repeat(&mut self, (begin, mut written): (usize, usize), end: usize) {
        while written < end {
            let len = (written - begin).min(end - written);
            if len <= NUMBER_BLOCK {
                let text: [u8; NUMBER_BLOCK] =
                    *self.out[begin..].first_chunk().expect("it was written there");
                *self.out[written..].first_chunk_mut().expect("it was reserved") = text;
            } else {
                self.out.copy_within(begin..begin + len, written);
            }
            written += len;
        }
    }

    /// Appends any text.
    pub(super) fn push(&mut self, text: &[u8]) {
        self.reserve(text.len());
        self.out[self.end..][..text.len()].copy_from_slice(text);
        self.end += text.len();
    }

    /// Appends a number, whether there is room or not.
    pub(super) fn push_u64(&mut self, value: u64) {
        self.reserve(F64_ROOM);
        self.value(Value::U64(value));
    }

    /// Appends a text in quotation marks.
    pub(super) fn push_escaped(&mut self, text: &str) {
        self.out.truncate(self.end);
        push_escaped(self.out, text);
        self.end = self.out.len();
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ABSENT;

    #[test]
    fn pieces_of_every_length_are_whole() {
        let mut text: Vec<u8> = (0..300).map(|number| number as u8).collect();
        text.resize(300 + BLOCK, 0);
        for len in 0..=300 {
            let mut out = b"before".to_vec();
            let mut room = Room::behind(&mut out);
            room.blocks(&text, 0, len);
            room.blocks(&text, 300 - len, len);
            assert_eq!(room.len(), 6 + 2 * len);
            room.ready::<3>().copy_from_slice(b"end");
            room.grow(2);
            room.blocks(&text, 0, len);
            drop(room);
            let pieces = [b"before", &text[..len], &text[300 - len..300], b"en", &text[..len]];
            assert_eq!(out, pieces.concat());
        }
    }

    /// The words as text, in parts.
    fn told(words: &[u64], repr: Repr) -> String {
        let (mut text, mut row) = (Vec::new(), 0);
        while row < words.len() {
            let mut out = Vec::new();
            let mut room = Room::behind(&mut out);
            room.reserve(PART_BYTES + 2 * F64_ROOM);
            let count = room.words(words[row..].iter().copied(), repr) as usize;
            assert!(count > 0 && (room.len() >= PART_BYTES || row + count == words.len()));
            row += count;
            drop(room);
            text.append(&mut out);
        }
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn words_that_follow_themselves_are_written_as_often() {
        let values =
            [0, 7, 99_999_999, 100_000_000, 123_456_789_012, 123_500_000_000, u64::MAX / 2];
        let (mut words, mut expected) = (Vec::new(), String::new());
        let (mut floats, mut expected_floats) = (Vec::new(), String::new());
        for (index, times) in (1..40).chain([1, 63, 64, 65, 40_000, 2]).enumerate() {
            let value = values[index % values.len()] + index as u64;
            let value = if index % 5 == 4 { None } else { Some(value) };
            let float = value.map(|value| value as f64 / 7.0);
            for _ in 0..times {
                words.push(value.unwrap_or(ABSENT));
                floats.push(float.map_or(ABSENT, f64::to_bits));
                expected += &value.map_or("null,".to_owned(), |value| format!("{value},"));
                let json = float.map(|float| serde_json::to_string(&float).expect("a number"));
                expected_floats += &json.map_or("null,".to_owned(), |json| json + ",");
            }
        }
        assert!(told(&words, Repr::U64) == expected);
        assert!(told(&floats, Repr::F64) == expected_floats);
    }
}
