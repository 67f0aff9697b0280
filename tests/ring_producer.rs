//! An application publishes series of its own in a ring of its own, and cannot do it wrongly.

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use std::{fs, thread};

use support::{ShmDir, options};
use tachograph::record::{Kind, Repr, Schema, SchemaError, Unit, flags};
use tachograph::ring::{
    Before, Declaration, Liveness, Opening, Producer, Reader, RingKind, SeriesOf, Wait, WriteError,
    WriterOptions, audit, save,
};
use tachograph::window::{Aggregate, Steps, Track, Window};

const EVERY: Duration = Duration::from_secs(1);
const S: u64 = 1_000_000_000;

/// A queue's length and how many orders it has taken.
struct Shop {
    producer: Producer,
    waiting: SeriesOf<f64>,
    taken: SeriesOf<u64>,
}

fn declare(dir: &ShmDir) -> Declaration {
    Producer::declare(&dir.run_dir(), "shop").expect("nobody has it")
}

impl Shop {
    fn open(dir: &ShmDir) -> Self {
        let mut shop = declare(dir);
        let waiting = shop.add("queue/orders", "waiting", Kind::Gauge, Unit::Count);
        let taken = shop.add("queue/orders", "taken", Kind::Counter, Unit::Count);
        let (waiting, taken) = (waiting.expect("room"), taken.expect("room"));
        let producer = shop.start(&WriterOptions::every(EVERY)).expect("room");
        Self { producer, waiting, taken }
    }

    /// Publishes the record of so many seconds.
    fn publish(&mut self, at_s: u64, waiting: f64, taken: u64) -> u64 {
        self.producer.set(&self.waiting, waiting);
        self.producer.set(&self.taken, taken);
        self.producer.publish_at(at_s * S, at_s * S)
    }
}

fn reader(dir: &ShmDir) -> Reader {
    Reader::open(&dir.run_dir().ring("shop")).expect("it is there")
}

