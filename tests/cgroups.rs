//! Control groups are recorded as what they are, however they come and go.
//!
//! The trees are made up and lie in memory; each value in them says to which group it belongs, so
//! that one under another's name would show. The last tests make groups of the kernel's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use tachograph::record::{Change, Record, Schema};
use tachograph::sample::{
    Cgroups, Filter, Roots, SampleError, Sampler, Sampling, Selection, SourceEvent,
};

#[path = "support/cgroup_tree.rs"]
mod cgroup_tree;
use cgroup_tree::{Layout, METRICS, Tree, open_below, value};

/// Files are looked for again every so many turns, and directories listed every so many.
const LONG_TURNS: usize = 70;

/// A sampler that reads control groups only.
struct Watch {
    sampler: Sampler,
    schema: Schema,
    record: Record,
    ticks: u64,
}

type Values = BTreeMap<String, BTreeMap<String, u64>>;

impl Watch {
    fn new(sysfs: &Path, cgroups: Cgroups) -> Self {
        let mut sources = Selection::none();
        sources.set("cgroup", 1).expect("a known source");
        let roots = Roots { sysfs: sysfs.to_owned(), ..Roots::default() };
        let sampling = Sampling { roots, sources, cgroups, ..Sampling::default() };
        let mut schema = Schema::new();
        let sampler = Sampler::open(&sampling, &mut schema);
        Self { sampler, schema, record: Record::default(), ticks: 0 }
    }

    fn of(tree: &Tree) -> Self {
        Self::new(&tree.sysfs(), Cgroups::default())
    }

    /// Takes a turn and says what happened to the series.
    fn turn(&mut self) -> Vec<Change> {
        self.schema.clear_changes();
        self.ticks += 1;
        self.sampler.tick(self.ticks, false, &mut self.schema, &mut self.record);
        self.schema.changes().to_vec()
    }

    /// Takes a turn, at which all must be well.
    fn sound_turn(&mut self) -> Vec<Change> {
        let errors = self.sampler.errors();
        let changes = self.turn();
        let events: Vec<SourceEvent> = self.sampler.drain_events().collect();
        assert_eq!((self.sampler.errors(), &events[..]), (errors, &[][..]));
        changes
    }

    fn state(&mut self) -> Option<Result<(), SampleError>> {
        self.sampler.drain_events().last().map(|event| event.state)
    }

    /// Every value of the newest record, by object and metric.
    fn values(&self) -> Values {
        let mut values = Values::new();
        for (column, series) in self.schema.iter() {
            let metrics = values.entry(series.object.to_string()).or_default();
            if let Some(value) = self.record.u64(column) {
                metrics.insert(series.metric.to_string(), value);
            }
        }
        values
    }

    fn objects(&self) -> BTreeSet<String> {
        self.values().into_keys().collect()
    }
}

fn names(objects: &[&str]) -> BTreeSet<String> {
    objects.iter().map(|object| format!("cgroup/{object}")).collect()
}

/// How many series ended, and how many began.
fn count(changes: &[Change]) -> (usize, usize) {
    let ended = changes.iter().filter(|change| matches!(change, Change::Ended(_))).count();
    (ended, changes.len() - ended)
}

#[test]
fn every_layout_gives_what_its_files_say() {
    for layout in [Layout::Unified, Layout::First, Layout::Hybrid] {
        let tree = Tree::new(layout);
        tree.make("system.slice", 1);
        tree.make("system.slice/sshd.service", 2);
        tree.make("odd name", 3);
        let mut watch = Watch::of(&tree);
        watch.sound_turn();
        let expected: Values = [
            ("cgroup/system.slice", 1),
            ("cgroup/system.slice/sshd.service", 2),
            ("cgroup/odd%20name", 3),
        ]
        .map(|(object, id)| (object.to_owned(), tree.values(id)))
        .into();
        assert_eq!(watch.values(), expected, "{layout:?}");
        // What is read in rotation is what it was within four turns, all else at once.
        tree.write("system.slice", 7);
        for _ in 0..4 {
            watch.sound_turn();
            assert_eq!(
                watch.values()["cgroup/system.slice"]["memory_bytes"],
                value(7, "memory_bytes")
            );
        }
        assert_eq!(watch.values()["cgroup/system.slice"], tree.values(7), "{layout:?}");
        assert_eq!(watch.sampler.failing(), 0);
    }
}

