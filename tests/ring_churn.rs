//! Series that come and go without end: nothing is relabelled, nothing is lost, memory stays flat.
//!
//! What is recorded of a series is a function of its names and of the record's sequence, so that a
//! word under a wrong label shows itself. One second of the host that is meant is one tick here, and
//! a tick is over as soon as it is published: in well under a millisecond. A larger ring is therefore
//! waited for here, which a second would have been time enough for; how long is told and not judged.
#![allow(clippy::print_stdout, reason = "the table is what one runs it for")]

mod support;

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use support::{ShmDir, start};
use tachograph::record::{ABSENT, Record, Schema, Series};
use tachograph::ring::{Opening, Reader, Ring, Words, Writer, audit, boottime_ns};

/// What every object has.
const METRICS: [&str; 2] = ["receive_bytes", "transmit_bytes"];
/// Objects that live at a time.
const OBJECTS: usize = 150;
/// Objects that are replaced in each tick.
const REPLACED: usize = 25;
/// Slots: an hour is 28 turns.
const SLOTS: u64 = 128;
/// An hour of ticks.
const TICKS: u64 = 3600;
/// How far the memory of the process may grow once it has seen a tenth of the hour. All series that
/// come in that time, kept by name, would be some 25 MiB.
const GROWTH_MAX_BYTES: u64 = 8 << 20;

/// Memory is the whole process's, so only one of the tests runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What a record holds of a series, from which `of_series` was made.
fn value(of_series: u64, seq: u64) -> u64 {
    (of_series ^ seq.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 1
}

fn of_series(object: &str, metric: &str) -> u64 {
    let bytes = object.bytes().chain([0]).chain(metric.bytes());
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    })
}

/// A host whose objects come and go.
struct Host {
    schema: Schema,
    record: Record,
    /// The names of what lives, the oldest first.
    objects: VecDeque<String>,
    created: u64,
    ended: u64,
    /// Of all calls of `sync`, by the clock and by the time that this thread had a CPU.
    longest_sync: Duration,
    longest_sync_cpu: Duration,
}

impl Host {
    fn new() -> Self {
        let mut this = Self {
            schema: Schema::new(),
            record: Record::default(),
            objects: VecDeque::new(),
            created: 0,
            ended: 0,
            longest_sync: Duration::ZERO,
            longest_sync_cpu: Duration::ZERO,
        };
        (0..OBJECTS).for_each(|_| this.begin());
        this
    }

    fn begin(&mut self) {
        let name = format!("nic/veth-of-a-container-{:08}", self.created / METRICS.len() as u64);
        for metric in METRICS {
            self.schema.add(&name, metric).expect("a column is free");
        }
        self.created += METRICS.len() as u64;
        self.objects.push_back(name);
    }

    fn end(&mut self) {
        let Some(name) = self.objects.pop_front() else { return };
        for metric in METRICS {
            self.schema.end(self.schema.column(&name, metric).expect("it lives"));
        }
        self.ended += METRICS.len() as u64;
    }

    fn replace(&mut self, count: usize) {
        for _ in 0..count {
            self.end();
            self.begin();
        }
    }

    /// Tells the directory what has changed.
    fn sync(&mut self, writer: &mut Writer) {
        let (begun, cpu_begun) = (Instant::now(), cpu());
        writer.sync(&mut self.schema).expect("there is room");
        self.longest_sync = self.longest_sync.max(begun.elapsed());
        self.longest_sync_cpu = self.longest_sync_cpu.max(cpu() - cpu_begun);
    }

    /// Publishes a record of all that lives.
    fn publish(&mut self, writer: &mut Writer) {
        let seq = writer.head() + 1;
        self.record.set_columns(self.schema.width());
        self.record.clear();
        for (column, series) in self.schema.iter() {
            self.record.words_mut()[column] = value(of_series(&series.object, &series.metric), seq);
        }
        self.record.header.realtime_ns = seq * 1_000_000_000;
        self.record.header.boottime_ns = boottime_ns();
        writer.publish(&mut self.record);
        assert_eq!(self.record.header.seq, seq);
    }

