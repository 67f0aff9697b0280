//! Mounts and stores as the table of mounts, the paths and the devices say, over trees that are made
//! up and changed.
//!
//! What the kernel does by itself is in `mounts_live`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tachograph::sample::{Datastore, Filesystems, Filter, Roots, Sampling};

#[allow(dead_code, reason = "each test uses some of it")]
#[path = "support/sampled.rs"]
mod sampled;
use sampled::{Sampled, metrics, value};

/// A root directory with `/proc` and `/sys` in it, removed at the end.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tachograph-mounts-{}-{number}", std::process::id());
        let tree = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(tree.0.join("proc/1")).expect("a temporary directory");
        tree
    }

    fn sampling(&self) -> Sampling {
        let roots = Roots {
            procfs: self.0.join("proc"),
            sysfs: self.0.join("sys"),
            rootfs: self.0.clone(),
        };
        Sampling { roots, ..Sampling::default() }
    }

    fn filesystems(&self) -> Sampled {
        Sampled::open(&["filesystem"], self.sampling())
    }

    /// A sampler of the stores `(name, path, removable)`.
    fn stores(&self, stores: &[(&str, &str, bool)]) -> Sampled {
        let store = |&(name, path, removable): &(&str, &str, bool)| Datastore {
            name: name.into(),
            path: path.into(),
            removable,
        };
        let datastores = stores.iter().map(store).collect();
        Sampled::open(&["datastore"], Sampling { datastores, ..self.sampling() })
    }

    fn make_dir(&self, path: impl AsRef<Path>) {
        fs::create_dir_all(self.0.join(path)).expect("a temporary directory");
    }

    fn write(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a temporary directory");
        fs::write(path, text).expect("a temporary file");
    }

    /// Replaces the table of mounts.
    fn mount(&self, lines: &[String]) {
        self.write("proc/1/mountinfo", lines.concat());
    }

    /// The numbers of a device: reads and writes, and all others 0.
    fn device(&self, number: &str, reads: u64, writes: u64) {
        let numbers = format!("{reads} 0 {reads}0 0 {writes} 0 {writes}0 0 0 7 0 5 0 50 0 0 0\n");
        self.write(format!("sys/dev/block/{number}/stat"), numbers);
    }

    /// The device number that every path in the tree has.
    fn number(&self) -> String {
        let device = rustix::fs::stat(&self.0).expect("a directory").st_dev;
        format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
    }

    /// The line of a mount whose device number is right.
    fn line(&self, id: u32, point: &str) -> String {
        line(id, &self.number(), point, "ext4 /dev/sda1")
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn line(id: u32, number: &str, point: &str, type_and_source: &str) -> String {
    format!("{id} 1 {number} / {point} rw,relatime shared:1 - {type_and_source} rw\n")
}

/// Those of `changes` that are about `object`, without its name.
fn of<'a>(changes: &'a [String], object: &str) -> Vec<&'a str> {
    let metric = |name: &'a String| name.strip_prefix(object)?.strip_prefix(' ');
    changes.iter().filter_map(metric).collect()
}

#[test]
fn mount_points_of_any_name_are_objects() {
    let tree = Tree::new();
    let names: [(&[u8], &str, &str); 4] = [
        (b"plain", "/plain", "filesystem/plain"),
        (b"two words", "/two\\040words", "filesystem/two%20words"),
        (b"two\nlines", "/two\\012lines", "filesystem/two%0Alines"),
        (b"back\\slash", "/back\\134slash", "filesystem/back%5Cslash"),
    ];
    let mut lines = vec![tree.line(1, "/")];
    for (index, (name, escaped, _)) in names.iter().enumerate() {
        tree.make_dir(OsStr::from_bytes(name));
        lines.push(tree.line(10 + index as u32, escaped));
    }
    tree.make_dir(OsStr::from_bytes(b"odd\xff"));
    let mut text = lines.concat().into_bytes();
    text.extend_from_slice(format!("20 1 {} / /odd", tree.number()).as_bytes());
    text.extend_from_slice(b"\xff rw - ext4 /dev/a\\040b rw\n");
    tree.write("proc/1/mountinfo", text);

    let mut sampled = tree.filesystems();
    let objects = names.map(|(_, _, object)| object);
    let objects = objects.into_iter().chain(["filesystem/", "filesystem/odd%FF"]);
    for object in objects.clone() {
        sampled.until_there(object, "size_bytes");
    }
    assert_eq!(sampled.objects(), objects.map(str::to_owned).collect());
    let values = sampled.tick();
    assert_eq!(value(&values, "filesystem/odd%FF", "device=/dev/a%20b"), Some(1));
    assert_eq!(value(&values, "filesystem/plain", "device=/dev/sda1"), Some(1));
}

