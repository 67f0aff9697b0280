//! `/sys/fs/cgroup`: what each control group has used, may use, and has waited for.
//!
//! The second version has one hierarchy. A group is a directory in it, and this is what some of its
//! files say:
//!
//! ```text
//! cpu.stat         usage_usec 415563         io.stat        8:16 rbytes=1459200 wbytes=314773504 …
//!                  user_usec 241000          pids.current   4
//!                  system_usec 174563        memory.max     max
//!                  nr_periods 0              cpu.pressure   some avg10=0.00 … total=7903185
//! ```
//!
//! The first version has a hierarchy for each controller (`memory`, `blkio`), which may have
//! different groups. In the *hybrid* layout the second version lies beside them at `unified` and has
//! the controllers that are left, and the pressure files. Here one object stands for one path: it has
//! what all hierarchies say of it, in the units of the second version. Where two say the same, that
//! of the second version is taken, or the one that was there first. The root group is left out, for
//! its numbers are the host's.
//!
//! A group costs at each turn one reading of each file that changes by itself, and of one of those
//! that change when somebody acts: limits, marks, and swap. The latter's values stand for four
//! turns. A file that is open is read in 1.3 to 2.7 us, and to open and close it takes 4 us more,
//! so as many stay open as [`descriptors`] allows; a removed group's are closed at once.
//!
//! The sums of `io.stat` over all devices fall when a device goes, and then series begin anew: what
//! is left is not what was used since. A group that went and came back begins anew as well, even
//! between two turns, which is what a restart of a service looks like.

mod descriptors;
mod files;
mod groups;
mod hierarchy;
mod node;
pub(super) mod parse;
mod tree;

use std::path::{Path, PathBuf};

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::io::Errno;

use self::descriptors::Descriptors;
use self::files::{File, METRICS, ROTATION_TURNS};
use self::groups::Groups;
use self::node::{Node, Slot};
use self::tree::{Tree, Turn, YOUNG_TURNS};
use super::columns::Columns;
use super::source::Source;
use super::{Cgroups, SampleError, Sampling};
use crate::record::ABSENT;

/// Size of the buffer at first, and most that it grows to: `io.stat` has a line per device.
const BUFFER_BYTES: usize = 16 << 10;
const TEXT_BYTES_MAX: usize = 1 << 20;
/// A file that was not there is tried again every so many turns: its controller may be switched on.
const ABSENT_TURNS: u32 = 16;

/// The source.
pub(super) struct Cgroup {
    path: PathBuf,
    settings: Cgroups,
    turns: u32,
    trees: Vec<Tree>,
    groups: Groups,
    descriptors: Descriptors,
    reader: Reader,
}

impl Cgroup {
    pub(super) fn new(sampling: &Sampling) -> Self {
        let settings = sampling.cgroups.clone();
        Self {
            path: sampling.roots.sysfs.join("fs/cgroup"),
            turns: 0,
            trees: Vec::new(),
            groups: Groups::new(settings.count_max),
            descriptors: Descriptors::new(),
            reader: Reader { buffer: vec![0; BUFFER_BYTES], scratch: Vec::new() },
            settings,
        }
    }
}

impl Source for Cgroup {
    fn path(&self) -> &Path {
        &self.path
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        self.turns = self.turns.wrapping_add(1);
        let Self { path, settings, turns, trees, groups, descriptors, reader } = self;
        let mut turn = Turn { number: *turns, settings, groups, descriptors, columns };
        if !trees.iter().all(Tree::is_there) {
            trees.drain(..).for_each(|mut tree| tree.end(&mut turn));
        }
        if trees.is_empty() {
            for (number, mounted) in hierarchy::find(path).iter().enumerate() {
                trees.push(Tree::open(mounted, number as u8)?);
            }
        }
        if trees.is_empty() {
            return Err(SampleError::open(Errno::NOENT));
        }
        let shared = trees.len() > 1;
        let mut outcome = Ok(());
        for tree in trees {
            let looked = tree.look(&mut turn);
            let read = read_all(tree, reader, shared, &mut turn);
            outcome = outcome.and(read).and(looked);
        }
        outcome
    }
}

/// Reads the groups of a tree. Where one turns out to be gone, what came in its place is looked for,
/// and read as well.
fn read_all(
    tree: &mut Tree,
    reader: &mut Reader,
    shared: bool,
    turn: &mut Turn<'_, '_>,
) -> Result<(), SampleError> {
    let mut outcome = Ok(());
    for only_fresh in [false, true] {
        let mut gone = false;
        for index in 0..tree.nodes.len() {
            let Some(Some(node)) = tree.nodes.get_mut(index) else { continue };
            if node.group.is_none() || only_fresh && !node.fresh {
                continue;
            }
            let hierarchy = Hierarchical {
                files: tree.files,
                root: tree.root.as_fd(),
                number: tree.hierarchy,
                metrics: tree.metrics.clone(),
                shared,
            };
            match hierarchy.read(node, index as u32, reader, turn) {
                Ok(read) => outcome = outcome.and(read),
                Err(Gone) => {
                    gone = true;
                    tree.vanished(index, turn);
                }
            }
        }
        if !gone {
            break;
        }
        outcome = outcome.and(tree.list_all(turn));
    }
    outcome
}