#[test]
fn controllers_that_are_mounted_together_are_read_once() {
    let tree = Tree::new(Layout::First);
    for link in ["cpu", "cpuacct"] {
        std::os::unix::fs::symlink("cpu,cpuacct", tree.root(link)).expect("a link");
    }
    tree.make("a", 1);
    let mut watch = Watch::of(&tree);
    watch.sound_turn();
    assert_eq!(watch.values()["cgroup/a"], tree.values(1));
    // A directory and three files.
    assert_eq!(open_below(&tree.root("cpu,cpuacct").join("a")), 4);
}

#[test]
fn older_name_of_a_file_will_do() {
    let tree = Tree::new(Layout::First);
    tree.make("a", 1);
    for file in ["io_service_bytes", "io_serviced"] {
        let recursive = tree.at("blkio", "a").join(format!("blkio.throttle.{file}_recursive"));
        let older = tree.at("blkio", "a").join(format!("blkio.throttle.{file}"));
        fs::rename(recursive, older).expect("it was there");
    }
    let mut watch = Watch::of(&tree);
    watch.sound_turn();
    assert_eq!(watch.values()["cgroup/a"], tree.values(1));
}

#[test]
fn hierarchies_may_have_different_groups() {
    let tree = Tree::new(Layout::Hybrid);
    tree.make("a", 1);
    tree.make("b", 2);
    for hierarchy in tree.hierarchies() {
        tree.remove_in(hierarchy, if *hierarchy == "memory" { "a" } else { "b" });
    }
    let mut watch = Watch::of(&tree);
    watch.sound_turn();
    let values = watch.values();
    let memory = |metric: &String| metric.starts_with("memory_");
    assert_eq!(values["cgroup/b"].len(), 5);
    assert!(values["cgroup/b"].keys().all(memory));
    assert!(!values["cgroup/a"].keys().any(memory));
    // One hierarchy loses the group: only what it gave ends.
    tree.remove_in("pids", "a");
    assert_eq!(count(&watch.sound_turn()), (2, 0));
    assert!(watch.values().contains_key("cgroup/a"));
}

#[test]
fn what_two_hierarchies_say_is_taken_from_the_second_version() {
    let tree = Tree::new(Layout::Hybrid);
    tree.make("a", 1);
    let stat = tree.at("unified", "a").join("cpu.stat");
    fs::write(&stat, "usage_usec 5\nuser_usec 3\nsystem_usec 2\n").expect("a file in memory");
    let mut watch = Watch::of(&tree);
    for _ in 0..5 {
        watch.sound_turn();
        let values = &watch.values()["cgroup/a"];
        assert_eq!((values["cpu_usage_us"], values["cpu_user_us"]), (5, 3));
        assert_eq!(values["cpu_periods"], value(1, "cpu_periods"), "only the first version has it");
    }
    tree.remove_in("unified", "a");
    watch.sound_turn();
    watch.sound_turn();
    assert_eq!(watch.values()["cgroup/a"]["cpu_usage_us"], value(1, "cpu_usage_us"));
}

#[test]
fn groups_come_go_and_change_their_names() {
    let tree = Tree::new(Layout::Unified);
    tree.make("a", 1);
    tree.make("a/b", 2);
    let mut watch = Watch::of(&tree);
    assert!(watch.sound_turn().is_empty());
    assert_eq!(watch.objects(), names(&["a", "a/b"]));
    tree.make("a/b/c", 3);
    assert_eq!(count(&watch.sound_turn()), (0, 29));
    assert_eq!(watch.objects(), names(&["a", "a/b", "a/b/c"]));
    fs::rename(tree.at("", "a/b"), tree.at("", "a/d")).expect("it was there");
    assert_eq!(count(&watch.sound_turn()), (58, 58));
    assert_eq!(watch.objects(), names(&["a", "a/d", "a/d/c"]));
    assert_eq!(watch.values()["cgroup/a/d/c"], tree.values(3));
    tree.remove("a");
    assert_eq!(count(&watch.sound_turn()), (87, 0));
    assert!(watch.schema.is_empty());
    assert_eq!(open_below(&tree.sysfs()), 1, "only the root");
}

