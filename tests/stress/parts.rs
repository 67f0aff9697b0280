//! The parts that the test's own program plays in processes of their own: the writer, and readers in
//! Rust.

use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fmt, thread};

use tachograph::record::{Record, Schema};
use tachograph::ring::{Opening, ReadError, ReadMap, Reader, Ring, RunDir, Wait};

use crate::Chance;
use crate::support;

/// Binary logarithms of how many slots the ring may have.
pub(crate) const SLOTS_BITS: Range<u64> = 6..9;

const COLUMNS: usize = 61;
/// The series begin anew at this many.
const COLUMNS_MAX: usize = 1000;
/// Series that are added at once, which needs a larger ring every now and then.
const COLUMNS_MORE: usize = 30;
/// After how many records, at most, series are added.
const GROW_AFTER: u64 = 40_000;
const KILOHERTZ: Duration = Duration::from_millis(1);
/// How long a reader sleeps at most before it looks whether the file has been replaced.
const LOOK_AROUND: Duration = Duration::from_millis(50);

/// How fast the writer publishes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    Full,
    Kilohertz,
}

impl Pace {
    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Kilohertz => "kilohertz",
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "at full speed",
            Self::Kilohertz => "at 1 kHz",
        })
    }
}

/// Starts a writer in a process of its own.
pub(crate) fn start_writer(dir: &Path, pace: Pace, slots_bits: u64, seed: u64) -> Child {
    Command::new(env::current_exe().expect("this file"))
        .args(["--part", "write"])
        .arg(dir)
        .args([pace.as_str(), &(1_u64 << slots_bits).to_string(), &(seed | 1).to_string()])
        .stdout(Stdio::null())
        .spawn()
        .expect("the writer can be started")
}

/// Plays a part until it is over.
pub(crate) fn play(part: &[String]) {
    let part: Vec<&str> = part.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().expect("a number");
    match part[..] {
        ["write", dir, pace, slots, seed] => {
            let pace = if pace == Pace::Full.as_str() { Pace::Full } else { Pace::Kilohertz };
            write_for_ever(Path::new(dir), pace, number(slots), Chance(number(seed)));
        }
        ["copy", ring, seconds] => follow(Path::new(ring), seconds, copy_window),
        ["view", ring, seconds] => follow(Path::new(ring), seconds, view_window),
        _ => panic!("no part {part:?}"),
    }
}

fn write_for_ever(dir: &Path, pace: Pace, slots: u64, mut chance: Chance) {
    let place = RunDir::for_writing(Some(dir)).expect("the test made it");
    let opening = Opening::of(&place, "host").expect("the writer before is dead");
    let mut schema = Schema::resume(opening.live_series());
    widen(&mut schema, COLUMNS);
    let options = support::options(slots);
    let (mut writer, _) = opening.start(&options, &mut schema).expect("it starts");
    let mut record = Record::new(schema.width());
    let grow_after = match pace {
        Pace::Full => GROW_AFTER,
        Pace::Kilohertz => GROW_AFTER / 100,
    };
    let mut grow_at = writer.head() + 1 + chance.below(grow_after);
    let mut tick = Instant::now();
    loop {
        let seq = writer.head() + 1;
        if seq >= grow_at {
            grow(&mut schema);
            grow_at = seq + 1 + chance.below(grow_after);
        }
        writer.sync(&mut schema).expect("there is room");
        record.set_columns(schema.width());
        support::fill(&mut record, seq);
        record.header.boottime_ns = tachograph::ring::boottime_ns();
        writer.publish(&mut record);
        match pace {
            Pace::Full if !seq.is_multiple_of(16) => {}
            _ => writer.wake(),
        }
        if matches!(pace, Pace::Kilohertz) {
            tick += KILOHERTZ;
            thread::sleep(tick.saturating_duration_since(Instant::now()));
        }
    }
}

