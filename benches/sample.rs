//! A whole tick, read, parsed and published, against the price that the kernel asks for its files.
//!
//! The floor reads the files that a tick itself reads when every source is due, through descriptors
//! that are kept open, into buffers that are kept too, in as many `pread`s as have something to give.
//! It looks at no byte. A tick does the same reading, and now and then looks for more; it asks the
//! kernel whether a mount came or went, and takes over what threads of their own found out about file
//! systems, stores, sensors and disks; then it parses every number, publishes the record in a ring of
//! the program's size, wakes whoever sleeps, and looks for changes of the schema. What those threads
//! take is no part of a tick and is shown beside it, as CPU time of the process.
//!
//! In a loop everything is in the caches. A recorder wakes up to cold ones: the paced case does one
//! of the two at each wake-up, in turns. Both are judged by the thread's CPU time, which leaves out
//! what else the machine does meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};
use tachograph::sample::{Datastore, Filesystems, SOURCES, Sampling, Selection, parse};

#[path = "support/host.rs"]
mod host;
#[path = "support/judge.rs"]
mod judge;
#[path = "support/machine.rs"]
mod machine;

use host::{Host, Scratch};
use judge::{Goal, Outcome, judge, text};

/// In a loop, rounds and how often each of the two is done in one of them.
const ROUNDS: usize = 61;
const CALLS: usize = 40;
/// A tick may cost this many times what its files cost.
const GOAL: Goal = Goal::AtMost(1.15);
/// Time between wake-ups of the paced case, and how many pairs of them.
const PACE: Duration = Duration::from_millis(100);
const PAIRS: usize = 60;
/// How long a process is watched that ticks once a second.
const WATCHED: Duration = Duration::from_secs(5);
/// How many stores there are where there are some, half of them in memory.
const STORES: usize = 10;
/// No file is longer; a longer one would be noticed.
const BUFFER_BYTES: usize = 256 << 10;

/// A kernel file and how it is read whole.
struct File {
    fd: OwnedFd,
    buffer: Vec<u8>,
    /// How many reads have something to give.
    reads: usize,
}

impl File {
    fn open(path: &Path) -> Option<Self> {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut file = Self { fd, buffer: vec![0; BUFFER_BYTES], reads: usize::MAX };
        (file.reads, _) = file.read();
        // As long as the text may become while this runs, and no longer.
        let (_, length) = file.read();
        assert!(length < BUFFER_BYTES, "{} is read whole", path.display());
        Some(file)
    }

    /// Reads until there is nothing left or all reads are done; how many gave something, and bytes.
    #[inline]
    fn read(&mut self) -> (usize, usize) {
        let mut length = 0;
        for read in 0..self.reads {
            let room = &mut self.buffer[length..];
            match rustix::io::pread(&self.fd, room, length as u64) {
                Ok(0) | Err(_) => return (read, length),
                Ok(bytes) => length += bytes,
            }
        }
        (self.reads, length)
    }
}

/// Everything that some sources read at a tick.
struct Floor {
    files: Vec<File>,
}

impl Floor {
    /// The files of the source `name`, which are none if threads of its own read them, or if there is
    /// nothing here that it could read.
    fn of_source(name: &str, stores: &[Datastore]) -> Self {
        let net = |files: &[&str]| files.iter().map(|file| format!("/proc/net/{file}")).collect();
        let paths: Vec<String> = match name {
            "stat" | "meminfo" | "loadavg" | "uptime" | "diskstats" | "vmstat" | "softirqs"
            | "interrupts" => vec![format!("/proc/{name}")],
            "net_dev" => net(&["dev"]),
            "sockstat" => net(&["sockstat", "sockstat6"]),
            "snmp" => net(&["snmp", "snmp6"]),
            "netstat" => net(&["netstat"]),
            "pressure" => ["cpu", "memory", "io"].map(|of| format!("/proc/pressure/{of}")).into(),
            "cputime" => cputime(),
            "numa" => numa(),
            "filesystem" => watched(),
            "datastore" => stores.iter().map(|store| stat_under(&store.path)).collect(),
            "zfs_pool" | "hwmon" | "block_health" | "textfile" | "cpufreq" => Vec::new(),
            // It has a benchmark of its own.
            "cgroup" => Vec::new(),
            _ => panic!("what does {name} read?"),
        };
        Self { files: paths.iter().filter_map(|path| File::open(path.as_ref())).collect() }
    }

