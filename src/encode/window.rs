//! A window of several rings as rows, written part by part.
//!
//! The rings have their turn one after the other. Each record is checked by itself when its rows have
//! been written: as rows of a record that was overwritten meanwhile they are taken back, and the
//! record is told as overrun. So an answer may take as long as whoever reads it likes, and needs the
//! memory of one part and of the series' names.

use super::PART_BYTES;
use super::cells::{self, Cell, Percentiles};
use super::cursor::Cursor;
use super::room::Room;
use super::rows::{RowFormat, RowTexts, Rows};
use crate::record::RecordHeader;
use crate::ring::{Value, Words};
use crate::window::{Extract, Step, Steps, Track, Walk};

/// How a window is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsQuery {
    /// As what.
    pub format: RowFormat,
    /// How long its steps are; none gives every record. [`u64::MAX`] makes the window one step.
    pub step_ns: Option<u64>,
    /// What a step says; [`Cell::DEFAULT`] when it is empty.
    pub cells: Vec<Cell>,
    /// How many rows there may be, those of gaps not counted.
    pub limit: Option<u64>,
    /// Where the first ring goes on, if this is not the beginning.
    pub resume: Option<Cursor>,
}

/// The rows of a window that are being written.
#[derive(Debug)]
pub struct WindowRows<W> {
    extracts: std::vec::IntoIter<Extract<W>>,
    turn: Option<Turn<W>>,
    rows: Rows,
    query: RowsQuery,
    /// How many rows may still be written.
    left: u64,
    has_begun: bool,
}

impl<W: Words> WindowRows<W> {
    /// The rows of what a window takes of some rings.
    #[must_use]
    pub fn new(extracts: Vec<Extract<W>>, mut query: RowsQuery) -> Self {
        let mut cells: &[Cell] = &[];
        if query.step_ns.is_some() {
            if query.cells.is_empty() {
                query.cells = Cell::DEFAULT.to_vec();
            } else if query.cells[0] != Cell::Count {
                // Where the count of a gap has its place, too.
                query.cells.insert(0, Cell::Count);
            }
            cells = &query.cells;
        }
        let rows = Rows::new(query.format, cells);
        let left = query.limit.unwrap_or(u64::MAX);
        Self { extracts: extracts.into_iter(), turn: None, rows, query, left, has_begun: false }
    }

    /// Appends the next rows to `out`, until that has [`PART_BYTES`], and says whether they were the
    /// last.
    pub fn part(&mut self, out: &mut Vec<u8>) -> bool {
        let mut room = Room::behind(out);
        if !std::mem::replace(&mut self.has_begun, true) {
            self.rows.head(&mut room);
        }
        while room.len() < PART_BYTES {
            if self.turn.is_none() {
                let Some(extract) = self.extracts.next() else {
                    self.rows.tail(None, &mut room);
                    return true;
                };
                self.turn = Some(Turn::new(extract, &mut self.query));
            }
            let Some(turn) = &mut self.turn else { continue };
            match turn.piece((&mut self.rows, &mut self.left), &self.query.cells, &mut room) {
                Piece::Full => {}
                Piece::End => self.turn = None,
                Piece::Limit(cursor) => {
                    self.rows.tail(Some(&cursor.to_string()), &mut room);
                    return true;
                }
            }
        }
        false
    }
}

/// How a ring's turn was interrupted.
enum Piece {
    /// There is enough for one part.
    Full,
    /// The ring has no more.
    End,
    /// There may be no more rows; they would go on here.
    Limit(Cursor),
}

/// A ring whose turn it is.
#[derive(Debug)]
struct Turn<W> {
    extract: Extract<W>,
    texts: RowTexts,
    /// The series of the current record or step that comes next.
    next: usize,
    /// Whether the gaps before the current record or step were told.
    told: bool,
    /// The record or step that goes on at a series.
    resume: Option<(u64, usize)>,
    /// The time of the last record or step.
    seen_ns: u64,
    by: By,
}

/// What rows are made of.
#[derive(Debug)]
enum By {
    Records(Walk),
    Steps(Box<BySteps>),
}

#[derive(Debug)]
struct BySteps {
    /// Of each track, the number of its first entry.
    numbers: Vec<usize>,
    steps: Steps,
    step: Option<Step>,
    percentiles: Percentiles,
    values: Vec<Option<Value>>,
}

impl<W: Words> Turn<W> {
    fn new(extract: Extract<W>, query: &mut RowsQuery) -> Self {
        let id = extract.ring.header().ring_id;
        let resume = query.resume.take().filter(|cursor| cursor.ring_id == id);
        // What has been overwritten since the answer before is told.
        let first = resume.map_or(extract.first, |cursor| cursor.seq);
        let begun = first > extract.first;
        let mut texts = RowTexts::new(query.format);
        let by = match query.step_ns {
            None => {
                for numbered in &extract.entries {
                    texts.push(&extract.name, &numbered.entry.series);
                }
                let range = (first, extract.last);
                By::Records(Walk::new(&extract.ring, range, extract.bounds, begun))
            }
            Some(step_ns) => {
                let (numbers, tracks): (Vec<_>, Vec<_>) = extract.tracks_ever().into_iter().unzip();
                tracks.iter().for_each(|track| texts.push(&extract.name, &track.series));
                let mut steps = Steps::new(tracks, step_ns);
                steps.begin(&extract.window(first));
                let (percentiles, values) = (Percentiles::default(), Vec::new());
                By::Steps(Box::new(BySteps { numbers, steps, step: None, percentiles, values }))
            }
        };
        let resume = resume.map(|cursor| (cursor.seq, cursor.series));
        let seen_ns = extract.bounds.from_ns;
        Self { extract, texts, next: 0, told: false, resume, seen_ns, by }
    }

