//! Text files of metrics, `*.prom`, that others leave in a directory.
//!
//! Each file is an object, `textfile/backup` for `backup.prom`, and each of its samples a series. A
//! file that cannot be read or understood costs only itself; its series stay and are absent until it
//! can be again.
//!
//! The directory may lie anywhere, so a thread looks at it. It reads a file only when the file's
//! time, size or number has changed; who replaces a file by renaming another is always seen, and
//! never in the middle.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::Stat;
use rustix::io::Errno;

use crate::record::{Class, object_id, word_of_f64};

use super::SampleError;
use super::attribute::{names_in, open_file};
use super::background::Background;
use super::columns::Columns;
use super::exposition::{Exposition, SAMPLES_MAX, kind_of};
use super::fields::Fields;
use super::readings::end;
use super::rows::Rows;
use super::source::{Source, Standing};

/// How the name of a file ends that is read.
const SUFFIX: &str = ".prom";

/// Most files that are read: the first ones by name.
const FILES_MAX: usize = 128;

/// Longest file that is read, in bytes. It has room for four times as many samples as are recorded
/// of a file.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Most samples of all files together: an eighth of the columns that a record can have. The file
/// with which there would be more is refused.
const SAMPLES_ALL_MAX: usize = 16_384;

/// How long the first turn waits, so that the first record has the values.
const SETTLE: Duration = Duration::from_millis(500);

/// The source.
pub(super) struct Textfile {
    directory: PathBuf,
    period: Duration,
    thread: Option<Background<Found>>,
    own: Fields<2>,
    standing: Standing,
    files: Vec<Followed>,
}

/// What a look at the directory has found.
#[derive(Debug, Default)]
struct Found {
    /// By name. Shared with the thread, which keeps what does not change.
    files: Vec<Arc<File>>,
    /// Whether these are all there are.
    complete: bool,
}

/// A file as it was read.
#[derive(Debug)]
struct File {
    /// Without the suffix.
    name: String,
    /// What it was when it was read, unless it is to be read again in any case.
    stamp: Option<Stamp>,
    state: Result<(), SampleError>,
    /// Last written, if it was understood.
    mtime_seconds: Option<f64>,
    exposition: Exposition,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    number: u64,
    size: i64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            number: stat.st_ino,
            size: stat.st_size,
            written: (stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }
}

/// A file whose series are recorded.
struct Followed {
    name: String,
    path: PathBuf,
    object: String,
    own: Fields<3>,
    rows: Rows<1>,
    standing: Standing,
}

impl Textfile {
    pub(super) fn new(directory: &Path, period: Duration) -> Self {
        Self {
            directory: directory.into(),
            period,
            thread: None,
            own: Fields::new("host", ["textfile_age_ms", "textfile_stuck"]),
            standing: Standing::new(),
            files: Vec::new(),
        }
    }

    /// Starts the thread that looks at the directory.
    fn start(&mut self) -> Result<(), SampleError> {
        let mut reader = Reader::new(&self.directory);
        let read = move |found: &mut Found| reader.read(found);
        let mut thread = Background::start("text files", self.period, read)?;
        thread.settle(Instant::now() + SETTLE);
        self.thread = Some(thread);
        Ok(())
    }
}

impl Source for Textfile {
    fn path(&self) -> &Path {
        &self.directory
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        if self.thread.is_none() {
            let started = self.start();
            self.standing.set(started);
        }
        let Some(thread) = &mut self.thread else { return self.standing.outcome() };
        let latest = thread.latest();
        self.own.begin();
        if latest.outcome.is_some() {
            self.own.put(0, latest.age_ns / 1_000_000, columns);
        }
        self.own.put(1, latest.stuck.into(), columns);
        let stuck = if latest.stuck { Err(SampleError::Stuck) } else { Ok(()) };
        let looked = latest.outcome.unwrap_or(Ok(()));
        self.standing.set(stuck.and(looked).and(self.own.finish(columns)));
        let mut outcome = self.standing.outcome();
        if !latest.value.complete {
            // Where the directory cannot be listed, no file has been seen to be gone.
            return outcome;
        }
        if latest.is_new {
            follow(&mut self.files, &self.directory, &latest.value.files, columns);
        }
        for (followed, file) in self.files.iter_mut().zip(&latest.value.files) {
            followed.turn(file, columns);
            outcome = outcome.and(followed.standing.outcome());
        }
        outcome
    }

    fn tell_parts(&mut self, tell: &mut dyn FnMut(&Path, Result<(), SampleError>)) -> bool {
        self.standing.tell(&self.directory, tell);
        self.files.iter_mut().for_each(|file| file.standing.tell(&file.path, tell));
        true
    }
}

/// Makes `followed` the files that were `found`, in their order.
fn follow(
    followed: &mut Vec<Followed>,
    directory: &Path,
    found: &[Arc<File>],
    columns: &mut Columns<'_>,
) {
    let names = found.iter().map(|file| &file.name);
    if followed.iter().map(|file| &file.name).eq(names) {
        return;
    }
    let is_there = |name: &String| found.binary_search_by(|file| file.name.cmp(name)).is_ok();
    let gone = followed.iter_mut().filter(|file| !is_there(&file.name));
    gone.for_each(|file| file.end(columns));
    followed.retain(|file| is_there(&file.name));
    for file in found {
        if let Err(place) = followed.binary_search_by(|other| other.name.cmp(&file.name)) {
            followed.insert(place, Followed::new(directory, &file.name));
        }
    }
}

