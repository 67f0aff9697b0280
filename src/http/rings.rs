//! The rings that are served beside one another: found in directories, followed, left when they go.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use super::counters::{Counters, count};
use super::limits::{DIRECTORY_NAMES_MAX, LOOK_PAUSE, REFUSED_MAX, RINGS_MAX};
use super::listing::Listed;
use super::seen::Seen;
use super::tag::Version;
use crate::encode::{LatestPlan, RingLine, living};
use crate::ring::{OpenError, ReadMap, Reader, RingKind, layout, unfit_name};
use crate::window::KnownDirectory;

/// The rings in some directories, as far as they can be trusted.
///
/// They are looked for when somebody asks, at most once a second: nothing runs in between. A ring that
/// is damaged, or that somebody else could change under its readers, is refused, told once in the log
/// with the reason, and counted; the others are served.
#[derive(Debug)]
pub struct Rings {
    dirs: Vec<PathBuf>,
    counters: Rc<Counters>,
    looked: Cell<Option<Instant>>,
    found: RefCell<Found>,
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    rings: Vec<Rc<Served>>,
    refused: Vec<Refused>,
    left_out: u64,
}

/// A ring that is served.
#[derive(Debug)]
struct Served {
    name: String,
    path: PathBuf,
    uid: Cell<u32>,
    reader: RefCell<Reader>,
    plan: Rc<RefCell<LatestPlan>>,
    directory: KnownDirectory,
}

/// A file that is not served, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) path: String,
    pub(super) reason: String,
}

impl Rings {
    /// The rings of `dirs`, whether these are there yet or not. Of two rings of one name that in the
    /// earlier directory is served. What is refused is counted in `counters`.
    #[must_use]
    pub fn of(dirs: Vec<PathBuf>, counters: Rc<Counters>) -> Self {
        Self { dirs, counters, looked: Cell::new(None), found: RefCell::default() }
    }

    /// The rings with these names, or all, of those of which something is `seen`; or the name that
    /// there is none of.
    pub(super) fn listed(
        &self,
        names: &[String],
        seen: &Seen,
    ) -> Result<Vec<Listed<ReadMap>>, String> {
        self.follow();
        let found = self.found.borrow();
        let is_seen = |ring: &&Rc<Served>| seen.has(ring.kind(), &ring.name);
        let rings: Vec<_> = found.rings.iter().filter(is_seen).collect();
        let unknown = |name: &&String| !rings.iter().any(|ring| ring.name == **name);
        if let Some(unknown) = names.iter().find(unknown) {
            return Err(unknown.clone());
        }
        let wanted = |ring: &&&Rc<Served>| names.is_empty() || names.contains(&ring.name);
        Ok(rings.iter().filter(wanted).map(|ring| ring.listed(seen)).collect())
    }

    /// What the rings with these names, or all, show now; `None` if there is none of a name.
    pub(super) fn version(&self, names: &[String]) -> Option<Version> {
        self.follow();
        let found = self.found.borrow();
        if !names.iter().all(|name| found.rings.iter().any(|ring| ring.name == *name)) {
            return None;
        }
        let wanted = |ring: &&Rc<Served>| names.is_empty() || names.contains(&ring.name);
        let mut wanted = found.rings.iter().filter(wanted);
        let version = |ring: &Rc<Served>| Version::of(ring.reader.borrow().ring());
        match (wanted.next(), wanted.clone().next()) {
            (Some(only), None) => Some(version(only)),
            (first, _) => {
                let all = first.into_iter().chain(wanted);
                Some(Version::of_all(all.map(|ring| (&*ring.name, version(ring)))))
            }
        }
    }

    /// The file of the ring with this name, if something is `seen` of it.
    pub(super) fn path_of(&self, name: &str, seen: &Seen) -> Option<PathBuf> {
        self.follow();
        let found = self.found.borrow();
        let is_it = |ring: &&Rc<Served>| ring.name == name && seen.has(ring.kind(), name);
        found.rings.iter().find(is_it).map(|ring| ring.path.clone())
    }

    /// What there is to tell of every ring of which something is `seen`, and, to whom the host is shown,
    /// of every file that is refused and how many more there are.
    pub(super) fn lines(&self, seen: &Seen) -> (Vec<RingLine>, Vec<Refused>, u64) {
        self.follow();
        let found = self.found.borrow();
        let is_seen = |ring: &&Rc<Served>| seen.has(ring.kind(), &ring.name);
        let lines = found.rings.iter().filter(is_seen).map(|ring| ring.line()).collect();
        match seen.has_host() {
            true => (lines, found.refused.clone(), found.left_out),
            false => (lines, Vec::new(), 0),
        }
    }

    /// Sees to it that the rings are those that there are now, or were a second ago.
    fn follow(&self) {
        let due = self.looked.get().is_none_or(|looked| looked.elapsed() >= LOOK_PAUSE);
        if due {
            self.looked.set(Some(Instant::now()));
            self.look();
        }
        // A ring that says that another has taken its place is followed at once.
        for ring in self.found.borrow().rings.iter().filter(|ring| ring.is_retired()) {
            // Where that cannot be read, the next look tells.
            let _ = ring.refresh();
        }
    }

