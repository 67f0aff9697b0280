//! A window of several rings as a stream of Arrow record batches.
//!
//! A row is a record, or a step, of one ring: `time`, `seq` (of a step, its last), `lane`, `gap`, and
//! then a column per series, or per series and what is told of its steps. Fields of columns have the
//! series' `lane`, `object`, `metric`, `unit` and `kind` as metadata, and `agg` of steps. A column is
//! null where it was not measured, does not apply, or is another ring's.
//!
//! `gap` is null where a record simply follows the one before, and else says what stands between the
//! two, as in `overrun=5 epoch=2`. What stands behind the last record has a row of its own with
//! nothing else in it, and so has `next=` with the place where the next answer goes on.
//!
//! What Arrow needs for a batch is allocated for it; a batch is bounded like a part of any answer.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{
    ArrayRef, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

use super::cells::{self, Cell, Percentiles};
use super::columns::ColumnsQuery;
use super::cursor::Cursor;
use crate::record::{Kind, Repr};
use crate::ring::{Value, Words};
use crate::window::{Bounds, Extract, GapReason, Steps, Track, Walk};

/// Values of one batch, unless a single record has more.
const BATCH_VALUES: usize = 8 * 1024;
/// Most columns of series that an answer has; more are refused beforehand.
pub const ARROW_COLUMNS_MAX: usize = 4096;
const UTC: &str = "UTC";
/// Columns that stand before those of the series.
const OWN_COLUMNS: usize = 4;

/// The record batches of a window that are being written.
pub struct WindowArrow<W> {
    turns: std::vec::IntoIter<Turn<W>>,
    turn: Option<Turn<W>>,
    writer: StreamWriter<Vec<u8>>,
    schema: SchemaRef,
    rows: Rows,
    /// Rows of one batch.
    rows_max: usize,
    /// Values that may still be written.
    left: u64,
}

/// The rows of the next batch.
#[derive(Debug, Default)]
struct Rows {
    times_ns: Vec<i64>,
    seqs: Vec<u64>,
    lanes: Vec<Arc<str>>,
    gaps: Vec<Option<String>>,
    /// Row by row.
    values: Vec<Option<Value>>,
    columns: usize,
}

impl Rows {
    fn push(&mut self, time_ns: u64, seq: u64, lane: &Arc<str>, gap: Option<String>) {
        self.times_ns.push(i64::try_from(time_ns).unwrap_or(i64::MAX));
        self.seqs.push(seq);
        self.lanes.push(Arc::clone(lane));
        self.gaps.push(gap);
        self.values.resize(self.seqs.len() * self.columns, None);
    }

    /// The values of the last row.
    fn last(&mut self) -> &mut [Option<Value>] {
        let at = self.values.len() - self.columns;
        &mut self.values[at..]
    }

    fn take_back(&mut self) {
        self.times_ns.pop();
        self.seqs.pop();
        self.lanes.pop();
        self.gaps.pop();
        self.values.truncate(self.seqs.len() * self.columns);
    }

    /// The rows as a batch, which leaves none.
    fn batch(&mut self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let mut gaps = StringBuilder::new();
        self.gaps.drain(..).for_each(|gap| gaps.append_option(gap));
        let times = TimestampNanosecondArray::from(std::mem::take(&mut self.times_ns));
        let lanes = StringArray::from_iter_values(self.lanes.drain(..));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(times.with_timezone(UTC)),
            Arc::new(UInt64Array::from(std::mem::take(&mut self.seqs))),
            Arc::new(lanes),
            Arc::new(gaps.finish()),
        ];
        for (index, field) in schema.fields().iter().skip(OWN_COLUMNS).enumerate() {
            let values = self.values.iter().skip(index).step_by(self.columns.max(1));
            columns.push(match field.data_type() {
                DataType::UInt64 => {
                    let integer = |value: &Option<Value>| match value {
                        Some(Value::U64(value)) => Some(*value),
                        // A sum that is beyond 64 bits.
                        _ => None,
                    };
                    Arc::new(values.map(integer).collect::<UInt64Array>())
                }
                _ => {
                    let float = |value: &Option<Value>| value.map(Value::as_f64);
                    Arc::new(values.map(float).collect::<Float64Array>())
                }
            });
        }
        self.values.clear();
        RecordBatch::try_new(Arc::clone(schema), columns)
    }
}

