//! What readers and the writer of one ring promise one another, in one process.
//!
//! The rings lie in fresh directories in memory, or on the heap where no file matters.

mod support;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use support::{
    ShmDir, Twin, boottime_ns, fill_columns, history, nic, poke, publish, schema, start, try_start,
    word,
};
use tachograph::record::{ABSENT, Record, Schema, flags};
use tachograph::ring::layout::{
    LIVES, entry as entry_at, header as at, record as record_at, state,
};
use tachograph::ring::{
    Before, Liveness, OpenError, Opening, PlaceError, ReadError, Reader, Ring, RunDir, Value, Wait,
    Words, WordsMut, WriteError, Writer, audit, liveness, open_untrusted,
};

const LONG: Duration = Duration::from_secs(60);

/// Longer than any thread of a busy machine takes to fall asleep, and not needed for correctness.
const WHILE: Duration = Duration::from_millis(30);

fn copy<W: Words>(ring: &Ring<W>, seq: u64) -> Result<Record, ReadError> {
    let mut record = Record::default();
    ring.read_into(seq, &mut record).map(|()| record)
}

/// Every record of `expected` is in the ring, bit for bit.
fn assert_history<W: Words>(ring: &Ring<W>, expected: &[Record]) {
    for record in expected {
        assert_eq!(copy(ring, record.header.seq).as_ref(), Ok(record));
    }
}

// Publishing and reading.

#[test]
fn every_way_of_reading_gives_what_was_published() {
    let dir = ShmDir::new();
    let (mut writer, before) = start(&dir, 8, &mut schema(3));
    assert!(matches!(before, Before::Nothing));
    let reader = Reader::open(&dir.ring()).expect("the ring opens");
    let ring = reader.ring();
    assert_eq!((ring.head(), ring.bounds(), ring.latest(|_| ())), (0, None, None));
    let records: Vec<_> = (0..5).map(|_| publish(&mut writer, 3)).collect();
    assert_eq!((ring.head(), ring.bounds()), (5, Some((1, 5))));
    assert_history(ring, &records);
    assert_eq!(ring.latest(|view| (view.seq(), view.header())), Some((5, records[4].header)));
    assert_eq!(ring.read(2, |view| view.word(1)), Ok(word(2, 1)));
    let first = ring.peek(2).expect("it is there");
    let second = ring.peek(3).expect("it is there");
    assert_eq!((first.word(0), second.realtime_ns()), (word(2, 0), 3_000_000));
    assert_eq!(ring.vouch(2), Ok(()));
    assert_eq!(first.word(3), ABSENT, "beyond the record's width");
    assert!(audit(ring).is_clean());
}

#[test]
fn header_is_completed_by_the_writer() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(2));
    let mut record = support::record(1, 2);
    // What a caller left there, of another record perhaps, does not get out.
    record.header.columns = 77;
    record.header.seq = 55;
    record.header.set_epoch_and_flags(9, flags::MISSED);
    writer.publish(&mut record);
    assert_eq!((record.header.seq, record.header.columns, record.header.run_first), (1, 2, 1));
    assert_eq!(record.header.epoch(), 1);
    assert_eq!(record.header.flags(), flags::MISSED | flags::EPOCH_FIRST);
    writer.publish(&mut record);
    assert_eq!(record.header.flags(), flags::MISSED, "only the first has EPOCH_FIRST");
    assert_eq!(record.header.run_first, 2, "the same time again is a new run");
    record.header.realtime_ns += 1;
    writer.publish(&mut record);
    assert_eq!(record.header.run_first, 2);
    assert_eq!(copy(&writer.ring(), 3), Ok(record));
}

/// After every publish every sequence near the ring's is what it must be: gone, there, or to come.
#[test]
fn every_sequence_is_overrun_present_or_not_yet_after_every_publish() {
    for slots in [2, 4, 8] {
        let mut twin = Twin::of_slots(slots);
        for head in 0..=3 * slots + 1 {
            for seq in 0..=head + 2 * slots {
                let expected = match seq {
                    0 => Err(ReadError::Corrupt),
                    _ if seq > head => Err(ReadError::NotYet),
                    _ if seq + slots <= head => Err(ReadError::Overrun),
                    _ => Ok(word(seq, 1)),
                };
                let read = twin.ring.read(seq, |view| view.word(1));
                assert_eq!(read, expected, "{slots} slots, head {head}, sequence {seq}");
                assert_eq!(twin.ring.peek(seq).map(|view| view.word(1)), expected);
                assert_eq!(twin.ring.vouch(seq), expected.map(|_| ()));
            }
            let oldest = head.saturating_sub(slots - 1).max(1);
            assert_eq!(twin.ring.bounds(), (head > 0).then_some((oldest, head)));
            twin.publish(2);
        }
    }
}

