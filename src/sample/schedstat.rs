//! `/proc/schedstat`: how long tasks ran on each CPU, and how long they waited for it.
//!
//! ```text
//! version 15
//! timestamp 4295220176
//! cpu0 0 0 0 0 0 0 17061512423 1206811217 65302
//! domain0 3 0 0 0 0 0 0 0 ...
//! ```
//!
//! Of a CPU's nine numbers the last three are kept: nanoseconds that tasks ran, nanoseconds that they
//! could have run and had to wait, and how many times one ran. They are counted when a task leaves the
//! CPU, so that one that runs on alone shows up late and all at once. A CPU that is off-line has no
//! line. The versions 15 to 17 of the file have these numbers in these places; version 14 had more of
//! them, and their unit depended on the kernel.

use std::path::Path;

use crate::record::{Class, object_id};

use super::columns::Columns;
use super::rows::Rows;
use super::scan::{Scanner, each_line};
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

/// Most CPUs that are followed; the kernel can be built for as many.
const CPUS_MAX: usize = 8192;

/// The versions of the file that are understood.
const VERSIONS: std::ops::RangeInclusive<u64> = 15..=17;

/// How many numbers of a CPU are passed over.
const PASSED: usize = 6;

/// A CPU is printed together with its domains, which may have any length: the end of the text is
/// found by reading on.
const CPU_BYTES_MAX: usize = 4 << 10;

/// What the line of a CPU says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu<'a> {
    /// Its number in digits.
    pub number: &'a [u8],
    /// Nanoseconds that tasks ran, nanoseconds that they waited, and how many times one ran.
    pub numbers: [u64; 3],
}

/// Parses the text of the file and gives each CPU to `each`. Before the line of a version that is
/// understood no line counts.
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn parse<'a>(text: &'a [u8], each: impl FnMut(Cpu<'a>)) -> Result<(), SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    let mut is_known = false;
    let line = |scan: &mut Scanner<'a>| {
        if is_known {
            return line(scan);
        }
        is_known = scan.token()? == b"version" && VERSIONS.contains(&scan.number()?);
        if is_known { Ok(None) } else { Err(SampleError::Malformed) }
    };
    each_line(text, line, each)
}

fn line<'a>(scan: &mut Scanner<'a>) -> Result<Option<Cpu<'a>>, SampleError> {
    let Some(number) = scan.token()?.strip_prefix(b"cpu") else { return Ok(None) };
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return Err(SampleError::Malformed);
    }
    for _ in 0..PASSED {
        scan.number()?;
    }
    let mut cpu = Cpu { number, numbers: [0; 3] };
    for number in &mut cpu.numbers {
        *number = scan.number()?;
    }
    Ok(Some(cpu))
}

const METRICS: [&str; 3] = ["run_ns", "wait_ns", "timeslices"];

/// The source.
pub(super) struct Schedstat {
    file: TextFile,
    cpus: Rows<3>,
}

impl Schedstat {
    pub(super) fn new(roots: &Roots) -> Self {
        let shown = Shown::ByLine { longest: CPU_BYTES_MAX };
        Self {
            file: TextFile::new(roots.procfs.join("schedstat"), shown),
            cpus: Rows::new(CPUS_MAX),
        }
    }
}

impl Source for Schedstat {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { file, cpus } = self;
        let text = file.read()?;
        cpus.begin();
        let parsed = parse(text, |Cpu { number, numbers }| {
            let row = cpus.row(number, 0, columns, |columns| {
                let object = object_id(Class::Cpu, number);
                Ok((columns.add_all(&object, &METRICS, |_| true)?, 0))
            });
            if let Some(row) = row {
                row.put(&numbers, columns);
            }
        });
        parsed.and(cpus.finish(parsed.is_ok(), columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = Vec<(String, [u64; 3])>;

    fn cpus(text: &str) -> (Seen, Result<(), SampleError>) {
        let mut cpus = Vec::new();
        let outcome = parse(text.as_bytes(), |cpu| {
            cpus.push((String::from_utf8_lossy(cpu.number).into_owned(), cpu.numbers));
        });
        (cpus, outcome)
    }

    #[test]
    fn every_known_version_is_understood() {
        for version in 15..18 {
            let text = format!(
                "version {version}\ntimestamp 7\ncpu0 1 2 3 4 5 6 7 8 9\ndomain0 MC 3 0 0\n\
                 cpu11 0 0 0 0 0 0 70 80 90 100\ndomain0 SMT 3\ndomain1 3\n"
            );
            let expected = vec![("0".to_owned(), [7, 8, 9]), ("11".to_owned(), [70, 80, 90])];
            assert_eq!(cpus(&text), (expected, Ok(())));
        }
    }

    #[test]
    fn unknown_version_is_not_guessed_at() {
        for heading in ["version 14", "version 18", "version", "version x", "timestamp 1", ""] {
            let text = format!("{heading}\ncpu0 1 2 3 4 5 6 7 8 9\n");
            assert_eq!(cpus(&text), (vec![], Err(SampleError::Malformed)), "{heading}");
        }
    }

    #[test]
    fn bad_lines_cost_only_themselves() {
        let text = "version 15\ncpu0 1 2 3 4 5 6 7 8\ncpu 1 2 3 4 5 6 7 8 9\ncpux 1\n\
            cpu1 1 2 3 4 5 6 7 8 9\ncpu2 1 2 3 4 5 6 7 8 9";
        let expected = vec![("1".to_owned(), [7, 8, 9])];
        assert_eq!(cpus(text), (expected, Err(SampleError::Malformed)));
    }
}
