//! ZFS pools: what each has done and what state it is in.
//!
//! Any file of a pool may hold up whoever reads it while the pool is in trouble. So each pool is
//! read on a thread of its own, and so is the list of the pools; see [`zfs`](super::zfs) for the
//! files. On a machine without ZFS there is no thread, and a look for its directory now and then.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::record::{Class, object_id};

use super::super::background::Background;
use super::super::columns::Columns;
use super::super::fields::Fields;
use super::super::info::Info;
use super::super::source::Source;
use super::super::text::{Shown, TextFile};
use super::super::{Roots, SampleError};
use super::dataset::{directory_of, open_error};
use super::kstat::{self, PoolIo};

/// Most pools that are followed, each with a thread; of more, the first ones by name are.
pub(super) const POOLS_MAX: usize = 64;
/// Most names in the directory of the pools, which has some files as well.
const NAMES_MAX: usize = 4096;
/// Turns between two looks whether ZFS has been loaded.
const LOOK_TURNS: u32 = 16;
/// How long it may take at the start until the pools are known and read for the first time.
const SETTLE: Duration = Duration::from_millis(200);

/// What a pool has, in the order of [`words_of`], and what is known of its reading.
const METRICS: [&str; 12] = [
    "read_bytes",
    "written_bytes",
    "reads_completed",
    "writes_completed",
    "wait_ns",
    "wait_weighted_ns",
    "run_ns",
    "run_weighted_ns",
    "waiting",
    "running",
    "stuck",
    "age_ms",
];
const STUCK: usize = 10;
const AGE: usize = 11;

fn words_of(io: &PoolIo) -> [u64; STUCK] {
    [
        io.nread,
        io.nwritten,
        io.reads,
        io.writes,
        io.wtime_ns,
        io.wlentime_ns,
        io.rtime_ns,
        io.rlentime_ns,
        io.wcnt,
        io.rcnt,
    ]
}

/// The source.
pub(in crate::sample) struct ZfsPools {
    directory: PathBuf,
    period: Duration,
    /// Names of the pools, in order; nothing until ZFS is there.
    listing: Option<Background<Vec<Box<[u8]>>>>,
    look_in: u32,
    /// By name.
    pools: Vec<Pool>,
    /// How the last listing ended, and whether each of its pools could be given a thread.
    listed: Result<(), SampleError>,
}

/// One pool.
struct Pool {
    name: Box<[u8]>,
    reading: Background<Reading>,
    fields: Fields<{ METRICS.len() }>,
    state: Info,
}

/// What the files of a pool said.
#[derive(Debug, Default)]
struct Reading {
    io: Option<PoolIo>,
    /// Empty if it is not said.
    state: Vec<u8>,
}

impl ZfsPools {
    /// The pools below `roots`, read every `period`.
    pub(in crate::sample) fn new(roots: &Roots, period: Duration) -> Self {
        let directory = directory_of(&roots.procfs);
        let mut source = Self {
            directory,
            period,
            listing: None,
            look_in: 0,
            pools: Vec::new(),
            listed: Ok(()),
        };
        let deadline = Instant::now() + SETTLE;
        source.look();
        if let Some(listing) = &mut source.listing {
            listing.settle(deadline);
            source.follow(|_| {});
            source.pools.iter_mut().for_each(|pool| pool.reading.settle(deadline));
        }
        source
    }

    /// Starts to list the pools once there is a place for them.
    fn look(&mut self) {
        if self.listing.is_some() {
            return;
        }
        if self.look_in > 0 {
            self.look_in -= 1;
            return;
        }
        self.look_in = LOOK_TURNS;
        if rustix::fs::stat(&self.directory).is_ok() {
            let directory = self.directory.clone();
            let list = move |names: &mut Vec<_>| list(&directory, names);
            match Background::start("zfs-pools", self.period, list) {
                Ok(listing) => self.listing = Some(listing),
                Err(error) => self.listed = Err(error),
            }
        }
    }