/// A group is not there any more.
#[derive(Debug)]
struct Gone;

/// What the groups of one hierarchy have in common.
struct Hierarchical<'a> {
    files: &'static [File],
    root: BorrowedFd<'a>,
    number: u8,
    metrics: std::ops::Range<usize>,
    /// Whether there are other hierarchies.
    shared: bool,
}

impl Hierarchical<'_> {
    /// Reads the files of a group that are due, and puts what they say.
    fn read(
        &self,
        node: &mut Node,
        index: u32,
        reader: &mut Reader,
        turn: &mut Turn<'_, '_>,
    ) -> Result<Result<(), SampleError>, Gone> {
        let Some(group) = node.group else { return Ok(Ok(())) };
        let fresh = std::mem::take(&mut node.fresh);
        let phase = turn.number.wrapping_add(index);
        let young = turn.number.wrapping_sub(node.born) < YOUNG_TURNS;
        let mut words = [ABSENT; METRICS.len()];
        let mut outcome = Ok(());
        let mut sums = 0;
        for (place, file) in self.files.iter().enumerate() {
            let Slot { known, absent, .. } = node.slots[place];
            let sum = sums;
            sums += usize::from(file.is_sum());
            if absent && !young && !phase.is_multiple_of(ABSENT_TURNS) {
                continue;
            }
            if let Some(held) = file.rotating
                && known
                && !fresh
                && phase as usize % ROTATION_TURNS != held
            {
                words[file.metrics.start] = node.held[held];
                continue;
            }
            let metrics = || file.metrics.clone();
            if self.shared && turn.groups.is_anothers(group, self.number, metrics()) {
                continue;
            }
            match reader.read(self.root, node, place, file, turn.descriptors) {
                Ok(text) => {
                    let understood = file.understand(text, &mut words);
                    node.slots[place].known = true;
                    node.slots[place].absent = false;
                    if let Ok(devices) = understood
                        && file.is_sum()
                        && node.sums.fell(sum, &words[metrics()], devices)
                    {
                        turn.groups.end(group, self.number, metrics(), turn.columns);
                    }
                    outcome = outcome.and(understood.map(drop));
                }
                Err(Errno::NOENT | Errno::NODEV) => {
                    if known && !node.is_there(self.root) {
                        return Err(Gone);
                    }
                    // Its controller was switched off.
                    turn.groups.end(group, self.number, metrics(), turn.columns);
                    node.slots[place].known = false;
                    node.slots[place].absent = true;
                }
                // What could be read before is missing; what never could is not offered.
                Err(_) => node.slots[place].absent = !known,
            }
            if let Some(held) = file.rotating {
                node.held[held] = words[file.metrics.start];
            }
        }
        let put = turn.groups.put(group, self.number, self.metrics.clone(), &words, turn.columns);
        Ok(outcome.and(put))
    }
}

/// Room for a text and for a path.
#[derive(Debug)]
struct Reader {
    buffer: Vec<u8>,
    scratch: Vec<u8>,
}

impl Reader {
    /// The text of a group's file. It stays open afterwards if it is read at each turn and a
    /// descriptor is left, and is closed if it cannot be read.
    fn read(
        &mut self,
        root: BorrowedFd<'_>,
        node: &mut Node,
        place: usize,
        file: &File,
        descriptors: &mut Descriptors,
    ) -> Result<&[u8], Errno> {
        if let Some(open) = &node.slots[place].file {
            return match read_whole(open, &mut self.buffer) {
                Ok(length) => Ok(self.buffer.get(..length).unwrap_or_default()),
                Err(error) => {
                    node.slots[place].file = None;
                    descriptors.give(1);
                    Err(error)
                }
            };
        }
        let name = match file.older_name {
            Some(older) if node.slots[place].older => older,
            _ => file.name,
        };
        let mut open = node.open(root, name, &mut self.scratch);
        if let (Err(Errno::NOENT), Some(older)) = (&open, file.older_name)
            && !node.slots[place].older
        {
            open = node.open(root, older, &mut self.scratch);
            node.slots[place].older = open.is_ok();
        }
        let open = open?;
        let length = read_whole(&open, &mut self.buffer)?;
        if file.rotating.is_none() && descriptors.take() {
            node.slots[place].file = Some(open);
        }
        Ok(self.buffer.get(..length).unwrap_or_default())
    }
}

/// Reads a text from its beginning and returns its length. The kernel gives it in one piece if there
/// is room for it.
#[inline]
fn read_whole(file: &OwnedFd, buffer: &mut Vec<u8>) -> Result<usize, Errno> {
    loop {
        let length = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut buffer[..], 0))?;
        if length < buffer.len() {
            return Ok(length);
        }
        if buffer.len() >= TEXT_BYTES_MAX {
            return Err(Errno::FBIG);
        }
        buffer.resize(buffer.len() * 2, 0);
    }
}
