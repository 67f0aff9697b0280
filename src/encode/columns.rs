//! A window of several rings as columns: for each ring its times, and a list of values per series.
//!
//! ```text
//! {"lanes":[
//! {"lane":"host","time":[1795367200000,1795367203000],"seq":[4711,4712],"columns":[
//! {"object":"host","metric":"load1","unit":"count","kind":"gauge","values":[0.25,null]},
//! {"object":"nic/eth0","metric":"receive_bytes","unit":"bytes","kind":"counter","values":[7,9]}
//! ],"gaps":[
//! {"time":1795367203000,"seq":4712,"gap":"missed","count":2}
//! ]}
//! ],"next":null}
//! ```
//!
//! Times are milliseconds since 1970; of steps, those of their ends, and `seq` is the last record of
//! each. A column of steps says by `agg` what it tells of them. What was not measured, or does not
//! apply, is `null`.
//!
//! One column stands behind the other, so the records are gone through once for as many columns as
//! fit into a scratch of bounded size. Which records there are is settled with their times; the values
//! of a record that is overwritten after that are `null` where they had not been read, and told as
//! `overrun` behind all other gaps.

use super::PART_BYTES;
use super::cells::{self, Cell, Percentiles};
use super::cursor::Cursor;
use super::number::F64_ROOM;
use super::push_escaped;
use super::room::Room;
use crate::record::{ABSENT, RecordHeader};
use crate::ring::{Span as _, Value, Words};
use crate::window::{Extract, GapReason, Step, Steps, Track, Walk};

/// Values that are read in one go: of records 256 KiB, of steps twice as much.
const SCRATCH_VALUES: usize = 32 * 1024;
/// Most columns that are read in one go.
const GROUP_COLUMNS: usize = 64;
/// Gaps that are remembered from the walk over the times; for more, the walk is made once more.
const GAPS_KEPT: usize = 1024;
/// Most steps that one answer has of a ring; where there is no limit, more are refused beforehand.
pub const COLUMN_STEPS_MAX: u64 = 8 * 1024;
/// What steps say unless they are told, as far as it applies to a series.
const CELLS_DEFAULT: [Cell; 6] =
    [Cell::Avg, Cell::Min, Cell::Max, Cell::Last, Cell::Increase, Cell::Rate];
const NS_PER_MS: u64 = 1_000_000;

/// How a window is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnsQuery {
    /// How long its steps are; none gives every record. [`u64::MAX`] makes the window one step.
    pub step_ns: Option<u64>,
    /// What is told of steps; of each series what applies to it, when it is empty.
    pub cells: Vec<Cell>,
    /// How many values there may be, absent ones counted too. Of the records or steps those are given
    /// of which all values fit, and one at least.
    pub limit: Option<u64>,
    /// Where the first ring goes on, if this is not the beginning.
    pub resume: Option<Cursor>,
}

impl ColumnsQuery {
    /// Of each column the index of its track, and what is told of it.
    pub(super) fn columns(&self, tracks: &[Track]) -> Vec<(usize, Cell)> {
        let cells = match self.step_ns {
            None => &[Cell::Last][..],
            Some(_) if self.cells.is_empty() => &CELLS_DEFAULT,
            Some(_) => &self.cells,
        };
        let applying = |(index, track)| {
            cells.iter().filter(move |cell| cell.applies(track)).map(move |cell| (index, *cell))
        };
        tracks.iter().enumerate().flat_map(applying).collect()
    }
}

/// The columns of a window that are being written.
#[derive(Debug)]
pub struct WindowColumns<W> {
    extracts: std::vec::IntoIter<Extract<W>>,
    turn: Option<Turn<W>>,
    query: ColumnsQuery,
    /// How many values may still be written.
    left: u64,
    has_begun: bool,
    is_first: bool,
    scratch: Scratch,
}

impl<W: Words> WindowColumns<W> {
    /// The columns of what a window takes of some rings.
    #[must_use]
    pub fn new(extracts: Vec<Extract<W>>, query: ColumnsQuery) -> Self {
        let left = query.limit.unwrap_or(u64::MAX);
        let (extracts, scratch) = (extracts.into_iter(), Scratch::default());
        Self { extracts, turn: None, query, left, has_begun: false, is_first: true, scratch }
    }

