//! What the directory says of columns stays true: through reuse, and when the ring becomes too small.

mod support;

use std::cell::Cell;
use std::time::Duration;
use std::{fs, thread};

use support::{ShmDir, assert_history, copy, fill_columns, nic, publish, schema, start, word};
use tachograph::record::{Record, Schema};
use tachograph::ring::layout::LIVES;
use tachograph::ring::{Directory, Indexed, Liveness, Reader, Ring, Value, Wait, Words, audit};

const LONG: Duration = Duration::from_secs(60);

/// Longer than any thread of a busy machine takes to fall asleep, and not needed for correctness.
const WHILE: Duration = Duration::from_millis(30);

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

/// Whatever a writer does, a snapshot that is brought up to date is one that is taken anew.
#[test]
fn snapshot_that_is_brought_up_to_date_is_the_one_that_is_taken_anew() {
    let dir = ShmDir::new();
    let mut schema = schema(3);
    let (mut writer, _) = start(&dir, 8, &mut schema);
    let mut reader = Reader::open(&dir.ring()).expect("the ring opens");
    let mut followed = Directory::default();
    let mut rings = 0;
    for turn in 0..600_u32 {
        // Series that live for some turns, one that is of no record, and whole restarts.
        let name = |turn: u32| format!("nic/passing{turn}");
        schema.add(&name(turn), "receive_bytes").expect("room");
        if let Some(column) = schema.column(&name(turn.saturating_sub(turn % 11)), "receive_bytes")
        {
            schema.end(column);
        }
        if turn % 50 == 49 {
            drop(writer);
            (writer, _) = start(&dir, 8, &mut schema);
        }
        writer.sync(&mut schema).expect("there is room");
        if turn % 3 > 0 {
            publish(&mut writer, schema.width());
        }
        if turn % 4 > 0 {
            rings += u64::from(reader.refresh().expect("the ring opens"));
            followed.update(reader.ring());
            assert!(followed.is_current(reader.ring()));
            assert_eq!(followed, reader.ring().directory(), "turn {turn}");
            assert_eq!(followed.changes, reader.ring().directory_changes());
        }
    }
    assert!(rings > 0, "a larger ring was needed");
    assert!(followed.entries.len() > 50, "{} entries", followed.entries.len());
}

#[test]
fn update_looks_only_at_what_is_new_and_at_what_lived() {
    let dir = ShmDir::new();
    let mut schema = schema(20);
    let (mut writer, _) = start(&dir, 4096, &mut schema);
    for turn in 0..3000 {
        schema.add(&format!("nic/passing{turn}"), "receive_bytes").expect("room");
        writer.sync(&mut schema).expect("there is room");
        publish(&mut writer, schema.width());
        schema.end(20);
    }
    writer.sync(&mut schema).expect("there is room");
    let words = Counted { ring: writer.ring(), loads: Cell::new(0) };
    let ring = Ring::decode(&words).expect("a ring");
    let mut directory = ring.directory();
    assert_eq!((directory.entries.len(), directory.damaged()), (3020, 0));
    assert!(words.loads.replace(0) > 3000 * 10);
    directory.update(&ring);
    assert!(words.loads.replace(0) < 10, "nothing has changed");
    schema.add("nic/one-more", "receive_bytes").expect("room");
    schema.end(3);
    writer.sync(&mut schema).expect("there is room");
    assert!(!directory.is_current(&ring));
    words.loads.set(0);
    directory.update(&ring);
    // 20 ends, one entry with its names, and the counts.
    assert!(words.loads.get() < 20 + 20 + 10, "{} loads", words.loads.get());
    assert_eq!(directory, ring.directory());
}

/// The words of a ring, and how often one was loaded.
struct Counted<W> {
    ring: Ring<W>,
    loads: Cell<u64>,
}

impl<W: Words> Words for Counted<W> {
    type Span<'a>
        = Indexed<'a, Self>
    where
        Self: 'a;

    fn span(&self, start: usize, len: usize) -> Indexed<'_, Self> {
        Indexed::new(self, start, len)
    }

    fn len(&self) -> usize {
        self.ring.words().len()
    }

    fn load(&self, index: usize) -> u64 {
        self.loads.set(self.loads.get() + 1);
        self.ring.words().load(index)
    }
}

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

/// And so did one whose successor could not be opened: the wait said that the ring is retired, the
/// refresh that the new one is damaged, and again, as fast as a loop can go.
#[test]
fn reader_of_a_retired_ring_whose_successor_does_not_open_sleeps() {
    let dir = ShmDir::new();
    let mut schema = schema(2);
    let (mut writer, _) = start(&dir, 8, &mut schema);
    publish(&mut writer, 2);
    let mut reader = Reader::open(&dir.ring()).expect("the ring opens");
    fill_columns(&mut schema);
    writer.sync(&mut schema).expect("a larger ring can be made");
    let away = dir.path().join("away");
    fs::rename(dir.ring(), &away).expect("renamed");
    fs::write(dir.ring(), "no ring").expect("written");
    assert_eq!(reader.wait(1, Duration::from_secs(60)), Wait::Retired);
    let short = Duration::from_millis(30);
    for _ in 0..3 {
        reader.refresh().expect_err("what has the name is no ring");
        let begun = std::time::Instant::now();
        assert_eq!(reader.wait(1, short), Wait::TimedOut);
        assert!(begun.elapsed() >= short, "it has slept");
    }
    fs::rename(&away, dir.ring()).expect("renamed back");
    assert!(reader.refresh().expect("the successor opens"));
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
