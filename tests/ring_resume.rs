//! A writer goes on where another one ended, was killed, or left damage, and no history is lost.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use support::{
    ShmDir, assert_history, copy, fill_columns, history, nic, poke, publish, schema, start,
    try_start, word,
};
use tachograph::record::{Record, Schema, flags};
use tachograph::ring::layout::{LIVES, entry as entry_at, header as at, record as record_at};
use tachograph::ring::{
    Before, Liveness, Opening, ReadError, Reader, Value, Wait, Words, WordsMut, WriteError, Writer,
    audit, open_untrusted,
};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn writer_that_ended_in_order_goes_on_in_place_and_readers_stay() {
    let dir = ShmDir::new();
    let mut first = schema(2);
    let (mut writer, _) = start(&dir, 8, &mut first);
    let mut reader = Reader::open(&dir.ring()).expect("the ring opens");
    let column = reader.ring().find(&nic(1), "receive_bytes").expect("it lives");
    let mut records: Vec<_> = (0..3).map(|_| publish(&mut writer, 2)).collect();
    writer.close();
    assert_eq!(reader.liveness(), Liveness::Closed);
    let mut second = Schema::new();
    let (mut writer, before) = start(&dir, 8, &mut second);
    assert!(
        matches!(before, Before::History { records: 3, discarded: 0, in_place: true }),
        "{before:?}"
    );
    assert_eq!(second.column(&nic(1), "receive_bytes"), Some(1), "columns are kept");
    assert_eq!((writer.epoch(), writer.head()), (2, 3));
    assert_eq!(reader.liveness(), Liveness::Live, "no record is due yet");
    records.push(publish(&mut writer, 2));
    records.push(publish(&mut writer, 2));
    assert_eq!(reader.wait(3, Duration::ZERO), Wait::Published(5));
    assert!(!reader.refresh().expect("the same file"));
    assert_history(reader.ring(), &records);
    let marks = records.iter().map(|record| (record.header.epoch(), record.header.flags()));
    let first = flags::EPOCH_FIRST;
    assert!(marks.eq([(1, first), (1, 0), (1, 0), (2, first), (2, 0)]));
    assert!(records.iter().all(|record| record.header.run_first == 1), "time went on");
    let value = reader.ring().latest(|view| view.value(&column));
    assert_eq!(value, Some(Some(Value::U64(word(5, 1)))), "the handle is still good");
    assert!(audit(reader.ring()).is_clean());
}

#[test]
fn series_that_nobody_asks_for_again_end_where_the_former_writer_ended() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(3));
    publish(&mut writer, 3);
    drop(writer);
    let opening = Opening::of(&dir.run_dir(), "host").expect("the lane is free");
    let mut schema = Schema::resume(opening.live_series());
    assert_eq!(schema.len(), 3);
    schema.add(&nic(1), "receive_bytes").expect("it keeps its column");
    schema.end_unclaimed();
    schema.add("nic/new", "receive_bytes").expect("room");
    let (mut writer, _) = opening.start(&support::options(8), &mut schema).expect("it starts");
    publish(&mut writer, 3);
    let directory = writer.ring().directory();
    let lifetimes: Vec<_> = directory
        .iter()
        .map(|entry| (&*entry.series.object, entry.column, entry.first, entry.last))
        .collect();
    assert_eq!(
        lifetimes,
        [
            ("nic/e0", 0, 1, 1),
            ("nic/e1", 1, 1, LIVES),
            ("nic/e2", 2, 1, 1),
            ("nic/new", 0, 2, LIVES)
        ]
    );
}

/// The names of the series were stored once more at each restart, until a larger ring was needed.
#[test]
fn names_are_found_again_after_a_restart() {
    let dir = ShmDir::new();
    let mut schema = schema(1);
    let (writer, _) = start(&dir, 8, &mut schema);
    let used = |writer: &Writer| writer.ring().words().load(at::ARENA_USED);
    let before = used(&writer);
    drop(writer);
    let mut schema = Schema::new();
    let (mut writer, _) = start(&dir, 8, &mut schema);
    schema.end(0);
    schema.add(&nic(0), "receive_bytes").expect("room");
    writer.sync(&mut schema).expect("there is room");
    assert_eq!(used(&writer), before);
    assert_eq!(writer.ring().directory().entries.len(), 2);
}

