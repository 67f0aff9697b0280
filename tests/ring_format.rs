//! The page that describes the bytes and the code that computes them say the same, both ways; and a
//! file of each version opens for ever.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use support::{Twin, history};
use tachograph::record::{COLUMNS_MAX, Kind, RecordHeader, Repr, Series, Unit, flags};
use tachograph::ring::layout::{self, entry, header, record as record_at, state};
use tachograph::ring::{Entry, Geometry, Ring, Sizes, Words, WordsMut, audit, open_untrusted};

const PAGE: &str = include_str!("../src/ring/format.md");

/// A table: the names of its columns, and its rows with the back-quotes taken off.
struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<&'static str>>,
}

impl Table {
    fn cell(&self, row: &[&'static str], head: &str) -> &'static str {
        let at = self.heads.iter().position(|found| *found == head);
        row[at.unwrap_or_else(|| panic!("no column {head} in {:?}", self.heads))]
    }

    fn pairs(&self, name: &str, value: &str) -> Vec<(String, u64)> {
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text} is a number"));
        let pair = |row: &Vec<_>| (self.cell(row, name).to_owned(), number(self.cell(row, value)));
        self.rows.iter().map(pair).collect()
    }
}

/// The tables below the heading that reads `title`.
fn tables(title: &str) -> Vec<Table> {
    let mut tables = Vec::new();
    let mut inside = false;
    let mut previous = false;
    for line in PAGE.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            inside = heading.trim_start_matches('#').trim() == title;
        }
        let cells = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
        let Some(cells) = cells.filter(|_| inside) else {
            previous = false;
            continue;
        };
        let cells: Vec<_> = cells.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        if !previous {
            tables.push(Table { heads: cells, rows: Vec::new() });
        } else if !cells.iter().all(|cell| cell.chars().all(|c| c == '-')) {
            tables.last_mut().expect("begun above").rows.push(cells);
        }
        previous = true;
    }
    assert!(!tables.is_empty(), "no table below \"{title}\"");
    tables
}

fn table(title: &str, first_head: &str) -> Table {
    let found = tables(title).into_iter().find(|table| table.heads[0] == first_head);
    found.unwrap_or_else(|| panic!("no table of {first_head} below \"{title}\""))
}

/// Compares the fields that the page has below `title` with those of the code.
fn fields_agree(title: &str, fields: &[(&str, usize)]) {
    let table = table(title, "word");
    let page: BTreeMap<_, _> = table.pairs("name", "word").into_iter().collect();
    let bytes: BTreeMap<_, _> = table.pairs("name", "byte").into_iter().collect();
    let code: BTreeMap<_, _> =
        fields.iter().map(|(name, word)| ((*name).to_owned(), *word as u64)).collect();
    assert_eq!(page, code, "{title}");
    assert_eq!(page.len(), table.rows.len(), "{title}: a name stands there twice");
    for (name, word) in &page {
        assert_eq!(bytes[name], word * layout::WORD, "{title}: {name}");
    }
    assert!(table.rows.iter().all(|row| !table.cell(row, "meaning").is_empty()), "{title}");
}

#[test]
fn every_field_stands_on_the_page_where_the_code_has_it() {
    let mut immutable = header::IMMUTABLE.to_vec();
    immutable.push(("checksum", header::CHECKSUM));
    fields_agree("Immutable part", &immutable);
    fields_agree("Published part", header::PUBLISHED);
    fields_agree("Lifecycle part", header::LIFECYCLE);
    fields_agree("Directory entry", entry::FIELDS);
    fields_agree("Slot", record_at::FIELDS);
}

