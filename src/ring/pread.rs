//! Words of a file that nobody vouches for.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::words::{Indexed, Words};

/// Words read with pread(2), each time anew.
///
/// A mapping of a file that shrinks kills the process with SIGBUS; a read of it is merely short.
/// Slower, and right for files of any origin. What cannot be read is 0 and remembered.
#[derive(Debug)]
pub struct PreadWords {
    file: File,
    len_words: usize,
    failed: Cell<bool>,
}

/// Words per read of [`PreadWords::copy`].
const BLOCK_WORDS: usize = 512;

impl PreadWords {
    /// The words of `file` as long as it is now.
    ///
    /// # Errors
    ///
    /// What fstat(2) says.
    pub fn of(file: File) -> io::Result<Self> {
        let len_words = usize::try_from(file.metadata()?.len() / 8).unwrap_or(usize::MAX);
        Ok(Self { file, len_words, failed: Cell::new(false) })
    }

    /// Whether some word could not be read: the file has shrunk, or its device failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed.get()
    }
}

impl Words for PreadWords {
    type Span<'a> = Indexed<'a, Self>;

    fn span(&self, start: usize, len: usize) -> Indexed<'_, Self> {
        Indexed::new(self, start, len)
    }

    fn len(&self) -> usize {
        self.len_words
    }

    fn load(&self, index: usize) -> u64 {
        let mut word = [0];
        self.copy(index, &mut word);
        word[0]
    }

    fn copy(&self, start: usize, out: &mut [u64]) {
        let mut offset = (start as u64).saturating_mul(8);
        for block in out.chunks_mut(BLOCK_WORDS) {
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(block);
            if self.file.read_exact_at(bytes, offset).is_err() {
                bytes.fill(0);
                self.failed.set(true);
            }
            offset = offset.saturating_add(bytes.len() as u64);
        }
    }
}