#[test]
fn changed_interval_or_depth_makes_a_new_file_with_the_history() {
    let second = Duration::from_secs(1);
    for (interval, depth, kept) in [(second, 32, 8), (second, 4, 4), (second / 2, 8, 8)] {
        let dir = ShmDir::new();
        let (mut writer, _) = start(&dir, 8, &mut schema(2));
        let records: Vec<_> = (0..13).map(|_| publish(&mut writer, 2)).collect();
        let mut reader = Reader::open(&dir.ring()).expect("the ring opens");
        drop(writer);
        let opening = Opening::of(&dir.run_dir(), "host").expect("the lane is free");
        let mut schema = Schema::resume(opening.live_series());
        let options = tachograph::ring::WriterOptions { interval, ..support::options(depth) };
        let (mut writer, before) = opening.start(&options, &mut schema).expect("it starts");
        let Before::History { records: counted, discarded: 0, in_place: false } = before else {
            panic!("{before:?}");
        };
        assert_eq!(counted, kept as u64);
        assert_eq!(reader.wait(13, LONG), Wait::Retired);
        assert!(reader.refresh().expect("the new ring opens"));
        let ring = reader.ring();
        assert_eq!(ring.geometry().slot_count, depth);
        assert_eq!(u128::from(ring.header().interval_ns), interval.as_nanos());
        assert_eq!(history(ring), records[13 - kept..]);
        let next = publish(&mut writer, 2);
        assert_eq!((next.header.seq, next.header.epoch()), (14, 2));
        assert_eq!(dir.files(), ["host.lock", "host.ring"]);
        assert!(audit(ring).is_clean());
    }
}

#[test]
fn ring_of_another_boot_is_begun_anew() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(2));
    publish(&mut writer, 2);
    drop(writer);
    let words = support::file_words(&dir.ring());
    words.store(at::BOOT_ID, words.load(at::BOOT_ID) ^ 1);
    support::repair_checksum(&words);
    fs::write(dir.ring(), support::bytes_of(&words)).expect("written");
    let (writer, before) = start(&dir, 8, &mut Schema::new());
    assert!(matches!(before, Before::OtherBoot), "{before:?}");
    assert_eq!((writer.head(), writer.epoch(), writer.ring().bounds()), (0, 1, None));
}

#[test]
fn damaged_file_is_set_aside() {
    let cut = |bytes: &mut Vec<u8>| bytes.truncate(5000);
    let flip = |bytes: &mut Vec<u8>| bytes[8 * at::SLOT_COUNT] ^= 1;
    let zero = |bytes: &mut Vec<u8>| bytes.fill(0);
    let empty = |bytes: &mut Vec<u8>| bytes.clear();
    for damage in [cut as fn(&mut Vec<u8>), flip, zero, empty] {
        let dir = ShmDir::new();
        let (mut writer, _) = start(&dir, 8, &mut schema(2));
        publish(&mut writer, 2);
        drop(writer);
        let mut bytes = fs::read(dir.ring()).expect("the file can be read");
        damage(&mut bytes);
        fs::write(dir.ring(), &bytes).expect("written");
        let (mut writer, before) = start(&dir, 8, &mut schema(2));
        let Before::SetAside { path, .. } = before else { panic!("{before:?}") };
        assert_eq!(path, dir.path().join("host.ring.damaged"));
        assert_eq!(fs::read(path).expect("it is there"), bytes);
        publish(&mut writer, 2);
        assert_eq!(Reader::open(&dir.ring()).expect("the ring opens").ring().head(), 1);
    }
}

/// A file that was cut and grown again decodes, but its pages are holes: a store into one could fail.
#[test]
fn file_with_holes_is_set_aside() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 512, &mut schema(2));
    publish(&mut writer, 2);
    drop(writer);
    let file = fs::OpenOptions::new().write(true).open(dir.ring()).expect("opened");
    let len = file.metadata().expect("looked at").len();
    file.set_len(8192).expect("cut");
    file.set_len(len).expect("grown");
    let (_, before) = start(&dir, 512, &mut schema(2));
    assert!(matches!(before, Before::SetAside { .. }), "{before:?}");
}

