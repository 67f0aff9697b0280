//! A kernel file that is kept open and read again from its beginning at every turn.

use std::path::{Path, PathBuf};

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::SampleError;

/// Size of a buffer at first. It doubles when a text fills it.
const BUFFER_BYTES: usize = 4 << 10;

/// Longest text that is read, in bytes: enough for `DISKS_MAX` lines of full-length numbers.
pub(super) const TEXT_BYTES_MAX: usize = 4 << 20;

/// The kernel prints line by line into a buffer of at least one page, and a page is at least this.
const PAGE_BYTES_MIN: usize = 4 << 10;

/// Every so many turns a file is asked for more even where its end seems certain.
const CONFIRM_TURNS: u32 = 16;

/// How the kernel hands out a file, which says when a short read is the end of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// In one piece: a read that does not fill the buffer is the last one.
    Whole,
    /// Line by line. The kernel collects lines until the next one does not fit into what is left
    /// of its page, so a read may stop early; but if a line of `longest` bytes would have
    /// fitted, there was none.
    ByLine {
        /// Length of the longest line, or of the longest run of lines that is printed at once.
        longest: usize,
    },
}

impl Shown {
    /// Whether a read of `length` bytes, short of what was asked for, was the last one.
    fn ends_after(self, length: usize) -> bool {
        match self {
            Self::Whole => true,
            Self::ByLine { longest } => length + longest < PAGE_BYTES_MIN,
        }
    }
}

/// The open file and the buffer that its text is read into.
///
/// The read that would find the end of the file is saved where the end can be told without it; it
/// costs 0.2 to 0.9 us, up to a tenth of the file's price. Where such a guess is ever seen to be
/// wrong it is not made again for that file.
#[derive(Debug)]
pub(super) struct TextFile {
    path: PathBuf,
    shown: Shown,
    file: Option<OwnedFd>,
    buffer: Vec<u8>,
    turns: u32,
    misjudged: bool,
    /// Length of the text that was read last.
    length: usize,
    openings: u32,
}

impl TextFile {
    /// The file at `path`, opened when it is first read.
    pub(super) fn new(path: PathBuf, shown: Shown) -> Self {
        let (file, buffer) = (None, Vec::new());
        Self { path, shown, file, buffer, turns: 0, misjudged: false, length: 0, openings: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, if it is open.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_ref()?.as_fd())
    }

    /// How many times it has been opened. What it tells of may be another thing each time.
    pub(super) fn openings(&self) -> u32 {
        self.openings
    }

    /// Closes the file, to be opened anew at the next reading.
    pub(super) fn close(&mut self) {
        self.file = None;
    }

    /// The text that was read last; empty after a failure.
    pub(super) fn text(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    /// Closes a file that has been removed, where its descriptor does not say so by itself: only
    /// what lies on a disk can still be read then.
    pub(super) fn close_if_removed(&mut self) {
        let removed = |file: &OwnedFd| rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink == 0);
        if self.file.as_ref().is_some_and(removed) {
            self.file = None;
        }
    }

    /// The whole text as it is now.
    ///
    /// A file that cannot be read is closed and opened anew at the next call; one whose device or
    /// file system has been replaced meanwhile, at once.
    pub(super) fn read(&mut self) -> Result<&[u8], SampleError> {
        let replaced = |error| [Errno::NODEV, Errno::STALE].map(SampleError::read).contains(&error);
        let was_open = self.file.is_some();
        self.length = 0;
        self.length = match self.read_once() {
            Err(error) if was_open && replaced(error) => self.read_once()?,
            other => other?,
        };
        Ok(self.text())
    }

    /// Reads the text, closes the file if that fails, and returns the text's length.
    fn read_once(&mut self) -> Result<usize, SampleError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                self.turns = 0;
                self.openings = self.openings.wrapping_add(1);
                // Not to wait for a writer, should somebody have put a pipe here.
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
                rustix::fs::open(&self.path, flags, Mode::empty()).map_err(SampleError::open)?
            }
        };
        let length = self.fill(&file)?;
        self.file = Some(file);
        Ok(length)
    }

    /// Reads to the end of the text and returns its length.
    fn fill(&mut self, file: &OwnedFd) -> Result<usize, SampleError> {
        let confirm = self.misjudged || self.turns.is_multiple_of(CONFIRM_TURNS);
        self.turns = self.turns.wrapping_add(1);
        let mut length = 0;
        let mut ended = false;
        loop {
            if length == self.buffer.len() {
                self.grow()?;
            }
            let room = self.buffer.get_mut(length..).unwrap_or_default();
            let asked = room.len();
            let read =
                rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut *room, length as u64));
            let read = read.map_err(SampleError::read)?;
            if read == 0 {
                return Ok(length);
            }
            self.misjudged |= ended;
            length += read;
            ended = read < asked && self.shown.ends_after(read);
            if ended && !confirm {
                return Ok(length);
            }
        }
    }

    /// Doubles the buffer, which the text has filled.
    #[cold]
    fn grow(&mut self) -> Result<(), SampleError> {
        let size = (self.buffer.len() * 2).max(BUFFER_BYTES);
        if size > TEXT_BYTES_MAX {
            return Err(SampleError::TooLong);
        }
        self.buffer.resize(size, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(name: &str, text: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tachograph-{}-{name}", std::process::id()));
        fs::write(&path, text).expect("a temporary file");
        path
    }

    #[test]
    fn text_of_any_length_up_to_the_limit_is_read_whole() {
        for shown in [Shown::Whole, Shown::ByLine { longest: 64 }] {
            let path = file("length", b"");
            let mut text = TextFile::new(path.clone(), shown);
            for length in [0, 1, 4000, 4095, 4096, 4097, 8192, 70_000, TEXT_BYTES_MAX - 1, 3] {
                let bytes: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
                fs::write(&path, &bytes).expect("a temporary file");
                assert_eq!(text.read().map(<[u8]>::len), Ok(length));
                assert_eq!(text.read(), Ok(&bytes[..]));
            }
            fs::write(&path, vec![0; TEXT_BYTES_MAX + 1]).expect("a temporary file");
            assert_eq!(text.read(), Err(SampleError::TooLong));
            fs::remove_file(path).expect("it was there");
        }
    }

    #[test]
    fn file_that_is_missing_is_opened_once_it_is_there() {
        let path = file("missing", b"");
        fs::remove_file(&path).expect("it was there");
        let mut text = TextFile::new(path.clone(), Shown::Whole);
        assert_eq!(text.read(), Err(SampleError::open(Errno::NOENT)));
        fs::write(&path, b"here\n").expect("a temporary file");
        assert_eq!(text.read(), Ok(&b"here\n"[..]));
        fs::remove_file(path).expect("it was there");
        assert_eq!(text.read(), Ok(&b"here\n"[..]), "the descriptor is kept");
    }

    #[test]
    fn directory_cannot_be_read() {
        let mut text = TextFile::new(std::env::temp_dir(), Shown::Whole);
        for _ in 0..2 {
            assert_eq!(text.read(), Err(SampleError::read(Errno::ISDIR)));
        }
    }

    #[test]
    fn kernel_file_of_several_pieces_is_read_whole() {
        // The kernel hands out a page at a time, whatever the buffer.
        let mut text = TextFile::new("/proc/self/smaps".into(), Shown::ByLine { longest: 512 });
        for _ in 0..2 * CONFIRM_TURNS {
            let read = text.read().expect("this process").to_vec();
            let last = read.trim_ascii_end().rsplit(|&byte| byte == b'\n').next();
            assert!(last.is_some_and(|line| line.starts_with(b"VmFlags:")), "cut short");
        }
    }
}
