//! The directories of one hierarchy, followed while they come and go.
//!
//! Of a directory that is kept open the kernel says in 0.3 us how many directories are in it; to
//! list it takes 8 us, and asking by path 1.5 us. So a directory is asked, and listed only when the
//! answer is not what it was. One that has ever held others is asked at each turn, any other every
//! fourth turn after its first few: hardly any gets children later. That finds what came or went
//! unless one group came for another that went. But then a file of the latter cannot be read any
//! more, and that of the former is looked for at once. What all this does not see (a group that is
//! not recorded was replaced) a listing every now and then does.

use std::collections::HashMap;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::ops::Range;

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;

use super::super::columns::Columns;
use super::super::{Cgroups, SampleError};
use super::descriptors::Descriptors;
use super::files::{File, ROTATION_TURNS};
use super::groups::{Groups, Hierarchy};
use super::hierarchy::Mounted;
use super::node::{Node, Shape, Slot, Sums};
use crate::record::ABSENT;

/// Most directories that are followed in one hierarchy, whether they are recorded or lead to others.
pub(super) const DIRECTORIES_MAX: usize = 16 << 10;

/// How long a directory is young, in turns: it may be about to get children and files.
pub(super) const YOUNG_TURNS: u32 = 8;
/// An older directory that never had children is asked for some every so many turns.
const CHILDLESS_TURNS: u32 = 4;
/// A directory that has had children is listed every so many turns, whatever it says.
const VERIFY_TURNS: u32 = 64;
/// Room for a part of a directory's listing.
const LISTING_BYTES: usize = 32 << 10;

/// All that a turn works with besides the tree.
pub(super) struct Turn<'a, 'b> {
    pub(super) number: u32,
    pub(super) settings: &'a Cgroups,
    pub(super) groups: &'a mut Groups,
    pub(super) descriptors: &'a mut Descriptors,
    pub(super) columns: &'a mut Columns<'b>,
}

/// The directories of one hierarchy.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) hierarchy: Hierarchy,
    pub(super) files: &'static [File],
    /// From the first to the last metric that the files give.
    pub(super) metrics: Range<usize>,
    path: CString,
    pub(super) root: OwnedFd,
    /// Device and inode of the root: another file system may be mounted over it.
    identity: (u64, u64),
    pub(super) nodes: Vec<Option<Node>>,
    free: Vec<usize>,
    by_path: HashMap<Box<[u8]>, usize>,
    to_list: Vec<usize>,
    listings: u32,
    /// How many directories wait for room, and how many others were refused for good.
    waiting: usize,
    refused: usize,
    /// Whether there are more than [`DIRECTORIES_MAX`].
    overfull: bool,
    scratch: Vec<u8>,
    room: Vec<MaybeUninit<u8>>,
}

