//! The reader of a ring in a file: opens it, sleeps until the next record, follows replacements.

use std::fs::{File, Metadata, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{error, fmt, fs, io};

use super::clock::boottime_ns;
use super::layout::state;
use super::lock::inode_is_held;
use super::map::ReadMap;
use super::place::own_uid;
use super::{FormatError, PreadWords, Ring, layout, notify, sealed};

/// Why a ring could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such file.
    Missing(
        /// The path.
        PathBuf,
    ),
    /// Its owner or its mode let somebody change it under a reader who maps it.
    Untrusted {
        /// The ring.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// It is no ring, or not one that this version can read.
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A descriptor of memory that could change under a reader who maps it.
    Unsealed {
        /// What the system calls it.
        path: PathBuf,
        /// The first seal that it lacks.
        missing: &'static str,
    },
    /// It was handed over as a descriptor and has been replaced: whoever gave it has the new one.
    Nameless(
        /// What the system called it.
        PathBuf,
    ),
    /// A system call failed.
    Io {
        /// The file.
        path: PathBuf,
        /// What was to be done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "there is no ring {}", path.display()),
            Self::Untrusted { path, reason } => write!(
                f,
                "{} is not to be trusted with a mapping: {reason}; `tachograph inspect` reads it safely",
                path.display()
            ),
            Self::Format { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Unsealed { path, missing } => write!(
                f,
                "{} is not to be trusted with a mapping: it lacks the seal {missing}",
                path.display()
            ),
            Self::Nameless(path) => write!(
                f,
                "{} has been replaced and has no name to follow: ask for the new descriptor",
                path.display()
            ),
            Self::Io { path, doing, source } => {
                write!(f, "cannot {doing} {}: {source}", path.display())
            }
        }
    }
}

impl error::Error for OpenError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Format { source, .. } => Some(source),
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What has become of a ring's writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Liveness {
    /// It runs and publishes.
    Live,
    /// It runs, but its last record is older than it should be.
    Hung,
    /// It ended without saying so.
    Dead,
    /// It ended in order.
    Closed,
    /// Another file has taken this one's place.
    Retired,
}

impl Liveness {
    /// The name that people and APIs see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Hung => "hung",
            Self::Dead => "dead",
            Self::Closed => "closed",
            Self::Retired => "retired",
        }
    }
}

impl fmt::Display for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a [`Reader::wait`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// There is a record after the one asked about; the head as it is now.
    Published(
        /// The head.
        u64,
    ),
    /// Another file has taken this ring's place: [`Reader::refresh`].
    Retired,
    /// Nothing happened in time.
    TimedOut,
}

/// A ring in a file, mapped read-only.
///
/// The writer does not know its readers; a reader costs it nothing and cannot disturb it.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: File,
    ring: Ring<ReadMap>,
    reopened: u64,
    /// It was handed over as a descriptor, so there is no name to follow.
    nameless: bool,
    /// The ring is retired and nothing has its name: there is nowhere to go yet.
    stranded: bool,
}

