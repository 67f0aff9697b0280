//! The two locks of a ring.
//!
//! `NAME.lock` is the writers' own, mode 0600: readers cannot open it and so cannot hold a writer
//! off with it. The second lock lies on the ring's inode, for readers to probe: while a writer lives
//! it is taken, whatever pid name space either lives in, and the kernel gives it back when the
//! writer dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Longest text about its holder that is read from a lock file, in bytes.
const HOLDER_BYTES_MAX: u64 = 200;
/// How often, and how far apart, a writer tries for the inode's lock while a reader probes it.
const PROBE_TRIES: u32 = 50;
const PROBE_PAUSE: Duration = Duration::from_millis(2);

/// A writer's lock, held for life.
#[derive(Debug)]
pub(super) struct WriterLock {
    _file: File,
}

/// Why the writer's lock was not had.
#[derive(Debug)]
pub(super) enum LockError {
    /// Somebody has it; what that one wrote about itself.
    Held(String),
    Io(io::Error),
}

impl WriterLock {
    pub(super) fn take(path: &Path) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(path)
            .map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = Vec::new();
                // Only a hint for people: a holder that has not written it yet is still a holder.
                let _ = file.take(HOLDER_BYTES_MAX).read_to_end(&mut holder);
                return Err(LockError::Held(String::from_utf8_lossy(&holder).trim().to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        let program = std::env::args_os().next().unwrap_or_default();
        let program =
            Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        file.set_len(0).map_err(LockError::Io)?;
        file.rewind().map_err(LockError::Io)?;
        writeln!(file, "process {} ({program})", std::process::id()).map_err(LockError::Io)?;
        Ok(Self { _file: file })
    }
}

/// Takes the inode's lock for a writer. Readers hold it for moments only, when they probe; one that
/// keeps it does not stop the writer for longer than a tenth of a second: `false`.
pub(super) fn hold_inode(ring: &File) -> bool {
    for _ in 0..PROBE_TRIES {
        if ring.try_lock().is_ok() {
            return true;
        }
        thread::sleep(PROBE_PAUSE);
    }
    false
}

/// Whether a writer holds the inode's lock. `ring` is the reader's own open file, not one that it
/// shares with the writer.
pub(super) fn inode_is_held(ring: &File) -> bool {
    match ring.try_lock_shared() {
        Ok(()) => {
            // A lock that cannot be given back goes with the descriptor.
            let _ = ring.unlock();
            false
        }
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(_)) => false,
    }
}