    /// What lives, by column.
    fn labels(&self) -> Labels {
        self.schema.iter().map(|(column, series)| label(column, series)).collect()
    }
}

/// Columns and the series that live in them.
type Labels = BTreeSet<(usize, String)>;

fn label(column: usize, series: &Series) -> (usize, String) {
    (column, format!("{} {}", series.object, series.metric))
}

/// What a look at all that a ring holds found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Values whose label was looked at.
    values: u64,
    /// Values under a label that is not theirs.
    relabelled: u64,
    /// Records that are not there although the ring reaches back so far.
    lost: u64,
    /// Words with a value and without a label.
    nameless: u64,
}

fn look<W: Words>(ring: &Ring<W>) -> Seen {
    let directory = ring.directory();
    assert_eq!(directory.damaged(), 0);
    let (oldest, head) = ring.bounds().expect("there are records");
    let mut seen = Seen::default();
    let mut records = Vec::new();
    for seq in oldest..=head {
        let mut record = Record::default();
        seen.lost += u64::from(ring.read_into(seq, &mut record).is_err());
        records.push(record);
    }
    for entry in directory.iter() {
        let of_series = of_series(&entry.series.object, &entry.series.metric);
        for seq in entry.first.max(oldest)..=entry.last.min(head) {
            let words = records[(seq - oldest) as usize].words();
            let Some(word) = words.get(entry.column) else { continue };
            seen.values += 1;
            seen.relabelled += u64::from(*word != value(of_series, seq));
        }
    }
    let words = records.iter().flat_map(|record| record.words());
    let recorded = words.filter(|word| **word != ABSENT).count() as u64;
    seen.nameless = recorded.saturating_sub(seen.values);
    seen
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// Memory of this process in bytes: its own, and what it has touched of rings.
fn memory() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        let kib = line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
        kib.expect("a number") << 10
    };
    (field("RssAnon:"), field("RssShmem:"))
}

#[test]
fn hour_of_churn_relabels_nothing_loses_nothing_and_keeps_memory_flat() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = ShmDir::new();
    let mut host = Host::new();
    let (mut writer, _) = start(&dir, SLOTS, &mut host.schema);
    let mut reader = Reader::open(&dir.ring()).expect("the ring opens");
    let mut total = Seen::default();
    let mut memory_at = Vec::new();
    let mut rollovers_warm = 0;
    for tick in 1..=TICKS {
        host.replace(REPLACED);
        host.sync(&mut writer);
        host.publish(&mut writer);
        if tick % 150 == 0 || tick == 1 {
            reader.refresh().expect("the ring opens");
            assert_eq!(reader.ring().head(), tick);
            let seen = look(reader.ring());
            // Whatever was forgotten of the directory would leave words without a label.
            let width = (METRICS.len() * OBJECTS) as u64;
            assert_eq!(seen.values, width * tick.min(SLOTS), "tick {tick}");
            total.values += seen.values;
            total.relabelled += seen.relabelled;
            total.lost += seen.lost;
            total.nameless += seen.nameless;
        }
        if tick == TICKS / 10 {
            rollovers_warm = writer.rollovers();
        }
        if [TICKS / 10, TICKS / 2, TICKS].contains(&tick) {
            memory_at.push((tick, memory(), reader.ring().geometry().file_bytes));
        }
    }
    let turns = (TICKS - TICKS / 10) / SLOTS;
    let rollovers = writer.rollovers() - rollovers_warm;
    println!("series created            {:>12}", host.created);
    println!("series ended              {:>12}", host.ended);
    println!("values looked at          {:>12}", total.values);
    println!("values relabelled         {:>12}", total.relabelled);
    println!("values without a label    {:>12}", total.nameless);
    println!("records lost              {:>12}", total.lost);
    println!("roll-overs, first tenth   {rollovers_warm:>12}");
    println!("roll-overs since          {rollovers:>12}  in {turns} turns of the ring");
    println!("longest sync              {:>12.3?}", host.longest_sync);
    println!("longest sync, CPU         {:>12.3?}", host.longest_sync_cpu);
    for (tick, (own, shared), file_bytes) in &memory_at {
        let kib = [own, shared, file_bytes].map(|bytes| bytes >> 10);
        let [own, shared, file] = kib;
        println!(
            "memory at tick {tick:<10} {own:>12} KiB, and {shared} KiB of a ring of {file} KiB"
        );
    }
    assert_eq!((total.relabelled, total.nameless, total.lost), (0, 0, 0));
    assert_eq!(host.created - host.ended, (METRICS.len() * OBJECTS) as u64);
    assert!(host.ended >= TICKS * (METRICS.len() * REPLACED) as u64);
    assert!(rollovers <= turns + 2, "{rollovers} roll-overs in {turns} turns");
    assert!(audit(reader.ring()).is_clean());
    let [(_, warm, warm_file), _, (_, last, last_file)] = memory_at[..] else { unreachable!() };
    assert!(last.0 < warm.0 + GROWTH_MAX_BYTES, "{warm:?} became {last:?}");
    assert!(last_file < 2 * warm_file, "the file grew from {warm_file} to {last_file}");
}