/// A service that is restarted has the same name and other numbers, which may be larger: taken for
/// the same series it would seem to have used all of them since the last turn.
#[test]
fn group_that_was_replaced_between_two_turns_is_another_series() {
    let tree = Tree::new(Layout::Unified);
    for id in 1..=3 {
        tree.make(&format!("g{id}"), id);
    }
    let mut watch = Watch::of(&tree);
    for turn in 0..30 {
        tree.remove("g2");
        tree.make("g2", 100 + turn);
        assert_eq!(count(&watch.sound_turn()), (29, 29), "turn {turn}");
        assert_eq!(watch.values()["cgroup/g2"], tree.values(100 + turn));
        assert!(watch.sound_turn().is_empty());
    }
}

#[test]
fn young_directory_without_children_may_get_some_at_any_time() {
    let tree = Tree::new(Layout::Unified);
    tree.make("a", 1);
    let mut watch = Watch::of(&tree);
    (0..LONG_TURNS).for_each(|_| drop(watch.sound_turn()));
    tree.make("a/b", 2);
    let found = (1..).find(|_| !watch.sound_turn().is_empty()).expect("it is found");
    assert!(found <= 4, "{found}");
    tree.make("a/c", 3);
    assert!(!watch.sound_turn().is_empty(), "one that has children is asked at each turn");
}

#[test]
fn paths_are_chosen_by_depth_and_pattern() {
    let tree = Tree::new(Layout::Unified);
    for (id, path) in ["a", "a/b", "a/b/c", "a/b/c/d", "x", "x/b"].into_iter().enumerate() {
        tree.make(path, id as u64);
    }
    let objects = |depth, include: &[&str], exclude: &[&str]| {
        let paths = Filter::new(include, exclude).expect("sound patterns");
        let mut watch = Watch::new(&tree.sysfs(), Cgroups { depth, paths, ..Cgroups::default() });
        watch.sound_turn();
        watch.objects()
    };
    assert_eq!(objects(3, &[], &[]), names(&["a", "a/b", "a/b/c", "x", "x/b"]));
    assert_eq!(objects(9, &[], &["x*"]), names(&["a", "a/b", "a/b/c", "a/b/c/d"]));
    assert_eq!(objects(1, &[], &[]), names(&["a", "x"]));
    assert_eq!(objects(0, &[], &[]), names(&[]));
    // A directory that is not wanted may lead to one that is.
    assert_eq!(objects(3, &["*/b", "a/b/c"], &["x/*"]), names(&["a/b", "a/b/c"]));
}

#[test]
fn first_groups_are_recorded_when_there_are_too_many() {
    let tree = Tree::new(Layout::Unified);
    tree.make("a", 1);
    tree.make("b", 2);
    let mut watch = Watch::new(&tree.sysfs(), Cgroups { count_max: 2, ..Cgroups::default() });
    watch.sound_turn();
    tree.make("c", 3);
    for _ in 0..LONG_TURNS {
        watch.turn();
        assert_eq!(watch.objects(), names(&["a", "b"]));
    }
    assert_eq!(watch.state(), Some(Err(SampleError::TooMany)));
    assert_eq!(watch.sampler.errors(), LONG_TURNS as u64, "it is counted at each turn");
    tree.remove("a");
    watch.turn();
    watch.turn();
    assert_eq!(watch.objects(), names(&["b", "c"]));
    assert_eq!(watch.state(), Some(Ok(())));
    assert_eq!(watch.values()["cgroup/c"], tree.values(3));
}

#[test]
fn path_that_is_too_long_is_refused_and_counted() {
    let tree = Tree::new(Layout::Unified);
    tree.make("a", 1);
    // Each of these characters takes three in an id.
    let long = "\u{1}".repeat(255);
    tree.make(&long, 2);
    let longer = format!("{long}/{long}");
    tree.make(&longer, 3);
    let mut watch = Watch::of(&tree);
    watch.turn();
    assert_eq!(watch.objects().len(), 2, "the first, and a name that is just within the limit");
    assert_eq!(
        watch.sampler.drain_events().last().map(|event| event.state),
        Some(Err(SampleError::Refused))
    );
    tree.remove(&longer);
    watch.turn();
    assert_eq!(watch.state(), Some(Ok(())));
}

