//! The writer: publishes, keeps the directory, and replaces a ring that has become too small.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::{error, fmt, io};

use super::clock::boottime_ns;
use super::file::RingFile;
use super::layout::{header as at, state};
use super::lock::WriterLock;
use super::make::{Entries, Make, Need, Past, Place, ahead};
use super::map::{ReadMap, WriteMap};
use super::successor::{Successor, give_back};
use super::sync::{self, Site};
use super::words::WordsMut as _;
use super::{FormatError, Reader, Ring, RingKind, notify, slot};
use crate::record::{Record, RecordHeader, Schema, flags};

/// Pause before a larger ring is tried for again: each try allocates and frees its whole file.
const SYNC_PAUSE_NS: u64 = 10_000_000_000;

/// How a ring is to be made.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Time between ticks.
    pub interval: Duration,
    /// Records that must be kept; the ring has the next power of two of slots.
    pub depth_records: u64,
    /// Permissions of the ring's file. Readers need no more than to read.
    pub mode: u32,
}

/// Why a ring could not be written.
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// Another writer has this lane.
    Locked {
        /// The lock's file.
        path: PathBuf,
        /// Who holds it, as it says itself; may be empty.
        holder: String,
    },
    /// The file system, or the machine, has not enough room.
    NoRoom {
        /// The ring.
        path: PathBuf,
        /// Bytes that it needs.
        needed_bytes: u64,
        /// Bytes that it could have.
        free_bytes: u64,
    },
    /// No ring of an application can have this name.
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The ring of this name is not of the kind that was to be written.
    OtherKind {
        /// The ring.
        path: PathBuf,
        /// What it is.
        found: RingKind,
    },
    /// There is no record to be written.
    Empty,
    /// The wanted sizes make no ring.
    Format(
        /// Which, and why.
        FormatError,
    ),
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

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { path, holder } => {
                let holder = if holder.is_empty() { "another process" } else { holder };
                write!(f, "another writer has this ring: {holder} holds {}", path.display())
            }
            Self::NoRoom { path, needed_bytes, free_bytes } => write!(
                f,
                "no room for the ring {}: it needs {needed_bytes} bytes and can have {free_bytes}; \
                 choose a smaller --depth or a longer --interval",
                path.display()
            ),
            Self::Name { name, reason } => write!(f, "{name:?} is no name for a ring: {reason}"),
            Self::OtherKind { path, found } => {
                let owner = match found {
                    RingKind::Lane => "a recorder's lane",
                    RingKind::Application => "an application's ring",
                };
                write!(
                    f,
                    "{} is {owner}: choose another name, or remove the file if it is not needed any more",
                    path.display()
                )
            }
            Self::Empty => f.write_str("the ring has no such record"),
            Self::Format(error) => write!(f, "no ring can be made with these sizes: {error}"),
            Self::Io { path, doing, source } => {
                write!(f, "cannot {doing} {}: {source}", path.display())
            }
        }
    }
}

impl error::Error for WriteError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Format(source) => Some(source),
            _ => None,
        }
    }
}

pub(super) fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |source| WriteError::Io { path, doing, source }
}

/// The one writer of a ring.
///
/// Dropped without [`Writer::close`] it looks to readers like one that was killed.
#[derive(Debug)]
pub struct Writer {
    /// First, so that it has ended before the lane is anybody else's.
    successor: Option<Successor>,
    /// When the next one is begun, in 1024ths of the room that the file began with.
    successor_at: u64,
    pub(super) file: RingFile,
    pub(super) make: Make,
    /// That of the lane; what has no path is nobody else's.
    pub(super) _lock: Option<WriterLock>,
    pub(super) head: u64,
    pub(super) epoch: u32,
    pub(super) published_in_epoch: bool,
    pub(super) last_realtime_ns: u64,
    pub(super) run_first: u64,
    pub(super) rollovers: u64,
    /// Whether the entries agree with the schema and the file does not.
    pub(super) behind: bool,
    /// When a larger ring is tried for again, on the boot clock; 0 unless the last try failed.
    sync_again_ns: u64,
    /// The ring whose place this one takes, until its readers have been told.
    pub(super) retire: Option<Ring<WriteMap>>,
}

