//! A turn over 2,000 control groups against the bare reading of the same files.
//!
//! The groups are made up and lie in memory, where a read costs a fifth of what the kernel asks for
//! a control group's file: what is added to it shows the more. The floor reads what is due at each
//! turn as the source does: through descriptors that are kept where the source keeps them, and with
//! `openat` and `close` around the `pread` where it does not. It looks at no byte, and keeps as many
//! files open as the source.

use std::hint::black_box;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use tachograph::record::{Record, Schema};
use tachograph::sample::{Sampler, Sampling, Selection};

#[path = "../tests/support/cgroup_tree.rs"]
mod cgroup_tree;
#[path = "support/judge.rs"]
mod judge;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/pair.rs"]
mod pair;

use cgroup_tree::{Layout, Tree, open_below, value};
use judge::Goal;

const GROUPS: u64 = 2000;
const SLICES: u64 = 40;
const ROUNDS: usize = 31;
const GOAL: Goal = Goal::AtMost(1.2);
/// Descriptors that a turn needs for a moment.
const SPARE: usize = 8;
/// Read in turns, one of them at each.
const ROTATING: [&str; 4] = ["memory.peak", "memory.max", "memory.swap.current", "pids.max"];

fn path(id: u64) -> String {
    if id < SLICES { format!("s{id}") } else { format!("s{}/g{id}", id % SLICES) }
}

/// A group's directory and those of its files that are read at each turn.
struct Group {
    directory: OwnedFd,
    files: Vec<(&'static str, Option<OwnedFd>)>,
}

struct Floor {
    groups: Vec<Group>,
    buffer: Vec<u8>,
    turns: usize,
}

impl Floor {
    /// The floor of a source that keeps `kept` files open.
    fn new(tree: &Tree, mut kept: usize) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let group = |id| {
            let at = tree.at("", &path(id));
            let directory = rustix::fs::open(&at, flags, Mode::empty()).expect("a directory");
            let texts = tree.texts(id).into_iter().map(|(_, file, _)| file);
            let files = texts.filter(|file| !ROTATING.contains(file)).map(|file| {
                let keep = kept > 0;
                kept -= usize::from(keep);
                (file, keep.then(|| open(&directory, file)))
            });
            let files = files.collect();
            Group { directory, files }
        };
        Self { groups: (0..GROUPS).map(group).collect(), buffer: vec![0; 16 << 10], turns: 0 }
    }

    fn read(&mut self) -> usize {
        self.turns += 1;
        let mut bytes = 0;
        for (index, group) in self.groups.iter().enumerate() {
            for (name, file) in &group.files {
                bytes += match file {
                    Some(file) => read(file, &mut self.buffer),
                    None => read(&open(&group.directory, name), &mut self.buffer),
                };
            }
            let name = ROTATING[(self.turns + index) % ROTATING.len()];
            bytes += read(&open(&group.directory, name), &mut self.buffer);
        }
        bytes
    }
}

fn open(directory: &OwnedFd, name: &str) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty()).expect("a file of the group")
}

fn read(file: &OwnedFd, buffer: &mut [u8]) -> usize {
    rustix::io::pread(file, buffer, 0).expect("a file of the group")
}

/// How many descriptors this process has, with the one that it takes to count them.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("this process has some").count()
}

fn check(schema: &Schema, record: &Record) {
    let mut groups = 0;
    for id in 0..GROUPS {
        for metric in cgroup_tree::METRICS {
            let column = schema.column(&format!("cgroup/{}", path(id)), metric);
            assert_eq!(column.and_then(|column| record.u64(column)), Some(value(id, metric)));
        }
        groups += 1;
    }
    assert_eq!((groups, schema.len()), (GROUPS, GROUPS as usize * cgroup_tree::METRICS.len()));
}

#[expect(clippy::print_stdout, reason = "the report")]
fn main() {
    machine::print();
    let tree = Tree::new(Layout::Unified);
    (0..GROUPS).for_each(|id| tree.make(&path(id), id));
    let mut sources = Selection::none();
    sources.set("cgroup", 1).expect("a known source");
    let mut sampling = Sampling { sources, ..Sampling::default() };
    sampling.roots.sysfs = tree.sysfs();
    let (mut schema, mut record) = (Schema::new(), Record::default());
    let mut sampler = Sampler::open(&sampling, &mut schema);
    let mut tick = 0;
    let mut turn = |schema: &mut Schema, record: &mut Record| {
        tick += 1;
        sampler.tick(tick, false, schema, record);
    };
    // Past the turns in which all groups are young.
    (0..16).for_each(|_| turn(&mut schema, &mut record));
    check(&schema, &record);
    let kept = open_below(&tree.sysfs()) - GROUPS as usize - 1;
    println!("# {GROUPS} groups, {} columns, {kept} files kept open", schema.len());
    // The source takes half of what the process may open, so that the floor just fails to get as
    // many: a few are the process's own.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let (limit, ours) = (limit.unwrap_or(u64::MAX) as usize, descriptors());
    let floor_kept = kept.min(limit.saturating_sub(ours + GROUPS as usize + SPARE));
    let fewer = kept - floor_kept;
    assert!(fewer * 100 <= kept, "the floor keeps {fewer} files fewer: too many to compare");
    if fewer > 0 {
        println!("# the floor keeps {fewer} files fewer, by which its figure is too high");
    }
    let mut floor = Floor::new(&tree, floor_kept);
    assert!(floor.read() > 100 * GROUPS as usize, "the texts are read");
    pair::pair(
        ("cgroups/turn over 2,000 groups", "pread"),
        GOAL,
        ROUNDS,
        || turn(&mut schema, &mut record),
        || black_box(floor.read()),
    );
    check(&schema, &record);
    drop(floor);
    println!(
        "{:<44} {} descriptors of the groups open, {} of the process; it may have {limit}",
        "",
        open_below(&tree.sysfs()),
        descriptors(),
    );
}
