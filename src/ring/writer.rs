//! The writer: makes a ring or goes on in one, publishes, keeps the directory.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::{error, fmt, io};

use super::directory::Entry;
use super::layout::{self, Geometry, LIVES, Sizes, entry as entry_at, header as at, state};
use super::lock::{LockError, WriterLock, hold_inode};
use super::map::{ReadMap, WriteMap};
use super::place::{RunDir, own_uid};
use super::recover::{self, Found, Slots};
use super::words::{Words, WordsMut};
use super::{FormatError, Header, Reader, Ring, slot};
use crate::record::{COLUMNS_MAX, Change, Record, RecordHeader, Schema, Series, flags};

/// Room for series that come later: this share of the columns that are needed now, and no fewer
/// than [`SPARE_COLUMNS_MIN`].
const SPARE_COLUMNS_SHARE: usize = 8;
const SPARE_COLUMNS_MIN: usize = 32;
/// Directory entries beyond twice the live ones.
const SPARE_ENTRIES: usize = 256;
/// Bytes for names beyond twice those of the live series.
const SPARE_ARENA_BYTES: usize = 16 << 10;
/// Largest share of the machine's memory that a ring may take: one half.
const MEMORY_SHARE: u64 = 2;

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

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |source| WriteError::Io { path, doing, source }
}

/// What became of the file that lay in the ring's place; for the log.
#[derive(Debug)]
#[non_exhaustive]
pub enum Before {
    /// There was none.
    Nothing,
    /// Its history is kept, in place or in a new file.
    History {
        /// Records that are kept.
        records: u64,
        /// Slots whose content no writer had put there; they have been emptied.
        discarded: u64,
        /// Whether the same file goes on, so that attached readers need not even reopen.
        in_place: bool,
    },
    /// It was made before the machine last started, so its clock is not ours: begun anew.
    OtherBoot,
    /// It was no ring that could be gone on with, and has been moved aside.
    SetAside {
        /// Where it is now.
        path: PathBuf,
        /// What was wrong with it.
        error: FormatError,
    },
}

/// A lane whose lock is held and whose old ring, if there is one, has been looked at.
///
/// Between [`Opening::of`] and [`Opening::start`] the caller learns which series had which columns
/// and says which it wants now.
#[derive(Debug)]
pub struct Opening {
    dir: RunDir,
    lane: String,
    lock: WriterLock,
    old: Option<Old>,
    before: Before,
}

#[derive(Debug)]
struct Old {
    file: File,
    ring: Ring<WriteMap>,
    entries: Vec<Entry>,
    slots: Slots,
    found: Found,
}

impl Opening {
    /// Takes the lane's lock, clears away what a killed writer left half made, and recovers the old
    /// ring: its head is found by looking at every slot.
    ///
    /// # Errors
    ///
    /// [`WriteError::Locked`] when another writer has the lane, [`WriteError::Io`].
    pub fn of(dir: &RunDir, lane: &str) -> Result<Self, WriteError> {
        let lock_path = dir.lock(lane);
        let lock = WriterLock::take(&lock_path).map_err(|error| match error {
            LockError::Held(holder) => WriteError::Locked { path: lock_path.clone(), holder },
            LockError::Io(source) => failed(&lock_path, "lock")(source),
        })?;
        remove_unfinished(dir, lane);
        let path = dir.ring(lane);
        let (old, before) = match open_old(&path)? {
            None => (None, Before::Nothing),
            Some((_, Err(error))) => {
                let aside = path.with_extension("ring.damaged");
                fs::rename(&path, &aside).map_err(failed(&path, "move aside"))?;
                (None, Before::SetAside { path: aside, error })
            }
            Some((_, Ok(ring))) if ring.header().boot_id != boot_id() => (None, Before::OtherBoot),
            Some((file, Ok(ring))) => {
                let slots = Slots::look(&ring);
                let found = slots.find();
                let mut entries: Vec<_> = ring.directory().iter().cloned().collect();
                end_unsound(&mut entries, found.resume_after);
                (Some(Old { file, ring, entries, slots, found }), Before::Nothing)
            }
        };
        Ok(Self { dir: dir.clone(), lane: lane.to_owned(), lock, old, before })
    }

