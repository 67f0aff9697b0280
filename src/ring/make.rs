//! How a ring's file is made: its sizes, its blocks, its header and the history that it begins with.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::clock::realtime_ns;
use super::directory::Entry;
use super::file::{Churn, Living, RingFile, Taken};
use super::layout::{self, Geometry, LIVES, Sizes, header as at};
use super::map::WriteMap;
use super::place::RunDir;
use super::recover;
use super::words::WordsMut as _;
use super::writer::{WriteError, failed};
use super::{Header, Ring};
use crate::record::{COLUMNS_MAX, RecordHeader, Schema};

/// Room for series that come later: this share of the columns that are needed now, and no fewer
/// than [`SPARE_COLUMNS_MIN`].
const SPARE_COLUMNS_SHARE: usize = 8;
const SPARE_COLUMNS_MIN: usize = 32;
/// Directory entries beyond twice the live ones.
const SPARE_ENTRIES: u64 = 256;
/// Bytes for names beyond twice those of the live series.
const SPARE_ARENA_BYTES: u64 = 16 << 10;
/// Largest share of the machine's memory that a ring may take: one half.
const MEMORY_SHARE: u64 = 2;

/// Most entries of ended series that a new file begins with. It leaves room for as many living ones
/// as there are columns, and for entries that come: of a directory that can grow no more, a quarter.
const ENDED_ENTRIES_MAX: u64 = layout::ENTRIES_MAX / 8 * 5;
/// Most bytes of names that only ended series have, in a new file.
const ENDED_NAME_BYTES_MAX: u64 = layout::ARENA_BYTES_MAX / 4;

/// When a larger file is begun, in 1024ths of the room that the present one began with.
pub(super) mod ahead {
    /// All of it.
    pub(in crate::ring) const WHOLE: u64 = 1024;
    /// Three quarters: so much churn goes by before the next file is begun.
    pub(in crate::ring) const BEGIN: u64 = WHOLE / 4 * 3;
}

/// What a new file must have room for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// Columns of a record.
    pub(super) width: usize,
    /// Series that live.
    pub(super) series: usize,
    /// Those of them that no entry of the past has.
    pub(super) new_entries: usize,
    /// Bytes of their names.
    pub(super) name_bytes: u64,
    /// What comes in one turn of the ring.
    pub(super) churn: Churn,
}

impl Need {
    /// For all series of `schema`, which may have entries or not.
    pub(super) fn of(schema: &Schema) -> Self {
        let series = schema.iter().map(|(_, series)| series);
        let names: BTreeSet<&str> =
            series.flat_map(|series| [&*series.object, &*series.metric]).collect();
        Self {
            width: schema.width(),
            series: schema.len(),
            new_entries: 0,
            name_bytes: names.iter().map(|name| arena_bytes_of(name)).sum(),
            churn: Churn::default(),
        }
    }
}

/// What a new file takes over: the records of a ring, and entries.
pub(super) struct Past<'a> {
    pub(super) ring: &'a Ring<WriteMap>,
    pub(super) entries: usize,
    /// The entry of this number, `None` if it is damaged.
    pub(super) entry: &'a dyn Fn(usize) -> Option<Entry>,
}

impl<'a> Past<'a> {
    /// The entries of the past that a file takes over which keeps the records from `kept_from` on:
    /// those that some kept record has, except, of series that had ended before the record `head`,
    /// those before the entry `ended_from`. In their order, with their numbers.
    ///
    /// A series that ends while the file is being built still has the newest record, so that which
    /// ones these are does not change meanwhile.
    fn kept(
        &self,
        kept_from: u64,
        head: u64,
        ended_from: usize,
    ) -> impl DoubleEndedIterator<Item = (usize, Entry)> + use<'a, '_> {
        let entry = self.entry;
        let kept = move |index| entry(index).filter(|entry| entry.covers_any_since(kept_from));
        (0..self.entries)
            .filter_map(move |index| Some((index, kept(index)?)))
            .filter(move |(index, entry)| entry.last >= head || *index >= ended_from)
    }
}

/// Which entries of the past are taken over, and what they need.
///
/// Of more ended series than a directory is to begin with, the oldest are forgotten: their columns
/// in old records are then unknown, never taken for something else.
#[derive(Debug, Default)]
struct Kept {
    from: u64,
    head: u64,
    ended_from: usize,
    width: usize,
    entries: u64,
    name_bytes: u64,
}

