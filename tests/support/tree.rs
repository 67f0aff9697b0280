//! A directory of made-up files, and a sampler that looks at it.
#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, thread};

use tachograph::record::{Record, Repr, Schema};
use tachograph::sample::{Roots, SampleError, Sampler, Sampling, Selection};

/// A temporary directory, removed at the end.
pub(crate) struct Tree(PathBuf);

impl Tree {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = format!("tachograph-tree-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(root);
        fs::create_dir_all(&root).expect("a temporary directory");
        Self(root.canonicalize().expect("it is there"))
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a temporary directory");
        path
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        // Renamed into its place, so that nobody sees half of it.
        let new = self.0.join("new");
        fs::write(&new, text).expect("a temporary file");
        fs::rename(new, self.path(path)).expect("a temporary file");
    }

    pub(crate) fn directory(&self, path: &str) {
        fs::create_dir_all(self.path(path)).expect("a temporary directory");
    }

    /// A link at `path` to `target` within the tree.
    pub(crate) fn link(&self, path: &str, target: &str) {
        symlink(self.0.join(target), self.path(path)).expect("a temporary link");
    }

    /// A pipe: whoever opens it to read waits for a writer, who never comes.
    pub(crate) fn pipe(&self, path: &str) {
        let mode = rustix::fs::Mode::from(0o600);
        let kind = rustix::fs::FileType::Fifo;
        let made = rustix::fs::mknodat(rustix::fs::CWD, self.path(path), kind, mode, 0);
        made.expect("a temporary pipe");
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).expect("it was there");
        } else {
            fs::remove_file(path).expect("it was there");
        }
    }

    /// Puts what is at `made` in the place of what is at `path`, so that nobody sees neither.
    pub(crate) fn exchange(&self, made: &str, path: &str) {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        let cwd = rustix::fs::CWD;
        let exchanged =
            rustix::fs::renameat_with(cwd, self.path(made), cwd, self.path(path), flags);
        exchanged.expect("both are there");
        self.remove(made);
    }

    /// A sampler of one source of this tree.
    pub(crate) fn bench(&self, source: &str) -> Bench {
        self.bench_with(source, |_| {})
    }

    pub(crate) fn bench_with(&self, source: &str, set: impl FnOnce(&mut Sampling)) -> Bench {
        let mut sources = Selection::none();
        sources.set(source, 1).expect("a source");
        let roots = Roots {
            procfs: self.0.join("proc"),
            sysfs: self.0.join("sys"),
            rootfs: self.0.clone(),
        };
        let mut sampling = Sampling {
            roots,
            sources,
            interval: Duration::from_millis(100),
            ..Sampling::default()
        };
        set(&mut sampling);
        let mut schema = Schema::new();
        let sampler = Sampler::open(&sampling, &mut schema);
        Bench { sampler, schema, record: Record::default(), root: self.0.clone(), ticks: 0 }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Values by object and metric.
pub(crate) type Values = BTreeMap<(String, String), f64>;

pub(crate) fn has(values: &Values, object: &str, metric: &str) -> bool {
    values.contains_key(&(object.into(), metric.into()))
}

pub(crate) fn value(values: &Values, object: &str, metric: &str) -> Option<f64> {
    values.get(&(object.into(), metric.into())).copied()
}

/// A sampler with its schema and record.
pub(crate) struct Bench {
    pub(crate) sampler: Sampler,
    pub(crate) schema: Schema,
    record: Record,
    root: PathBuf,
    ticks: u64,
}

impl Bench {
    /// What one more tick yields. A word without a series would be nobody's value.
    pub(crate) fn tick(&mut self) -> Values {
        self.schema.clear_changes();
        self.ticks += 1;
        self.sampler.tick(self.ticks, false, &mut self.schema, &mut self.record);
        let columns = (0..self.record.words().len()).filter(|&column| {
            let is_there = self.record.u64(column).is_some();
            assert!(!is_there || self.schema.series(column).is_some(), "a value has a series");
            is_there
        });
        let value = |column| {
            let series = self.schema.series(column).expect("just seen");
            let value = match series.repr {
                Repr::F64 => self.record.f64(column).expect("a finite number"),
                _ => self.record.u64(column).expect("just seen") as f64,
            };
            ((series.object.to_string(), series.metric.to_string()), value)
        };
        columns.map(value).collect()
    }

    /// Ticks until what a tick yields is as `wanted`. Whoever runs the tests ends what never ends.
    pub(crate) fn tick_until(&mut self, wanted: impl Fn(&Values) -> bool) -> Values {
        loop {
            let values = self.tick();
            if wanted(&values) {
                return values;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What has been told since this was last asked: path below the root, and state.
    pub(crate) fn news(&mut self) -> Vec<(String, Result<(), SampleError>)> {
        let root: &Path = &self.root;
        let events = self.sampler.drain_events();
        let news = events.map(|event| {
            let path = event.path.strip_prefix(root).expect("it lies in the tree");
            (path.display().to_string(), event.state)
        });
        news.collect()
    }

    /// Ticks until something has been told.
    pub(crate) fn tick_until_news(&mut self) -> Vec<(String, Result<(), SampleError>)> {
        loop {
            self.tick();
            let news = self.news();
            if !news.is_empty() {
                return news;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// How many series an object has.
    pub(crate) fn series_of(&self, object: &str) -> usize {
        self.schema.iter().filter(|(_, series)| &*series.object == object).count()
    }
}
