//! After the first tick nothing on sample, publish, read, window and encode allocates.
//!
//! The allocator counts per thread, so that the test harness's own threads do not show.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use tachograph::record::{Kind, Record, Schema, Unit};
use tachograph::ring::{Opening, Producer, Ring, RunDir, Words, Writer, WriterOptions};
use tachograph::sample::{Datastore, Roots, Sampler, Sampling, Selection};
use tachograph::window::{Event, Grid, Steps, Track, Window};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's obligations are passed on unchanged.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are passed on unchanged.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's obligations are passed on unchanged.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations `f` makes on this thread.
fn allocations(f: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    f();
    ALLOCATIONS.with(Cell::get) - before
}

#[path = "support/cgroup_tree.rs"]
mod cgroup_tree;
use cgroup_tree::Scratch;

/// A recorder of this host, as the program puts it together.
struct Host {
    _scratch: Scratch,
    schema: Schema,
    sampler: Sampler,
    record: Record,
    writer: Writer,
    ticks: u64,
}

/// A store that is watched beside the file systems.
const STORE: &str = "here";

/// 2026-11-22, and a record each second from there on.
const START_NS: u64 = 1_795_000_000_000_000_000;
const S: u64 = 1_000_000_000;
/// How far back an application's ring reaches.
const DEPTH: Duration = Duration::from_secs(60);

impl Host {
    fn new() -> Self {
        let scratch = Scratch::new();
        let dir = RunDir::for_writing(Some(scratch.path())).expect("a run directory");
        let opening = Opening::of(&dir, "host").expect("the lane is free");
        let mut schema = Schema::new();
        let path = scratch.path().into();
        let store = Datastore { name: STORE.into(), path, removable: false };
        let sampling = Sampling { datastores: vec![store], ..Sampling::default() };
        let mut sampler = Sampler::open(&sampling, &mut schema);
        // What is read in the background has series once it was read.
        let mut record = Record::default();
        let waits = |schema: &Schema| {
            let watched = schema.iter().filter(|(_, series)| &*series.metric == "stuck");
            let mut objects = watched.map(|(_, series)| &*series.object);
            objects.any(|object| schema.column(object, "age_ms").is_none())
        };
        while waits(&schema) {
            sampler.tick(0, true, &mut schema, &mut record);
        }
        let options =
            WriterOptions { interval: Duration::from_secs(1), depth_records: 4096, mode: 0o644 };
        let (writer, _) = opening.start(&options, &mut schema).expect("a ring");
        let record = Record::new(schema.width());
        Self { _scratch: scratch, schema, sampler, record, writer, ticks: 0 }
    }

    fn sample(&mut self) {
        self.sampler.tick(self.ticks, self.ticks == 0, &mut self.schema, &mut self.record);
        assert_eq!(self.sampler.drain_events().count(), 0);
        assert!(self.schema.changes().is_empty(), "a steady machine");
    }

    fn publish(&mut self) {
        self.record.header.realtime_ns = START_NS + self.ticks * S;
        self.record.header.boottime_ns = self.ticks * S;
        self.ticks += 1;
        self.writer.publish(&mut self.record);
        self.writer.wake();
    }
}

#[test]
fn steady_tick_and_publish_allocate_nothing() {
    let mut host = Host::new();
    host.sample();
    host.publish();
    let store = format!("datastore/{STORE}");
    let ages = ["filesystem/", &store].map(|object| host.schema.column(object, "age_ms"));
    let ages = ages.map(|column| column.expect("read in the background"));
    let made = allocations(|| {
        // Until what is read in the background has been taken over once more, too.
        let (mut ticks, mut renewed, mut before) = (0, [false; 2], [u64::MAX; 2]);
        while ticks < 500 || renewed != [true; 2] {
            host.sample();
            for (index, column) in ages.into_iter().enumerate() {
                let age_ms = host.record.u64(column).expect("it goes on");
                renewed[index] |=
                    age_ms < std::mem::replace(&mut before[index], age_ms) && ticks > 0;
            }
            host.publish();
            ticks += 1;
        }
    });
    assert_eq!(made, 0, "in a second of ticks");
    assert!(host.writer.ring().latest(|view| view.columns()).expect("a record") > 100);
}

