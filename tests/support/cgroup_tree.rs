//! Made-up trees of control groups in memory. Every value says whose it is.
#![allow(dead_code, reason = "not every user needs all of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

#[path = "scratch.rs"]
mod scratch;
#[allow(unused_imports, reason = "some use it by itself")]
pub(crate) use scratch::Scratch;

/// How the hierarchies are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One hierarchy, of the second version.
    Unified,
    /// One for each controller, of the first version.
    First,
    /// The same, and one of the second version beside them, that has the pressure files.
    Hybrid,
}

/// A `/sys` in memory.
pub(crate) struct Tree {
    scratch: Scratch,
    layout: Layout,
}

/// What the files of a group say, and where: hierarchy, file, text.
type Texts = Vec<(&'static str, &'static str, String)>;

impl Tree {
    pub(crate) fn new(layout: Layout) -> Self {
        let tree = Self { scratch: Scratch::new(), layout };
        for hierarchy in tree.hierarchies() {
            fs::create_dir_all(tree.root(hierarchy)).expect("a directory in memory");
        }
        fs::create_dir(tree.staging()).expect("a directory in memory");
        let controllers = match layout {
            Layout::Unified => tree.root("").join("cgroup.controllers"),
            Layout::First => return tree,
            Layout::Hybrid => tree.root("unified").join("cgroup.controllers"),
        };
        fs::write(controllers, "cpu memory\n").expect("a file in memory");
        tree
    }

    /// What stands for `/sys`.
    pub(crate) fn sysfs(&self) -> PathBuf {
        self.scratch.path().join("sys")
    }

    fn staging(&self) -> PathBuf {
        self.scratch.path().join("staging")
    }

