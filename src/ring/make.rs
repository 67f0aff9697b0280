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
use super::writer::{WriteError, WriterOptions, failed};
use super::{Header, Ring, RingKind, sealed};
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

/// What a new file takes over.
pub(super) struct Past<'a> {
    pub(super) ring: &'a Ring<WriteMap>,
    pub(super) entries: Entries<'a>,
}

/// Entries that are decoded one at a time: there may be as many as a directory can have.
#[derive(Clone, Copy)]
pub(super) struct Entries<'a> {
    pub(super) count: usize,
    /// The entry of this number, `None` if it is damaged.
    pub(super) entry: &'a dyn Fn(usize) -> Option<Entry>,
}

impl<'a> Entries<'a> {
    /// Those that some record from `from` on has, in their order and with their numbers.
    fn since(self, from: u64) -> impl Iterator<Item = (usize, Entry)> + use<'a> {
        let kept = move |index| (self.entry)(index).filter(|entry| entry.covers_any_since(from));
        (0..self.count).filter_map(move |index| Some((index, kept(index)?)))
    }
}

/// Which entries of the past are taken over, and what they need.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kept {
    /// Those that some record from this one on has.
    from: u64,
    width: usize,
    entries: u64,
    name_bytes: u64,
}

/// How much of the past a new directory begins with at most, so that there is room for more.
#[derive(Clone, Copy, Debug)]
struct KeptMax {
    /// Series that have ended.
    ended: usize,
    name_bytes: u64,
}

impl KeptMax {
    /// It leaves room for as many living series as there are columns, and of the entries that a
    /// directory can have a quarter.
    const ALL: Self = Self {
        ended: layout::ENTRIES_MAX as usize / 8 * 5,
        name_bytes: layout::ARENA_BYTES_MAX / 2,
    };
}

impl Kept {
    /// The entries of records from `kept_from` on. If they are too many, those series are forgotten
    /// that ended first: their columns in old records are then unknown, never taken for something
    /// else.
    ///
    /// A series that ends while the file is being built still has the record `head`, so which entries
    /// these are does not change meanwhile.
    fn of(
        entries: Entries<'_>,
        kept_from: u64,
        head: u64,
        max: KeptMax,
        stop: &AtomicBool,
    ) -> Self {
        let mut from = kept_from;
        if entries.count > max.ended {
            let lasts = entries.since(from).map(|(_, entry)| entry.last);
            let mut ends: Vec<u64> = lasts.filter(|last| *last != LIVES).collect();
            if let Some(last_forgotten) = ends.len().saturating_sub(max.ended).checked_sub(1) {
                let (_, end, _) = ends.select_nth_unstable(last_forgotten);
                from = (*end + 1).min(head);
            }
        }
        // Half of the time that is left is given up at each turn.
        loop {
            let kept = Self::since(entries, from, stop);
            if kept.name_bytes <= max.name_bytes || from >= head || stop.load(Ordering::Relaxed) {
                return kept;
            }
            from += (head - from).div_ceil(2);
        }
    }

