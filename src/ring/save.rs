//! A ring, or a part of it, kept as a file of its own.
//!
//! What is saved is a ring file like any other, closed, with just as many slots as its records need:
//! whatever reads rings reads it, on any machine of the same byte order. Records keep their sequences
//! and columns, and the directory has the series of these records.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::directory::Entry;
use super::file::RingFile;
use super::layout::{self, Sizes, header as at, state};
use super::make::random_id;
use super::map::WriteMap;
use super::words::{Words, WordsMut as _};
use super::writer::{WriteError, failed};
use super::{Geometry, Header, Ring, realtime_ns};
use crate::record::{Record, RecordHeader};

/// Most zeros that are written at a time where the file system cannot reserve room.
const ZEROS_BYTES: usize = 1 << 20;

/// What has been saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Sequences of the first and the last record that were asked for.
    pub bounds: (u64, u64),
    /// Records in the file.
    pub records: u64,
    /// Records in these bounds that are not in it: their writer was killed, or they were overwritten
    /// before they could be copied.
    pub missing: u64,
    /// Series of these records.
    pub series: usize,
    /// Size of the file.
    pub file_bytes: u64,
}

/// Saves the records `first..=last` of `ring`, as far as it has them, in a new file at `path`.
///
/// The file appears under its name only when it is whole and on its disk. A file that is there
/// already is refused unless it may be `replace`d.
///
/// Nothing torn is saved: a record that the writer overwrites meanwhile is left out. Memory does not
/// depend on the number of records.
///
/// # Errors
///
/// [`WriteError::Io`] when the file cannot be made, or is there already; [`WriteError::Empty`] when
/// the ring has none of the records; [`WriteError::Format`] for more slots than a ring can have.
pub fn save<W: Words>(
    ring: &Ring<W>,
    (first, last): (u64, u64),
    path: &Path,
    replace: bool,
) -> Result<Saved, WriteError> {
    let (oldest, head) = ring.bounds().ok_or(WriteError::Empty)?;
    let (first, last) = (first.max(oldest), last.min(head));
    if first > last {
        return Err(WriteError::Empty);
    }
    // After the bounds: it knows every series of these records.
    let entries = ring.directory().entries.into_iter().flatten();
    let columns = width(ring, first, last);
    let entries: Vec<Entry> =
        entries.filter(|entry| entry.column < columns && has_any(entry, first, last)).collect();
    let geometry =
        Geometry::of(sizes(last - first + 1, columns, &entries)).map_err(WriteError::Format)?;
    let unfinished = Unfinished::create(path, geometry.file_bytes, replace)?;
    let map = WriteMap::of(&unfinished.file, geometry.file_bytes);
    let map = map.map_err(failed(&unfinished.path, "map"))?;
    let from = ring.header();
    let header = Header {
        version: layout::VERSION,
        geometry,
        ring_id: random_id(),
        created_ns: realtime_ns(),
        first_seq: first,
        ..*from
    };
    header.encode(&map);
    let new = Ring::decode(map).map_err(WriteError::Format)?;
    let (records, heartbeat_ns) = copy_records(ring, &new, first, last);
    let words = new.words();
    words.store(at::HEAD, last);
    words.store(at::HEARTBEAT_NS, heartbeat_ns);
    words.store(at::EPOCH, ring.epoch());
    words.store(at::PID, ring.writer_pid());
    words.store(at::STATE, state::CLOSED);
    let series = entries.len();
    let file = unfinished.file.try_clone().map_err(failed(path, "write"))?;
    let mut saved = RingFile::new(file, new, false);
    for Entry { series, column, first, last } in &entries {
        saved.append(series, *column, *first, *last);
    }
    saved.state_entries();
    drop(saved);
    unfinished.put_in_place(path, replace)?;
    Ok(Saved {
        bounds: (first, last),
        records,
        missing: last - first + 1 - records,
        series,
        file_bytes: geometry.file_bytes,
    })
}

fn has_any(entry: &Entry, first: u64, last: u64) -> bool {
    entry.first <= last && entry.covers_any_since(first)
}