#[test]
fn every_code_stands_on_the_page() {
    fn codes<T>(all: &[T], code: fn(&T) -> u8, name: fn(&T) -> &str) -> Vec<(String, u64)> {
        all.iter().map(|one| (name(one).to_owned(), u64::from(code(one)))).collect()
    }
    let page = |name: &str| table("Directory entry", name).pairs(name, "code");
    assert_eq!(page("kind"), codes(Kind::ALL, |one| one.code(), |one| one.as_str()));
    assert_eq!(page("unit"), codes(Unit::ALL, |one| one.code(), |one| one.as_str()));
    assert_eq!(page("repr"), codes(Repr::ALL, |one| one.code(), |one| one.as_str()));
    let named = |pairs: &[(&str, u64)]| -> Vec<_> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    };
    assert_eq!(
        table("Lifecycle part", "state").pairs("state", "code"),
        named(&[
            ("RUNNING", state::RUNNING),
            ("CLOSED", state::CLOSED),
            ("RETIRED", state::RETIRED)
        ])
    );
    let compatible = [("APPLICATION", layout::compatible::APPLICATION)];
    let compatible = compatible.map(|(name, flag)| (name, u64::from(flag.trailing_zeros())));
    let table_of_flags = table("Immutable part", "compatible flag");
    assert_eq!(table_of_flags.pairs("compatible flag", "bit"), named(&compatible));
    let bits = [
        ("EPOCH_FIRST", flags::EPOCH_FIRST),
        ("CLOCK_STEP", flags::CLOCK_STEP),
        ("MISSED", flags::MISSED),
    ];
    let bits = bits.map(|(name, flag)| (name, u64::from(flag.trailing_zeros())));
    assert_eq!(table("Slot", "flag").pairs("flag", "bit"), named(&bits));
    assert_eq!(
        table("Bounds", "name").pairs("name", "value"),
        named(&[
            ("SLOTS_MIN", layout::SLOTS_MIN),
            ("SLOTS_MAX", layout::SLOTS_MAX),
            ("COLUMNS_MAX", COLUMNS_MAX as u64),
            ("ENTRIES_MAX", layout::ENTRIES_MAX),
            ("ARENA_BYTES_MAX", layout::ARENA_BYTES_MAX),
            ("FILE_BYTES_MAX", layout::FILE_BYTES_MAX),
            ("SEQUENCE_MAX", layout::SEQUENCE_MAX),
            ("RESUME_MAX", layout::RESUME_MAX),
        ])
    );
    let versions = table("Versions", "version").pairs("version", "version");
    assert_eq!(versions.last().expect("a version").1, layout::VERSION);
}

/// The tables of states, codes and bits above are lists in this test, so a constant that is new in
/// the code would be in neither; the source says how many there are.
#[test]
fn no_constant_of_the_code_is_left_out_of_the_lists_above() {
    let block = |source: &'static str, from: &str| {
        let after = source.split_once(from).expect("the block is there").1;
        after.split_once("\n}").expect("it ends").0.matches("pub const").count()
    };
    let (layout, record) =
        (include_str!("../src/ring/layout.rs"), include_str!("../src/record/mod.rs"));
    assert_eq!(block(layout, "pub mod state {"), table("Lifecycle part", "state").rows.len());
    let compatible = table("Immutable part", "compatible flag").rows.len();
    assert_eq!(block(layout, "pub mod compatible {"), compatible);
    assert_eq!(block(record, "pub mod flags {"), table("Slot", "flag").rows.len());
    let limits = layout.lines().filter(|line| {
        line.strip_prefix("pub const ")
            .and_then(|rest| rest.split_once(':'))
            .is_some_and(|(name, _)| name.ends_with("_MAX") || name.ends_with("_MIN"))
    });
    // COLUMNS_MAX stands in `record`.
    assert_eq!(limits.count() + 1, table("Bounds", "name").rows.len());
}

#[test]
fn example_is_what_the_code_computes() {
    let sizes =
        Sizes { slot_count: 4096, column_capacity: 400, entry_capacity: 1000, arena_bytes: 32768 };
    let geometry = Geometry::of(sizes).expect("sound sizes");
    let code = BTreeMap::from([
        ("slot_bytes", geometry.slot_bytes),
        ("directory_offset", geometry.directory_offset),
        ("arena_offset", geometry.arena_offset),
        ("slots_offset", geometry.slots_offset),
        ("file_bytes", geometry.file_bytes),
        ("record 1", geometry.slot_word(1) as u64 * 8),
        ("record 4096", geometry.slot_word(4096) as u64 * 8),
    ]);
    let page = table("Example", "what").pairs("what", "bytes");
    assert_eq!(page.len(), code.len());
    for (name, value) in page {
        assert_eq!(code.get(&*name), Some(&value), "{name}");
    }
    let sentence = "With a head of 5 the oldest record that can be there is 1, with 4096 it is 1, \
                    with 5000 it is 905.";
    assert!(PAGE.replace('\n', " ").contains(sentence));
    assert_eq!([5, 4096, 5000].map(|head| geometry.oldest(head)), [1, 1, 905]);
}

#[test]
fn magic_is_the_bytes_that_the_page_shows() {
    let row = "89 54 41 43 48 4F 0D 0A";
    assert!(PAGE.contains(row));
    let bytes = row.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal"));
    assert!(bytes.eq(layout::MAGIC.to_le_bytes()));
    assert!(PAGE.contains(&format!("0x{:016X}", layout::ENDIAN_TAG)));
}

