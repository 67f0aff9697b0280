//! What the front end asks of the recorder's data, as two small traits.
//!
//! The front end knows HTTP and the envelopes; whoever implements these knows the ring. Neither
//! needs the other to be tested.

use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::listing::Listing;
use super::query::{StreamParameters, WindowParameters};
use super::scrapes::{HistoryStart, ScrapeWanted, Scraped};
use super::stream::Feed;
use super::tag::Version;
use super::window::WindowError;
pub use crate::encode::PART_BYTES;
use crate::rights::Sight;

/// The recorder's data, as a front end needs it.
pub trait Vitals: 'static {
    /// The same data as somebody sees it: of each answer, only what `sight` shows.
    fn seen_by(&self, sight: &Rc<Sight>) -> Rc<dyn Vitals>;

    /// Begins an answer with the points of the pbs view.
    ///
    /// With `history`, all generations of the last 30 minutes whose timestamp is greater than
    /// `start` (epoch seconds), oldest first; without, the newest generation alone, whatever
    /// `start` says. A ring that holds nothing gives a pull that is empty.
    ///
    /// # Errors
    ///
    /// [`VitalsError`] if the ring cannot be read; nothing has been written then.
    fn pull(&self, history: bool, start: i64) -> Result<Box<dyn Pull>, VitalsError>;

    /// Begins an answer with the newest record of a ring, for Prometheus.
    ///
    /// # Errors
    ///
    /// As [`Vitals::list`], and [`VitalsError::Overrun`].
    fn scrape(&self, _: &ScrapeWanted) -> Result<Scraped, VitalsError> {
        Err(VitalsError::Absent)
    }

    /// Begins an answer with all records of a ring from `start` on, for Prometheus.
    ///
    /// # Errors
    ///
    /// As [`Vitals::scrape`].
    fn history(&self, _: &ScrapeWanted, _: HistoryStart) -> Result<Scraped, VitalsError> {
        Err(VitalsError::Absent)
    }

    /// Begins a stream of the records of a ring.
    ///
    /// # Errors
    ///
    /// As [`Vitals::list`].
    fn stream(&self, _: &StreamParameters) -> Result<Box<dyn Feed>, VitalsError> {
        Err(VitalsError::Absent)
    }

    /// How old the newest record is and how old it may be.
    fn freshness(&self) -> Freshness;

    /// Begins an answer of the native API: a whole JSON document.
    ///
    /// # Errors
    ///
    /// [`VitalsError::UnknownRing`] if a ring is asked for that is not there, and
    /// [`VitalsError::Absent`] where nothing can be listed, as here unless it is said otherwise.
    fn list(&self, _: Listing) -> Result<Box<dyn Pull>, VitalsError> {
        Err(VitalsError::Absent)
    }

    /// What the answers show that are begun now: those of the ring that [`pull`](Self::pull) reads,
    /// or of the rings with these names, which [`list`](Self::list) reads; an empty list means all.
    ///
    /// `None` if that cannot be told, as here unless it is said otherwise: such answers have no entity
    /// tag.
    fn version(&self, _rings: Option<&[String]>) -> Option<Version> {
        None
    }

    /// Begins an answer with a window, which is whole in the form that was asked for. It has at most
    /// `points_max` points, or as many as were asked for.
    ///
    /// # Errors
    ///
    /// As [`Vitals::list`], and [`VitalsError::Window`] if there is no such window.
    fn window(&self, _: WindowParameters, _points_max: u64) -> Result<Box<dyn Pull>, VitalsError> {
        Err(VitalsError::Absent)
    }
}

/// An answer being written, part by part, as fast as the client takes it.
pub trait Pull {
    /// Appends the next points to `out`, about [`PART_BYTES`] of them, or of a list the next bytes.
    ///
    /// The points of all parts, one after the other, are the elements of a JSON array without its
    /// brackets: a comma stands between two points, also between the last of one part and the
    /// first of the next. What is already in `out` belongs to the caller.
    ///
    /// Between two calls seconds may pass in which the writer goes on; a pull that finds its
    /// window overrun says [`Part::Broken`]. After any answer but [`Part::More`] it is not called
    /// again.
    fn part(&mut self, out: &mut Vec<u8>) -> Part;
}

/// What a call of [`Pull::part`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// At least one byte was appended and there is more to come.
    More,
    /// This was the last part; it may be empty.
    Last,
    /// The answer cannot be completed. A client that has seen its beginning is cut off, so that it
    /// cannot take the fragment for the whole.
    Broken,
}

/// How old the newest record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Age of the newest record; `None` when there has been none.
    pub newest_age: Option<Duration>,
    /// The age up to which a record counts as fresh.
    pub limit: Duration,
    /// The ring's state in one word, such as `live`, `hung` or `dead`.
    pub state: &'static str,
}

impl Freshness {
    /// Whether there is a record and it is young enough.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.newest_age.is_some_and(|age| age <= self.limit)
    }
}

/// Why no answer could begin.
#[derive(Debug)]
#[non_exhaustive]
pub enum VitalsError {
    /// There is no ring.
    Absent,
    /// There is no ring of this name that can be served.
    UnknownRing(String),
    /// There is a ring and it cannot be read.
    Unreadable(Box<dyn Error>),
    /// The writer overran the window again and again while the answer was begun.
    Overrun,
    /// There is no such window.
    Window(WindowError),
}

impl From<WindowError> for VitalsError {
    fn from(error: WindowError) -> Self {
        Self::Window(error)
    }
}

impl fmt::Display for VitalsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VitalsError::Absent => f.write_str("there is no ring to read"),
            VitalsError::UnknownRing(name) => write!(f, "there is no ring {name:?} to read"),
            VitalsError::Unreadable(cause) => write!(f, "the ring cannot be read: {cause}"),
            VitalsError::Window(error) => error.fmt(f),
            VitalsError::Overrun => f.write_str("the window was overrun while it was read"),
        }
    }
}

impl Error for VitalsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            VitalsError::Unreadable(cause) => Some(&**cause),
            VitalsError::Window(error) => Some(error),
            VitalsError::Absent | VitalsError::UnknownRing(_) | VitalsError::Overrun => None,
        }
    }
}