#[test]
fn filters_choose_mounts_and_the_root_is_always_there() {
    let tree = Tree::new();
    for name in ["srv/a", "srv/b", "boot"] {
        tree.make_dir(name);
    }
    let number = tree.number();
    tree.mount(&[
        line(1, "0:50", "/", "overlay overlay"),
        tree.line(2, "/boot"),
        tree.line(3, "/srv/a"),
        line(4, &number, "/srv/b", "squashfs /dev/loop0"),
        line(5, &number, "/proc", "proc proc"),
    ]);
    assert_eq!(
        tree.filesystems().objects(),
        ["filesystem/", "filesystem/boot", "filesystem/srv/a"].map(str::to_owned).into()
    );
    let filesystems = Filesystems {
        mount_points: Filter::new(&["/srv/*"], &[]).expect("sound"),
        types: Filter::default(),
    };
    let sampled = Sampled::open(&["filesystem"], Sampling { filesystems, ..tree.sampling() });
    assert_eq!(
        sampled.objects(),
        ["filesystem/", "filesystem/srv/a", "filesystem/srv/b"].map(str::to_owned).into()
    );
}

#[test]
fn what_has_no_device_of_its_own_has_no_traffic() {
    let tree = Tree::new();
    tree.device("0:50", 1, 1);
    for (fs_type, backing) in [
        ("overlay", "overlay"),
        ("tmpfs", "memory"),
        ("nfs4", "network"),
        ("fuse.sshfs", "network"),
        ("fuse.mergerfs", "fuse"),
        ("btrfs", "devices"),
        ("unheard-of", "none"),
    ] {
        tree.mount(&[line(1, "0:50", "/", &format!("{fs_type} source"))]);
        let mut sampled = tree.filesystems();
        let values = sampled.until_there("filesystem/", "size_bytes");
        let (fs_type, backing) = (format!("fstype={fs_type}"), format!("backing={backing}"));
        let expected = [
            "age_ms",
            "available_bytes",
            &backing,
            "device=source",
            "files",
            "files_free",
            "free_bytes",
            &fs_type,
            "readonly",
            "size_bytes",
            "stuck",
        ];
        let mut found = metrics(&values, "filesystem/");
        // Some file systems do not count files.
        found.extend(["files", "files_free"]);
        assert_eq!(found, expected.into());
        assert_eq!(sampled.sampler.errors(), 0);
    }
}

#[test]
fn of_two_mounts_at_one_point_the_last_one_counts() {
    let tree = Tree::new();
    tree.make_dir("srv");
    tree.device("8:1", 11, 12);
    tree.device("8:2", 21, 22);
    let below = line(2, "8:1", "/srv", "ext4 /dev/sda1");
    let above = line(3, "8:2", "/srv", "xfs /dev/sda2");
    let hidden = line(4, "0:77", "/srv", "autofs systemd-1");
    let root = tree.line(1, "/");
    let object = "filesystem/srv";

    tree.mount(&[root.clone(), below.clone(), above.clone()]);
    let mut sampled = tree.filesystems();
    let values = sampled.until_is(object, "fstype=xfs", 1);
    assert_eq!(value(&values, object, "reads_completed"), Some(21));

    // It is unmounted, and what was below it can be seen: another device, another series.
    tree.mount(&[root.clone(), below.clone()]);
    let values = sampled.until_is(object, "fstype=ext4", 1);
    assert_eq!(value(&values, object, "reads_completed"), Some(11));
    assert_eq!(value(&values, object, "fstype=xfs"), None);
    for metric in ["reads_completed", "written_sectors", "fstype=xfs"] {
        assert!(of(&sampled.ended, object).contains(&metric), "{:?}", sampled.ended);
    }
    assert!(of(&sampled.added, object).contains(&"reads_completed"));

    // An automounter's place without a mount is none that is watched.
    tree.mount(&[root, below, hidden]);
    sampled.until("gone", |values| value(values, object, "stuck").is_none());
    assert_eq!(sampled.objects(), ["filesystem/".to_owned()].into());
}