#[test]
fn names_that_link_to_code_are_all_different_words_of_the_header() {
    let all = [header::IMMUTABLE, header::PUBLISHED, header::LIFECYCLE].concat();
    let names: BTreeSet<_> = all.iter().map(|(name, _)| name).collect();
    let words: BTreeSet<_> = all.iter().map(|(_, word)| word).collect();
    assert_eq!((names.len(), words.len()), (all.len(), all.len()));
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ring_v1.bin");

fn golden_series(object: &str, metric: &str, kind: Kind, unit: Unit, repr: Repr) -> Series {
    Series { object: object.into(), metric: metric.into(), kind, unit, repr }
}

fn golden_entries() -> [Entry; 4] {
    let bytes =
        |object| golden_series(object, "receive_bytes", Kind::Counter, Unit::Bytes, Repr::U64);
    let load = golden_series("host", "load1", Kind::Gauge, Unit::Count, Repr::F64);
    let entry = |series, column, first, last| Entry { series, column, first, last };
    [
        entry(load, 0, 1, layout::LIVES),
        entry(bytes("nic/eth0"), 1, 1, 6),
        entry(bytes("nic/m\u{fc}ll"), 1, 7, layout::LIVES),
        entry(bytes("nic/unborn"), 2, 9, 8),
    ]
}

/// How the golden file was made: eight records in four slots by the plain second implementation of
/// the format, the last of them wider. A writer killed in the ninth's publish.
fn golden_bytes() -> Vec<u8> {
    let mut twin =
        Twin::new(Sizes { slot_count: 4, column_capacity: 5, entry_capacity: 6, arena_bytes: 128 });
    let words = twin.words();
    for (index, value) in [(header::PID, 4711), (header::PID_START, 815)] {
        words.store(index, value);
    }
    for Entry { series, column, first, last } in golden_entries() {
        twin.add(&series, column, first, last);
    }
    for seq in 1..=8 {
        twin.publish(if seq < 8 { 2 } else { 3 });
    }
    let slot = twin.slot(9);
    twin.words().store(slot, 2 * 9 - 1);
    twin.words().store(slot + 1, 9_000_000);
    support::bytes_of(twin.words())
}

/// The file is never written by a test. If it is lost or the bytes differ, this puts what it would be
/// now beside the build and says so; to overwrite the file is a decision about the format.
#[test]
fn golden_file_is_what_the_format_of_version_1_gives() {
    let expected = golden_bytes();
    if fs::read(GOLDEN).ok().as_ref() != Some(&expected) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ring_v1.bin");
        fs::write(&path, &expected).expect("the build directory can be written to");
        panic!("{GOLDEN} is not what version 1 gives; that is now in {}", path.display());
    }
}

fn golden_reads_right<W: Words>(ring: &Ring<W>) {
    assert_eq!(ring.header().version, 1);
    assert_eq!(ring.header().ring_id, [0x1111, 0x2222]);
    assert_eq!(ring.header().boot_id, [0x3333, 0x4444]);
    assert_eq!((ring.header().interval_ns, ring.writer_pid()), (1_000_000_000, 4711));
    assert_eq!((ring.head(), ring.bounds(), ring.state()), (8, Some((5, 8)), state::RUNNING));
    assert_eq!(ring.heartbeat_ns(), 8_000_007);
    let directory = ring.directory();
    assert_eq!((directory.damaged(), directory.changes), (0, 4));
    assert!(directory.iter().cloned().eq(golden_entries()));
    let records = history(ring);
    let seqs: Vec<_> = records.iter().map(|record| record.header.seq).collect();
    assert_eq!(seqs, [6, 7, 8], "5 was being overwritten by 9");
    for record in &records {
        let seq = record.header.seq;
        let columns = if seq < 8 { 2 } else { 3 };
        let mut expected = support::record(seq, columns);
        expected.header = RecordHeader {
            seq,
            realtime_ns: seq * 1_000_000,
            boottime_ns: seq * 1_000_000 + 7,
            epoch_and_flags: 1,
            columns: columns as u64,
            tick_duration_ns: seq,
            run_first: 1,
            missed_ticks: 0,
        };
        assert_eq!(*record, expected);
    }
    let audit = audit(ring);
    assert!(audit.is_clean(), "{audit:?}");
    assert_eq!((audit.found_head, audit.oldest, audit.records), (8, 6, 3));
}

#[test]
fn golden_file_opens_from_the_file_and_from_memory() {
    let (ring, _file) = open_untrusted(Path::new(GOLDEN)).expect("version 1 opens for ever");
    golden_reads_right(&ring);
    assert!(!ring.words().failed());
    golden_reads_right(&Ring::decode(support::file_words(Path::new(GOLDEN))).expect("a ring"));
}