/// The slot is put in the state of a publish of which only the first `k` stores were made.
#[test]
fn record_that_is_being_written_is_not_yet_and_the_one_below_it_is_overrun() {
    let mut twin = Twin::of_slots(4);
    for _ in 0..6 {
        twin.publish(2);
    }
    let (slot, words) = (twin.slot(7), twin.words());
    words.store(slot, 2 * 7 - 1);
    for index in 1..10 {
        assert_eq!(twin.ring.read(7, |_| ()), Err(ReadError::NotYet));
        assert_eq!(twin.ring.read(3, |_| ()), Err(ReadError::Overrun));
        assert_eq!(twin.ring.latest(|view| view.seq()), Some(6));
        assert!(audit(&twin.ring).is_clean());
        words.store(slot + index, index as u64);
    }
}

#[test]
fn window_is_refused_as_soon_as_its_oldest_record_goes() {
    let mut twin = Twin::of_slots(4);
    for _ in 0..4 {
        twin.publish(2);
    }
    assert!((1..=4).all(|seq| twin.ring.peek(seq).is_ok()));
    assert_eq!(twin.ring.vouch(1), Ok(()));
    twin.words().store(twin.slot(5), 2 * 5 - 1);
    assert_eq!(twin.ring.vouch(1), Err(ReadError::Overrun));
    assert_eq!(twin.ring.vouch(2), Ok(()));
}

#[test]
fn what_was_computed_from_a_record_that_went_meanwhile_is_dropped() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 2, &mut schema(1));
    let reader = Reader::open(&dir.ring()).expect("the ring opens");
    publish(&mut writer, 1);
    let read = reader.ring().read(1, |view| {
        let before = view.word(0);
        publish(&mut writer, 1);
        assert_eq!(before, view.word(0), "2 lies in the other slot");
        publish(&mut writer, 1);
        (before, view.word(0))
    });
    assert_eq!(read, Err(ReadError::Overrun));
    let mut runs = 0;
    let latest = reader.ring().latest(|view| {
        runs += 1;
        if runs < 3 {
            publish(&mut writer, 1);
            publish(&mut writer, 1);
        }
        view.seq()
    });
    assert_eq!((latest, runs), (Some(7), 3), "the newest is tried again");
    runs = 0;
    let never = reader.ring().latest(|_| {
        runs += 1;
        publish(&mut writer, 1);
        publish(&mut writer, 1);
    });
    assert_eq!(never, None, "a bounded number of times");
    assert!(runs < 20);
}

#[test]
fn record_is_as_wide_as_it_was_published() {
    let dir = ShmDir::new();
    let mut schema = schema(6);
    let (mut writer, _) = start(&dir, 4, &mut schema);
    let mut expected = Vec::new();
    // The narrow ones lie where wide ones were: what is beyond their width must not show.
    for columns in [6, 6, 6, 6, 1, 0, 3, 6] {
        expected.push(publish(&mut writer, columns));
        assert_history(&writer.ring(), &expected[expected.len().saturating_sub(4)..]);
    }
    let ring = writer.ring();
    assert_eq!(ring.read(5, |view| (view.columns(), view.word(0), view.word(1))), {
        Ok((1, word(5, 0), ABSENT))
    });
    assert_eq!(ring.read(6, |view| (view.columns(), view.word(0))), Ok((0, ABSENT)));
    let mut reused = support::record(0, 40);
    ring.read_into(7, &mut reused).expect("it is there");
    assert_eq!(reused, expected[6], "a buffer of another width becomes the record's");
}

/// A writer on a thread at full speed, readers of all kinds beside it.
#[test]
fn readers_never_see_a_tear_beside_a_writer_at_full_speed() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 4, &mut schema(9));
    publish(&mut writer, 9);
    let rings = [(); 2].map(|()| Reader::open(&dir.ring()).expect("the ring opens"));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            let mut record = Record::new(9);
            while !stop.load(Ordering::Relaxed) {
                support::fill(&mut record, writer.head() + 1);
                writer.publish(&mut record);
            }
        });
        let [copying, viewing] = &rings;
        let copier = scope.spawn(move || {
            let (ring, mut record, mut whole) = (copying.ring(), Record::default(), 0_u64);
            while whole < 3000 {
                if ring.read_into(ring.head(), &mut record).is_ok() {
                    assert!(support::is_whole(&record), "torn: {record:?}");
                    whole += 1;
                }
            }
        });
        let viewer = scope.spawn(move || {
            let (ring, mut whole) = (viewing.ring(), 0_u64);
            while whole < 3000 {
                let all = |seq| ring.latest(|view| (view.seq(), view.word(seq), view.word(8)));
                if let Some((seq, a, b)) = all(0) {
                    assert_eq!((a, b), (word(seq, 0), word(seq, 8)), "torn");
                    whole += 1;
                }
                // A window of two at the price of one check.
                let newest = ring.head();
                let pair = [newest - 1, newest].map(|seq| ring.peek(seq).map(|view| view.word(5)));
                if ring.vouch(newest - 1).is_ok() {
                    assert_eq!(pair, [Ok(word(newest - 1, 5)), Ok(word(newest, 5))], "torn");
                }
                let audit = audit(ring);
                assert!(audit.is_clean(), "{audit:?}");
            }
        });
        let ended = [copier.join(), viewer.join()];
        stop.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });
}