#[test]
fn series_end_with_their_mount_and_begin_anew() {
    let tree = Tree::new();
    tree.make_dir("srv");
    let number = tree.number();
    tree.device(&number, 5, 6);
    let (root, srv) = (line(1, "0:1", "/", "rootfs none"), tree.line(2, "/srv"));
    let object = "filesystem/srv";
    tree.mount(&[root.clone(), srv.clone()]);
    let mut sampled = tree.filesystems();
    sampled.until_there(object, "size_bytes");
    let values = sampled.tick();
    assert_eq!(value(&values, object, "read_sectors"), Some(50));
    assert_eq!(value(&values, object, "discards_completed"), Some(5));
    assert_eq!(value(&values, object, "writes_completed"), Some(6), "discards are no writes");
    let count = metrics(&values, object).len();

    tree.mount(std::slice::from_ref(&root));
    sampled.until("gone", |values| metrics(values, object).is_empty());
    assert_eq!(of(&sampled.ended, object).len(), count);
    assert_eq!(sampled.objects(), ["filesystem/".to_owned()].into());

    tree.mount(&[root.clone(), srv]);
    let values = sampled.until_there(object, "reads_completed");
    assert!(of(&sampled.added, object).contains(&"reads_completed"));
    assert_eq!(value(&values, object, "reads_completed"), Some(5));
    sampled.until_there(object, "size_bytes");

    // The same file system, mounted anew between two looks: its series go on.
    tree.mount(&[root.clone(), tree.line(77, "/srv")]);
    for _ in 0..40 {
        let values = sampled.tick();
        assert_eq!(value(&values, object, "reads_completed"), Some(5));
        assert!(sampled.ended.is_empty(), "{:?}", sampled.ended);
    }
    sampled.until_there(object, "size_bytes");

    // Another device at the same place: nothing goes on, not for one tick.
    assert_eq!(sampled.news(), [""; 0]);
    tree.device("8:99", 1000, 1000);
    tree.mount(&[root, line(78, "8:99", "/srv", "ext4 /dev/sda1")]);
    let values = sampled.until_is(object, "reads_completed", 1000);
    assert!(of(&sampled.ended, object).contains(&"reads_completed"));
    assert!(of(&sampled.added, object).contains(&"reads_completed"));
    assert_eq!(value(&values, object, "size_bytes"), None, "nobody can have answered");
    // The tree's path does not lie on that device, and so its space is nobody's.
    sampled.until("an error", |values| {
        value(values, object, "age_ms").is_some() && value(values, object, "size_bytes").is_none()
    });
    let path = tree.0.join("srv");
    let told = format!(
        "source filesystem: {} is not on the file system that belongs there",
        path.display()
    );
    assert_eq!(sampled.news(), [told]);
    assert_eq!(value(&sampled.tick(), object, "reads_completed"), Some(1000));
}

#[test]
fn each_mount_that_fails_is_told_of_once() {
    let tree = Tree::new();
    tree.make_dir("good");
    tree.device("8:4", 1, 2);
    let lines = [
        line(1, "0:1", "/", "rootfs none"),
        line(2, "0:2", "/good", "tmpfs none"),
        line(3, "0:3", "/gone", "tmpfs none"),
        line(4, "8:4", "/other", "ext4 /dev/sda4"),
    ];
    tree.mount(&lines);
    let mut sampled = tree.filesystems();
    sampled.until("all asked", |values| {
        ["good", "gone", "other"]
            .iter()
            .all(|name| value(values, &format!("filesystem/{name}"), "age_ms").is_some())
    });
    for _ in 0..50 {
        sampled.tick();
    }
    let told =
        |path: &str, why: &str| format!("source filesystem: {} {why}", tree.0.join(path).display());
    let missing = "cannot be opened: No such file or directory (os error 2)";
    let mut news = sampled.news();
    news.sort();
    let expected = [
        told("gone", missing),
        told("good", "is not on the file system that belongs there"),
        told("other", missing),
    ];
    assert_eq!(news, expected);
    assert_eq!(sampled.sampler.failing(), 1);

    tree.mount(&lines[..1]);
    sampled.until("gone", |_| true);
    assert_eq!((sampled.tick().is_empty(), sampled.sampler.failing()), (false, 0));
}

