//! The root file system: its space, and the traffic of the block device under it.
//!
//! Space comes from `fstatfs` on a descriptor that is kept open, which saves walking the path.
//! The device's numbers come from `/sys/dev/block/MAJOR:MINOR/stat`:
//!
//! ```text
//!    41323    20042  2735746     6258     4056    21217  1683064     3464        0     6344     9934
//! ```
//!
//! A file system that does not lie on one block device (overlay, btrfs, NFS) has a device number
//! with major 0, and no such series.

use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;

use super::columns::Columns;
use super::diskstats;
use super::fields::Fields;
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

const OBJECT: &str = "filesystem/";

/// The source of the file system's space.
pub(super) struct Rootfs {
    path: PathBuf,
    directory: Option<OwnedFd>,
    fields: Fields<6>,
}

impl Rootfs {
    pub(super) fn new(roots: &Roots) -> Self {
        let metrics =
            ["size_bytes", "free_bytes", "available_bytes", "files", "files_free", "readonly"];
        Self { path: roots.rootfs.clone(), directory: None, fields: Fields::new(OBJECT, metrics) }
    }
}

impl Source for Rootfs {
    fn path(&self) -> &Path {
        &self.path
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let directory = match self.directory.take() {
            Some(directory) => directory,
            None => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                rustix::fs::open(&self.path, flags, Mode::empty()).map_err(SampleError::open)?
            }
        };
        let space = rustix::io::retry_on_intr(|| rustix::fs::fstatvfs(&directory));
        let space = space.map_err(SampleError::read)?;
        self.directory = Some(directory);
        // The counts are in fragments. `f_bsize` is what is best read at once, and differs on some
        // file systems (FUSE, ZFS); the kernel sets the two equal where a file system has no view.
        let bytes = |blocks: u64| blocks.checked_mul(space.f_frsize);
        let [Some(size), Some(free), Some(available)] =
            [space.f_blocks, space.f_bfree, space.f_bavail].map(bytes)
        else {
            return Err(SampleError::TooLarge);
        };
        let readonly = space.f_flag.contains(StatVfsMountFlags::RDONLY).into();
        self.fields.begin();
        let words = [size, free, available, space.f_files, space.f_ffree, readonly];
        self.fields.put_all(words, columns);
        self.fields.finish()
    }
}

/// The source of the numbers of the block device under the file system.
pub(super) struct RootDevice {
    rootfs: PathBuf,
    sysfs: PathBuf,
    found: Option<Found>,
    /// The device could not be read: another one may be under the file system by now.
    lost: bool,
    fields: Fields<5>,
}

/// What was found under the file system.
enum Found {
    /// No block device that is its alone.
    Nothing,
    Device(TextFile),
}

impl RootDevice {
    pub(super) fn new(roots: &Roots) -> Self {
        let metrics =
            ["reads_completed", "read_sectors", "writes_completed", "written_sectors", "io_ms"];
        Self {
            rootfs: roots.rootfs.clone(),
            sysfs: roots.sysfs.clone(),
            found: None,
            lost: false,
            fields: Fields::new(OBJECT, metrics),
        }
    }

    fn find(&self) -> Result<Found, Errno> {
        let device = rustix::fs::stat(&self.rootfs)?.st_dev;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        if major == 0 {
            return Ok(Found::Nothing);
        }
        let path = self.sysfs.join(format!("dev/block/{major}:{minor}/stat"));
        Ok(Found::Device(TextFile::new(path, Shown::Whole)))
    }
}

impl Source for RootDevice {
    fn path(&self) -> &Path {
        match &self.found {
            Some(Found::Device(file)) => file.path(),
            _ => &self.rootfs,
        }
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        if self.found.is_none() || self.lost {
            self.found = Some(self.find().map_err(SampleError::open)?);
        }
        let Some(Found::Device(file)) = &mut self.found else { return Ok(()) };
        let text = file.read();
        self.lost = text.is_err();
        let device = diskstats::parse_one(text?)?;
        // Discards write nothing, and are not among these.
        let [reads, _, read_sectors, _, writes, _, written_sectors, _, _, io_ms, ..] =
            device.numbers;
        self.fields.begin();
        let words = [reads, read_sectors, writes, written_sectors];
        self.fields.put_all(words, columns);
        if device.has(9) {
            self.fields.put(4, io_ms, columns);
        }
        self.fields.finish()
    }
}