/// A reader that is slow, fast and slow again accounts for every sequence.
#[test]
fn gaps_are_counted_exactly() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(1));
    let (mut next, mut read, mut lost) = (1, 0, 0);
    for burst in [3, 8, 9, 30, 1, 0, 17] {
        for _ in 0..burst {
            publish(&mut writer, 1);
        }
        let ring = writer.ring();
        let Some((oldest, newest)) = ring.bounds() else { continue };
        lost += oldest.saturating_sub(next);
        for seq in next.max(oldest)..=newest {
            assert_eq!(ring.read(seq, |view| view.word(0)), Ok(word(seq, 0)));
            read += 1;
        }
        next = newest + 1;
        assert_eq!(read + lost, newest);
    }
    assert_eq!((read, lost), (3 + 8 + 8 + 8 + 1 + 8, 1 + 22 + 9));
}

// Series.

#[test]
fn column_handle_ends_with_its_series_and_is_not_taken_for_the_next_one() {
    let dir = ShmDir::new();
    let mut schema = schema(2);
    let (mut writer, _) = start(&dir, 8, &mut schema);
    let reader = Reader::open(&dir.ring()).expect("the ring opens");
    let ring = reader.ring();
    let value = |column, seq| ring.read(seq, |view| view.value(&column)).expect("it is there");
    let old = ring.find(&nic(0), "receive_bytes").expect("it lives");
    publish(&mut writer, 2);
    assert_eq!(value(old, 1), Some(Value::U64(word(1, 0))));
    schema.end(0);
    assert_eq!(schema.add("nic/new", "receive_bytes"), Ok(0), "the column is used again at once");
    writer.sync(&mut schema).expect("there is room");
    publish(&mut writer, 2);
    assert!(ring.find(&nic(0), "receive_bytes").is_none());
    let new = ring.find("nic/new", "receive_bytes").expect("it lives");
    assert_eq!((old.index(), new.index()), (0, 0));
    assert_eq!([value(old, 1), value(old, 2)], [Some(Value::U64(word(1, 0))), None]);
    assert_eq!([value(new, 1), value(new, 2)], [None, Some(Value::U64(word(2, 0)))]);
    let directory = ring.directory();
    let lifetimes: Vec<_> =
        directory.iter().map(|entry| (entry.column, entry.first, entry.last)).collect();
    assert_eq!(lifetimes, [(0, 1, 1), (1, 1, LIVES), (0, 2, LIVES)]);
    assert!(audit(ring).is_clean());
}

#[test]
fn column_handle_of_another_ring_has_no_value() {
    let dirs = [ShmDir::new(), ShmDir::new()];
    let rings = dirs.each_ref().map(|dir| {
        let (mut writer, _) = start(dir, 4, &mut schema(1));
        publish(&mut writer, 1);
        writer.ring()
    });
    let column = rings[0].find(&nic(0), "receive_bytes").expect("it lives");
    let value = |ring: &Ring<_>| ring.latest(|view| view.value(&column)).expect("a record");
    assert_eq!(value(&rings[0]), Some(Value::U64(word(1, 0))));
    assert_eq!(value(&rings[1]), None);
}

#[test]
fn value_is_an_integer_or_a_double_as_its_series_says_and_absent_otherwise() {
    let dir = ShmDir::new();
    let mut schema = Schema::new();
    let load = schema.add("host", "load1").expect("room");
    let bytes = schema.add("nic/eth0", "receive_bytes").expect("room");
    let (mut writer, _) = start(&dir, 4, &mut schema);
    let ring = writer.ring();
    let columns = [("host", "load1"), ("nic/eth0", "receive_bytes")];
    let columns = columns.map(|(object, metric)| ring.find(object, metric).expect("it lives"));
    let mut record = Record::new(2);
    record.words_mut()[load] = 0.25_f64.to_bits();
    record.words_mut()[bytes] = u64::MAX - 1;
    writer.publish(&mut record);
    let values = ring.latest(|view| columns.map(|column| view.value(&column)));
    assert_eq!(values, Some([Some(Value::F64(0.25)), Some(Value::U64(u64::MAX - 1))]));
    record.clear();
    writer.publish(&mut record);
    let values = ring.latest(|view| columns.map(|column| view.value(&column)));
    assert_eq!(values, Some([None, None]));
}

#[test]
fn series_that_ended_before_any_record_has_none() {
    let dir = ShmDir::new();
    let mut schema = schema(1);
    let (mut writer, _) = start(&dir, 4, &mut schema);
    schema.add("nic/brief", "receive_bytes").expect("room");
    writer.sync(&mut schema).expect("there is room");
    schema.end(1);
    schema.add("nic/next", "receive_bytes").expect("room");
    writer.sync(&mut schema).expect("there is room");
    publish(&mut writer, 2);
    let directory = writer.ring().directory();
    let brief = directory.iter().find(|entry| &*entry.series.object == "nic/brief");
    let brief = brief.expect("the directory remembers it");
    assert_eq!((brief.first, brief.last), (1, 0));
    assert!(!brief.covers(1) && !brief.covers_any_since(0));
    assert!(audit(&writer.ring()).is_clean());
}