#[test]
fn table_that_is_cut_short_ends_nothing() {
    let tree = Tree::new();
    tree.make_dir("srv");
    tree.device(&tree.number(), 1, 2);
    let text = [tree.line(1, "/"), tree.line(2, "/srv")].concat();
    tree.write("proc/1/mountinfo", &text);
    let mut sampled = tree.filesystems();
    sampled.until_there("filesystem/srv", "size_bytes");
    sampled.until_there("filesystem/", "size_bytes");
    sampled.news();
    for end in [0, 1, text.len() / 2 + 3, text.len() - 1] {
        tree.write("proc/1/mountinfo", &text.as_bytes()[..end]);
        for _ in 0..40 {
            let values = sampled.tick();
            assert!(value(&values, "filesystem/srv", "size_bytes").is_some());
            assert!(sampled.ended.is_empty());
        }
    }
    let news = sampled.news();
    assert!(news.iter().any(|news| news.contains("mountinfo ends in the middle")), "{news:?}");
    tree.write("proc/1/mountinfo", &text);
    sampled.until("whole", |_| true);
    for _ in 0..40 {
        sampled.tick();
    }
    assert_eq!(sampled.sampler.failing(), 0);
}

#[test]
fn root_needs_no_table() {
    let tree = Tree::new();
    let number = tree.number();
    tree.device(&number, 3, 4);
    let mut sampled = tree.filesystems();
    let values = sampled.until_there("filesystem/", "size_bytes");
    let of_device = (!number.starts_with("0:")).then_some(3);
    assert_eq!(value(&values, "filesystem/", "reads_completed"), of_device);
    let missing = tree.0.join("proc/1/mountinfo");
    let told = format!("source filesystem: {} cannot be opened: No such", missing.display());
    assert!(sampled.news().iter().any(|news| news.starts_with(&told)));

    // Where the first process's table cannot be read, the own one is.
    tree.write("proc/self/mountinfo", line(1, "0:9", "/", "overlay overlay"));
    sampled.until_is("filesystem/", "fstype=overlay", 1);
    assert_eq!(value(&sampled.tick(), "filesystem/", "reads_completed"), None);
}

#[test]
fn device_that_vanishes_takes_its_series_along() {
    let tree = Tree::new();
    tree.mount(&[line(1, "8:1", "/", "ext4 /dev/sda1")]);
    tree.device("8:1", 100, 100);
    let mut sampled = tree.filesystems();
    sampled.until_there("filesystem/", "size_bytes");
    let traffic = |values: &sampled::Values| value(values, "filesystem/", "reads_completed");
    assert_eq!(traffic(&sampled.tick()), Some(100));

    // What the kernel does when a device is taken away: its file cannot be read any more.
    let stat = tree.0.join("sys/dev/block/8:1/stat");
    fs::remove_file(&stat).expect("it was there");
    fs::create_dir(&stat).expect("a directory cannot be read");
    assert_eq!(traffic(&sampled.tick()), Some(100), "the descriptor is kept");
    let mut sampled = tree.filesystems();
    let values = sampled.until_there("filesystem/", "size_bytes");
    assert_eq!(traffic(&values), None, "absent, not zero");
    let news = sampled.news();
    let told = format!("source filesystem: {} cannot be read: Is a directory", stat.display());
    assert!(news.iter().any(|news| news.starts_with(&told)), "{news:?}");
    fs::remove_dir(&stat).expect("it was there");
    tree.device("8:1", 200, 200);
    let values = sampled.until_there("filesystem/", "reads_completed");
    assert_eq!(traffic(&values), Some(200));
}

