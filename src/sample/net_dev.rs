//! `/proc/net/dev`: traffic and errors of the network interfaces.
//!
//! ```text
//! Inter-|   Receive                                                |  Transmit
//!  face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs ...
//!     lo:    3193      29    0    0    0     0          0         0     3193      29    0 ...
//!   eth0: 41317539    2727    0    0    0     0          0         0   295056    2067    0 ...
//! ```
//!
//! Eight numbers received and eight transmitted. Old kernels leave no blank between the colon and
//! a long first number, and show aliases whose names have a colon themselves.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::record::{Class, object_id};

use super::columns::Columns;
use super::rows::Rows;
use super::scan::{Scanner, each_line};
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

/// Most interfaces that are followed.
const NICS_MAX: usize = 4096;

/// Longer than any line: a name of 15 letters and 16 numbers of up to 20 digits.
const LINE_BYTES_MAX: usize = 512;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The numbers, in the order of the file.
    pub numbers: [u64; 16],
}

/// Parses the text of the file and gives each interface to `each`.
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn parse<'a>(text: &'a [u8], each: impl FnMut(Interface<'a>)) -> Result<(), SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    let mut headings = 2;
    let line = |scan: &mut Scanner<'a>| {
        if headings > 0 {
            headings -= 1;
            if scan.line().contains(&b'|') {
                return Ok(None);
            }
        }
        line(scan).map(Some)
    };
    each_line(text, line, each)
}

#[inline]
fn line<'a>(scan: &mut Scanner<'a>) -> Result<Interface<'a>, SampleError> {
    // No number has a colon, so that the last one ends the name.
    let name = scan.name_before_last(b':')?;
    let mut interface = Interface { name, numbers: [0; 16] };
    for number in &mut interface.numbers {
        *number = scan.number()?;
    }
    Ok(interface)
}

const METRICS: [&str; 17] = [
    "receive_bytes",
    "receive_packets",
    "receive_errs",
    "receive_drop",
    "receive_fifo",
    "receive_frame",
    "receive_compressed",
    "receive_multicast",
    "transmit_bytes",
    "transmit_packets",
    "transmit_errs",
    "transmit_drop",
    "transmit_fifo",
    "transmit_colls",
    "transmit_carrier",
    "transmit_compressed",
    "physical",
];

/// The source.
pub(super) struct NetDev {
    file: TextFile,
    class: PathBuf,
    interfaces: Rows<17>,
}

impl NetDev {
    pub(super) fn new(roots: &Roots) -> Self {
        let shown = Shown::ByLine { longest: LINE_BYTES_MAX };
        Self {
            file: TextFile::new(roots.procfs.join("net/dev"), shown),
            class: roots.sysfs.join("class/net"),
            interfaces: Rows::new(NICS_MAX),
        }
    }
}

impl Source for NetDev {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { file, class, interfaces } = self;
        let text = file.read()?;
        interfaces.begin();
        let parsed = parse(text, |Interface { name, numbers }| {
            let row = interfaces.row(name, 0, columns, |columns| {
                let object = object_id(Class::Nic, name);
                Ok((columns.add_all(&object, &METRICS, |_| true)?, is_physical(class, name).into()))
            });
            if let Some(row) = row {
                row.put(&numbers, columns);
                row.put_fixed(columns);
            }
        });
        parsed.and(interfaces.finish(parsed.is_ok(), columns))
    }
}

/// Whether hardware, real or virtual, stands behind the interface `name`.
fn is_physical(class: &Path, name: &[u8]) -> bool {
    // No interface is called so, but a damaged text may say anything.
    let climbs = name.contains(&b'/') || name == b"." || name == b"..";
    !climbs && class.join(OsStr::from_bytes(name)).join("device").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADINGS: &str = "Inter-|   Receive |  Transmit\n face |bytes    packets|bytes\n";

    fn names(lines: &str) -> (Vec<String>, Result<(), SampleError>) {
        let mut names = Vec::new();
        let text = format!("{HEADINGS}{lines}");
        let outcome = parse(text.as_bytes(), |interface| {
            assert_eq!(interface.numbers, std::array::from_fn(|index| index as u64 + 1));
            names.push(String::from_utf8_lossy(interface.name).into_owned());
        });
        (names, outcome)
    }

    #[test]
    fn names_are_told_from_numbers() {
        let numbers = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
        let lines = format!(
            "    lo: {numbers}\n  eth0:{numbers}\neth0:1: {numbers} 17\n br|x:   {numbers}\n"
        );
        let expected = ["lo", "eth0", "eth0:1", "br|x"].map(str::to_owned).to_vec();
        assert_eq!(names(&lines), (expected, Ok(())));
    }

    #[test]
    fn bad_lines_cost_only_themselves() {
        let numbers = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
        let lines =
            format!("eth0 {numbers}\n: {numbers}\na: 1 2\nb:\n\nc: {numbers}\nd: {numbers}");
        assert_eq!(names(&lines), (vec!["c".to_owned()], Err(SampleError::Malformed)));
    }

    #[test]
    fn damaged_name_does_not_lead_out_of_the_tree() {
        let class = Path::new("/proc/self/fd");
        for name in [&b".."[..], b".", b"../fd", b"a\0b"] {
            assert!(!is_physical(class, name));
        }
    }
}
