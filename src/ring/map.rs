//! The mapping: the one file of the crate with `unsafe` in it.
//!
//! It turns a file into `&[AtomicU64]`; over that everything else is safe code. Two assumptions are
//! made of the outside, and `format.md` states them: nobody truncates the file while it is mapped
//! (its owner is checked before, and no writer of ours ever does; of sealed memory the kernel sees to
//! it), and whoever else writes to it does so in whole aligned words.
#![allow(unsafe_code, reason = "the one exception that Cargo.toml's lints speak of")]

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use memmap2::{MmapOptions, MmapRaw};

use super::layout::header as at;
use super::words::{Words, WordsMut};

/// A shared mapping of a whole file, seen as words.
#[derive(Debug)]
struct Mapping {
    raw: MmapRaw,
    len_words: usize,
}

impl Mapping {
    fn new(raw: MmapRaw) -> Self {
        let len_words = raw.len() / size_of::<u64>();
        Self { raw, len_words }
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        let start = self.raw.as_ptr().cast::<AtomicU64>();
        // SAFETY:
        // - `start` is not null and aligned to a page: mmap(2) returned it for a length above zero,
        //   which memmap2 has checked.
        // - `len_words * 8` bytes from it are mapped readable for as long as `self.raw` lives, and
        //   the slice borrows `self`.
        // - They are initialised: pages of a file are. `AtomicU64` has the layout of `u64`, for
        //   which every bit pattern is valid.
        // - Others may change them meanwhile: the elements are atomics, so that is no data race and
        //   no mutation behind a shared reference that the compiler was told could not happen.
        // - On a read-only mapping a store would fault: `ReadMap` gives out no way to store. Loads
        //   are relaxed and 8 bytes wide, which std guarantees on read-only memory
        //   (`core::sync::atomic`, "Atomic accesses to read-only memory").
        unsafe { std::slice::from_raw_parts(start, self.len_words) }
    }

    /// The futex word: the first half of the word `notify`, which is never accessed as a whole.
    fn notify(&self) -> &AtomicU32 {
        let word: *const AtomicU64 = &raw const self.words()[at::NOTIFY];
        // SAFETY:
        // - The pointer comes from a live element of the mapping, so it is valid and aligned for
        //   4 bytes, and the reference borrows `self`, which keeps the mapping.
        // - No one accesses this word with 8 bytes: the format reserves it, `layout::header` names
        //   it only here, and a decoder that scans words does not touch the header's second block.
        //   So accesses of two sizes do not conflict.
        unsafe { &*word.cast::<AtomicU32>() }
    }
}

/// Words of a ring's file that can only be loaded. Clones share one mapping.
#[derive(Clone, Debug)]
pub struct ReadMap(Arc<Mapping>);

impl ReadMap {
    /// Maps the first `bytes` of `file`, which has at least that many, read-only.
    ///
    /// # Errors
    ///
    /// What mmap(2) says.
    pub(super) fn of(file: &File, bytes: u64) -> io::Result<Self> {
        let raw = MmapOptions::new().len(len_of(bytes)?).map_raw_read_only(file)?;
        Ok(Self(Arc::new(Mapping::new(raw))))
    }

    pub(super) fn notify(&self) -> &AtomicU32 {
        self.0.notify()
    }
}

/// The words of the writer, which alone can store. Clones share one mapping.
#[derive(Clone, Debug)]
pub(super) struct WriteMap(Arc<Mapping>);

impl WriteMap {
    /// Maps all of `file`, whose blocks have been allocated.
    ///
    /// # Errors
    ///
    /// What mmap(2) says.
    pub(super) fn of(file: &File, bytes: u64) -> io::Result<Self> {
        let raw = MmapOptions::new().len(len_of(bytes)?).map_raw(file)?;
        Ok(Self(Arc::new(Mapping::new(raw))))
    }

    /// The same mapping without the means to store.
    pub(super) fn read_only(&self) -> ReadMap {
        ReadMap(self.0.clone())
    }

    pub(super) fn notify(&self) -> &AtomicU32 {
        self.0.notify()
    }
}

fn len_of(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

macro_rules! words_of {
    ($map:ty) => {
        impl Words for $map {
            type Span<'a> = &'a [AtomicU64];
            #[inline]
            fn span(&self, start: usize, len: usize) -> &[AtomicU64] {
                self.0.words().span(start, len)
            }
            #[inline]
            fn len(&self) -> usize {
                self.0.len_words
            }
            #[inline]
            fn load(&self, index: usize) -> u64 {
                self.0.words().load(index)
            }
            #[inline]
            fn copy(&self, start: usize, out: &mut [u64]) {
                self.0.words().copy(start, out);
            }
        }
    };
}

words_of!(ReadMap);
words_of!(WriteMap);

impl WordsMut for WriteMap {
    #[inline]
    fn store(&self, index: usize, value: u64) {
        self.0.words().store(index, value);
    }
    #[inline]
    fn store_release(&self, index: usize, value: u64) {
        self.0.words().store_release(index, value);
    }
    #[inline]
    fn store_all(&self, start: usize, values: &[u64]) {
        self.0.words().store_all(start, values);
    }
}
