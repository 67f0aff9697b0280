//! Text of points against `serde_json`, which a program would use otherwise.
//!
//! Both sides write into a buffer that is kept, and both write the same bytes, which is checked
//! before anything is timed. `serde_json` is given the points as a list of ready structs.

#![expect(clippy::print_stdout, reason = "the report")]

#[path = "support/judge.rs"]
mod judge;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/pair.rs"]
mod pair;

use judge::Goal;
use pair::pair;
use serde::Serialize;
use tachograph::encode::{HOST_POINTS, Points, push_f64};
use tachograph::record::Kind;

const ROUNDS: usize = 15;
const GENERATIONS: usize = 180;
const POINTS: usize = 100;
const START: i64 = 1_729_000_000;

/// What `serde_json` prints.
#[derive(Serialize)]
struct Point<'a> {
    id: &'a str,
    metric: &'a str,
    timestamp: i64,
    #[serde(rename = "type")]
    kind: &'a str,
    value: f64,
}

/// A number that differs each time; the same sequence in each run.
struct Scatter(u64);

impl Scatter {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A share with all its digits, as a quotient of two counters has.
    fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A total. The totals of a series differ from one another but are of one magnitude, as they
    /// are on a machine that has been up for a while: 3 to 15 digits.
    fn total(&mut self, series: usize) -> f64 {
        (self.bits() >> (14 + 7 * series % 37)) as f64
    }
}

/// The points of one host and its datastores, in the order of an answer.
fn series() -> Vec<(String, &'static str, Kind)> {
    let mut series = HOST_POINTS.map(|(metric, kind)| ("host".to_owned(), metric, kind)).to_vec();
    for store in 1.. {
        for &(metric, kind) in &HOST_POINTS[11..] {
            if series.len() == POINTS {
                return series;
            }
            series.push((format!("datastore/store{store}"), metric, kind));
        }
    }
    series
}

/// Everything that both sides need for one kind of answer.
struct Answer {
    series: Vec<(String, &'static str, Kind)>,
    values: Vec<Vec<f64>>,
}

impl Answer {
    fn new(mut value: impl FnMut(usize) -> f64) -> Self {
        let generation = |_| (0..POINTS).map(&mut value).collect();
        Self { series: series(), values: (0..GENERATIONS).map(generation).collect() }
    }

    fn points(&self) -> Points {
        let mut points = Points::new();
        for (id, metric, kind) in &self.series {
            points.push(id, metric, *kind);
        }
        points
    }

    fn structs(&self) -> Vec<Point<'_>> {
        let mut structs = Vec::new();
        for (timestamp, values) in (START..).step_by(10).zip(&self.values) {
            for ((id, metric, kind), &value) in self.series.iter().zip(values) {
                structs.push(Point { id, metric, timestamp, kind: kind.as_str(), value });
            }
        }
        structs
    }

    fn compare(&self, name: &str, goal: f64) {
        let (points, structs) = (self.points(), self.structs());
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        let encode = |out: &mut Vec<u8>| {
            out.clear();
            out.push(b'[');
            let mut first = true;
            for (timestamp, values) in (START..).step_by(10).zip(&self.values) {
                points.encode(timestamp, values, &mut first, out);
            }
            out.push(b']');
        };
        let serialize = |out: &mut Vec<u8>| {
            out.clear();
            serde_json::to_writer(out, &structs).expect("a Vec takes everything");
        };
        encode(&mut ours);
        serialize(&mut theirs);
        assert!(ours == theirs, "{name}: the two texts differ");
        let outcome = pair(
            (name, "serde_json"),
            Goal::Faster(goal),
            ROUNDS,
            || encode(&mut ours),
            || serialize(&mut theirs),
        );
        println!(
            "{:<42} {} bytes, ours {:.1} ns a point, serde_json {:.1} ns",
            "",
            ours.len(),
            outcome.ours * 1e9 / structs.len() as f64,
            outcome.theirs * 1e9 / structs.len() as f64,
        );
    }
}

fn numbers(name: &str, goal: f64, value: impl FnMut() -> f64) {
    let mut values = Vec::with_capacity(10_000);
    values.resize_with(10_000, value);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let push_ours = |out: &mut Vec<u8>| {
        out.clear();
        values.iter().for_each(|&value| push_f64(out, value));
    };
    let push_theirs = |out: &mut Vec<u8>| {
        out.clear();
        for value in &values {
            serde_json::to_writer(&mut *out, value).expect("a Vec takes everything");
        }
    };
    push_ours(&mut ours);
    push_theirs(&mut theirs);
    assert!(ours == theirs, "{name}: the two texts differ");
    pair(
        (name, "serde_json"),
        Goal::Faster(goal),
        ROUNDS,
        || push_ours(&mut ours),
        || push_theirs(&mut theirs),
    );
}

fn main() {
    machine::print();
    let mut scatter = Scatter(0x9e37_79b9_7f4a_7c15);
    Answer::new(|p| if p % 2 == 0 { scatter.share() } else { scatter.total(p) })
        .compare("encode/pbs 180x100 half fractional", 5.0);
    Answer::new(|p| if p % 20 == 0 { scatter.share() } else { scatter.total(p) })
        .compare("encode/pbs 180x100 95 % integral", 5.0);
    Answer::new(|_| scatter.share()).compare("encode/pbs 180x100 all fractional", 5.0);

    numbers("encode/number 10000 shares", 1.0, || scatter.share());
    let mut series = 0;
    numbers("encode/number 10000 totals", 1.0, || {
        series += 1;
        scatter.total(series)
    });
    numbers("encode/number 10000 short decimals", 1.0, || (scatter.bits() >> 50) as f64 / 100.0);
    numbers("encode/number 10000 exponents", 1.0, || scatter.share() * 1e-30);
}
