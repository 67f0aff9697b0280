//! Memory that ends at a page which cannot be read.
//!
//! A decoder that looks behind the end of what it was given is killed at once, also where no
//! sanitizer watches: in the replay of the inputs that every `cargo test` does. This is the one file
//! here with `unsafe` in it.
#![allow(unsafe_code, reason = "no safe call makes a page unreadable, or a slice of mapped memory")]

use std::cell::RefCell;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::mm::{MprotectFlags, mprotect};

const PAGE_BYTES: usize = 4096;

thread_local! {
    /// Mapped once and used again: a mapping for each input would be most of what a fuzzer does.
    static BYTES: RefCell<Option<Guarded>> = const { RefCell::new(None) };
    static WORDS: RefCell<Option<Guarded>> = const { RefCell::new(None) };
}

/// Some pages that can be used, and one behind them that cannot.
struct Guarded {
    raw: MmapRaw,
    room_bytes: usize,
}

impl Guarded {
    fn with_room(bytes: usize) -> Self {
        let room_bytes = bytes.next_multiple_of(PAGE_BYTES).max(PAGE_BYTES);
        let map = MmapOptions::new().len(room_bytes + PAGE_BYTES).map_anon();
        let raw = MmapRaw::from(map.expect("memory"));
        let guard = raw.as_mut_ptr().wrapping_add(room_bytes);
        // SAFETY: the page lies in the mapping that `raw` owns, at its end, and nothing refers to it.
        let protected = unsafe { mprotect(guard.cast(), PAGE_BYTES, MprotectFlags::empty()) };
        protected.expect("a page of ours");
        Self { raw, room_bytes }
    }

    /// The last `len` elements of the room.
    ///
    /// # Safety
    ///
    /// Every bit pattern is a valid `T`, whose alignment divides its size and is at most a page's.
    unsafe fn tail<T>(&mut self, len: usize) -> &mut [T] {
        let bytes = len * size_of::<T>();
        assert!(bytes <= self.room_bytes);
        let start = self.raw.as_mut_ptr().wrapping_add(self.room_bytes - bytes).cast::<T>();
        // SAFETY: `bytes` bytes from `start` are mapped, initialised (anonymous memory is zero) and
        // writable as long as `self.raw` lives, and `self` is borrowed for as long as the slice.
        // `start` is aligned: the room ends at a page, and the caller says the rest.
        unsafe { slice::from_raw_parts_mut(start, len) }
    }
}

/// Room for so many bytes, which is the one of before if it is large enough.
fn room(place: &mut Option<Guarded>, bytes: usize) -> &mut Guarded {
    if place.as_ref().is_none_or(|guarded| guarded.room_bytes < bytes) {
        *place = Some(Guarded::with_room(bytes));
    }
    place.as_mut().expect("it has just been made")
}

/// Runs `f` on a copy of `bytes` behind which nothing can be read. Not inside of itself.
pub fn bytes<T>(bytes: &[u8], f: impl FnOnce(&[u8]) -> T) -> T {
    BYTES.with_borrow_mut(|place| {
        let guarded = room(place, bytes.len());
        // SAFETY: every byte is one.
        let copy = unsafe { guarded.tail::<u8>(bytes.len()) };
        copy.copy_from_slice(bytes);
        f(copy)
    })
}

/// Runs `f` on a copy of `words` behind which nothing can be read. Not inside of itself.
pub fn words<T>(words: &[u64], f: impl FnOnce(&[AtomicU64]) -> T) -> T {
    WORDS.with_borrow_mut(|place| {
        let guarded = room(place, size_of_val(words));
        // SAFETY: every bit pattern is an integer, and an atomic one has the layout of a plain one.
        let copy = unsafe { guarded.tail::<AtomicU64>(words.len()) };
        for (copied, word) in copy.iter().zip(words) {
            copied.store(*word, Ordering::Relaxed);
        }
        f(copy)
    })
}

/// Reads the byte behind the end of guarded memory, which kills the process.
///
/// # Panics
///
/// When it does not: the memory is not guarded.
pub fn fall_over_the_end() {
    bytes(&[1, 2, 3], |copy| {
        let behind = copy.as_ptr().wrapping_add(copy.len());
        // SAFETY: none; the page cannot be read. Whoever calls this wants to see the kernel say so.
        let byte = unsafe { behind.read_volatile() };
        panic!("{byte} lies behind the end");
    });
}