#[test]
fn devices_of_a_btrfs_are_added_up() {
    let tree = Tree::new();
    tree.mount(&[line(1, "0:33", "/", "btrfs /dev/mapper/data")]);
    let other = "sys/fs/btrfs/1111/devices";
    tree.write(format!("{other}/sdz/dev"), "8:90\n");
    let devices = "sys/fs/btrfs/2222/devices";
    for (name, number) in [("data", "8:1"), ("sdb", "8:2")] {
        tree.write(format!("{devices}/{name}/dev"), format!("{number}\n"));
    }
    for (number, count) in [("8:1", 100), ("8:2", 23), ("8:3", 1000), ("8:90", 5000)] {
        tree.device(number, count, count + 1);
    }
    let mut sampled = tree.filesystems();
    let object = "filesystem/";
    let values = sampled.until_there(object, "reads_completed");
    assert_eq!(value(&values, object, "backing=devices"), Some(1));
    assert_eq!(value(&values, object, "reads_completed"), Some(123));
    assert_eq!(value(&values, object, "written_sectors"), Some(1010 + 240));
    assert_eq!(value(&values, object, "io_ms"), Some(14));

    // Another device joins it: the sum is another one, and so is the series.
    tree.write(format!("{devices}/sdc/dev"), "8:3\n");
    sampled.until_is(object, "reads_completed", 1123);
    assert!(of(&sampled.ended, object).contains(&"reads_completed"));
    assert!(of(&sampled.added, object).contains(&"reads_completed"));
    assert!(!of(&sampled.ended, object).contains(&"size_bytes"));
    assert_eq!(sampled.sampler.errors(), 0);
}

#[test]
fn dataset_of_zfs_says_what_zfs_says_of_it() {
    let tree = Tree::new();
    tree.make_dir("tank/store");
    let objset = |id: u32, dataset: &str, numbers: [u64; 4]| {
        let [writes, nwritten, reads, nread] = numbers;
        let text = format!(
            "36 1 0x01 5 2160 5214787391 73405258558961\nname type data\n\
             dataset_name 7 {dataset}\nwrites 4 {writes}\nnwritten 4 {nwritten}\n\
             reads 4 {reads}\nnread 4 {nread}\n"
        );
        tree.write(format!("proc/spl/kstat/zfs/tank/objset-0x{id:x}"), text);
    };
    objset(0x36, "tank/store", [10, 10_000, 20, 20_480]);
    objset(0x37, "tank/other", [1; 4]);
    let (object, root) = ("filesystem/", line(1, "0:66", "/", "zfs tank/store"));
    tree.mount(std::slice::from_ref(&root));
    let mut sampled = tree.filesystems();
    let values = sampled.until_there(object, "reads_completed");
    assert_eq!(value(&values, object, "backing=zfs"), Some(1));
    assert_eq!(value(&values, object, "reads_completed"), Some(20));
    assert_eq!(value(&values, object, "read_sectors"), Some(40));
    assert_eq!(value(&values, object, "written_sectors"), Some(10_000 / 512));
    assert_eq!(value(&values, object, "io_ms"), None);
    let mut stores = tree.stores(&[("s", "/tank/store", false)]);
    let values = stores.until_there("datastore/s", "read_bytes");
    assert_eq!(value(&values, "datastore/s", "written_bytes"), Some(10_000));
    assert_eq!(value(&values, "datastore/s", "writes_completed"), Some(10));
    assert_eq!(stores.sampler.errors() + sampled.sampler.errors(), 0);

    // Another dataset comes to lie there.
    tree.mount(&[line(1, "0:66", "/", "zfs tank/other")]);
    let values = sampled.until_is(object, "reads_completed", 1);
    assert_eq!(value(&values, object, "device=tank/other"), Some(1));
    stores.until_is("datastore/s", "written_bytes", 1);
    assert!(of(&stores.ended, "datastore/s").contains(&"written_bytes"));
    assert!(of(&stores.added, "datastore/s").contains(&"written_bytes"));

    // What has no traffic comes to lie there.
    tree.mount(&[line(1, "0:66", "/", "tmpfs none")]);
    let values = stores.until_is("datastore/s", "fstype=tmpfs", 1);
    assert_eq!(value(&values, "datastore/s", "read_bytes"), None);

    // What ZFS does not say is absent; the space is there.
    tree.mount(std::slice::from_ref(&root));
    stores.until_there("datastore/s", "read_bytes");
    fs::remove_dir_all(tree.0.join("proc/spl")).expect("it was there");
    let values =
        stores.until("absent", |values| value(values, "datastore/s", "read_bytes").is_none());
    assert!(value(&values, "datastore/s", "size_bytes").is_some());
    assert_eq!(value(&values, "datastore/s", "mounted"), Some(1));
    assert_eq!(stores.sampler.failing(), 1);
}