impl Kept {
    fn of(past: &Past<'_>, from: u64, head: u64, stop: &AtomicBool) -> Self {
        let mut kept = Self { from, head, ..Self::default() };
        let mut names = HashSet::new();
        let (mut ended, mut ended_bytes) = (0, 0);
        for (index, entry) in past.kept(from, head, 0).rev() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let has_newest = entry.last >= head;
            if !has_newest && kept.ended_from > 0 {
                continue;
            }
            let Entry { series, column, .. } = entry;
            let mut bytes = 0;
            for name in [series.object, series.metric] {
                let needed = arena_bytes_of(&name);
                bytes += if names.insert(name) { needed } else { 0 };
            }
            if !has_newest {
                ended += 1;
                ended_bytes += bytes;
                if ended >= ENDED_ENTRIES_MAX || ended_bytes >= ENDED_NAME_BYTES_MAX {
                    kept.ended_from = index.max(1);
                }
            }
            kept.entries += 1;
            kept.name_bytes += bytes;
            kept.width = kept.width.max(column + 1);
        }
        kept
    }
}

/// A new file with what it took over, and from where.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) file: RingFile,
    /// By column, which entry of the past the living series has.
    pub(super) origins: Vec<Option<usize>>,
    /// How many entries of the past have been looked at.
    pub(super) seen: usize,
}

impl Built {
    fn copy_entries(&mut self, past: &Past<'_>, kept: &Kept, stop: &AtomicBool) {
        for (index, entry) in past.kept(kept.from, kept.head, kept.ended_from) {
            let Entry { series, column, first, last } = entry;
            // Nothing in the past has room for more than was counted, unless it is being damaged.
            if stop.load(Ordering::Relaxed) || !self.file.has_room_for(&series, column) {
                break;
            }
            let place = self.file.append(&series, column, first, last);
            if last == LIVES {
                if self.origins.len() <= column {
                    self.origins.resize(column + 1, None);
                }
                self.origins[column] = Some(index);
                self.file.settle(column, Living { series, first, index: Some(place) });
            }
        }
    }
}

pub(super) fn arena_bytes_of(name: &str) -> u64 {
    (name.len() as u64).next_multiple_of(layout::WORD)
}

/// How new files of this lane are made.
#[derive(Clone, Debug)]
pub(super) struct Make {
    pub(super) dir: RunDir,
    pub(super) lane: String,
    pub(super) slot_count: u64,
    pub(super) interval_ns: u64,
    pub(super) mode: u32,
}

impl Make {
    pub(super) fn path(&self) -> PathBuf {
        self.dir.ring(&self.lane)
    }

    pub(super) fn unfinished_path(&self) -> PathBuf {
        self.path().with_extension("ring.tmp")
    }

    /// Builds a new file that nobody sees yet, large enough for what `need` says, with the history
    /// of `past` up to the record `head`. Ends early, with an error, once `stop` is set.
    ///
    /// Room for churn is a wish: where there is none for it, the file is made without.
    pub(super) fn build(
        &self,
        need: &Need,
        past: Option<&Past<'_>>,
        head: u64,
        stop: &AtomicBool,
    ) -> Result<Built, WriteError> {
        let kept_from = head.saturating_sub(self.slot_count - 1).max(1);
        let kept = past.map(|past| Kept::of(past, kept_from, head, stop)).unwrap_or_default();
        let with = |churn| self.create_ring(need, &kept, churn, kept_from);
        let created = match with(need.churn) {
            Err(WriteError::NoRoom { .. }) => with(Churn::default()),
            created => created,
        };
        let (file, ring) = created?;
        let seen = past.map_or(0, |past| past.entries);
        let mut built = Built { file: RingFile::new(file, ring, false), origins: Vec::new(), seen };
        built.file.began = Taken { head, ..Taken::default() };
        if let Some(past) = past {
            built.copy_entries(past, &kept, stop);
            recover::copy_history(past.ring, &built.file.ring, kept_from, head, stop);
        }
        let words = built.file.ring.words();
        words.store(at::HEAD, head);
        words.notify().store(head as u32, Ordering::Relaxed);
        built.file.state_entries();
        built.file.began = built.file.taken(head, need.width.max(kept.width));
        if stop.load(Ordering::Relaxed) {
            let path = self.unfinished_path();
            let _ = fs::remove_file(&path);
            return Err(failed(&path, "finish")(io::ErrorKind::Interrupted.into()));
        }
        Ok(built)
    }

