//! [`Vitals`] of a file that nobody writes any more.

use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::ring_pull::{Answers, RingPull};
use super::vitals::{Freshness, Pull, Vitals, VitalsError};
use crate::ring::{OpenError, PreadWords, Ring, open_untrusted, realtime_ns};

/// The data of a saved ring.
///
/// It is read like any file of unknown origin: never mapped. Time stands still in it: the history of
/// the last 30 minutes is that before its newest record. It stays open, whatever becomes of its name.
pub struct SavedVitals {
    ring: Ring<Arc<PreadWords>>,
    answers: Rc<Answers>,
}

impl SavedVitals {
    /// The ring in the file at `path`.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when it is none.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (ring, _) = open_untrusted(path)?;
        Ok(Self { ring: ring.shared(), answers: Rc::default() })
    }

    /// When the newest record was taken, in nanoseconds since 1970.
    fn newest_ns(&self) -> Option<u64> {
        self.ring.latest(|view| view.realtime_ns())
    }
}

impl fmt::Debug for SavedVitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavedVitals").field("ring", self.ring.header()).finish_non_exhaustive()
    }
}

impl Vitals for SavedVitals {
    fn pull(&self, history: bool, start: i64) -> Result<Box<dyn Pull>, VitalsError> {
        let now = Duration::from_nanos(self.newest_ns().unwrap_or(0));
        Ok(Box::new(RingPull::begin(&self.ring, &self.answers, history, start, now)))
    }

    fn freshness(&self) -> Freshness {
        // Whether it can be read is all that can be asked of it: it does not get any fresher.
        let age_ns = |ns: u64| realtime_ns().saturating_sub(ns);
        Freshness {
            newest_age: self.newest_ns().map(|ns| Duration::from_nanos(age_ns(ns))),
            limit: Duration::MAX,
            state: "saved",
        }
    }
}
