//! Room in a file system, by `fstatvfs`.
//!
//! The counts are in fragments. `f_bsize` is what is best read at once, and differs on some file
//! systems (FUSE, ZFS); the kernel sets the two equal where a file system has no view.

use rustix::fd::AsFd;
use rustix::fs::StatVfsMountFlags;

use super::super::SampleError;

/// Room in a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) size_bytes: u64,
    pub(super) free_bytes: u64,
    pub(super) available_bytes: u64,
    /// Files and free files; a file system that does not count them (btrfs, FAT) says 0 of 0.
    pub(super) files: Option<[u64; 2]>,
    pub(super) readonly: bool,
}

impl Space {
    /// The room in the file system in which `fd` lies. May block for as long as it likes.
    pub(super) fn of(fd: impl AsFd) -> Result<Self, SampleError> {
        let space = rustix::io::retry_on_intr(|| rustix::fs::fstatvfs(&fd));
        let space = space.map_err(SampleError::read)?;
        let bytes = |blocks: u64| blocks.checked_mul(space.f_frsize);
        let [Some(size_bytes), Some(free_bytes), Some(available_bytes)] =
            [space.f_blocks, space.f_bfree, space.f_bavail].map(bytes)
        else {
            return Err(SampleError::TooLarge);
        };
        let files = (space.f_files > 0).then_some([space.f_files, space.f_ffree]);
        let readonly = space.f_flag.contains(StatVfsMountFlags::RDONLY);
        Ok(Self { size_bytes, free_bytes, available_bytes, files, readonly })
    }

    /// What is taken.
    pub(super) fn used_bytes(&self) -> u64 {
        self.size_bytes.saturating_sub(self.free_bytes)
    }
}