#[test]
fn store_that_is_there_says_what_lies_under_it() {
    let tree = Tree::new();
    let number = tree.number();
    tree.make_dir("mnt/disk/store");
    tree.mount(&[line(1, "0:1", "/", "rootfs none"), tree.line(2, "/mnt/disk")]);
    tree.device(&number, 8, 9);
    let mut sampled = tree.stores(&[("s 1", "/mnt/disk/store", false)]);
    let object = "datastore/s%201";
    let values = sampled.until_is(object, "mounted", 1);
    let space = rustix::fs::statvfs(&tree.0).expect("a directory");
    let expected = [("size_bytes", space.f_blocks * space.f_frsize), ("readonly", 0), ("stuck", 0)];
    for (metric, expected) in expected {
        assert_eq!(value(&values, object, metric), Some(expected), "{metric}");
    }
    let [size, used] = ["size_bytes", "used_bytes"].map(|metric| value(&values, object, metric));
    assert!(used > Some(0) && used < size);
    for info in ["fstype=ext4", "device=/dev/sda1"] {
        assert_eq!(value(&values, object, info), Some(1), "{info}");
    }
    if number.starts_with("0:") {
        eprintln!("no traffic to look at: {} has no device", tree.0.display());
        return;
    }
    for (metric, expected) in [
        ("reads_completed", 8),
        ("read_bytes", 80 * 512),
        ("writes_completed", 9),
        ("written_bytes", 90 * 512),
        ("discards_completed", 5),
        ("discarded_bytes", 50 * 512),
        ("io_ms", 7),
    ] {
        assert_eq!(value(&values, object, metric), Some(expected), "{metric}");
    }
    assert_eq!(sampled.sampler.errors(), 0);
}

/// What a store has that is not there.
const NOT_THERE: [&str; 3] = ["age_ms", "mounted", "stuck"];

#[test]
fn each_store_fails_by_itself_and_is_told_of_once() {
    let tree = Tree::new();
    tree.mount(&[tree.line(1, "/")]);
    tree.device(&tree.number(), 1, 2);
    tree.make_dir("good");
    tree.write("file", "");
    symlink("loop", tree.0.join("loop")).expect("a link");
    let mut sampled = tree.stores(&[
        ("file", "/file", false),
        ("good", "/good", false),
        ("loop", "/loop", false),
        ("missing", "/missing/store", false),
        ("good", "/file", false),
    ]);
    for store in ["file", "loop", "missing"] {
        let object = format!("datastore/{store}");
        let values = sampled.until_is(&object, "mounted", 0);
        assert_eq!(metrics(&values, &object), NOT_THERE.into(), "{store}");
    }
    let values = sampled.until_is("datastore/good", "mounted", 1);
    assert!(value(&values, "datastore/good", "size_bytes").is_some());
    for _ in 0..300 {
        sampled.tick();
    }
    let mut news = sampled.news();
    news.sort();
    let told =
        |name: &str, why: &str| format!("source datastore: {} {why}", tree.0.join(name).display());
    let expected = [
        told("file", "cannot be opened: Not a directory (os error 20)"),
        told("file", "has two names for one series"),
        told("loop", "cannot be opened: Too many levels of symbolic links (os error 40)"),
        told("missing/store", "cannot be opened: No such file or directory (os error 2)"),
    ];
    assert_eq!(news, expected);
    // No turn is left out, however many have failed.
    let (errors, ticks) = (sampled.sampler.errors(), 100);
    for _ in 0..ticks {
        sampled.tick();
    }
    assert_eq!(sampled.sampler.errors() - errors, 4 * ticks);
    assert_eq!(sampled.sampler.failing(), 1, "sources are counted, not stores");

    // It appears, and goes again.
    tree.make_dir("missing/store");
    let values = sampled.until_is("datastore/missing", "mounted", 1);
    assert!(value(&values, "datastore/missing", "available_bytes").is_some());
    fs::remove_dir(tree.0.join("missing/store")).expect("it was there");
    let values = sampled.until_is("datastore/missing", "mounted", 0);
    assert_eq!(metrics(&values, "datastore/missing"), NOT_THERE.into());
    let news = sampled.news();
    assert_eq!(news, [told("missing/store", "works again"), expected[3].clone()]);
}