    /// The series that lived when the former writer ended, with their columns.
    pub fn live_series(&self) -> impl Iterator<Item = (usize, Series)> {
        let entries = self.old.iter().flat_map(|old| &old.entries);
        entries.filter(|entry| entry.lives()).map(|entry| (entry.column, entry.series.clone()))
    }

    /// Starts to write the series of `schema`: in the old file where its sizes still fit, in a new
    /// one with the old one's history otherwise.
    ///
    /// # Errors
    ///
    /// [`WriteError`]. Nothing recorded is lost: the old file stays as it is.
    pub fn start(
        self,
        options: &WriterOptions,
        schema: &mut Schema,
    ) -> Result<(Writer, Before), WriteError> {
        let Self { dir, lane, lock, old, before } = self;
        let interval_ns = u64::try_from(options.interval.as_nanos()).unwrap_or(u64::MAX);
        let slot_count = options.depth_records.max(layout::SLOTS_MIN).checked_next_power_of_two();
        let slot_count = slot_count.unwrap_or(u64::MAX);
        let make = Make { dir, lane, slot_count, interval_ns, mode: options.mode };
        let Some(old) = old else {
            let file = make.build(schema, Vec::new(), None, 0)?;
            let mut writer = Writer::over(file, make, lock, 0, 1);
            writer.begin(schema)?;
            return Ok((writer, before));
        };
        let head = old.found.head;
        let epoch = recover::next_epoch(&old.ring, head);
        let geometry = old.ring.geometry();
        // What a newer version has put into its file, this one would not keep right.
        let fits = old.ring.header().version == layout::VERSION
            && geometry.slot_count == slot_count
            && old.ring.header().interval_ns == interval_ns
            && geometry.column_capacity >= schema.width();
        let in_place = fits && hold_inode(&old.file);
        let (found, last) = (old.found, recover::record_header(&old.ring, head));
        let mut writer = if in_place {
            let mode = fs::Permissions::from_mode(make.mode);
            old.file.set_permissions(mode).map_err(failed(&make.path(), "set the mode of"))?;
            recover::clean(&old.ring, &old.slots, &found);
            let file = RingFile::of(old.file, old.ring, old.entries);
            Writer::over(file, make, lock, found.resume_after, epoch)
        } else {
            let file = make.build(schema, old.entries, Some(&old.ring), head)?;
            let mut writer = Writer::over(file, make, lock, found.resume_after, epoch);
            writer.retire = Some(old.ring);
            writer
        };
        if let Some(last) = last {
            (writer.last_realtime_ns, writer.run_first) = (last.realtime_ns, last.run_first);
        }
        writer.begin(schema)?;
        let Found { records, discarded, .. } = found;
        let in_place = in_place && writer.rollovers == 0;
        Ok((writer, Before::History { records, discarded, in_place }))
    }
}

/// The one writer of a ring.
///
/// Dropped without [`Writer::close`] it looks to readers like one that was killed.
#[derive(Debug)]
pub struct Writer {
    file: RingFile,
    make: Make,
    _lock: WriterLock,
    head: u64,
    epoch: u32,
    published_in_epoch: bool,
    last_realtime_ns: u64,
    run_first: u64,
    rollovers: u64,
    /// Whether the entries agree with the schema and the file does not.
    behind: bool,
    /// The ring whose place this one takes, until its readers have been told.
    retire: Option<Ring<WriteMap>>,
}