#[test]
fn what_an_application_publishes_is_read_like_any_ring() {
    let dir = ShmDir::new();
    let mut shop = Shop::open(&dir);
    shop.producer.set(&shop.waiting, 2.5);
    shop.producer.set(&shop.taken, 17);
    assert_eq!(shop.producer.publish(), 1);
    assert!(matches!(shop.producer.before(), Before::Nothing));

    let reader = reader(&dir);
    let ring = reader.ring();
    assert_eq!((ring.header().kind(), reader.liveness()), (RingKind::Application, Liveness::Live));
    assert_eq!(ring.header().interval_ns, S);
    assert_eq!(ring.geometry().slot_count, 4096, "an hour of seconds");
    let mode = fs::metadata(reader.path()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    let column = |metric| ring.find("queue/orders", metric).expect("declared");
    let (waiting, taken) = (column("waiting"), column("taken"));
    let read = ring.latest(|view| (view.f64(&waiting), view.u64(&taken), view.header()));
    let (waiting, taken, header) = read.expect("a record");
    assert_eq!((waiting, taken, header.seq), (Some(2.5), Some(17), 1));
    assert_eq!(header.flags(), flags::EPOCH_FIRST);
    let now_ns = tachograph::ring::realtime_ns();
    assert!((now_ns - 60 * S..=now_ns).contains(&header.realtime_ns), "{header:?}");
    assert!(header.boottime_ns.abs_diff(tachograph::ring::boottime_ns()) < 60 * S, "{header:?}");
    let meanings: Vec<_> = ring.directory().iter().map(|entry| entry.series.clone()).collect();
    assert_eq!((meanings[0].kind, meanings[0].repr), (Kind::Gauge, Repr::F64));
    assert_eq!((meanings[1].kind, meanings[1].repr), (Kind::Counter, Repr::U64));

    shop.producer.close();
    assert_eq!(reader.liveness(), Liveness::Closed);
    assert!(audit(ring).is_clean());
}

#[test]
fn what_is_not_set_is_absent_in_that_record() {
    let dir = ShmDir::new();
    let mut shop = Shop::open(&dir);
    shop.publish(1, 1.0, 1);
    shop.producer.set(&shop.taken, 2);
    shop.producer.set(&shop.waiting, f64::NAN);
    shop.producer.publish_at(2 * S, 2 * S);
    shop.producer.publish_at(3 * S, 3 * S);
    let words = |seq| shop.producer.writer().ring().read(seq, |view| view.words().collect());
    let words: [Vec<_>; 3] = [1, 2, 3].map(|seq| words(seq).expect("it is there"));
    assert_eq!(words[0], [1.0_f64.to_bits(), 1]);
    assert_eq!(words[1], [u64::MAX, 2]);
    assert_eq!(words[2], [u64::MAX, u64::MAX]);
}

#[test]
fn readers_that_wait_are_woken_by_each_record() {
    let dir = ShmDir::new();
    let mut shop = Shop::open(&dir);
    let reader = reader(&dir);
    let waiting = thread::spawn(move || reader.wait(0, Duration::from_secs(60)));
    shop.publish(1, 1.0, 1);
    assert_eq!(waiting.join().expect("it does not panic"), Wait::Published(1));
}

#[test]
fn restarted_application_goes_on_in_its_own_history() {
    let dir = ShmDir::new();
    let mut shop = Shop::open(&dir);
    shop.publish(1, 1.0, 10);
    shop.publish(2, 2.0, 20);
    let reader = reader(&dir);
    drop(shop);
    assert_eq!(reader.liveness(), Liveness::Dead);

    // The second release declares them in another order, and one of them not at all.
    let mut shop = declare(&dir);
    let late = shop.add::<u64>("queue/orders", "late", Kind::Gauge, Unit::Count).expect("room");
    let taken = shop.add::<u64>("queue/orders", "taken", Kind::Counter, Unit::Count).expect("room");
    let mut producer = shop.start(&WriterOptions::every(EVERY)).expect("room");
    let Before::History { records: 2, discarded: 0, in_place: true } = *producer.before() else {
        panic!("{:?}", producer.before());
    };
    producer.set(&late, 4);
    producer.set(&taken, 30);
    assert_eq!(producer.publish_at(3 * S, 3 * S), 3);

    // The reader that was there before goes on in the same file.
    let ring = reader.ring();
    let directory = ring.directory();
    let track = |metric| Track::of(&directory, "queue/orders", metric).expect("it was recorded");
    let values = |metric| {
        let track = track(metric);
        [1, 2, 3].map(|seq| ring.read(seq, |view| track.f64(&view)).expect("it is there"))
    };
    assert_eq!(values("taken"), [Some(10.0), Some(20.0), Some(30.0)]);
    assert_eq!(track("taken").stretches.len(), 1, "one lifetime");
    assert_eq!(values("waiting"), [Some(1.0), Some(2.0), None]);
    assert_eq!(values("late"), [None, None, Some(4.0)]);
    assert_eq!(ring.read(3, |view| view.header().epoch()), Ok(2));
    assert!(audit(ring).is_clean());
}

/// A shop that had taken 20 orders was restarted and took 25 before its next record: that are not 5.
#[test]
fn increase_over_a_restart_of_the_application_is_unknown() {
    let dir = ShmDir::new();
    let mut shop = Shop::open(&dir);
    shop.publish(1, 0.0, 10);
    shop.publish(2, 0.0, 20);
    drop(shop);
    let mut shop = Shop::open(&dir);
    shop.publish(3, 0.0, 25);
    shop.publish(4, 0.0, 32);
    let ring = shop.producer.writer().ring();
    let track = Track::of(&ring.directory(), "queue/orders", "taken").expect("it is recorded");
    let mut steps = Steps::new(vec![track], 10 * S);
    steps.begin(&Window::between(&ring, 0, u64::MAX));
    let step = steps.next(&ring).expect("four records");
    let Aggregate::Counter(advance) = steps.aggregates()[0] else { panic!("a counter") };
    assert_eq!((step.records, step.gaps.epochs), (4, 2));
    assert_eq!((advance.pairs, advance.unknown, advance.resets), (2, 1, 0));
    assert_eq!(advance.increase().and_then(|sum| sum.as_f64()), Some(17.0));
    assert_eq!(advance.rate(), Some(8.5));
}

#[test]
fn series_come_and_go_while_it_runs_and_a_full_ring_is_replaced() {
    let dir = ShmDir::new();
    let mut shop = Shop::open(&dir);
    shop.publish(1, 1.0, 1);
    let width = shop.producer.writer().ring().geometry().column_capacity;
    let mut workers = Vec::new();
    for index in 0..width + 100 {
        let object = format!("worker/{index}");
        let busy = shop.producer.add::<u64>(&object, "busy", Kind::Gauge, Unit::Flag);
        workers.push(busy.expect("room"));
        let last = workers.last().expect("just added");
        shop.producer.set(last, 1);
        shop.publish(2 + index as u64, 2.0, 2);
    }
    assert!(shop.producer.unrecorded().is_none());
    assert!(shop.producer.writer().rollovers() > 0, "there was no room in the first ring");
    let head = shop.producer.writer().head();
    for worker in workers {
        shop.producer.end(worker);
    }
    shop.publish(head + 1, 3.0, 3);
    // Its names are free for another lifetime.
    shop.producer.add::<u64>("worker/0", "busy", Kind::Gauge, Unit::Flag).expect("room");

    let ring = shop.producer.writer().ring();
    assert_eq!(ring.header().kind(), RingKind::Application, "the larger one is one as well");
    let directory = ring.directory();
    assert_eq!(directory.iter().filter(|entry| entry.lives()).count(), 2);
    for index in [0, 50, width + 99] {
        let track = Track::of(&directory, &format!("worker/{index}"), "busy").expect("recorded");
        let seq = 2 + index as u64;
        let values = [seq - 1, seq, seq + 1].map(|seq| ring.read(seq, |view| track.u64(&view)));
        assert_eq!(values, [Ok(None), Ok(Some(1)), Ok(None)], "worker {index}");
    }
    assert!(audit(&ring).is_clean());
}

#[test]
fn clock_that_was_set_is_told_and_one_that_is_adjusted_is_not() {
    let dir = ShmDir::new();
    let mut shop = Shop::open(&dir);
    let mut publish = |realtime_ns, boottime_ns| {
        let seq = shop.producer.publish_at(realtime_ns, boottime_ns);
        let ring = shop.producer.writer().ring();
        ring.read(seq, |view| view.header().flags()).expect("just published")
    };
    assert_eq!(publish(100 * S, S), flags::EPOCH_FIRST);
    assert_eq!(publish(101 * S + 9_000_000, 2 * S), 0);
    assert_eq!(publish(90 * S, 3 * S), flags::CLOCK_STEP);
    assert_eq!(publish(91 * S, 4 * S), 0);
}

#[test]
fn names_that_are_not_to_be_had_are_refused() {
    let dir = ShmDir::new();
    for name in ["", "host", "fast", "../shop", "shop.ring", "a b"] {
        let refused = Producer::declare(&dir.run_dir(), name);
        assert!(matches!(refused, Err(WriteError::Name { .. })), "{name:?}: {refused:?}");
    }
    assert!(dir.files().is_empty(), "{:?}", dir.files());

    let shop = Shop::open(&dir);
    let second = Producer::declare(&dir.run_dir(), "shop");
    assert!(matches!(second, Err(WriteError::Locked { .. })), "{second:?}");
    drop(shop);

    // A lane that somebody has named like it would take the application's history for its own.
    let lane = Opening::of(&dir.run_dir(), "shop").expect_err("it is an application's");
    assert!(matches!(lane, WriteError::OtherKind { found: RingKind::Application, .. }), "{lane}");
    let told = lane.to_string();
    assert!(told.contains("shop.ring is an application's ring"), "{told}");
    let (writer, _) = Opening::of(&dir.run_dir(), "slow")
        .and_then(|opening| opening.start(&options(8), &mut Schema::new()))
        .expect("a lane");
    writer.close();
    let refused = Producer::declare(&dir.run_dir(), "slow").expect_err("it is a lane");
    assert!(refused.to_string().contains("slow.ring is a recorder's lane"), "{refused}");
    assert!(dir.run_dir().ring("slow").exists() && dir.run_dir().ring("shop").exists());
}

/// No application can have been there, so what lies in the place of the host's ring is damage: it is
/// kept aside, and the recorder is not kept from recording.
#[test]
fn lane_of_the_host_is_not_lost_to_a_ring_that_says_it_is_an_applications() {
    let dir = ShmDir::new();
    drop(Shop::open(&dir));
    fs::rename(dir.run_dir().ring("shop"), dir.ring()).expect("ours");
    let (writer, before) = support::start(&dir, 8, &mut support::schema(1));
    let Before::SetAside { path, error } = before else { panic!("{before:?}") };
    assert!(path.exists() && error.to_string().contains("compatible_flags"), "{error}");
    assert_eq!(writer.ring().header().kind(), RingKind::Lane);
}

#[test]
fn series_is_had_once_and_has_a_name() {
    let dir = ShmDir::new();
    let mut shop = declare(&dir);
    let mut add = |object: &str, metric: &str| {
        shop.add::<u64>(object, metric, Kind::Gauge, Unit::Count).map(|_| ())
    };
    assert_eq!(add("queue", "length"), Ok(()));
    assert_eq!(add("queue", "length"), Err(SchemaError::Taken));
    assert_eq!(add("", "length"), Err(SchemaError::Empty));
    assert_eq!(add("queue", ""), Err(SchemaError::Empty));
    assert_eq!(add("queue", &"m".repeat(256)), Err(SchemaError::MetricTooLong));
}

#[test]
#[should_panic(expected = "another producer's")]
fn series_of_another_producer_is_a_mistake() {
    let (one, other) = (ShmDir::new(), ShmDir::new());
    let (mut one, other) = (Shop::open(&one), Shop::open(&other));
    one.producer.set(&other.taken, 1);
}

#[test]
fn saved_part_of_an_applications_ring_is_an_applications() {
    let dir = ShmDir::new();
    let mut shop = Shop::open(&dir);
    for second in 1..=5 {
        shop.publish(second, 1.0, second);
    }
    let file = dir.path().join("part");
    save(&shop.producer.writer().ring(), (2, 4), &file, false).expect("room");
    let (saved, _) = tachograph::ring::open_untrusted(&file).expect("a ring");
    assert_eq!(saved.header().kind(), RingKind::Application);
    assert_eq!(saved.bounds(), Some((2, 4)));
}

#[test]
fn producer_and_its_series_may_go_to_another_thread() {
    let dir = ShmDir::new();
    let mut shop = Shop::open(&dir);
    let head = thread::spawn(move || shop.publish(1, 1.0, 1)).join().expect("it does not panic");
    assert_eq!(head, 1);
}

#[test]
fn depth_is_said_in_records_or_in_time() {
    let every = WriterOptions::every(Duration::from_millis(10));
    assert_eq!((every.depth_records, every.mode), (3600, 0o644));
    assert_eq!(every.reaching_back(Duration::from_secs(60)).depth_records, 6001);
    assert_eq!(every.reaching_back(Duration::from_millis(15)).depth_records, 3);
    let none = WriterOptions::every(Duration::ZERO);
    assert!(none.reaching_back(Duration::MAX).depth_records > 1 << 62);
    let dir = ShmDir::new();
    let refused = declare(&dir).start(&none).expect_err("no interval");
    assert!(matches!(refused, WriteError::Format(_)), "{refused}");
    assert_eq!(dir.files(), ["shop.lock"]);
}