    pub(crate) fn hierarchies(&self) -> &'static [&'static str] {
        match self.layout {
            Layout::Unified => &[""],
            Layout::First => &["cpu,cpuacct", "memory", "blkio", "pids"],
            Layout::Hybrid => &["unified", "cpu", "cpuacct", "memory", "blkio", "pids"],
        }
    }

    pub(crate) fn root(&self, hierarchy: &str) -> PathBuf {
        self.sysfs().join("fs/cgroup").join(hierarchy)
    }

    /// The directory of the group `path` in `hierarchy`.
    pub(crate) fn at(&self, hierarchy: &str, path: &str) -> PathBuf {
        self.root(hierarchy).join(path)
    }

    /// Makes the group `path` in all hierarchies, with the values of `id`: nothing of it is seen
    /// before it is complete, as the kernel does it.
    pub(crate) fn make(&self, path: &str, id: u64) {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        for hierarchy in self.hierarchies() {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let staged = self.staging().join(count.to_string());
            fs::create_dir(&staged).expect("a directory in memory");
            for (_, file, text) in self.texts(id).iter().filter(|text| text.0 == *hierarchy) {
                fs::write(staged.join(file), text).expect("a file in memory");
            }
            fs::rename(staged, self.at(hierarchy, path)).expect("a parent");
        }
    }

    /// Removes the group `path` and all below it, at once.
    pub(crate) fn remove(&self, path: &str) {
        for hierarchy in self.hierarchies() {
            self.remove_in(hierarchy, path);
        }
    }

    pub(crate) fn remove_in(&self, hierarchy: &str, path: &str) {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let staged = self.staging().join(format!("gone-{count}"));
        fs::rename(self.at(hierarchy, path), &staged).expect("it was there");
        fs::remove_dir_all(staged).expect("it was there");
    }

    /// Lets the group `path` say the values of `id`.
    pub(crate) fn write(&self, path: &str, id: u64) {
        for (hierarchy, file, text) in self.texts(id) {
            fs::write(self.at(hierarchy, path).join(file), text).expect("a file in memory");
        }
    }

    /// The texts of a group with the values of `id`.
    pub(crate) fn texts(&self, id: u64) -> Texts {
        let v = |metric: &str| value(id, metric);
        let one = |metric| format!("{}\n", v(metric));
        let pressure = |of: &str| {
            let line = |word, metric: &str| {
                format!("{word} avg10=0.00 avg60=0.13 avg300=0.56 total={}\n", v(metric))
            };
            let [some, full] = ["some", "full"].map(|word| format!("pressure_{of}_{word}_us"));
            line("some", &some) + &line("full", &full)
        };
        let (unified, cpu, cpuacct) = match self.layout {
            Layout::Unified => ("", "", ""),
            Layout::First => ("", "cpu,cpuacct", "cpu,cpuacct"),
            Layout::Hybrid => ("unified", "cpu", "cpuacct"),
        };
        let mut texts = Texts::new();
        if self.layout != Layout::First {
            texts.extend([
                (unified, "cpu.pressure", pressure("cpu")),
                (unified, "memory.pressure", pressure("memory")),
                (unified, "io.pressure", pressure("io")),
            ]);
        }
        if self.layout == Layout::Unified {
            // Two devices, whose sums are the values.
            let io = format!(
                "8:0 rbytes={} wbytes={} rios={} wios={} dbytes={} dios={}\n\
                 8:16 rbytes=1 wbytes=1 rios=1 wios=1 dbytes=1 dios=1\n",
                v("io_read_bytes") - 1,
                v("io_written_bytes") - 1,
                v("io_reads_completed") - 1,
                v("io_writes_completed") - 1,
                v("io_discarded_bytes") - 1,
                v("io_discards_completed") - 1,
            );
            let stat = format!(
                "usage_usec {}\nuser_usec {}\nsystem_usec {}\nnice_usec 0\n\
                 core_sched.force_idle_usec 0\nnr_periods {}\nnr_throttled {}\nthrottled_usec {}\n\
                 nr_bursts 0\nburst_usec 0\n",
                v("cpu_usage_us"),
                v("cpu_user_us"),
                v("cpu_system_us"),
                v("cpu_periods"),
                v("cpu_throttled_periods"),
                v("cpu_throttled_us"),
            );
            let events = format!(
                "low {}\nhigh {}\nmax {}\noom {}\noom_kill {}\noom_group_kill 0\n",
                v("memory_low_events"),
                v("memory_high_events"),
                v("memory_max_events"),
                v("memory_oom_events"),
                v("memory_oom_kills"),
            );
            texts.extend([
                ("", "cpu.stat", stat),
                ("", "memory.current", one("memory_bytes")),
                ("", "memory.peak", one("memory_peak_bytes")),
                ("", "memory.max", one("memory_limit_bytes")),
                ("", "memory.swap.current", one("memory_swap_bytes")),
                ("", "memory.events", events),
                ("", "io.stat", io),
                ("", "pids.current", one("tasks")),
                ("", "pids.max", one("tasks_limit")),
            ]);
            return texts;
        }
        let blocks = |metrics: [&str; 3]| {
            let [read, write, discard] = metrics.map(v);
            format!(
                "8:0 Read {read}\n8:0 Write {write}\n8:0 Sync 1\n8:0 Async 1\n\
                 8:0 Discard {discard}\n8:0 Total 9\nTotal 9\n"
            )
        };
        let ticks = |metric| v(metric) / 10_000;
        let stat = format!("user {}\nsystem {}\n", ticks("cpu_user_us"), ticks("cpu_system_us"));
        let throttling = format!(
            "nr_periods {}\nnr_throttled {}\nthrottled_time {}999\n",
            v("cpu_periods"),
            v("cpu_throttled_periods"),
            v("cpu_throttled_us"),
        );
        let kills =
            format!("oom_kill_disable 0\nunder_oom 0\noom_kill {}\n", v("memory_oom_kills"));
        texts.extend([
            (cpu, "cpu.stat", throttling),
            (cpuacct, "cpuacct.usage", format!("{}123\n", v("cpu_usage_us"))),
            (cpuacct, "cpuacct.stat", stat),
            ("memory", "memory.usage_in_bytes", one("memory_bytes")),
            ("memory", "memory.max_usage_in_bytes", one("memory_peak_bytes")),
            ("memory", "memory.limit_in_bytes", one("memory_limit_bytes")),
            ("memory", "memory.failcnt", one("memory_max_events")),
            ("memory", "memory.oom_control", kills),
            (
                "blkio",
                "blkio.throttle.io_service_bytes_recursive",
                blocks(["io_read_bytes", "io_written_bytes", "io_discarded_bytes"]),
            ),
            (
                "blkio",
                "blkio.throttle.io_serviced_recursive",
                blocks(["io_reads_completed", "io_writes_completed", "io_discards_completed"]),
            ),
            ("pids", "pids.current", one("tasks")),
            ("pids", "pids.max", one("tasks_limit")),
        ]);
        texts
    }

    /// The values that a group of `id` has, by metric.
    pub(crate) fn values(&self, id: u64) -> BTreeMap<String, u64> {
        let not_in_the_first =
            ["memory_swap_bytes", "memory_low_events", "memory_high_events", "memory_oom_events"];
        let has = |metric: &str| match self.layout {
            Layout::Unified => true,
            Layout::Hybrid => !not_in_the_first.contains(&metric),
            Layout::First => !not_in_the_first.contains(&metric) && !metric.starts_with("pressure"),
        };
        let metrics = METRICS.into_iter().filter(|metric| has(metric));
        metrics.map(|metric| (metric.to_owned(), value(id, metric))).collect()
    }
}

/// The value of `metric` in a group of `id`: no two are the same, and user space's ticks divide it.
pub(crate) fn value(id: u64, metric: &str) -> u64 {
    let index = METRICS.iter().position(|known| *known == metric).expect("a metric of a group");
    (id * 64 + index as u64 + 1) * 10_000
}

pub(crate) const METRICS: [&str; 29] = [
    "cpu_usage_us",
    "cpu_user_us",
    "cpu_system_us",
    "cpu_periods",
    "cpu_throttled_periods",
    "cpu_throttled_us",
    "memory_bytes",
    "memory_peak_bytes",
    "memory_limit_bytes",
    "memory_swap_bytes",
    "memory_low_events",
    "memory_high_events",
    "memory_max_events",
    "memory_oom_events",
    "memory_oom_kills",
    "io_read_bytes",
    "io_written_bytes",
    "io_discarded_bytes",
    "io_reads_completed",
    "io_writes_completed",
    "io_discards_completed",
    "pressure_cpu_some_us",
    "pressure_cpu_full_us",
    "pressure_memory_some_us",
    "pressure_memory_full_us",
    "pressure_io_some_us",
    "pressure_io_full_us",
    "tasks",
    "tasks_limit",
];

/// How many files below `path` this process has open.
pub(crate) fn open_below(path: &Path) -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").expect("this process has some");
    let target = |entry: std::io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
    descriptors.filter_map(target).filter(|target| target.starts_with(path)).count()
}