/// A small generator of numbers, so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// The labels of each record that a ring can hold: too plain to be wrong.
#[derive(Default)]
struct Model {
    head: u64,
    records: VecDeque<(u64, Labels)>,
}

impl Model {
    fn publish(&mut self, labels: &Labels) {
        self.head += 1;
        self.records.push_back((self.head, labels.clone()));
        if self.records.len() as u64 > SLOTS {
            self.records.pop_front();
        }
    }

    fn check<W: Words>(&self, ring: &Ring<W>) {
        assert_eq!(ring.head(), self.head);
        let Some((newest, _)) = self.records.back() else { return };
        let seen = look(ring);
        assert_eq!((seen.relabelled, seen.lost, seen.nameless), (0, 0, 0), "head {newest}");
        let values: usize = self.records.iter().map(|(_, labels)| labels.len()).sum();
        assert_eq!(seen.values, values as u64, "head {newest}");
        let directory = ring.directory();
        for (seq, labels) in self.records.iter().rev().step_by(41) {
            let covering = directory.iter().filter(|entry| entry.covers(*seq));
            let found: Labels = covering.map(|entry| label(entry.column, &entry.series)).collect();
            assert_eq!(&found, labels, "record {seq}");
        }
        assert!(audit(ring).is_clean());
    }
}

/// The writer dies at any point, and another one goes on with the series that it finds. What the
/// ring then holds is what was recorded: the same series in the same records, and all of them.
#[test]
fn writers_that_die_amid_churn_leave_a_ring_that_says_what_was_recorded() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = ShmDir::new();
    let mut numbers = Numbers(0x5EED);
    let mut host = Host::new();
    let mut model = Model::default();
    let (mut died_replacing, mut left_behind, mut rollovers) = (0, 0, 0);
    for round in 0..50 {
        let opening = Opening::of(&dir.run_dir(), "host").expect("a free lane");
        if round > 0 {
            let found: BTreeSet<String> =
                opening.live_series().map(|(_, series)| series.object.into()).collect();
            assert_eq!(found, host.objects.iter().cloned().collect(), "round {round}");
            host.schema = Schema::resume(opening.live_series());
            for name in &host.objects {
                for metric in METRICS {
                    host.schema.add(name, metric).expect("it has a column");
                }
            }
        }
        let (mut writer, _) =
            opening.start(&support::options(SLOTS), &mut host.schema).expect("the writer starts");
        assert_eq!(writer.head(), model.head, "round {round}");
        // Every other one dies while the next ring is being made, or waits to be put in place.
        let dies_replacing = round % 2 == 1;
        for tick in 0..numbers.below(120) {
            host.replace(numbers.below(60) as usize);
            host.sync(&mut writer);
            let mut records = 1;
            if writer.is_replacing() && numbers.below(4) == 0 {
                // Nobody asks for the next ring until the history that it began with has been
                // overwritten, in part or altogether.
                left_behind += 1;
                records += numbers.below(2 * SLOTS);
            }
            let labels = host.labels();
            for _ in 0..records {
                host.publish(&mut writer);
                model.publish(&labels);
            }
            if dies_replacing && writer.is_replacing() && tick > 10 {
                died_replacing += 1;
                break;
            }
        }
        rollovers += writer.rollovers();
        drop(writer);
        assert_eq!(dir.files(), ["host.lock", "host.ring"], "round {round}");
        model.check(&Ring::decode(support::file_words(&dir.ring())).expect("a ring"));
    }
    println!("records                   {:>12}", model.head);
    println!("roll-overs                {rollovers:>12}");
    println!("writers died replacing    {died_replacing:>12}");
    println!("next rings left behind    {left_behind:>12}");
    assert!(model.head > 2000 && died_replacing > 3 && left_behind > 3 && rollovers > 10);
}