impl Reader {
    /// Opens and maps the ring at `path`.
    ///
    /// The file must belong to root, to the caller, or to a service in whose directory it lies and
    /// which only root could have made; nobody else may be able to write to it. Files of
    /// other origin are read with [`open_untrusted`].
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (file, meta) = open_file(path)?;
        if let Some(reason) = distrust(path, &meta) {
            return Err(OpenError::Untrusted { path: path.to_owned(), reason });
        }
        let malformed = |source| OpenError::Format { path: path.to_owned(), source };
        if meta.len() < layout::HEADER_BYTES {
            return Err(malformed(FormatError::NotARing));
        }
        let map = ReadMap::of(&file, meta.len()).map_err(failed(path, "map"))?;
        let ring = Ring::decode(map).map_err(malformed)?;
        Ok(Self::over(path.to_owned(), file, ring))
    }

    /// Maps the ring in sealed memory that another process has handed over, as
    /// [`super::Writer::descriptor`] gives it out.
    ///
    /// Whoever gave it need not be trusted with more than what the ring says: the kernel sees to it
    /// that the memory stays as long as it is, and that nobody writes to it who had not mapped it
    /// before it was sealed. So its owner and mode do not matter, and reading it cannot end in SIGBUS.
    /// Memory with holes is refused, because whoever looks into one pays for a page.
    ///
    /// The memory is opened anew where `/proc` allows it, so that what this reader asks of its lock is
    /// not asked in the name of others that have the same descriptor.
    ///
    /// # Errors
    ///
    /// [`OpenError::Unsealed`] for anything that can still be changed, as is every file that has a
    /// path; [`OpenError::Format`]; [`OpenError::Io`].
    pub fn of_descriptor(descriptor: impl Into<OwnedFd>) -> Result<Self, OpenError> {
        let given = File::from(descriptor.into());
        let shown = sealed::descriptor_path(&given);
        let path = fs::read_link(&shown).unwrap_or(shown);
        if let Some(missing) = sealed::missing_seal(&given) {
            return Err(OpenError::Unsealed { path, missing });
        }
        let anew = sealed::reopen(&given).ok().filter(|file| sealed::missing_seal(file).is_none());
        let file = anew.unwrap_or(given);
        let meta = file.metadata().map_err(failed(&path, "look at"))?;
        let malformed = |source| OpenError::Format { path: path.clone(), source };
        if meta.len() < layout::HEADER_BYTES {
            return Err(malformed(FormatError::NotARing));
        }
        let allocated = meta.blocks().saturating_mul(512);
        if allocated < meta.len() {
            let (stated, found) = (meta.len(), allocated);
            return Err(malformed(FormatError::Truncated { stated, found }));
        }
        let map = ReadMap::of(&file, meta.len()).map_err(failed(&path, "map"))?;
        let ring = Ring::decode(map).map_err(malformed)?;
        Ok(Self { nameless: true, ..Self::over(path, file, ring) })
    }

    fn over(path: PathBuf, file: File, ring: Ring<ReadMap>) -> Self {
        Self { path, file, ring, reopened: 0, nameless: false, stranded: false }
    }

    /// A reader in the writer's own process, on the writer's mapping.
    pub(super) fn beside(path: &Path, ring: Ring<ReadMap>) -> Result<Self, OpenError> {
        // Its own open file: the writer's lock must look to it as it does to other processes.
        let (file, _) = open_file(path)?;
        Ok(Self::over(path.to_owned(), file, ring))
    }

    /// The same for a ring in sealed memory.
    pub(super) fn beside_sealed(
        path: &Path,
        memory: &File,
        ring: Ring<ReadMap>,
    ) -> Result<Self, OpenError> {
        let file = sealed::reopen(memory).map_err(failed(path, "open"))?;
        Ok(Self { nameless: true, ..Self::over(path.to_owned(), file, ring) })
    }

    /// The ring, for all kinds of reading. Borrow it anew after [`Reader::refresh`].
    #[inline]
    #[must_use]
    pub fn ring(&self) -> &Ring<ReadMap> {
        &self.ring
    }

    /// The ring's path; of one that was handed over as a descriptor, what the system calls it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How often [`Reader::refresh`] has followed the name to another file. Columns found in an
    /// earlier file are absent in a later one's records; find them anew.
    #[must_use]
    pub fn reopened(&self) -> u64 {
        self.reopened
    }

    /// Sleeps until a record after `seq` is published, this file is replaced, or `timeout` is over.
    ///
    /// The kernel wakes the sleeper; nothing is polled.
    #[must_use]
    pub fn wait(&self, seq: u64, timeout: Duration) -> Wait {
        notify::wait(&self.ring, self.ring.words().notify(), seq, self.stranded, timeout)
    }

    /// Follows the ring's name when another file has taken its place, and says whether one had.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`]; and [`OpenError::Nameless`] when the ring was handed over as a descriptor
    /// and has been replaced. This reader then stays on the old file, which remains readable.
    pub fn refresh(&mut self) -> Result<bool, OpenError> {
        if self.nameless {
            self.stranded = self.ring.state() == state::RETIRED;
            return if self.stranded {
                Err(OpenError::Nameless(self.path.clone()))
            } else {
                Ok(false)
            };
        }
        let same = match (fs::metadata(&self.path), self.file.metadata()) {
            (Ok(named), Ok(held)) => (named.dev(), named.ino()) == (held.dev(), held.ino()),
            // The name is gone, as after a clean-up by hand: the old file is all there is.
            _ => true,
        };
        if same {
            self.stranded = self.ring.state() == state::RETIRED;
            return Ok(false);
        }
        let reopened = self.reopened + 1;
        // Until it opens: a successor that does not is nowhere to go to either.
        self.stranded = self.ring.state() == state::RETIRED;
        *self = Self { reopened, ..Self::open(&self.path)? };
        Ok(true)
    }

    /// What has become of the writer.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        liveness(&self.ring, &self.file)
    }
}

