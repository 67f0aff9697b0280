//! A window as text, from the choice of its series to the last byte, against a copy of that text.
//!
//! The ring holds half an hour at one record a second. Each answer is made part by part into one
//! buffer, as a server makes it, and its beginning is part of what is timed. Before that it is read
//! back and compared with what the ring holds, value by value.
//!
//! Nearly every value there is another than the one before it, as on no host. With
//! `TACHOGRAPH_BENCH_RING=FILE` a ring that a recorder has left is measured as well.

#![expect(clippy::print_stdout, reason = "the report")]

#[path = "support/judge.rs"]
mod judge;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/pair.rs"]
mod pair;
#[path = "../tests/support/scratch.rs"]
mod scratch;

use std::path::Path;
use std::time::Duration;

use judge::{Goal, verdict};
use pair::pair;
use scratch::Scratch;
use serde_json::{Value as Json, json};
use tachograph::encode::{
    ColumnsQuery, PART_BYTES, RowFormat, RowsQuery, WindowColumns, WindowRows,
};
use tachograph::record::Series;
use tachograph::ring::{ReadMap, Reader, Ring, Value};
use tachograph::window::{Bounds, Extract, KnownDirectory, NamedRing, Objects, Track};
use tachograph::{Kind, Producer, RunDir, Unit, WriterOptions};

const ROUNDS: usize = 15;
const RECORDS: u64 = 1800;
const OBJECTS: usize = 33;
const METRICS: usize = 9;
const S: u64 = 1_000_000_000;
const BEGIN_S: u64 = 1_795_000_000;
/// What the window of one object is to take at most: a tenth of what a peer takes for this shape.
const OBJECT_GOAL_S: f64 = 68.7e-6;
/// Bytes of text a second for all series.
const ALL_GOAL: f64 = 2e9;

/// A number that differs each time; the same sequence in each run.
struct Scatter(u64);

