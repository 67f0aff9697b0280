//! A directory of a hierarchy: who it is, what is in it, and its files.

use std::ffi::{CStr, CString};

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::super::SampleError;
use super::files::{FILES_MAX, ROTATION_TURNS};
use super::groups::GroupIndex;

/// What changes when a directory comes to hold another set of directories. Control groups count
/// their children; on other file systems the time of the change says it as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    links: u64,
    modified: (i64, i64),
}

impl Shape {
    #[allow(
        clippy::unnecessary_cast,
        clippy::useless_conversion,
        reason = "widths vary by machine"
    )]
    pub(super) fn of(stat: &Stat) -> Self {
        let modified = (stat.st_mtime as i64, stat.st_mtime_nsec as i64);
        Self { links: u64::from(stat.st_nlink), modified }
    }
}

/// Why a directory that is wanted has no group.
pub(super) type Refusal = SampleError;

/// A directory that is followed.
#[derive(Debug)]
pub(super) struct Node {
    /// From the hierarchy's root, without a leading slash; `.` for the root itself.
    pub(super) path: CString,
    pub(super) parent: usize,
    pub(super) depth: usize,
    pub(super) inode: u64,
    pub(super) shape: Shape,
    /// Kept if descriptors are left: asking through it costs a fifth of asking by path, and while
    /// it is open no other directory has the same inode number.
    pub(super) directory: Option<OwnedFd>,
    pub(super) children: Vec<usize>,
    /// Whether there have ever been children: more are likely to come.
    pub(super) is_parent: bool,
    /// Number of the listing that met it last.
    pub(super) met: u32,
    /// The turn at which it was found.
    pub(super) born: u32,
    /// Whether its files have not been read yet.
    pub(super) fresh: bool,
    pub(super) group: Option<GroupIndex>,
    pub(super) refusal: Option<Refusal>,
    pub(super) slots: [Slot; FILES_MAX],
    /// The last values of the files that are read in rotation.
    pub(super) held: [u64; ROTATION_TURNS],
    pub(super) sums: Sums,
}

/// A file of a group.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) file: Option<OwnedFd>,
    /// It has been read before.
    pub(super) known: bool,
    /// There is no such file, or it cannot be read.
    pub(super) absent: bool,
    /// It has the name that older kernels give it.
    pub(super) older: bool,
}

/// Sums over devices as they were last, and over how many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    last: [([u64; 6], u32); 2],
}

impl Sums {
    /// Keeps the sums of file number `file`, and says whether one of them fell: a device has gone
    /// and taken along what it had counted.
    pub(super) fn fell(&mut self, file: usize, words: &[u64], devices: u32) -> bool {
        let Some((last, last_devices)) = self.last.get_mut(file) else { return false };
        let fell = devices < *last_devices || words.iter().zip(&*last).any(|(now, was)| now < was);
        last.iter_mut().zip(words).for_each(|(was, now)| *was = *now);
        *last_devices = devices;
        fell
    }
}

impl Node {
    /// Whether there is nothing above it.
    pub(super) fn is_root(&self) -> bool {
        self.depth == 0
    }

    /// What the system says of it now.
    #[inline]
    pub(super) fn stat(&self, root: BorrowedFd<'_>) -> Result<Stat, Errno> {
        match &self.directory {
            Some(directory) => rustix::fs::fstat(directory),
            None => rustix::fs::statat(root, &*self.path, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    /// Whether its path still leads to it.
    pub(super) fn is_there(&self, root: BorrowedFd<'_>) -> bool {
        let stat = rustix::fs::statat(root, &*self.path, AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| stat.st_ino == self.inode)
    }

    /// Opens it for listing.
    pub(super) fn list(&self, root: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match &self.directory {
            Some(directory) => rustix::fs::openat(directory, c".", flags, Mode::empty()),
            None => rustix::fs::openat(root, &*self.path, flags, Mode::empty()),
        }
    }

    /// Opens its file `name`; `scratch` is room for a path.
    pub(super) fn open(
        &self,
        root: BorrowedFd<'_>,
        name: &CStr,
        scratch: &mut Vec<u8>,
    ) -> Result<OwnedFd, Errno> {
        // Not to wait for a writer, should somebody have put a pipe here.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        if let Some(directory) = &self.directory {
            return rustix::fs::openat(directory.as_fd(), name, flags, Mode::empty());
        }
        scratch.clear();
        scratch.extend_from_slice(self.path.to_bytes());
        scratch.push(b'/');
        scratch.extend_from_slice(name.to_bytes_with_nul());
        let path = CStr::from_bytes_with_nul(scratch).map_err(|_| Errno::INVAL)?;
        rustix::fs::openat(root, path, flags, Mode::empty())
    }

    /// How many descriptors it keeps open.
    pub(super) fn descriptors(&self) -> usize {
        let files = self.slots.iter().filter(|slot| slot.file.is_some()).count();
        files + usize::from(self.directory.is_some())
    }
}
