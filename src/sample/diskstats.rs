//! `/proc/diskstats`: requests to block devices and partitions.
//!
//! ```text
//!    7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
//!  254       0 vda 41319 20042 2735354 6257 4056 21217 1683064 3464 0 6344 9933 3577 38 55656 207 146 4
//! ```
//!
//! Major and minor number, name, then 11 numbers; 4 more for discards since Linux 4.18 and 2 more
//! for flushes since 5.5. Partitions had only 4 numbers before 2.6.25. The same numbers without
//! the name are in `/sys/dev/block/MAJOR:MINOR/stat`.
//!
//! Loop devices and RAM disks are there by the dozen, whether anybody uses them or not. One of them
//! that has never done anything has no series.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::record::{Class, object_id};

use super::columns::Columns;
use super::rows::{PATIENCE_TURNS, Rows};
use super::scan::{Scanner, each_line, first_line};
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

/// Most devices that are followed, partitions included.
const DISKS_MAX: usize = 8192;

/// The kernel prints a disk with all its partitions at once. This is enough for thirty; for more
/// the end of the text is found by reading on.
const DISK_BYTES_MAX: usize = 2 << 10;

/// How many numbers a device can have.
const NUMBERS: usize = 17;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The numbers, in the order of the longest form of a line.
    pub numbers: [u64; NUMBERS],
    /// How many of the numbers the kernel gives: 4, 11, 15 or 17. If 4, they are those of index 0,
    /// 2, 4 and 6.
    pub given: usize,
}

impl Device<'_> {
    /// Whether the kernel gives the number of this `index`.
    #[must_use]
    pub fn has(&self, index: usize) -> bool {
        has(self.given, index)
    }
}

fn has(given: usize, index: usize) -> bool {
    if given == 4 { index < 8 && index.is_multiple_of(2) } else { index < given }
}

/// Parses the text of the file and gives each device to `each`.
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn parse<'a>(text: &'a [u8], each: impl FnMut(Device<'a>)) -> Result<(), SampleError> {
    let line = |scan: &mut Scanner<'a>| {
        scan.number()?;
        scan.number()?;
        let name = scan.token()?;
        numbers(name, scan).map(Some)
    };
    each_line(text, line, each)
}

/// Parses the `stat` file of one device, which has no name in it.
///
/// # Errors
///
/// When the line is not complete or not of this form.
pub fn parse_one(text: &[u8]) -> Result<Device<'_>, SampleError> {
    first_line(text, |scan| numbers(b"", scan))
}

#[inline]
fn numbers<'a>(name: &'a [u8], scan: &mut Scanner<'a>) -> Result<Device<'a>, SampleError> {
    let mut device = Device { name, numbers: [0; NUMBERS], given: 0 };
    for number in &mut device.numbers {
        if scan.at_line_end() {
            break;
        }
        *number = scan.number()?;
        device.given += 1;
    }
    // What comes after a known number of numbers is of a kernel that is yet to be written.
    device.given = match device.given {
        NUMBERS => NUMBERS,
        15.. => 15,
        11.. => 11,
        4 => {
            let [reads, read_sectors, writes, written_sectors, ..] = device.numbers;
            device.numbers = [0; NUMBERS];
            device.numbers[0] = reads;
            device.numbers[2] = read_sectors;
            device.numbers[4] = writes;
            device.numbers[6] = written_sectors;
            4
        }
        _ => return Err(SampleError::Malformed),
    };
    Ok(device)
}

/// The metrics of the numbers, and `partition`.
const METRICS: [&str; NUMBERS + 1] = [
    "reads_completed",
    "reads_merged",
    "read_sectors",
    "read_ms",
    "writes_completed",
    "writes_merged",
    "written_sectors",
    "write_ms",
    "io_now",
    "io_ms",
    "io_weighted_ms",
    "discards_completed",
    "discards_merged",
    "discarded_sectors",
    "discard_ms",
    "flushes",
    "flush_ms",
    "partition",
];

/// Whether this is one of the devices that the kernel has in store, whether anybody wants them or
/// not: they are there once they have done something.
fn is_spare(name: &[u8]) -> bool {
    let numbered = |prefix: &[u8]| {
        let number = name.strip_prefix(prefix)?;
        Some(!number.is_empty() && number.iter().all(u8::is_ascii_digit))
    };
    [&b"loop"[..], b"ram"].into_iter().any(|prefix| numbered(prefix) == Some(true))
}

