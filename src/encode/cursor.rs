//! Where a window goes on after so many points: all that the next request has to say.

use std::fmt;
use std::str::FromStr;

use crate::window::Bounds;

/// A place in a window.
///
/// It is told as text, which stands for itself in a URL, and holds all that there is to know: nothing
/// is kept between two requests. The times are those of the first request, so that relative ones do
/// not move.
///
/// # Examples
///
/// ```
/// use tachograph::encode::Cursor;
///
/// let text = "000000000000002a0000000000000007.4711.3.1795367200000000000.1795367500000000000";
/// let cursor: Cursor = text.parse().expect("a cursor");
/// assert_eq!((cursor.ring_id, cursor.seq, cursor.series), ([42, 7], 4711, 3));
/// assert_eq!(cursor.to_string(), text);
/// assert!("4711".parse::<Cursor>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The ring whose turn it is.
    pub ring_id: [u64; 2],
    /// Its record, or the first record of its step, whose turn it is.
    pub seq: u64,
    /// The number of the directory's entry whose turn it is.
    pub series: usize,
    /// Where the window begins, in nanoseconds since 1970.
    pub from_ns: u64,
    /// Where it ends.
    pub to_ns: u64,
}

impl Cursor {
    /// A place in a window with these bounds, of no ring yet.
    pub(super) fn within(bounds: &Bounds) -> Self {
        let Bounds { from_ns, to_ns, .. } = *bounds;
        Self { ring_id: [0; 2], seq: 0, series: 0, from_ns, to_ns }
    }
}

/// What was taken for a cursor is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ring_id: [high, low], seq, series, from_ns, to_ns } = self;
        write!(f, "{high:016x}{low:016x}.{seq}.{series}.{from_ns}.{to_ns}")
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let mut fields = text.split('.');
        let id = fields.next().filter(|id| id.len() == 32).ok_or(NoCursor)?;
        // A sign would be read as well.
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'.') {
            return Err(NoCursor);
        }
        let half = |half: &str| u64::from_str_radix(half, 16).map_err(|_| NoCursor);
        let ring_id = [half(&id[..16])?, half(&id[16..])?];
        let mut number =
            || fields.next().and_then(|field| field.parse::<u64>().ok()).ok_or(NoCursor);
        let (seq, series, from_ns, to_ns) = (number()?, number()?, number()?, number()?);
        let series = usize::try_from(series).map_err(|_| NoCursor)?;
        match fields.next() {
            None => Ok(Self { ring_id, seq, series, from_ns, to_ns }),
            Some(_) => Err(NoCursor),
        }
    }
}
