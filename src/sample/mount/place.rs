//! A path that was opened to be asked about, and the mount that it lies on.
//!
//! The descriptor (`O_PATH`) can neither read nor write, and is kept no longer than a question takes:
//! while it is open nobody can unmount what it lies on.

use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::super::SampleError;
use super::space::Space;
use super::table::{DeviceNumber, Mount};

/// An open path.
pub(super) struct Place {
    fd: OwnedFd,
    /// Number of the mount; kernels before 5.8 do not tell.
    pub(super) mount_id: Option<u64>,
    pub(super) number: DeviceNumber,
    kind: FileType,
}

impl Place {
    /// Opens `path`, whatever it is. May block.
    pub(super) fn open(path: &Path) -> Result<Self, SampleError> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let fd = rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()));
        let fd = fd.map_err(SampleError::open)?;
        // What the kernel knows by itself is enough: a server need not be asked.
        let how = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        match rustix::fs::statx(&fd, c"", how, StatxFlags::TYPE | StatxFlags::MNT_ID) {
            Ok(found) => {
                let told = StatxFlags::from_bits_retain(found.stx_mask);
                let mount_id = told.contains(StatxFlags::MNT_ID).then_some(found.stx_mnt_id);
                let number =
                    DeviceNumber { major: found.stx_dev_major, minor: found.stx_dev_minor };
                let kind = FileType::from_raw_mode(found.stx_mode.into());
                Ok(Self { fd, mount_id, number, kind })
            }
            // Kernels before 4.11, and containers that forbid what they do not know.
            Err(Errno::NOSYS | Errno::PERM) => {
                let found = rustix::fs::fstat(&fd).map_err(SampleError::read)?;
                let (number, kind) =
                    (DeviceNumber::of(found.st_dev), FileType::from_raw_mode(found.st_mode));
                Ok(Self { fd, mount_id: None, number, kind })
            }
            Err(errno) => Err(SampleError::read(errno)),
        }
    }

    /// Opens `path`, which must be a directory. May block.
    ///
    /// The system is not asked to open a directory and nothing else: for that it would mount what
    /// an automounter has for the path.
    pub(super) fn open_directory(path: &Path) -> Result<Self, SampleError> {
        let place = Self::open(path)?;
        if place.kind.is_dir() { Ok(place) } else { Err(SampleError::open(Errno::NOTDIR)) }
    }

    /// Whether it lies on `mount`. The numbers of mounts are compared if they are `ours`, otherwise
    /// those of devices; a part of a btrfs has a device number of its own.
    pub(super) fn is_on(&self, mount: &Mount, ours: bool) -> bool {
        match self.mount_id {
            Some(id) if ours => id == mount.id,
            _ if *mount.fs_type == *b"btrfs" => self.number.major == 0,
            _ => self.number == mount.number,
        }
    }

    /// The room in the file system that it lies in. May block.
    pub(super) fn space(&self) -> Result<Space, SampleError> {
        Space::of(&self.fd)
    }
}