impl Writer {
    fn over(file: RingFile, make: Make, lock: WriterLock, head: u64, epoch: u32) -> Self {
        Self {
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
        words.notify().store(seq as u32, Ordering::Release);
        self.head = seq;
        self.published_in_epoch = true;
    }

    /// Wakes the readers that sleep until the next record: one system call.
    pub fn wake(&self) {
        wake(&self.file.ring);
    }

    /// Tells the directory what has changed in `schema`; the changes hold from the next record on.
    /// When the directory, its names or the columns are full, a larger ring with the same history
    /// takes this one's place.
    ///
    /// # Errors
    ///
    /// [`WriteError`] when a larger ring is needed and cannot be made. The old one goes on and can
    /// be published to: it knows which series have ended, and what stands in columns of series that
    /// it does not know belongs to none. The writer is then [`Writer::is_behind`]; the next call
    /// tries again and, of the series that still live, makes up for what the directory missed.
    pub fn sync(&mut self, schema: &mut Schema) -> Result<(), WriteError> {
        if schema.changes().is_empty() && !self.behind {
            return Ok(());
        }
        let columns: BTreeSet<usize> =
            schema.changes().iter().map(|change| column_of(*change)).collect();
        self.file.reconcile(schema, schema.changes(), columns, self.head);
        schema.clear_changes();
        if self.file.has_room(schema) {
            self.file.write_entries(self.head);
        } else {
            self.behind = true;
            self.file.write_ends();
            self.roll_over(schema)?;
        }
        self.behind = false;
        Ok(())
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

    /// The ring's file.
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
        Reader::beside(&self.path(), self.ring())
    }

    /// Ends in order: readers learn that no record will follow. The history stays.
    pub fn close(self) {
        self.file.ring.words().store_release(at::STATE, state::CLOSED);
        self.wake();
    }

    /// Brings the directory in agreement with the schema and puts the ring in place.
    fn begin(&mut self, schema: &mut Schema) -> Result<(), WriteError> {
        let width = schema.width().max(self.file.live.len());
        self.file.reconcile(schema, schema.changes(), 0..width, self.head);
        if self.file.has_room(schema) {
            self.file.write_entries(self.head);
            self.install()?;
        } else {
            self.file.write_ends();
            self.roll_over(schema)?;
        }
        schema.clear_changes();
        Ok(())
    }

    /// Puts a larger ring with the same history in this one's place. After an error this one goes
    /// on, and nothing is left of the other.
    fn roll_over(&mut self, schema: &Schema) -> Result<(), WriteError> {
        let old = &self.file.ring;
        let entries = self.file.entries.clone();
        let mut file = self.make.build(schema, entries, Some(old), old.head())?;
        debug_assert!(file.has_room(schema), "a new ring is made large enough");
        file.write_entries(self.head);
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
        Ok(())
    }

    /// Says who writes, puts a new file under the ring's name and tells the readers of the old one.
    fn install(&mut self) -> Result<(), WriteError> {
        let words = self.file.ring.words();
        words.store(at::EPOCH, u64::from(self.epoch));
        words.store(at::PID, u64::from(std::process::id()));
        words.store(at::PID_START, own_start_ticks());
        // A writer that has just come hangs no sooner than one that has just published.
        words.store(at::HEARTBEAT_NS, boottime_ns());
        words.store_release(at::STATE, state::RUNNING);
        if !self.file.installed {
            let path = self.make.path();
            let unfinished = self.make.unfinished_path();
            if let Err(error) = fs::rename(&unfinished, &path) {
                let _ = fs::remove_file(&unfinished);
                return Err(failed(&path, "put in place")(error));
            }
            self.file.installed = true;
        }
        if let Some(old) = self.retire.take() {
            old.words().store_release(at::STATE, state::RETIRED);
            old.words().notify().fetch_add(1, Ordering::Release);
            wake(&old);
        }
        Ok(())
    }
}

fn wake(ring: &Ring<WriteMap>) {
    use rustix::thread::futex;
    // Not private: the readers are other processes. It fails only for addresses that are not ours.
    let _ = futex::wake(ring.words().notify(), futex::Flags::empty(), i32::MAX as u32);
}

fn column_of(change: Change) -> usize {
    match change {
        Change::Added(column) | Change::Ended(column) => column,
    }
}

/// A ring's file and what its directory holds.
#[derive(Debug)]
struct RingFile {
    // Held for its lock on the inode.
    _file: File,
    ring: Ring<WriteMap>,
    installed: bool,
    entries: Vec<Entry>,
    /// Column to index in `entries`.
    live: Vec<Option<usize>>,
    /// How many of `entries` the file has.
    written: usize,
    /// Entries of the file whose end it does not know yet.
    ended: Vec<usize>,
    names: HashMap<Box<str>, u64>,
    arena_used: u64,
}

impl RingFile {
    /// The file of an old ring that goes on. Its entries are kept as they are, in their places.
    fn of(file: File, ring: Ring<WriteMap>, entries: Vec<Entry>) -> Self {
        let mut this = Self::new(file, ring, true);
        let directory = this.ring.directory();
        this.written = directory.entries.len();
        // A damaged entry keeps its place, without meaning and without a lifetime.
        let placeholder = || Entry { series: no_series(), column: usize::MAX, first: 1, last: 0 };
        let mut sound = entries.into_iter();
        let geometry = *this.ring.geometry();
        // No name of an entry may be written over, whatever the header says of the arena.
        let mut used = this.ring.words().load(at::ARENA_USED).min(geometry.arena_bytes);
        for index in 0..this.written {
            let Some(found) = &directory.entries[index] else {
                // Nor may it gain one, when a name is stored where its own is said to be.
                this.ended.push(index);
                this.push(placeholder());
                continue;
            };
            let entry = sound.next().unwrap_or_else(placeholder);
            let start = geometry.entry_word(index);
            let names = [
                (&found.series.object, start + entry_at::OBJECT),
                (&found.series.metric, start + entry_at::METRIC),
            ];
            for (name, word) in names {
                let place = this.ring.words().load(word);
                used = used.max((place >> 32) + name.len() as u64);
                this.names.insert(name.clone(), place);
            }
            if entry.last != found.last {
                this.ended.push(index);
            }
            this.push(entry);
        }
        this.arena_used = used.next_multiple_of(layout::WORD);
        this
    }

