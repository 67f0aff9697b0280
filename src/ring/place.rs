//! Where rings live: one directory, found by the same rule by writer and readers.

use std::fmt;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::{env, error, fs, io};

/// Magic numbers of the file systems that live in memory, as statfs(2) reports them.
const MEMORY_FILE_SYSTEMS: [u64; 2] = [0x0102_1994 /* tmpfs */, 0x8584_58f6 /* ramfs */];

/// Why there is no place for a ring.
#[derive(Debug)]
#[non_exhaustive]
pub enum PlaceError {
    /// None of the usual places is on a file system that lives in memory.
    NoTmpfs(
        /// The places that were looked at.
        Vec<PathBuf>,
    ),
    /// The directory cannot be used.
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A system call failed.
    Io {
        /// What it was about.
        path: PathBuf,
        /// What was to be done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTmpfs(places) => {
                write!(f, "no place in memory for the ring: ")?;
                for (index, place) in places.iter().enumerate() {
                    write!(f, "{}{}", if index == 0 { "" } else { ", " }, place.display())?;
                }
                write!(f, " are not on tmpfs; name a directory that is with --run-dir")
            }
            Self::Unusable { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Io { path, doing, source } => {
                write!(f, "cannot {doing} {}: {source}", path.display())
            }
        }
    }
}

impl error::Error for PlaceError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The directory in which rings live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
    in_memory: bool,
}

impl RunDir {
    /// The directory for a writer, made if it is missing: `wanted`, or else the first usual place
    /// that is on tmpfs.
    ///
    /// It belongs to the caller, nobody else may write to it, and it is no symbolic link; otherwise
    /// somebody could put another file in the ring's place.
    ///
    /// # Errors
    ///
    /// [`PlaceError`].
    pub fn for_writing(wanted: Option<&Path>) -> Result<Self, PlaceError> {
        let path = match wanted {
            // Without a slash at its end, behind which the system would follow a link.
            Some(path) => path.components().collect(),
            None => usual_place_in_memory()?,
        };
        let io = |doing| {
            let path = path.clone();
            move |source| PlaceError::Io { path, doing, source }
        };
        match fs::DirBuilder::new().mode(0o755).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io("create")(error));
            }
            _ => {}
        }
        let meta = fs::symlink_metadata(&path).map_err(io("look at"))?;
        let reason = if meta.is_symlink() {
            Some("is a symbolic link; a run directory must be the directory itself")
        } else if !meta.is_dir() {
            Some("is not a directory")
        } else if meta.uid() != own_uid() {
            Some("belongs to another user")
        } else if meta.mode() & 0o022 != 0 {
            Some("may be written to by others; its mode must be 0755 or tighter")
        } else {
            None
        };
        match reason {
            Some(reason) => Err(PlaceError::Unusable { path, reason }),
            None => Ok(Self { in_memory: is_in_memory(&path), path }),
        }
    }

    /// The directory in which a reader finds the ring `lane`: `wanted`, or else the first usual
    /// place that has one, the caller's own before the system's. Where none has one, that in which
    /// a writer of the caller's would make it.
    ///
    /// # Errors
    ///
    /// [`PlaceError::NoTmpfs`] when no usual place has one or could have one.
    pub fn holding(lane: &str, wanted: Option<&Path>) -> Result<Self, PlaceError> {
        let places = match wanted {
            Some(path) => vec![path.to_owned()],
            None => usual_places(&[own_uid(), 0]),
        };
        let found = places.into_iter().find(|place| ring_path(place, lane).exists());
        let path = match (found, wanted) {
            (Some(path), _) => path,
            (None, Some(path)) => path.to_owned(),
            (None, None) => usual_place_in_memory()?,
        };
        Ok(Self { in_memory: is_in_memory(&path), path })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it lives in memory. On a disk the kernel may hold up a writer for hundreds of
    /// milliseconds while it writes pages back.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        self.in_memory
    }

    /// The ring of a lane.
    #[must_use]
    pub fn ring(&self, lane: &str) -> PathBuf {
        ring_path(&self.path, lane)
    }

    /// The lanes that have a ring in it, by name.
    ///
    /// # Errors
    ///
    /// What reading the directory says.
    pub fn lanes(&self) -> io::Result<Vec<String>> {
        let mut lanes = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let lane = name.to_str().and_then(|name| name.strip_suffix(".ring"));
            lanes.extend(lane.filter(|lane| !lane.is_empty()).map(str::to_owned));
        }
        lanes.sort_unstable();
        Ok(lanes)
    }

    /// The lock that a lane's writer holds.
    #[must_use]
    pub fn lock(&self, lane: &str) -> PathBuf {
        self.path.join(format!("{lane}.lock"))
    }

    /// Free bytes of its file system, for unprivileged users.
    ///
    /// # Errors
    ///
    /// What statvfs(2) says.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

fn ring_path(dir: &Path, lane: &str) -> PathBuf {
    dir.join(format!("{lane}.ring"))
}

pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// `/run/tachograph` (for root, and for readers of root's ring), `$XDG_RUNTIME_DIR/tachograph`,
/// `/dev/shm/tachograph-UID`.
fn usual_places(uids: &[u32]) -> Vec<PathBuf> {
    let mut places = Vec::new();
    if uids.contains(&0) {
        places.push(PathBuf::from("/run/tachograph"));
    }
    if let Some(dir) = env::var_os("XDG_RUNTIME_DIR").filter(|dir| Path::new(dir).is_absolute()) {
        // The caller's own ring comes before the system's, unless the caller is root.
        let own_first = if own_uid() == 0 { places.len() } else { 0 };
        places.insert(own_first, Path::new(&dir).join("tachograph"));
    }
    for uid in uids {
        let place = PathBuf::from(format!("/dev/shm/tachograph-{uid}"));
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The first usual place of the caller's own that is on a file system in memory, or would be.
fn usual_place_in_memory() -> Result<PathBuf, PlaceError> {
    let places = usual_places(&[own_uid()]);
    let found = places.iter().find(|place| place.parent().is_some_and(is_in_memory));
    found.cloned().ok_or(PlaceError::NoTmpfs(places))
}

fn is_in_memory(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| MEMORY_FILE_SYSTEMS.contains(&(stat.f_type as u64)))
}