#[test]
fn second_writer_is_refused_and_told_who_has_the_lane() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(1));
    let error = try_start(&dir, 8, &mut schema(1)).expect_err("the lane is taken");
    assert!(matches!(&error, WriteError::Locked { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    assert!(text.contains("host.lock"), "{text}");
    publish(&mut writer, 1);
    assert!(Opening::of(&dir.run_dir(), "other").is_ok(), "another lane is free");
    let mode =
        fs::metadata(dir.path().join("host.lock")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "readers cannot take it");
    drop(writer);
    start(&dir, 8, &mut schema(1));
}

#[test]
fn unfinished_file_of_a_killed_writer_is_removed() {
    let dir = ShmDir::new();
    fs::write(dir.path().join("host.ring.tmp"), "half").expect("written");
    fs::write(dir.path().join("other.ring.tmp"), "another lane's").expect("written");
    let (_writer, _) = start(&dir, 8, &mut schema(1));
    assert_eq!(dir.files(), ["host.lock", "host.ring", "other.ring.tmp"]);
}

#[test]
fn mode_that_is_asked_for_holds_for_a_resumed_file_too() {
    let dir = ShmDir::new();
    let mode = |expected| {
        let meta = fs::metadata(dir.ring()).expect("it is there");
        assert_eq!(meta.permissions().mode() & 0o777, expected);
    };
    start(&dir, 8, &mut schema(1));
    mode(0o644);
    let opening = Opening::of(&dir.run_dir(), "host").expect("the lane is free");
    let options = tachograph::ring::WriterOptions { mode: 0o600, ..support::options(8) };
    let (_writer, before) = opening.start(&options, &mut schema(1)).expect("it starts");
    assert!(matches!(before, Before::History { in_place: true, .. }));
    mode(0o600);
}

/// Leaves a ring as a writer does that was killed after `stores` stores of publishing the record
/// `seq`, of three columns: the slot's state, ten words, the state again, the head.
fn kill_in_publish(dir: &ShmDir, seq: u64, stores: usize) {
    let ring = open_untrusted(&dir.ring()).expect("the ring opens").0;
    let slot = ring.geometry().slot_word(seq);
    let mut expected = support::record(seq, 3);
    expected.header.columns = 3;
    expected.header.run_first = 1;
    expected.header.set_epoch_and_flags(1, 0);
    let header: [u64; 8] = bytemuck::cast(expected.header);
    let payload = header[1..].iter().chain(expected.words()).copied();
    let mut all = vec![(slot, 2 * seq - 1)];
    all.extend(payload.enumerate().map(|(index, value)| (slot + 1 + index, value)));
    all.extend([(slot, 2 * seq), (at::HEAD, seq)]);
    assert!(stores <= all.len());
    for (index, value) in all.into_iter().take(stores) {
        poke(&dir.ring(), index, value);
    }
}

#[test]
fn writer_killed_after_any_store_of_a_publish_loses_at_most_that_record() {
    for published in [0, 3, 8, 21] {
        for stores in 0..=13 {
            let dir = ShmDir::new();
            let (mut writer, _) = start(&dir, 8, &mut schema(3));
            let records: Vec<_> = (0..published).map(|_| publish(&mut writer, 3)).collect();
            let attached = Reader::open(&dir.ring()).expect("the ring opens");
            drop(writer);
            assert_eq!(attached.liveness(), Liveness::Dead);
            let next = published + 1;
            kill_in_publish(&dir, next, stores);
            let whole = stores >= 12;
            let kept = &records[records.len().saturating_sub(if stores > 0 { 7 } else { 8 })..];
            assert_history(attached.ring(), kept);
            let (mut writer, before) = start(&dir, 8, &mut Schema::new());
            let Before::History { records, discarded: 0, in_place: true } = before else {
                panic!("{before:?}");
            };
            assert_eq!(records, kept.len() as u64 + u64::from(whole));
            assert_history(attached.ring(), kept);
            assert_eq!(writer.head(), if whole { next } else { published });
            let after = publish(&mut writer, 3);
            assert_eq!(after.header.epoch(), 2);
            assert_eq!(after.header.flags(), flags::EPOCH_FIRST);
            let last = after.header.seq;
            assert_eq!(last, if whole { next + 1 } else { next });
            assert_eq!(copy(attached.ring(), last), Ok(after));
            assert_eq!(attached.wait(last - 1, Duration::ZERO), Wait::Published(last));
            let audit = audit(attached.ring());
            assert!(audit.is_clean() && audit.missing == 0, "{audit:?}");
        }
    }
}

/// Killed between the entries and the count, between the count and the number of changes.
#[test]
fn writer_killed_while_it_changes_the_directory_leaves_it_sound() {
    for stores in 0..=8 {
        let dir = ShmDir::new();
        let (mut writer, _) = start(&dir, 8, &mut schema(2));
        let records = [publish(&mut writer, 2), publish(&mut writer, 2)];
        let reader = Reader::open(&dir.ring()).expect("the ring opens");
        let changes = reader.ring().directory_changes();
        drop(writer);
        let words = reader.ring().words();
        let (first, second) = (reader.ring().geometry().entry_word(0), 2);
        let start_word = reader.ring().geometry().entry_word(second);
        let name = words.load(first + entry_at::OBJECT);
        let metric = words.load(first + entry_at::METRIC);
        // The series of column 0 ends and one of the other direction takes its place.
        let all = [
            (first + entry_at::LAST, 2),
            (start_word + entry_at::OBJECT, name),
            (start_word + entry_at::METRIC, metric),
            (start_word + entry_at::MEANING, words.load(first + entry_at::MEANING)),
            (start_word + entry_at::COLUMN, 0),
            (start_word + entry_at::FIRST, 3),
            (start_word + entry_at::LAST, LIVES),
            (at::ENTRY_COUNT, 3),
        ];
        for (index, value) in all.into_iter().take(stores) {
            poke(&dir.ring(), index, value);
        }
        let mut schema = schema(2);
        let (mut writer, _) = start(&dir, 8, &mut schema);
        assert_ne!(reader.ring().directory_changes(), changes, "attached readers look again");
        let last = publish(&mut writer, 2);
        assert_history(reader.ring(), &records);
        let found = reader.ring().find(&nic(0), "receive_bytes").expect("it lives");
        let value = reader.ring().latest(|view| view.value(&found));
        assert_eq!(value, Some(Some(Value::U64(last.words()[0]))), "{stores}");
        let audit = audit(reader.ring());
        assert!(audit.is_clean(), "{stores}: {audit:?}");
    }
}

/// A writer said that it kept as many records as the old ring had, also where the new one had fewer
/// slots, and seven where a head that was one too high had left eight in a larger one.
#[test]
fn records_that_are_kept_in_a_ring_of_another_size_are_counted_there() {
    for (depth, head, kept) in [(4, 12, 4), (16, 12, 8), (16, 13, 8), (32, 12, 8)] {
        let dir = ShmDir::new();
        let (mut writer, _) = start(&dir, 8, &mut schema(1));
        (0..12).for_each(|_| drop(publish(&mut writer, 1)));
        drop(writer);
        poke(&dir.ring(), at::HEAD, head);
        let (writer, before) = start(&dir, depth, &mut Schema::new());
        let Before::History { records, in_place: false, .. } = before else {
            panic!("{before:?}");
        };
        let there = support::history(&writer.ring()).len() as u64;
        assert_eq!((records, there), (kept, kept), "{depth} slots, head {head}");
    }
}

#[test]
fn damaged_head_word_or_slot_does_not_cost_the_history() {
    let absurd = 2 * ((1_u64 << 40) + 5);
    for head in [None, Some(0), Some(4), Some(13), Some(1 << 40), Some(u64::MAX)] {
        for slot in [None, Some(absurd), Some(3), Some(u64::MAX)] {
            let dir = ShmDir::new();
            let (mut writer, _) = start(&dir, 8, &mut schema(1));
            let records: Vec<_> = (0..12).map(|_| publish(&mut writer, 1)).collect();
            let attached = Reader::open(&dir.ring()).expect("the ring opens");
            drop(writer);
            if let Some(value) = head {
                poke(&dir.ring(), at::HEAD, value);
            }
            // The slot of 5, the oldest.
            if let Some(value) = slot {
                poke(&dir.ring(), attached.ring().geometry().slot_word(5), value);
            }
            // Whatever they say now, readers say something.
            let _ = attached.ring().latest(|view| view.header());
            let found = audit(attached.ring());
            // With the slot of 5 gone, 13 may have been there and be lost.
            let is_known = head.is_some() && !(head == Some(13) && slot.is_some());
            let wrong = (u64::from(is_known), u64::from(slot.is_some()));
            assert_eq!((found.damaged_fields, found.damaged_slots), wrong, "{found:?}");
            assert_eq!((found.found_head, found.is_clean()), (12, wrong == (0, 0)), "{found:?}");
            let (mut writer, before) = start(&dir, 8, &mut Schema::new());
            let Before::History { records: kept, discarded, in_place: true } = before else {
                panic!("{before:?}");
            };
            let damaged = u64::from(slot.is_some());
            // A head that is one later may be the true one, of a record that is damaged; then 5 is
            // the next to go.
            let lost = damaged.max(u64::from(head == Some(13)));
            assert_eq!((kept, discarded), (8 - lost, damaged), "head {head:?} slot {slot:?}");
            assert_history(attached.ring(), &records[4 + lost as usize..]);
            let next = publish(&mut writer, 1);
            assert_eq!(attached.ring().head(), next.header.seq);
            assert!(next.header.seq == 13 || head == Some(13), "{}", next.header.seq);
            assert!(audit(attached.ring()).is_clean());
        }
    }
}

/// The newest slot was damaged. The next writer published its sequence a second time, to readers who
/// had the first one.
#[test]
fn sequence_of_a_damaged_record_is_not_given_out_again() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(1));
    let records: Vec<_> = (0..5).map(|_| publish(&mut writer, 1)).collect();
    let attached = Reader::open(&dir.ring()).expect("the ring opens");
    drop(writer);
    poke(&dir.ring(), attached.ring().geometry().slot_word(5), 12345);
    let (mut writer, before) = start(&dir, 8, &mut Schema::new());
    assert!(matches!(before, Before::History { records: 4, discarded: 1, .. }), "{before:?}");
    assert_eq!(attached.ring().latest(|view| view.seq()), Some(4), "the newest that is there");
    let next = publish(&mut writer, 1);
    assert_eq!(next.header.seq, 6);
    assert_eq!(attached.wait(5, Duration::ZERO), Wait::Published(6));
    assert_eq!(copy(attached.ring(), 5), Err(ReadError::Lost), "it never comes");
    assert_history(attached.ring(), &records[..4]);
    // The same over a change of depth.
    drop(writer);
    poke(&dir.ring(), attached.ring().geometry().slot_word(6), 12345);
    let (mut writer, _) = start(&dir, 16, &mut Schema::new());
    assert_eq!(publish(&mut writer, 1).header.seq, 7);
    assert_history(&writer.ring(), &records[..4]);
}