impl Writer {
    pub(super) fn over(
        file: RingFile,
        make: Make,
        lock: Option<WriterLock>,
        head: u64,
        epoch: u32,
    ) -> Self {
        Self {
            successor: None,
            successor_at: ahead::BEGIN,
            file,
            make,
            _lock: lock,
            head,
            epoch,
            published_in_epoch: false,
            last_realtime_ns: 0,
            run_first: 0,
            rollovers: 0,
            behind: false,
            sync_again_ns: 0,
            retire: None,
        }
    }

    /// Publishes `record` as the next one, and completes its header: sequence, epoch, run, width,
    /// and the flag of an epoch's first record. No system call, no allocation.
    ///
    /// Columns beyond the ring's capacity are left out. There are some only after a
    /// [`Writer::sync`] that failed; no directory entry names them.
    ///
    /// Readers that sleep are woken by [`Writer::wake`].
    pub fn publish(&mut self, record: &mut Record) {
        let ring = &self.file.ring;
        let geometry = ring.geometry();
        let columns = record.words().len().min(geometry.column_capacity);
        let seq = self.head + 1;
        if self.run_first == 0 || record.header.realtime_ns <= self.last_realtime_ns {
            self.run_first = seq;
        }
        let header = &mut record.header;
        let first = if self.published_in_epoch { 0 } else { flags::EPOCH_FIRST };
        header.seq = seq;
        header.run_first = self.run_first;
        header.columns = columns as u64;
        header.set_epoch_and_flags(self.epoch, header.flags() & !flags::EPOCH_FIRST | first);
        let head_words: [u64; RecordHeader::WORDS] = bytemuck::must_cast(*header);
        let heartbeat_ns = header.boottime_ns;
        self.last_realtime_ns = header.realtime_ns;
        let words = ring.words();
        slot::publish(
            words,
            geometry.slot_word(seq),
            seq,
            &[&head_words[1..], &record.words()[..columns]],
        );
        words.store(at::HEARTBEAT_NS, heartbeat_ns);
        notify::announce(words.notify(), seq);
        self.head = seq;
        self.published_in_epoch = true;
    }

    /// Wakes the readers that sleep until the next record: one system call.
    pub fn wake(&self) {
        notify::wake(self.file.ring.words().notify());
    }

    /// Tells the directory what has changed in `schema`; the changes hold from the next record on.
    ///
    /// When three quarters of the free entries, names or columns are taken, a larger ring with the
    /// same history is made on another thread, and a later call puts it in this one's place. Until
    /// then [`Writer::is_replacing`], and this should be called before each record. Only when there
    /// is no room left before that ring has been made does this wait for it.
    ///
    /// # Errors
    ///
    /// [`WriteError`] when a larger ring is needed and cannot be made. The old one goes on and can
    /// be published to: it knows which series have ended, and what stands in columns of series that
    /// it does not know belongs to none. The writer is then [`Writer::is_behind`]; the next call
    /// tries again and, of the series that still live, makes up for what the directory missed. A
    /// larger ring that is not needed yet and cannot be made is no error: it is tried again when
    /// half of what is still free has been taken.
    pub fn sync(&mut self, schema: &mut Schema) -> Result<(), WriteError> {
        let is_ready = self.successor.as_ref().is_some_and(Successor::is_ready);
        if schema.changes().is_empty() && !self.behind && !is_ready {
            return Ok(());
        }
        self.follow(schema);
        let width = schema.width();
        if self.file.has_room(width) {
            self.file.write_entries(self.head);
            if is_ready {
                self.succeed(width);
            }
            self.prepare(schema);
        } else {
            self.behind = true;
            self.file.write_ends();
            if !self.succeed(width) {
                self.roll_over(schema)?;
            }
        }
        self.behind = false;
        Ok(())
    }