    /// The files of all sources that run by default.
    fn by_default(stores: &[Datastore]) -> Self {
        let run = SOURCES.iter().filter(|source| source.divisor > 0);
        Self { files: run.flat_map(|source| Self::of_source(source.name, stores).files).collect() }
    }

    /// Reads everything; how many bytes of text there were.
    fn read(&mut self) -> usize {
        self.files.iter_mut().map(|file| file.read().1).sum()
    }
}

/// How many descriptors this process has of each file.
fn held() -> BTreeMap<String, usize> {
    let mut held = BTreeMap::new();
    for fd in fs::read_dir("/proc/self/fd").expect("a kernel directory") {
        // The one of the directory itself is gone by the time it is asked for.
        // What lies in /proc/net looks as if it were deleted, or not.
        if let Ok(path) = fs::read_link(fd.expect("listed").path()) {
            let path = path.to_str().expect("a plain path").trim_end_matches(" (deleted)");
            *held.entry(path.into()).or_default() += 1;
        }
    }
    held
}

/// Makes the floor while `host` is the only recorder, and makes sure that the recorder has each of
/// its files open as often as the floor does: a file that a tick does not read would flatter it.
fn floor_of(host: &Host, make: impl FnOnce() -> Floor) -> Floor {
    let ours = held();
    let floor = make();
    assert!(!host.schema.is_empty(), "it records");
    for (path, count) in held() {
        let before = ours.get(&path).copied().unwrap_or(0);
        assert!(count <= 2 * before, "the recorder has {path} open {before} times");
    }
    floor
}

/// The files of CPU time that is finer than ticks: of all CPUs, and of each.
fn cputime() -> Vec<String> {
    let first = |places: &[&str]| {
        let mut there = places.iter().filter(|path| Path::new(path).exists());
        there.next().map(|path| (*path).to_owned())
    };
    let all = first(&["/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/unified/cpu.stat"]);
    let each = first(&[
        "/proc/schedstat",
        "/sys/fs/cgroup/cpuacct/cpuacct.usage_all",
        "/sys/fs/cgroup/cpu,cpuacct/cpuacct.usage_all",
        "/sys/fs/cgroup/cpuacct,cpu/cpuacct.usage_all",
    ]);
    all.into_iter().chain(each).collect()
}

/// The files of all NUMA nodes.
fn numa() -> Vec<String> {
    let nodes = fs::read_dir("/sys/devices/system/node").into_iter().flatten().flatten();
    let names = nodes.filter_map(|entry| entry.file_name().into_string().ok());
    let is_node =
        |name: &String| name.strip_prefix("node").is_some_and(|n| n.parse::<u32>().is_ok());
    let files = names.filter(is_node).flat_map(|name| {
        ["meminfo", "numastat"].map(|file| format!("/sys/devices/system/node/{name}/{file}"))
    });
    ["/sys/devices/system/node/online".to_owned()].into_iter().chain(files).collect()
}

/// Where the numbers would be of the block device that `path` lies on, if it lies on one.
fn stat_under(path: &Path) -> String {
    let device = fs::metadata(path).expect("a store is there").dev();
    let [major, minor] = [rustix::fs::major(device), rustix::fs::minor(device)];
    format!("/sys/dev/block/{major}:{minor}/stat")
}

