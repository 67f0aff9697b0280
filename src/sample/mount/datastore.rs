//! The configured stores: whether each is there, its space, and the traffic of what lies under it.
//!
//! A store is a directory. At each reading its path is resolved anew, in the background, and the
//! mount that it lies on is looked up: a store that is not there has no values but `mounted`, which
//! is then 0, and never those of the file system underneath.
//!
//! A removable store is there when something is mounted at its path or above it, below the root. Any
//! other store is expected where it once was: if it was seen on a file system mounted further down
//! its path than what it lies on now, it waits until that one is back.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::record::{Class, object_id};

use super::super::background::Background;
use super::super::columns::Columns;
use super::super::fields::Fields;
use super::super::info::Info;
use super::super::source::Source;
use super::super::{Datastore, Roots, SampleError, Sampling};
use super::backing::{Backing, Digger, Under};
use super::place::Place;
use super::space::Space;
use super::table::{Mount, MountTable, below};
use super::traffic::Traffic;

/// How long the first turns wait for first values, of all stores together.
const SETTLE_MAX: Duration = Duration::from_millis(5);

/// A source for each store, so that each fails by itself.
pub(in crate::sample) fn all(sampling: &Sampling, period: Duration) -> Vec<Box<dyn Source>> {
    let settled = Instant::now() + SETTLE_MAX;
    let mut objects = HashSet::new();
    let stores = sampling.datastores.iter().map(|store| {
        let object = object_id(Class::Datastore, store.name.as_bytes());
        let is_first = objects.insert(object.clone());
        let path = below(&sampling.roots.rootfs, &store.path);
        if is_first {
            Box::new(Store::new(store, object, path, &sampling.roots, period, settled)) as _
        } else {
            Box::new(Namesake(path)) as _
        }
    });
    stores.collect()
}

/// A store with the name of another one. It has no series.
struct Namesake(PathBuf);

impl Source for Namesake {
    fn path(&self) -> &Path {
        &self.0
    }

    fn turn(&mut self, _: &mut Columns<'_>) -> Result<(), SampleError> {
        Err(SampleError::Ambiguous)
    }
}

/// What is found out about a store in the background.
#[derive(Debug, Default)]
struct Reading {
    space: Space,
    backing: Backing,
    fs_type: Vec<u8>,
    source: Vec<u8>,
    under: Under,
}

/// Where a store is sought.
struct Seeker {
    path: PathBuf,
    removable: bool,
    roots: Roots,
    table: MountTable,
    /// Where the path led when it was last found, and length of the longest mount point of those
    /// that it was found on there.
    seen: (PathBuf, usize),
    digger: Digger,
}

impl Seeker {
    /// Looks whether the store is there, and asks. May block.
    fn read(&mut self, reading: &mut Reading) -> Result<(), SampleError> {
        let resolve = |path: &Path| path.canonicalize().map_err(|error| SampleError::of_io(&error));
        let path = resolve(&self.path)?;
        let place = Place::open_directory(&path)?;
        // Read after the place was opened, the table knows the mount that it lies on.
        self.table.refresh();
        let mount = self.mount_of(&path, &place, &resolve(&self.roots.rootfs)?)?;
        reading.backing = Backing::of(&mount);
        reading.fs_type.clear();
        reading.fs_type.extend_from_slice(&mount.fs_type);
        reading.source.clear();
        reading.source.extend_from_slice(&mount.source);
        self.digger.dig(&mount, &self.roots, &mut reading.under);
        reading.space = place.space()?;
        Ok(())
    }

    /// The mount that the store lies on, if it is one on which it may lie.
    fn mount_of(&mut self, path: &Path, place: &Place, root: &Path) -> Result<Mount, SampleError> {
        let ours = self.table.is_ours();
        let inside = path.strip_prefix(root).map_err(|_| SampleError::NotMounted)?;
        let absolute = Path::new("/").join(inside);
        let mount = match place.mount_id {
            Some(id) if ours => self.table.by_id(id),
            _ => self.table.covering(absolute.as_os_str().as_bytes()),
        };
        let mount = match mount {
            Some(mount) if mount.is_root() || place.is_on(mount, ours) => mount.clone(),
            Some(_) => return Err(SampleError::NotMounted),
            // In a changed root directory the table may name no root.
            None => Mount::unnamed_root(place.number),
        };
        // An automounter's place is where a file system would be.
        if self.removable && mount.is_root() || *mount.fs_type == *b"autofs" {
            return Err(SampleError::NotMounted);
        }
        if self.seen.0 != path {
            self.seen = (path.into(), 0);
        }
        if mount.mount_point.len() < self.seen.1 {
            return Err(SampleError::NotMounted);
        }
        self.seen.1 = mount.mount_point.len();
        Ok(mount)
    }
}