#[test]
fn steady_producer_allocates_nothing() {
    let scratch = Scratch::new();
    let dir = RunDir::for_writing(Some(scratch.path())).expect("a run directory");
    let mut shop = Producer::declare(&dir, "shop").expect("nobody has it");
    let length = shop.add::<u64>("queue", "length", Kind::Gauge, Unit::Count).expect("room");
    let share = shop.add::<f64>("queue", "share", Kind::Gauge, Unit::Ratio).expect("room");
    let options = WriterOptions::every(Duration::from_secs(1)).reaching_back(DEPTH);
    let mut shop = shop.start(&options).expect("a ring");
    shop.publish();
    let made = allocations(|| {
        for value in 0..1000 {
            shop.set(&length, value);
            shop.set(&share, value as f64 / 1000.0);
            shop.publish();
        }
    });
    assert_eq!((made, shop.writer().head()), (0, 1001));
}

#[test]
fn steady_tick_of_what_blocks_allocates_nothing() {
    let scratch = Scratch::new();
    let write = |path: &str, text: &str| {
        let path = scratch.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    };
    write("sys/class/hwmon/hwmon0/name", "chip\n");
    write("sys/class/hwmon/hwmon0/temp1_input", "45000\n");
    write("sys/block/sda/size", "1000\n");
    write("sys/block/sda/device/state", "running\n");
    write("text/a.prom", "# TYPE a counter\na{x=\"1\"} 1\nb NaN\n");
    let mut sampling = Sampling::default();
    sampling.roots.sysfs = scratch.path().join("sys");
    sampling.textfiles = Some(scratch.path().join("text"));
    let mut sources = Selection::none();
    for source in ["hwmon", "block_health", "textfile"] {
        sources.set(source, 1).expect("a source");
    }
    sampling.sources = sources;
    let mut schema = Schema::new();
    let mut sampler = Sampler::open(&sampling, &mut schema);
    let mut record = Record::default();
    let metrics = [
        ("sensor/chip/temp1", "temp_millicelsius"),
        ("disk/sda", "state=running"),
        ("textfile/a", "a{x=\"1\"}"),
    ];
    // Until every thread has had its say.
    let is_there = |schema: &Schema, record: &Record| {
        let column = |(object, metric)| record.u64(schema.column(object, metric)?);
        metrics.into_iter().all(|metric| column(metric).is_some())
    };
    while !is_there(&schema, &record) {
        sampler.tick(1, true, &mut schema, &mut record);
        std::thread::sleep(Duration::from_millis(1));
    }
    schema.clear_changes();
    let end = std::time::Instant::now() + Duration::from_millis(2500);
    let mut ticks = 0;
    let made = allocations(|| {
        // The threads read again meanwhile, and hand over what they find.
        while std::time::Instant::now() < end {
            sampler.tick(1, true, &mut schema, &mut record);
            ticks += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    assert_eq!(made, 0, "in {ticks} ticks");
    assert!(schema.changes().is_empty() && is_there(&schema, &record));
    assert_eq!(sampler.errors(), 0);
}

#[test]
fn steady_tick_of_many_cpus_allocates_nothing() {
    // On a real machine an interrupt may come to a CPU for the first time, and begin a series.
    for name in ["vm-2cpu-6.18", "arm-64cpu-6.6"] {
        let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hosts").join(name);
        let roots = Roots { procfs: host.join("proc"), sysfs: host.join("sys"), rootfs: host };
        let mut sources = Selection::none();
        for source in ["stat", "cputime", "sockstat", "netstat", "softirqs", "interrupts", "numa"] {
            sources.set(source, 1).expect("a source");
        }
        let (mut schema, mut record) = (Schema::new(), Record::default());
        let sampling = Sampling { roots, sources, ..Sampling::default() };
        let mut sampler = Sampler::open(&sampling, &mut schema);
        let mut tick = |number| {
            schema.clear_changes();
            sampler.tick(number, false, &mut schema, &mut record);
            assert!(schema.changes().is_empty());
            sampler.drain_events().for_each(drop);
        };
        (0..200).for_each(&mut tick);
        assert_eq!(allocations(|| (200..700).for_each(&mut tick)), 0, "{name}");
        assert!(schema.len() > 150, "{name}: {}", schema.len());
    }
}

#[test]
fn steady_control_groups_allocate_nothing() {
    for layout in [cgroup_tree::Layout::Unified, cgroup_tree::Layout::Hybrid] {
        let tree = cgroup_tree::Tree::new(layout);
        tree.make("slice", 1);
        (2..20).for_each(|id| tree.make(&format!("slice/{}{id}", "n".repeat(200)), id));
        let mut sources = Selection::none();
        sources.set("cgroup", 1).expect("a known source");
        let mut sampling = Sampling { sources, ..Sampling::default() };
        sampling.roots.sysfs = tree.sysfs();
        let mut schema = Schema::new();
        let mut sampler = Sampler::open(&sampling, &mut schema);
        let mut record = Record::new(schema.width());
        let made = allocations(|| {
            for tick in 0..200 {
                sampler.tick(tick, false, &mut schema, &mut record);
            }
        });
        assert_eq!((made, sampler.errors()), (0, 0), "{layout:?}");
    }
}

#[test]
fn reads_and_windows_allocate_nothing() {
    let mut host = Host::new();
    host.sample();
    (0..2000).for_each(|_| host.publish());
    let ring = host.writer.ring();
    let reader = host.writer.reader().expect("a reader");
    let mut record = Record::new(host.schema.width());
    let load = ring.find("host", "load1").expect("a series");
    let seen = |ring: &Ring<tachograph::ring::ReadMap>, window: Window<'_, _>| {
        let count = |event: Event<'_, _>| u64::from(matches!(event, Event::Record(_)));
        assert!(ring.words().len() > 0);
        window.read(|events| events.map(count).sum::<u64>()).expect("nobody writes")
    };
    let mut steps = Steps::new(Track::all(&ring.directory(), |_| true), 10 * S);
    let table: [(&str, &mut dyn FnMut()); 8] = [
        ("latest", &mut || {
            assert!(ring.latest(|view| view.value(&load)).expect("a record").is_some())
        }),
        ("read", &mut || assert_eq!(ring.read(7, |view| view.seq()), Ok(7))),
        ("read_into", &mut || assert_eq!(ring.read_into(9, &mut record), Ok(()))),
        ("wait", &mut || {
            let wait = reader.wait(5, Duration::ZERO);
            assert_eq!(wait, tachograph::ring::Wait::Published(2000));
        }),
        ("window by time", &mut || {
            let window = Window::between(&ring, START_NS + 99 * S, START_NS + 199 * S);
            assert_eq!(seen(&ring, window), 100);
        }),
        ("window by sequence", &mut || assert_eq!(seen(&ring, Window::newest(&ring, 50)), 50)),
        ("steps", &mut || {
            steps.begin(&Window::newest(&ring, 100));
            let mut records = 0;
            while let Some(step) = steps.next(&ring) {
                records += step.records;
            }
            assert_eq!(records, 100);
        }),
        ("grid", &mut || assert_eq!(Grid::new(&ring, 10 * S).iter().count(), 200)),
    ];
    for (what, act) in table {
        assert_eq!(allocations(act), 0, "{what}");
    }
}

#[cfg(feature = "encode")]
#[test]
fn encoding_into_a_grown_buffer_allocates_nothing() {
    use tachograph::encode::{PbsAnswer, PbsPlan, PbsQuery};
    let mut host = Host::new();
    host.sample();
    (0..2000).for_each(|_| host.publish());
    let ring = host.writer.ring();
    let mut plan = PbsPlan::of(&ring);
    let mut answer = PbsAnswer::default();
    let mut text = Vec::new();
    let mut encode = |history| {
        text.clear();
        answer.begin(&ring, PbsQuery { history, start_s: 0 }, (START_NS / S) as i64 + 2000);
        while answer.part(&ring, &mut plan, &mut text) {}
        text.len()
    };
    let grown = encode(true);
    assert!(grown > 200_000, "{grown} bytes");
    assert_eq!(allocations(|| assert_eq!(encode(true), grown)), 0, "history");
    assert_eq!(allocations(|| assert!(encode(false) > 1000)), 0, "newest");

    use tachograph::encode::{ColumnsQuery, RowFormat, RowsQuery, WindowColumns, WindowRows};
    use tachograph::window::{Bounds, Extract, KnownDirectory, NamedRing, Objects};
    let extracts = || {
        let bounds = Bounds { from_ns: 0, to_ns: u64::MAX, since_seq: None };
        let named = NamedRing {
            name: "host".to_owned(),
            ring: ring.clone(),
            directory: KnownDirectory::default(),
            objects: Objects::all(),
        };
        Extract::all([named], bounds, |_| true)
    };
    let (step_ns, cells, limit, resume) = (None, Vec::new(), None, None);
    let query = ColumnsQuery { step_ns, cells: Vec::new(), limit, resume };
    let mut columns = WindowColumns::new(extracts(), query);
    let mut rows = [RowFormat::Csv, RowFormat::Ndjson, RowFormat::Json].map(|format| {
        let query = RowsQuery { format, step_ns, cells: cells.clone(), limit, resume };
        WindowRows::new(extracts(), query)
    });
    let mut part = |what: &str, write: &mut dyn FnMut(&mut Vec<u8>) -> bool| {
        // The first part of the ring's turn lays out what is constant; of columns, the times.
        let set_up = if what == "columns" { 5 } else { 1 };
        for _ in 0..set_up {
            text.clear();
            assert!(!write(&mut text), "{what}: it ends too soon");
        }
        let steady = allocations(|| {
            for _ in 0..10 {
                text.clear();
                assert!(!write(&mut text), "{what}: it ends too soon");
            }
        });
        assert_eq!(steady, 0, "{what}");
    };
    part("columns", &mut |out| columns.part(out));
    for rows in &mut rows {
        part("rows", &mut |out| rows.part(out));
    }

    use tachograph::encode::{Latest, LatestPlan, SERIES_PER_PIECE};
    let mut plan = LatestPlan::default();
    let mut encode = || {
        text.clear();
        let (mut latest, named) = (Latest::default(), ("host", &ring));
        let wanted = |object: &str, _: &str| object == "host";
        while !latest.piece(named, &mut plan, wanted, &mut { SERIES_PER_PIECE }, &mut text) {}
        text.len()
    };
    let grown = encode();
    assert!(grown > 5000, "{grown} bytes");
    assert_eq!(allocations(|| assert_eq!(encode(), grown)), 0, "every value of the newest record");

    use tachograph::encode::{EventId, Frames, Start};
    let mut frame = |from: u64| {
        let from = Start::After(EventId { seq: from, realtime_ns: None });
        let mut frames = Frames::new("host", from);
        text.clear();
        assert!(frames.frame(&ring, |_, _| true, &mut text), "the columns");
        text.clear();
        let made = allocations(|| assert!(frames.frame(&ring, |_, _| true, &mut text)));
        assert!(text.starts_with(b"event: records"), "{} bytes", text.len());
        made
    };
    frame(1990);
    assert_eq!(frame(1990), 0, "a frame of a stream");

    use tachograph::encode::prometheus::{
        Collectors, Exposition, HISTORY_RECORDS_MAX, History, HistoryFrom, Scrape, Sheets,
    };
    let (mut sheets, mut history) = (Sheets::of("host"), History::default());
    for exposition in [Exposition::Text, Exposition::OpenMetrics] {
        let wanted = (exposition, Collectors::ALL);
        let mut scrape = || {
            text.clear();
            let mut scrape = Scrape::begin(&ring, &mut sheets, wanted).expect("nobody writes");
            while scrape.part(&ring, &mut text).expect("nobody writes") {}
            text.len()
        };
        let grown = scrape();
        assert!(grown > 10_000, "{grown} bytes");
        assert_eq!(allocations(|| assert_eq!(scrape(), grown)), 0, "a scrape, {exposition:?}");
        let mut tell = || {
            let from = HistoryFrom::After(START_NS + 500 * S);
            history
                .begin(&ring, &mut sheets, from, wanted, HISTORY_RECORDS_MAX)
                .expect("nobody writes");
            let mut bytes = 0;
            let mut is_more = true;
            while is_more {
                text.clear();
                is_more = history.part(&ring, &mut text).expect("nobody writes");
                bytes += text.len();
            }
            bytes
        };
        let grown = tell();
        assert!(grown > 10_000_000, "{grown} bytes");
        assert_eq!(allocations(|| assert_eq!(tell(), grown)), 0, "a history, {exposition:?}");
    }
}
