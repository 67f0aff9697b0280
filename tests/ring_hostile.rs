//! Any file, also one that changes while it is read, is an error or a ring with damage: no panic, no
//! loop without bound, and never a writer that believes it.

mod support;

use std::cell::Cell;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::AtomicU64;
use std::{fs, io};

use proptest::prelude::*;
use support::{ShmDir, Twin, bytes_of, nic, publish, repair_checksum, words_of};
use tachograph::record::{COLUMNS_MAX, Record, Schema};
use tachograph::ring::layout::{self, entry as entry_at, header as at};
use tachograph::ring::{
    Before, FormatError, Indexed, Opening, PreadWords, ReadError, Reader, Ring, Sizes, Words,
    WordsMut, audit, liveness, open_untrusted,
};

const GOLDEN: &[u8] = include_bytes!("fixtures/ring_v1.bin");

/// Values at the edges of every check.
const EDGES: [u64; 16] = [
    0,
    1,
    2,
    7,
    8,
    63,
    64,
    4096,
    (1 << 20) + 8,
    1 << 32,
    (1 << 62) + 1,
    1 << 63,
    (1 << 63) + 4,
    u64::MAX / 8,
    u64::MAX - 63,
    u64::MAX,
];

/// Does all that a reader can do. What it finds does not matter; that it comes back does.
fn examine<W: Words>(ring: &Ring<W>) -> u64 {
    let mut found = 0;
    let audit = audit(ring);
    assert!(audit.records <= ring.geometry().slot_count);
    let directory = ring.directory();
    assert!(directory.entries.len() <= ring.geometry().entry_capacity);
    let mut followed = directory.clone();
    followed.update(ring);
    assert!(followed.entries.len() <= ring.geometry().entry_capacity);
    for entry in directory.iter() {
        assert!(entry.column < ring.geometry().column_capacity);
        found += u64::from(entry.covers(7)) + u64::from(entry.covers_any_since(7));
    }
    let columns = [("host", "load1"), ("nic/m\u{fc}ll", "receive_bytes")];
    let columns = columns.map(|(object, metric)| ring.find(object, metric));
    let mut record = Record::default();
    let mut read = |seq| -> Result<u64, ReadError> {
        ring.read_into(seq, &mut record)?;
        assert_eq!(record.header.seq, seq);
        assert!(record.words().len() <= ring.geometry().column_capacity);
        let view = ring.peek(seq)?;
        let words = (0..view.columns() + 2).map(|column| view.word(column));
        let sum = words.fold(0, u64::wrapping_add);
        let values = columns.iter().flatten().filter_map(|column| view.value(column)).count();
        ring.vouch(seq)?;
        Ok(sum.wrapping_add(values as u64))
    };
    let (oldest, newest) = ring.bounds().unwrap_or((0, 0));
    for seq in (oldest..=newest).chain(0..20).chain(EDGES) {
        found = found.wrapping_add(read(seq).unwrap_or(1));
    }
    let latest = ring.latest(|view| view.header().seq);
    assert!(latest.is_none_or(|seq| (1..=layout::SEQUENCE_MAX).contains(&seq)));
    found ^ ring.stale_after_ns() ^ ring.heartbeat_ns() ^ ring.state()
}

fn golden() -> Box<[AtomicU64]> {
    words_of(GOLDEN)
}

