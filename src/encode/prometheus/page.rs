//! The end of a buffer, written to in blocks.

/// Text is copied in blocks of this size, which the compiler turns into a few vector moves; what was
/// copied beyond the end of a piece is overwritten by the next one.
pub(super) const BLOCK: usize = 64;

/// How much of a buffer is made ready at a time: little enough to stay in the fastest cache until it
/// is written to.
const STRIDE: usize = 4096;

/// The end of a buffer. Its bytes from `len` on are in an unknown state until it is dropped.
pub(super) struct Page<'a> {
    out: &'a mut Vec<u8>,
    len: usize,
}

impl<'a> Page<'a> {
    pub(super) fn at_end_of(out: &'a mut Vec<u8>) -> Self {
        let len = out.len();
        Self { out, len }
    }

    /// How long the text in the buffer is.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Room behind the text, of which [`Page::grow`] then says how much was used.
    #[inline]
    pub(super) fn room<const N: usize>(&mut self) -> &mut [u8; N] {
        if self.out.len() < self.len + N {
            self.extend(N);
        }
        self.out[self.len..].first_chunk_mut().expect("there is room")
    }

    #[cold]
    fn extend(&mut self, room: usize) {
        self.out.resize(self.len + room.max(STRIDE), 0);
    }

    /// Makes the first `count` bytes of the room text.
    #[inline]
    pub(super) fn grow(&mut self, count: usize) {
        self.len += count;
    }

    /// Forgets all text from `len` on.
    #[cold]
    pub(super) fn cut(&mut self, len: usize) {
        self.len = len;
    }

    /// Appends the `len` bytes of `text` from `at` on. A block behind them must be there.
    #[inline]
    pub(super) fn copy(&mut self, text: &[u8], at: usize, len: usize) {
        let (mut at, mut left) = (at, len);
        loop {
            let block: &[u8; BLOCK] = text[at..].first_chunk().expect("there is padding");
            *self.room() = *block;
            if left <= BLOCK {
                self.len += left;
                return;
            }
            (at, left, self.len) = (at + BLOCK, left - BLOCK, self.len + BLOCK);
        }
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_every_length_are_whole() {
        let mut text: Vec<u8> = (0..300).map(|number| number as u8).collect();
        text.resize(300 + BLOCK, 0);
        for len in 0..=300 {
            let mut out = b"before".to_vec();
            let mut page = Page::at_end_of(&mut out);
            page.copy(&text, 0, len);
            page.copy(&text, 300 - len, len);
            assert_eq!(page.len(), 6 + 2 * len);
            page.room::<3>().copy_from_slice(b"end");
            page.grow(2);
            drop(page);
            assert_eq!(out, [b"before", &text[..len], &text[300 - len..300], b"en"].concat());
        }
    }
}