/// The next ring is wanted early, and cannot be made while something is in its way. That is nobody's
/// failure until the room has run out; then the writer is behind, and makes up for it. What ends
/// meanwhile has ended.
#[test]
fn next_ring_that_cannot_be_made_is_no_failure_until_it_is_needed() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = ShmDir::new();
    let mut host = Host::new();
    let mut model = Model::default();
    let (mut writer, _) = start(&dir, SLOTS, &mut host.schema);
    let obstacle = dir.path().join("host.ring.tmp");
    fs::create_dir(&obstacle).expect("created");
    let (mut tries, mut was_replacing) = (0, false);
    for _ in 0..TICKS {
        host.replace(1);
        if writer.sync(&mut host.schema).is_err() {
            break;
        }
        tries += u32::from(writer.is_replacing() && !was_replacing);
        was_replacing = writer.is_replacing();
        host.publish(&mut writer);
        model.publish(&host.labels());
    }
    assert!(writer.is_behind() && writer.rollovers() == 0);
    assert!((1..20).contains(&tries), "{tries} tries ahead of need");
    model.check(&writer.ring());
    for _ in 0..10 {
        host.replace(1);
        writer.sync_ends(&mut host.schema);
        host.publish(&mut writer);
        model.publish(&host.labels());
    }
    let seen = look(&writer.ring());
    assert_eq!((seen.relabelled, seen.lost), (0, 0), "what is new has no label yet");
    assert!(writer.is_behind() && seen.nameless > 0);
    fs::remove_dir(&obstacle).expect("removed");
    host.sync(&mut writer);
    assert!(!writer.is_behind() && writer.rollovers() == 1);
    host.publish(&mut writer);
    model.publish(&host.labels());
    let reader = Reader::open(&dir.ring()).expect("the ring opens");
    model.check(reader.ring());
}

/// A producer that waited for room had all readers look at the directory anew with each record.
#[test]
fn writer_that_waits_for_room_says_what_ended_and_nothing_else() {
    const S: u64 = 1_000_000_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = ShmDir::new();
    let mut host = Host::new();
    let (mut writer, _) = start(&dir, SLOTS, &mut host.schema);
    let obstacle = dir.path().join("host.ring.tmp");
    fs::create_dir(&obstacle).expect("created");
    let refused = (0..TICKS).any(|_| {
        host.replace(1);
        host.publish(&mut writer);
        matches!(writer.keep_up(&mut host.schema, S), Some(Err(_)))
    });
    assert!(refused && writer.is_behind());
    let reader = Reader::open(&dir.ring()).expect("the ring opens");
    let changes = || reader.ring().directory_changes();
    let before = changes();
    assert!(writer.keep_up(&mut host.schema, 2 * S).is_none());
    assert_eq!(changes(), before, "nothing has ended");
    host.replace(1);
    assert!(writer.keep_up(&mut host.schema, 3 * S).is_none());
    assert_ne!(changes(), before, "something has");
    assert!(matches!(writer.keep_up(&mut host.schema, 11 * S), Some(Err(_))), "it is tried again");
    fs::remove_dir(&obstacle).expect("removed");
    assert!(writer.keep_up(&mut host.schema, 20 * S).is_none(), "and then waited for");
    assert!(matches!(writer.keep_up(&mut host.schema, 21 * S), Some(Ok(()))));
    assert!(!writer.is_behind() && writer.keep_up(&mut host.schema, 22 * S).is_none());
}