    fn new(file: File, ring: Ring<WriteMap>, installed: bool) -> Self {
        Self {
            _file: file,
            ring,
            installed,
            entries: Vec::new(),
            live: Vec::new(),
            written: 0,
            ended: Vec::new(),
            names: HashMap::new(),
            arena_used: 0,
        }
    }

    fn push(&mut self, entry: Entry) {
        if entry.lives() {
            if self.live.len() <= entry.column {
                self.live.resize(entry.column + 1, None);
            }
            self.live[entry.column] = Some(self.entries.len());
        }
        self.entries.push(entry);
    }

    /// Makes the entries agree with `schema` in `columns`, from the record after `head` on. A series
    /// that has ended among `changes` and is there again is another one.
    fn reconcile(
        &mut self,
        schema: &Schema,
        changes: &[Change],
        columns: impl IntoIterator<Item = usize>,
        head: u64,
    ) {
        let ended = changes.iter().filter(|change| matches!(change, Change::Ended(_)));
        let ended: BTreeSet<usize> = ended.map(|change| column_of(*change)).collect();
        for column in columns {
            let entry = self.live.get(column).copied().flatten();
            let wanted = schema.series(column);
            let same = entry.map(|index| &self.entries[index].series) == wanted;
            if same && !ended.contains(&column) {
                continue;
            }
            if let Some(index) = entry {
                self.live[column] = None;
                if index < self.written || !self.installed {
                    self.entries[index].last = head.max(self.entries[index].first - 1);
                    if index < self.written {
                        self.ended.push(index);
                    }
                } else {
                    // It came and went while the directory was full, and is forgotten: otherwise
                    // the list would grow for as long as that lasts. What lies behind it lives.
                    self.entries.swap_remove(index);
                    if let Some(moved) = self.entries.get(index) {
                        self.live[moved.column] = Some(index);
                    }
                }
            }
            if let Some(series) = wanted {
                self.push(Entry { series: series.clone(), column, first: head + 1, last: LIVES });
            }
        }
    }