    /// Appends the next text to `out`, until that has [`PART_BYTES`], and says whether it was the last.
    pub fn part(&mut self, out: &mut Vec<u8>) -> bool {
        let mut room = Room::behind(out);
        if !std::mem::replace(&mut self.has_begun, true) {
            room.push(b"{\"lanes\":[");
        }
        while room.len() < PART_BYTES {
            let Some(turn) = &mut self.turn else {
                let Some(extract) = self.extracts.next() else {
                    room.push(b"\n],\"next\":null}\n");
                    return true;
                };
                if self.left == 0 {
                    let ring_id = extract.ring.header().ring_id;
                    let place = Cursor::within(&extract.bounds);
                    write_next(Cursor { ring_id, seq: extract.first, ..place }, &mut room);
                    return true;
                }
                room.push(if std::mem::take(&mut self.is_first) { b"\n" } else { b",\n" });
                self.scratch.clear();
                self.turn = Some(Turn::new(extract, &mut self.query, self.left));
                continue;
            };
            if !turn.piece(&mut self.scratch, &mut room) {
                continue;
            }
            if let Some(cursor) = turn.next {
                write_next(cursor, &mut room);
                return true;
            }
            self.left = self.left.saturating_sub(turn.axis.rows() * turn.columns.len() as u64);
            self.turn = None;
        }
        false
    }
}

fn write_next(cursor: Cursor, room: &mut Room<'_>) {
    room.push(b"\n],\"next\":");
    room.push_escaped(&cursor.to_string());
    room.push(b"}\n");
}

/// Values that were read and wait to be written: those of some columns, for some rows.
#[derive(Debug, Default)]
struct Scratch {
    /// Of records, row by row.
    words: Vec<u64>,
    /// Of steps, column by column.
    values: Vec<Option<Value>>,
    columns: std::ops::Range<usize>,
    rows: std::ops::Range<u64>,
    percentiles: Percentiles,
    cells: Vec<Option<Value>>,
    /// Of each column the track, and where it lies if that is one place.
    places: Vec<(usize, Option<usize>)>,
    /// What stands before a column's values.
    head: Vec<u8>,
}

impl Scratch {
    fn clear(&mut self) {
        (self.columns, self.rows) = (0..0, 0..0);
    }

    /// Makes room for these columns and rows.
    fn begin(
        &mut self,
        of_steps: bool,
        columns: std::ops::Range<usize>,
        rows: std::ops::Range<u64>,
    ) {
        let values = columns.len() * height(&rows);
        // What is in them is written over, all of it.
        if of_steps {
            self.values.clear();
            self.values.resize(values, None);
        } else {
            self.words.resize(values, ABSENT);
        }
        (self.columns, self.rows) = (columns, rows);
    }

    fn holds(&self, column: usize, row: u64) -> bool {
        self.columns.contains(&column) && self.rows.contains(&row)
    }

    /// The words of a column, from a row on.
    fn column(&self, column: usize, row: u64) -> impl Iterator<Item = u64> {
        let (width, offset) = (self.columns.len(), column - self.columns.start);
        let rows = &self.words[(row - self.rows.start) as usize * width..];
        rows.chunks_exact(width).map(move |row| row[offset])
    }

    /// The same of steps.
    fn steps(&self, column: usize, row: u64) -> &[Option<Value>] {
        let height = height(&self.rows);
        let at = (column - self.columns.start) * height;
        &self.values[at + (row - self.rows.start) as usize..at + height]
    }
}

fn height(rows: &std::ops::Range<u64>) -> usize {
    (rows.end - rows.start) as usize
}

/// Which rows there are.
#[derive(Debug)]
enum Axis {
    /// Records: a bit for each from `first` on, whether it is a row.
    Records { first: u64, bits: Vec<u64>, rows: u64 },
    /// Steps.
    Steps(Vec<Step>),
}

impl Axis {
    fn rows(&self) -> u64 {
        match self {
            Self::Records { rows, .. } => *rows,
            Self::Steps(steps) => steps.len() as u64,
        }
    }

    fn add(&mut self, seq: u64) {
        if let Self::Records { first, bits, rows } = self {
            let bit = (seq - *first) as usize;
            if bits.len() <= bit / 64 {
                bits.resize(bit / 64 + 1, 0);
            }
            bits[bit / 64] |= 1 << (bit % 64);
            *rows += 1;
        }
    }
}