impl Tree {
    /// The tree of a hierarchy, of which only the root is known yet.
    pub(super) fn open(mounted: &Mounted, hierarchy: Hierarchy) -> Result<Self, SampleError> {
        use std::os::unix::ffi::OsStrExt as _;
        let path = CString::new(mounted.path.as_os_str().as_bytes());
        let path = path.map_err(|_| SampleError::open(Errno::INVAL))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&*path, flags, Mode::empty()).map_err(SampleError::open)?;
        let stat = rustix::fs::fstat(&root).map_err(SampleError::open)?;
        let metrics = mounted.files.iter().map(|file| file.metrics.clone());
        let metrics = metrics.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
        let mut tree = Self {
            hierarchy,
            files: mounted.files,
            metrics,
            path,
            root,
            identity: identity(&stat),
            nodes: Vec::new(),
            free: Vec::new(),
            by_path: HashMap::new(),
            to_list: vec![0],
            listings: 0,
            waiting: 0,
            refused: 0,
            overfull: false,
            scratch: Vec::new(),
            room: Vec::new(),
        };
        tree.room.resize(LISTING_BYTES, MaybeUninit::uninit());
        tree.nodes.push(Some(node(c".".into(), (0, 0), 0, &stat, None)));
        Ok(tree)
    }

    /// Whether the same hierarchy is still mounted there.
    pub(super) fn is_there(&self) -> bool {
        rustix::fs::stat(&*self.path).is_ok_and(|stat| identity(&stat) == self.identity)
    }

    /// Finds out which directories have come and gone.
    pub(super) fn look(&mut self, turn: &mut Turn<'_, '_>) -> Result<(), SampleError> {
        for index in 0..self.nodes.len() {
            let Some(Some(node)) = self.nodes.get_mut(index) else { continue };
            let is_parent = node.is_root() || node.is_parent;
            let phase = turn.number.wrapping_add(index as u32);
            let young = turn.number.wrapping_sub(node.born) < YOUNG_TURNS;
            let may_have_children = node.depth < turn.settings.depth;
            let due = is_parent || young || phase.is_multiple_of(CHILDLESS_TURNS);
            // Only its number tells one that is not kept open from another of the same name.
            if !(may_have_children && due || node.directory.is_none()) {
                continue;
            }
            let Ok(stat) = node.stat(self.root.as_fd()) else {
                self.to_list.push(node.parent);
                continue;
            };
            if stat.st_ino != node.inode {
                self.to_list.push(node.parent);
                continue;
            }
            let shape = Shape::of(&stat);
            let changed = std::mem::replace(&mut node.shape, shape) != shape;
            let verify = is_parent && phase.is_multiple_of(VERIFY_TURNS);
            if may_have_children && (changed || verify) {
                self.to_list.push(index);
            }
        }
        let listed = self.list_all(turn);
        self.admit_waiting(turn);
        listed?;
        // Those that found no place are met again when their parent is listed the next time.
        self.overfull &= self.by_path.len() >= DIRECTORIES_MAX;
        match (self.waiting > 0 || self.overfull, self.refused) {
            (true, _) => Err(SampleError::TooMany),
            (false, 0) => Ok(()),
            (false, _) => Err(SampleError::Refused),
        }
    }

    /// Lists the directories that are to be listed, and those that are found there.
    pub(super) fn list_all(&mut self, turn: &mut Turn<'_, '_>) -> Result<(), SampleError> {
        let mut outcome = Ok(());
        // Fifty that are gone may have one parent.
        self.to_list.sort_unstable();
        self.to_list.dedup();
        // Each round takes one away, and adds no more than directories that are new.
        while let Some(index) = self.to_list.pop() {
            outcome = outcome.and(self.list(index, turn));
        }
        outcome
    }

    /// The directory at `index` is gone; what took its place is found by the next listing.
    pub(super) fn vanished(&mut self, index: usize, turn: &mut Turn<'_, '_>) {
        let Some(Some(node)) = self.nodes.get(index) else { return };
        let parent = node.parent;
        if let Some(Some(parent)) = self.nodes.get_mut(parent) {
            parent.children.retain(|child| *child != index);
        }
        self.remove(index, turn);
        self.to_list.push(parent);
    }

    /// Ends all series; the tree is of no use any more.
    pub(super) fn end(&mut self, turn: &mut Turn<'_, '_>) {
        self.remove(0, turn);
    }

    fn list(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> Result<(), SampleError> {
        let Some(Some(node)) = self.nodes.get(index) else { return Ok(()) };
        let depth = node.depth + 1;
        if depth > turn.settings.depth {
            return Ok(());
        }
        let prefix = if node.is_root() { 0 } else { node.path.to_bytes().len() + 1 };
        let directory = match node.list(self.root.as_fd()) {
            Ok(directory) => directory,
            // The listing of its parent says so too.
            Err(Errno::NOENT | Errno::NODEV) => return Ok(()),
            Err(_) => return Err(SampleError::Missing),
        };
        let mut path = std::mem::take(&mut self.scratch);
        path.clear();
        if prefix > 0 {
            path.extend_from_slice(node.path.to_bytes());
            path.push(b'/');
        }
        let mut room = std::mem::take(&mut self.room);
        self.listings = self.listings.wrapping_add(1);
        let mut outcome = Ok(());
        let mut whole = true;
        let mut entries = RawDir::new(&directory, &mut room);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    whole = false;
                    // It went meanwhile, as the listing of its parent says too.
                    if !matches!(error, Errno::NOENT | Errno::NODEV) {
                        outcome = outcome.and(Err(SampleError::Missing));
                    }
                    break;
                }
            };
            let name = entry.file_name().to_bytes();
            let may_be = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
            if !may_be || matches!(name, b"." | b"..") {
                continue;
            }
            path.truncate(prefix);
            path.extend_from_slice(name);
            outcome = outcome.and(self.meet(&path, entry.ino(), (index, depth), turn));
        }
        self.scratch = path;
        self.room = room;
        if whole {
            self.remove_unmet(index, turn);
        }
        outcome
    }

    /// The directory at `path` was listed with this inode number: it is known, or new.
    fn meet(
        &mut self,
        path: &[u8],
        inode: u64,
        place: (usize, usize),
        turn: &mut Turn<'_, '_>,
    ) -> Result<(), SampleError> {
        if let Some(&index) = self.by_path.get(path)
            && let Some(Some(known)) = self.nodes.get_mut(index)
        {
            // Something may be mounted on it, and then its number is not that of the listing.
            if known.inode == inode || known.is_there(self.root.as_fd()) {
                known.met = self.listings;
                return Ok(());
            }
            self.vanished(index, turn);
            // Not again: this listing is the one.
            self.to_list.pop();
        }
        self.add(path, place, turn)
    }

    /// Follows the directory at `path` from now on.
    fn add(
        &mut self,
        path: &[u8],
        (parent, depth): (usize, usize),
        turn: &mut Turn<'_, '_>,
    ) -> Result<(), SampleError> {
        if self.by_path.len() >= DIRECTORIES_MAX {
            self.overfull = true;
            return Ok(());
        }
        let path_text = CString::new(path).map_err(|_| SampleError::Malformed)?;
        let Ok((stat, directory)) = self.open_directory(&path_text, turn.descriptors) else {
            // No directory, or gone again, or not ours to see.
            return Ok(());
        };
        let mut node = node(path_text, (parent, depth), turn.number, &stat, directory);
        node.met = self.listings;
        if turn.settings.paths.admits(path) {
            match turn.groups.claim(path) {
                Ok(group) => node.group = Some(group),
                Err(refusal) => {
                    let waits = refusal == SampleError::TooMany;
                    *(if waits { &mut self.waiting } else { &mut self.refused }) += 1;
                    node.refusal = Some(refusal);
                }
            }
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() - 1
        });
        self.nodes[index] = Some(node);
        self.by_path.insert(path.into(), index);
        if let Some(Some(parent)) = self.nodes.get_mut(parent) {
            parent.children.push(index);
            parent.is_parent = true;
        }
        self.to_list.push(index);
        Ok(())
    }

    /// A new directory, kept open if there is a descriptor left.
    fn open_directory(
        &self,
        path: &CString,
        descriptors: &mut Descriptors,
    ) -> Result<(Stat, Option<OwnedFd>), Errno> {
        let root: BorrowedFd<'_> = self.root.as_fd();
        if descriptors.take() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(root, &**path, flags, Mode::empty());
            let opened = opened.and_then(|fd| Ok((rustix::fs::fstat(&fd)?, Some(fd))));
            if opened.is_err() {
                descriptors.give(1);
            }
            // The process may have fewer left than was reckoned with.
            if !matches!(opened, Err(Errno::MFILE | Errno::NFILE)) {
                return opened;
            }
        }
        let stat = rustix::fs::statat(root, &**path, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        Ok((stat, None))
    }

    /// Removes the children of `index` that the listing has not met.
    fn remove_unmet(&mut self, index: usize, turn: &mut Turn<'_, '_>) {
        let Some(Some(node)) = self.nodes.get_mut(index) else { return };
        let mut children = std::mem::take(&mut node.children);
        let listing = self.listings;
        children.retain(|&child| {
            let met = matches!(self.nodes.get(child), Some(Some(node)) if node.met == listing);
            if !met {
                self.remove(child, turn);
            }
            met
        });
        if let Some(Some(node)) = self.nodes.get_mut(index) {
            node.children = children;
        }
    }

    /// Forgets a directory and all below it, and ends their series.
    fn remove(&mut self, index: usize, turn: &mut Turn<'_, '_>) {
        let Some(node) = self.nodes.get_mut(index).and_then(Option::take) else { return };
        // No deeper than a path can be long.
        for child in &node.children {
            self.remove(*child, turn);
        }
        if let Some(group) = node.group {
            turn.groups.release(group, self.hierarchy, turn.columns);
        }
        match node.refusal {
            Some(SampleError::TooMany) => self.waiting -= 1,
            Some(_) => self.refused -= 1,
            None => {}
        }
        turn.descriptors.give(node.descriptors());
        self.by_path.remove(node.path.to_bytes());
        self.free.push(index);
    }

    /// Gives those a group that wait for one, as far as there is room.
    fn admit_waiting(&mut self, turn: &mut Turn<'_, '_>) {
        if self.waiting == 0 || !turn.groups.has_room() {
            return;
        }
        let waits = |node: &&mut Node| node.refusal == Some(SampleError::TooMany);
        for node in self.nodes.iter_mut().flatten().filter(waits) {
            let claimed = turn.groups.claim(node.path.to_bytes());
            if claimed == Err(SampleError::TooMany) {
                break;
            }
            self.waiting -= 1;
            self.refused += usize::from(claimed.is_err());
            node.group = claimed.ok();
            node.refusal = claimed.err();
            node.fresh = true;
        }
    }
}

#[allow(clippy::unnecessary_cast, reason = "widths vary by machine")]
fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

fn node(
    path: CString,
    (parent, depth): (usize, usize),
    born: u32,
    stat: &Stat,
    directory: Option<OwnedFd>,
) -> Node {
    Node {
        path,
        parent,
        depth,
        inode: stat.st_ino,
        shape: Shape::of(stat),
        directory,
        children: Vec::new(),
        is_parent: false,
        met: 0,
        born,
        fresh: true,
        group: None,
        refusal: None,
        slots: std::array::from_fn(|_| Slot::default()),
        held: [ABSENT; ROTATION_TURNS],
        sums: Sums::default(),
    }
}
