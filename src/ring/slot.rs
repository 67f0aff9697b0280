//! The seqlock of one slot: publish and observe.
//!
//! The first word of a slot says what is in it: `2s-1` while the record `s` is being written, `2s`
//! once it is stable, 0 when nothing ever was. It is a sequence, not a parity, so that one word
//! tells a reader who asks for `s` whether the record is there, not there yet, or gone.
//!
//! Why this holds, in pairs of lines marked with the same letter:
//!
//! - **A**: the writer's release fence stands between the invalidation `2s-1` and the words. A
//!   reader that saw one of the words of `s` and then passes its second acquire fence also sees the
//!   invalidation, or something later, when it looks at the slot again: it cannot take a mix of two
//!   records for either.
//! - **B**: the writer's store of `2s` is a release. A reader that saw `2s` and passes its first
//!   acquire fence sees every word of `s`.
//! - **C**: the store of the head is a release as well, so a reader that came by the head finds the
//!   slot at least at `2s`.
//!
//! Loads are relaxed and the ordering comes from fences because readers map read-only, where std
//! promises relaxed loads alone. On x86-64 none of this is an instruction of its own.

use super::ReadError;
use super::layout::{SEQUENCE_MAX, header as at};
use super::sync::{self, Ordering, Site, fence};
use super::words::{Words, WordsMut};

/// Writes the record `seq` into the slot at word `slot` and makes it the head.
///
/// `payload` is all of the record after its first word. There is one writer, and it publishes
/// `head + 1`.
#[inline]
pub(crate) fn publish<W: WordsMut + ?Sized>(words: &W, slot: usize, seq: u64, payload: &[&[u64]]) {
    sync::store(words, Site::Invalidated, slot, 2 * seq - 1);
    fence(Site::BeforeWords, Ordering::Release); // A
    let mut at_word = slot + 1;
    for part in payload {
        words.store_all(at_word, part);
        at_word += part.len();
    }
    sync::store_release(words, Site::Stable, slot, 2 * seq); // B
    sync::store_release(words, Site::Head, at::HEAD, seq); // C
}

/// Runs `f`, which may load words of the slot, and returns its result only if the record `seq` was
/// in the slot before and still is after.
#[inline]
pub(crate) fn observe<W: Words + ?Sized, T>(
    words: &W,
    slot: usize,
    seq: u64,
    f: impl FnOnce() -> T,
) -> Result<T, ReadError> {
    let wanted = stable(seq)?;
    let found = words.load(slot);
    if found != wanted {
        return Err(missed(found, wanted));
    }
    fence(Site::FoundStable, Ordering::Acquire); // B
    let result = f();
    fence(Site::AfterWords, Ordering::Acquire); // A
    let found = words.load(slot);
    if found != wanted {
        return Err(missed(found, wanted));
    }
    Ok(result)
}

/// Whether the record `seq` is still in its slot, after words of it, or of records after it, were
/// loaded. The writer overwrites in order, so this vouches for all younger records too.
#[inline]
pub(crate) fn recheck<W: Words + ?Sized>(
    words: &W,
    slot: usize,
    seq: u64,
) -> Result<(), ReadError> {
    fence(Site::AfterWindow, Ordering::Acquire); // A
    let (found, wanted) = (words.load(slot), stable(seq)?);
    if found == wanted { Ok(()) } else { Err(missed(found, wanted)) }
}

/// Loads the head so that every record up to it is found stable or gone, never half written.
#[inline]
pub(crate) fn head<W: Words + ?Sized>(words: &W) -> u64 {
    let head = words.load(at::HEAD);
    fence(Site::FoundHead, Ordering::Acquire); // C
    head
}

/// What a slot says when the record `seq` is stable in it. Of a sequence that no record has, twice it
/// would be 0, as in an empty slot, or overflow into what some other record says.
#[inline]
fn stable(seq: u64) -> Result<u64, ReadError> {
    if seq.wrapping_sub(1) < SEQUENCE_MAX { Ok(seq * 2) } else { Err(ReadError::Corrupt) }
}

/// Why a slot that says `found` does not have the record that `wanted` stands for.
#[cold]
fn missed(found: u64, wanted: u64) -> ReadError {
    if found < wanted { ReadError::NotYet } else { ReadError::Overrun }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::heap_words;

    #[test]
    fn one_word_tells_not_yet_present_and_overrun() {
        let words = heap_words(64);
        let read = |seq| observe(&words, 40, seq, || words.load(41));
        assert_eq!(read(3), Err(ReadError::NotYet));
        publish(&words, 40, 3, &[&[7]]);
        assert_eq!((read(3), head(&words)), (Ok(7), 3));
        assert_eq!(read(5), Err(ReadError::NotYet));
        words.store(40, 2 * 5 - 1);
        assert_eq!(read(3), Err(ReadError::Overrun), "being overwritten");
        assert_eq!(read(5), Err(ReadError::NotYet), "being written");
        publish(&words, 40, 5, &[&[8]]);
        assert_eq!((read(3), read(5)), (Err(ReadError::Overrun), Ok(8)));
    }

    /// An empty slot says 0, which is also twice the sequence 0 and, in 64 bits, twice 2^63. A reader
    /// that asked for either, as one does that believes a damaged head, was given an empty slot for a
    /// record, and for 2^63 + 3 the record 3.
    #[test]
    fn sequence_that_no_record_has_is_never_found() {
        let words = heap_words(64);
        let read = |seq| observe(&words, 40, seq, || ());
        for seq in [0, 1 << 63, u64::MAX] {
            assert_eq!(read(seq), Err(ReadError::Corrupt), "{seq}");
        }
        publish(&words, 40, 3, &[&[7]]);
        assert_eq!((read(3), read(3 + (1 << 63))), (Ok(()), Err(ReadError::Corrupt)));
        publish(&words, 40, SEQUENCE_MAX, &[&[7]]);
        assert_eq!(read(SEQUENCE_MAX), Ok(()));
    }

    #[test]
    fn what_was_read_of_an_overwritten_slot_is_thrown_away() {
        let words = heap_words(64);
        publish(&words, 40, 1, &[&[7]]);
        let read = observe(&words, 40, 1, || {
            let old = words.load(41);
            publish(&words, 40, 3, &[&[8]]);
            (old, words.load(41))
        });
        assert_eq!(read, Err(ReadError::Overrun));
    }
}
