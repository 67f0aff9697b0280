//! `/proc/self/mountinfo`: which file systems are mounted, and where.
//!
//! ```text
//! 27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
//! 36 27 8:17 / /srv/my\040store rw,noatime shared:5 - xfs /dev/sdb1 rw
//! ```
//!
//! Number of the mount and of the one that it lies on, device number, the directory of the file
//! system that is mounted, mount point, options; then fields that may be missing, up to a dash; then
//! type, source and options of the file system. Blanks, newlines and backslashes are written as
//! `\` and three octal digits. A source may be empty.
//!
//! The kernel tells whoever polls the open file that a mount came or went, so that the text is read
//! again only then. With thousands of mounts it is long.

use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::BorrowedFd;
use rustix::fs::PROC_SUPER_MAGIC;

use super::super::scan::{Scanner, each_line};
use super::super::text::{Shown, TextFile};
use super::super::{Roots, SampleError};

/// Longest field that is believed, in bytes: a path of `PATH_MAX`, each byte of it escaped.
const FIELD_BYTES_MAX: usize = 4 * 4096;

/// A line may fill a page and more, so the end of the text is always found by reading on.
const LINE_BYTES_MAX: usize = 4 << 10;

/// After this many turns a file that could not be read is tried again, and one that is no file of
/// the kernel's, whose changes nobody tells of, is read again whatever its times say.
const AGAIN_TURNS: u32 = 16;

/// Number of a block device, or of a file system that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// The driver's number; 0 for a file system that does not lie on one block device.
    pub major: u32,
    /// Which of them.
    pub minor: u32,
}

impl DeviceNumber {
    /// The number as system calls have it.
    pub(super) fn of(device: rustix::fs::Dev) -> Self {
        Self { major: rustix::fs::major(device), minor: rustix::fs::minor(device) }
    }

    /// Reads `254:0`.
    pub(super) fn scan(scan: &mut Scanner<'_>) -> Result<Self, SampleError> {
        let part = |number: u64| u32::try_from(number).map_err(|_| SampleError::TooLarge);
        let major = part(scan.number_before(b':')?)?;
        Ok(Self { major, minor: part(scan.number()?)? })
    }
}

/// A field as the kernel prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escaped<'a>(&'a [u8]);

impl<'a> Escaped<'a> {
    /// What stands in the text.
    #[must_use]
    pub fn text(self) -> &'a [u8] {
        self.0
    }

    /// The bytes that were meant; never more than those of the text.
    pub fn bytes(self) -> impl Iterator<Item = u8> + 'a {
        let mut rest = self.0;
        std::iter::from_fn(move || match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                rest = after;
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            [first, after @ ..] => {
                rest = after;
                Some(*first)
            }
            [] => None,
        })
    }
}

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountLine<'a> {
    /// Number of the mount; given to another one once it is gone.
    pub id: u64,
    /// Device number of the file system.
    pub number: DeviceNumber,
    /// The directory of the file system that is mounted.
    pub root: Escaped<'a>,
    /// Where it is mounted.
    pub mount_point: Escaped<'a>,
    /// The mount's own options.
    pub options: Escaped<'a>,
    /// Type of the file system.
    pub fs_type: Escaped<'a>,
    /// What is mounted: a device, a share, a data set, or any word.
    pub source: Escaped<'a>,
}

/// Parses the text of the file and gives each mount to `each`.
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn parse<'a>(text: &'a [u8], each: impl FnMut(MountLine<'a>)) -> Result<(), SampleError> {
    let line = |scan: &mut Scanner<'a>| {
        let id = scan.number()?;
        scan.number()?;
        let number = DeviceNumber::scan(scan)?;
        let mut field = || scan.token_within(FIELD_BYTES_MAX).map(Escaped);
        let (root, mount_point, options) = (field()?, field()?, field()?);
        while field()?.0 != b"-" {}
        let fs_type = field()?;
        scan.pass(b' ')?;
        let source = Escaped(scan.run_within(FIELD_BYTES_MAX)?);
        scan.pass(b' ')?;
        Ok(Some(MountLine { id, number, root, mount_point, options, fs_type, source }))
    };
    each_line(text, line, each)
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: u64,
    pub(super) number: DeviceNumber,
    pub(super) root: Box<[u8]>,
    pub(super) mount_point: Box<[u8]>,
    pub(super) fs_type: Box<[u8]>,
    pub(super) source: Box<[u8]>,
}