#[test]
fn text_that_is_cut_or_wrong_costs_its_own_values() {
    for layout in [Layout::Unified, Layout::Hybrid, Layout::First] {
        let tree = Tree::new(layout);
        tree.make("a", 1);
        tree.make("b", 2);
        let mut watch = Watch::of(&tree);
        watch.sound_turn();
        let right = tree.values(1);
        let series = watch.schema.len();
        for (hierarchy, file, text) in tree.texts(1) {
            let path = tree.at(hierarchy, "a").join(file);
            let mut damaged: Vec<String> =
                (0..text.len()).map(|end| text[..end].to_owned()).collect();
            damaged.extend(["x\n", "max x\n", "-1\n", "\n", "1e3\n", "\u{0}\n"].map(str::to_owned));
            damaged.push(text.replace(' ', "\t \t"));
            damaged.push(text.replace('0', "00000000000000000000000000000"));
            let is_sum = file == "io.stat" || file.starts_with("blkio");
            for damaged in damaged {
                fs::write(&path, &damaged).expect("a file in memory");
                watch.turn();
                let values = watch.values();
                for (metric, value) in &values["cgroup/a"] {
                    // A line fewer is a device fewer, and a damaged number may be another number.
                    let believed =
                        is_sum || text[..].starts_with(&damaged) && *value == right[metric];
                    let known = right.get(metric).is_some_and(|right| right == value);
                    assert!(
                        known || believed || !text.starts_with(&damaged),
                        "{file} {damaged:?} {metric}"
                    );
                }
                assert_eq!(values["cgroup/b"], tree.values(2));
            }
            fs::write(&path, &text).expect("a file in memory");
            (0..4).for_each(|_| drop(watch.turn()));
            assert_eq!(watch.values()["cgroup/a"], right, "{file}");
            assert_eq!(watch.schema.len(), series);
        }
        assert_eq!(watch.sampler.failing(), 0);
        assert!(watch.sampler.errors() > 0);
    }
}

#[test]
fn sums_that_fell_with_a_device_begin_anew() {
    let tree = Tree::new(Layout::Unified);
    tree.make("a", 1);
    let io = tree.at("", "a").join("io.stat");
    let line = |device, bytes: u64| {
        format!("{device} rbytes={bytes} wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n")
    };
    let write = |text: String| fs::write(&io, text).expect("a file in memory");
    write(line("8:0", 1000) + &line("8:16", 500));
    let mut watch = Watch::of(&tree);
    watch.sound_turn();
    write(line("8:0", 1100) + &line("8:16", 500) + &line("8:32", 1));
    assert!(watch.sound_turn().is_empty(), "a device that comes has done this since");
    write(line("8:0", 1200) + &line("8:32", 1));
    assert_eq!(count(&watch.sound_turn()), (6, 6), "the sum fell");
    assert_eq!(watch.values()["cgroup/a"]["io_read_bytes"], 1201);
    write(line("8:0", 9000));
    assert_eq!(count(&watch.sound_turn()), (6, 6), "it grew, but of a device fewer");
    write(line("8:0", 9001));
    assert!(watch.sound_turn().is_empty());
}

#[test]
fn limits_come_and_go_without_a_mistake() {
    let tree = Tree::new(Layout::Unified);
    tree.make("a", 1);
    let limit = tree.at("", "a").join("memory.max");
    fs::write(&limit, "max\n").expect("a file in memory");
    let mut watch = Watch::of(&tree);
    watch.sound_turn();
    assert!(!watch.values()["cgroup/a"].contains_key("memory_limit_bytes"));
    fs::write(&limit, "4096\n").expect("a file in memory");
    (0..4).for_each(|_| drop(watch.sound_turn()));
    assert_eq!(watch.values()["cgroup/a"]["memory_limit_bytes"], 4096);
    fs::write(&limit, "max\n").expect("a file in memory");
    (0..4).for_each(|_| drop(watch.sound_turn()));
    assert!(!watch.values()["cgroup/a"].contains_key("memory_limit_bytes"));
}

