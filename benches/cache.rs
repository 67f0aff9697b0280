//! The ring against a cache of JSON lines in a file that is replaced at every store.
//!
//! The other side is a model of the *method*, written for this comparison: one line per generation,
//! the newest first; to store one is to take a lock file, serialize, copy the lines that stay, write
//! a file beside, `fsync` it and rename it; to read the last ones is to read as many lines and parse
//! each. It is not the program that Proxmox products use, proxmox-shared-cache, whose way this is.
//! The figures of that program itself, recorded on a machine of the same kind with generations of
//! the same form, stand in [`RECORDED`]; they were taken at another time and are shown beside.
//!
//! Both lie in `/dev/shm` and hold the same 100 values in each of 180 generations: half of them
//! doubles with all their digits, half integers.

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use tachograph::encode::Points;
use tachograph::record::{Kind, Record, Repr, Schema};
use tachograph::ring::{Opening, ReadMap, Ring, RunDir, Value, Writer, WriterOptions};
use tachograph::window::{Event, Window};

#[path = "support/judge.rs"]
mod judge;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/pair.rs"]
mod pair;
#[path = "../tests/support/scratch.rs"]
mod scratch;

use judge::{Goal, text};
use pair::pair;
use scratch::Scratch;

const ROUNDS: usize = 15;
const POINTS: usize = 100;
const GENERATIONS: usize = 180;
const START_S: i64 = 1_729_000_000;
const STEP_S: i64 = 10;

/// What proxmox-shared-cache itself took, median in seconds: `set`, `get_last(180)`, and
/// `get_last(180)` with `serde_json::to_vec`. A `set` took 1.2 to 2.5 ms.
const RECORDED: [f64; 3] = [1.312e-3, 3.799e-3, 5.621e-3];

/// A point as it stands in the file.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Point {
    id: String,
    metric: String,
    timestamp: i64,
    #[serde(rename = "type")]
    kind: String,
    value: f64,
}

/// A line of the file.
#[derive(Deserialize, Serialize)]
struct Generation {
    timestamp: i64,
    datapoints: Vec<Point>,
}

/// The model.
struct JsonLines {
    path: PathBuf,
    /// How many generations stay beside the newest.
    keep_old: usize,
}

