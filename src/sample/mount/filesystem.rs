//! The mounted file systems: space of each, and the traffic of what lies under it.
//!
//! An object is a mount point. Its series tell of one file system, by type, source, device number
//! and the directory of it that is mounted: when another one comes to be mounted there, they end
//! and new ones begin. When the same one is mounted anew they go on, and only its space is asked
//! for afresh. A file system that hides under another one at the same point is not looked at.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::record::{Class, object_id};

use super::super::background::Background;
use super::super::columns::Columns;
use super::super::fields::Fields;
use super::super::info::Info;
use super::super::source::Source;
use super::super::{Filesystems, Roots, SampleError, Sampling};
use super::backing::{Backing, Digger, Under};
use super::place::Place;
use super::space::Space;
use super::table::{Mount, MountTable, below};
use super::traffic::Traffic;

/// Most file systems that are watched; each takes a thread.
const FILESYSTEMS_MAX: usize = 256;
/// How long the first turn waits for first values, of all file systems together.
const SETTLE_MAX: Duration = Duration::from_millis(5);

/// The source.
pub(in crate::sample) struct Mounted {
    roots: Roots,
    wanted: Filesystems,
    period: Duration,
    table: MountTable,
    watched: Vec<Watched>,
    /// The file systems have been found out for the first time.
    begun: bool,
    /// There are more than [`FILESYSTEMS_MAX`].
    too_many: bool,
    /// What was told of the table.
    told: Result<(), SampleError>,
}

impl Mounted {
    pub(in crate::sample) fn new(sampling: &Sampling, period: Duration) -> Self {
        Self {
            roots: sampling.roots.clone(),
            wanted: sampling.filesystems.clone(),
            period,
            table: MountTable::new(&sampling.roots),
            watched: Vec::new(),
            begun: false,
            too_many: false,
            told: Ok(()),
        }
    }

    fn state_of_table(&self) -> Result<(), SampleError> {
        let too_many = if self.too_many { Err(SampleError::TooMany) } else { Ok(()) };
        self.table.outcome().and(too_many)
    }

    /// The mounts that are to be watched: the root and what the filters admit.
    fn find(&self) -> Vec<Mount> {
        let admits = |mount: &&Mount| {
            self.wanted.mount_points.admits(&mount.mount_point)
                && self.wanted.types.admits(&mount.fs_type)
        };
        let mut found: Vec<_> = self.root().into_iter().collect();
        let others = self.table.on_top().into_iter().filter(|mount| !mount.is_root());
        found.extend(others.filter(admits).cloned());
        found
    }

    /// The root, which is what is found at its path, whatever the table says.
    fn root(&self) -> Option<Mount> {
        let place = Place::open(&self.roots.rootfs).ok();
        let is_it = |mount: &&Mount| {
            place.as_ref().is_some_and(|place| place.is_on(mount, self.table.is_ours()))
        };
        let named = self.table.roots().rev().find(is_it).or(self.table.roots().next_back());
        named.cloned().or(place.map(|place| Mount::unnamed_root(place.number)))
    }

    /// Ends what is gone or has been replaced, and begins to watch what is new.
    fn follow(&mut self, columns: &mut Columns<'_>) {
        let mut found = self.find();
        self.too_many = found.len() > FILESYSTEMS_MAX;
        found.truncate(FILESYSTEMS_MAX);
        self.watched.retain_mut(|watched| {
            let stays = found.iter().position(|mount| mount.is_alike(&watched.mount));
            match stays.map(|index| found.swap_remove(index)) {
                Some(mount) if mount.id == watched.mount.id => {}
                Some(mount) => {
                    watched.mount = mount;
                    watched.background = None;
                }
                None => watched.end(columns),
            }
            stays.is_some()
        });
        // In the order of the table, whatever was taken from among them.
        found.sort_unstable_by_key(|mount| mount.id);
        for mount in found {
            let mut watched = Watched::new(mount, &self.roots);
            watched.follow_device(columns);
            self.watched.push(watched);
        }
    }
}

impl Source for Mounted {
    fn path(&self) -> &Path {
        self.table.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let is_first = !self.begun;
        if self.table.refresh() || is_first {
            self.begun = true;
            self.follow(columns);
        }
        for watched in &mut self.watched {
            watched.start(&self.roots, self.table.is_ours(), self.period);
        }
        if is_first {
            let deadline = Instant::now() + SETTLE_MAX;
            let backgrounds = self.watched.iter_mut().filter_map(|it| it.background.as_mut());
            backgrounds.for_each(|background| background.settle(deadline));
        }
        let mut outcome = self.state_of_table();
        for watched in &mut self.watched {
            watched.state = watched.turn(columns);
            outcome = outcome.and(watched.state);
        }
        outcome
    }

    fn tell_parts(&mut self, tell: &mut dyn FnMut(&Path, Result<(), SampleError>)) -> bool {
        let state = self.state_of_table();
        if std::mem::replace(&mut self.told, state) != state {
            tell(self.table.path(), state);
        }
        for watched in &mut self.watched {
            if watched.told != watched.state {
                watched.told = watched.state;
                tell(watched.path(), watched.state);
            }
        }
        true
    }