    fn has_room(&self, schema: &Schema) -> bool {
        let geometry = self.ring.geometry();
        let new = &self.entries[self.written..];
        let mut names = BTreeSet::new();
        let mut bytes = self.arena_used;
        for name in new.iter().flat_map(|entry| [&entry.series.object, &entry.series.metric]) {
            if !self.names.contains_key(name) && names.insert(name) {
                bytes += (name.len() as u64).next_multiple_of(layout::WORD);
            }
        }
        schema.width() <= geometry.column_capacity
            && self.entries.len() <= geometry.entry_capacity
            && bytes <= geometry.arena_bytes
    }

    /// Writes which series have ended. That needs no room, so it is done even when all else must
    /// wait: what is published from now on in their columns would be taken for theirs.
    fn write_ends(&mut self) {
        let (words, geometry) = (self.ring.words(), self.ring.geometry());
        for index in self.ended.drain(..) {
            words.store(geometry.entry_word(index) + entry_at::LAST, self.entries[index].last);
        }
        words.store_release(
            at::DIRECTORY_CHANGES,
            words.load(at::DIRECTORY_CHANGES).wrapping_add(1),
        );
    }

    /// Writes what the file does not know yet. There is room for it.
    fn write_entries(&mut self, head: u64) {
        self.write_ends();
        let words = self.ring.words().clone();
        let geometry = *self.ring.geometry();
        for index in self.written..self.entries.len() {
            let Entry { series, column, first, last } = self.entries[index].clone();
            let meaning =
                [series.kind.code(), series.unit.code(), series.repr.code(), 0, 0, 0, 0, 0];
            let start = geometry.entry_word(index);
            words.store(start + entry_at::OBJECT, self.name(&series.object));
            words.store(start + entry_at::METRIC, self.name(&series.metric));
            words.store(start + entry_at::MEANING, u64::from_le_bytes(meaning));
            words.store(start + entry_at::COLUMN, column as u64);
            words.store(start + entry_at::FIRST, first);
            words.store(start + entry_at::LAST, last);
        }
        debug_assert!(self.entries[self.written..].iter().all(|entry| entry.first <= head + 1));
        self.written = self.entries.len();
        words.store(at::ARENA_USED, self.arena_used);
        words.store_release(at::ENTRY_COUNT, self.written as u64);
        words.store_release(
            at::DIRECTORY_CHANGES,
            words.load(at::DIRECTORY_CHANGES).wrapping_add(1),
        );
    }

    /// The place of a name in the arena, put there if it is new.
    fn name(&mut self, name: &str) -> u64 {
        if let Some(place) = self.names.get(name) {
            return *place;
        }
        let place = self.arena_used << 32 | name.len() as u64;
        let first_word =
            self.ring.geometry().arena_word() + (self.arena_used / layout::WORD) as usize;
        for (word, chunk) in name.as_bytes().chunks(8).enumerate() {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.ring.words().store(first_word + word, u64::from_le_bytes(bytes));
        }
        self.arena_used += (name.len() as u64).next_multiple_of(layout::WORD);
        self.names.insert(name.into(), place);
        place
    }
}

/// How new files of this lane are made.
#[derive(Debug)]
struct Make {
    dir: RunDir,
    lane: String,
    slot_count: u64,
    interval_ns: u64,
    mode: u32,
}

impl Make {
    fn path(&self) -> PathBuf {
        self.dir.ring(&self.lane)
    }

    fn unfinished_path(&self) -> PathBuf {
        self.path().with_extension("ring.tmp")
    }