impl Mount {
    fn of(line: &MountLine<'_>) -> Self {
        Self {
            id: line.id,
            number: line.number,
            root: line.root.bytes().collect(),
            mount_point: line.mount_point.bytes().collect(),
            fs_type: line.fs_type.bytes().collect(),
            source: line.source.bytes().collect(),
        }
    }

    /// The root of a host whose table does not name it, as in a changed root directory: nothing is
    /// known but the device number.
    pub(super) fn unnamed_root(number: DeviceNumber) -> Self {
        let nothing = || Box::from([]);
        let (fs_type, source) = (nothing(), nothing());
        Self { id: 0, number, root: (*b"/").into(), mount_point: (*b"/").into(), fs_type, source }
    }

    /// Whether it is the root of all.
    pub(super) fn is_root(&self) -> bool {
        *self.mount_point == *b"/"
    }

    /// Whether the same of the same file system is mounted at the same place, whatever the mount's
    /// number.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        let Self { id: _, number, root, mount_point, fs_type, source } = self;
        (number, root, mount_point, fs_type, source)
            == (&other.number, &other.root, &other.mount_point, &other.fs_type, &other.source)
    }

    /// Whether `path` lies at the mount point or below.
    fn covers(&self, path: &[u8]) -> bool {
        let below = path.strip_prefix(&*self.mount_point);
        self.is_root() || below.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }
}

/// The mounts as they are now.
#[derive(Debug)]
pub(super) struct MountTable {
    /// Where the table may be read, the best first.
    files: Vec<TextFile>,
    /// Which of them was.
    read_from: usize,
    /// Whether mounts have the numbers in the table that this process sees.
    is_ours: bool,
    /// What the file looked like, unless it is the kernel's.
    stamp: Option<Stamp>,
    /// Turns since it was read or tried.
    turns: u32,
    mounts: Vec<Mount>,
    outcome: Result<(), SampleError>,
}

/// What changes when a plain file is written or replaced.
type Stamp = (u64, u64, i64, i64, i64);

impl MountTable {
    /// The table of these roots, not read yet. With a root directory of another host, or of the
    /// same host seen from a container, the table is that of its first process.
    pub(super) fn new(roots: &Roots) -> Self {
        let is_own_root = roots.rootfs == Path::new("/");
        let is_ours = is_own_root && roots.procfs == Path::new("/proc");
        let whose: &[&str] = if is_own_root { &["self"] } else { &["1", "self"] };
        let shown = Shown::ByLine { longest: LINE_BYTES_MAX };
        let file = |of: &&str| TextFile::new(roots.procfs.join(of).join("mountinfo"), shown);
        Self {
            files: whose.iter().map(file).collect(),
            read_from: 0,
            is_ours,
            stamp: None,
            turns: AGAIN_TURNS,
            mounts: Vec::new(),
            outcome: Ok(()),
        }
    }

    /// The file that is read, or was meant to be.
    pub(super) fn path(&self) -> &Path {
        self.files.get(self.read_from).map_or(Path::new(""), TextFile::path)
    }

    /// Whether mounts have the numbers in the table that this process sees.
    pub(super) fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// How the last reading ended.
    pub(super) fn outcome(&self) -> Result<(), SampleError> {
        self.outcome
    }

