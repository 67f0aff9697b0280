//! Words that see how they are read: never outside, never without end.

use std::cell::Cell;

use tachograph::ring::{Indexed, Words};

/// Words with an allowance of loads.
///
/// A decoder that a file can make run for years is as broken as one that it can make panic, and the
/// fuzzer would only ever see it as a slow one. So every call is given as many loads as the size of
/// the ring explains, and one more is a failure.
#[derive(Debug)]
pub struct Watched<W> {
    words: W,
    left: Cell<u64>,
}

impl<W: Words> Watched<W> {
    /// Watches `words`; without an allowance nothing can be read.
    pub fn new(words: W) -> Self {
        Self { words, left: Cell::new(0) }
    }

    /// Allows this many loads from now on.
    pub fn allow(&self, loads: u64) {
        self.left.set(loads);
    }

    /// What is watched.
    pub fn inner(&self) -> &W {
        &self.words
    }

    fn take(&self, loads: usize) {
        let left = self.left.get().checked_sub(loads as u64);
        self.left.set(left.expect("the ring's size explains the number of loads"));
    }
}

impl<W: Words> Words for Watched<W> {
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
        self.take(1);
        assert!(index < self.len(), "word {index} of {}", self.len());
        self.words.load(index)
    }

    fn copy(&self, start: usize, out: &mut [u64]) {
        self.take(out.len());
        assert!(start + out.len() <= self.len(), "words from {start} of {}", self.len());
        self.words.copy(start, out);
    }
}