    /// Tells the directory only what has ended in `schema`, for which there is always room. What has
    /// begun is left to the next [`Writer::sync`]: the writer is [`Writer::is_behind`].
    ///
    /// For the time between two tries of a larger ring that could not be had: to find that out may
    /// take longer than a tick, and what is published in columns of ended series must not be taken
    /// for theirs.
    pub fn sync_ends(&mut self, schema: &mut Schema) {
        self.follow(schema);
        self.file.write_ends();
        self.behind |= !self.file.new.is_empty();
    }

    /// Tells the directory what has changed in `schema`, if anything has, before a record of the moment
    /// `boottime_ns` on the boot clock. Where a larger ring is needed and cannot be had, the new series
    /// are not recorded until it can, which is tried every ten seconds; all others are.
    ///
    /// `None` when nothing was to be done, or only what ended was told while the next try is waited
    /// for. Otherwise what came of it, as [`Writer::sync`] says it.
    #[inline]
    pub fn keep_up(
        &mut self,
        schema: &mut Schema,
        boottime_ns: u64,
    ) -> Option<Result<(), WriteError>> {
        let has_changed = !schema.changes().is_empty();
        let is_due = has_changed || self.behind || self.successor.is_some();
        if is_due { self.keep_up_with(schema, has_changed, boottime_ns) } else { None }
    }

    #[cold]
    fn keep_up_with(
        &mut self,
        schema: &mut Schema,
        has_changed: bool,
        boottime_ns: u64,
    ) -> Option<Result<(), WriteError>> {
        if boottime_ns < self.sync_again_ns {
            // Told for nothing, it would have all readers look at the directory again.
            if has_changed {
                self.sync_ends(schema);
            }
            return None;
        }
        let synced = self.sync(schema);
        let again_ns = boottime_ns.saturating_add(SYNC_PAUSE_NS);
        self.sync_again_ns = if synced.is_ok() { 0 } else { again_ns };
        Some(synced)
    }

    /// Makes the living series those of `schema`, whose changes are then forgotten.
    fn follow(&mut self, schema: &mut Schema) {
        let columns: BTreeSet<usize> =
            schema.changes().iter().map(|change| change.column()).collect();
        self.file.reconcile(schema, schema.changes(), columns, self.head);
        schema.clear_changes();
    }

    /// Whether a larger ring is being made ahead of need, or waits for [`Writer::sync`] to put it in
    /// place.
    #[must_use]
    pub fn is_replacing(&self) -> bool {
        self.successor.is_some()
    }

    /// Whether there are series that the directory does not know because [`Writer::sync`] failed.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// The newest record's sequence.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// This writer's epoch in the ring.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// How often the ring was replaced by a larger one since the start.
    #[must_use]
    pub fn rollovers(&self) -> u64 {
        self.rollovers
    }

    /// The ring, for reading in this process. It stays readable when a larger one takes its place.
    #[must_use]
    pub fn ring(&self) -> Ring<ReadMap> {
        self.file.ring.read_only()
    }

