//! A table of corruptions: of each field of the format, values that no writer puts there, and the
//! words in which a reader says so. A field that is in no row fails the test.

mod support;

use std::collections::BTreeSet;

use support::{Twin, record, repair_checksum};
use tachograph::record::{Kind, Repr, Series, Unit};
use tachograph::ring::layout::{self, entry as entry_at, header as at, record as record_at};
use tachograph::ring::{Audit, Part, Ring, Sizes, Words, WordsMut, audit};

/// What becomes of a ring whose field holds the value of a row.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// It is no ring, and the error reads so.
    Refused(&'static str),
    /// It is no ring, and the error says that the field cannot be that.
    CannotBe,
    /// It is a ring, and the audit has a line that reads so.
    Damage(&'static str),
    /// Nothing can be known to be wrong, for this reason.
    Fine(&'static str),
}

use Then::{CannotBe, Damage, Fine, Refused};

type Row = (usize, u64, Then);

const SLOTS: u64 = 8;
const HEAD: u64 = 12;
/// The record whose slot and header the rows are about: not the newest, not the oldest.
const VICTIM: u64 = 10;
/// The entry that they are about.
const ENTRY: usize = 1;

/// A ring of which nothing is damaged: three series, the first of doubles, of which the third has
/// the column of the second from record 9 on.
fn sound() -> Twin {
    let mut twin = Twin::new(Sizes {
        slot_count: SLOTS,
        column_capacity: 5,
        entry_capacity: 6,
        arena_bytes: 256,
    });
    let series = |object: &str, metric: &str, kind, unit, repr| Series {
        object: object.into(),
        metric: metric.into(),
        kind,
        unit,
        repr,
    };
    let nic = |object| series(object, "receive_bytes", Kind::Counter, Unit::Bytes, Repr::U64);
    twin.add(&series("host", "load1", Kind::Gauge, Unit::Count, Repr::F64), 0, 1, layout::LIVES);
    twin.add(&nic("nic/e0"), 1, 4, 8);
    twin.add(&nic("nic/e1"), 1, 9, layout::LIVES);
    for _ in 0..HEAD {
        twin.publish(3);
    }
    let found = audit(&twin.ring);
    assert!(found.is_clean() && found.damage.is_empty() && found.unnamed == 0, "{found:?}");
    assert_eq!((found.found_head, found.records), (HEAD, SLOTS));
    twin
}

/// What the audit says of a ring, a line for each damaged field.
fn lines(found: &Audit) -> Vec<String> {
    found.damage.iter().map(ToString::to_string).collect()
}

/// Puts the value of each row into the word that `word_of` gives for the row's field, and compares
/// what is then said. Every field of `fields` has a row.
fn hold(fields: &[(&str, usize)], rows: &[Row], word_of: impl Fn(&Twin, usize) -> usize) {
    for (field, value, then) in rows.iter().copied() {
        let name = fields.iter().find(|(_, word)| *word == field).expect("a field of these").0;
        let twin = sound();
        twin.words().store(word_of(&twin, field), value);
        repair_checksum(twin.words());
        let what = format!("{name} = {value:#x}, {then:?}");
        let decoded = Ring::decode(twin.words());
        match (then, decoded) {
            (Refused(text), Err(error)) => {
                assert_eq!(error.to_string(), text, "{what}");
                assert!(text.contains(name), "{what}");
            }
            (CannotBe, Err(error)) => {
                assert_eq!(error.to_string(), format!("{name} cannot be {value}"));
            }
            (Damage(text), Ok(ring)) => {
                let found = audit(&ring);
                assert!(!found.is_clean(), "{what}");
                assert!(lines(&found).iter().any(|line| line == text), "{what}: {found:#?}");
                assert!(text.contains(&format!(": {name} is ")), "{what}");
            }
            (Fine(why), Ok(ring)) => {
                let found = audit(&ring);
                assert!(found.is_clean() && found.damage.is_empty(), "{what}: {found:#?}");
                assert!(!why.is_empty(), "{what}");
            }
            (_, decoded) => panic!("{what}: {:?}", decoded.map(|ring| lines(&audit(&ring)))),
        }
    }
    let covered: BTreeSet<usize> = rows.iter().map(|(field, ..)| *field).collect();
    for (name, word) in fields {
        assert!(covered.contains(word), "no row is about {name}");
    }
}

#[test]
fn each_field_of_the_immutable_part_is_refused_by_its_name() {
    const ID: &str = "an id is compared with others and has no form";
    hold(
        at::IMMUTABLE,
        &[
            (at::MAGIC, 7, Refused("not a ring: the magic is wrong")),
            (at::ENDIAN_TAG, 3, CannotBe),
            (at::VERSION, 0, CannotBe),
            (at::VERSION, 9, Fine("a newer version that this one can read")),
            (
                at::COMPATIBLE_VERSION,
                2,
                Refused(
                    "compatible_version is 2: format version 1 needs a reader of that version or \
                     newer; this one reads version 1",
                ),
            ),
            (at::INCOMPATIBLE_FLAGS, 4, Refused("incompatible_flags has unknown bits set: 0x4")),
            (at::COMPATIBLE_FLAGS, u64::MAX, Fine("what is not known is ignored")),
            (at::HEADER_BYTES, 8, CannotBe),
            (at::HEADER_BYTES, u64::MAX, CannotBe),
            (at::FILE_BYTES, u64::MAX, CannotBe),
            (
                at::FILE_BYTES,
                1 << 30,
                Refused("truncated: file_bytes is 1073741824, the file has 12288"),
            ),
            (at::SLOTS_OFFSET, 0, CannotBe),
            (at::SLOTS_OFFSET, 8192 + 8, CannotBe),
            (at::SLOTS_OFFSET, u64::MAX - 63, CannotBe),
            (at::SLOT_BYTES, 64, CannotBe),
            (at::SLOT_BYTES, 130, CannotBe),
            (at::SLOT_BYTES, u64::MAX - 63, CannotBe),
            (at::SLOT_COUNT, 0, CannotBe),
            (at::SLOT_COUNT, 1, CannotBe),
            (at::SLOT_COUNT, 3, CannotBe),
            (at::SLOT_COUNT, 1 << 60, CannotBe),
            (at::COLUMN_CAPACITY, 0, CannotBe),
            (at::COLUMN_CAPACITY, u64::MAX, CannotBe),
            (at::DIRECTORY_OFFSET, 0, CannotBe),
            (at::DIRECTORY_OFFSET, 4097, CannotBe),
            (at::DIRECTORY_OFFSET, 1 << 63, CannotBe),
            (at::ENTRY_BYTES, 8, CannotBe),
            (at::ENTRY_BYTES, 68, CannotBe),
            (at::ENTRY_BYTES, 1 << 40, CannotBe),
            (at::ENTRY_CAPACITY, 0, CannotBe),
            (at::ENTRY_CAPACITY, 1 << 40, CannotBe),
            (at::ARENA_OFFSET, 4096, CannotBe),
            (at::ARENA_OFFSET, u64::MAX - 7, CannotBe),
            (at::ARENA_BYTES, 0, CannotBe),
            (at::ARENA_BYTES, 12, CannotBe),
            (at::ARENA_BYTES, u64::MAX, CannotBe),
            (at::RING_ID, 0, Fine(ID)),
            (at::RING_ID_HIGH, u64::MAX, Fine(ID)),
            (at::BOOT_ID, 0, Fine(ID)),
            (at::BOOT_ID_HIGH, u64::MAX, Fine(ID)),
            (at::INTERVAL_NS, 0, CannotBe),
            (at::INTERVAL_NS, u64::MAX, Fine("a ring may be written to as seldom as one likes")),
            (at::CREATED_NS, 0, Fine("the wall clock may have been anything")),
            (at::CREATED_NS, u64::MAX, Fine("the wall clock may have been anything")),
            (at::FIRST_SEQ, (1 << 62) + 1, CannotBe),
            (at::FIRST_SEQ, u64::MAX, CannotBe),
        ],
        |_, field| field,
    );
}

#[test]
fn checksum_is_refused_by_its_name() {
    let twin = sound();
    for value in [0, 1, u64::MAX, twin.words().load(at::CHECKSUM) ^ 1] {
        twin.words().store(at::CHECKSUM, value);
        let error = Ring::decode(twin.words()).expect_err("not the sum of these words");
        assert!(error.to_string().starts_with(&format!("checksum is {value:#x}, ")), "{error}");
    }
}

#[test]
fn each_field_of_the_changing_header_is_named_when_it_can_be_known_to_be_wrong() {
    const HINT: &str = "a hint for people";
    hold(
        &[at::PUBLISHED, at::LIFECYCLE].concat(),
        &[
            (at::HEAD, 11, Fine("a writer killed between the slot and the head leaves that")),
            (at::HEAD, 0, Damage("header: head is 0, which the slots do not agree with")),
            (at::HEAD, 5, Damage("header: head is 5, which the slots do not agree with")),
            (at::HEAD, 13, Damage("header: head is 13, which the slots do not agree with")),
            (
                at::HEAD,
                u64::MAX,
                Damage("header: head is 0xffffffffffffffff, which the slots do not agree with"),
            ),
            (
                at::HEARTBEAT_NS,
                11_000_007,
                Fine("a writer killed between the head and the heartbeat leaves that"),
            ),
            (
                at::HEARTBEAT_NS,
                11_000_006,
                Damage("header: heartbeat_ns is 11000006, before the newest record"),
            ),
            (at::HEARTBEAT_NS, 0, Damage("header: heartbeat_ns is 0, before the newest record")),
            (at::HEARTBEAT_NS, u64::MAX, Fine("the writer may have started after the record")),
            (at::NOTIFY, u64::MAX, Fine("it is loaded by sleepers only, as a hint")),
            (at::STATE, 0, Damage("header: state is 0, which is no state")),
            (at::STATE, 4, Damage("header: state is 4, which is no state")),
            (at::EPOCH, 0, Damage("header: epoch is 0, which no writer has")),
            (at::EPOCH, 1 << 40, Damage("header: epoch is 1099511627776, which no writer has")),
            (at::PID, u64::MAX, Fine(HINT)),
            (at::PID_START, u64::MAX, Fine(HINT)),
            (at::ENTRY_COUNT, 7, Damage("header: entry_count is 7, above entry_capacity")),
            (
                at::ENTRY_COUNT,
                u64::MAX,
                Damage("header: entry_count is 0xffffffffffffffff, above entry_capacity"),
            ),
            (at::ENTRY_COUNT, 0, Fine("there may be columns that no series has")),
            (
                at::ARENA_USED,
                264,
                Damage("header: arena_used is 264, above arena_bytes or no multiple of 8"),
            ),
            (
                at::ARENA_USED,
                57,
                Damage("header: arena_used is 57, above arena_bytes or no multiple of 8"),
            ),
            (at::ARENA_USED, 0, Damage("header: arena_used is 0, below the end of a name")),
            (
                at::DIRECTORY_CHANGES,
                0,
                Damage("header: directory_changes is 0, although there are entries"),
            ),
            (at::DIRECTORY_CHANGES, u64::MAX, Fine("it goes up, and nobody knows from where")),
        ],
        |_, field| field,
    );
}

#[test]
fn each_field_of_a_directory_entry_is_named() {
    let word = |twin: &Twin, field| twin.ring.geometry().entry_word(ENTRY) + field;
    hold(
        entry_at::FIELDS,
        &[
            (entry_at::OBJECT, 0, Damage("entry 1: object is 0x0, an empty name")),
            (
                entry_at::OBJECT,
                1025,
                Damage("entry 1: object is 0x401, a longer name than there can be"),
            ),
            (
                entry_at::OBJECT,
                4 << 32 | 8,
                Damage(
                    "entry 1: object is 0x400000008, a name that does not begin at a multiple of 8 \
                     bytes",
                ),
            ),
            (
                entry_at::OBJECT,
                256 << 32 | 1,
                Damage(
                    "entry 1: object is 0x10000000001, a name that does not end within arena_bytes",
                ),
            ),
            (
                entry_at::METRIC,
                256,
                Damage("entry 1: metric is 0x100, a longer name than there can be"),
            ),
            (
                entry_at::METRIC,
                u64::MAX,
                Damage("entry 1: metric is 0xffffffffffffffff, a longer name than there can be"),
            ),
            (
                entry_at::MEANING,
                0x01_02_09,
                Damage("entry 1: meaning is 0x10209, whose first byte is no kind"),
            ),
            (
                entry_at::MEANING,
                0x01_FF_02,
                Damage("entry 1: meaning is 0x1ff02, whose second byte is no unit"),
            ),
            (
                entry_at::MEANING,
                0x03_02_02,
                Damage("entry 1: meaning is 0x30202, whose third byte is no representation"),
            ),
            (
                entry_at::MEANING,
                1 << 63 | 0x01_02_02,
                Damage(
                    "entry 1: meaning is 0x8000000000010202, whose last five bytes are not all zero",
                ),
            ),
            (entry_at::COLUMN, 5, Damage("entry 1: column is 5, not below column_capacity")),
            (
                entry_at::COLUMN,
                1 << 32 | 1,
                Damage("entry 1: column is 4294967297, not below column_capacity"),
            ),
            (entry_at::FIRST, 0, Damage("entry 1: first is 0, which no record has")),
            (entry_at::FIRST, 1, Fine("it may have begun earlier")),
            (
                entry_at::LAST,
                2,
                Damage("entry 1: last is 2, which is further below first than by one"),
            ),
            (entry_at::LAST, 3, Fine("it ended before any record")),
        ],
        word,
    );
    // Two fields that contradict each other: the one that is looked at later is named.
    let twin = sound();
    twin.words().store(word(&twin, entry_at::FIRST), u64::MAX);
    let line = "entry 1: last is 8, which is further below first than by one";
    assert_eq!(lines(&audit(&twin.ring)), [line]);
    let twin = sound();
    twin.words().store(word(&twin, entry_at::LAST), 9);
    let line = "entry 2: first is 9, when its column still belongs to another series";
    assert_eq!(lines(&audit(&twin.ring)), [line]);
}

#[test]
fn each_field_of_a_record_is_named_when_it_can_be_known_to_be_wrong() {
    const CLOCK: &str = "the clock of a tick may have been anything";
    hold(
        record_at::FIELDS,
        &[
            (record_at::SEQ, 0, Fine("a record that is missing is no damage")),
            (record_at::SEQ, 7, Damage("slot 2: seq is 7, which no record of this slot has")),
            (
                record_at::SEQ,
                2 * ((1 << 62) + VICTIM),
                Damage("slot 2: seq is 0x8000000000000014, which no record of this slot has"),
            ),
            (
                record_at::SEQ,
                2 * 2,
                Damage("slot 2: seq is 4, a record that no ring with this head has"),
            ),
            (
                record_at::SEQ,
                2 * 18 - 1,
                Damage("slot 2: seq is 35, a record that no writer with this head is at"),
            ),
            (
                record_at::REALTIME_NS,
                9_000_000,
                Damage(
                    "record 10: realtime_ns is 9000000, not after the record before in the same run",
                ),
            ),
            (
                record_at::REALTIME_NS,
                u64::MAX,
                Damage(
                    "record 11: realtime_ns is 11000000, not after the record before in the same run",
                ),
            ),
            (record_at::BOOTTIME_NS, 0, Fine(CLOCK)),
            (record_at::BOOTTIME_NS, u64::MAX, Fine(CLOCK)),
            (
                record_at::EPOCH_AND_FLAGS,
                0,
                Damage("record 10: epoch_and_flags is 0x0, in an epoch that no writer has"),
            ),
            (
                record_at::EPOCH_AND_FLAGS,
                8 << 32 | 1,
                Damage("record 10: epoch_and_flags is 0x800000001, which has unknown flags"),
            ),
            (record_at::COLUMNS, 6, Damage("record 10: columns is 6, above column_capacity")),
            (
                record_at::COLUMNS,
                u64::MAX,
                Damage("record 10: columns is 0xffffffffffffffff, above column_capacity"),
            ),
            (record_at::COLUMNS, 0, Fine("a record may be narrower than the next")),
            (record_at::TICK_DURATION_NS, u64::MAX, Fine("a tick may take as long as it likes")),
            (
                record_at::RUN_FIRST,
                0,
                Damage("record 10: run_first is 0, not from 1 to the record's own sequence"),
            ),
            (
                record_at::RUN_FIRST,
                11,
                Damage("record 10: run_first is 11, not from 1 to the record's own sequence"),
            ),
            (record_at::MISSED_TICKS, u64::MAX, Fine("as many ticks may be missed as there are")),
        ],
        |twin, field| twin.slot(VICTIM) + field,
    );
}

#[test]
fn word_that_is_no_finite_double_is_named_with_its_record_and_column() {
    let mut twin = sound();
    for unfit in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut record = record(twin.head + 1, 3);
        record.header.run_first = 1;
        record.header.set_epoch_and_flags(1, 0);
        // The other column is a counter's, where these are numbers like others.
        record.words_mut()[0] = unfit.to_bits();
        record.words_mut()[1] = unfit.to_bits();
        let seq = twin.head + 1;
        twin.publish_as(seq, &record);
        let found = audit(&twin.ring);
        let damage = found.damage.last().expect("one more");
        assert_eq!(damage.part, Part::Column { seq, column: 0 });
        let bits = unfit.to_bits();
        let line = format!("record {seq}, column 0: word is {bits:#x}, a double but not finite");
        assert_eq!(damage.to_string(), line);
        assert_eq!(found.not_finite, seq - HEAD);
    }
}

#[test]
fn name_that_is_no_text_is_named() {
    let twin = sound();
    let entry = twin.ring.geometry().entry_word(ENTRY);
    let place = twin.words().load(entry + entry_at::METRIC);
    let word = twin.ring.geometry().arena_word() + (place >> 35) as usize;
    twin.words().store(word, u64::MAX);
    let damage = twin.ring.entry(ENTRY).expect_err("not UTF-8");
    assert_eq!((damage.part, damage.field, damage.value), (Part::Entry(ENTRY), "metric", place));
    assert!(damage.to_string().ends_with("a name that is not UTF-8"), "{damage}");
    assert!(twin.ring.entry(0).is_ok());
}

#[test]
fn entry_for_which_there_is_no_room_is_said_to_have_none() {
    for index in [6, 1 << 40, usize::MAX] {
        let damage = sound().ring.entry(index).expect_err("there are six");
        assert_eq!((damage.part, damage.field), (Part::Entry(index), "entry_capacity"));
    }
}

/// A file in which all is wrong says so briefly: of each field eight, and how many more there are.
#[test]
fn damage_is_counted_where_it_is_not_named() {
    let mut twin = Twin::new(Sizes {
        slot_count: 64,
        column_capacity: 2,
        entry_capacity: 40,
        arena_bytes: 256,
    });
    for _ in 0..64 {
        twin.publish(2);
    }
    twin.words().store(at::ENTRY_COUNT, 40);
    for seq in 1..30 {
        let slot = twin.slot(seq);
        twin.words().store(slot, 3 * seq + 4_000_001);
    }
    for seq in 40..60 {
        let slot = twin.slot(seq);
        twin.words().store(slot + record_at::RUN_FIRST, 0);
        twin.words().store(slot + record_at::COLUMNS, 3);
    }
    let found = audit(&twin.ring);
    let named = |field: &str| found.damage.iter().filter(|damage| damage.field == field).count();
    for field in ["seq", "object", "run_first", "columns"] {
        assert_eq!(named(field), 8, "{field}: {found:#?}");
    }
    assert_eq!(named("directory_changes"), 1);
    assert_eq!((found.damaged_slots, found.damaged_entries, found.damaged_headers), (29, 40, 20));
    let fields = 29 + 40 + 20 + 20 + found.damaged_fields;
    assert_eq!(found.damage.len() as u64 + found.unnamed, fields);
}