    /// Builds a new file that nobody sees yet, large enough for `schema` and some more, with the
    /// history of `old` up to `head`.
    fn build(
        &self,
        schema: &Schema,
        mut entries: Vec<Entry>,
        old: Option<&Ring<WriteMap>>,
        head: u64,
    ) -> Result<RingFile, WriteError> {
        let kept_from = head.saturating_sub(self.slot_count - 1).max(1);
        entries.retain(|entry| entry.covers_any_since(kept_from));
        let sizes = self.sizes(schema, &mut entries);
        let geometry = Geometry::of(sizes).map_err(WriteError::Format)?;
        let (file, map) = self.create(geometry.file_bytes)?;
        let path = self.unfinished_path();
        let discard = |error| {
            let _ = fs::remove_file(&path);
            error
        };
        let header = Header {
            version: layout::VERSION,
            geometry,
            ring_id: random_id(),
            boot_id: boot_id(),
            interval_ns: self.interval_ns,
            created_ns: realtime_ns(),
        };
        header.encode(&map);
        let ring = Ring::decode(map).map_err(|error| discard(WriteError::Format(error)))?;
        if let Some(old) = old {
            recover::copy_history(old, &ring, kept_from, head);
        }
        ring.words().store(at::HEAD, head);
        ring.words().notify().store(head as u32, Ordering::Relaxed);
        // Nobody can have the inode yet.
        file.try_lock().map_err(|error| discard(failed(&path, "lock")(error.into())))?;
        let mut built = RingFile::new(file, ring, false);
        for entry in entries {
            built.push(entry);
        }
        Ok(built)
    }

    /// Sizes for the schema's series and the kept entries. Of more ended series than a directory
    /// can have, the oldest are forgotten: their columns in old records are then unknown, never
    /// taken for something else.
    fn sizes(&self, schema: &Schema, entries: &mut Vec<Entry>) -> Sizes {
        let most = layout::ENTRIES_MAX as usize / 2;
        let mut surplus = entries.len().saturating_sub(most);
        entries.retain(|entry| {
            let forget = surplus > 0 && !entry.lives();
            surplus -= usize::from(forget);
            !forget
        });
        let kept_width = entries.iter().map(|entry| entry.column + 1).max().unwrap_or(0);
        let width = schema.width().max(kept_width);
        let spare = (width / SPARE_COLUMNS_SHARE).max(SPARE_COLUMNS_MIN);
        // One cache line is a granule of the slot; what it holds anyway is not left out.
        let columns = (width + spare).next_multiple_of(RecordHeader::WORDS).min(COLUMNS_MAX);
        let count = entries.len().max(schema.len()) + schema.len() + SPARE_ENTRIES;
        let series = schema.iter().map(|(_, series)| series);
        let names: BTreeSet<&str> = series
            .chain(entries.iter().map(|entry| &entry.series))
            .flat_map(|series| [&*series.object, &*series.metric])
            .collect();
        let bytes: usize = names.iter().map(|name| name.len().next_multiple_of(8)).sum();
        Sizes {
            slot_count: self.slot_count,
            column_capacity: columns as u64,
            entry_capacity: count as u64,
            arena_bytes: (2 * bytes + SPARE_ARENA_BYTES)
                .min(layout::ARENA_BYTES_MAX as usize)
                .max(bytes) as u64,
        }
    }

