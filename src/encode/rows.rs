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
//! one per line, or all of them as the list `rows` of one object. Where rows end because no more were
//! asked for, it is told where the next ones begin: as `next` beside `rows`, as a last line that is
//! an object with `next` alone, or as a last row of CSV whose metric is `next`. Rows of steps have, instead of
//! `seq` and `value`, what each [`Cell`] says of the step that ends at `time`; what does not apply
//! is empty in CSV and left out in JSON. CSV is that of RFC 4180, with a newline alone.

use super::cells::Cell;
use super::number::F64_ROOM;
use super::push_escaped;
use super::room::{BLOCK, Room};
use super::stamp::{STAMP_BYTES, Stamp};
use crate::record::Series;
use crate::ring::Value;
use crate::window::GapReason;

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

const GAP: &str = "gap";
const NEXT: &str = "next";
/// What every row of a record begins with: the separator, 11 bytes of keys, the moment, 8 bytes and
/// the sequence.
const MOMENT_ROOM: usize = 80;
/// What a row has beside its series' text.
const ROW_ROOM: usize = MOMENT_ROOM + BLOCK + F64_ROOM + END_ROOM;
/// What ends a row.
const END_ROOM: usize = 4;

/// The part of the rows of some series that does not change, laid out once.
#[derive(Clone, Debug)]
pub(super) struct RowTexts {
    format: RowFormat,
    /// One behind the other, and a block of padding at the end.
    text: Vec<u8>,
    /// Where each of them is and how long it is.
    places: Vec<(usize, usize)>,
    longest: usize,
}

impl RowTexts {
    pub(super) fn new(format: RowFormat) -> Self {
        Self { format, text: vec![0; BLOCK], places: Vec::new(), longest: 0 }
    }

    /// Adds the rows of `series` in `lane`.
    pub(super) fn push(&mut self, lane: &str, series: &Series) {
        let at = self.text.len() - BLOCK;
        self.text.truncate(at);
        let unit = series.unit.as_str();
        let fields = [
            ("lane", lane),
            ("object", &series.object),
            ("metric", &series.metric),
            ("unit", unit),
        ];
        for (name, value) in fields {
            self.text.push(b',');
            match self.format {
                RowFormat::Csv => push_csv(&mut self.text, value),
                RowFormat::Ndjson | RowFormat::Json => {
                    push_escaped(&mut self.text, name);
                    self.text.push(b':');
                    push_escaped(&mut self.text, value);
                }
            }
        }
        let len = self.text.len() - at;
        self.text.resize(at + len + BLOCK, 0);
        self.places.push((at, len));
        self.longest = self.longest.max(len);
    }

    /// What the longest row of a value may touch.
    pub(super) fn room_bytes(&self) -> usize {
        self.longest + VALUE_KEY.len() + ROW_ROOM
    }
}

/// What stands between a series' text and its value in JSON.
const VALUE_KEY: &[u8; 9] = b",\"value\":";

/// Writes rows.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    format: RowFormat,
    /// What rows of steps say, beside the text that stands before it; empty for rows of records.
    cells: Vec<(Cell, Box<[u8]>)>,
    /// Whether no row has been written.
    pub(super) first: bool,
    stamp: Stamp,
    /// What every row of a record begins with, and how long that is.
    moment: [u8; MOMENT_ROOM],
    moment_len: usize,
    end: [u8; END_ROOM],
    end_len: usize,
}

impl Rows {
    /// Rows of records or, with `cells`, of steps.
    pub(super) fn new(format: RowFormat, cells: &[Cell]) -> Self {
        let end: &[u8] = match format {
            RowFormat::Csv => b"\n",
            RowFormat::Ndjson => b"}\n",
            RowFormat::Json => b"}",
        };
        let text = |cell: &Cell| match format {
            RowFormat::Csv => b","[..].into(),
            _ => format!(",\"{}\":", cell.name()).into_bytes().into_boxed_slice(),
        };
        let mut rows = Self {
            format,
            cells: cells.iter().map(|cell| (*cell, text(cell))).collect(),
            first: true,
            stamp: Stamp::new(),
            moment: [0; MOMENT_ROOM],
            moment_len: 0,
            end: [0; END_ROOM],
            end_len: end.len(),
        };
        rows.end[..end.len()].copy_from_slice(end);
        rows
    }

    fn is_json(&self) -> bool {
        self.format != RowFormat::Csv
    }

    /// Appends what stands before the first row.
    pub(super) fn head(&self, room: &mut Room<'_>) {
        match self.format {
            RowFormat::Json => room.push(b"{\"rows\":["),
            RowFormat::Ndjson => {}
            RowFormat::Csv if self.cells.is_empty() => {
                room.push(b"time,seq,lane,object,metric,unit,value\n");
            }
            RowFormat::Csv => {
                room.push(b"time,lane,object,metric,unit");
                for (cell, _) in &self.cells {
                    room.push(b",");
                    room.push(cell.name().as_bytes());
                }
                room.push(b"\n");
            }
        }
    }

    /// Appends what stands behind the last row; `next` is where more rows begin.
    pub(super) fn tail(&self, next: Option<&str>, room: &mut Room<'_>) {
        match (self.format, next) {
            (RowFormat::Json, None) => room.push(b"\n],\"next\":null}\n"),
            (RowFormat::Json, Some(next)) => {
                room.push(b"\n],\"next\":");
                room.push_escaped(next);
                room.push(b"}\n");
            }
            (_, None) => {}
            (RowFormat::Ndjson, Some(next)) => {
                room.push(b"{\"next\":");
                room.push_escaped(next);
                room.push(b"}\n");
            }
            (RowFormat::Csv, Some(next)) => {
                let before = if self.cells.is_empty() { ",,,," } else { ",,," };
                for text in [before, NEXT, ",,", next] {
                    room.push(text.as_bytes());
                }
                self.pad(room);
                room.push(b"\n");
            }
        }
    }