#[test]
fn files_that_appear_later_are_found() {
    let tree = Tree::new(Layout::Unified);
    tree.make("a", 1);
    let (from, to) = (tree.at("", "a").join("io.stat"), tree.at("", "a").join("later"));
    fs::rename(&from, &to).expect("it was there");
    let mut watch = Watch::of(&tree);
    (0..LONG_TURNS).for_each(|_| drop(watch.sound_turn()));
    assert_eq!(watch.schema.len(), METRICS.len() - 6);
    fs::rename(to, from).expect("it was there");
    (0..16).for_each(|_| drop(watch.sound_turn()));
    assert_eq!(watch.values()["cgroup/a"], tree.values(1));
}

#[test]
fn tree_that_is_missing_is_looked_for_again() {
    let tree = Tree::new(Layout::Unified);
    tree.make("a", 1);
    let (root, away) = (tree.sysfs().join("fs"), tree.sysfs().join("away"));
    fs::rename(&root, &away).expect("it was there");
    let mut watch = Watch::of(&tree);
    watch.turn();
    assert!(matches!(watch.state(), Some(Err(SampleError::Open(_)))));
    fs::rename(&away, &root).expect("it was there");
    (0..64).for_each(|_| drop(watch.turn()));
    assert_eq!(watch.values()["cgroup/a"], tree.values(1));
    // Something else is mounted there.
    let other = Tree::new(Layout::First);
    other.make("b", 2);
    fs::rename(&root, &away).expect("it was there");
    fs::rename(other.sysfs().join("fs"), &root).expect("it was there");
    watch.turn();
    assert_eq!(watch.objects(), names(&["b"]));
    assert_eq!(open_below(&away), 0);
}

#[test]
fn links_and_files_are_no_groups() {
    let tree = Tree::new(Layout::Unified);
    tree.make("a", 1);
    std::os::unix::fs::symlink(".", tree.at("", "a/again")).expect("a link");
    fs::write(tree.at("", "a/file"), "x").expect("a file in memory");
    let mut watch = Watch::of(&tree);
    (0..LONG_TURNS).for_each(|_| drop(watch.sound_turn()));
    assert_eq!(watch.objects(), names(&["a"]));
}

/// Groups that are replaced under the sampler's hands, a few at each turn. The id is in the name.
struct Churn {
    tree: Tree,
    /// The ids that are there now, and the next one.
    ids: Vec<u64>,
    next: u64,
}

impl Churn {
    const SLICES: u64 = 20;

    fn new(groups: u64) -> Self {
        let tree = Tree::new(Layout::Unified);
        for slice in 0..Self::SLICES {
            tree.make(&format!("s{slice}"), slice);
        }
        let mut churn = Self { tree, ids: Vec::new(), next: Self::SLICES };
        (Self::SLICES..groups).for_each(|_| churn.add());
        churn
    }

    fn path(id: u64) -> String {
        if id < Self::SLICES {
            return format!("s{id}");
        }
        format!("s{}/g{id}", id % Self::SLICES)
    }

    fn add(&mut self) {
        self.tree.make(&Self::path(self.next), self.next);
        self.ids.push(self.next);
        self.next += 1;
    }

    /// Replaces `count` groups: most go for good, and others come; some come back as they were
    /// called, with other numbers.
    fn replace(&mut self, count: usize, back: &mut BTreeMap<u64, u64>) {
        for number in 0..count {
            let index = (self.next as usize * 7919 + number * 104_729) % self.ids.len();
            let id = self.ids[index];
            self.tree.remove(&Self::path(id));
            if number % 5 == 0 {
                let values = back.get(&id).copied().unwrap_or(id) + 1_000_000;
                self.tree.make(&Self::path(id), values);
                back.insert(id, values);
            } else {
                back.remove(&id);
                self.ids.swap_remove(index);
                self.add();
            }
        }
    }