    /// Creates the file with all its blocks: a full file system is an error here and not a signal
    /// at some later store.
    fn create(&self, bytes: u64) -> Result<(File, WriteMap), WriteError> {
        let path = self.unfinished_path();
        let no_room =
            |free_bytes| WriteError::NoRoom { path: self.path(), needed_bytes: bytes, free_bytes };
        let info = rustix::system::sysinfo();
        let memory_bytes = info.totalram as u64 * u64::from(info.mem_unit) / MEMORY_SHARE;
        if self.dir.is_in_memory() && bytes > memory_bytes {
            return Err(no_room(memory_bytes));
        }
        let _ = fs::remove_file(&path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(&path)
            .map_err(failed(&path, "create"))?;
        let made = (|| {
            let blocks =
                rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes);
            match blocks {
                Ok(()) => {}
                Err(
                    rustix::io::Errno::NOSPC | rustix::io::Errno::NOMEM | rustix::io::Errno::FBIG,
                ) => {
                    return Err(no_room(self.dir.free_bytes().unwrap_or(0)));
                }
                Err(error) => return Err(failed(&path, "allocate")(error.into())),
            }
            file.set_permissions(fs::Permissions::from_mode(self.mode))
                .map_err(failed(&path, "set the mode of"))?;
            WriteMap::of(&file, bytes).map_err(failed(&path, "map"))
        })();
        match made {
            Ok(map) => Ok((file, map)),
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }
}

/// Opens the file in the ring's place, if there is one.
#[expect(clippy::type_complexity, reason = "a file with what it decodes to, used once")]
fn open_old(
    path: &Path,
) -> Result<Option<(File, Result<Ring<WriteMap>, FormatError>)>, WriteError> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "open")(error)),
    };
    let meta = file.metadata().map_err(failed(path, "look at"))?;
    if !meta.is_file() || meta.uid() != own_uid() {
        let kind = io::Error::other("it is not a regular file of this user");
        return Err(failed(path, "write to")(kind));
    }
    if meta.len() < layout::HEADER_BYTES {
        return Ok(Some((file, Err(FormatError::NotARing))));
    }
    let map = WriteMap::of(&file, meta.len()).map_err(failed(path, "map"))?;
    let ring = Ring::decode(map).and_then(|ring| {
        // A file that was cut and grown again has holes: stores into it could still fail.
        let geometry = *ring.geometry();
        let allocated = meta.blocks().saturating_mul(512);
        let whole = allocated >= geometry.file_bytes;
        let truncated = FormatError::Truncated { stated: geometry.file_bytes, found: allocated };
        if whole { Ok(ring) } else { Err(truncated) }
    });
    Ok(Some((file, ring)))
}

/// A damaged directory may name two live series of one column, of which the first is believed, or
/// series of records that are still to come. None of these may speak for what is published next.
fn end_unsound(entries: &mut [Entry], head: u64) {
    let mut columns = BTreeSet::new();
    for entry in entries {
        let sound = if entry.lives() {
            entry.first <= head + 1 && columns.insert(entry.column)
        } else {
            entry.last <= head || entry.last < entry.first
        };
        if !sound {
            entry.last = if entry.first > head { entry.first - 1 } else { head };
        }
    }
}

/// Files that a writer was building when it was killed.
fn remove_unfinished(dir: &RunDir, lane: &str) {
    let _ = fs::remove_file(dir.ring(lane).with_extension("ring.tmp"));
}

fn no_series() -> Series {
    use crate::record::{Kind, Repr, Unit};
    let (kind, unit, repr) = (Kind::Gauge, Unit::Count, Repr::U64);
    Series { object: "".into(), metric: "".into(), kind, unit, repr }
}

fn random_id() -> [u64; 2] {
    let mut id = [0_u64; 2];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut id);
    // 16 bytes come whole or not at all; the clock tells two files of one name apart as well.
    if rustix::rand::getrandom(bytes, rustix::rand::GetRandomFlags::NONBLOCK) != Ok(16) {
        id = [realtime_ns(), u64::from(std::process::id())];
    }
    id
}

fn realtime_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

fn boottime_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

/// The kernel's id of this boot; zero when it does not say.
fn boot_id() -> [u64; 2] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |range| digits.get(range).and_then(|half| u64::from_str_radix(half, 16).ok());
    [half(0..16).unwrap_or(0), half(16..32).unwrap_or(0)]
}

/// When this process started, in ticks since boot: with the pid it names the process for good.
fn own_start_ticks() -> u64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold anything, so fields are counted from its end.
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().nth(19).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}
