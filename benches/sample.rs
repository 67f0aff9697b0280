//! A whole tick, read, parsed and published, against the price that the kernel asks for its files.
//!
//! The floor reads the files of the default sources through descriptors that are kept open, into
//! buffers that are kept too, in as many `pread`s as have something to give; beside them `fstatfs`
//! of each watched file system and the numbers of the block device under it. It looks at no byte. A
//! tick does the same reading, and now and then looks for more, but leaves `fstatfs` to threads of
//! their own and asks the kernel whether a mount came or went; then it parses every number, publishes the record
//! in a ring of the program's size, wakes whoever sleeps, and looks for changes of the schema.
//!
//! In a loop everything is in the caches. A recorder wakes up to cold ones: the paced case does one
//! of the two at each wake-up, in turns. Both are judged by the thread's CPU time, which leaves out
//! what else the machine does meanwhile.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};
use tachograph::sample::{Filesystems, SOURCES, Selection, parse};

#[path = "support/host.rs"]
mod host;
#[path = "support/judge.rs"]
mod judge;
#[path = "support/machine.rs"]
mod machine;

use host::Host;
use judge::{Goal, Outcome, judge, text};

/// In a loop, rounds and how often each of the two is done in one of them.
const ROUNDS: usize = 61;
const CALLS: usize = 40;
/// A tick may cost this many times what its files cost.
const GOAL: Goal = Goal::AtMost(1.15);
/// Time between wake-ups of the paced case, and how many pairs of them.
const PACE: Duration = Duration::from_millis(100);
const PAIRS: usize = 60;
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

/// Everything that some sources read.
struct Floor {
    files: Vec<File>,
    filesystems: Vec<OwnedFd>,
}

impl Floor {
    /// The files of the source `name`.
    fn of_source(name: &str) -> Self {
        let mut filesystems = Vec::new();
        let paths: Vec<String> = match name {
            "net_dev" => vec!["/proc/net/dev".into()],
            "pressure" => ["cpu", "memory", "io"].map(|of| format!("/proc/pressure/{of}")).into(),
            "filesystem" => {
                let mounts = watched();
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                let open = |(path, _): &(String, String)| {
                    rustix::fs::open(path.as_str(), flags, Mode::empty()).ok()
                };
                filesystems = mounts.iter().filter_map(open).collect();
                mounts.into_iter().map(|(_, stat)| stat).collect()
            }
            // No store is configured.
            "datastore" => Vec::new(),
            _ => vec![format!("/proc/{name}")],
        };
        let files = paths.iter().filter_map(|path| File::open(path.as_ref())).collect();
        Self { files, filesystems }
    }

    fn of_all_sources() -> Self {
        let mut all = Self { files: Vec::new(), filesystems: Vec::new() };
        for source in SOURCES {
            let one = Self::of_source(source.name);
            all.files.extend(one.files);
            all.filesystems.extend(one.filesystems);
        }
        all
    }

    /// Reads everything; how many bytes of text there were.
    fn read(&mut self) -> usize {
        let bytes = self.files.iter_mut().map(|file| file.read().1).sum();
        for filesystem in &self.filesystems {
            black_box(rustix::fs::fstatfs(filesystem).expect("it can be asked"));
        }
        bytes
    }
}

/// Each mount that is watched by default: its path, and where its block device's numbers would be.
fn watched() -> Vec<(String, String)> {
    let text = fs::read("/proc/self/mountinfo").expect("a kernel file");
    let Filesystems { mount_points, types } = Filesystems::default();
    let mut mounts = std::collections::BTreeMap::new();
    let outcome = parse::mountinfo(&text, |mount| {
        let path: Vec<u8> = mount.mount_point.bytes().collect();
        let admitted = mount_points.admits(&path) && types.admits(mount.fs_type.text());
        let parse::DeviceNumber { major, minor } = mount.number;
        let stat = format!("/sys/dev/block/{major}:{minor}/stat");
        let kept = (admitted || path == b"/").then_some(stat);
        mounts.insert(String::from_utf8(path).expect("a plain path"), kept);
    });
    outcome.expect("the kernel's text");
    mounts.into_iter().filter_map(|(path, stat)| Some((path, stat?))).collect()
}

/// A recorder that has been once around its ring: no page of it is touched for the first time.
fn seasoned(selection: &Selection) -> Host {
    let mut host = Host::new(selection);
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
        let [tick, _] = cost(|| (0..CALLS).for_each(|_| host.tick()));
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
        let tick = cost(|| host.tick());
        for kind in 0..2 {
            reads[kind].push(read[kind]);
            ticks[kind].push(tick[kind]);
        }
    }
    judge(("sample/tick at 10 Hz, CPU time", "pread"), GOAL, &ticks[0], &reads[0]);
    judge(("sample/tick at 10 Hz, on the wall", "pread"), Goal::None, &ticks[1], &reads[1]);
}

#[expect(clippy::print_stdout, reason = "the report")]
fn main() {
    machine::print();
    let mut host = seasoned(&Selection::default());
    let mut floor = Floor::of_all_sources();
    check(&host);
    let (columns, bytes) = (host.schema.len(), floor.read());
    println!(
        "# {columns} columns from {} files of {bytes} bytes in {} reads, and fstatfs of {}",
        floor.files.len(),
        floor.files.iter().map(|file| file.reads).sum::<usize>(),
        floor.filesystems.len(),
    );
    let hot_tick = hot("sample/tick hot", GOAL, &mut host, &mut floor);
    println!(
        "{:<44} {} a tick beyond the floor, {:.1} ns a column",
        "",
        text(hot_tick.ours - hot_tick.theirs),
        (hot_tick.ours - hot_tick.theirs) * 1e9 / columns as f64,
    );
    paced(&mut host, &mut floor);
    check(&host);

    for source in SOURCES {
        let mut selection = Selection::default();
        for other in SOURCES.iter().filter(|other| other.name != source.name) {
            selection.set(other.name, 0).expect("a known source");
        }
        let mut host = seasoned(&selection);
        let mut floor = Floor::of_source(source.name);
        let name = format!("sample/{} alone, hot", source.name);
        hot(&name, Goal::None, &mut host, &mut floor);
    }
}
