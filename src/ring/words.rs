//! Where the words of a ring come from.

use core::sync::atomic::{AtomicU64, Ordering};

/// Memory, or a file, that is read one 64-bit word at a time.
///
/// Another process may change any word at any time, so two loads of one word may differ: a decoder
/// loads a word once and checks what it then holds. This is the one place through which the decoder
/// sees a ring; it does not know whether it reads a mapping, a file or a test's vector.
pub trait Words {
    /// See [`Words::span`].
    type Span<'a>: Span
    where
        Self: 'a;

    /// How many words there are. Never changes.
    fn len(&self) -> usize;

    /// Loads a word with relaxed ordering, the only kind that a read-only mapping is sure to
    /// support. A word that lies outside or cannot be read is 0, which no valid field is mistaken
    /// for: the format gives 0 no meaning but "nothing here".
    fn load(&self, index: usize) -> u64;

    /// Loads the words from `start` into `out`, each as [`Words::load`] does.
    fn copy(&self, start: usize, out: &mut [u64]) {
        for (offset, word) in out.iter_mut().enumerate() {
            *word = self.load(start.saturating_add(offset));
        }
    }

    /// The `len` words from `start`, found once to be loaded from many times. What lies outside of
    /// these words is left out of it.
    fn span(&self, start: usize, len: usize) -> Self::Span<'_>;

    /// Whether there are no words.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Some neighbouring words of a [`Words`].
pub trait Span: Copy {
    /// Loads a word as [`Words::load`] does; `None` outside.
    fn load(self, offset: usize) -> Option<u64>;

    /// Loads the words from `offset` on, one after another.
    fn words(self, offset: usize) -> impl ExactSizeIterator<Item = u64>;
}

impl Span for &[AtomicU64] {
    #[inline]
    fn load(self, offset: usize) -> Option<u64> {
        self.get(offset).map(|word| word.load(Ordering::Relaxed))
    }

    #[inline]
    fn words(self, offset: usize) -> impl ExactSizeIterator<Item = u64> {
        self.get(offset..).unwrap_or_default().iter().map(|word| word.load(Ordering::Relaxed))
    }
}

/// The [`Span`] of words that have no better one: each load goes through [`Words::load`].
#[derive(Debug)]
pub struct Indexed<'a, W: ?Sized> {
    words: &'a W,
    start: usize,
    len: usize,
}

impl<'a, W: Words + ?Sized> Indexed<'a, W> {
    /// The `len` words of `words` from `start`.
    pub fn new(words: &'a W, start: usize, len: usize) -> Self {
        Self { words, start, len }
    }
}

// Derived, these would ask that the words can be copied as well.
impl<W: ?Sized> Clone for Indexed<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W: ?Sized> Copy for Indexed<'_, W> {}

impl<W: Words + ?Sized> Span for Indexed<'_, W> {
    fn load(self, offset: usize) -> Option<u64> {
        (offset < self.len).then(|| self.words.load(self.start.saturating_add(offset)))
    }

    fn words(self, offset: usize) -> impl ExactSizeIterator<Item = u64> {
        let start = self.start.saturating_add(offset);
        (0..self.len.saturating_sub(offset))
            .map(move |word| self.words.load(start.saturating_add(word)))
    }
}

/// Words that may be written; the writer has the only such access.
pub trait WordsMut: Words {
    /// Stores a word with relaxed ordering.
    ///
    /// # Panics
    ///
    /// When `index` lies outside: the writer computes its own offsets.
    fn store(&self, index: usize, value: u64);

    /// Stores a word with release ordering.
    ///
    /// # Panics
    ///
    /// As [`WordsMut::store`].
    fn store_release(&self, index: usize, value: u64);

    /// Stores `values` one after another from `start`, each as [`WordsMut::store`] does.
    fn store_all(&self, start: usize, values: &[u64]) {
        for (offset, value) in values.iter().enumerate() {
            self.store(start + offset, *value);
        }
    }
}

impl Words for [AtomicU64] {
    type Span<'a> = &'a [AtomicU64];

    #[inline]
    fn span(&self, start: usize, len: usize) -> &[AtomicU64] {
        let end = start.saturating_add(len).min(self.len());
        self.get(start..end).unwrap_or_default()
    }

    #[inline]
    fn len(&self) -> usize {
        self.len()
    }

    #[inline]
    fn load(&self, index: usize) -> u64 {
        self.get(index).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    #[inline]
    fn copy(&self, start: usize, out: &mut [u64]) {
        let words = self.get(start..).unwrap_or_default();
        let present = words.len().min(out.len());
        for (value, word) in out.iter_mut().zip(words) {
            *value = word.load(Ordering::Relaxed);
        }
        out[present..].fill(0);
    }
}

impl WordsMut for [AtomicU64] {
    #[inline]
    fn store(&self, index: usize, value: u64) {
        self[index].store(value, Ordering::Relaxed);
    }

    #[inline]
    fn store_release(&self, index: usize, value: u64) {
        self[index].store(value, Ordering::Release);
    }

    #[inline]
    fn store_all(&self, start: usize, values: &[u64]) {
        for (word, value) in self[start..start + values.len()].iter().zip(values) {
            word.store(*value, Ordering::Relaxed);
        }
    }
}

macro_rules! forward_words {
    ($($target:ty),*) => {$(
        impl<W: Words + ?Sized> Words for $target {
            type Span<'a> = W::Span<'a> where Self: 'a;
            #[inline]
            fn span(&self, start: usize, len: usize) -> W::Span<'_> { (**self).span(start, len) }
            #[inline]
            fn len(&self) -> usize { (**self).len() }
            #[inline]
            fn load(&self, index: usize) -> u64 { (**self).load(index) }
            #[inline]
            fn copy(&self, start: usize, out: &mut [u64]) { (**self).copy(start, out) }
        }
        impl<W: WordsMut + ?Sized> WordsMut for $target {
            #[inline]
            fn store(&self, index: usize, value: u64) { (**self).store(index, value) }
            #[inline]
            fn store_release(&self, index: usize, value: u64) { (**self).store_release(index, value) }
            #[inline]
            fn store_all(&self, start: usize, values: &[u64]) { (**self).store_all(start, values) }
        }
    )*};
}

forward_words!(&W, std::sync::Arc<W>, Box<W>);

/// Zeroed words on the heap: a ring for tests and models, or a saved one in memory.
#[must_use]
pub fn heap_words(len: usize) -> Box<[AtomicU64]> {
    (0..len).map(|_| AtomicU64::new(0)).collect()
}