    /// Reads the table anew if it has changed; whether its mounts are others than before.
    ///
    /// A text that cannot be read, or was cut short, does not replace one that could.
    pub(super) fn refresh(&mut self) -> bool {
        self.turns = self.turns.saturating_add(1);
        if !self.is_due() {
            return false;
        }
        self.turns = 0;
        let mut mounts = Vec::new();
        self.outcome = self.read(|line| mounts.push(Mount::of(&line)));
        let whole =
            matches!(self.outcome, Ok(()) | Err(SampleError::Malformed | SampleError::TooLarge));
        if !whole && !self.mounts.is_empty() || mounts == self.mounts {
            return false;
        }
        self.mounts = mounts;
        true
    }

    fn is_due(&self) -> bool {
        let file = self.files.get(self.read_from);
        let Some((file, fd)) = file.and_then(|file| Some((file, file.fd()?))) else {
            return self.turns >= AGAIN_TURNS;
        };
        match self.stamp {
            None => has_news(fd),
            before => self.turns >= AGAIN_TURNS || stamp(file.path()) != before,
        }
    }

    fn read(&mut self, each: impl FnMut(MountLine<'_>)) -> Result<(), SampleError> {
        let mut outcome = Err(SampleError::Empty);
        for (index, file) in self.files.iter_mut().enumerate() {
            // Looked at before it is read: what happens meanwhile is news at the next turn.
            let looks = stamp(file.path());
            if self.stamp.is_some() {
                file.close();
            }
            if let Err(error) = file.read() {
                outcome = if index == 0 { Err(error) } else { outcome };
                continue;
            }
            self.read_from = index;
            self.stamp = if file.fd().is_some_and(is_kernels) { None } else { looks };
            let text = file.text();
            return if text.is_empty() { Err(SampleError::Empty) } else { parse(text, each) };
        }
        outcome
    }

    /// The mounts that can be seen: of several at one point the last one lies on top.
    pub(super) fn on_top(&self) -> Vec<&Mount> {
        let mut points = std::collections::HashSet::new();
        let newest_first = self.mounts.iter().rev();
        let mut seen: Vec<_> =
            newest_first.filter(|mount| points.insert(&*mount.mount_point)).collect();
        seen.reverse();
        seen
    }

    /// The mounts at the root of all, the one on top last.
    pub(super) fn roots(&self) -> impl DoubleEndedIterator<Item = &Mount> {
        self.mounts.iter().filter(|mount| mount.is_root())
    }

    /// The mount with this number.
    pub(super) fn by_id(&self, id: u64) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.id == id)
    }

    /// The mount that `path`, free of symbolic links, lies on: the one with the longest mount point
    /// above it, and of several there the last.
    pub(super) fn covering(&self, path: &[u8]) -> Option<&Mount> {
        let above = self.mounts.iter().filter(|mount| mount.covers(path));
        above.max_by_key(|mount| mount.mount_point.len())
    }
}

/// Whether the kernel has changed the table since it was last asked; costs a third of a microsecond.
fn has_news(fd: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::from_borrowed_fd(fd, PollFlags::PRI)];
    // Were the poll to fail, the text could still be read.
    let answer = rustix::event::poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    answer.map_or(true, |ready| ready > 0)
}

fn is_kernels(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|found| found.f_type == PROC_SUPER_MAGIC)
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = rustix::fs::stat(path).ok()?;
    Some((found.st_dev, found.st_ino, found.st_size, found.st_mtime, found.st_mtime_nsec as i64))
}