#[test]
fn removable_store_is_never_the_root_underneath() {
    let tree = Tree::new();
    let number = tree.number();
    tree.make_dir("media/stick/store");
    tree.device(&number, 1, 2);
    let root = tree.line(1, "/");
    tree.mount(std::slice::from_ref(&root));
    let mut sampled = tree
        .stores(&[("stick", "/media/stick/store", true), ("fixed", "/media/stick/store", false)]);
    let (stick, fixed) = ("datastore/stick", "datastore/fixed");
    let values = sampled.until_is(stick, "mounted", 0);
    assert_eq!(metrics(&values, stick), NOT_THERE.into());
    sampled.until_is(fixed, "mounted", 1);

    // Mounted above the store's own directory; so is the other one's, from now on.
    let mounted = [root.clone(), line(2, &number, "/media/stick", "vfat /dev/sdb1")];
    tree.mount(&mounted);
    sampled.until_is(stick, "fstype=vfat", 1);
    let values = sampled.until_is(fixed, "fstype=vfat", 1);
    assert_eq!(value(&values, fixed, "fstype=ext4"), None);
    assert_eq!(value(&values, stick, "mounted"), Some(1));

    tree.mount(std::slice::from_ref(&root));
    for store in [stick, fixed] {
        let values = sampled.until_is(store, "mounted", 0);
        assert_eq!(metrics(&values, store), NOT_THERE.into());
        if !number.starts_with("0:") {
            assert!(!sampled.schema.iter().any(|(_, series)| {
                &*series.object == store && &*series.metric == "read_bytes"
            }));
        }
    }
    // An automounter waits there: nothing is mounted.
    tree.mount(&[root, line(2, &number, "/media/stick", "autofs systemd-1")]);
    for store in [stick, fixed] {
        sampled.until("time passes", |values| value(values, store, "age_ms") > Some(500));
        let values =
            sampled.until("another look", |values| value(values, store, "age_ms") < Some(500));
        assert_eq!(metrics(&values, store), NOT_THERE.into());
    }
    tree.mount(&mounted);
    sampled.until_is(stick, "mounted", 1);
    sampled.until_is(fixed, "mounted", 1);
    if !number.starts_with("0:") {
        assert!(sampled.tick().contains_key(&(stick.into(), "read_bytes".into())));
    }
    let news = sampled.news();
    let why = "is not on the file system that belongs there";
    assert_eq!(news.iter().filter(|news| news.contains(why)).count(), 3, "{news:?}");
    assert_eq!(news.iter().filter(|news| news.contains("works again")).count(), 3, "{news:?}");
}

#[test]
fn path_of_a_store_is_followed_to_where_it_leads() {
    let tree = Tree::new();
    let number = tree.number();
    for dir in ["disks/a", "disks/b", "srv"] {
        tree.make_dir(dir);
    }
    tree.mount(&[
        tree.line(1, "/"),
        line(2, &number, "/disks/a", "xfs /dev/a"),
        line(3, &number, "/disks/b", "ext4 /dev/b"),
    ]);
    let link = tree.0.join("srv/store");
    symlink("../disks/a", &link).expect("a link");
    let mut sampled = tree.stores(&[("store", "/srv/store", true)]);
    let object = "datastore/store";
    sampled.until_is(object, "device=/dev/a", 1);
    fs::remove_file(&link).expect("it was there");
    symlink("../disks/b", &link).expect("a link");
    let values = sampled.until_is(object, "device=/dev/b", 1);
    assert_eq!(value(&values, object, "device=/dev/a"), None);
    assert!(of(&sampled.ended, object).contains(&"device=/dev/a"));
    assert!(of(&sampled.added, object).contains(&"device=/dev/b"));

    // Out of the host's root, it leads nowhere.
    fs::remove_file(&link).expect("it was there");
    symlink("/", &link).expect("a link");
    sampled.until_is(object, "mounted", 0);
}