    /// Every column has what belongs to its object, every object is there, and none besides.
    fn check(&self, watch: &Watch, back: &BTreeMap<u64, u64>) {
        let mut seen = 0;
        for (column, series) in watch.schema.iter() {
            let name = series.object.rsplit(['/', 's', 'g']).next().expect("a name");
            let id: u64 = name.parse().expect("an id");
            let expected = value(back.get(&id).copied().unwrap_or(id), &series.metric);
            assert_eq!(watch.record.u64(column), Some(expected), "{series:?}");
            seen += 1;
        }
        let objects = watch.objects();
        let paths = self.ids.iter().map(|id| format!("cgroup/{}", Self::path(*id)));
        let lost: Vec<String> = paths.filter(|path| !objects.contains(path)).collect();
        assert_eq!(lost, [""; 0], "not found");
        assert_eq!(seen, (self.ids.len() + Self::SLICES as usize) * METRICS.len());
    }

    fn run(&mut self, watch: &mut Watch, turns: usize, count: usize, fds_max: usize) {
        let mut back = BTreeMap::new();
        watch.sound_turn();
        self.check(watch, &back);
        let mut grown = None;
        for turn in 0..turns {
            self.replace(count, &mut back);
            watch.sound_turn();
            self.check(watch, &back);
            assert!(watch.schema.width() <= (self.ids.len() + count + 20) * METRICS.len());
            if turn >= turns / 4 && turn % 16 == 0 {
                let fds = open_below(&self.tree.sysfs());
                assert!(fds <= fds_max, "{fds} descriptors");
                let grown = *grown.get_or_insert_with(resident_kib);
                assert!(resident_kib() < grown + 4096, "{grown} KiB, now {}", resident_kib());
            }
        }
    }
}

fn resident_kib() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("this process");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
}

#[test]
fn thousands_of_groups_with_fifty_changes_a_turn_keep_their_names() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let budget = limit.map_or(20_480, |limit| (limit as usize / 2).min(20_480));
    let mut churn = Churn::new(2000);
    let mut watch = Watch::of(&churn.tree);
    churn.run(&mut watch, 200, 50, budget + 8);
}

/// With few descriptors most files are opened at each turn, and most directories asked by path.
#[test]
fn few_descriptors_are_enough() {
    const CHILD: &str = "TACHOGRAPH_FEW_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        let own = std::env::current_exe().expect("this test");
        let run = Command::new("sh")
            .args(["-c", "ulimit -n 100; exec \"$0\" --exact few_descriptors_are_enough"])
            .arg(own)
            .env(CHILD, "1")
            .output()
            .expect("a shell");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        return;
    }
    let mut churn = Churn::new(100);
    let mut watch = Watch::of(&churn.tree);
    churn.run(&mut watch, 100, 5, 51);
    let long = "n".repeat(200);
    churn.tree.make(&format!("s0/{long}"), 7);
    churn.tree.make(&format!("s0/{long}/{long}"), 8);
    watch.sound_turn();
    let values = watch.values();
    assert_eq!(values[&format!("cgroup/s0/{long}/{long}")], churn.tree.values(8));
}

/// A directory of the kernel's for groups, if this process may make some there.
struct Live {
    sysfs: PathBuf,
    group: PathBuf,
}

impl Live {
    fn new(name: &str) -> Option<Self> {
        let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let is_unified = |path: &&str| Path::new(path).join("cgroup.controllers").exists();
        let mount = mounts.into_iter().find(is_unified);
        let name = format!("tachograph-{name}-{}", std::process::id());
        let made = mount.map(|mount| Path::new(mount).join(name));
        let made = made.filter(|group| fs::create_dir(group).is_ok());
        if made.is_none() {
            eprintln!("LEFT OUT: it takes root and a cgroup2 file system to make control groups");
        }
        Some(Self { sysfs: "/sys".into(), group: made? })
    }

    fn object(&self, below: &str) -> String {
        let name = self.group.file_name().expect("a name").to_string_lossy();
        format!("cgroup/{name}{below}")
    }

    /// A watch of these groups only: others come and go by themselves.
    fn watch(&self) -> Watch {
        let include = [format!("{}*", &self.object("")["cgroup/".len()..])];
        let paths = Filter::new(&include, &[]).expect("a sound pattern");
        Watch::new(&self.sysfs, Cgroups { paths, ..Cgroups::default() })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for entry in fs::read_dir(&self.group).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(entry.path());
        }
        let _ = fs::remove_dir(&self.group);
    }
}

