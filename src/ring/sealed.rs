//! A ring in memory that has no path, for readers that are handed a descriptor of it.
//!
//! A file can be cut short under whoever maps it, and a page that is gone is a SIGBUS; that it is not
//! must be believed of its owner. Memory of memfd_create(2) can be *sealed*: from then on the kernel
//! lets nobody change its size or write to it, but through a mapping that was there before. A reader
//! that finds the seals need believe nobody.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

use super::header::RingKind;
use super::make::{Make, Need, Place};
use super::writer::{WriteError, Writer, WriterOptions, failed};
use crate::record::Schema;

/// What a reader asks for before it maps a descriptor. The last one says that the others are for ever,
/// which the kernel sees to anyway; a writer that leaves it out has not finished.
const SEALS: [(SealFlags, &str); 4] = [
    (SealFlags::SHRINK, "F_SEAL_SHRINK"),
    (SealFlags::GROW, "F_SEAL_GROW"),
    (SealFlags::FUTURE_WRITE, "F_SEAL_FUTURE_WRITE"),
    (SealFlags::SEAL, "F_SEAL_SEAL"),
];

/// New memory of this name, with nothing in it and no seals.
pub(super) fn create(name: &str) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 know no memory that can never be executed.
    let made =
        memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL).or_else(|error| match error {
            rustix::io::Errno::INVAL => memfd_create(name, flags),
            error => Err(error),
        })?;
    Ok(File::from(made))
}

/// Seals memory whose writer has mapped it, and lets those read it whom `mode` lets read.
pub(super) fn seal(memory: &File, mode: u32) -> io::Result<()> {
    // Nobody needs to open it for writing: who writes has mapped it.
    memory.set_permissions(Permissions::from_mode(mode & 0o444))?;
    let seals = SEALS.iter().map(|(seal, _)| *seal).collect();
    Ok(fcntl_add_seals(memory, seals)?)
}

/// The first seal that `file` lacks, by its name. What cannot be sealed lacks them all.
pub(super) fn missing_seal(file: &File) -> Option<&'static str> {
    let mut seals = fcntl_get_seals(file).unwrap_or(SealFlags::empty());
    // Nobody writes to it at all: more than is asked for.
    seals
        .set(SealFlags::FUTURE_WRITE, seals.intersects(SealFlags::FUTURE_WRITE | SealFlags::WRITE));
    SEALS.iter().find(|(seal, _)| !seals.contains(*seal)).map(|(_, name)| *name)
}

/// The same memory, read-only and opened anew. A lock belongs to what was opened once and is shared by
/// its duplicates: with a duplicate of the writer's descriptor a reader would take its lock away.
pub(super) fn reopen(memory: impl AsFd) -> io::Result<File> {
    File::open(descriptor_path(memory))
}

/// Where the kernel shows an open file.
pub(super) fn descriptor_path(file: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}

impl Writer {
    /// Starts to write a ring that has no path, in memory that ends with its last user. `name` is for
    /// people: it is what messages and `/proc/PID/fd` show.
    ///
    /// Readers are handed [`Writer::descriptor`] and open it with [`super::Reader::of_descriptor`].
    /// There is no lane and no lock, so each call makes another ring, and none is gone on with after
    /// its writer has ended. When a larger ring takes its place, the old one is retired as in a
    /// directory, and whoever gave out descriptors gives out that of the new one:
    /// [`Writer::rollovers`] tells.
    ///
    /// # Errors
    ///
    /// [`WriteError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use tachograph::record::{Record, Schema};
    /// use tachograph::ring::{Reader, Writer, WriterOptions};
    ///
    /// let options =
    ///     WriterOptions { interval: Duration::from_secs(1), depth_records: 60, mode: 0o400 };
    /// let mut schema = Schema::new();
    /// let load = schema.add("host", "load1")?;
    /// let mut writer = Writer::anonymous("example", &options, &mut schema)?;
    ///
    /// // To be given to another process: as the standard input of a child, or over a socket.
    /// let descriptor = writer.descriptor()?;
    /// let reader = Reader::of_descriptor(descriptor)?;
    ///
    /// let mut record = Record::new(schema.width());
    /// record.words_mut()[load] = 0.75_f64.to_bits();
    /// writer.publish(&mut record);
    /// writer.wake();
    /// let load = reader.ring().find("host", "load1").ok_or("no such series")?;
    /// assert_eq!(reader.ring().latest(|record| record.f64(&load)).flatten(), Some(0.75));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn anonymous(
        name: &str,
        options: &WriterOptions,
        schema: &mut Schema,
    ) -> Result<Self, WriteError> {
        let make = Make::of(Place::Sealed(name.to_owned()), RingKind::Application, options);
        let never = AtomicBool::new(false);
        let built = make.build(&Need::of(schema), None, 0, &never)?;
        let mut writer = Self::over(built.file, make, None, 0, 1);
        writer.begin(schema)?;
        Ok(writer)
    }

    /// A descriptor of the ring without a path, to be handed to readers. Read-only, sealed, and closed
    /// on exec(2) like any other that std opens.
    ///
    /// It is opened anew at each call: what a reader does with its lock is not done to the writer's.
    ///
    /// # Errors
    ///
    /// [`WriteError::Io`] when the ring has a path, which readers open; or when `/proc`, by which it
    /// is opened, is not there.
    pub fn descriptor(&self) -> Result<File, WriteError> {
        let handed = match &self.make.place {
            Place::Sealed(_) => reopen(&self.file.file),
            Place::Named(..) => Err(io::Error::other("it has a path by which readers open it")),
        };
        handed.map_err(failed(&self.path(), "hand over"))
    }
}