    fn only_looks(&self) -> bool {
        true
    }
}

/// What is found out about a file system in the background.
#[derive(Debug, Default)]
struct Reading {
    space: Space,
    under: Under,
}

/// One file system and its series.
struct Watched {
    mount: Mount,
    path: PathBuf,
    backing: Backing,
    background: Option<Background<Reading>>,
    space: Fields<8>,
    traffic: Traffic,
    /// Only the traffic could not be read.
    traffic_failed: bool,
    infos: [Info; 3],
    /// How it is, and how it was when it was last told of.
    state: Result<(), SampleError>,
    told: Result<(), SampleError>,
}

impl Watched {
    fn new(mount: Mount, roots: &Roots) -> Self {
        let name = mount.mount_point.strip_prefix(b"/").unwrap_or(&mount.mount_point);
        let object = object_id(Class::Filesystem, name);
        let metrics = [
            "size_bytes",
            "free_bytes",
            "available_bytes",
            "files",
            "files_free",
            "readonly",
            "age_ms",
            "stuck",
        ];
        Self {
            path: below(&roots.rootfs, Path::new(OsStr::from_bytes(&mount.mount_point))),
            backing: Backing::of(&mount),
            background: None,
            space: Fields::new(&object, metrics),
            traffic: Traffic::in_sectors(&object, roots.sysfs.clone()),
            traffic_failed: false,
            infos: Info::of(&object, ["fstype", "device", "backing"]),
            state: Ok(()),
            told: Ok(()),
            mount,
        }
    }

    /// Where the device number says it all, nothing need be waited for.
    fn follow_device(&mut self, columns: &mut Columns<'_>) {
        if self.backing == Backing::Device {
            self.traffic.follow(&[self.mount.number], columns);
        }
    }

    /// Begins to ask for the space, unless that goes on. Where the system gives no thread, it may
    /// do so at the next turn.
    fn start(&mut self, roots: &Roots, ours: bool, period: Duration) {
        if self.background.is_some() {
            return;
        }
        let (path, mount, roots) = (self.path.clone(), self.mount.clone(), roots.clone());
        let mut digger = Digger::default();
        let read = move |reading: &mut Reading| {
            let place = Place::open(&path)?;
            // The root is what is found at its path.
            if !mount.is_root() && !place.is_on(&mount, ours) {
                return Err(SampleError::NotMounted);
            }
            digger.dig(&mount, &roots, &mut reading.under);
            reading.space = place.space()?;
            Ok(())
        };
        self.background = Background::start("filesystem", period, read).ok();
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let infos = self.turn_of_infos(columns);
        let outcome = infos.and(self.turn_of_space(columns));
        let traffic = self.traffic.turn(columns);
        self.traffic_failed = outcome.is_ok() && traffic.is_err();
        outcome.and(traffic)
    }

    /// What failed at the last turn, if anything did.
    fn path(&self) -> &Path {
        self.traffic.path().filter(|_| self.traffic_failed).unwrap_or(&self.path)
    }

    fn turn_of_infos(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Mount { fs_type, source, .. } = &self.mount;
        let backing = self.backing.as_str().as_bytes();
        let values = [fs_type, source, backing];
        let mut outcome = Ok(());
        for (info, value) in self.infos.iter_mut().zip(values) {
            outcome = outcome.and(info.put(value, columns));
        }
        outcome
    }

    fn turn_of_space(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Some(background) = &mut self.background else { return Err(SampleError::TooMany) };
        let latest = background.latest();
        let answered = latest.outcome == Some(Ok(()));
        if latest.is_new {
            let Under { devices, dataset } = &latest.value.under;
            match self.backing {
                Backing::Devices if answered => self.traffic.follow(devices, columns),
                Backing::Zfs => {
                    let dataset = dataset.filter(|_| answered);
                    self.traffic.follow_dataset(&self.mount.source, dataset, columns);
                }
                _ => {}
            }
        }
        self.space.begin();
        if answered {
            let Space { size_bytes, free_bytes, available_bytes, files, readonly } =
                latest.value.space;
            let [files, files_free] = files.map_or([None; 2], |files| files.map(Some));
            let bytes = [size_bytes, free_bytes, available_bytes].map(Some);
            let words = bytes.into_iter().chain([files, files_free, Some(readonly.into())]);
            self.space.put_given(words, columns);
        }
        if latest.outcome.is_some() {
            self.space.put(6, latest.age_ns / 1_000_000, columns);
        }
        self.space.put(7, latest.stuck.into(), columns);
        match latest.outcome {
            _ if latest.stuck => Err(SampleError::Stuck),
            Some(Ok(())) => self.space.finish(columns),
            Some(Err(error)) => Err(error),
            None => Ok(()),
        }
    }

    fn end(&mut self, columns: &mut Columns<'_>) {
        self.space.end(columns);
        self.traffic.end(columns);
        self.infos.iter_mut().for_each(|info| info.end(columns));
    }
}