    fn look(&self) {
        let mut found = self.found.borrow_mut();
        let before = std::mem::take(&mut *found);
        let mut look = Look { before: before.rings, found: &mut found };
        let mut seen = Vec::new();
        for dir in &self.dirs {
            // One directory may be named twice.
            let Ok(meta) = fs::metadata(dir) else { continue };
            if !seen.contains(&(meta.dev(), meta.ino())) {
                seen.push((meta.dev(), meta.ino()));
                look.take(dir);
            }
        }
        for gone in look.before {
            tracing::info!("the ring {} is gone", printable(&gone.path.to_string_lossy()));
        }
        for Refused { path, reason } in &found.refused {
            if !before.refused.iter().any(|known| (&known.path, &known.reason) == (path, reason)) {
                count(&self.counters.rings_refused);
                let (path, reason) = (printable(path), printable(reason));
                tracing::warn!("{path} is not served: {reason}");
            }
        }
        if found.left_out > 0 && before.left_out == 0 {
            count(&self.counters.rings_left_out);
            tracing::warn!(
                "{} files are left out: {RINGS_MAX} rings are served, and {REFUSED_MAX} told why not",
                found.left_out
            );
        }
    }
}

/// One look at the directories.
struct Look<'a> {
    /// What was served before and has not been found again yet.
    before: Vec<Rc<Served>>,
    found: &'a mut Found,
}

impl Look<'_> {
    fn take(&mut self, dir: &Path) {
        match names_in(dir) {
            Ok((names, more)) => {
                self.found.left_out += more;
                names.iter().for_each(|name| self.take_ring(dir, name));
            }
            Err(error) => self.refuse(dir, format!("the directory cannot be read: {error}")),
        }
    }

    fn take_ring(&mut self, dir: &Path, name: &str) {
        let path = dir.join(format!("{name}.ring"));
        if let Some(first) = self.found.rings.iter().find(|ring| ring.name == name) {
            let reason = format!("there is another ring of this name: {}", first.path.display());
            return self.refuse(&path, reason);
        }
        if self.found.rings.len() == RINGS_MAX {
            self.found.left_out += 1;
            return;
        }
        let known = self.before.iter().position(|ring| ring.path == path);
        let followed = match known.map(|index| self.before.swap_remove(index)) {
            Some(ring) => ring.refresh().map(|()| ring),
            None => Served::open(name, &path).map(Rc::new),
        };
        match followed {
            Ok(ring) => match ring.unfit() {
                Some(reason) => self.refuse(&path, reason.to_owned()),
                None => self.found.rings.push(ring),
            },
            // It has gone since the directory was read.
            Err(OpenError::Missing(_)) => {}
            Err(error) => self.refuse(&path, error.to_string()),
        }
    }

    fn refuse(&mut self, path: &Path, reason: String) {
        if self.found.refused.len() == REFUSED_MAX {
            self.found.left_out += 1;
            return;
        }
        let path = path.display().to_string();
        self.found.refused.push(Refused { path, reason });
    }
}

/// The names of the rings in a directory, sorted, and 1 if there are so many files that not all were
/// looked at.
fn names_in(dir: &Path) -> io::Result<(Vec<String>, u64)> {
    let (mut names, mut more) = (Vec::new(), 0);
    for (index, entry) in fs::read_dir(dir)?.enumerate() {
        if index == DIRECTORY_NAMES_MAX {
            more = 1;
            break;
        }
        let name = entry?.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(".ring"));
        names.extend(name.filter(|name| !name.is_empty()).map(str::to_owned));
    }
    names.sort_unstable();
    Ok((names, more))
}

impl Served {
    fn open(name: &str, path: &Path) -> Result<Self, OpenError> {
        let reader = Reader::open(path)?;
        tracing::debug!("serving the ring {}", printable(&path.to_string_lossy()));
        Ok(Self {
            name: name.to_owned(),
            path: path.to_owned(),
            uid: Cell::new(owner(path)),
            reader: RefCell::new(reader),
            plan: Rc::default(),
            directory: KnownDirectory::default(),
        })
    }

    fn refresh(&self) -> Result<(), OpenError> {
        if self.reader.borrow_mut().refresh()? {
            self.uid.set(owner(&self.path));
            let path = self.path.to_string_lossy();
            tracing::info!("following the ring {} to a new file", printable(&path));
        }
        Ok(())
    }

    /// Why it is not served although it can be read.
    fn unfit(&self) -> Option<&'static str> {
        match self.kind() {
            RingKind::Application => unfit_name(&self.name),
            _ => None,
        }
    }

    fn kind(&self) -> RingKind {
        self.reader.borrow().ring().header().kind()
    }

    fn is_retired(&self) -> bool {
        self.reader.borrow().ring().state() == layout::state::RETIRED
    }

    fn listed(&self, seen: &Seen) -> Listed<ReadMap> {
        let ring = self.reader.borrow().ring().clone();
        let objects = seen.ring(&self.name, &ring).objects.clone();
        let (name, directory) = (self.name.clone(), self.directory.clone());
        Listed { name, ring, plan: Rc::clone(&self.plan), directory, objects }
    }

    fn line(&self) -> RingLine {
        let reader = self.reader.borrow();
        let ring = reader.ring();
        RingLine {
            name: self.name.clone(),
            kind: ring.header().kind(),
            state: reader.liveness().as_str(),
            interval_ns: ring.header().interval_ns,
            head: ring.head(),
            epoch: ring.epoch(),
            series: living(ring),
            uid: self.uid.get(),
            path: self.path.display().to_string(),
        }
    }
}

/// A text for the log, where it must not begin another line: files may be named by anybody.
fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        text.escape_debug().to_string().into()
    } else {
        text.into()
    }
}

/// The owner of a file; nobody's when it has gone.
fn owner(path: &Path) -> u32 {
    fs::symlink_metadata(path).map_or(u32::MAX, |meta| meta.uid())
}