    fn since(entries: Entries<'_>, from: u64, stop: &AtomicBool) -> Self {
        let mut kept = Self { from, ..Self::default() };
        let mut names = HashSet::new();
        for (_, Entry { series, column, .. }) in entries.since(from) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            for name in [series.object, series.metric] {
                let bytes = arena_bytes_of(&name);
                kept.name_bytes += if names.insert(name) { bytes } else { 0 };
            }
            kept.entries += 1;
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
    fn copy_entries(&mut self, entries: Entries<'_>, kept: &Kept, stop: &AtomicBool) {
        for (index, entry) in entries.since(kept.from) {
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

/// Where new files of a ring lie.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In a directory, under the name of this lane.
    Named(RunDir, String),
    /// In sealed memory without a path; what people call it.
    Sealed(String),
}

/// How new files of this ring are made.
#[derive(Clone, Debug)]
pub(super) struct Make {
    pub(super) place: Place,
    pub(super) kind: RingKind,
    pub(super) slot_count: u64,
    pub(super) interval_ns: u64,
    pub(super) mode: u32,
}

impl Make {
    pub(super) fn of(place: Place, kind: RingKind, options: &WriterOptions) -> Self {
        let slot_count = options.depth_records.max(layout::SLOTS_MIN).checked_next_power_of_two();
        Self {
            place,
            kind,
            slot_count: slot_count.unwrap_or(u64::MAX),
            interval_ns: u64::try_from(options.interval.as_nanos()).unwrap_or(u64::MAX),
            mode: options.mode,
        }
    }

    /// Where the ring lies, or what stands for it in messages.
    pub(super) fn path(&self) -> PathBuf {
        match &self.place {
            Place::Named(dir, lane) => dir.ring(lane),
            Place::Sealed(name) => PathBuf::from(format!("memfd:{name}")),
        }
    }

    /// Where a new file lies until it is put in place, likewise.
    pub(super) fn unfinished_path(&self) -> PathBuf {
        match &self.place {
            Place::Named(..) => self.path().with_extension("ring.tmp"),
            Place::Sealed(_) => self.path(),
        }
    }

    /// Gives a new file the ring's name.
    ///
    /// # Errors
    ///
    /// What rename(2) says; nothing is then left of the file.
    pub(super) fn put_in_place(&self) -> Result<(), WriteError> {
        let Place::Named(..) = self.place else { return Ok(()) };
        let path = self.path();
        fs::rename(self.unfinished_path(), &path).map_err(|error| {
            self.remove_unfinished();
            failed(&path, "put in place")(error)
        })
    }

    /// Removes a new file that is not wanted any more. Memory without a path goes by itself.
    pub(super) fn remove_unfinished(&self) {
        if let Place::Named(..) = self.place {
            let _ = fs::remove_file(self.unfinished_path());
        }
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
        let kept_of = |past: &Past<'_>| Kept::of(past.entries, kept_from, head, KeptMax::ALL, stop);
        let kept = past.map(kept_of).unwrap_or_default();
        let with = |churn| self.create_ring(need, &kept, churn, kept_from);
        let created = match with(need.churn) {
            Err(WriteError::NoRoom { .. }) => with(Churn::default()),
            created => created,
        };
        let (file, ring) = created?;
        let seen = past.map_or(0, |past| past.entries.count);
        let mut built = Built { file: RingFile::new(file, ring, false), origins: Vec::new(), seen };
        built.file.began = Taken { head, ..Taken::default() };
        if let Some(past) = past {
            built.copy_entries(past.entries, &kept, stop);
            recover::copy_history(past.ring, &built.file.ring, kept_from, head, stop);
        }
        let words = built.file.ring.words();
        words.store(at::HEAD, head);
        words.notify().store(head as u32, Ordering::Relaxed);
        built.file.state_entries();
        built.file.began = built.file.taken(head, need.width.max(kept.width));
        if stop.load(Ordering::Relaxed) {
            self.remove_unfinished();
            return Err(failed(&self.unfinished_path(), "finish")(
                io::ErrorKind::Interrupted.into(),
            ));
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
            self.remove_unfinished();
            error
        };
        let header = Header {
            version: layout::VERSION,
            compatible_flags: self.kind.compatible_flags(),
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
        if let Place::Named(dir, _) = &self.place
            && !dir.is_in_memory()
        {
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
        self.remove_unfinished();
        let file = self.create_empty().map_err(failed(&path, "create"))?;
        let made = (|| {
            let blocks =
                rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes);
            match blocks {
                Ok(()) => {}
                Err(
                    rustix::io::Errno::NOSPC | rustix::io::Errno::NOMEM | rustix::io::Errno::FBIG,
                ) => {
                    return Err(no_room(self.free_bytes()));
                }
                Err(error) => return Err(failed(&path, "allocate")(error.into())),
            }
            let mapped = || WriteMap::of(&file, bytes).map_err(failed(&path, "map"));
            if let Place::Sealed(_) = self.place {
                let map = mapped()?;
                sealed::seal(&file, self.mode).map_err(failed(&path, "seal"))?;
                return Ok(map);
            }
            file.set_permissions(fs::Permissions::from_mode(self.mode))
                .map_err(failed(&path, "set the mode of"))?;
            mapped()
        })();
        match made {
            Ok(map) => Ok((file, map)),
            Err(error) => {
                self.remove_unfinished();
                Err(error)
            }
        }
    }

    fn create_empty(&self) -> io::Result<File> {
        if let Place::Sealed(name) = &self.place {
            return sealed::create(name);
        }
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(self.unfinished_path())
    }

    /// What a new file could have, in bytes, when it was refused more.
    fn free_bytes(&self) -> u64 {
        match &self.place {
            Place::Named(dir, _) => dir.free_bytes().unwrap_or(0),
            Place::Sealed(_) => self.memory_bytes(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Series;

    /// One series ends with each of the records 1..=1000, the first to begin being the last to end;
    /// ten others live.
    fn entry(index: usize) -> Option<Entry> {
        use crate::record::{Kind, Repr, Unit};
        let (kind, unit, repr) = (Kind::Counter, Unit::Count, Repr::U64);
        let (object, metric) = (format!("nic/{index:04}").into(), "receive_packets".into());
        let last = if index < 1000 { 1000 - index as u64 } else { LIVES };
        let series = Series { object, metric, kind, unit, repr };
        Some(Entry { series, column: index, first: 1, last })
    }

    #[test]
    fn of_too_many_ended_series_those_are_forgotten_that_ended_first() {
        let entries = Entries { count: 1010, entry: &entry };
        let never = AtomicBool::new(false);
        let of = |from, ended, name_bytes| {
            Kept::of(entries, from, 1000, KeptMax { ended, name_bytes }, &never)
        };
        let kept =
            |from: u64, entries| Kept { from, width: 1010, entries, name_bytes: 8 * entries + 16 };
        assert_eq!(of(1, 1000, u64::MAX), kept(1, 1010));
        assert_eq!(of(301, 1000, u64::MAX), kept(301, 710));
        assert_eq!(of(301, 200, u64::MAX), kept(801, 210));
        assert_eq!(of(1, 1000, 8 * 600), kept(501, 510));
        assert_eq!(of(1, 200, 8 * 150), kept(901, 110));
        // What has the newest record is kept, whatever that takes.
        assert_eq!(of(1, 0, 0), kept(1000, 11));
    }
}