/// A ring whose turn it is, or will be.
#[derive(Debug)]
struct Turn<W> {
    extract: Extract<W>,
    lane: Arc<str>,
    tracks: Vec<Track>,
    /// Of each of its columns the track, and what is told of it.
    columns: Vec<(usize, Cell)>,
    /// The first of its columns among those of all rings.
    at: usize,
    seen_ns: u64,
    by: By,
}

#[derive(Debug)]
enum By {
    Records(Walk),
    Steps { steps: Box<Steps>, percentiles: Percentiles, told: Vec<Option<Value>> },
}

/// What a ring's turn gave.
enum Given {
    /// A row.
    Row,
    /// No more rows.
    End,
    /// No row because there may be no more; it would have been this one.
    Limit(Cursor),
}

impl<W: Words> WindowArrow<W> {
    /// The batches of what a window takes of some rings. A `limit` is as for columns.
    ///
    /// # Errors
    ///
    /// [`ArrowError`], of which none is known for what is written here.
    pub fn new(extracts: Vec<Extract<W>>, mut query: ColumnsQuery) -> Result<Self, ArrowError> {
        let mut turns = Vec::new();
        let mut fields = vec![
            Field::new("time", DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into())), false),
            Field::new("seq", DataType::UInt64, false),
            Field::new("lane", DataType::Utf8, false),
            Field::new("gap", DataType::Utf8, true),
        ];
        for extract in extracts {
            let turn = Turn::new(extract, &mut query, fields.len() - OWN_COLUMNS);
            fields.extend(turn.columns.iter().map(|(track, cell)| {
                let cell = query.step_ns.is_some().then_some(*cell);
                field(&turn.lane, &turn.tracks[*track], cell)
            }));
            turns.push(turn);
        }
        let columns = fields.len() - OWN_COLUMNS;
        let schema = Arc::new(Schema::new(fields));
        let writer = StreamWriter::try_new(Vec::new(), &schema)?;
        let left = query.limit.unwrap_or(u64::MAX);
        let rows = Rows { columns, ..Rows::default() };
        let rows_max = (BATCH_VALUES / columns.max(1)).max(1);
        Ok(Self { turns: turns.into_iter(), turn: None, writer, schema, rows, rows_max, left })
    }

    /// How many columns of series there are.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.rows.columns
    }

    /// Appends the next batch to `out`, with the schema before the first one, and says whether it was
    /// the last.
    ///
    /// # Errors
    ///
    /// As [`WindowArrow::new`].
    pub fn part(&mut self, out: &mut Vec<u8>) -> Result<bool, ArrowError> {
        let mut is_last = false;
        while self.rows.seqs.len() < self.rows_max && !is_last {
            let Some(turn) = &mut self.turn else {
                self.turn = self.turns.next();
                is_last = self.turn.is_none();
                continue;
            };
            match turn.row(&mut self.rows, &mut self.left) {
                Given::Row => {}
                Given::End => self.turn = None,
                Given::Limit(cursor) => {
                    let next = Some(format!("next={cursor}"));
                    self.rows.push(turn.seen_ns, cursor.seq, &turn.lane, next);
                    is_last = true;
                }
            }
        }
        if !self.rows.seqs.is_empty() {
            let batch = self.rows.batch(&self.schema)?;
            self.writer.write(&batch)?;
        }
        if is_last {
            self.writer.finish()?;
        }
        out.append(self.writer.get_mut());
        Ok(is_last)
    }
}

impl<W: Words> Turn<W> {
    fn new(extract: Extract<W>, query: &mut ColumnsQuery, at: usize) -> Self {
        let id = extract.ring.header().ring_id;
        let resume = query.resume.take_if(|cursor| cursor.ring_id == id);
        let first = resume.map_or(extract.first, |cursor| cursor.seq);
        let tracks = match query.step_ns {
            None => extract.tracks(),
            Some(_) => extract.tracks_ever().into_iter().map(|(_, track)| track).collect(),
        };
        let columns = query.columns(&tracks);
        let by = match query.step_ns {
            None => {
                let (range, begun) = ((first, extract.last), first > extract.first);
                By::Records(Walk::new(&extract.ring, range, extract.bounds, begun))
            }
            Some(step_ns) => {
                let mut steps = Box::new(Steps::new(tracks.clone(), step_ns));
                steps.begin(&extract.window(first));
                By::Steps { steps, percentiles: Percentiles::default(), told: Vec::new() }
            }
        };
        let (lane, seen_ns) = (extract.name.as_str().into(), extract.bounds.from_ns);
        Self { extract, lane, tracks, columns, at, seen_ns, by }
    }