#[test]
fn snapshot_of_the_directory_knows_when_it_is_old() {
    let dir = ShmDir::new();
    let mut schema = schema(1);
    let (mut writer, _) = start(&dir, 4, &mut schema);
    let ring = writer.ring();
    let snapshot = ring.directory();
    publish(&mut writer, 1);
    writer.sync(&mut schema).expect("nothing to do");
    assert_eq!(ring.directory_changes(), snapshot.changes);
    schema.end(0);
    writer.sync(&mut schema).expect("there is room");
    assert_ne!(ring.directory_changes(), snapshot.changes);
    assert_eq!(ring.directory().changes, ring.directory_changes());
}

// Roll-over.

fn fill_entries(schema: &mut Schema) {
    for index in 0..400 {
        let column = schema.add(&format!("nic/brief{index}"), "receive_bytes").expect("room");
        schema.end(column);
    }
}

fn fill_names(schema: &mut Schema) {
    for index in 0..20 {
        let name = format!("nic/{index}{}", "x".repeat(1000));
        schema.add(&name, "receive_bytes").expect("room");
    }
}

#[test]
fn roll_over_keeps_the_history_and_readers_follow() {
    for (what, fill) in [
        ("columns", fill_columns as fn(&mut Schema)),
        ("entries", fill_entries),
        ("names", fill_names),
    ] {
        let dir = ShmDir::new();
        let mut schema = schema(3);
        let (mut writer, _) = start(&dir, 8, &mut schema);
        let mut reader = Reader::open(&dir.ring()).expect("the ring opens");
        let column = reader.ring().find(&nic(1), "receive_bytes").expect("it lives");
        let records: Vec<_> = (0..11).map(|_| publish(&mut writer, 3)).collect();
        let old_id = reader.ring().header().ring_id;
        let sleeper = Reader::open(&dir.ring()).expect("the ring opens");
        let woken = thread::spawn(move || (sleeper.wait(11, LONG), sleeper.liveness()));
        thread::sleep(WHILE);
        // Several small steps, since what is added and ended in one leaves no entry.
        let mut steps = 0;
        while writer.rollovers() == 0 {
            steps += 1;
            assert!(steps < 1000, "{what} never ran out");
            if what == "entries" {
                schema.end(2);
                schema.add(&format!("nic/step{steps}"), "receive_bytes").expect("room");
            } else {
                fill(&mut schema);
            }
            writer.sync(&mut schema).expect("a larger ring can be made");
        }
        let ended = woken.join().expect("the reader does not panic");
        assert_eq!(ended, (Wait::Retired, Liveness::Retired), "{what}");
        assert_eq!(writer.rollovers(), 1, "{what}");
        assert_eq!(dir.files(), ["host.lock", "host.ring"], "{what}");
        // The old file is still what it was, and says that it is not the one any more.
        assert_history(reader.ring(), &records[3..]);
        assert_eq!(reader.wait(4, Duration::ZERO), Wait::Published(11));
        assert_eq!(reader.wait(11, LONG), Wait::Retired);
        assert_eq!(reader.reopened(), 0);
        assert!(reader.refresh().expect("the new ring opens"));
        assert!(!reader.refresh().expect("it is the newest"));
        assert_eq!(reader.reopened(), 1);
        let ring = reader.ring();
        assert_ne!(ring.header().ring_id, old_id, "{what}");
        assert_history(ring, &records[3..]);
        assert_eq!((ring.head(), ring.bounds()), (11, Some((4, 11))));
        assert_eq!(reader.liveness(), Liveness::Live, "{what}: no record is due yet");
        assert_eq!(ring.latest(|view| view.value(&column)), Some(None), "of the old ring");
        let found = ring.find(&nic(1), "receive_bytes").expect("it lives on");
        let value = ring.latest(|view| view.value(&found));
        assert_eq!(value, Some(Some(Value::U64(word(11, 1)))));
        assert_eq!(
            ring.directory().find(&nic(1), "receive_bytes").map(|entry| entry.first),
            Some(1)
        );
        let next = publish(&mut writer, schema.width());
        assert_eq!(next.header.seq, 12);
        assert_eq!((next.header.epoch(), next.header.flags()), (1, 0), "the same writer");
        assert_eq!(copy(ring, 12), Ok(next));
        assert!(audit(ring).is_clean(), "{what}: {:?}", audit(ring));
    }
}

