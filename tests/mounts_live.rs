//! Mounts of this kernel's that come, go, are written to, and hang.
//!
//! Each test runs in a process with a mount namespace of its own, and says so where it cannot.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags};
use tachograph::sample::{Datastore, Filesystems, Filter, Sampling};

#[path = "support/fuse.rs"]
mod fuse;
#[path = "support/namespace.rs"]
mod namespace;
#[allow(dead_code, reason = "each test uses some of it")]
#[path = "support/sampled.rs"]
mod sampled;
#[path = "support/scratch.rs"]
mod scratch;

use fuse::{BLOCK_BYTES, Fuse};
use sampled::{Sampled, metrics, value};
use scratch::Scratch;

/// The object of what is mounted at `path`.
fn object(path: &Path) -> String {
    format!("filesystem{}", path.display())
}

/// Only what is mounted below `path` is watched, and the root.
fn below(path: &Path) -> Filesystems {
    let pattern = format!("{}/*", path.display());
    let mount_points = Filter::new(&[pattern], &[]).expect("a plain path");
    Filesystems { mount_points, types: Filter::default() }
}

fn make_dir(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.path().join(name);
    fs::create_dir(&path).expect("a directory in memory");
    path
}

fn mount_memory(at: &Path, options: &std::ffi::CStr) {
    rustix::mount::mount("memory", at, "tmpfs", MountFlags::empty(), options).expect("a mount");
}