    /// Follows the pools that have come, and gives those that have gone to `end`.
    fn follow(&mut self, mut end: impl FnMut(&mut Pool)) {
        let Some(listing) = &mut self.listing else { return };
        let latest = listing.latest();
        let Some(outcome) = latest.outcome.filter(|_| latest.is_new) else { return };
        self.listed = outcome;
        if outcome.is_err_and(|error| error != SampleError::TooMany) {
            // Who is not on this list may be there nevertheless.
            return;
        }
        let names = latest.value;
        self.pools.retain_mut(|pool| {
            let stays = names.binary_search(&pool.name).is_ok();
            if !stays {
                end(pool);
            }
            stays
        });
        for name in names {
            let place = self.pools.binary_search_by(|pool| pool.name.cmp(name));
            let Err(place) = place else { continue };
            match Pool::new(&self.directory, name, self.period) {
                Ok(pool) => self.pools.insert(place, pool),
                Err(error) => self.listed = Err(error),
            }
        }
    }
}

impl Source for ZfsPools {
    fn path(&self) -> &Path {
        &self.directory
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        self.look();
        self.follow(|pool| pool.end(columns));
        let put = self.pools.iter_mut().map(|pool| pool.put(columns));
        put.fold(self.listed, Result::and)
    }

    fn only_looks(&self) -> bool {
        true
    }
}

impl Pool {
    fn new(directory: &Path, name: &[u8], period: Duration) -> Result<Self, SampleError> {
        let directory = directory.join(OsStr::from_bytes(name));
        // What it says is far shorter than a page.
        let file = |name| TextFile::new(directory.join(name), Shown::ByLine { longest: 512 });
        let (mut io, mut state) = (file("io"), file("state"));
        let read = move |reading: &mut Reading| read(&mut io, &mut state, reading);
        let reading = Background::start("zfs-pool", period, read)?;
        let object = object_id(Class::Pool, name);
        let fields = Fields::new(&object, METRICS);
        let [state] = Info::of(&object, ["state"]);
        Ok(Self { name: name.into(), reading, fields, state })
    }

    /// Puts what was found last.
    fn put(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let latest = self.reading.latest();
        self.fields.begin();
        self.fields.put(STUCK, latest.stuck.into(), columns);
        let Some(outcome) = latest.outcome else { return Ok(()) };
        self.fields.put(AGE, latest.age_ns / 1_000_000, columns);
        if let Some(io) = &latest.value.io {
            self.fields.put_all(words_of(io), columns);
        }
        let state = if latest.value.state.is_empty() && outcome.is_err() {
            // It has not become another, it could not be read.
            Ok(())
        } else {
            self.state.put(&latest.value.state, columns)
        };
        outcome.and(state).and(self.fields.finish(columns))
    }

    fn end(&mut self, columns: &mut Columns<'_>) {
        self.fields.end(columns);
        self.state.end(columns);
    }
}

/// Lists the names of the pools, in order.
fn list(directory: &Path, names: &mut Vec<Box<[u8]>>) -> Result<(), SampleError> {
    names.clear();
    let entries = match fs::read_dir(directory) {
        // ZFS has been unloaded.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(open_error)?,
    };
    let mut outcome = Ok(());
    for (index, entry) in entries.enumerate() {
        if index == NAMES_MAX {
            outcome = Err(SampleError::TooMany);
            break;
        }
        let entry = entry.map_err(open_error)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.push(entry.file_name().as_bytes().into());
        }
    }
    names.sort_unstable();
    if names.len() > POOLS_MAX {
        names.truncate(POOLS_MAX);
        outcome = Err(SampleError::TooMany);
    }
    outcome
}

/// Reads the files of a pool. A version of ZFS may lack either.
fn read(io: &mut TextFile, state: &mut TextFile, reading: &mut Reading) -> Result<(), SampleError> {
    reading.state.clear();
    reading.io = None;
    let parsed = if_there(io).and_then(|text| text.map(kstat::pool_io).transpose());
    let io = parsed.map(|io| reading.io = io);
    let text = if_there(state);
    let none = reading.io.is_none() && io.is_ok() && text == Ok(None);
    let parsed = text.and_then(|text| text.map(kstat::pool_state).transpose());
    let state = parsed.map(|word| reading.state.extend_from_slice(word.unwrap_or_default()));
    if none { Err(SampleError::open(Errno::NOENT)) } else { io.and(state) }
}

/// The text of a file that need not be there.
fn if_there(file: &mut TextFile) -> Result<Option<&[u8]>, SampleError> {
    file.close_if_removed();
    match file.read() {
        Err(error) if error == SampleError::open(Errno::NOENT) => Ok(None),
        text => text.map(Some),
    }
}