/// A larger ring could not be made. A series had ended and another one taken its column; the file
/// knew of neither, so the next record's word of the new one was read as a value of the old one, and
/// a record wider than the ring stopped the recorder.
#[test]
fn roll_over_that_fails_leaves_a_ring_that_goes_on_and_does_not_lie() {
    let dir = ShmDir::new();
    let mut schema = schema(2);
    let (mut writer, _) = start(&dir, 8, &mut schema);
    publish(&mut writer, 2);
    let reader = Reader::open(&dir.ring()).expect("the ring opens");
    let old = reader.ring().find(&nic(0), "receive_bytes").expect("it lives");
    let obstacle = dir.path().join("host.ring.tmp");
    fs::create_dir(&obstacle).expect("created");
    schema.end(0);
    schema.add("nic/new", "receive_bytes").expect("room");
    fill_columns(&mut schema);
    for _ in 0..3 {
        let error = writer.sync(&mut schema).expect_err("a directory is in the way");
        assert!(error.to_string().contains("host.ring.tmp"), "{error}");
    }
    assert_eq!((writer.rollovers(), reader.liveness()), (0, Liveness::Live));
    let wide = publish(&mut writer, schema.width());
    let capacity = reader.ring().geometry().column_capacity;
    assert!(wide.words().len() > capacity, "the case that is meant");
    let found = copy(reader.ring(), 2).expect("published");
    assert_eq!(found.words(), &wide.words()[..capacity]);
    assert_eq!(reader.ring().latest(|view| view.value(&old)), Some(None), "it has ended");
    assert_eq!(reader.wait(2, Duration::ZERO), Wait::TimedOut, "not retired");
    fs::remove_dir(&obstacle).expect("removed");
    writer.sync(&mut schema).expect("nothing is in the way");
    let last = publish(&mut writer, schema.width());
    let reader = Reader::open(&dir.ring()).expect("the ring opens");
    let ring = reader.ring();
    assert_eq!(copy(ring, 3), Ok(last));
    // What was published meanwhile is the new series', as far as the old ring was wide enough.
    let new = ring.find("nic/new", "receive_bytes").expect("it lives");
    let values = [1, 2, 3].map(|seq| ring.read(seq, |view| view.value(&new)).expect("there"));
    assert_eq!(values, [None, Some(Value::U64(word(2, 0))), Some(Value::U64(word(3, 0)))]);
    let entries = ring.directory();
    let named = entries.iter().filter(|entry| &*entry.series.object == "nic/new");
    assert_eq!(named.count(), 1, "three failures did not begin it three times");
    assert!(audit(ring).is_clean());
}

/// The new file was complete but could not be given the ring's name. The writer went on in it, where
/// no reader could find it, and the file stayed behind.
#[test]
fn roll_over_whose_rename_fails_leaves_the_old_ring_in_use_and_nothing_behind() {
    let dir = ShmDir::new();
    let mut schema = schema(2);
    let (mut writer, _) = start(&dir, 8, &mut schema);
    publish(&mut writer, 2);
    let reader = Reader::open(&dir.ring()).expect("the ring opens");
    // A directory that is not empty cannot be renamed over.
    let aside = dir.path().join("aside");
    fs::rename(dir.ring(), &aside).expect("renamed");
    fs::create_dir(dir.ring()).expect("created");
    fill_columns(&mut schema);
    let error = writer.sync(&mut schema).expect_err("a directory is in the way");
    assert!(error.to_string().contains("put in place"), "{error}");
    assert_eq!(dir.files(), ["aside", "host.lock", "host.ring"]);
    publish(&mut writer, 2);
    assert_eq!(copy(reader.ring(), 2).map(|record| record.words()[1]), Ok(word(2, 1)));
    assert_eq!(reader.liveness(), Liveness::Live);
    fs::remove_dir(dir.ring()).expect("removed");
    writer.sync(&mut schema).expect("nothing is in the way");
    assert_eq!(reader.liveness(), Liveness::Retired);
    assert_eq!(writer.rollovers(), 1);
}

/// A retired ring whose name was gone as well said so at every wait, and a reader that waits and
/// refreshes in a loop, as all do, ran that loop as fast as it could.
#[test]
fn reader_of_a_retired_ring_without_a_successor_sleeps() {
    let dir = ShmDir::new();
    let mut schema = schema(2);
    let (mut writer, _) = start(&dir, 8, &mut schema);
    publish(&mut writer, 2);
    let mut reader = Reader::open(&dir.ring()).expect("the ring opens");
    fill_columns(&mut schema);
    writer.sync(&mut schema).expect("a larger ring can be made");
    let away = dir.path().join("away");
    fs::rename(dir.ring(), &away).expect("renamed");
    assert_eq!(reader.wait(1, Duration::from_secs(60)), Wait::Retired);
    assert!(!reader.refresh().expect("nothing there is no error"));
    let short = Duration::from_millis(30);
    let begun = std::time::Instant::now();
    assert_eq!(reader.wait(1, short), Wait::TimedOut);
    assert!(begun.elapsed() >= short, "it has slept");
    fs::rename(&away, dir.ring()).expect("renamed back");
    assert!(reader.refresh().expect("the successor opens"));
    assert_eq!(reader.reopened(), 1);
}

