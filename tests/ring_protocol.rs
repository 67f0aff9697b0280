//! What readers and the writer of one ring promise one another while it lasts: reading, waiting,
//! knowing who is there.
//!
//! The rings lie in fresh directories in memory, or on the heap where no file matters.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use support::{ShmDir, Twin, assert_history, copy, publish, schema, start, word};
use tachograph::record::{ABSENT, Record, Schema, flags};
use tachograph::ring::{
    Before, Liveness, ReadError, Reader, Wait, WordsMut, audit, boottime_ns, liveness,
    open_untrusted,
};

const LONG: Duration = Duration::from_secs(60);

/// Longer than any thread of a busy machine takes to fall asleep, and not needed for correctness.
const WHILE: Duration = Duration::from_millis(30);

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
