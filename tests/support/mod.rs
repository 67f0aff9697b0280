//! What the tests of the ring share: a directory in memory, a schema of many series, and a plain
//! second implementation of the format over words on the heap.
#![allow(dead_code, reason = "each test uses some of it")]

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;
use std::{fs, process};

use tachograph::record::{ABSENT, Record, RecordHeader, Schema, Series};
use tachograph::ring::layout::{self, entry, header as at};
use tachograph::ring::{
    Geometry, Header, Opening, Ring, RunDir, Sizes, Words, WordsMut, WriteError, Writer,
    WriterOptions, boottime_ns, heap_words,
};

/// Where the tests' directories lie.
pub(crate) const SHM: &str = "/dev/shm";

/// A fresh directory in memory, removed with all that is in it.
pub(crate) struct ShmDir(PathBuf);

impl ShmDir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(SHM).join(format!("tachograph-test-{}-{count}", process::id()));
        // The mode is part of what is tested, so it does not depend on the umask.
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.expect("/dev/shm can be written to");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn run_dir(&self) -> RunDir {
        RunDir::for_writing(Some(&self.0)).expect("a fresh directory is fit for a ring")
    }

    pub(crate) fn ring(&self) -> PathBuf {
        self.0.join("host.ring")
    }

    /// Names of the files in it, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the directory is there");
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<_> = entries.map(|entry| name(entry.expect("listed"))).collect();
        names.sort();
        names
    }
}

impl Drop for ShmDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Options of a ring that keeps `depth_records`.
pub(crate) fn options(depth_records: u64) -> WriterOptions {
    WriterOptions { interval: Duration::from_secs(1), depth_records, mode: 0o644 }
}

/// A schema with the series `receive_bytes` of the interfaces `e0`, `e1`, ...
pub(crate) fn schema(series: usize) -> Schema {
    let mut schema = Schema::new();
    for index in 0..series {
        schema.add(&nic(index), "receive_bytes").expect("room");
    }
    schema
}

pub(crate) fn nic(index: usize) -> String {
    format!("nic/e{index}")
}

/// Starts a writer on the lane `host`; a schema that is empty takes over the old ring's series.
pub(crate) fn start(
    dir: &ShmDir,
    depth: u64,
    schema: &mut Schema,
) -> (Writer, tachograph::ring::Before) {
    try_start(dir, depth, schema).expect("the writer starts")
}

pub(crate) fn try_start(
    dir: &ShmDir,
    depth: u64,
    schema: &mut Schema,
) -> Result<(Writer, tachograph::ring::Before), WriteError> {
    let opening = Opening::of(&dir.run_dir(), "host")?;
    if schema.is_empty() {
        *schema = Schema::resume(opening.live_series());
    }
    opening.start(&options(depth), schema)
}