/// Unmounts what is at `path`. It may be asked for its space this very moment, for some
/// microseconds of each second.
fn unmount(path: &Path) {
    for _ in 0..100 {
        if rustix::mount::unmount(path, UnmountFlags::empty()).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{} stays busy", path.display());
}

fn store(path: &Path, removable: bool) -> Vec<Datastore> {
    vec![Datastore { name: "s".into(), path: path.into(), removable }]
}

const STORE: &str = "datastore/s";

#[test]
fn mounts_that_come_and_go_are_seen_at_once() {
    if !namespace::is_inside("mounts_that_come_and_go_are_seen_at_once", false) {
        return;
    }
    let scratch = Scratch::new();
    let (point, filesystems) = (make_dir(&scratch, "mount"), below(scratch.path()));
    let object = object(&point);
    let mut sampled = Sampled::open(
        &["filesystem", "datastore"],
        Sampling { filesystems, datastores: store(&point, true), ..Sampling::default() },
    );
    // Until something is mounted at its path, it is on what is mounted above.
    sampled.until_is(STORE, "mounted", 1);
    assert_eq!(sampled.objects(), [STORE, "filesystem/"].map(str::to_owned).into());
    for round in 1..=3_u64 {
        let size = round << 20;
        let options = std::ffi::CString::new(format!("size={size}")).expect("no zero");
        mount_memory(&point, &options);
        // The kernel tells of it: the next tick knows, and the answer is a moment away.
        let values = sampled.tick();
        assert_eq!(value(&values, &object, "fstype=tmpfs"), Some(1));
        assert!(sampled.added.contains(&format!("{object} fstype=tmpfs")));
        let values = sampled.until_there(&object, "size_bytes");
        assert_eq!(value(&values, &object, "size_bytes"), Some(size));
        assert_eq!(value(&values, &object, "backing=memory"), Some(1));
        assert_eq!(value(&values, &object, "reads_completed"), None);
        let values = sampled.until_is(STORE, "device=memory", 1);
        assert_eq!(value(&values, STORE, "mounted"), Some(1));
        assert_eq!(value(&values, STORE, "size_bytes"), Some(size));

        unmount(&point);
        let values = sampled.tick();
        assert!(metrics(&values, &object).is_empty());
        assert!(sampled.ended.contains(&format!("{object} size_bytes")));
        let values = sampled.until_is(STORE, "mounted", 0);
        assert_eq!(value(&values, STORE, "size_bytes"), None, "not that of the file system below");
    }
}

#[test]
fn mount_that_is_hidden_by_another_has_no_values() {
    if !namespace::is_inside("mount_that_is_hidden_by_another_has_no_values", false) {
        return;
    }
    let scratch = Scratch::new();
    let outer = make_dir(&scratch, "outer");
    let inner = outer.join("inner");
    fs::create_dir(&inner).expect("a directory in memory");
    mount_memory(&inner, c"size=1m");
    let mut sampled = Sampled::open(
        &["filesystem"],
        Sampling { filesystems: below(scratch.path()), ..Sampling::default() },
    );
    sampled.until_there(&object(&inner), "size_bytes");
    // Over its parent, with a directory of the same name in it.
    mount_memory(&outer, c"size=2m");
    fs::create_dir(&inner).expect("a directory in memory");
    let (hidden, shown) = (object(&inner), object(&outer));
    let values = sampled.until("hidden", |values| {
        value(values, &hidden, "size_bytes").is_none()
            && value(values, &shown, "size_bytes").is_some()
    });
    assert_eq!(value(&values, &shown, "size_bytes"), Some(2 << 20));
    assert_eq!(sampled.sampler.failing(), 1);
    unmount(&outer);
    let values = sampled.until_there(&hidden, "size_bytes");
    assert_eq!(value(&values, &hidden, "size_bytes"), Some(1 << 20));
    assert_eq!(sampled.sampler.failing(), 0);
    unmount(&inner);
}

/// A file with a file system in it, and the block device that it is.
struct Loop(PathBuf);

impl Loop {
    fn new(file: &Path) -> Option<Self> {
        let run = |command: &mut Command| {
            let ran = command.output().ok()?;
            let said = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
            ran.status.success().then_some(said)
        };
        fs::File::create(file).and_then(|file| file.set_len(64 << 20)).expect("room in memory");
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(file))?;
        run(Command::new("losetup").args(["--find", "--show"]).arg(file)).map(|it| Self(it.into()))
    }

    /// The numbers of the device, as the kernel prints them.
    fn numbers(&self) -> Vec<u64> {
        let device = rustix::fs::stat(&self.0).expect("a device").st_rdev;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let text = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"));
        let text = text.expect("a kernel file");
        text.split_whitespace().map(|number| number.parse().expect("a number")).collect()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

#[test]
fn store_under_writes_says_what_its_device_says() {
    if !namespace::is_inside("store_under_writes_says_what_its_device_says", true) {
        return;
    }
    let scratch = Scratch::new();
    let Some(disk) = Loop::new(&scratch.path().join("disk")) else {
        eprintln!(
            "LEFT OUT, no store was written to: there is no mkfs.ext4, or no loop device to be had"
        );
        return;
    };
    let (point, bound) = (make_dir(&scratch, "mount"), make_dir(&scratch, "bound"));
    rustix::mount::mount(&disk.0, &point, "ext4", MountFlags::empty(), None).expect("a mount");
    let path = point.join("store");
    fs::create_dir(&path).expect("a directory of its own");
    // The same file system at a second place is on the same device.
    rustix::mount::mount_bind(&path, &bound).expect("a mount");
    let mut sampled = Sampled::open(
        &["filesystem", "datastore"],
        Sampling {
            filesystems: below(scratch.path()),
            datastores: store(&path, true),
            ..Sampling::default()
        },
    );
    sampled.until_is(STORE, "mounted", 1);
    let [on_mount, on_bound] = [object(&point), object(&bound)];
    sampled.until_there(&on_mount, "size_bytes");
    sampled.until_there(&on_bound, "size_bytes");
    let (mut before, mut written) = (0, 0);
    for round in 0..5_u64 {
        let mut file = fs::File::create(path.join(format!("chunk{round}"))).expect("room");
        file.write_all(&vec![round as u8; 3 << 20]).expect("room");
        file.sync_all().expect("room");
        rustix::fs::syncfs(&file).expect("it is there");
        written += 3 << 20;
        // The journal may be written at any time: what is read must lie between two looks.
        let lower = disk.numbers();
        let values = sampled.tick();
        let upper = disk.numbers();
        let of_store = |metric| value(&values, STORE, metric).expect("it is there");
        for (metric, place, unit) in [
            ("reads_completed", 0, 1),
            ("read_bytes", 2, 512),
            ("writes_completed", 4, 1),
            ("written_bytes", 6, 512),
            ("io_ms", 9, 1),
            ("discards_completed", 11, 1),
            ("discarded_bytes", 13, 512),
        ] {
            let range = lower[place] * unit..=upper[place] * unit;
            assert!(range.contains(&of_store(metric)), "{metric} {} {range:?}", of_store(metric));
        }
        for object in [&on_mount, &on_bound] {
            let sectors = value(&values, object, "written_sectors").expect("it is there");
            assert!((lower[6]..=upper[6]).contains(&sectors), "{object}");
        }
        assert!(of_store("written_bytes") >= written, "all of it is on the device");
        assert!(of_store("written_bytes") > before);
        before = of_store("written_bytes");
    }
    let room = rustix::fs::statvfs(&path).expect("a directory");
    let available = room.f_bavail * room.f_frsize;
    let values = sampled.until_is(STORE, "available_bytes", available);
    let used = (room.f_blocks - room.f_bfree) * room.f_frsize;
    assert_eq!(value(&values, STORE, "used_bytes"), Some(used));
    let device = format!("device={}", disk.0.display());
    for info in ["fstype=ext4", "backing=device", &device] {
        assert_eq!(value(&values, STORE, info), Some(1), "{info}");
    }
    assert_eq!(sampled.news(), [""; 0]);

    // Discards are no writes.
    let writes = disk.numbers()[4];
    if Command::new("fstrim").arg(&point).status().is_ok_and(|status| status.success()) {
        let values = sampled.tick();
        assert!(value(&values, STORE, "discards_completed") > Some(0));
        let now = value(&values, STORE, "writes_completed").expect("it is there");
        assert!(now <= disk.numbers()[4] && now >= writes);
    }
    unmount(&bound);
    unmount(&point);
    let values = sampled.until_is(STORE, "mounted", 0);
    assert_eq!(metrics(&values, STORE), ["age_ms", "mounted", "stuck"].into());
    assert!(sampled.objects().iter().all(|object| *object != on_mount && *object != on_bound));
}

#[test]
fn file_system_that_hangs_holds_up_nothing() {
    if !namespace::is_inside("file_system_that_hangs_holds_up_nothing", false) || !fuse::is_there()
    {
        return;
    }
    let scratch = Scratch::new();
    let point = make_dir(&scratch, "mount");
    let mounted = object(&point);
    let fuse = match Fuse::mount(&point, 1000) {
        Ok(fuse) => fuse,
        Err(errno) => {
            return eprintln!("LEFT OUT, no file system hung: FUSE cannot be mounted: {errno}");
        }
    };
    let interval = Duration::from_millis(10);
    let mut sampled = Sampled::open(
        &["filesystem", "datastore", "loadavg"],
        Sampling {
            interval,
            filesystems: below(scratch.path()),
            datastores: store(&point, true),
            ..Sampling::default()
        },
    );
    let objects = [&*mounted, STORE];
    let is = |values: &sampled::Values, metric: &str, wanted: u64| {
        objects.iter().all(|object| value(values, object, metric) == Some(wanted))
    };
    let size = 1000 * BLOCK_BYTES;
    let values = sampled.until("answers", |values| is(values, "size_bytes", size));
    assert_eq!(value(&values, &mounted, "backing=fuse"), Some(1));
    assert!(is(&values, "stuck", 0));

    // It hangs, and is ticked on, at the lane's pace, until both have been stuck for long.
    fuse.hang();
    let (mut longest, mut ages) = (Duration::ZERO, [0; 2]);
    let begin = Instant::now();
    let mut due = begin;
    let mut stuck_ticks = 0_u64;
    while stuck_ticks < 100 {
        due += interval;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let tick = Instant::now();
        let values = sampled.tick();
        longest = longest.max(tick.elapsed());
        assert!(value(&values, "host", "tasks").is_some(), "the others go on");
        assert!(is(&values, "size_bytes", size), "the last answer stands");
        assert!(is(&values, "fstype=fuse", 1));
        if is(&values, "stuck", 1) {
            stuck_ticks += 1;
            let now = objects.map(|object| value(&values, object, "age_ms").expect("an age"));
            assert!(now[0] >= 2000 && now[1] >= 2000, "{now:?}");
            assert!(now[0] >= ages[0] && now[1] >= ages[1], "{now:?} after {ages:?}");
            ages = now;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "it is not noticed");
    }
    let hung = begin.elapsed();
    eprintln!(
        "{} ticks while nothing was answered for {hung:?}, the longest of {longest:?}",
        hung.as_millis() / interval.as_millis()
    );
    assert!(longest < hung / 4, "a tick took {longest:?}");
    assert_eq!(fuse.waiting(), 2, "one question of each, and no more");
    let news = sampled.news();
    assert_eq!(news.len(), 2, "{news:?}");
    assert!(news.iter().all(|news| news.ends_with("has not answered for too long")), "{news:?}");

    // It answers again, another thing.
    fuse.go_on(2000);
    let values = sampled.until("new answers", |values| is(values, "size_bytes", 2 * size));
    assert!(is(&values, "stuck", 0));
    let news = sampled.news();
    assert!(news.len() == 2 && news.iter().all(|news| news.ends_with("works again")), "{news:?}");

    // Its server dies while it hangs: there is an error, and no thread is left behind.
    fuse.hang();
    sampled.until("asked", |_| fuse.waiting() == 2);
    drop(fuse);
    let values = sampled.until("nobody answers", |values| {
        value(values, &mounted, "size_bytes").is_none()
            && value(values, STORE, "mounted") == Some(0)
    });
    assert!(is(&values, "stuck", 0));
    assert!(sampled.news().iter().any(|news| news.contains("cannot be read")));
    drop(sampled);
    let threads = || fs::read_dir("/proc/self/task").expect("this process").flatten();
    let named = |name: &str| {
        threads().any(|task| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        })
    };
    let begin = Instant::now();
    while named("filesystem") || named("datastore") {
        assert!(begin.elapsed() < Duration::from_secs(60), "a thread goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
    unmount(&point);
}