#[test]
fn kernel_counts_what_a_busy_group_uses() {
    let Some(live) = Live::new("busy") else { return };
    let mut watch = live.watch();
    watch.sound_turn();
    let usage = |watch: &Watch| watch.values()[&live.object("/worker")]["cpu_usage_us"];
    let worker = live.group.join("worker");
    fs::create_dir(&worker).expect("a group");
    watch.sound_turn();
    let idle = usage(&watch);
    let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell");
    fs::write(worker.join("cgroup.procs"), busy.id().to_string()).expect("it may be moved");
    while usage(&watch) < idle + 50_000 {
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(watch.sound_turn().is_empty());
    }
    let shown = fs::read_to_string(worker.join("cpu.stat")).expect("a kernel file");
    busy.kill().and_then(|()| busy.wait()).expect("a child");
    let shown = shown.strip_prefix("usage_usec ").and_then(|rest| rest.lines().next());
    assert!(usage(&watch) <= shown.and_then(|text| text.parse().ok()).expect("a number"));
    // Files of a group that is gone cannot be read any more; that is its end and no failure.
    fs::remove_dir(&worker).expect("nobody is in it");
    let series = watch.schema.len();
    let (ended, began) = count(&watch.sound_turn());
    assert!(ended > 2 && began == 0 && watch.schema.len() == series - ended);
    assert_eq!(open_below(&worker), 0);
}

#[test]
fn kernels_group_of_the_same_name_is_another_series() {
    let Some(live) = Live::new("again") else { return };
    let again = live.group.join("again");
    fs::create_dir(&again).expect("a group");
    let mut watch = live.watch();
    watch.sound_turn();
    let series = watch.schema.len() / 2;
    for _ in 0..50 {
        fs::remove_dir(&again).expect("nobody is in it");
        fs::create_dir(&again).expect("a group");
        assert_eq!(count(&watch.sound_turn()), (series, series));
        assert!(watch.sound_turn().is_empty());
    }
}

#[test]
fn files_that_the_kernel_hides_end_and_begin_again() {
    let Some(live) = Live::new("hides") else { return };
    let switch = live.group.join("cgroup.pressure");
    if !switch.exists() {
        eprintln!("LEFT OUT: this kernel cannot switch pressure off for a group");
        return;
    }
    let mut watch = live.watch();
    watch.sound_turn();
    let has_pressure = |watch: &Watch| {
        watch.values()[&live.object("")].keys().any(|metric| metric.starts_with("pressure"))
    };
    assert!(has_pressure(&watch));
    fs::write(&switch, "0").expect("it may be switched");
    let (ended, _) = count(&watch.sound_turn());
    assert!(ended >= 5 && !has_pressure(&watch));
    fs::write(&switch, "1").expect("it may be switched");
    (0..16).for_each(|_| drop(watch.sound_turn()));
    assert!(has_pressure(&watch));
}

#[test]
fn groups_that_go_while_they_are_read_are_no_failure() {
    let Some(live) = Live::new("race") else { return };
    let mut watch = live.watch();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0_u64.. {
                let group = live.group.join(format!("g{}", number % 23));
                if fs::create_dir(&group).is_err() {
                    fs::remove_dir(&group).expect("nobody is in it");
                }
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        // If a turn fails, the other thread must end for this one to say so.
        let turns = catch_unwind(AssertUnwindSafe(|| {
            (0..300).for_each(|_| drop(watch.sound_turn()));
        }));
        stop.store(true, Ordering::Relaxed);
        turns.unwrap_or_else(|panic| resume_unwind(panic));
    });
    watch.sound_turn();
    let left = fs::read_dir(&live.group).expect("it is there").flatten();
    let left = left.filter(|entry| entry.path().is_dir());
    let left = left.map(|entry| live.object(&format!("/{}", entry.file_name().to_string_lossy())));
    let mut left: BTreeSet<String> = left.collect();
    left.insert(live.object(""));
    assert_eq!(watch.objects(), left);
    assert!(open_below(&live.group) <= left.len() * 9);
}