/// The first writer to come stated the head before the damaged record, and died before it had published
/// anything. The second one believed it, and gave the damaged record's sequence out again.
#[test]
fn writer_that_dies_before_its_first_record_forgets_no_sequence() {
    for other_depth in [8, 16] {
        let dir = ShmDir::new();
        let (mut writer, _) = start(&dir, 8, &mut schema(1));
        let records: Vec<_> = (0..5).map(|_| publish(&mut writer, 1)).collect();
        let slot = writer.ring().geometry().slot_word(5);
        drop(writer);
        poke(&dir.ring(), slot, 12345);
        drop(start(&dir, other_depth, &mut Schema::new()));
        let (mut writer, _) = start(&dir, other_depth, &mut Schema::new());
        assert_history(&writer.ring(), &records[..4]);
        assert_eq!(publish(&mut writer, 1).header.seq, 6);
        assert_eq!(copy(&writer.ring(), 5), Err(ReadError::Lost));
    }
}

/// The newest record's header said that its run had begun far in the future. The next writer went on
/// with that run, and all of its records contradicted themselves.
#[test]
fn run_that_a_damaged_header_speaks_of_is_not_gone_on_with() {
    for run_first in [0, 2, 7, 1 << 40] {
        let dir = ShmDir::new();
        let (mut writer, _) = start(&dir, 8, &mut schema(1));
        (0..5).for_each(|_| drop(publish(&mut writer, 1)));
        let slot = writer.ring().geometry().slot_word(5);
        drop(writer);
        poke(&dir.ring(), slot + record_at::RUN_FIRST, run_first);
        let (mut writer, _) = start(&dir, 8, &mut Schema::new());
        assert_eq!(publish(&mut writer, 1).header.run_first, 6, "{run_first}");
    }
}