/// Where the numbers would be of the block device under each mount that is watched by default.
fn watched() -> Vec<String> {
    let text = fs::read("/proc/self/mountinfo").expect("a kernel file");
    let Filesystems { mount_points, types } = Filesystems::default();
    let mut mounts = BTreeMap::new();
    let outcome = parse::mountinfo(&text, |mount| {
        let path: Vec<u8> = mount.mount_point.bytes().collect();
        let admitted = mount_points.admits(&path) && types.admits(mount.fs_type.text());
        let parse::DeviceNumber { major, minor } = mount.number;
        let stat = format!("/sys/dev/block/{major}:{minor}/stat");
        let kept = (admitted || path == b"/").then_some(stat);
        mounts.insert(String::from_utf8(path).expect("a plain path"), kept);
    });
    outcome.expect("the kernel's text");
    mounts.into_values().flatten().collect()
}

/// A recorder that has been once around its ring: no page of it is touched for the first time.
fn seasoned(sampling: &Sampling) -> Host {
    let mut host = Host::of(sampling);
    let slots = host.writer.ring().geometry().slot_count;
    (0..=slots).for_each(|_| host.tick());
    host
}

/// What a plain reading of the same files says must stand in the newest record.
fn check(host: &Host) {
    let value = |object: &str, metric: &str| {
        let column = host.schema.column(object, metric)?;
        host.writer.ring().latest(|view| view.word(column))
    };
    let line = |file: &str, key: &str| {
        let text = fs::read_to_string(file).expect("a kernel file");
        let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("a line");
        line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok())
    };
    let total = line("/proc/meminfo", "MemTotal:").map(|kib| kib * 1024);
    assert!(total.is_some() && value("host", "meminfo_MemTotal_bytes") == total);
    let boot = line("/proc/stat", "btime ");
    assert!(boot.is_some() && value("host", "boot_time_seconds") == boot);
    let text = fs::read_to_string("/proc/stat").expect("a kernel file");
    let is_cpu = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    let cpus = text.lines().filter(is_cpu).count();
    let recorded = host.schema.iter().filter(|(_, series)| &*series.metric == "user_ticks");
    assert!(cpus > 0 && recorded.count() == cpus, "{cpus} CPUs");
}

/// CPU time of this thread and time on the wall, in seconds, that `work` takes.
fn cost<T>(work: impl FnOnce() -> T) -> [f64; 2] {
    let cpu = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
    };
    let (wall, before) = (Instant::now(), cpu());
    black_box(work());
    [cpu() - before, wall.elapsed().as_secs_f64()]
}

/// Does the two in a loop, in turns.
fn hot(name: &str, goal: Goal, host: &mut Host, floor: &mut Floor) -> Outcome {
    let (mut ticks, mut reads) = (Vec::new(), Vec::new());
    // The first round warms up.
    for round in 0..=ROUNDS {
        let [read, _] = cost(|| (0..CALLS).map(|_| floor.read()).sum::<usize>());
        let [tick, _] = cost(|| (0..CALLS).for_each(|_| host.whole_tick()));
        if round > 0 {
            reads.push(read / CALLS as f64);
            ticks.push(tick / CALLS as f64);
        }
    }
    judge((name, "pread"), goal, &ticks, &reads)
}

/// Does one of the two at each wake-up, in turns.
fn paced(host: &mut Host, floor: &mut Floor) {
    let (mut ticks, mut reads) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let mut due = Instant::now();
    let mut wake_up = || {
        due += PACE;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    };
    for _ in 0..PAIRS {
        wake_up();
        let read = cost(|| floor.read());
        wake_up();
        let tick = cost(|| host.whole_tick());
        for kind in 0..2 {
            reads[kind].push(read[kind]);
            ticks[kind].push(tick[kind]);
        }
    }
    judge(("sample/tick at 10 Hz, CPU time", "pread"), GOAL, &ticks[0], &reads[0]);
    judge(("sample/tick at 10 Hz, on the wall", "pread"), Goal::None, &ticks[1], &reads[1]);
}