/// The word of `column` in the record `seq`: a function of both, so that a tear shows itself.
pub(crate) fn word(seq: u64, column: usize) -> u64 {
    (seq << 20 | column as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1
}

/// A record of `columns` whose words are [`word`] of `seq`.
pub(crate) fn record(seq: u64, columns: usize) -> Record {
    let mut record = Record::new(columns);
    fill(&mut record, seq);
    record
}

/// Makes `record` the one that is expected as `seq`.
pub(crate) fn fill(record: &mut Record, seq: u64) {
    record.header.realtime_ns = seq * 1_000_000;
    record.header.boottime_ns = seq * 1_000_000 + 7;
    record.header.tick_duration_ns = seq;
    for (column, value) in record.words_mut().iter_mut().enumerate() {
        *value = word(seq, column);
    }
}

/// Publishes the next record of `columns` self-evident words and returns it as published.
pub(crate) fn publish(writer: &mut Writer, columns: usize) -> Record {
    let mut record = record(writer.head() + 1, columns);
    record.header.boottime_ns = boottime_ns();
    writer.publish(&mut record);
    record
}

/// Whether all words of `record` belong to its sequence.
pub(crate) fn is_whole(record: &Record) -> bool {
    let seq = record.header.seq;
    record.header.tick_duration_ns == seq
        && record.words().iter().enumerate().all(|(column, value)| *value == word(seq, column))
}

/// Every record that can be read, with its sequence.
pub(crate) fn history<W: Words>(ring: &Ring<W>) -> Vec<Record> {
    let Some((oldest, newest)) = ring.bounds() else { return Vec::new() };
    let read = |seq| {
        let mut record = Record::default();
        ring.read_into(seq, &mut record).ok().map(|()| record)
    };
    (oldest..=newest).filter_map(read).collect()
}

/// The words of a file.
pub(crate) fn file_words(path: &Path) -> Box<[AtomicU64]> {
    words_of(&fs::read(path).expect("the file can be read"))
}

pub(crate) fn words_of(bytes: &[u8]) -> Box<[AtomicU64]> {
    let words = bytes.chunks_exact(8).map(|chunk| chunk.try_into().expect("8 bytes"));
    words.map(|chunk| AtomicU64::new(u64::from_le_bytes(chunk))).collect()
}

pub(crate) fn bytes_of<W: Words>(words: &W) -> Vec<u8> {
    (0..words.len()).flat_map(|index| words.load(index).to_le_bytes()).collect()
}

/// Stores a word into a file, past every mapping's back.
pub(crate) fn poke(path: &Path, word: usize, value: u64) {
    use std::os::unix::fs::FileExt as _;
    let file = fs::OpenOptions::new().write(true).open(path).expect("the file can be written to");
    file.write_all_at(&value.to_le_bytes(), word as u64 * 8).expect("the word is in the file");
}

/// Computes the checksum of a header bit by bit and puts it where it belongs.
pub(crate) fn repair_checksum<W: WordsMut>(words: &W) {
    let mut crc = u32::MAX;
    for byte in (0..31).flat_map(|index| words.load(index).to_le_bytes()) {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    words.store(31, u64::from(!crc));
}

/// A ring on the heap, written by the letter of the format's description.
pub(crate) struct Twin<W = Box<[AtomicU64]>> {
    pub(crate) ring: Ring<W>,
    pub(crate) head: u64,
}

impl Twin {
    pub(crate) fn new(sizes: Sizes) -> Self {
        let header = Header {
            version: 1,
            compatible_flags: 0,
            geometry: Geometry::of(sizes).expect("sound sizes"),
            ring_id: [0x1111, 0x2222],
            boot_id: [0x3333, 0x4444],
            interval_ns: 1_000_000_000,
            created_ns: 1_700_000_000_000_000_000,
            first_seq: 0,
        };
        let words = heap_words(header.geometry.file_words());
        header.encode(&words);
        words.store(at::STATE, layout::state::RUNNING);
        words.store(at::EPOCH, 1);
        Self { ring: Ring::decode(words).expect("what was encoded"), head: 0 }
    }

    /// A twin with as many slots, of two columns.
    pub(crate) fn of_slots(slot_count: u64) -> Self {
        Self::new(Sizes { slot_count, column_capacity: 2, entry_capacity: 8, arena_bytes: 256 })
    }
}

impl<W: WordsMut> Twin<W> {
    pub(crate) fn words(&self) -> &W {
        self.ring.words()
    }

    pub(crate) fn slot(&self, seq: u64) -> usize {
        let geometry = self.ring.geometry();
        let index = (seq % geometry.slot_count) as usize;
        (geometry.slots_offset / 8) as usize + index * (geometry.slot_bytes / 8) as usize
    }

    /// Appends an entry whose names lie behind all others in the arena.
    pub(crate) fn add(&self, series: &Series, column: usize, first: u64, last: u64) -> usize {
        let words = self.words();
        let geometry = self.ring.geometry();
        let index = words.load(at::ENTRY_COUNT) as usize;
        let start =
            ((geometry.directory_offset + index as u64 * geometry.entry_bytes) / 8) as usize;
        let kinds = [series.kind.code(), series.unit.code(), series.repr.code(), 0, 0, 0, 0, 0];
        words.store(start + entry::OBJECT, self.name(&series.object));
        words.store(start + entry::METRIC, self.name(&series.metric));
        words.store(start + entry::MEANING, u64::from_le_bytes(kinds));
        words.store(start + entry::COLUMN, column as u64);
        words.store(start + entry::FIRST, first);
        words.store(start + entry::LAST, last);
        words.store_release(at::ENTRY_COUNT, index as u64 + 1);
        words.store_release(at::DIRECTORY_CHANGES, words.load(at::DIRECTORY_CHANGES) + 1);
        start
    }

    fn name(&self, name: &str) -> u64 {
        let words = self.words();
        let used = words.load(at::ARENA_USED);
        let arena = (self.ring.geometry().arena_offset / 8) as usize;
        for (index, chunk) in name.as_bytes().chunks(8).enumerate() {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            words.store(arena + used as usize / 8 + index, u64::from_le_bytes(bytes));
        }
        words.store(at::ARENA_USED, used + name.len().next_multiple_of(8) as u64);
        used << 32 | name.len() as u64
    }

    /// Publishes the next record, of `columns` self-evident words.
    pub(crate) fn publish(&mut self, columns: usize) {
        let seq = self.head + 1;
        let mut record = record(seq, columns);
        record.header.run_first = 1;
        record.header.set_epoch_and_flags(1, u32::from(seq == 1));
        self.publish_as(seq, &record);
    }

    pub(crate) fn publish_as(&mut self, seq: u64, record: &Record) {
        let (slot, words) = (self.slot(seq), self.ring.words());
        let header: [u64; RecordHeader::WORDS] = bytemuck::cast(record.header);
        words.store(slot, 2 * seq - 1);
        fence(Ordering::Release);
        for (index, value) in header[1..].iter().chain(record.words()).enumerate() {
            words.store(slot + 1 + index, *value);
        }
        words.store_release(slot, 2 * seq);
        words.store_release(at::HEAD, seq);
        words.store(at::HEARTBEAT_NS, record.header.boottime_ns);
        self.head = seq;
    }
}

/// The words of a column in `history`, `None` where it is absent.
pub(crate) fn column(history: &[Record], column: usize) -> Vec<Option<u64>> {
    let value =
        |record: &Record| record.words().get(column).copied().filter(|word| *word != ABSENT);
    history.iter().map(value).collect()
}

/// Adds more series than a small ring has columns for.
pub(crate) fn fill_columns(schema: &mut Schema) {
    for index in 100..200 {
        schema.add(&nic(index), "receive_bytes").expect("room");
    }
}

/// The record `seq`, copied.
pub(crate) fn copy<W: Words>(
    ring: &Ring<W>,
    seq: u64,
) -> Result<Record, tachograph::ring::ReadError> {
    let mut record = Record::default();
    ring.read_into(seq, &mut record).map(|()| record)
}

/// Every record of `expected` is in the ring, bit for bit.
pub(crate) fn assert_history<W: Words>(ring: &Ring<W>, expected: &[Record]) {
    for record in expected {
        assert_eq!(copy(ring, record.header.seq).as_ref(), Ok(record));
    }
}