/// The first record from `seq` on that is a row.
fn row_from((first, bits): (u64, &[u64]), seq: u64) -> Option<u64> {
    let bit = (seq - first) as usize;
    let mut word = bit / 64;
    let mut left = bits.get(word)? >> (bit % 64) << (bit % 64);
    while left == 0 {
        word += 1;
        left = *bits.get(word)?;
    }
    Some(first + word as u64 * 64 + u64::from(left.trailing_zeros()))
}

/// How far a ring's turn has come.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Opening,
    /// With the step that comes next.
    Times(usize),
    /// With the record or the step that comes next.
    Sequences(u64),
    /// A column, its row and, of records, the record that comes next to be read.
    Column {
        index: usize,
        row: u64,
        seq: u64,
    },
    Gaps(usize),
    LateGaps,
}

/// A ring whose turn it is.
#[derive(Debug)]
struct Turn<W> {
    extract: Extract<W>,
    tracks: Vec<Track>,
    /// Of each column the track, and what is told of it.
    columns: Vec<(usize, Cell)>,
    step_ns: Option<u64>,
    first: u64,
    rows_max: u64,
    walk: Walk,
    axis: Axis,
    stage: Stage,
    gaps: Vec<(u64, u64, GapReason)>,
    /// The walk where the first gap was found that is not remembered.
    late: Option<Walk>,
    /// Rows that were overwritten before all of their values had been read.
    lost: u64,
    has_gap: bool,
    /// Whether what stands before the values of the current column has been written.
    has_head: bool,
    next: Option<Cursor>,
}

impl<W: Words> Turn<W> {
    fn new(extract: Extract<W>, query: &mut ColumnsQuery, left: u64) -> Self {
        let id = extract.ring.header().ring_id;
        let resume = query.resume.take().filter(|cursor| cursor.ring_id == id);
        let first = resume.map_or(extract.first, |cursor| cursor.seq);
        let tracks = match query.step_ns {
            None => extract.tracks(),
            Some(_) => extract.tracks_ever().into_iter().map(|(_, track)| track).collect(),
        };
        let columns = query.columns(&tracks);
        let mut rows_max = (left / columns.len().max(1) as u64).max(1);
        if query.step_ns.is_some() {
            rows_max = rows_max.min(COLUMN_STEPS_MAX);
        }
        let begun = first > extract.first;
        let walk = Walk::new(&extract.ring, (first, extract.last), extract.bounds, begun);
        let axis = match query.step_ns {
            None => {
                let first = walk.next_seq();
                let words = (extract.last + 1).saturating_sub(first).div_ceil(64);
                let bits = Vec::with_capacity(words as usize);
                Axis::Records { first, bits, rows: 0 }
            }
            Some(_) => Axis::Steps(Vec::new()),
        };
        let (step_ns, stage, gaps) = (query.step_ns, Stage::Opening, Vec::new());
        Self {
            extract,
            tracks,
            columns,
            step_ns,
            first,
            rows_max,
            walk,
            axis,
            stage,
            gaps,
            late: None,
            lost: 0,
            has_gap: false,
            has_head: false,
            next: None,
        }
    }