/// One store and its series.
struct Store {
    path: PathBuf,
    removable: bool,
    roots: Roots,
    period: Duration,
    /// Until when the first turn may wait for first values.
    settled: Option<Instant>,
    background: Option<Background<Reading>>,
    state: Fields<9>,
    traffic: Traffic,
    /// Only the traffic could not be read.
    traffic_failed: bool,
    infos: [Info; 3],
}

impl Store {
    fn new(
        store: &Datastore,
        object: String,
        path: PathBuf,
        roots: &Roots,
        period: Duration,
        settled: Instant,
    ) -> Self {
        let metrics = [
            "size_bytes",
            "used_bytes",
            "available_bytes",
            "files",
            "files_free",
            "readonly",
            "age_ms",
            "stuck",
            "mounted",
        ];
        let mut store = Self {
            path,
            removable: store.removable,
            roots: roots.clone(),
            period,
            settled: Some(settled),
            background: None,
            state: Fields::new(&object, metrics),
            traffic: Traffic::in_bytes(&object, roots.sysfs.clone()),
            traffic_failed: false,
            infos: Info::of(&object, ["fstype", "device", "backing"]),
        };
        store.start();
        store
    }

    /// Begins to look for the store, unless that goes on. Where the system gives no thread, it may
    /// do so at the next turn.
    fn start(&mut self) {
        if self.background.is_some() {
            return;
        }
        let mut seeker = Seeker {
            path: self.path.clone(),
            removable: self.removable,
            roots: self.roots.clone(),
            table: MountTable::new(&self.roots),
            seen: (PathBuf::new(), 0),
            digger: Digger::default(),
        };
        let read = move |reading: &mut Reading| seeker.read(reading);
        self.background = Background::start("datastore", self.period, read).ok();
    }

    fn look(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { background, state, traffic, infos, .. } = self;
        let Some(background) = background else { return Err(SampleError::TooMany) };
        let latest = background.latest();
        let mut outcome = Ok(());
        state.begin();
        if let Some(Ok(())) = latest.outcome {
            let Reading { space, backing, fs_type, source, under } = latest.value;
            match under.dataset {
                _ if !latest.is_new => {}
                Some(_) => traffic.follow_dataset(source, under.dataset, columns),
                None => traffic.follow(&under.devices, columns),
            }
            let [files, files_free] = space.files.map_or([None; 2], |files| files.map(Some));
            let bytes = [space.size_bytes, space.used_bytes(), space.available_bytes].map(Some);
            let others = [files, files_free, Some(space.readonly.into())];
            state.put_given(bytes.into_iter().chain(others), columns);
            let values = [fs_type, source, backing.as_str().as_bytes()];
            for (info, value) in infos.iter_mut().zip(values) {
                outcome = outcome.and(info.put(value, columns));
            }
        } else if latest.outcome.is_some() {
            // What comes back may lie on another device of the same number.
            traffic.end(columns);
        }
        if let Some(found) = latest.outcome {
            state.put(6, latest.age_ns / 1_000_000, columns);
            state.put(8, found.is_ok().into(), columns);
        }
        state.put(7, latest.stuck.into(), columns);
        match latest.outcome {
            _ if latest.stuck => Err(SampleError::Stuck),
            Some(Ok(())) => outcome.and(state.finish(columns)),
            Some(Err(error)) => Err(error),
            None => Ok(()),
        }
    }
}

impl Source for Store {
    fn path(&self) -> &Path {
        self.traffic.path().filter(|_| self.traffic_failed).unwrap_or(&self.path)
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        self.start();
        if let Some((deadline, background)) = self.settled.take().zip(self.background.as_mut()) {
            background.settle(deadline);
        }
        let outcome = self.look(columns);
        let traffic = self.traffic.turn(columns);
        self.traffic_failed = outcome.is_ok() && traffic.is_err();
        outcome.and(traffic)
    }

    fn only_looks(&self) -> bool {
        true
    }
}