/// Series that came and went while no larger ring could be had were kept for the next try, without
/// bound; and one of them would have spoken for words of the next in its column.
#[test]
fn series_that_come_and_go_while_the_ring_is_full_are_forgotten() {
    let dir = ShmDir::new();
    let mut schema = schema(2);
    let (mut writer, _) = start(&dir, 8, &mut schema);
    fs::remove_file(dir.ring()).expect("removed");
    fs::create_dir(dir.ring()).expect("created");
    fill_columns(&mut schema);
    writer.sync(&mut schema).expect_err("a directory is in the way");
    let known = writer.ring().directory().entries.len();
    for turn in 0..2000 {
        let column = schema.add(&format!("nic/passing{turn}"), "receive_bytes").expect("room");
        writer.sync(&mut schema).expect_err("a directory is in the way");
        publish(&mut writer, 2);
        schema.end(column);
    }
    assert!(writer.is_behind() && schema.changes().len() == 1);
    fs::remove_dir(dir.ring()).expect("removed");
    writer.sync(&mut schema).expect("nothing is in the way");
    assert!(!writer.is_behind());
    let directory = writer.ring().directory();
    assert!(directory.iter().all(|entry| entry.lives()), "{directory:?}");
    assert_eq!(directory.entries.len(), schema.len());
    assert!(known < directory.entries.len(), "{known} were known before");
}

#[test]
fn ended_series_stay_in_the_new_ring_as_long_as_a_record_has_them() {
    let dir = ShmDir::new();
    let mut schema = schema(3);
    let (mut writer, _) = start(&dir, 8, &mut schema);
    publish(&mut writer, 3);
    schema.end(0);
    writer.sync(&mut schema).expect("there is room");
    for _ in 0..7 {
        publish(&mut writer, 3);
    }
    schema.end(1);
    writer.sync(&mut schema).expect("there is room");
    publish(&mut writer, 3);
    fill_columns(&mut schema);
    writer.sync(&mut schema).expect("a larger ring can be made");
    let directory = writer.ring().directory();
    let ended = |index: usize| {
        directory.iter().find(|entry| *entry.series.object == *nic(index)).map(|entry| entry.last)
    };
    assert_eq!([ended(0), ended(1), ended(2)], [None, Some(8), Some(LIVES)], "1 is overwritten");
}

// Going on.

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
        assert!(
            matches!(before, Before::History { records: 8, discarded: 0, in_place: false }),
            "{before:?}"
        );
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

// A writer that was killed.

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

// Damage.

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
            assert_eq!((found.found_head, found.is_clean()), (12, slot.is_none()), "{found:?}");
            let (mut writer, before) = start(&dir, 8, &mut Schema::new());
            let Before::History { records: kept, discarded, in_place: true } = before else {
                panic!("{before:?}");
            };
            let damaged = u64::from(slot.is_some());
            assert_eq!((kept, discarded), (8 - damaged, damaged), "head {head:?} slot {slot:?}");
            assert_history(attached.ring(), &records[4 + damaged as usize..]);
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

// Waiting.

#[test]
fn waiting_reader_is_woken_by_the_next_record() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(1));
    let reader = Reader::open(&dir.ring()).expect("the ring opens");
    let (said, heard) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            for seq in 0..5 {
                said.send(reader.wait(seq, LONG)).expect("the test listens");
            }
        });
        for seq in 1..=5 {
            thread::sleep(WHILE / 3);
            assert!(heard.try_recv().is_err(), "nothing has been published");
            publish(&mut writer, 1);
            writer.wake();
            assert_eq!(heard.recv_timeout(LONG / 2), Ok(Wait::Published(seq)));
        }
    });
}

#[test]
fn wait_ends_at_once_when_there_is_a_record_and_in_time_when_there_is_none() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(1));
    let reader = Reader::open(&dir.ring()).expect("the ring opens");
    assert_eq!(reader.wait(0, Duration::ZERO), Wait::TimedOut);
    let begin = Instant::now();
    assert_eq!(reader.wait(0, WHILE), Wait::TimedOut);
    assert!(begin.elapsed() >= WHILE);
    publish(&mut writer, 1);
    assert_eq!(reader.wait(0, LONG), Wait::Published(1));
    assert_eq!(reader.wait(0, Duration::MAX), Wait::Published(1));
    assert_eq!(reader.wait(1, WHILE), Wait::TimedOut);
    writer.close();
    assert_eq!(reader.wait(1, WHILE), Wait::TimedOut, "a closed ring may be opened again");
}

// Who is there.

#[test]
fn liveness_follows_the_writer() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(1));
    let reader = Reader::open(&dir.ring()).expect("the ring opens");
    let (untrusted, file) = open_untrusted(&dir.ring()).expect("the ring opens");
    let both = |expected| {
        assert_eq!(reader.liveness(), expected);
        assert_eq!(liveness(&untrusted, &file), expected);
    };
    both(Liveness::Live);
    assert_eq!(writer.reader().expect("a reader beside").liveness(), Liveness::Live);
    // The record's boot time is the heartbeat: one of a moment after boot is old.
    let mut record = support::record(1, 1);
    record.header.boottime_ns = 1;
    writer.publish(&mut record);
    both(Liveness::Hung);
    record.header.boottime_ns = boottime_ns();
    writer.publish(&mut record);
    both(Liveness::Live);
    drop(writer);
    both(Liveness::Dead);
    let (mut writer, _) = start(&dir, 8, &mut Schema::new());
    both(Liveness::Live);
    writer.publish(&mut record);
    writer.close();
    both(Liveness::Closed);
    let (_writer, _) = start(&dir, 16, &mut Schema::new());
    both(Liveness::Retired);
}