/// How many columns the widest of the records has.
fn width<W: Words>(ring: &Ring<W>, first: u64, last: u64) -> usize {
    let width = |seq| ring.read(seq, |view| view.columns()).unwrap_or(0);
    (first..=last).map(width).max().unwrap_or(0)
}

/// As few slots, columns and entries as hold everything.
fn sizes(records: u64, columns: usize, entries: &[Entry]) -> Sizes {
    let names = entries.iter().flat_map(|entry| [&entry.series.object, &entry.series.metric]);
    let names: BTreeSet<&str> = names.map(|name| &**name).collect();
    let bytes: usize = names.iter().map(|name| name.len().next_multiple_of(8)).sum();
    Sizes {
        slot_count: records.next_power_of_two().max(layout::SLOTS_MIN),
        column_capacity: columns.max(1) as u64,
        entry_capacity: entries.len().max(1) as u64,
        arena_bytes: bytes.max(layout::WORD as usize) as u64,
    }
}

/// Copies what can be read of the records, and says how many that were and when the last was taken.
fn copy_records<W: Words>(
    ring: &Ring<W>,
    new: &Ring<WriteMap>,
    first: u64,
    last: u64,
) -> (u64, u64) {
    let (mut records, mut heartbeat_ns) = (0, 0);
    let mut record = Record::default();
    for seq in first..=last {
        if ring.read_into(seq, &mut record).is_err() {
            continue;
        }
        let columns = record.words().len().min(new.geometry().column_capacity);
        let mut header = record.header;
        // What stands there of a stable record, as the slot has it.
        header.seq = 2 * seq;
        header.columns = columns as u64;
        let head: [u64; RecordHeader::WORDS] = bytemuck::must_cast(header);
        let slot = new.geometry().slot_word(seq);
        new.words().store_all(slot, &head);
        new.words().store_all(slot + RecordHeader::WORDS, &record.words()[..columns]);
        records += 1;
        heartbeat_ns = header.boottime_ns;
    }
    (records, heartbeat_ns)
}

/// A file under a name that nobody looks for; removed unless it is put in place.
struct Unfinished {
    file: File,
    path: PathBuf,
}

impl Unfinished {
    /// Creates it beside `path` with room for `bytes`.
    fn create(path: &Path, bytes: u64, replace: bool) -> Result<Self, WriteError> {
        if !replace && fs::symlink_metadata(path).is_ok() {
            let there =
                io::Error::new(io::ErrorKind::AlreadyExists, "there is such a file already");
            return Err(failed(path, "save as")(there));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let unfinished = path.with_file_name(name);
        let _ = fs::remove_file(&unfinished);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o644)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(&unfinished)
            .map_err(failed(path, "save as"))?;
        let unfinished = Self { file, path: unfinished };
        unfinished.reserve(bytes).map_err(failed(path, "make room for"))?;
        Ok(unfinished)
    }

    /// Reserves every block: stores through a mapping cannot fail in any other way than by a signal.
    fn reserve(&self, bytes: u64) -> io::Result<()> {
        use rustix::io::Errno;
        let flags = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&self.file, flags, 0, bytes) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let zeros = vec![0; ZEROS_BYTES];
                let mut left = bytes;
                while left > 0 {
                    let some = left.min(zeros.len() as u64);
                    (&self.file).write_all(&zeros[..some as usize])?;
                    left -= some;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sees to it that it is on its disk, and gives it its name.
    fn put_in_place(self, path: &Path, replace: bool) -> Result<(), WriteError> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        self.file.sync_all().map_err(failed(path, "write"))?;
        let flags = if replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        let renamed = match renameat_with(CWD, &self.path, CWD, path, flags) {
            // A file system that cannot look first; it was looked at when this began.
            Err(Errno::INVAL | Errno::NOSYS) if !replace => fs::rename(&self.path, path),
            renamed => renamed.map_err(io::Error::from),
        };
        renamed.map_err(failed(path, "save as"))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Once it is in place there is nothing of this name.
        let _ = fs::remove_file(&self.path);
    }
}
