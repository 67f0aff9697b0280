//! A window as rows: one per series and moment, for spreadsheets, data frames and scripts.
//!
//! ```text
//! time,seq,lane,object,metric,unit,value
//! 2026-11-22T17:06:40.000123Z,4711,host,host,load1,count,0.25
//! 2026-11-22T17:06:43.000119Z,4712,host,,gap,missed,2
//! 2026-11-22T17:06:43.000119Z,4712,host,nic/eth0,receive_bytes,bytes,901254
//! ```
//!
//! Values stand in the unit in which they are stored; integers are exact. What was not measured has
//! no row. A gap is a row of its own, before those of the record that follows it. As JSON a row is
//!
//! ```text
//! {"time":"2026-11-22T17:06:40.000123Z","seq":4711,"lane":"host","object":"host","metric":"load1","unit":"count","value":0.25}
//! {"time":"2026-11-22T17:06:43.000119Z","seq":4712,"lane":"host","gap":"missed","count":2}
//! ```
//!
//! one per line, or all of them as the list `rows` of one object. Rows of steps have, instead of
//! `seq` and `value`, what [`StepCells`] says of the step that ends at `time`; what does not apply
//! is empty in CSV and left out in JSON. CSV is that of RFC 4180, with a newline alone.

use std::io::Write as _;

use super::{push_escaped, push_f64, push_u64};
use crate::record::Series;
use crate::ring::Value;
use crate::window::step::Sum;
use crate::window::{Aggregate, GapReason};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// Comma-separated, with a heading.
    Csv,
    /// A JSON object per line.
    Ndjson,
    /// One JSON object with a list of rows.
    Json,
}

/// What a row of a step says, in the order of its columns; `None` where it does not apply.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepCells {
    /// Values of a gauge in the step; of a counter, pairs of values whose increase is known.
    pub count: u64,
    /// Smallest value of a gauge.
    pub min: Option<Value>,
    /// Largest value of a gauge.
    pub max: Option<Value>,
    /// Mean of a gauge's values.
    pub mean: Option<f64>,
    /// The last value.
    pub last: Option<Value>,
    /// What a counter counted.
    pub increase: Option<Value>,
    /// The increase by the time that it was counted in, per second.
    pub rate: Option<f64>,
    /// That time, in seconds.
    pub covered_s: Option<f64>,
    /// How often the counter began anew.
    pub resets: Option<u64>,
}

impl From<&Aggregate> for StepCells {
    fn from(aggregate: &Aggregate) -> Self {
        match aggregate {
            Aggregate::Gauge(levels) => Self {
                count: levels.count,
                min: levels.min,
                max: levels.max,
                mean: levels.mean(),
                last: levels.last,
                ..Self::default()
            },
            Aggregate::Counter(advance) => Self {
                count: advance.pairs,
                last: advance.last,
                increase: advance.increase().and_then(value_of),
                rate: advance.rate(),
                covered_s: Some(advance.covered_ns as f64 / 1e9),
                resets: Some(advance.resets),
                ..Self::default()
            },
        }
    }
}

/// A sum as a value: exact where it is a number that a counter can have.
fn value_of(sum: Sum) -> Option<Value> {
    match sum {
        Sum::Integer(sum) => match u64::try_from(sum) {
            Ok(sum) => Some(Value::U64(sum)),
            Err(_) => Some(Value::F64(sum as f64)),
        },
        Sum::Double { .. } => sum.as_f64().map(Value::F64),
    }
}

const RAW_HEADING: &[u8] = b"time,seq,lane,object,metric,unit,value\n";
const STEP_HEADING: &[u8] =
    b"time,lane,object,metric,unit,count,min,max,mean,last,increase,rate,covered_s,resets\n";
const GAP: &str = "gap";

/// The part of a series' rows that does not change, laid out once.
#[derive(Debug)]
pub struct RowSeries {
    text: Box<[u8]>,
}

impl RowSeries {
    /// The part of the rows of `series` in `lane`.
    #[must_use]
    pub fn new(format: RowFormat, lane: &str, series: &Series) -> Self {
        let mut text = Vec::new();
        let unit = series.unit.as_str();
        let fields = [
            ("lane", lane),
            ("object", &series.object),
            ("metric", &series.metric),
            ("unit", unit),
        ];
        for (name, value) in fields {
            text.push(b',');
            match format {
                RowFormat::Csv => push_csv(&mut text, value),
                RowFormat::Ndjson | RowFormat::Json => {
                    push_escaped(&mut text, name);
                    text.push(b':');
                    push_escaped(&mut text, value);
                }
            }
        }
        Self { text: text.into() }
    }
}