#[test]
fn each_word_of_a_ring_may_hold_anything() {
    let words = golden();
    let (mut opened, mut refused) = (0, 0);
    for index in 0..words.len() {
        let sound = words.load(index);
        for edge in
            EDGES.into_iter().chain([!sound, sound ^ 1, sound.wrapping_add(1), sound.swap_bytes()])
        {
            words.store(index, edge);
            repair_checksum(&words);
            match Ring::decode(&words) {
                Ok(ring) => {
                    examine(&ring);
                    opened += 1;
                }
                Err(error) => {
                    assert!(index <= at::CHECKSUM, "word {index} = {edge}: {error}");
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
        words.store(index, sound);
    }
    assert!(opened > 10_000 && refused > 100, "{opened} opened, {refused} refused");
}

/// The same through a file, for the words that decide where others are looked for.
#[test]
fn damaged_files_are_read_to_their_end() {
    let dir = ShmDir::new();
    let path = dir.path().join("hostile.ring");
    let words = golden();
    for index in (0..55).chain(512..520).chain((1024..1536).step_by(7)) {
        let sound = words.load(index);
        for edge in EDGES {
            words.store(index, edge);
            repair_checksum(&words);
            fs::write(&path, bytes_of(&words)).expect("written");
            if let Ok((ring, file)) = open_untrusted(&path) {
                examine(&ring);
                let _ = liveness(&ring, &file);
                assert!(!ring.words().failed(), "all that is looked at is in the file");
            }
            if let Ok(reader) = Reader::open(&path) {
                examine(reader.ring());
                let _ = reader.wait(u64::MAX, std::time::Duration::ZERO);
                let _ = reader.liveness();
            }
        }
        words.store(index, sound);
    }
}

#[test]
fn file_of_any_length_is_refused_or_whole() {
    let dir = ShmDir::new();
    let path = dir.path().join("short.ring");
    fs::write(&path, GOLDEN).expect("written");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("opened");
    for len in (0..GOLDEN.len()).rev() {
        file.set_len(len as u64).expect("cut");
        let refused = open_untrusted(&path).is_err();
        assert!(refused, "{len} of {} bytes", GOLDEN.len());
        if len % 64 == 0 {
            assert!(Reader::open(&path).is_err(), "{len} bytes");
            assert!(Ring::decode(words_of(&GOLDEN[..len])).is_err(), "{len} bytes");
        }
    }
    fs::write(&path, [GOLDEN, &[7; 100]].concat()).expect("written");
    examine(&open_untrusted(&path).expect("what is behind the end does not matter").0);
}

/// What is read while the file shrinks is 0, which is no record, and the reader can tell.
#[test]
fn file_that_shrinks_while_it_is_read_is_no_signal() {
    let dir = ShmDir::new();
    let path = dir.path().join("shrinking.ring");
    for len in (0..GOLDEN.len() as u64).step_by(509) {
        fs::write(&path, GOLDEN).expect("written");
        let (ring, _) = open_untrusted(&path).expect("it is whole yet");
        let file = fs::OpenOptions::new().write(true).open(&path).expect("opened");
        file.set_len(len).expect("cut");
        examine(&ring);
        // Behind the last slot there is nothing to look for.
        let lost = len < ring.geometry().slots_offset;
        assert!(ring.words().failed() || !lost, "{len} bytes");
    }
}

#[test]
fn words_outside_of_a_file_are_nothing() -> io::Result<()> {
    let dir = ShmDir::new();
    let path = dir.path().join("file");
    fs::write(&path, [255; 20])?;
    let words = PreadWords::of(fs::File::open(&path)?)?;
    assert_eq!((words.len(), words.is_empty()), (2, false));
    assert_eq!([0, 1].map(|index| words.load(index)), [u64::MAX; 2]);
    assert!(!words.failed());
    for index in [2, 3, 1 << 40, usize::MAX / 8, usize::MAX] {
        assert_eq!(words.load(index), 0, "{index}");
    }
    assert!(words.failed());
    let heap = words_of(&[255; 16]);
    let mut out = [1; 3];
    heap.copy(1, &mut out);
    assert_eq!(out, [u64::MAX, 0, 0]);
    heap.copy(usize::MAX, &mut out);
    assert_eq!((out, heap.load(usize::MAX)), ([0; 3], 0));
    Ok(())
}

/// A ring whose header is sound and whose every other word is something else at each look: a writer
/// that wants to harm its readers.
struct Varying {
    words: Box<[AtomicU64]>,
    /// How many loads of the header are still honest.
    honest: Cell<u32>,
    state: Cell<u64>,
    loads: Cell<u64>,
}

impl Varying {
    fn new(words: Box<[AtomicU64]>, seed: u64) -> Self {
        let honest = Cell::new(at::CHECKSUM as u32 + 1);
        Self { words, honest, state: Cell::new(seed | 1), loads: Cell::new(0) }
    }

    fn random(&self) -> u64 {
        let mut state = self.state.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.state.set(state);
        state
    }
}

impl Words for Varying {
    type Span<'a> = Indexed<'a, Self>;

    fn span(&self, start: usize, len: usize) -> Indexed<'_, Self> {
        Indexed::new(self, start, len)
    }

    fn len(&self) -> usize {
        self.words.len()
    }

    fn load(&self, index: usize) -> u64 {
        self.loads.set(self.loads.get() + 1);
        let sound = self.words.load(index);
        if self.honest.get() > 0 {
            self.honest.set(self.honest.get() - 1);
            return sound;
        }
        let random = self.random();
        match random % 8 {
            0 => random,
            1 => EDGES[(random >> 8) as usize % EDGES.len()],
            2 => sound.wrapping_add(random >> 62),
            3 => sound ^ 1 << (random >> 58),
            _ => sound,
        }
    }
}

#[test]
fn ring_that_changes_at_every_look_is_survived() {
    for seed in 0..2000 {
        let words = Varying::new(golden(), seed * 0x9E37_79B9);
        let ring = Ring::decode(words).expect("the header is sound at its one look");
        examine(&ring);
        assert!(ring.words().loads.get() < 20_000, "seed {seed}: {}", ring.words().loads.get());
    }
}

#[test]
fn header_that_changes_at_every_look_is_survived() {
    for seed in 0..5000 {
        let words = Varying::new(golden(), seed * 0x9E37_79B9);
        words.honest.set((seed % 33) as u32);
        if let Ok(ring) = Ring::decode(words) {
            examine(&ring);
        }
    }
}

/// The largest ring that a header can state, and nothing in it; it costs no memory here.
struct Vast {
    header: Box<[AtomicU64]>,
    len: usize,
    loads: Cell<u64>,
}

impl Words for Vast {
    type Span<'a> = Indexed<'a, Self>;

    fn span(&self, start: usize, len: usize) -> Indexed<'_, Self> {
        Indexed::new(self, start, len)
    }

    fn len(&self) -> usize {
        self.len
    }

    fn load(&self, index: usize) -> u64 {
        self.loads.set(self.loads.get() + 1);
        self.header.load(index)
    }
}

#[test]
fn largest_ring_is_looked_at_in_as_many_loads_as_it_has_slots() {
    let sizes = Sizes {
        slot_count: layout::SLOTS_MAX,
        column_capacity: 1,
        entry_capacity: 1,
        arena_bytes: 8,
    };
    let twin = Twin::of_slots(4);
    let geometry = tachograph::ring::Geometry::of(sizes).expect("the bounds can be reached");
    let header = tachograph::ring::Header { geometry, ..*twin.ring.header() };
    header.encode(twin.words());
    for head in [0, 1, 1 << 24, 1 << 40, u64::MAX] {
        twin.words().store(at::HEAD, head);
        let header = (0..64).map(|index| AtomicU64::new(twin.words().load(index))).collect();
        let vast = Vast { header, len: geometry.file_words(), loads: Cell::new(0) };
        let ring = Ring::decode(vast).expect("a ring");
        assert!(ring.latest(|_| ()).is_none());
        let audit = audit(&ring);
        assert_eq!((audit.records, audit.found_head), (0, 0));
        let loads = ring.words().loads.get();
        assert!(loads < layout::SLOTS_MAX + 1000, "{loads} loads");
    }
    let too_large = Sizes { column_capacity: COLUMNS_MAX as u64, ..sizes };
    let error = tachograph::ring::Geometry::of(too_large).expect_err("16 TiB");
    assert!(matches!(error, FormatError::Field { name: "file_bytes", .. }), "{error}");
}

/// Bits to flip: mostly where there is something.
fn flips() -> impl Strategy<Value = Vec<(usize, u32)>> {
    let index = prop_oneof![
        1 => 0..at::CHECKSUM,
        2 => at::HEAD..=at::DIRECTORY_CHANGES,
        3 => 512..600_usize,
        3 => 1024..1100_usize,
    ];
    prop::collection::vec((index, 0..64_u32), 1..12)
}

/// The words of a ring that a writer has left, of this boot, whose depth is 8.
fn left_ring(dir: &ShmDir) -> Box<[AtomicU64]> {
    let mut schema = support::schema(4);
    let (mut writer, _) = support::start(dir, 8, &mut schema);
    for _ in 0..13 {
        publish(&mut writer, 4);
    }
    schema.end(1);
    schema.add("nic/new", "receive_bytes").expect("room");
    writer.sync(&mut schema).expect("there is room");
    publish(&mut writer, 4);
    drop(writer);
    support::file_words(&dir.ring())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn flipped_bits_are_survived(flips in flips(), repaired in any::<bool>()) {
        let words = golden();
        for (index, bit) in flips {
            words.store(index, words.load(index) ^ 1 << bit);
        }
        if repaired {
            repair_checksum(&words);
        }
        if let Ok(ring) = Ring::decode(&words) {
            examine(&ring);
        }
    }

    /// A writer goes on in what it can and begins anew in what it cannot; either way what it then
    /// publishes is read as it was published, under one label.
    #[test]
    fn writer_goes_on_after_any_damage(
        damage in prop::collection::vec(
            (any::<prop::sample::Index>(), prop_oneof![
                prop::sample::select(EDGES.to_vec()),
                (0..64_u64).prop_map(|seq| 2 * seq),
                any::<u64>(),
            ]),
            1..8,
        ),
    ) {
        let dir = ShmDir::new();
        let words = left_ring(&dir);
        let geometry = *Ring::decode(&words).expect("a ring").geometry();
        // Words with something in them: header, directory, names, the heads of the slots.
        let directory = geometry.entry_word(0)..geometry.entry_word(6);
        let names = geometry.arena_word()..geometry.arena_word() + 12;
        let slots = (0..8).flat_map(|seq| (0..10).map(move |word| geometry.slot_word(seq) + word));
        let places: Vec<usize> = (0..31).chain(32..34).chain(48..55).chain(directory)
            .chain(names).chain(slots).collect();
        let file = fs::OpenOptions::new().write(true).open(dir.ring()).expect("opened");
        for (place, value) in damage {
            words.store(*place.get(&places), value);
        }
        repair_checksum(&words);
        file.write_all_at(&bytes_of(&words), 0).expect("written");
        let opening = Opening::of(&dir.run_dir(), "host").expect("the lane is free");
        let mut schema = Schema::resume(opening.live_series());
        for index in [0, 2, 7] {
            schema.add(&nic(index), "receive_bytes").expect("room");
        }
        schema.end_unclaimed();
        let (mut writer, before) = opening.start(&support::options(8), &mut schema)
            .expect("there is a way to go on");
        let reader = Reader::open(&dir.ring()).expect("the ring opens");
        let ring = reader.ring();
        for _ in 0..3 {
            let record = publish(&mut writer, schema.width());
            let mut found = Record::default();
            prop_assert_eq!(ring.read_into(record.header.seq, &mut found), Ok(()));
            prop_assert_eq!(&found, &record, "{:?}", before);
            prop_assert_eq!(ring.head(), record.header.seq);
            let directory = ring.directory();
            for column in 0..schema.width() {
                let covering = directory.iter()
                    .filter(|entry| entry.column == column && entry.covers(record.header.seq));
                let labels: Vec<_> = covering.map(|entry| &entry.series).collect();
                prop_assert_eq!(labels, Vec::from_iter(schema.series(column)));
            }
        }
        let audit = audit(ring);
        prop_assert_eq!(audit.damaged_slots, 0);
        prop_assert!(!matches!(before, Before::Nothing), "there was a file");
        examine(ring);
    }
}

/// A snapshot is brought up to date while any word of the header's mutable part, the directory or
/// the names holds anything. What is then known is sound, and once the ring is as it was, so is the
/// snapshot.
#[test]
fn directory_that_turns_into_anything_can_be_followed() {
    let words = golden();
    let ring = Ring::decode(&words).expect("a ring");
    let geometry = *ring.geometry();
    let sound = ring.directory();
    let raise = |word: usize| words.store(word, words.load(word).wrapping_add(1));
    let header = at::HEAD..geometry.entry_word(0);
    let slots = geometry.slot_word(0);
    let mut followed = sound.clone();
    for index in header.chain(geometry.entry_word(0)..slots) {
        let before = words.load(index);
        for edge in EDGES.into_iter().chain([!before, before ^ 1, before.wrapping_add(1)]) {
            words.store(index, edge);
            if index != at::DIRECTORY_CHANGES {
                raise(at::DIRECTORY_CHANGES);
            }
            followed.update(&ring);
            assert!(followed.is_current(&ring));
            assert!(followed.entries.len() <= geometry.entry_capacity);
            for entry in followed.iter() {
                assert!(entry.column < geometry.column_capacity);
                assert!(entry.first > 0 && entry.last >= entry.first - 1);
            }
            words.store(index, before);
            // A writer has come and mended it.
            raise(at::EPOCH);
            raise(at::DIRECTORY_CHANGES);
            followed.update(&ring);
            assert_eq!(followed.entries, sound.entries, "word {index} was {edge:#x}");
        }
    }
    let another = Twin::of_slots(4);
    followed.update(&another.ring);
    assert_eq!(followed, another.ring.directory(), "another ring has nothing of this one");
}

/// Names that do not lie in the arena, are too long, empty or not text make an entry damaged, and
/// nothing else.
#[test]
fn damaged_entries_keep_their_places_and_mean_nothing() {
    let words = golden();
    let entry = Ring::decode(&words).expect("a ring").geometry().entry_word(1);
    let sound = Ring::decode(&words).expect("a ring").directory();
    let table = [
        (entry_at::OBJECT, 0),
        (entry_at::OBJECT, 4 << 32 | 8),
        (entry_at::OBJECT, 128 << 32 | 1),
        (entry_at::OBJECT, 1025),
        (entry_at::OBJECT, u64::MAX),
        (entry_at::METRIC, 256),
        (entry_at::MEANING, 0x01_01_09),
        (entry_at::MEANING, 0x01_FF_01),
        (entry_at::MEANING, 0x03_01_01),
        (entry_at::MEANING, 1 << 24 | 0x01_01_01),
        (entry_at::COLUMN, 5),
        (entry_at::COLUMN, u64::MAX),
        (entry_at::FIRST, 0),
        (entry_at::FIRST, 8),
    ];
    for (field, value) in table {
        let before = words.load(entry + field);
        words.store(entry + field, value);
        let directory = Ring::decode(&words).expect("a ring").directory();
        assert_eq!(directory.damaged(), 1, "field {field} = {value:#x}");
        for index in [0, 2, 3] {
            assert_eq!(directory.entries[index], sound.entries[index]);
        }
        words.store(entry + field, before);
    }
}

/// The name of a living series had been damaged, so that it was no text. The next writer stored a new
/// series' name where the other's was said to go on, which made it text again: a series that nobody
/// wrote came back to life, in a column that was another's by then.
#[test]
fn damaged_entry_does_not_come_back_to_life() {
    let dir = ShmDir::new();
    let words = left_ring(&dir);
    let geometry = *Ring::decode(&words).expect("a ring").geometry();
    let used = words.load(at::ARENA_USED);
    let newest = geometry.entry_word(4);
    assert_eq!(words.load(newest + entry_at::LAST), layout::LIVES);
    words.store(newest + entry_at::OBJECT, used + 2);
    words.store(geometry.arena_word() + (used / 8) as usize, u64::MAX);
    fs::write(dir.ring(), bytes_of(&words)).expect("written");
    let (mut writer, _) = support::start(&dir, 8, &mut Schema::new());
    assert_eq!(writer.ring().directory().damaged(), 1);
    let mut schema = Schema::resume(
        writer
            .ring()
            .directory()
            .iter()
            .filter(|entry| entry.lives())
            .map(|entry| (entry.column, entry.series.clone())),
    );
    assert_eq!(schema.add("nic/new", "receive_bytes"), Ok(1));
    writer.sync(&mut schema).expect("there is room");
    let record = publish(&mut writer, 4);
    let directory = writer.ring().directory();
    let covering = directory.iter().filter(|entry| entry.column == 1);
    let covering: Vec<_> = covering.filter(|entry| entry.covers(record.header.seq)).collect();
    assert_eq!(covering.len(), 1, "{covering:#?}");
}