/// The source.
pub(super) struct Diskstats {
    file: TextFile,
    class: PathBuf,
    devices: Rows<{ NUMBERS + 1 }>,
    /// Turns in a row without any text.
    empty_turns: u32,
}

impl Diskstats {
    pub(super) fn new(roots: &Roots) -> Self {
        let shown = Shown::ByLine { longest: DISK_BYTES_MAX };
        Self {
            file: TextFile::new(roots.procfs.join("diskstats"), shown),
            class: roots.sysfs.join("class/block"),
            devices: Rows::new(DISKS_MAX),
            empty_turns: 0,
        }
    }
}

impl Source for Diskstats {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { file, class, devices, empty_turns } = self;
        let text = file.read()?;
        // A machine may have no block device, but it hardly loses all of them at once.
        *empty_turns = if text.is_empty() { *empty_turns + 1 } else { 0 };
        if !devices.is_empty() && (1..PATIENCE_TURNS).contains(empty_turns) {
            return Err(SampleError::Empty);
        }
        devices.begin();
        let parsed = parse(text, |Device { name, numbers, given }| {
            if is_spare(name) && numbers.iter().all(|number| *number == 0) {
                return;
            }
            let row = devices.row(name, given as u8, columns, |columns| {
                let object = object_id(Class::Disk, name);
                let has = |index| index == NUMBERS || has(given, index);
                let taken = columns.add_all(&object, &METRICS, has)?;
                Ok((taken, is_partition(class, name).into()))
            });
            if let Some(row) = row {
                row.put(&numbers, columns);
                row.put_fixed(columns);
            }
        });
        parsed.and(devices.finish(parsed.is_ok(), columns))
    }
}

/// Whether the device `name` is a partition of another one. In sysfs a slash of the name is a `!`.
fn is_partition(class: &Path, name: &[u8]) -> bool {
    let name: Vec<u8> = name.iter().map(|&byte| if byte == b'/' { b'!' } else { byte }).collect();
    // No device is called so, but a damaged text may say anything.
    let climbs = name == b"." || name == b"..";
    !climbs && class.join(OsStr::from_bytes(&name)).join("partition").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(text: &str) -> (Vec<(String, Device<'_>)>, Result<(), SampleError>) {
        let mut devices = Vec::new();
        let outcome = parse(text.as_bytes(), |device| {
            devices.push((String::from_utf8_lossy(device.name).into_owned(), device));
        });
        (devices, outcome)
    }

    #[test]
    fn lines_of_every_age_are_understood() {
        let text = "   8       1 sda1 35486 38030 38031 38032\n\
               8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n\
             104       0 cciss/c0d0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n\
             259       0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19\n";
        let (devices, outcome) = devices(text);
        assert_eq!(outcome, Ok(()));
        let names: Vec<_> = devices.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["sda1", "sda", "cciss/c0d0", "nvme0n1"]);
        let given: Vec<_> = devices.iter().map(|(_, device)| device.given).collect();
        assert_eq!(given, [4, 11, 15, 17]);
        let [reads, _, sectors, _, writes, _, written, ..] = devices[0].1.numbers;
        assert_eq!([reads, sectors, writes, written], [35486, 38030, 38031, 38032]);
        for (_, device) in &devices[1..] {
            for index in (0..NUMBERS).filter(|&index| device.has(index)) {
                assert_eq!(device.numbers[index], index as u64 + 1);
            }
        }
    }

    #[test]
    fn bad_lines_cost_only_themselves() {
        let text = "8 0 sda 1 2 3 4 5\nx 0 sdb 1 2 3 4\n8 1 sdc 1 2 3 -4\n\n8 2 sdd 1 2 3 4\n8 3 e 1 2 3 4 ";
        let (devices, outcome) = devices(text);
        assert_eq!(outcome, Err(SampleError::Malformed));
        assert_eq!((devices.len(), devices[0].0.as_str()), (1, "sdd"));
    }

    #[test]
    fn stat_of_one_device_is_understood() {
        let text = b"   41323    20042  2735746     6258     4056    21217  1683064     3464        0     6344     9934\n";
        let device = parse_one(text).expect("a device");
        assert_eq!((device.given, device.numbers[0], device.numbers[10]), (11, 41323, 9934));
        assert_eq!(parse_one(&text[..text.len() - 1]), Err(SampleError::Truncated));
        assert_eq!(parse_one(b""), Err(SampleError::Empty));
    }
}