/// Adds series, or ends most of them when there are many.
fn grow(schema: &mut Schema) {
    if schema.width() + COLUMNS_MORE <= COLUMNS_MAX {
        let wanted = schema.len() + COLUMNS_MORE;
        return widen(schema, wanted);
    }
    let columns: Vec<_> = schema.iter().map(|(column, _)| column).collect();
    columns.into_iter().skip(COLUMNS).for_each(|column| schema.end(column));
}

fn widen(schema: &mut Schema, wanted: usize) {
    let mut index = 0;
    while schema.len() < wanted {
        // One that is there already keeps its column.
        schema.add(&support::nic(index), "receive_bytes").expect("room");
        index += 1;
    }
}

/// Counts of a reader.
#[derive(Default)]
struct Told {
    reads: u64,
    overruns: u64,
    gaps: u64,
    torn: u64,
}

type ReadWindow = fn(&Ring<ReadMap>, u64, u64, &mut Record, &mut Told);

/// Copies each record.
fn copy_window(ring: &Ring<ReadMap>, first: u64, last: u64, record: &mut Record, told: &mut Told) {
    for seq in first..=last {
        match ring.read_into(seq, record) {
            Ok(()) if record.header.seq == seq && support::is_whole(record) => told.reads += 1,
            Ok(()) => told.torn += 1,
            Err(ReadError::Overrun) => told.overruns += 1,
            Err(ReadError::Lost) => told.gaps += 1,
            Err(error) => panic!("{seq} of {:?}: {error}", ring.bounds()),
        }
    }
}

/// Looks at the newer half of the records in place and vouches for all of them at the end.
fn view_window(ring: &Ring<ReadMap>, first: u64, last: u64, record: &mut Record, told: &mut Told) {
    let from = first.max(last.saturating_sub(ring.geometry().slot_count / 2)).max(1);
    told.overruns += from.saturating_sub(first);
    let mut views = Vec::new();
    for seq in from..=last {
        match ring.peek(seq) {
            Ok(view) => views.push(view),
            Err(ReadError::Overrun) => told.overruns += 1,
            Err(ReadError::Lost) => told.gaps += 1,
            Err(error) => panic!("{seq} of {:?}: {error}", ring.bounds()),
        }
    }
    let whole = |view: &tachograph::ring::RecordView<'_, ReadMap>| {
        view.copy_into(record);
        support::is_whole(record)
    };
    let torn = views.iter().map(whole).filter(|is_whole| !is_whole).count() as u64;
    let Some(oldest) = views.first() else { return };
    let count = views.len() as u64;
    if ring.vouch(oldest.seq()).is_ok() {
        (told.reads, told.torn) = (told.reads + count - torn, told.torn + torn);
    } else {
        told.overruns += count;
    }
}

/// Follows the ring, through all its files, and tells at the end what was seen.
fn follow(path: &Path, seconds: &str, read_window: ReadWindow) {
    let lasts = Duration::from_secs_f64(seconds.parse().expect("a number of seconds"));
    let begin = Instant::now();
    let mut reader = loop {
        match Reader::open(path) {
            Ok(reader) => break reader,
            Err(error) => assert!(begin.elapsed() < crate::PATIENCE, "{error}"),
        }
        thread::sleep(Duration::from_millis(2));
    };
    let mut record = Record::default();
    let mut told = Told::default();
    let start = reader.ring().head() + 1;
    let mut next = start;
    while begin.elapsed() < lasts || told.reads == 0 && begin.elapsed() < crate::PATIENCE {
        if let Wait::Published(newest) = reader.wait(next - 1, LOOK_AROUND) {
            let first = next.max(reader.ring().geometry().oldest(newest));
            told.overruns += first - next;
            read_window(reader.ring(), first, newest, &mut record, &mut told);
            next = newest + 1;
            let Told { reads, overruns, gaps, torn } = told;
            assert_eq!(start + reads + overruns + gaps + torn, next, "each is accounted for");
        } else {
            reader.refresh().expect("the newest ring opens");
        }
    }
    let Told { reads, overruns, gaps, torn } = told;
    let reopened = reader.reopened();
    println!("reads {reads} overruns {overruns} gaps {gaps} torn {torn} reopened {reopened}");
    assert!(torn == 0 && reads > 0);
}
