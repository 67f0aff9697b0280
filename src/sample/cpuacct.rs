//! `cpuacct.usage_all` of the root group: nanoseconds that each CPU was busy.
//!
//! ```text
//! cpu user system
//! 0 4158563245079 714296195911
//! 1 4339012670344 747780023857
//! ```
//!
//! It belongs to the first generation of control groups. System time includes interrupts. Every CPU
//! that the machine may ever have is listed; one that was never on-line has zeros, and gets no series.

use std::path::Path;

use crate::record::{Class, object_id};

use super::SampleError;
use super::columns::Columns;
use super::rows::Rows;
use super::scan::{Scanner, each_line};
use super::source::Source;
use super::text::{Shown, TextFile};

/// Most CPUs that are followed; the kernel can be built for as many.
const CPUS_MAX: usize = 8192;

/// What the line of a CPU says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy<'a> {
    /// Its number in digits.
    pub number: &'a [u8],
    /// Nanoseconds in user mode and in the kernel.
    pub ns: [u64; 2],
}

/// Parses the text of the file and gives each CPU to `each`. Before the heading no line counts.
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn parse<'a>(text: &'a [u8], each: impl FnMut(Busy<'a>)) -> Result<(), SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    let mut has_heading = false;
    let line = |scan: &mut Scanner<'a>| {
        if has_heading {
            return line(scan).map(Some);
        }
        for word in [&b"cpu"[..], b"user", b"system"] {
            if scan.token()? != word {
                return Err(SampleError::Malformed);
            }
        }
        has_heading = true;
        Ok(None)
    };
    each_line(text, line, each)
}

fn line<'a>(scan: &mut Scanner<'a>) -> Result<Busy<'a>, SampleError> {
    let number = scan.token()?;
    if !number.iter().all(u8::is_ascii_digit) {
        return Err(SampleError::Malformed);
    }
    Ok(Busy { number, ns: [scan.number()?, scan.number()?] })
}

const METRICS: [&str; 2] = ["cpuacct_user_ns", "cpuacct_system_ns"];

/// The source.
pub(super) struct Cpuacct {
    file: TextFile,
    cpus: Rows<2>,
}

impl Cpuacct {
    /// That of the root group at `dir`.
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            file: TextFile::new(dir.join("cpuacct.usage_all"), Shown::Whole),
            cpus: Rows::patient(CPUS_MAX),
        }
    }
}

impl Source for Cpuacct {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { file, cpus } = self;
        let text = file.read()?;
        cpus.begin();
        let parsed = parse(text, |Busy { number, ns }| {
            if ns == [0, 0] {
                return;
            }
            let row = cpus.row(number, 0, columns, |columns| {
                let object = object_id(Class::Cpu, number);
                Ok((columns.add_all(&object, &METRICS, |_| true)?, 0))
            });
            if let Some(row) = row {
                row.put(&ns, columns);
            }
        });
        parsed.and(cpus.finish(parsed.is_ok(), columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_after_the_heading_and_whole() {
        let text = b"cpu user system\n0 1 2\nx 1 2\n1 3\n2 4 5 6\n3 7 8";
        let mut seen = Vec::new();
        let outcome = parse(text, |busy| seen.push(busy));
        assert_eq!(outcome, Err(SampleError::Malformed));
        let busy = |number, ns| Busy { number, ns };
        assert_eq!(seen, [busy(&b"0"[..], [1, 2]), busy(b"2", [4, 5])]);
        for wrong in [&b"0 1 2\n"[..], b"cpu user\n0 1 2\n", b"\n"] {
            let outcome = parse(wrong, |busy| panic!("{busy:?}"));
            assert_eq!(outcome, Err(SampleError::Malformed));
        }
    }
}