/// Writes rows.
#[derive(Clone, Debug)]
pub struct Rows {
    format: RowFormat,
    /// Whether they are rows of steps.
    steps: bool,
    /// Whether no row has been written.
    first: bool,
    /// Time and, of records, sequence, as every row of a record begins with.
    moment: Vec<u8>,
}

impl Rows {
    /// Rows of records, or of `steps`.
    #[must_use]
    pub fn new(format: RowFormat, steps: bool) -> Self {
        Self { format, steps, first: true, moment: Vec::new() }
    }

    /// Appends what stands before the first row.
    pub fn head(&self, out: &mut Vec<u8>) {
        match self.format {
            RowFormat::Csv if self.steps => out.extend_from_slice(STEP_HEADING),
            RowFormat::Csv => out.extend_from_slice(RAW_HEADING),
            RowFormat::Json => out.extend_from_slice(b"{\"rows\":["),
            RowFormat::Ndjson => {}
        }
    }

    /// Appends what stands behind the last row.
    pub fn tail(&self, out: &mut Vec<u8>) {
        if self.format == RowFormat::Json {
            out.extend_from_slice(b"\n]}\n");
        }
    }

    /// Says of which record, or of the step that ended with which, the next rows are.
    pub fn at(&mut self, realtime_ns: u64, seq: u64) {
        self.moment.clear();
        let json = self.format != RowFormat::Csv;
        self.moment.extend_from_slice(if json { b"{\"time\":\"" } else { b"" });
        push_time(&mut self.moment, realtime_ns);
        self.moment.extend_from_slice(if json { b"\"" } else { b"" });
        if !self.steps {
            self.moment.extend_from_slice(if json { b",\"seq\":" } else { b"," });
            push_u64(&mut self.moment, seq);
        }
    }

    /// Appends the row of one value.
    pub fn value(&mut self, series: &RowSeries, value: Value, out: &mut Vec<u8>) {
        self.begin(out);
        out.extend_from_slice(&series.text);
        out.extend_from_slice(if self.format == RowFormat::Csv { b"," } else { b",\"value\":" });
        push_value(out, value);
        self.end(out);
    }

    /// Appends the row of one series' step.
    pub fn step(&mut self, series: &RowSeries, cells: &StepCells, out: &mut Vec<u8>) {
        self.begin(out);
        out.extend_from_slice(&series.text);
        let float = |value: Option<f64>| value.map(Value::F64);
        let integer = |value: Option<u64>| value.map(Value::U64);
        for (name, value) in [
            ("count", Some(Value::U64(cells.count))),
            ("min", cells.min),
            ("max", cells.max),
            ("mean", float(cells.mean)),
            ("last", cells.last),
            ("increase", cells.increase),
            ("rate", float(cells.rate)),
            ("covered_s", float(cells.covered_s)),
            ("resets", integer(cells.resets)),
        ] {
            match (self.format, value) {
                (RowFormat::Csv, value) => {
                    out.push(b',');
                    value.into_iter().for_each(|value| push_value(out, value));
                }
                (_, Some(value)) => {
                    out.extend_from_slice(b",\"");
                    out.extend_from_slice(name.as_bytes());
                    out.extend_from_slice(b"\":");
                    push_value(out, value);
                }
                (_, None) => {}
            }
        }
        self.end(out);
    }

    /// Appends the row of a gap in a lane.
    pub fn gap(&mut self, lane: &str, reason: GapReason, out: &mut Vec<u8>) {
        self.begin(out);
        if self.format == RowFormat::Csv {
            for cell in [lane, "", GAP, reason.as_str()] {
                out.push(b',');
                push_csv(out, cell);
            }
            out.push(b',');
            push_u64(out, reason.count());
            // The cells of a step that do not apply.
            out.extend_from_slice(if self.steps { b",,,,,,,," } else { b"" });
        } else {
            out.extend_from_slice(b",\"lane\":");
            push_escaped(out, lane);
            out.extend_from_slice(b",\"gap\":");
            push_escaped(out, reason.as_str());
            out.extend_from_slice(b",\"count\":");
            push_u64(out, reason.count());
        }
        self.end(out);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.format == RowFormat::Json {
            out.extend_from_slice(if self.first { b"\n" } else { b",\n" });
        }
        self.first = false;
        out.extend_from_slice(&self.moment);
    }

    fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.format {
            RowFormat::Csv => b"\n",
            RowFormat::Ndjson => b"}\n",
            RowFormat::Json => b"}",
        });
    }
}

