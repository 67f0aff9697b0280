//! What is to be sampled, and where it lies: all that a [`Sampler`](super::Sampler) is told.

use std::path::PathBuf;
use std::time::Duration;

use super::{Filter, Selection};

/// Where the kernel's trees lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// `/proc`.
    pub procfs: PathBuf,
    /// `/sys`.
    pub sysfs: PathBuf,
    /// The root of the host's file systems, `/`.
    pub rootfs: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { procfs: "/proc".into(), sysfs: "/sys".into(), rootfs: "/".into() }
    }
}

/// What is to be sampled, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Where the kernel's trees lie.
    pub roots: Roots,
    /// Which sources run, and how often.
    pub sources: Selection,
    /// Time between two ticks.
    pub interval: Duration,
    /// The stores to be watched, in the order in which they were configured.
    pub datastores: Vec<Datastore>,
    /// Which mounts are watched.
    pub filesystems: Filesystems,
    /// Which control groups are watched.
    pub cgroups: Cgroups,
    /// Directory of `*.prom` files, if there is one.
    pub textfiles: Option<PathBuf>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            roots: Roots::default(),
            sources: Selection::default(),
            interval: Duration::from_secs(1),
            datastores: Vec::new(),
            filesystems: Filesystems::default(),
            cgroups: Cgroups::default(),
            textfiles: None,
        }
    }
}

/// A store of the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datastore {
    /// Its name, the second part of its object's id.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// Whether it lies on a medium that may be taken away: unless something is mounted at its path
    /// or above it, below the root, it is absent.
    pub removable: bool,
}

/// Which mounts are watched. The root file system always is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filesystems {
    /// By mount point.
    pub mount_points: Filter,
    /// By type, such as `ext4`.
    pub types: Filter,
}

impl Default for Filesystems {
    /// What `node_exporter` leaves out by default is left out here as well.
    fn default() -> Self {
        let exclude = |patterns: &[&str]| Filter::new(&[], patterns).expect("sound patterns");
        Self {
            mount_points: exclude(&[
                "/dev",
                "/dev/*",
                "/proc",
                "/proc/*",
                "/run/credentials/*",
                "/sys",
                "/sys/*",
                "/var/lib/docker/*",
                "/var/lib/containers/storage/*",
            ]),
            types: exclude(&[
                "autofs",
                "binfmt_misc",
                "bpf",
                "cgroup",
                "cgroup2",
                "configfs",
                "debugfs",
                "devpts",
                "devtmpfs",
                "erofs",
                "fusectl",
                "hugetlbfs",
                "iso9660",
                "mqueue",
                "nsfs",
                "overlay",
                "proc",
                "procfs",
                "pstore",
                "rpc_pipefs",
                "securityfs",
                "selinuxfs",
                "squashfs",
                "sysfs",
                "tracefs",
            ]),
        }
    }
}

/// Which control groups are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroups {
    /// Most names in a group's path, from the root: `system.slice/sshd.service` has two.
    pub depth: usize,
    /// By path, without a leading slash.
    pub paths: Filter,
    /// Most groups; of more, the later ones are left out and counted.
    pub count_max: usize,
}

impl Default for Cgroups {
    fn default() -> Self {
        Self { depth: 3, paths: Filter::default(), count_max: 4096 }
    }
}