    /// Creates the file, with its header and nothing else.
    fn create_ring(
        &self,
        need: &Need,
        kept: &Kept,
        churn: Churn,
        kept_from: u64,
    ) -> Result<(File, Ring<WriteMap>), WriteError> {
        let sizes = self.sizes(need, kept, churn);
        self.check_slot_count(sizes)?;
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
            first_seq: kept_from,
        };
        header.encode(&map);
        let ring = Ring::decode(map).map_err(|error| discard(WriteError::Format(error)))?;
        // Nobody can have the inode yet.
        file.try_lock().map_err(|error| discard(failed(&path, "lock")(error.into())))?;
        Ok((file, ring))
    }

    /// Sizes for the needed series and the kept entries, and for a turn of the ring to go by until
    /// the next file is begun.
    fn sizes(&self, need: &Need, kept: &Kept, churn: Churn) -> Sizes {
        let width = need.width.max(kept.width);
        let spare = (width / SPARE_COLUMNS_SHARE).max(SPARE_COLUMNS_MIN);
        // One cache line is a granule of the slot; what it holds anyway is not left out.
        let columns = (width + spare).next_multiple_of(RecordHeader::WORDS).min(COLUMNS_MAX);
        let with_churn = |least: u64, churn: u64, most: u64| {
            let churn = churn.saturating_mul(ahead::WHOLE) / ahead::BEGIN;
            least.saturating_add(churn).min(most).max(least)
        };
        let series = need.series as u64;
        let entries = (kept.entries + need.new_entries as u64).max(series);
        let name_bytes = kept.name_bytes + need.name_bytes;
        let arena = (2 * name_bytes + SPARE_ARENA_BYTES).min(layout::ARENA_BYTES_MAX);
        let arena = with_churn(arena, churn.arena_bytes, layout::ARENA_BYTES_MAX);
        Sizes {
            slot_count: self.slot_count,
            column_capacity: columns as u64,
            entry_capacity: with_churn(
                entries + series + SPARE_ENTRIES,
                churn.entries,
                layout::ENTRIES_MAX,
            ),
            arena_bytes: arena.max(name_bytes).next_multiple_of(layout::WORD),
        }
    }

    /// Refuses more slots than a ring can have in the words of a ring that is too large, which is
    /// what whoever asked for them can change.
    fn check_slot_count(&self, sizes: Sizes) -> Result<(), WriteError> {
        if sizes.slot_count <= layout::SLOTS_MAX {
            return Ok(());
        }
        let slot_bytes = (RecordHeader::WORDS as u64 + sizes.column_capacity) * layout::WORD;
        Err(WriteError::NoRoom {
            path: self.path(),
            needed_bytes: sizes.slot_count.saturating_mul(slot_bytes),
            free_bytes: (layout::SLOTS_MAX * slot_bytes).min(self.memory_bytes()),
        })
    }

    /// The most that a ring may take of the machine's memory, in bytes.
    fn memory_bytes(&self) -> u64 {
        if !self.dir.is_in_memory() {
            return u64::MAX;
        }
        let info = rustix::system::sysinfo();
        info.totalram as u64 * u64::from(info.mem_unit) / MEMORY_SHARE
    }

    /// Creates the file with all its blocks: a full file system is an error here and not a signal
    /// at some later store.
    fn create(&self, bytes: u64) -> Result<(File, WriteMap), WriteError> {
        let path = self.unfinished_path();
        let no_room =
            |free_bytes| WriteError::NoRoom { path: self.path(), needed_bytes: bytes, free_bytes };
        let memory_bytes = self.memory_bytes();
        if bytes > memory_bytes {
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

pub(super) fn random_id() -> [u64; 2] {
    let mut id = [0_u64; 2];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut id);
    // 16 bytes come whole or not at all; the clock tells two files of one name apart as well.
    if rustix::rand::getrandom(bytes, rustix::rand::GetRandomFlags::NONBLOCK) != Ok(16) {
        id = [realtime_ns(), u64::from(std::process::id())];
    }
    id
}

/// The kernel's id of this boot; zero when it does not say.
pub(super) fn boot_id() -> [u64; 2] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |range| digits.get(range).and_then(|half| u64::from_str_radix(half, 16).ok());
    [half(0..16).unwrap_or(0), half(16..32).unwrap_or(0)]
}