    /// The ring's file; of a ring without a path, what messages call it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.make.path()
    }

    /// A reader in this process that shares the writer's mapping, so that the ring is in memory
    /// once.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`].
    pub fn reader(&self) -> Result<Reader, super::OpenError> {
        match self.make.place {
            Place::Named(..) => Reader::beside(&self.path(), self.ring()),
            Place::Sealed(_) => Reader::beside_sealed(&self.path(), &self.file.file, self.ring()),
        }
    }

    /// Ends in order: readers learn that no record will follow. The history stays.
    pub fn close(self) {
        let words = self.file.ring.words();
        notify::close(words, words.notify());
    }

    /// Brings the directory in agreement with the schema and puts the ring in place.
    pub(super) fn begin(&mut self, schema: &mut Schema) -> Result<(), WriteError> {
        let width = schema.width().max(self.file.live.len());
        self.file.reconcile(schema, schema.changes(), 0..width, self.head);
        if self.file.has_room(schema.width()) {
            self.file.write_entries(self.head);
            self.install()?;
        } else {
            self.file.write_ends();
            self.roll_over(schema)?;
        }
        schema.clear_changes();
        Ok(())
    }

    /// Begins to make a larger ring if the room that is left has become little.
    fn prepare(&mut self, schema: &Schema) {
        let width = schema.width();
        if self.successor.is_some() || !self.file.is_filling(width, self.successor_at) {
            return;
        }
        let (ring, entries) = (self.file.ring.clone(), self.file.written);
        let head = ring.head();
        let begun = Successor::begin(&self.make, self.need(schema), ring, entries, head);
        match begun {
            Ok(successor) => self.successor = Some(successor),
            Err(_) => self.postpone(),
        }
    }

    /// Puts the larger ring that is being made in this one's place, once it has been made. `false`
    /// if there is none, or it could not be made or put in place, or has too little room after all.
    fn succeed(&mut self, width: usize) -> bool {
        let Some(successor) = self.successor.take() else { return false };
        let succeeded = match successor.wait() {
            Ok(mut built) => {
                if built.catch_up(&self.file, self.head, width) {
                    self.replace(built.file).is_ok()
                } else {
                    self.make.remove_unfinished();
                    false
                }
            }
            Err(_) => false,
        };
        if !succeeded {
            self.postpone();
        }
        succeeded
    }

    /// Leaves the next larger ring until half of what is still free has been taken.
    fn postpone(&mut self) {
        self.successor_at += (ahead::WHOLE - self.successor_at) / 2;
    }

    fn need(&self, schema: &Schema) -> Need {
        Need {
            width: schema.width(),
            series: schema.len(),
            new_entries: self.file.new.len(),
            name_bytes: self.file.new_name_bytes(),
            churn: self.file.churn(self.head),
        }
    }

    /// Puts a larger ring with the same history in this one's place, and makes it here and now.
    /// After an error this one goes on, and nothing is left of the other.
    fn roll_over(&mut self, schema: &Schema) -> Result<(), WriteError> {
        let (old, need) = (&self.file, self.need(schema));
        let entry = |index| old.ring.entry(index).ok();
        let entries = Entries { count: old.written, entry: &entry };
        let past = Past { ring: &old.ring, entries };
        let never = AtomicBool::new(false);
        let mut built = self.make.build(&need, Some(&past), old.ring.head(), &never)?;
        let caught_up = built.catch_up(old, self.head, schema.width());
        debug_assert!(caught_up, "a new ring is made large enough");
        self.replace(built.file)
    }

    /// Puts `file`, which knows all that this ring knows, in its place.
    fn replace(&mut self, file: RingFile) -> Result<(), WriteError> {
        let mut old = std::mem::replace(&mut self.file, file);
        // A ring that was never put in place has nobody to tell.
        let (was_retiring, installed) = (self.retire.take(), old.installed);
        self.retire = if installed { Some(old.ring.clone()) } else { was_retiring };
        if let Err(error) = self.install() {
            std::mem::swap(&mut self.file, &mut old);
            self.retire = None;
            return Err(error);
        }
        self.rollovers += u64::from(installed);
        self.successor_at = ahead::BEGIN;
        give_back(old);
        Ok(())
    }

    /// Says who writes, puts a new file under the ring's name and tells the readers of the old one.
    pub(super) fn install(&mut self) -> Result<(), WriteError> {
        let words = self.file.ring.words();
        words.store(at::EPOCH, u64::from(self.epoch));
        words.store(at::PID, u64::from(std::process::id()));
        words.store(at::PID_START, own_start_ticks());
        // A writer that has just come hangs no sooner than one that has just published.
        words.store(at::HEARTBEAT_NS, boottime_ns());
        sync::store_release(words, Site::Running, at::STATE, state::RUNNING);
        if !self.file.installed {
            self.make.put_in_place()?;
            self.file.installed = true;
        }
        if let Some(old) = self.retire.take() {
            notify::retire(old.words(), old.words().notify());
        }
        Ok(())
    }
}

/// When this process started, in ticks since boot: with the pid it names the process for good.
fn own_start_ticks() -> u64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold anything, so fields are counted from its end.
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().nth(19).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}
