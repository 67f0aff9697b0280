//! The window that a request of the native API asks for.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use hyper::StatusCode;

use super::query::{WindowFormat, WindowParameters};
use super::vitals::{Part, Pull, VitalsError};
#[cfg(feature = "arrow")]
use crate::encode::{ARROW_COLUMNS_MAX, WindowArrow};
use crate::encode::{
    COLUMN_STEPS_MAX, ColumnsQuery, Cursor, Moment, RowsQuery, WindowColumns, WindowRows,
};
use crate::ring::{Ring, Words};
use crate::window::{Bounds, Extract, NamedRing};

/// How far back a window reaches unless it is told.
pub(super) const FROM_DEFAULT: Moment = Moment::Before(Duration::from_secs(300));

/// The ring that is meant where one is needed and none is named.
pub(super) const RING_DEFAULT: &str = "host";

/// Why a window is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowError {
    /// It ends before it begins.
    Reversed,
    /// Records are counted by ring, and several are asked for.
    ManyRings,
    /// It may have more points than an answer may.
    TooManyPoints {
        /// How many it may have.
        points: u64,
        /// How many an answer may have.
        max: u64,
    },
    /// It may have more steps than an answer in columns may.
    TooManySteps {
        /// How many it may have.
        steps: u64,
        /// How many an answer may have.
        max: u64,
    },
    /// It has more columns than an answer in Arrow may.
    TooManyColumns {
        /// How many it has.
        columns: usize,
        /// How many an answer may have.
        max: usize,
    },
    /// This program was built without the feature `arrow`.
    NoArrow,
    /// The ring or the records where it was to go on are not there any more.
    CursorGone,
}

impl WindowError {
    /// The parameter that has to be another.
    #[must_use]
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Reversed => "from",
            Self::ManyRings => "since_seq",
            Self::TooManyPoints { .. } => "limit",
            Self::TooManySteps { .. } => "step",
            Self::TooManyColumns { .. } => "match",
            Self::NoArrow => "format",
            Self::CursorGone => "next",
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Reversed | Self::ManyRings | Self::NoArrow => StatusCode::BAD_REQUEST,
            Self::TooManyPoints { .. }
            | Self::TooManySteps { .. }
            | Self::TooManyColumns { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::CursorGone => StatusCode::GONE,
        }
    }
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reversed => f.write_str("`from` is after `to`"),
            Self::ManyRings => f.write_str("`since_seq` is of one `ring`, and several are named"),
            Self::TooManyPoints { points, max } => write!(
                f,
                "the window may have {points} points, and an answer has {max} at most; ask for a \
                 shorter one, a longer `step`, fewer series by `match`, or give a `limit`"
            ),
            Self::TooManySteps { steps, max } => write!(
                f,
                "the window may have {steps} steps, and an answer in columns has {max} at most; ask \
                 for longer ones, or give a `limit`"
            ),
            Self::TooManyColumns { columns, max } => write!(
                f,
                "the window has {columns} columns, and an answer in Arrow has {max} at most; ask for \
                 fewer series"
            ),
            Self::NoArrow => f.write_str("this program was built without the feature `arrow`"),
            Self::CursorGone => {
                f.write_str("what `next` goes on with is not there any more; begin anew")
            }
        }
    }
}

impl Error for WindowError {}

/// Begins the answer to a request: of `rings`, of which `now_ns` is the time.
pub(super) fn begin<W: Words + 'static>(
    rings: Vec<NamedRing<W>>,
    wanted: WindowParameters,
    points_max: u64,
    now_ns: u64,
) -> Result<Box<dyn Pull>, VitalsError> {
    let bounds = bounds(&wanted, now_ns)?;
    let mut turns = Turns::of(&rings);
    let patterns = &wanted.series;
    let name = RefCell::new(String::new());
    let mut extracts = Extract::all(rings, bounds, |entry| {
        if patterns.matching.is_empty() {
            return true;
        }
        let mut name = name.borrow_mut();
        name.clear();
        for text in [&entry.series.object, "/", &entry.series.metric] {
            name.push_str(text);
        }
        patterns.admits(&name)
    });
    if let Some(cursor) = &wanted.next {
        turns.skip_to(cursor)?;
        extracts.retain(|extract| turns.are_left(&extract.ring));
        // Its records have been overwritten, and nothing is known of where the others would begin.
        let id = extracts.first().map(|extract| extract.ring.header().ring_id);
        if id != Some(cursor.ring_id) {
            return Err(WindowError::CursorGone.into());
        }
    }
    let step_ns = wanted.step_ns();
    let points: u64 = extracts.iter().map(|extract| points(extract, step_ns)).sum();
    if wanted.limit.is_none() && points > points_max {
        return Err(WindowError::TooManyPoints { points, max: points_max }.into());
    }
    if let (WindowFormat::Columns, None, Some(step_ns)) = (wanted.format, wanted.limit, step_ns) {
        let steps = extracts.iter().map(|extract| steps(extract, step_ns)).max().unwrap_or(0);
        if steps > COLUMN_STEPS_MAX {
            return Err(WindowError::TooManySteps { steps, max: COLUMN_STEPS_MAX }.into());
        }
    }
    let WindowParameters { cells, format, limit, next: resume, .. } = wanted;
    match format.rows() {
        Some(format) => {
            let query = RowsQuery { format, step_ns, cells, limit, resume };
            Ok(Box::new(WindowRows::new(extracts, query)))
        }
        None => {
            let query = ColumnsQuery { step_ns, cells, limit, resume };
            if format == WindowFormat::Arrow {
                return arrow(extracts, query);
            }
            Ok(Box::new(WindowColumns::new(extracts, query)))
        }
    }
}