/// A reader that keeps a lock on the ring's inode does not keep a writer from starting.
#[test]
fn writer_starts_beside_a_reader_that_holds_the_inode() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(1));
    let records = [publish(&mut writer, 1)];
    drop(writer);
    let hostile = fs::File::open(dir.ring()).expect("opened");
    hostile.lock_shared().expect("locked");
    let (writer, before) = start(&dir, 8, &mut Schema::new());
    assert!(matches!(before, Before::History { in_place: false, .. }), "{before:?}");
    assert_history(&writer.ring(), &records);
}

// The directory and the file.

fn unusable(path: &Path) -> &'static str {
    match RunDir::for_writing(Some(path)) {
        Err(PlaceError::Unusable { path: found, reason }) => {
            assert_eq!(found, path);
            reason
        }
        other => panic!("{other:?}"),
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode can be set");
}

/// Gives `path` to another user; only root can. Says so when the test cannot be made.
fn give_away(path: &Path) -> bool {
    let given = std::os::unix::fs::chown(path, Some(12345), None).is_ok();
    if !given {
        eprintln!("skipped: giving a file to another user takes root");
    }
    given
}

#[test]
fn run_directory_that_others_could_change_is_refused() {
    let dir = ShmDir::new();
    let link = dir.path().join("link");
    let real = dir.path().join("real");
    fs::create_dir(&real).expect("created");
    symlink(&real, &link).expect("linked");
    assert!(unusable(&link).contains("symbolic link"));
    for mode in [0o775, 0o757, 0o777, 0o720] {
        set_mode(&real, mode);
        assert!(unusable(&real).contains("others"), "{mode:o}");
    }
    set_mode(&real, 0o700);
    let place = RunDir::for_writing(Some(&real)).expect("it is ours alone");
    assert!(place.is_in_memory());
    let file = dir.path().join("file");
    fs::write(&file, "").expect("written");
    assert!(unusable(&file).contains("not a directory"));
    if give_away(&real) {
        assert!(unusable(&real).contains("another user"));
    }
}

#[test]
fn run_directory_that_cannot_be_made_is_named() {
    let dir = ShmDir::new();
    let file = dir.path().join("file");
    fs::write(&file, "").expect("written");
    let orphan = dir.path().join("no/such/place");
    for path in [orphan, file.join("below"), "/proc/tachograph".into(), "/sys/tachograph".into()] {
        let error = RunDir::for_writing(Some(&path)).expect_err("it cannot be made");
        let text = error.to_string();
        assert!(text.contains(&*path.to_string_lossy()), "{text}");
    }
    let fresh = dir.path().join("fresh");
    RunDir::for_writing(Some(&fresh)).expect("made");
    assert_eq!(fs::metadata(&fresh).expect("made").permissions().mode() & 0o022, 0);
}

/// Somebody asked for twenty hours at a millisecond and was told that `slot_count cannot be
/// 134217728`: neither what it would have taken, nor what there is, nor which flag says so.
#[test]
fn more_records_than_any_ring_has_are_a_lack_of_room() {
    let dir = ShmDir::new();
    for depth in [72_000_000, u64::MAX] {
        let opening = Opening::of(&dir.run_dir(), "host").expect("the lane is free");
        let error =
            opening.start(&support::options(depth), &mut support::schema(1)).expect_err("too many");
        let text = error.to_string();
        let WriteError::NoRoom { needed_bytes, free_bytes, .. } = error else { panic!("{text}") };
        assert!(needed_bytes > 72_000_000 * 8 && needed_bytes > free_bytes && free_bytes > 0);
        assert!(text.contains("--depth") && text.contains("--interval"), "{text}");
        assert_eq!(dir.files(), ["host.lock"]);
    }
}

/// A link was refused, but the same link written with a slash behind it was followed.
#[test]
fn slash_behind_a_link_does_not_hide_that_it_is_one() {
    let dir = ShmDir::new();
    let (link, real) = (dir.path().join("link"), dir.path().join("real"));
    fs::create_dir(&real).expect("created");
    symlink(&real, &link).expect("linked");
    for behind in ["/", "//", "/.", "/./"] {
        let path = PathBuf::from(format!("{}{behind}", link.display()));
        assert!(unusable(&path).contains("symbolic link"), "{behind}");
        let plain = PathBuf::from(format!("{}{behind}", real.display()));
        let place = RunDir::for_writing(Some(&plain)).expect("it is ours alone");
        assert_eq!(place.path().as_os_str(), real.as_os_str());
    }
}

#[test]
fn reader_finds_the_directory_that_has_the_ring() {
    let dir = ShmDir::new();
    let place = RunDir::holding("host", Some(dir.path())).expect("the one that was named");
    assert_eq!(place.ring("host"), dir.ring());
    match Reader::open(&place.ring("host")) {
        Err(OpenError::Missing(path)) => assert_eq!(path, dir.ring()),
        other => panic!("{other:?}"),
    }
}