    fn row(&mut self, rows: &mut Rows, left: &mut u64) -> Given {
        let Self { extract, lane, tracks, columns, at, seen_ns, by } = self;
        let Extract { ring, bounds, .. } = &*extract;
        let cost = columns.len() as u64;
        let place = |seq| {
            let ring_id = ring.header().ring_id;
            Given::Limit(Cursor { ring_id, seq, ..Cursor::within(bounds) })
        };
        let gap = match by {
            By::Records(walk) => loop {
                let Some(header) = walk.seek(ring) else { break told(walk.between().reasons()) };
                if *left == 0 {
                    return place(header.seq);
                }
                *seen_ns = header.realtime_ns;
                rows.push(header.realtime_ns, header.seq, lane, None);
                let values = &mut rows.last()[*at..];
                let read = ring.read(header.seq, |view| {
                    for (value, (track, _)) in values.iter_mut().zip(&*columns) {
                        *value = tracks[*track].value(&view);
                    }
                });
                if read.is_err() {
                    rows.take_back();
                    walk.lose();
                    continue;
                }
                if let Some(last) = rows.gaps.last_mut() {
                    *last = told(walk.between().reasons());
                }
                walk.pass();
                // The last row may have more values than were asked for, but there is one at least.
                *left = if *left < 2 * cost { 0 } else { *left - cost };
                return Given::Row;
            },
            By::Steps { steps, percentiles, told: cells_told } => match steps.next(ring) {
                None => told(steps.rest().reasons()),
                Some(step) if *left == 0 => return place(step.first_seq),
                Some(step) => {
                    *seen_ns = step.end_ns;
                    if step.end_ns == u64::MAX {
                        // The one step that is the window ends with its last record.
                        let time_ns = ring.read(step.last_seq, |view| view.realtime_ns());
                        *seen_ns = time_ns.unwrap_or(bounds.to_ns);
                    }
                    rows.push(*seen_ns, step.last_seq, lane, told(step.gaps.reasons()));
                    let mut column = 0;
                    for (index, aggregate) in steps.aggregates().iter().enumerate() {
                        let of = columns[column..].iter().take_while(|(of, _)| *of == index);
                        let cells: Vec<Cell> = of.map(|(_, cell)| *cell).collect();
                        if cells::is_there(aggregate) {
                            let series = (&steps.tracks()[index], aggregate);
                            let place = (ring, &step, bounds);
                            cells::fill(&cells, place, series, percentiles, cells_told);
                            let values = &mut rows.last()[*at + column..];
                            values[..cells.len()].copy_from_slice(cells_told);
                        }
                        column += cells.len();
                    }
                    *left = if *left < 2 * cost { 0 } else { *left - cost };
                    return Given::Row;
                }
            },
        };
        if gap.is_some() {
            let Bounds { to_ns, .. } = *bounds;
            let time_ns = if to_ns == u64::MAX { *seen_ns } else { to_ns };
            rows.push(time_ns, extract.last, lane, gap);
        }
        Given::End
    }
}

/// Gaps as the text of a cell.
fn told(reasons: impl Iterator<Item = GapReason>) -> Option<String> {
    let mut text = String::new();
    for reason in reasons {
        let space = if text.is_empty() { "" } else { " " };
        // Writing to a String does not fail.
        let _ = write!(text, "{space}{}={}", reason.as_str(), reason.count());
    }
    (!text.is_empty()).then_some(text)
}

fn field(lane: &str, track: &Track, cell: Option<Cell>) -> Field {
    let series = &track.series;
    let integer = match cell {
        None | Some(Cell::Min | Cell::Max | Cell::Last | Cell::Sum | Cell::Percentile(_)) => {
            series.repr == Repr::U64
        }
        Some(Cell::Increase) => series.repr == Repr::U64 && series.kind == Kind::Counter,
        Some(Cell::Count | Cell::Resets) => true,
        Some(Cell::Mean | Cell::Avg | Cell::Rate | Cell::Covered) => false,
    };
    let mut name = format!("{}/{}", series.object, series.metric);
    let mut metadata: HashMap<String, String> = [
        ("lane", lane),
        ("object", &*series.object),
        ("metric", &*series.metric),
        ("unit", series.unit.as_str()),
        ("kind", series.kind.as_str()),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .into();
    if let Some(cell) = cell {
        name = format!("{name}:{}", cell.name());
        metadata.insert("agg".to_owned(), cell.name().into_owned());
    }
    let data_type = if integer { DataType::UInt64 } else { DataType::Float64 };
    Field::new(name, data_type, true).with_metadata(metadata)
}