/// Appends a moment as RFC 3339 has it, in UTC, to the microsecond.
pub(super) fn push_time(out: &mut Vec<u8>, realtime_ns: u64) {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(realtime_ns)).unwrap_or_default();
    // Writing to a Vec does not fail.
    let _ = write!(out, "{stamp:.6}");
}

pub(super) fn push_value(out: &mut Vec<u8>, value: Value) {
    match value {
        Value::U64(value) => push_u64(out, value),
        Value::F64(value) => push_f64(out, value),
    }
}

/// Appends a cell, in quotation marks if it has to be.
fn push_csv(out: &mut Vec<u8>, cell: &str) {
    if !cell.contains([',', '"', '\n', '\r']) {
        out.extend_from_slice(cell.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in cell.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Kind, Repr, Unit};

    fn rows(format: RowFormat) -> String {
        let series = |object: &str, metric: &str, unit| {
            let (object, metric) = (object.into(), metric.into());
            let series = Series { object, metric, kind: Kind::Gauge, unit, repr: Repr::F64 };
            RowSeries::new(format, "host", &series)
        };
        let load = series("host", "load1", Unit::Count);
        let odd = series("textfile/a", "x{q=\"1,2\"}", Unit::Bytes);
        let (mut rows, mut out) = (Rows::new(format, false), Vec::new());
        rows.head(&mut out);
        rows.at(1_795_367_200_000_123_456, 4711);
        rows.value(&load, Value::F64(0.25), &mut out);
        rows.at(1_795_367_203_000_119_000, 4712);
        rows.gap("host", GapReason::Missed(2), &mut out);
        rows.value(&odd, Value::U64(u64::MAX - 1), &mut out);
        rows.tail(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn rows_look_as_shown() {
        assert_eq!(
            rows(RowFormat::Csv),
            "time,seq,lane,object,metric,unit,value\n\
             2026-11-22T17:06:40.000123Z,4711,host,host,load1,count,0.25\n\
             2026-11-22T17:06:43.000119Z,4712,host,,gap,missed,2\n\
             2026-11-22T17:06:43.000119Z,4712,host,textfile/a,\"x{q=\"\"1,2\"\"}\",bytes,18446744073709551614\n"
        );
        let lines = rows(RowFormat::Ndjson);
        let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        let lines: Vec<_> = lines.lines().map(parse).collect();
        let time = "2026-11-22T17:06:43.000119Z";
        let gap = serde_json::json!({
            "time": time, "seq": 4712, "lane": "host", "gap": "missed", "count": 2
        });
        let odd = serde_json::json!({
            "time": time, "seq": 4712, "lane": "host", "object": "textfile/a",
            "metric": "x{q=\"1,2\"}", "unit": "bytes", "value": u64::MAX - 1
        });
        assert_eq!(lines[1..], [gap, odd]);
        let whole = parse(&rows(RowFormat::Json));
        assert_eq!(whole["rows"].as_array(), Some(&lines));
    }

    #[test]
    fn cells_of_a_step_that_do_not_apply_are_empty_or_left_out() {
        let series = Series {
            object: "host".into(),
            metric: "forks".into(),
            kind: Kind::Counter,
            unit: Unit::Count,
            repr: Repr::U64,
        };
        let cells = StepCells {
            count: 3,
            last: Some(Value::U64(9)),
            increase: Some(Value::U64(6)),
            rate: Some(2.0),
            covered_s: Some(3.0),
            resets: Some(0),
            ..StepCells::default()
        };
        let write = |format| {
            let (mut rows, mut out) = (Rows::new(format, true), Vec::new());
            rows.head(&mut out);
            rows.at(1_795_367_200_000_000_000, 5);
            rows.step(&RowSeries::new(format, "host", &series), &cells, &mut out);
            rows.gap("host", GapReason::Epoch { to: 2 }, &mut out);
            rows.tail(&mut out);
            String::from_utf8(out).expect("UTF-8")
        };
        let csv = write(RowFormat::Csv);
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(
            lines[1],
            "2026-11-22T17:06:40.000000Z,host,host,forks,count,3,,,,9,6,2.0,3.0,0"
        );
        assert!(lines.iter().all(|line| line.matches(',').count() == 13), "{csv}");
        let json: serde_json::Value = serde_json::from_str(&write(RowFormat::Json)).expect("JSON");
        assert_eq!(json["rows"][0]["increase"], 6);
        assert_eq!(json["rows"][0].get("mean"), None);
        assert_eq!(
            (json["rows"][1]["gap"].as_str(), &json["rows"][1]["count"]),
            (Some("epoch"), &2.into())
        );
    }
}