/// The path at which the mount point or other path `absolute` of the host is found below `rootfs`.
pub(super) fn below(rootfs: &Path, absolute: &Path) -> PathBuf {
    rootfs.join(absolute.strip_prefix("/").unwrap_or(absolute))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
        36 27 8:17 /in /srv/my\\040store\\012\\134x rw shared:5 master:3 - xfs /dev/disk/by\\040x rw\n\
        37 27 0:45 / /tmp\xff rw - tmpfs  rw,size=4k\n";

    fn mounts(text: &[u8]) -> (Vec<Mount>, Result<(), SampleError>) {
        let mut mounts = Vec::new();
        let outcome = parse(text, |line| mounts.push(Mount::of(&line)));
        (mounts, outcome)
    }

    #[test]
    fn lines_with_and_without_optional_fields_are_understood() {
        let (mounts, outcome) = mounts(TEXT);
        assert_eq!((outcome, mounts.len()), (Ok(()), 3));
        let root = &mounts[0];
        assert_eq!((root.id, root.number), (27, DeviceNumber { major: 254, minor: 0 }));
        assert_eq!(
            (&*root.fs_type, &*root.source, root.is_root()),
            (&b"ext4"[..], &b"/dev/vda"[..], true)
        );
        let store = &mounts[1];
        assert_eq!((&*store.root, &*store.mount_point), (&b"/in"[..], &b"/srv/my store\n\\x"[..]));
        assert_eq!(*store.source, *b"/dev/disk/by x");
        let memory = &mounts[2];
        assert_eq!((&*memory.mount_point, &*memory.source), (&b"/tmp\xff"[..], &b""[..]));
    }

    #[test]
    fn text_cut_anywhere_gives_whole_mounts_only() {
        let (all, _) = mounts(TEXT);
        for end in 0..TEXT.len() {
            let (some, outcome) = mounts(&TEXT[..end]);
            assert!(all.starts_with(&some), "{end}");
            let at_line_end = end == 0 || TEXT[end - 1] == b'\n';
            assert_eq!(outcome.is_ok(), at_line_end, "{end}");
        }
    }

    #[test]
    fn bad_lines_cost_only_themselves() {
        let text = b"27 1 254:0 / / rw ext4 /dev/vda rw\n\
            x 1 1:1 / /a rw - t s rw\n\
            1 1 4294967296:1 / /a rw - t s rw\n\
            1 1 1:1 / /a rw - t\n\
            1 1 1:1 / /b rw - t s rw\n";
        let (mounts, outcome) = mounts(text);
        assert_eq!(outcome, Err(SampleError::Malformed));
        assert_eq!((mounts.len(), &*mounts[0].mount_point), (1, &b"/b"[..]));
    }

    #[test]
    fn backslash_without_three_octal_digits_is_itself() {
        for (text, meant) in [
            (&b"\\040\\134040"[..], &b" \\040"[..]),
            (b"a\\", b"a\\"),
            (b"\\04", b"\\04"),
            (b"\\400\\377", b"\\400\xff"),
        ] {
            assert!(Escaped(text).bytes().eq(meant.iter().copied()), "{text:?}");
        }
    }

    #[test]
    fn longest_mount_point_covers_and_the_last_lies_on_top() {
        let mount = |id, point: &[u8]| {
            let mount_point = point.into();
            Mount { id, mount_point, ..Mount::unnamed_root(DeviceNumber::default()) }
        };
        let mut table = MountTable::new(&Roots::default());
        table.mounts = vec![
            mount(1, b"/"),
            mount(2, b"/srv"),
            mount(3, b"/srv"),
            mount(4, b"/srv/deep"),
            mount(5, b"/sr"),
        ];
        let id = |path: &[u8]| table.covering(path).map(|mount| mount.id);
        assert_eq!(
            [id(b"/"), id(b"/srv"), id(b"/srv/x"), id(b"/srvx"), id(b"/srv/deep/er")],
            [1, 3, 3, 1, 4].map(Some)
        );
        let on_top: Vec<_> = table.on_top().iter().map(|mount| mount.id).collect();
        assert_eq!(on_top, [1, 3, 4, 5]);
    }

    #[test]
    fn table_of_this_process_is_read_only_when_the_kernel_tells_of_news() {
        let mut table = MountTable::new(&Roots::default());
        assert!(table.refresh() && table.outcome().is_ok());
        assert!(table.stamp.is_none(), "it is the kernel's");
        assert!(!table.refresh());
        assert!(table.roots().next().is_some());
    }
}