/// One bit of an empty ring's head was taken for 2^62 records. The writer went on after them, and the
/// next one, to which all above was damage, began with 1 again; a larger ring could not be made at all.
#[test]
fn head_beyond_all_counting_is_not_gone_on_with() {
    for bit in 0..64 {
        let dir = ShmDir::new();
        drop(start(&dir, 8, &mut schema(1)));
        poke(&dir.ring(), at::HEAD, 1 << bit);
        let (mut writer, before) = start(&dir, 8, &mut schema(1));
        assert_eq!(matches!(before, Before::SetAside { .. }), [61, 62].contains(&bit), "{bit}");
        let mut first = Record::new(1);
        writer.publish(&mut first);
        drop(writer);
        let mut schema = Schema::new();
        let (mut writer, _) = start(&dir, 8, &mut schema);
        assert_eq!(writer.head(), first.header.seq, "{bit}");
        writer.publish(&mut Record::new(1));
        fill_columns(&mut schema);
        writer.sync(&mut schema).expect("there is room for a larger ring");
        assert_history(&writer.ring(), &[first]);
    }
}

/// Two series of one column, a series of the future, one that ends there, names whose place the
/// header does not count: a writer that goes on must not let any of them speak for its records.
#[test]
fn damaged_directory_does_not_mislabel_what_is_published_next() {
    type Damage = fn(usize) -> (usize, u64);
    // Each is given the first word of the second entry.
    let table: [(&str, Damage); 6] = [
        ("two in one column", |entry| (entry + entry_at::COLUMN, 0)),
        ("from the future", |entry| (entry + entry_at::FIRST, 99)),
        ("into the future", |entry| (entry + entry_at::LAST, 99)),
        ("names not counted", |_| (at::ARENA_USED, 0)),
        ("unknown kind", |entry| (entry + entry_at::MEANING, 77)),
        ("changes at their last number", |_| (at::DIRECTORY_CHANGES, u64::MAX)),
    ];
    for (what, damage) in table {
        let dir = ShmDir::new();
        let (mut writer, _) = start(&dir, 8, &mut schema(3));
        publish(&mut writer, 3);
        publish(&mut writer, 3);
        let attached = Reader::open(&dir.ring()).expect("the ring opens");
        drop(writer);
        let (index, value) = damage(attached.ring().geometry().entry_word(1));
        poke(&dir.ring(), index, value);
        // Only the others are wanted now, and a new one.
        let opening = Opening::of(&dir.run_dir(), "host").expect("the lane is free");
        let mut schema = Schema::resume(opening.live_series());
        schema.add(&nic(0), "receive_bytes").expect("room");
        schema.add(&nic(2), "receive_bytes").expect("room");
        schema.end_unclaimed();
        let new = schema.add("nic/new", "receive_bytes").expect("room");
        let (mut writer, _) = opening.start(&support::options(8), &mut schema).expect("it starts");
        publish(&mut writer, 3);
        let ring = attached.ring();
        let directory = ring.directory();
        for column in 0..3 {
            let covering: Vec<_> = directory
                .iter()
                .filter(|entry| entry.column == column && entry.covers(3))
                .collect();
            let expected = schema.series(column);
            assert_eq!(
                covering.iter().map(|entry| &entry.series).collect::<Vec<_>>(),
                expected.into_iter().collect::<Vec<_>>(),
                "{what}, column {column}"
            );
        }
        let found = ring.find("nic/new", "receive_bytes").expect("it lives");
        assert_eq!(found.index(), new, "{what}");
        assert!(ring.find(&nic(0), "receive_bytes").is_some(), "{what}");
    }
}