/// What has become of the writer of `ring`, which lies in `file`.
#[must_use]
pub fn liveness<W: super::Words>(ring: &Ring<W>, file: &File) -> Liveness {
    match ring.state() {
        state::RETIRED => Liveness::Retired,
        state::CLOSED => Liveness::Closed,
        _ if !inode_is_held(file) => Liveness::Dead,
        _ => {
            let age_ns = boottime_ns().saturating_sub(ring.heartbeat_ns());
            // A ring without a record yet is only as old as its file.
            if ring.head() > 0 && age_ns > ring.stale_after_ns() {
                Liveness::Hung
            } else {
                Liveness::Live
            }
        }
    }
}

/// Opens a ring of any origin without mapping it: see [`PreadWords`]. The file is returned as well,
/// for [`liveness`].
///
/// # Errors
///
/// [`OpenError`].
pub fn open_untrusted(path: &Path) -> Result<(Ring<PreadWords>, File), OpenError> {
    let (file, _) = open_file(path)?;
    let own = file.try_clone().map_err(failed(path, "open"))?;
    let words = PreadWords::of(file).map_err(failed(path, "look at"))?;
    let malformed = |source| OpenError::Format { path: path.to_owned(), source };
    Ok((Ring::decode(words).map_err(malformed)?, own))
}

fn open_file(path: &Path) -> Result<(File, Metadata), OpenError> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::Missing(path.to_owned()));
        }
        Err(error) => return Err(failed(path, "open")(error)),
    };
    let meta = file.metadata().map_err(failed(path, "look at"))?;
    if !meta.is_file() {
        return Err(failed(path, "read")(io::Error::other("it is not a regular file")));
    }
    Ok((file, meta))
}

/// Why the file could change in a way that hurts whoever maps it, if it could.
fn distrust(path: &Path, meta: &Metadata) -> Option<&'static str> {
    if meta.mode() & 0o022 != 0 {
        return Some("its group or everybody may write to it");
    }
    if meta.nlink() > 1 {
        return Some("it has another name as well");
    }
    let trusted_owner =
        meta.uid() == 0 || meta.uid() == own_uid() || owns_a_system_directory(path, meta.uid());
    (!trusted_owner).then_some("it belongs to another user")
}

/// User ids of services: what distributions set aside for them, and what systemd gives out.
const SERVICE_UIDS: [std::ops::RangeInclusive<u32>; 2] = [1..=999, 61_184..=65_519];

/// Whether `path` lies in a directory of the service `uid` that an administrator has set up: one that
/// nobody else can write to, in a directory that only root can write to. A person's home looks the
/// same, but a person is no service.
fn owns_a_system_directory(path: &Path, uid: u32) -> bool {
    if !SERVICE_UIDS.iter().any(|uids| uids.contains(&uid)) {
        return false;
    }
    let closed = |meta: &Metadata| meta.is_dir() && meta.mode() & 0o022 == 0;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let above = dir.and_then(Path::parent);
    let (Some(dir), Some(above)) = (dir, above) else { return false };
    let (Ok(dir), Ok(above)) = (fs::symlink_metadata(dir), fs::symlink_metadata(above)) else {
        return false;
    };
    closed(&dir) && dir.uid() == uid && closed(&above) && above.uid() == 0
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path, doing, source }
}