#[cfg(feature = "arrow")]
fn arrow<W: Words + 'static>(
    extracts: Vec<Extract<W>>,
    query: ColumnsQuery,
) -> Result<Box<dyn Pull>, VitalsError> {
    let window = WindowArrow::new(extracts, query);
    let window = window.map_err(|error| VitalsError::Unreadable(Box::new(error)))?;
    let columns = window.columns();
    if columns > ARROW_COLUMNS_MAX {
        return Err(WindowError::TooManyColumns { columns, max: ARROW_COLUMNS_MAX }.into());
    }
    Ok(Box::new(window))
}

#[cfg(not(feature = "arrow"))]
fn arrow<W>(_: Vec<Extract<W>>, _: ColumnsQuery) -> Result<Box<dyn Pull>, VitalsError> {
    Err(WindowError::NoArrow.into())
}

fn bounds(wanted: &WindowParameters, now_ns: u64) -> Result<Bounds, WindowError> {
    if let Some(Cursor { from_ns, to_ns, .. }) = wanted.next {
        return Ok(Bounds { from_ns, to_ns, since_seq: wanted.since_seq });
    }
    let is_counted = wanted.since_seq.is_some();
    let from = wanted.from.unwrap_or(if is_counted { Moment::At(0) } else { FROM_DEFAULT });
    // Who asks by sequence is not to lose a record whose time is, for once, not in its order.
    let to = wanted.to.unwrap_or(Moment::At(if is_counted { u64::MAX } else { now_ns }));
    let (from_ns, to_ns) = (from.ns(now_ns), to.ns(now_ns));
    if from_ns > to_ns {
        return Err(WindowError::Reversed);
    }
    Ok(Bounds { from_ns, to_ns, since_seq: wanted.since_seq })
}

/// The rings that still have their turn.
struct Turns {
    ids: Vec<[u64; 2]>,
}

impl Turns {
    fn of<W: Words>(rings: &[NamedRing<W>]) -> Self {
        Self { ids: rings.iter().map(|named| named.ring.header().ring_id).collect() }
    }

    fn skip_to(&mut self, cursor: &Cursor) -> Result<(), WindowError> {
        let at = self.ids.iter().position(|id| *id == cursor.ring_id);
        self.ids.drain(..at.ok_or(WindowError::CursorGone)?);
        Ok(())
    }

    fn are_left<W: Words>(&self, ring: &Ring<W>) -> bool {
        self.ids.contains(&ring.header().ring_id)
    }
}

/// How many steps there can be of a ring: as many as lie in the time of its records, and no more than
/// those.
fn steps<W: Words>(extract: &Extract<W>, step_ns: u64) -> u64 {
    let first = extract.ring.bounds().map_or(1, |(oldest, _)| oldest).max(extract.first);
    let time_ns = |seq| extract.ring.read(seq, |view| view.realtime_ns()).ok();
    let records = (extract.last + 1).saturating_sub(first);
    // Where one of the two cannot be read, nothing is known of the times between them.
    let (Some(from_ns), Some(to_ns)) = (time_ns(first), time_ns(extract.last)) else {
        return records;
    };
    (to_ns.abs_diff(from_ns) / step_ns + 2).min(records)
}

/// How many points there can be of a ring: of each series, as many as it has records or steps.
fn points<W: Words>(extract: &Extract<W>, step_ns: Option<u64>) -> u64 {
    let (oldest, _) = extract.ring.bounds().unwrap_or((1, 0));
    let first = extract.first.max(oldest);
    let steps_max = step_ns.map_or(u64::MAX, |step_ns| steps(extract, step_ns));
    let of = |first: u64, last: u64| (last + 1).saturating_sub(first).min(steps_max);
    let entries = extract.entries.iter().map(|numbered| &numbered.entry);
    entries.map(|entry| of(entry.first.max(first), entry.last.min(extract.last))).sum()
}

#[cfg(feature = "arrow")]
impl<W: Words> Pull for WindowArrow<W> {
    fn part(&mut self, out: &mut Vec<u8>) -> Part {
        match WindowArrow::part(self, out) {
            Ok(true) => Part::Last,
            Ok(false) => Part::More,
            Err(_) => Part::Broken,
        }
    }
}

impl<W: Words> Pull for WindowColumns<W> {
    fn part(&mut self, out: &mut Vec<u8>) -> Part {
        if WindowColumns::part(self, out) { Part::Last } else { Part::More }
    }
}

impl<W: Words> Pull for WindowRows<W> {
    fn part(&mut self, out: &mut Vec<u8>) -> Part {
        if WindowRows::part(self, out) { Part::Last } else { Part::More }
    }
}