impl JsonLines {
    fn store(&self, generation: &Generation) -> io::Result<()> {
        let lock = self.path.with_extension("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(lock)?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
        let mut lines = serde_json::to_string(generation)?;
        lines.push('\n');
        if let Some(old) = self.open()? {
            let mut old = BufReader::new(old);
            for _ in 0..self.keep_old {
                if old.read_line(&mut lines)? == 0 {
                    break;
                }
            }
        }
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        fs::rename(beside, &self.path)
    }

    /// The newest `count` generations, the newest first.
    fn last(&self, count: usize) -> io::Result<Vec<Generation>> {
        let mut generations = Vec::new();
        let Some(file) = self.open()? else { return Ok(generations) };
        let (mut file, mut line) = (BufReader::new(file), String::new());
        while generations.len() < count && file.read_line(&mut line)? > 0 {
            generations.push(serde_json::from_str(&line)?);
            line.clear();
        }
        Ok(generations)
    }

    fn open(&self) -> io::Result<Option<File>> {
        match File::open(&self.path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// One of the series of a generation.
struct Series {
    id: String,
    metric: String,
    kind: Kind,
    repr: Repr,
}

/// Doubles and integers, in turns.
fn series() -> Vec<Series> {
    let series = |index: usize| match index % 2 {
        0 => Series {
            id: "host".to_owned(),
            metric: format!("pressure_p{index:02}_avg10_percent"),
            kind: Kind::Gauge,
            repr: Repr::F64,
        },
        _ => Series {
            id: format!("nic/eth{index:02}"),
            metric: "receive_bytes".to_owned(),
            kind: Kind::Counter,
            repr: Repr::U64,
        },
    };
    (0..POINTS).map(series).collect()
}

/// The word of a series in a generation: some share of 100 per cent, or a total below 2^53.
fn word(generation: usize, index: usize, repr: Repr) -> u64 {
    let mixed = ((generation * POINTS + index) as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    match repr {
        Repr::F64 => ((mixed >> 11) as f64 / (1_u64 << 53) as f64 * 100.0).to_bits(),
        _ => mixed >> (14 + 7 * index % 37),
    }
}

fn value(word: u64, repr: Repr) -> f64 {
    Value::of_word(word, repr).map_or(f64::NAN, Value::as_f64)
}

/// A generation as the model is given it.
fn generation(number: usize, series: &[Series]) -> Generation {
    let timestamp = START_S + number as i64 * STEP_S;
    let point = |(index, series): (usize, &Series)| Point {
        id: series.id.clone(),
        metric: series.metric.clone(),
        timestamp,
        kind: series.kind.as_str().to_owned(),
        value: value(word(number, index, series.repr), series.repr),
    };
    Generation { timestamp, datapoints: series.iter().enumerate().map(point).collect() }
}

fn open_ring(dir: &Path, series: &[Series]) -> Writer {
    let dir = RunDir::for_writing(Some(dir)).expect("a run directory");
    let mut schema = Schema::new();
    for (index, series) in series.iter().enumerate() {
        assert_eq!(schema.add(&series.id, &series.metric), Ok(index));
        let known = schema.series(index).expect("it was added");
        assert_eq!((known.kind, known.repr), (series.kind, series.repr));
    }
    let interval = Duration::from_secs(STEP_S as u64);
    let options = WriterOptions { interval, depth_records: GENERATIONS as u64, mode: 0o600 };
    let opening = Opening::of(&dir, "bench").expect("the lane is free");
    opening.start(&options, &mut schema).expect("a ring").0
}

/// Makes `record` the generation `number`.
fn fill(record: &mut Record, number: usize, series: &[Series]) {
    record.header.realtime_ns = (START_S + number as i64 * STEP_S) as u64 * 1_000_000_000;
    for (index, (column, series)) in record.words_mut().iter_mut().zip(series).enumerate() {
        *column = word(number, index, series.repr);
    }
}

/// The sum of all values of the last generations, read in place. Doubles and integers are added
/// apart, four of each at a time, since one sum would be waited for at every value.
fn sum_in_place(ring: &Ring<ReadMap>) -> (f64, u64) {
    let window = Window::newest(ring, GENERATIONS as u64);
    let sums = window.read(|events| {
        let (mut doubles, mut integers, mut records) = ([0.0; 4], [0_u64; 4], 0);
        for event in events {
            let Event::Record(view) = event else { continue };
            records += 1;
            for (index, word) in view.words().enumerate() {
                let place = index / 2 % 4;
                if index % 2 == 0 {
                    doubles[place] += f64::from_bits(word);
                } else {
                    integers[place] = integers[place].wrapping_add(word);
                }
            }
        }
        assert_eq!(records, GENERATIONS);
        (doubles.iter().sum(), integers.iter().fold(0, |sum: u64, part| sum.wrapping_add(*part)))
    });
    sums.expect("nobody writes")
}

/// The same sums of parsed points.
fn sum_of(generations: &[Generation]) -> (f64, u64) {
    assert_eq!(generations.len(), GENERATIONS);
    let (mut doubles, mut integers) = (0.0, 0_u64);
    for generation in generations {
        for pair in generation.datapoints.as_chunks::<2>().0 {
            doubles += pair[0].value;
            integers = integers.wrapping_add(pair[1].value as u64);
        }
    }
    (doubles, integers)
}

/// The points of the last generations as a JSON list, oldest first, straight from the ring.
fn answer(ring: &Ring<ReadMap>, points: &Points, series: &[Series], out: &mut Vec<u8>) {
    let window = Window::newest(ring, GENERATIONS as u64);
    let written = window.read(|events| {
        out.clear();
        out.push(b'[');
        let mut first = true;
        let mut values = [f64::NAN; POINTS];
        for event in events {
            let Event::Record(view) = event else { continue };
            for ((place, word), series) in values.iter_mut().zip(view.words()).zip(series) {
                *place = value(word, series.repr);
            }
            let timestamp = (view.realtime_ns() / 1_000_000_000) as i64;
            points.encode(timestamp, &values, &mut first, out);
        }
        out.push(b']');
    });
    written.expect("nobody writes");
}

#[expect(clippy::print_stdout, reason = "the report")]
fn main() {
    machine::print();
    let series = series();
    let scratch = Scratch::new();
    let cache = JsonLines { path: scratch.path().join("cache.json"), keep_old: GENERATIONS };
    let mut writer = open_ring(scratch.path(), &series);
    let mut record = Record::new(POINTS);
    for number in 0..=GENERATIONS {
        cache.store(&generation(number, &series)).expect("stored");
        fill(&mut record, number, &series);
        writer.publish(&mut record);
    }
    let file_bytes = fs::metadata(&cache.path).expect("the model's file").len();
    let ring_bytes = writer.ring().geometry().file_bytes;
    println!("# the lines are {file_bytes} bytes, the ring is {ring_bytes} bytes");
    let ring = writer.ring();
    let beside = |name: &str, ours: f64, recorded: f64| {
        println!(
            "{:<44} proxmox-shared-cache, as recorded: {name} {}, {:.0} times ours",
            "",
            text(recorded),
            recorded / ours,
        );
    };

    // Before anything is stored again: both hold the generations 1 to 180.
    let (doubles, integers) = sum_in_place(&ring);
    let (their_doubles, their_integers) = sum_of(&cache.last(GENERATIONS).expect("read"));
    // The same numbers added in another order.
    assert!((doubles - their_doubles).abs() < 1e-9 * doubles, "{doubles} {their_doubles}");
    assert_eq!(integers, their_integers);
    let theirs = || sum_of(&cache.last(GENERATIONS).expect("read"));
    let scan = pair(
        ("cache/sum of the last 180 x 100", "JSON lines"),
        Goal::Faster(200.0),
        ROUNDS,
        || sum_in_place(&ring),
        theirs,
    );
    beside("get_last(180)", scan.ours, RECORDED[1]);

    let mut points = Points::new();
    for series in &series {
        points.push(&series.id, &series.metric, series.kind);
    }
    let mut out = Vec::new();
    answer(&ring, &points, &series, &mut out);
    let ours: Vec<Point> = serde_json::from_slice(&out).expect("JSON");
    let theirs = cache.last(GENERATIONS).expect("read");
    assert_eq!(ours.len(), GENERATIONS * POINTS);
    assert!(theirs.iter().rev().flat_map(|generation| &generation.datapoints).eq(&ours));
    let answered = pair(
        ("cache/the last 180 x 100 as JSON", "JSON lines"),
        Goal::Faster(15.0),
        ROUNDS,
        || answer(&ring, &points, &series, black_box(&mut out)),
        || serde_json::to_vec(&cache.last(GENERATIONS).expect("read")),
    );
    beside("get_last(180) and to_vec", answered.ours, RECORDED[2]);
    let newest = generation(GENERATIONS, &series);
    let store = pair(
        ("cache/store 100 points", "JSON lines"),
        Goal::Faster(10_000.0),
        ROUNDS,
        || {
            record.header.realtime_ns += 1;
            writer.publish(black_box(&mut record));
        },
        || cache.store(&newest).expect("stored"),
    );
    beside("set", store.ours, RECORDED[0]);
    // Both hold the new one. Parsed text is not compared: serde_json may miss the last digit.
    let lines = fs::read_to_string(&cache.path).expect("the model's file");
    assert_eq!(lines.lines().next(), serde_json::to_string(&newest).ok().as_deref());
    let stored = ring.latest(|view| {
        let values = view.words().zip(&series).map(|(word, series)| value(word, series.repr));
        values.eq(newest.datapoints.iter().map(|point| point.value))
    });
    assert_eq!(stored, Some(true));
    pair(
        ("cache/store 100 points and wake", "JSON lines"),
        Goal::Faster(1000.0),
        ROUNDS,
        || {
            record.header.realtime_ns += 1;
            writer.publish(black_box(&mut record));
            writer.wake();
        },
        || cache.store(&newest).expect("stored"),
    );
}