impl Scatter {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A ring in which a third of the series are levels with two decimals, as load averages have them,
/// and the others count up, with 2 to 12 digits.
fn ring(scratch: &Scratch) -> Ring<ReadMap> {
    let dir = RunDir::for_writing(Some(scratch.path())).expect("it is fit for a ring");
    let mut producer = Producer::declare(&dir, "bench").expect("nobody has it");
    let (mut shares, mut totals) = (Vec::new(), Vec::new());
    for index in 0..OBJECTS * METRICS {
        let (object, metric) =
            (format!("disk/{:02}", index / METRICS), format!("quantity_{}", index % METRICS));
        if index % 3 == 0 {
            let series = producer.add::<f64>(&object, &metric, Kind::Gauge, Unit::Ratio);
            shares.push(series.expect("room"));
        } else {
            let series = producer.add::<u64>(&object, &metric, Kind::Counter, Unit::Bytes);
            totals.push(series.expect("room"));
        }
    }
    let options = WriterOptions {
        depth_records: 2 * RECORDS,
        ..WriterOptions::every(Duration::from_secs(1))
    };
    let mut producer = producer.start(&options).expect("room");
    let mut scatter = Scatter(0x9e37_79b9_7f4a_7c15);
    let mut counts: Vec<u64> =
        totals.iter().enumerate().map(|(n, _)| scatter.bits() >> (24 + n % 36)).collect();
    for second in 0..RECORDS {
        for share in &shares {
            producer.set(share, (scatter.bits() >> 52) as f64 / 100.0);
        }
        for (total, count) in totals.iter().zip(&mut counts) {
            *count += scatter.bits() >> 52;
            producer.set(total, *count);
        }
        producer.publish_at((BEGIN_S + second) * S + 123_456, (1 + second) * S);
    }
    let path = scratch.path().join("bench.ring");
    Reader::open(&path).expect("a ring").ring().clone()
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Columns,
    Rows(RowFormat),
}

/// The answer, part by part; `take` gets each.
fn answer(
    (ring, directory): (&Ring<ReadMap>, &KnownDirectory),
    object: Option<&str>,
    form: Form,
    part: &mut Vec<u8>,
    mut take: impl FnMut(&[u8]),
) {
    let bounds = Bounds { from_ns: 0, to_ns: u64::MAX, since_seq: None };
    let (name, directory) = ("bench".to_owned(), directory.clone());
    let named = NamedRing { name, ring: ring.clone(), directory, objects: Objects::all() };
    let extracts = Extract::all([named], bounds, |entry| {
        object.is_none_or(|object| *entry.series.object == *object)
    });
    let (step_ns, cells, limit, resume) = (None, Vec::new(), None, None);
    let mut end = match form {
        Form::Columns => {
            let query = ColumnsQuery { step_ns, cells, limit, resume };
            let mut columns = WindowColumns::new(extracts, query);
            Box::new(move |part: &mut Vec<u8>| columns.part(part)) as Box<dyn FnMut(&mut _) -> bool>
        }
        Form::Rows(format) => {
            let query = RowsQuery { format, step_ns, cells, limit, resume };
            let mut rows = WindowRows::new(extracts, query);
            Box::new(move |part: &mut Vec<u8>| rows.part(part))
        }
    };
    loop {
        part.clear();
        let is_last = end(part);
        take(part);
        if is_last {
            return;
        }
    }
}

/// What the ring holds, read one value at a time.
fn oracle(ring: &Ring<ReadMap>, object: Option<&str>) -> Vec<(String, Vec<Json>)> {
    let directory = ring.directory();
    let (first, last) = ring.bounds().expect("it has records");
    let wanted = |series: &Series| object.is_none_or(|object| *series.object == *object);
    let values = |track: &Track| {
        let value = |seq| match ring.read(seq, |view| track.value(&view)) {
            Ok(Some(Value::U64(value))) => json!(value),
            Ok(Some(Value::F64(value))) => json!(value),
            _ => Json::Null,
        };
        (first..=last).map(value).collect::<Vec<_>>()
    };
    let tracks = Track::all(&directory, wanted);
    tracks
        .iter()
        .map(|track| (format!("{}/{}", track.series.object, track.series.metric), values(track)))
        .collect()
}

fn check(ring: &Ring<ReadMap>, object: Option<&str>, form: Form, text: &[u8]) {
    let expected = oracle(ring, object);
    let mut found: Vec<(String, Vec<Json>)> = Vec::new();
    let name = |value: &Json| {
        format!("{}/{}", value["object"].as_str().unwrap(), value["metric"].as_str().unwrap())
    };
    let mut add = |name: String, value: Json| match found.iter_mut().find(|(n, _)| *n == name) {
        Some((_, values)) => values.push(value),
        None => found.push((name, vec![value])),
    };
    let read = |text: &[u8]| serde_json::from_slice::<Json>(text).expect("JSON");
    match form {
        Form::Columns => {
            let body = read(text);
            let columns = body["lanes"][0]["columns"].as_array().expect("columns");
            found = columns
                .iter()
                .map(|column| (name(column), column["values"].as_array().unwrap().clone()))
                .collect();
        }
        Form::Rows(RowFormat::Json) => {
            for row in read(text)["rows"].as_array().expect("rows") {
                if row.get("gap").is_none() {
                    add(name(row), row["value"].clone());
                }
            }
        }
        Form::Rows(RowFormat::Ndjson) => {
            for row in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(read) {
                if row.get("gap").is_none() {
                    add(name(&row), row["value"].clone());
                }
            }
        }
        Form::Rows(RowFormat::Csv) => {
            for line in std::str::from_utf8(text).expect("UTF-8").lines().skip(1) {
                let cells: Vec<_> = line.split(',').collect();
                if cells[4] != "gap" {
                    add(format!("{}/{}", cells[3], cells[4]), read(cells[6].as_bytes()));
                }
            }
        }
    }
    assert!(found == expected, "the answer is not what the ring holds");
}

fn compare(ring: &Ring<ReadMap>, name: &str, object: Option<&str>, form: Form) {
    let mut part = Vec::with_capacity(2 * PART_BYTES);
    let mut text = Vec::new();
    let directory = KnownDirectory::default();
    let place = (ring, &directory);
    answer(place, object, form, &mut part, |part| text.extend_from_slice(part));
    check(ring, object, form, &text);
    let mut copy = vec![0_u8; PART_BYTES];
    let outcome = pair(
        (name, "a copy of the text"),
        Goal::None,
        ROUNDS,
        || answer(place, object, form, &mut part, |_| {}),
        || {
            for chunk in text.chunks(PART_BYTES) {
                copy[..chunk.len()].copy_from_slice(chunk);
                std::hint::black_box(&copy);
            }
        },
    );
    let rate = text.len() as f64 / outcome.ours;
    let goal = match object {
        Some(_) if form == Form::Columns => {
            format!(
                "goal <= {} us  {}",
                OBJECT_GOAL_S * 1e6,
                verdict(outcome.ours <= OBJECT_GOAL_S)
            )
        }
        Some(_) => "shown only".to_owned(),
        None => format!("goal >= {} GB/s  {}", ALL_GOAL / 1e9, verdict(rate >= ALL_GOAL)),
    };
    println!("{:<44} {} bytes, {:.2} GB/s  {goal}", "", text.len(), rate / 1e9);
}

fn main() {
    machine::print();
    let scratch = Scratch::new();
    let ring = ring(&scratch);
    if let Some(path) = std::env::var_os("TACHOGRAPH_BENCH_RING") {
        let reader = Reader::open(Path::new(&path)).expect("a ring");
        compare(reader.ring(), "window/columns of what was recorded", None, Form::Columns);
    }
    for (name, form) in [
        ("columns", Form::Columns),
        ("json", Form::Rows(RowFormat::Json)),
        ("csv", Form::Rows(RowFormat::Csv)),
        ("ndjson", Form::Rows(RowFormat::Ndjson)),
    ] {
        compare(&ring, &format!("window/{name} 1800 x 9"), Some("disk/07"), form);
        let all = OBJECTS * METRICS;
        compare(&ring, &format!("window/{name} 1800 x {all}"), None, form);
    }
}