impl Followed {
    fn new(directory: &Path, name: &str) -> Self {
        let object = object_id(Class::Textfile, name.as_bytes());
        Self {
            name: name.into(),
            path: directory.join(format!("{name}{SUFFIX}")),
            own: Fields::new(&object, ["scrape_error", "samples_left_out", "mtime_seconds"]),
            object,
            rows: Rows::new(SAMPLES_MAX),
            standing: Standing::new(),
        }
    }

    fn turn(&mut self, file: &File, columns: &mut Columns<'_>) {
        let Self { object, own, rows, .. } = self;
        own.begin();
        own.put_all([file.state.is_err().into(), file.exposition.left_out()], columns);
        let mut own_outcome = Ok(());
        if let Some(mtime_seconds) = file.mtime_seconds {
            own.put(2, word_of_f64(mtime_seconds), columns);
            own_outcome = own.finish(columns);
        }
        let put = file.exposition.readings.put_as(rows, columns, |name, kind, columns| {
            let name = str::from_utf8(name).map_err(|_| SampleError::Malformed)?;
            columns.add_named(object, name, kind_of(kind))
        });
        self.standing.set(file.state.and(put).and(own_outcome));
    }

    /// Ends all its series.
    fn end(&mut self, columns: &mut Columns<'_>) {
        end(&mut self.rows, columns);
        self.own.end(columns);
    }
}

/// The thread's side: what it knows of the directory.
struct Reader {
    directory: PathBuf,
    /// As they were read last, by name.
    files: Vec<Arc<File>>,
    buffer: Vec<u8>,
}

impl Reader {
    fn new(directory: &Path) -> Self {
        Self { directory: directory.into(), files: Vec::new(), buffer: Vec::new() }
    }

    /// Looks at the directory, and reads the files that have changed.
    fn read(&mut self, found: &mut Found) -> Result<(), SampleError> {
        found.files.clear();
        found.complete = false;
        let mut names = BTreeSet::new();
        let is_there = names_in(&self.directory, |name| {
            let name = name.strip_suffix(SUFFIX).filter(|name| !name.is_empty());
            names.extend(name.map(str::to_owned));
        })?;
        if !is_there {
            return Err(SampleError::open(Errno::NOENT));
        }
        let is_too_many = names.len() > FILES_MAX;
        let mut samples = 0;
        for name in names.into_iter().take(FILES_MAX) {
            let mut file = self.file(name);
            let count = file.exposition.readings.len();
            if samples + count > SAMPLES_ALL_MAX {
                file = Arc::new(File::refused(file.name.clone(), SampleError::TooMany));
            } else {
                samples += count;
            }
            found.files.push(file);
        }
        found.complete = true;
        self.files.clone_from(&found.files);
        if is_too_many { Err(SampleError::TooMany) } else { Ok(()) }
    }

    /// The file `name` as it is now.
    fn file(&mut self, name: String) -> Arc<File> {
        let path = self.directory.join(format!("{name}{SUFFIX}"));
        let before = self.files.binary_search_by(|file| file.name.cmp(&name)).ok();
        let before = before.and_then(|index| self.files.get(index));
        let stamp = rustix::fs::stat(&path).ok().map(|stat| Stamp::of(&stat));
        if let Some(before) = before.filter(|file| stamp.is_some() && file.stamp == stamp) {
            return before.clone();
        }
        Arc::new(self.read_file(&path, name))
    }

    fn read_file(&mut self, path: &Path, name: String) -> File {
        let (file, stat) = match open_file(path) {
            Ok(opened) => opened,
            Err(error) => return File::refused(name, error),
        };
        if let Err(error) = fill(&mut self.buffer, &file) {
            let mut refused = File::refused(name, error);
            // How long it is does not change unless it does.
            refused.stamp = (error == SampleError::TooLong).then(|| Stamp::of(&stat));
            return refused;
        }
        let mut exposition = Exposition::default();
        let read = exposition.read(&self.buffer);
        let is_cut = exposition.is_cut();
        let state = read.and(if is_cut { Err(SampleError::TooMany) } else { Ok(()) });
        let mtime_seconds =
            read.is_ok().then(|| stat.st_mtime as f64 + stat.st_mtime_nsec as f64 / 1e9);
        // One that was written to meanwhile is read again.
        let after = rustix::fs::fstat(&file).ok().map(|stat| Stamp::of(&stat));
        let stamp = after.filter(|after| *after == Stamp::of(&stat));
        File { name, stamp, state, mtime_seconds, exposition }
    }
}

impl File {
    /// One that is not recorded, and is tried again.
    fn refused(name: String, error: SampleError) -> Self {
        let exposition = Exposition::default();
        Self { name, stamp: None, state: Err(error), mtime_seconds: None, exposition }
    }
}

/// Reads all of `file` into `buffer`.
fn fill(buffer: &mut Vec<u8>, file: &rustix::fd::OwnedFd) -> Result<(), SampleError> {
    buffer.resize(FILE_BYTES_MAX + 1, 0);
    let mut length = 0;
    while length <= FILE_BYTES_MAX {
        let room = buffer.get_mut(length..).unwrap_or_default();
        let read = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut *room, length as u64));
        match read.map_err(SampleError::read)? {
            0 => break,
            read => length += read,
        }
    }
    buffer.truncate(length);
    if length > FILE_BYTES_MAX { Err(SampleError::TooLong) } else { Ok(()) }
}