fn untrusted(path: &Path) -> &'static str {
    match Reader::open(path) {
        Err(OpenError::Untrusted { path: found, reason }) => {
            assert_eq!(found, path);
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn file_that_others_could_change_is_not_mapped_but_can_be_read() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(1));
    let records = [publish(&mut writer, 1)];
    let ring = dir.ring();
    for mode in [0o664, 0o646, 0o666] {
        set_mode(&ring, mode);
        assert!(untrusted(&ring).contains("write"), "{mode:o}");
    }
    assert_history(&open_untrusted(&ring).expect("read, not mapped").0, &records);
    set_mode(&ring, 0o644);
    let other = dir.path().join("other.ring");
    fs::hard_link(&ring, &other).expect("linked");
    assert!(untrusted(&ring).contains("another name"));
    fs::remove_file(&other).expect("removed");
    Reader::open(&ring).expect("it is sound again");
    symlink(&ring, &other).expect("linked");
    assert!(matches!(Reader::open(&other), Err(OpenError::Io { .. })), "a symbolic link");
    assert!(open_untrusted(&other).is_err());
    if give_away(&ring) {
        // Its directory is root's, which does not speak for another user's file.
        assert!(untrusted(&ring).contains("another user"));
        assert_history(&open_untrusted(&ring).expect("read, not mapped").0, &records);
        drop(writer);
        let error = try_start(&dir, 8, &mut Schema::new()).expect_err("not ours to write to");
        assert!(error.to_string().contains("of this user"), "{error}");
    }
}

/// A home looks like a service's directory: its owner's, in one that only root can write to. Root, who
/// opened a ring there, mapped a file that a person could cut short under it.
#[test]
fn ring_of_a_service_in_its_own_directory_is_mapped_and_that_of_a_person_is_not() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(1));
    publish(&mut writer, 1);
    // Only root can make this, and only root can write to /run.
    let home = PathBuf::from(format!("/run/tachograph-test-{}", std::process::id()));
    if fs::create_dir(&home).is_err() {
        eprintln!("skipped: making a directory in /run takes root");
        return;
    }
    let ring = home.join("host.ring");
    fs::copy(dir.ring(), &ring).expect("copied");
    let opened = [998, 62_000, 1000, 12_345].map(|uid| {
        for path in [&home, &ring] {
            std::os::unix::fs::chown(path, Some(uid), None).expect("root can give files away");
        }
        Reader::open(&ring).map(|reader| reader.ring().head()).map_err(|error| error.to_string())
    });
    fs::remove_dir_all(&home).expect("removed");
    assert_eq!((&opened[0], &opened[1]), (&Ok(1), &Ok(1)), "services");
    for refused in &opened[2..] {
        assert!(refused.as_ref().is_err_and(|error| error.contains("another user")), "{refused:?}");
    }
}

#[test]
fn what_is_no_regular_file_is_no_ring() {
    let dir = ShmDir::new();
    fs::create_dir(dir.ring()).expect("created");
    assert!(matches!(Reader::open(&dir.ring()), Err(OpenError::Io { .. })));
    assert!(try_start(&dir, 8, &mut schema(1)).is_err());
    assert!(Reader::open(Path::new("/dev/null")).is_err());
    for (content, len) in [("", 0), ("no ring", 7), (&*"x".repeat(10_000), 10_000)] {
        let path = dir.path().join(format!("file{len}"));
        fs::write(&path, content).expect("written");
        assert!(matches!(Reader::open(&path), Err(OpenError::Format { .. })), "{len} bytes");
        assert!(matches!(open_untrusted(&path), Err(OpenError::Format { .. })), "{len} bytes");
    }
}

#[test]
fn sizes_that_make_no_ring_are_refused_and_leave_nothing_behind() {
    let dir = ShmDir::new();
    let with = |interval, depth_records| {
        let opening = Opening::of(&dir.run_dir(), "host").expect("the lane is free");
        let options =
            tachograph::ring::WriterOptions { interval, ..support::options(depth_records) };
        let error = opening.start(&options, &mut schema(1)).expect_err("no ring");
        assert_eq!(dir.files(), ["host.lock"]);
        error.to_string()
    };
    assert!(with(Duration::ZERO, 8).contains("interval_ns"));
    assert!(with(Duration::from_secs(1), u64::MAX).contains("no room"));
    assert!(with(Duration::from_secs(1), (1 << 24) + 1).contains("no room"));
}

#[test]
fn states_are_stored_where_the_page_says() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(1));
    publish(&mut writer, 1);
    let words = support::file_words(&dir.ring());
    assert_eq!(words.load(at::STATE), state::RUNNING);
    assert_eq!(words.load(at::PID), u64::from(std::process::id()));
    assert_eq!((words.load(at::EPOCH), words.load(at::HEAD)), (1, 1));
    assert_eq!(words.load(at::NOTIFY), 1);
    let slot = writer.ring().geometry().slot_word(1);
    assert_eq!(words.load(slot + record_at::SEQ), 2);
    assert_eq!(words.load(slot + record_at::COLUMNS), 1);
    assert_eq!(words.load(slot + 8), word(1, 0));
    let ring = writer.ring();
    writer.close();
    assert_eq!(ring.state(), state::CLOSED);
}