    fn piece(
        &mut self,
        (rows, left): (&mut Rows, &mut u64),
        cells: &[Cell],
        room: &mut Room<'_>,
    ) -> Piece {
        let Self { extract, texts, next, told, resume, seen_ns, by } = self;
        let Extract { name, ring, bounds, entries, .. } = &*extract;
        // Where nothing follows, a gap lasts as long as the window.
        let end_ns = |seen_ns: u64| if bounds.to_ns == u64::MAX { seen_ns } else { bounds.to_ns };
        let cursor = |seq, series| {
            let ring_id = ring.header().ring_id;
            Piece::Limit(Cursor { ring_id, seq, series, ..Cursor::within(bounds) })
        };
        match by {
            By::Records(walk) => {
                while room.len() < PART_BYTES {
                    let Some(header) = walk.seek(ring) else {
                        rows.at(end_ns(*seen_ns), extract.last);
                        walk.between().reasons().for_each(|reason| rows.gap(name, reason, room));
                        return Piece::End;
                    };
                    let RecordHeader { seq, realtime_ns, .. } = header;
                    let resumed = resume.take().filter(|(at, series)| *at == seq && *series > 0);
                    if let Some((_, series)) = resumed {
                        *next = entries.partition_point(|numbered| numbered.number < series);
                        *told = true;
                        walk.between();
                    }
                    if *left == 0 {
                        let number = if *next == 0 { 0 } else { entries[*next].number };
                        return cursor(seq, number);
                    }
                    *seen_ns = realtime_ns;
                    rows.at(realtime_ns, seq);
                    if !std::mem::replace(told, true) {
                        walk.between().reasons().for_each(|reason| rows.gap(name, reason, room));
                    }
                    let (begun, first, most) = (room.len(), rows.first, *left);
                    let read = ring.read(seq, |view| {
                        let mut index = *next;
                        for numbered in &entries[index..] {
                            if room.len() >= PART_BYTES || *left == 0 {
                                break;
                            }
                            let entry = &numbered.entry;
                            if entry.covers(seq)
                                && let Some(value) =
                                    Value::of_word(view.word(entry.column), entry.series.repr)
                            {
                                room.reserve(texts.room_bytes());
                                rows.value((texts, index), value, room);
                                *left -= 1;
                            }
                            index += 1;
                        }
                        index
                    });
                    match read {
                        Ok(index) if index < entries.len() => *next = index,
                        Ok(_) => {
                            walk.pass();
                            (*next, *told) = (0, false);
                        }
                        Err(_) => {
                            room.truncate(begun);
                            (rows.first, *left) = (first, most);
                            walk.lose();
                            (*next, *told) = (0, false);
                        }
                    }
                }
                Piece::Full
            }
            By::Steps(by) => {
                let BySteps { numbers, steps, step, percentiles, values } = &mut **by;
                while room.len() < PART_BYTES {
                    if step.is_none() {
                        *step = steps.next(ring);
                        (*next, *told) = (0, false);
                    }
                    let Some(now) = *step else {
                        rows.at(end_ns(*seen_ns), extract.last);
                        steps.rest().reasons().for_each(|reason| rows.gap(name, reason, room));
                        return Piece::End;
                    };
                    let resumed =
                        resume.take().filter(|(at, series)| *at == now.first_seq && *series > 0);
                    if let Some((_, series)) = resumed {
                        *next = numbers.partition_point(|number| *number < series);
                        *told = true;
                    }
                    if *left == 0 {
                        let number = if *next == 0 { 0 } else { numbers[*next] };
                        return cursor(now.first_seq, number);
                    }
                    if now.end_ns < u64::MAX {
                        *seen_ns = now.end_ns;
                    } else if let Ok(time_ns) = ring.read(now.last_seq, |view| view.realtime_ns()) {
                        // The one step that is the window ends with its last record.
                        *seen_ns = time_ns;
                    }
                    rows.at(*seen_ns, now.last_seq);
                    if !std::mem::replace(told, true) {
                        now.gaps.reasons().for_each(|reason| rows.gap(name, reason, room));
                    }
                    while *next < numbers.len() && room.len() < PART_BYTES && *left > 0 {
                        let aggregate = &steps.aggregates()[*next];
                        let track: &Track = &steps.tracks()[*next];
                        if cells::is_there(aggregate) {
                            let place = (ring, &now, bounds);
                            cells::fill(cells, place, (track, aggregate), percentiles, values);
                            // The count is there in any case.
                            if values[1..].iter().any(Option::is_some) {
                                rows.step((texts, *next), values, room);
                                *left -= 1;
                            }
                        }
                        *next += 1;
                    }
                    if *next == numbers.len() {
                        *step = None;
                    }
                }
                Piece::Full
            }
        }
    }
}
