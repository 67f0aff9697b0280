//! [`Vitals`] of a file that nobody writes any more.

use std::cell::RefCell;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::listing::{LatestPull, Listed, Listing, RingsPull, SeriesPull};
use super::query::{StreamParameters, WindowParameters};
use super::ring_pull::RingPull;
use super::scrapes::{HistoryStart, ScrapeWanted, Scraped};
use super::seen::{Seen, SeenRing};
use super::stream::{Feed, SavedFeed};
use super::tag::Version;
use super::usage::UsagePull;
use super::vitals::{Freshness, Pull, Vitals, VitalsError};
use super::window;
use crate::encode::{Frames, LatestPlan, RingLine, Start, living};
use crate::rights::Sight;
use crate::ring::{OpenError, PreadWords, Ring, open_untrusted, realtime_ns};
use crate::window::KnownDirectory;

/// What has become of its writer.
const STATE: &str = "saved";

/// The data of a saved ring.
///
/// It is read like any file of unknown origin: never mapped. Time stands still in it: the history of
/// the last 30 minutes is that before its newest record. It stays open, whatever becomes of its name.
pub struct SavedVitals {
    path: PathBuf,
    uid: u32,
    ring: Ring<Arc<PreadWords>>,
    plan: Rc<RefCell<LatestPlan>>,
    directory: KnownDirectory,
    seen: Seen,
}

impl SavedVitals {
    /// The ring in the file at `path`.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when it is none.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (ring, file) = open_untrusted(path)?;
        let uid = file.metadata().map_or(u32::MAX, |meta| meta.uid());
        let (path, ring) = (path.to_owned(), ring.shared());
        let (plan, directory) = (Rc::default(), KnownDirectory::default());
        let seen = Seen::by(Rc::new(Sight::everything()));
        Ok(Self { path, uid, ring, plan, directory, seen })
    }

    fn name(&self) -> String {
        name_of(&self.path)
    }

    /// Whether a request means this ring, if it names one.
    fn check(&self, wanted: Option<&String>) -> Result<(), VitalsError> {
        let name = self.name();
        let is_seen = || self.seen.has(self.ring.header().kind(), &name);
        match wanted {
            Some(wanted) if *wanted != name || !is_seen() => {
                Err(VitalsError::UnknownRing(wanted.clone()))
            }
            _ => Ok(()),
        }
    }

    fn seen(&self) -> Rc<SeenRing> {
        self.seen.ring(&self.name(), &self.ring)
    }

    fn line(&self) -> RingLine {
        RingLine {
            name: self.name(),
            kind: self.ring.header().kind(),
            state: STATE,
            interval_ns: self.ring.header().interval_ns,
            head: self.ring.head(),
            epoch: self.ring.epoch(),
            series: living(&self.ring),
            uid: self.uid,
            path: self.path.display().to_string(),
        }
    }

    fn listed(&self, names: &[String]) -> Result<Vec<Listed<Arc<PreadWords>>>, VitalsError> {
        names.iter().try_for_each(|name| self.check(Some(name)))?;
        let name = self.name();
        if !self.seen.has(self.ring.header().kind(), &name) {
            return Ok(Vec::new());
        }
        let (plan, objects) = (Rc::clone(&self.plan), self.seen().objects.clone());
        let (ring, directory) = (self.ring.clone(), self.directory.clone());
        Ok(vec![Listed { name, ring, plan, directory, objects }])
    }

    /// When the newest record was taken, in nanoseconds since 1970.
    fn newest_ns(&self) -> Option<u64> {
        self.ring.latest(|view| view.realtime_ns())
    }
}

/// The name of a file, as `export` has it.
fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

impl fmt::Debug for SavedVitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavedVitals").field("ring", self.ring.header()).finish_non_exhaustive()
    }
}

impl Vitals for SavedVitals {
    fn seen_by(&self, sight: &Rc<Sight>) -> Rc<dyn Vitals> {
        Rc::new(Self {
            path: self.path.clone(),
            uid: self.uid,
            ring: self.ring.clone(),
            plan: Rc::clone(&self.plan),
            directory: self.directory.clone(),
            seen: Seen::by(Rc::clone(sight)),
        })
    }

    fn pull(&self, history: bool, start: i64) -> Result<Box<dyn Pull>, VitalsError> {
        let now = Duration::from_nanos(self.newest_ns().unwrap_or(0));
        Ok(Box::new(RingPull::begin(&self.ring, &self.seen().answers, history, start, now)))
    }

    fn scrape(&self, wanted: &ScrapeWanted) -> Result<Scraped, VitalsError> {
        self.check(wanted.ring.as_ref())?;
        self.seen().scrapes.newest(&self.ring, wanted)
    }

    fn history(&self, wanted: &ScrapeWanted, start: HistoryStart) -> Result<Scraped, VitalsError> {
        self.check(wanted.ring.as_ref())?;
        let now = Duration::from_nanos(self.newest_ns().unwrap_or(0));
        self.seen().scrapes.history(&self.ring, wanted, start, now)
    }

    fn stream(&self, wanted: &StreamParameters) -> Result<Box<dyn Feed>, VitalsError> {
        self.check(wanted.ring.as_ref())?;
        let frames = Frames::new(&self.name(), wanted.start.unwrap_or(Start::Newest));
        let (ring, wanted) = (self.ring.clone(), wanted.clone());
        let objects = self.seen().objects.clone();
        Ok(Box::new(SavedFeed { ring, frames, objects, wanted }))
    }

    fn freshness(&self) -> Freshness {
        // Whether it can be read is all that can be asked of it: it does not get any fresher.
        let age_ns = |ns: u64| realtime_ns().saturating_sub(ns);
        Freshness {
            newest_age: self.newest_ns().map(|ns| Duration::from_nanos(age_ns(ns))),
            limit: Duration::MAX,
            state: STATE,
        }
    }

    fn list(&self, listing: Listing) -> Result<Box<dyn Pull>, VitalsError> {
        Ok(match listing {
            Listing::Rings => {
                let is_seen = self.seen.has(self.ring.header().kind(), &self.name());
                let lines = is_seen.then(|| self.line()).into_iter().collect();
                Box::new(RingsPull::of((lines, Vec::new(), 0)))
            }
            Listing::Usage => Box::new(UsagePull::of(&self.ring, &self.seen().objects)),
            Listing::Series(wanted) => {
                Box::new(SeriesPull::of(self.listed(&wanted.rings)?, wanted))
            }
            Listing::Latest(wanted) => {
                Box::new(LatestPull::of(self.listed(&wanted.rings)?, wanted))
            }
        })
    }

    fn version(&self, rings: Option<&[String]>) -> Option<Version> {
        let is_known = rings.is_none_or(|names| self.listed(names).is_ok());
        is_known.then(|| Version::of(&self.ring))
    }

    fn window(
        &self,
        wanted: WindowParameters,
        points_max: u64,
    ) -> Result<Box<dyn Pull>, VitalsError> {
        let rings = self.listed(&wanted.series.rings)?;
        let rings = rings.into_iter().map(Listed::into_named).collect();
        window::begin(rings, wanted, points_max, self.newest_ns().unwrap_or(0))
    }
}