    /// Writes until there is enough for a part, and says whether it has come to its end.
    fn piece(&mut self, scratch: &mut Scratch, room: &mut Room<'_>) -> bool {
        while room.len() < PART_BYTES {
            // Enough for what is written before the length is looked at again.
            room.reserve(PART_BYTES - room.len() + 2 * F64_ROOM);
            match self.stage {
                Stage::Opening => {
                    room.push(b"{\"lane\":");
                    room.push_escaped(&self.extract.name);
                    room.push(b",\"time\":[");
                    if let Some(step_ns) = self.step_ns {
                        self.find_steps(step_ns);
                    }
                    self.stage = Stage::Times(0);
                }
                Stage::Times(index) => self.times(index, room),
                Stage::Sequences(seq) => self.sequences(seq, room),
                Stage::Column { index, row, seq } => self.column((index, row, seq), scratch, room),
                Stage::Gaps(index) => self.gaps(index, room),
                Stage::LateGaps => {
                    if self.late_gaps(room) {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// The steps of the window. They are few, so they are found at once.
    fn find_steps(&mut self, step_ns: u64) {
        let Self { extract, axis: Axis::Steps(found), gaps, .. } = self else { return };
        let mut steps = Steps::new(Vec::new(), step_ns);
        steps.begin(&extract.window(self.first));
        let bounds = extract.bounds;
        while let Some(mut step) = steps.next(&extract.ring) {
            if found.len() as u64 == self.rows_max {
                let ring_id = extract.ring.header().ring_id;
                let seq = step.first_seq;
                self.next = Some(Cursor { ring_id, seq, ..Cursor::within(&bounds) });
                return;
            }
            // The one step that is the window ends with its last record.
            if step.end_ns == u64::MAX {
                let time_ns = extract.ring.read(step.last_seq, |view| view.realtime_ns());
                step.end_ns = time_ns.unwrap_or(bounds.to_ns);
            }
            gaps.extend(step.gaps.reasons().map(|reason| (step.end_ns, step.last_seq, reason)));
            found.push(step);
        }
        let end = |step: &Step| (step.end_ns, step.last_seq);
        let (time_ns, seq) = found.last().map_or((bounds.from_ns, self.first), end);
        gaps.extend(steps.rest().reasons().map(|reason| (time_ns, seq, reason)));
    }

    fn times(&mut self, index: usize, room: &mut Room<'_>) {
        let Self { extract, walk, axis, gaps, late, .. } = self;
        if let Axis::Steps(steps) = axis {
            for (index, step) in steps.iter().enumerate().skip(index) {
                if room.len() >= PART_BYTES {
                    self.stage = Stage::Times(index);
                    return;
                }
                room.value(Value::U64(step.end_ns / NS_PER_MS));
                room.block(b",", 1);
            }
        } else {
            while room.len() < PART_BYTES {
                let before = *walk;
                let header = walk.seek(&extract.ring);
                if axis.rows() == self.rows_max
                    && let Some(header) = header
                {
                    let ring_id = extract.ring.header().ring_id;
                    let place = Cursor::within(&extract.bounds);
                    self.next = Some(Cursor { ring_id, seq: header.seq, ..place });
                }
                let Some(header) = header.filter(|_| self.next.is_none()) else { break };
                let between = walk.between();
                if between.reasons().next().is_some() && late.is_none() {
                    if gaps.len() < GAPS_KEPT {
                        let told = |reason| (header.realtime_ns, header.seq, reason);
                        gaps.extend(between.reasons().map(told));
                    } else {
                        *late = Some(before);
                    }
                }
                axis.add(header.seq);
                walk.pass();
                room.value(Value::U64(header.realtime_ns / NS_PER_MS));
                room.block(b",", 1);
            }
            if room.len() >= PART_BYTES {
                return;
            }
            if late.is_none() && self.next.is_none() {
                let (time_ns, seq) = (extract.bounds.to_ns, extract.last);
                gaps.extend(walk.between().reasons().map(|reason| (time_ns, seq, reason)));
            }
        }
        close(axis.rows() > 0, room);
        room.push(b",\"seq\":[");
        let from = if let Axis::Records { first, .. } = axis { *first } else { 0 };
        self.stage = Stage::Sequences(from);
    }

    fn sequences(&mut self, from: u64, room: &mut Room<'_>) {
        match &self.axis {
            Axis::Steps(steps) => {
                for (index, step) in steps.iter().enumerate().skip(from as usize) {
                    if room.len() >= PART_BYTES {
                        self.stage = Stage::Sequences(index as u64);
                        return;
                    }
                    room.value(Value::U64(step.last_seq));
                    room.block(b",", 1);
                }
            }
            Axis::Records { first, bits, .. } => {
                let mut from = from;
                while let Some(seq) = row_from((*first, bits), from) {
                    if room.len() >= PART_BYTES {
                        self.stage = Stage::Sequences(seq);
                        return;
                    }
                    room.value(Value::U64(seq));
                    room.block(b",", 1);
                    from = seq + 1;
                }
            }
        }
        close(self.axis.rows() > 0, room);
        room.push(b",\"columns\":[");
        let seq = if let Axis::Records { first, .. } = self.axis { first } else { 0 };
        self.stage = Stage::Column { index: 0, row: 0, seq };
    }

    fn column(
        &mut self,
        (index, mut row, mut seq): (usize, u64, u64),
        scratch: &mut Scratch,
        room: &mut Room<'_>,
    ) {
        let Some((track, cell)) = self.columns.get(index).copied() else {
            room.push(b"\n],\"gaps\":[");
            self.stage = Stage::Gaps(0);
            return;
        };
        if !std::mem::replace(&mut self.has_head, true) {
            let cell = self.step_ns.is_some().then_some(cell);
            scratch.head.clear();
            write_head(&self.tracks[track], cell, index == 0, &mut scratch.head);
            room.push(&scratch.head);
            room.reserve(PART_BYTES.saturating_sub(room.len()) + 2 * F64_ROOM);
        }
        let rows = self.axis.rows();
        while row < rows && room.len() < PART_BYTES {
            if !scratch.holds(index, row) {
                seq = self.fill((index, row, seq), scratch);
            }
            let begun = row;
            row += if self.step_ns.is_some() {
                room.values(scratch.steps(index, row))
            } else {
                let repr = self.tracks[track].series.repr;
                room.words(scratch.column(index, row), repr)
            };
            debug_assert!(row > begun);
        }
        self.stage = Stage::Column { index, row, seq };
        if row == rows {
            self.has_head = false;
            close(rows > 0, room);
            room.push(b"}");
            let seq = if let Axis::Records { first, .. } = self.axis { first } else { 0 };
            self.stage = Stage::Column { index: index + 1, row: 0, seq };
        }
    }

    /// Reads the values of the column from this row on, and of as many others as there is room for.
    /// `seq` is the record of the row or before it; the one that comes next is returned.
    fn fill(&mut self, (index, row, seq): (usize, u64, u64), scratch: &mut Scratch) -> u64 {
        let rows = self.axis.rows();
        let values = SCRATCH_VALUES as u64;
        let group = (values / rows.max(1)).clamp(1, GROUP_COLUMNS as u64) as usize;
        let mut end = (index + group).min(self.columns.len());
        match &self.axis {
            Axis::Records { .. } => {
                scratch.begin(false, index..end, row..rows.min(row + values));
                self.fill_records(seq, scratch)
            }
            Axis::Steps(_) => {
                // All that is told of a series is had at one time.
                let track_of = |column: usize| self.columns[column].0;
                while end < self.columns.len() && track_of(end) == track_of(end - 1) {
                    end += 1;
                }
                let mut begin = index;
                while begin > 0 && track_of(begin) == track_of(begin - 1) {
                    begin -= 1;
                }
                scratch.begin(true, begin..end, 0..rows);
                self.fill_steps(scratch);
                seq
            }
        }
    }

    fn fill_records(&mut self, mut seq: u64, scratch: &mut Scratch) -> u64 {
        let Axis::Records { first, bits, .. } = &self.axis else { return seq };
        let Extract { ring, last, .. } = &self.extract;
        let Self { tracks, columns, .. } = &*self;
        let Scratch { words, places, columns: group, .. } = scratch;
        // Nearly all series lie in one column in all records, which is then known beforehand.
        places.clear();
        places.extend(columns[group.clone()].iter().map(|(index, _)| {
            let track = &tracks[*index];
            let whole = track.stretches.iter().find(|s| s.first <= *first && s.last >= *last);
            (*index, whole.map(|stretch| stretch.column))
        }));
        // And mostly one beside the other.
        let begin = places[0].1;
        let beside = |(offset, place): (usize, &(usize, Option<usize>))| {
            place.1.is_some_and(|column| begin.is_some_and(|begin| column == begin + offset))
        };
        let begin = begin.filter(|_| places.iter().enumerate().all(beside));
        let mut lost = 0;
        for row in words.chunks_exact_mut(group.len()) {
            let Some(found) = row_from((*first, bits), seq) else { break };
            seq = found + 1;
            let read = ring.read(found, |view| match begin {
                Some(begin) => {
                    let mut words = view.span().words(RecordHeader::WORDS + begin);
                    row.fill_with(|| words.next().unwrap_or(ABSENT));
                }
                None => {
                    for (word, (track, column)) in row.iter_mut().zip(&*places) {
                        let column = column.or_else(|| Some(tracks[*track].at(found)?.1.column));
                        *word = column.map_or(ABSENT, |column| view.word(column));
                    }
                }
            });
            if read.is_err() {
                lost += 1;
                row.fill(ABSENT);
            }
        }
        self.lost = self.lost.max(lost);
        seq
    }

    fn fill_steps(&mut self, scratch: &mut Scratch) {
        let (Axis::Steps(found), Some(step_ns)) = (&self.axis, self.step_ns) else { return };
        let Extract { ring, bounds, .. } = &self.extract;
        let columns = &self.columns[scratch.columns.clone()];
        let (Some((from, _)), Some((to, _))) = (columns.first(), columns.last()) else { return };
        let height = height(&scratch.rows);
        let mut steps = Steps::new(self.tracks[*from..=*to].to_vec(), step_ns);
        steps.begin(&self.extract.window(self.first));
        let (mut row, mut seen) = (0, 0);
        while let Some(step) = steps.next(ring) {
            // Those at the beginning may have been overwritten since they were found.
            while row < height && found[row].last_seq < step.last_seq {
                row += 1;
            }
            if row == height {
                break;
            }
            seen += step.records;
            let mut column = 0;
            for (index, aggregate) in steps.aggregates().iter().enumerate() {
                let track = &steps.tracks()[index];
                let told = columns[column..].iter().take_while(|(of, _)| *of == from + index);
                let told: Vec<Cell> = told.map(|(_, cell)| *cell).collect();
                if cells::is_there(aggregate) {
                    let place = (ring, &step, bounds);
                    let Scratch { percentiles, cells, values, .. } = scratch;
                    cells::fill(&told, place, (track, aggregate), percentiles, cells);
                    for (offset, value) in cells.iter().enumerate() {
                        values[(column + offset) * height + row] = *value;
                    }
                }
                column += told.len();
            }
        }
        let records: u64 = found.iter().map(|step| step.records).sum();
        self.lost = self.lost.max(records.saturating_sub(seen));
    }

    fn gaps(&mut self, mut index: usize, room: &mut Room<'_>) {
        while let Some((time_ns, seq, reason)) = self.gaps.get(index).copied() {
            if room.len() >= PART_BYTES {
                self.stage = Stage::Gaps(index);
                return;
            }
            self.gap(time_ns, seq, reason, room);
            index += 1;
        }
        self.stage = Stage::LateGaps;
    }

    /// The gaps that were not remembered, and that of the rows that were lost; whether that was all.
    fn late_gaps(&mut self, room: &mut Room<'_>) -> bool {
        let end = self.next.map_or(u64::MAX, |cursor| cursor.seq);
        while let Some(mut walk) = self.late {
            if room.len() >= PART_BYTES {
                return false;
            }
            let header = walk.seek(&self.extract.ring).filter(|header| header.seq < end);
            let between = walk.between();
            walk.pass();
            self.late = header.map(|_| walk);
            let (time_ns, seq) = match header {
                Some(header) => (header.realtime_ns, header.seq),
                None if self.next.is_some() => break,
                None => (self.extract.bounds.to_ns, self.extract.last),
            };
            between.reasons().for_each(|reason| self.gap(time_ns, seq, reason, room));
        }
        if self.lost > 0 {
            let lost = GapReason::Overrun(self.lost);
            self.gap(self.extract.bounds.from_ns, self.first, lost, room);
        }
        room.push(if self.has_gap { b"\n]}" } else { b"]}" });
        true
    }

    fn gap(&mut self, time_ns: u64, seq: u64, reason: GapReason, room: &mut Room<'_>) {
        room.push(if std::mem::replace(&mut self.has_gap, true) { b",\n" } else { b"\n" });
        room.push(b"{\"time\":");
        room.push_u64(time_ns / NS_PER_MS);
        room.push(b",\"seq\":");
        room.push_u64(seq);
        room.push(b",\"gap\":");
        room.push_escaped(reason.as_str());
        room.push(b",\"count\":");
        room.push_u64(reason.count());
        room.push(b"}");
    }
}

/// Ends a list; a comma stands behind its last element, if it has one.
fn close(has_elements: bool, room: &mut Room<'_>) {
    room.truncate(room.len() - usize::from(has_elements));
    room.push(b"]");
}

fn write_head(track: &Track, cell: Option<Cell>, is_first: bool, out: &mut Vec<u8>) {
    let series = &track.series;
    out.extend_from_slice(if is_first { b"\n{" } else { b",\n{" });
    for (name, text) in [
        ("object", &*series.object),
        ("metric", &*series.metric),
        ("unit", series.unit.as_str()),
        ("kind", series.kind.as_str()),
    ] {
        push_escaped(out, name);
        out.push(b':');
        push_escaped(out, text);
        out.push(b',');
    }
    if let Some(cell) = cell {
        out.extend_from_slice(b"\"agg\":");
        push_escaped(out, &cell.name());
        out.push(b',');
    }
    out.extend_from_slice(b"\"values\":[");
}