/// Ticks once a second for a while, and prints the CPU time of all threads.
#[expect(clippy::print_stdout, reason = "the report")]
fn whole_process(name: &str, host: &mut Host) {
    let cpu = || {
        let now = clock_gettime(ClockId::ProcessCPUTime);
        now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
    };
    let (before, begun) = (cpu(), Instant::now());
    while begun.elapsed() < WATCHED {
        thread::sleep(Duration::from_secs(1));
        host.tick();
    }
    let took = (cpu() - before) / begun.elapsed().as_secs_f64();
    println!("{name:<44} {} of CPU a second at 1 Hz, all threads  shown only", text(took));
}

/// Stores on the file system that the benchmark was built on, and in memory.
fn stores(scratch: &[PathBuf; 2]) -> Vec<Datastore> {
    let store = |index: usize| {
        let path = scratch[index % 2].join(format!("store{index}"));
        fs::create_dir_all(&path).expect("a directory");
        Datastore { name: format!("store{index}"), path, removable: false }
    };
    (0..STORES).map(store).collect()
}

#[expect(clippy::print_stdout, reason = "the report")]
fn by_default() {
    let mut host = seasoned(&Sampling::default());
    let mut floor = floor_of(&host, || Floor::by_default(&[]));
    check(&host);
    let (columns, bytes) = (host.schema.len(), floor.read());
    println!(
        "# {columns} columns; the tick's files are {} of {bytes} bytes in {} reads",
        floor.files.len(),
        floor.files.iter().map(|file| file.reads).sum::<usize>(),
    );
    let hot_tick = hot("sample/tick hot", GOAL, &mut host, &mut floor);
    println!(
        "{:<44} {} a tick beyond the floor, {:.1} ns a column",
        "",
        text(hot_tick.ours - hot_tick.theirs),
        (hot_tick.ours - hot_tick.theirs) * 1e9 / columns as f64,
    );
    paced(&mut host, &mut floor);
    whole_process("sample/process", &mut host);
    check(&host);
}

#[expect(clippy::print_stdout, reason = "the report")]
fn with_stores() {
    let memory = Scratch::new();
    let disk =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stores-{}", std::process::id()));
    let datastores = stores(&[disk.clone(), memory.path().into()]);
    let mut host = seasoned(&Sampling { datastores: datastores.clone(), ..Sampling::default() });
    let mut floor = floor_of(&host, || Floor::by_default(&datastores));
    let of_stores = Floor::of_source("datastore", &datastores).files.len();
    println!(
        "# {STORES} stores, {of_stores} of them on a block device; {} columns",
        host.schema.len()
    );
    hot("sample/tick with 10 stores, hot", GOAL, &mut host, &mut floor);
    whole_process("sample/process with 10 stores", &mut host);
    check(&host);
    for Datastore { name, .. } in &datastores {
        let column = host.schema.column(&format!("datastore/{name}"), "mounted");
        let mounted = column.and_then(|column| host.writer.ring().latest(|view| view.word(column)));
        assert_eq!(mounted, Some(1), "{name}");
    }
    drop(host);
    fs::remove_dir_all(disk).expect("made above");
}

/// Each source by itself. What a tick beyond the sources costs is in each of these figures.
#[expect(clippy::print_stdout, reason = "the report")]
fn each_alone() {
    let mut left_out = Vec::new();
    for source in SOURCES {
        if Floor::of_source(source.name, &[]).files.is_empty() {
            left_out.push(source.name);
            continue;
        }
        let mut sources = Selection::none();
        sources.set(source.name, 1).expect("a known source");
        let mut host = seasoned(&Sampling { sources, ..Sampling::default() });
        let mut floor = floor_of(&host, || Floor::of_source(source.name, &[]));
        let name = format!("sample/{} alone, hot", source.name);
        hot(&name, Goal::None, &mut host, &mut floor);
    }
    println!("# left out, as no file of theirs is read at a tick here: {}", left_out.join(", "));
}

fn main() {
    machine::print();
    by_default();
    with_stores();
    each_alone();
}
