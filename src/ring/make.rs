//! How a ring's file is made: its sizes, its blocks, its header and the history that it begins with.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::clock::realtime_ns;
use super::directory::Entry;
use super::file::RingFile;
use super::layout::{self, Geometry, Sizes, header as at};
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
const SPARE_ENTRIES: usize = 256;
/// Bytes for names beyond twice those of the live series.
const SPARE_ARENA_BYTES: usize = 16 << 10;
/// Largest share of the machine's memory that a ring may take: one half.
const MEMORY_SHARE: u64 = 2;

/// How new files of this lane are made.
#[derive(Debug)]
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

    /// Builds a new file that nobody sees yet, large enough for `schema` and some more, with the
    /// history of `old` up to `head`.
    pub(super) fn build(
        &self,
        schema: &Schema,
        mut entries: Vec<Entry>,
        old: Option<&Ring<WriteMap>>,
        head: u64,
    ) -> Result<RingFile, WriteError> {
        let kept_from = head.saturating_sub(self.slot_count - 1).max(1);
        entries.retain(|entry| entry.covers_any_since(kept_from));
        let sizes = self.sizes(schema, &mut entries);
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
    pub(super) fn sizes(&self, schema: &Schema, entries: &mut Vec<Entry>) -> Sizes {
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
    pub(super) fn create(&self, bytes: u64) -> Result<(File, WriteMap), WriteError> {
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
