//! `/proc/pressure/{cpu,memory,io}`: time that tasks were held up for lack of a resource.
//!
//! ```text
//! some avg10=0.00 avg60=0.13 avg300=0.56 total=7903185
//! full avg10=0.00 avg60=0.00 avg300=0.00 total=0
//! ```
//!
//! Per cent of the last 10, 60 and 300 seconds, and microseconds in all, in which some tasks or
//! all of them were held up. Kernels before 5.13 have no `full` line for the CPU. Where the
//! feature was not built in, the files are absent; where it is off, reading them is refused.

use std::path::Path;

use crate::record::word_of_f64;

use super::columns::Columns;
use super::fields::Fields;
use super::scan::{Scanner, each_line};
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// Whether all tasks were held up, and not just some.
    pub full: bool,
    /// Per cent of the last 10, 60 and 300 seconds.
    pub averages: [f64; 3],
    /// Microseconds in all.
    pub total_us: u64,
}

/// Parses the text of the file and gives what each line says to `each`.
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn parse(text: &[u8], each: impl FnMut(Stall)) -> Result<(), SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    each_line(text, line, each)
}

#[inline]
fn line(scan: &mut Scanner<'_>) -> Result<Option<Stall>, SampleError> {
    let full = match scan.token()? {
        b"some" => false,
        b"full" => true,
        _ => return Ok(None),
    };
    let mut averages = [None; 3];
    let mut total = None;
    while !scan.at_line_end() {
        match scan.name_before(b'=')? {
            b"avg10" => averages[0] = Some(scan.decimal()?),
            b"avg60" => averages[1] = Some(scan.decimal()?),
            b"avg300" => averages[2] = Some(scan.decimal()?),
            b"total" => total = Some(scan.number()?),
            _ => drop(scan.token()?),
        }
    }
    match (averages, total) {
        ([Some(a), Some(b), Some(c)], Some(total_us)) => {
            Ok(Some(Stall { full, averages: [a, b, c], total_us }))
        }
        _ => Err(SampleError::Malformed),
    }
}

/// One of the files and its metrics: those of `some`, then those of `full`.
pub(super) struct Resource {
    file: &'static str,
    metrics: [&'static str; 8],
}

macro_rules! resource {
    ($name:literal) => {
        Resource {
            file: concat!("pressure/", $name),
            metrics: [
                concat!("pressure_", $name, "_some_avg10_percent"),
                concat!("pressure_", $name, "_some_avg60_percent"),
                concat!("pressure_", $name, "_some_avg300_percent"),
                concat!("pressure_", $name, "_some_us"),
                concat!("pressure_", $name, "_full_avg10_percent"),
                concat!("pressure_", $name, "_full_avg60_percent"),
                concat!("pressure_", $name, "_full_avg300_percent"),
                concat!("pressure_", $name, "_full_us"),
            ],
        }
    };
}

/// The resources that the kernel watches.
pub(super) const RESOURCES: [Resource; 3] =
    [resource!("cpu"), resource!("memory"), resource!("io")];

/// The source of one resource.
pub(super) struct Pressure {
    file: TextFile,
    fields: Fields<8>,
}

impl Pressure {
    pub(super) fn new(roots: &Roots, resource: &Resource) -> Self {
        Self {
            file: TextFile::new(roots.procfs.join(resource.file), Shown::Whole),
            fields: Fields::new("host", resource.metrics),
        }
    }
}

impl Source for Pressure {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { file, fields } = self;
        let text = file.read()?;
        fields.begin();
        let parsed = parse(text, |stall| {
            let first = if stall.full { 4 } else { 0 };
            for (index, average) in stall.averages.into_iter().enumerate() {
                fields.put(first + index, word_of_f64(average), columns);
            }
            fields.put(first + 3, stall.total_us, columns);
        });
        parsed.and(fields.finish(columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let mut seen = Vec::new();
        let text = b"some avg10=0.00 avg60=0.13 avg300=99.56 total=7903185\n\
            full total=3 new=x avg300=0.30 avg60=0.20 avg10=0.10\n";
        assert_eq!(parse(text, |stall| seen.push(stall)), Ok(()));
        let some = Stall { full: false, averages: [0.0, 0.13, 99.56], total_us: 7_903_185 };
        let full = Stall { full: true, averages: [0.1, 0.2, 0.3], total_us: 3 };
        assert_eq!(seen, [some, full]);
    }

    #[test]
    fn line_counts_only_whole() {
        let text = b"some avg10=0.00 avg60=0.13 avg300=99.56 total=7903185\n";
        for end in 1..text.len() {
            let outcome = parse(&text[..end], |stall| panic!("{stall:?}"));
            assert_eq!(outcome, Err(SampleError::Truncated), "{end}");
        }
        for wrong in ["some avg10=0.00 total=1\n", "some total=\n", "full avg10\n", "some =1\n"] {
            let outcome = parse(wrong.as_bytes(), |stall| panic!("{stall:?}"));
            assert_eq!(outcome, Err(SampleError::Malformed), "{wrong}");
        }
    }
}