    /// Says of which record, or of the step that ended when, the next rows are.
    pub(super) fn at(&mut self, realtime_ns: u64, seq: u64) {
        let json = self.format != RowFormat::Csv;
        let mut len = 0;
        let mut put = |text: &[u8]| {
            self.moment[len..][..text.len()].copy_from_slice(text);
            len += text.len();
        };
        if self.format == RowFormat::Json {
            put(b",\n");
        }
        put(if json { b"{\"time\":\"" } else { b"" });
        put(&self.stamp.of(realtime_ns)[..STAMP_BYTES]);
        put(if json { b"\"" } else { b"" });
        if self.cells.is_empty() {
            put(if json { b",\"seq\":" } else { b"," });
            put(itoa::Buffer::new().format(seq).as_bytes());
        }
        self.moment_len = len;
    }

    /// Appends the row of one value. There must be room for [`RowTexts::room_bytes`].
    #[inline]
    pub(super) fn value(
        &mut self,
        (texts, index): (&RowTexts, usize),
        value: Value,
        room: &mut Room<'_>,
    ) {
        self.begin(room);
        let (at, len) = texts.places[index];
        room.blocks(&texts.text, at, len);
        if self.is_json() {
            room.block(VALUE_KEY, VALUE_KEY.len());
        } else {
            room.block(b",", 1);
        }
        room.value(value);
        room.block(&self.end, self.end_len);
    }

    /// Appends the row of one series' step.
    pub(super) fn step(
        &mut self,
        (texts, index): (&RowTexts, usize),
        values: &[Option<Value>],
        room: &mut Room<'_>,
    ) {
        room.reserve(texts.room_bytes());
        self.begin(room);
        let (at, len) = texts.places[index];
        room.blocks(&texts.text, at, len);
        for ((_, key), value) in self.cells.iter().zip(values) {
            if value.is_some() || !self.is_json() {
                room.push(key);
            }
            if let Some(value) = value {
                room.reserve(F64_ROOM);
                room.value(*value);
            }
        }
        self.finish(room);
    }

    /// Appends the row of a gap in a lane.
    pub(super) fn gap(&mut self, lane: &str, reason: GapReason, room: &mut Room<'_>) {
        room.reserve(ROW_ROOM);
        self.begin(room);
        if self.is_json() {
            room.push(b",\"lane\":");
            room.push_escaped(lane);
            room.push(b",\"gap\":");
            room.push_escaped(reason.as_str());
            room.push(b",\"count\":");
            room.push_u64(reason.count());
        } else {
            let mut cells = Vec::new();
            for cell in [lane, "", GAP, reason.as_str()] {
                cells.push(b',');
                push_csv(&mut cells, cell);
            }
            cells.push(b',');
            room.push(&cells);
            room.push_u64(reason.count());
            self.pad(room);
        }
        self.finish(room);
    }

    /// The cells of a step that a row which is none does not have: all but the first.
    fn pad(&self, room: &mut Room<'_>) {
        (1..self.cells.len()).for_each(|_| room.push(b","));
    }

    #[inline]
    fn begin(&mut self, room: &mut Room<'_>) {
        if std::mem::take(&mut self.first) && self.format == RowFormat::Json {
            // Without the comma.
            room.push(&self.moment[1..self.moment_len]);
            room.reserve(ROW_ROOM);
        } else {
            room.block(&self.moment, self.moment_len);
        }
    }

    fn finish(&self, room: &mut Room<'_>) {
        room.push(&self.end[..self.end_len]);
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
            Series { object, metric, kind: Kind::Gauge, unit, repr: Repr::F64 }
        };
        let mut texts = RowTexts::new(format);
        texts.push("host", &series("host", "load1", Unit::Count));
        texts.push("host", &series("textfile/a", "x{q=\"1,2\"}", Unit::Bytes));
        let (mut rows, mut out) = (Rows::new(format, &[]), Vec::new());
        let mut room = Room::behind(&mut out);
        rows.head(&mut room);
        rows.at(1_795_367_200_000_123_456, 4711);
        room.reserve(texts.room_bytes());
        rows.value((&texts, 0), Value::F64(0.25), &mut room);
        rows.at(1_795_367_203_000_119_000, 4712);
        rows.gap("host", GapReason::Missed(2), &mut room);
        room.reserve(texts.room_bytes());
        rows.value((&texts, 1), Value::U64(u64::MAX - 1), &mut room);
        rows.tail(None, &mut room);
        drop(room);
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
        let values = [
            Some(Value::U64(3)),
            None,
            None,
            None,
            Some(Value::U64(9)),
            Some(Value::U64(6)),
            Some(Value::F64(2.0)),
            Some(Value::F64(3.0)),
            Some(Value::U64(0)),
        ];
        let write = |format| {
            let (mut rows, mut out) = (Rows::new(format, Cell::DEFAULT), Vec::new());
            let mut texts = RowTexts::new(format);
            texts.push("host", &series);
            let mut room = Room::behind(&mut out);
            rows.head(&mut room);
            rows.at(1_795_367_200_000_000_000, 5);
            rows.step((&texts, 0), &values, &mut room);
            rows.gap("host", GapReason::Epoch { to: 2 }, &mut room);
            rows.tail(None, &mut room);
            drop(room);
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
