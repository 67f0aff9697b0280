//! What a file system lies on, and which block devices or which dataset that is.
//!
//! Most have one block device, and its number is the file system's. A btrfs may have several; it has
//! a number of its own, and its devices stand in `/sys/fs/btrfs/UUID/devices`. What has no block
//! device of its own has no traffic that the kernel would count for it, unless it is a dataset of
//! ZFS, which counts by itself.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::super::scan::first_line;
use super::super::zfs::dataset::DatasetReader;
use super::super::zfs::kstat::DatasetIo;
use super::super::{Roots, SampleError};
use super::table::{DeviceNumber, Mount, below};

/// Most btrfs file systems that are looked through, and most devices of one that are summed up.
const BTRFS_MAX: usize = 1024;
const DEVICES_MAX: usize = 256;

/// What a file system lies on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Backing {
    /// One block device.
    Device,
    /// One or more block devices, of which the file system keeps a list.
    Devices,
    /// A ZFS pool.
    Zfs,
    /// Another machine.
    Network,
    /// Memory and swap.
    Memory,
    /// Other file systems, one over another.
    Overlay,
    /// A program.
    Fuse,
    /// Something else, or nothing.
    #[default]
    None,
}

/// File systems of other machines, and programs that speak for one.
const NETWORK: [&[u8]; 18] = [
    b"nfs",
    b"nfs4",
    b"cifs",
    b"smb3",
    b"smbfs",
    b"ceph",
    b"9p",
    b"afs",
    b"lustre",
    b"beegfs",
    b"glusterfs",
    b"fuse.glusterfs",
    b"fuse.ceph",
    b"fuse.ceph-fuse",
    b"fuse.sshfs",
    b"fuse.s3fs",
    b"fuse.rclone",
    b"davfs",
];

impl Backing {
    /// What the file system of `mount` lies on.
    pub(super) fn of(mount: &Mount) -> Self {
        match &*mount.fs_type {
            _ if mount.number.major != 0 => Self::Device,
            b"btrfs" => Self::Devices,
            b"zfs" => Self::Zfs,
            fs_type if NETWORK.contains(&fs_type) => Self::Network,
            b"tmpfs" | b"ramfs" | b"devtmpfs" | b"hugetlbfs" => Self::Memory,
            b"overlay" | b"aufs" | b"fuse.fuse-overlayfs" => Self::Overlay,
            fs_type if fs_type == b"fuse" || fs_type.starts_with(b"fuse.") => Self::Fuse,
            _ => Self::None,
        }
    }

    /// The name of it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Devices => "devices",
            Self::Zfs => "zfs",
            Self::Network => "network",
            Self::Memory => "memory",
            Self::Overlay => "overlay",
            Self::Fuse => "fuse",
            Self::None => "none",
        }
    }
}

/// What was found under a file system.
#[derive(Debug, Default)]
pub(super) struct Under {
    /// Its block devices, in order; none if it has none of its own.
    pub(super) devices: Vec<DeviceNumber>,
    /// What was read and written, if it is a dataset of ZFS.
    pub(super) dataset: Option<Result<DatasetIo, SampleError>>,
}

/// Looks what lies under a file system, again and again.
#[derive(Debug, Default)]
pub(super) struct Digger {
    /// The dataset that was asked for last, and its reader.
    dataset: Option<(Box<[u8]>, DatasetReader)>,
}

impl Digger {
    /// Looks what lies under `mount`. May block.
    pub(super) fn dig(&mut self, mount: &Mount, roots: &Roots, under: &mut Under) {
        under.devices.clear();
        under.dataset = None;
        match Backing::of(mount) {
            Backing::Device => under.devices.push(mount.number),
            Backing::Devices => find_btrfs(mount, roots, &mut under.devices),
            Backing::Zfs => under.dataset = Some(self.reader(mount, roots).read()),
            _ => {}
        }
        under.devices.sort_unstable();
        under.devices.dedup();
    }

    fn reader(&mut self, mount: &Mount, roots: &Roots) -> &mut DatasetReader {
        let kept = self.dataset.take().filter(|(name, _)| *name == mount.source);
        let new = || (mount.source.clone(), DatasetReader::new(&roots.procfs, &mount.source));
        &mut self.dataset.insert(kept.unwrap_or_else(new)).1
    }
}

/// Any device of a btrfs may be the one that it is mounted by. Its name there may be a link, so if
/// no device is called so, it is looked for by number.
fn find_btrfs(mount: &Mount, roots: &Roots, devices: &mut Vec<DeviceNumber>) {
    let source = Path::new(OsStr::from_bytes(&mount.source));
    let number = || {
        let found = rustix::fs::stat(below(&roots.rootfs, source)).ok()?;
        let is_device = rustix::fs::FileType::from_raw_mode(found.st_mode).is_block_device();
        is_device.then(|| DeviceNumber::of(found.st_rdev))
    };
    let number = number();
    let Ok(all) = fs::read_dir(roots.sysfs.join("fs/btrfs")) else { return };
    for one in all.flatten().take(BTRFS_MAX) {
        let Ok(list) = fs::read_dir(one.path().join("devices")) else { continue };
        devices.clear();
        let mut is_it = false;
        for device in list.flatten().take(DEVICES_MAX) {
            is_it |= source.file_name() == Some(&device.file_name());
            if let Ok(found) = number_in(&device.path().join("dev")) {
                is_it |= number == Some(found);
                devices.push(found);
            }
        }
        if is_it {
            return;
        }
    }
    devices.clear();
}

/// The device number that a file of sysfs consists of.
fn number_in(path: &Path) -> Result<DeviceNumber, SampleError> {
    let text = fs::read(path).map_err(|error| SampleError::of_io(&error))?;
    first_line(&text, DeviceNumber::scan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backing_is_told_by_number_and_type() {
        for (major, fs_type, backing) in [
            (8, "ext4", "device"),
            (8, "fuseblk", "device"),
            (0, "btrfs", "devices"),
            (0, "zfs", "zfs"),
            (0, "nfs4", "network"),
            (0, "fuse.sshfs", "network"),
            (0, "tmpfs", "memory"),
            (0, "overlay", "overlay"),
            (0, "fuse.mergerfs", "fuse"),
            (0, "fused", "none"),
            (0, "", "none"),
        ] {
            let number = DeviceNumber { major, minor: 1 };
            let mount = Mount { fs_type: fs_type.as_bytes().into(), ..Mount::unnamed_root(number) };
            assert_eq!(Backing::of(&mount).as_str(), backing, "{fs_type}");
        }
    }
}
