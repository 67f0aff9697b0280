//! `/proc/meminfo`: what memory is used for.
//!
//! ```text
//! MemTotal:       24684084 kB
//! MemFree:        24483228 kB
//! Active(anon):       1532 kB
//! HugePages_Total:       0
//! ```
//!
//! Which lines there are depends on the kernel, so that every line is a metric of its own name.

use std::path::Path;

use super::columns::Columns;
use super::rows::Rows;
use super::scan::{Scanner, each_line};
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

/// Most lines that are followed.
const LINES_MAX: usize = 256;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount<'a> {
    /// The kernel's name for it.
    pub name: &'a [u8],
    /// How much.
    pub value: u64,
    /// Whether the value is in bytes. Otherwise it is a number of things.
    pub bytes: bool,
}

/// Parses the text of the file and gives what each line says to `each`.
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn parse<'a>(text: &'a [u8], each: impl FnMut(Amount<'a>)) -> Result<(), SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    each_line(text, line, each)
}

#[inline]
pub(super) fn line<'a>(scan: &mut Scanner<'a>) -> Result<Option<Amount<'a>>, SampleError> {
    let name = scan.name_before(b':')?;
    if !name.iter().any(u8::is_ascii_alphanumeric) {
        return Err(SampleError::Malformed);
    }
    let value = scan.number()?;
    if scan.at_line_end() {
        return Ok(Some(Amount { name, value, bytes: false }));
    }
    if scan.token()? != b"kB" {
        return Err(SampleError::Malformed);
    }
    let value = value.checked_mul(1024).ok_or(SampleError::TooLarge)?;
    Ok(Some(Amount { name, value, bytes: true }))
}

/// The metric's name: `Active(anon)` becomes `meminfo_Active_anon_bytes`.
pub(super) fn metric(amount: Amount<'_>) -> String {
    let mut metric = String::from("meminfo_");
    for &byte in amount.name {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => metric.push(char::from(byte)),
            b')' => {}
            _ => metric.push('_'),
        }
    }
    if amount.bytes {
        metric.push_str("_bytes");
    }
    metric
}

/// The source.
pub(super) struct Meminfo {
    file: TextFile,
    lines: Rows<1>,
}

impl Meminfo {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: TextFile::new(roots.procfs.join("meminfo"), Shown::Whole),
            lines: Rows::patient(LINES_MAX),
        }
    }
}

impl Source for Meminfo {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { file, lines } = self;
        let text = file.read()?;
        lines.begin();
        let parsed = parse(text, |amount| {
            let row = lines.row(amount.name, amount.bytes.into(), columns, |columns| {
                Ok(([columns.add("host", &metric(amount))?], 0))
            });
            if let Some(row) = row {
                row.put(&[amount.value], columns);
            }
        });
        parsed.and(lines.finish(parsed.is_ok(), columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_and_without_unit_are_understood() {
        let mut seen = Vec::new();
        let text = b"MemTotal:       24684084 kB\nActive(anon):1 kB\nHugePages_Total:       3\n";
        assert_eq!(parse(text, |amount| seen.push((metric(amount), amount.value))), Ok(()));
        let expected = [
            ("meminfo_MemTotal_bytes", 24684084 * 1024),
            ("meminfo_Active_anon_bytes", 1024),
            ("meminfo_HugePages_Total", 3),
        ];
        assert_eq!(seen, expected.map(|(name, value)| (name.to_owned(), value)));
    }

    /// A line `): 5` would have been the metric `meminfo_`, which no catalog has: the recorder ended.
    #[test]
    fn name_without_a_letter_is_no_name() {
        for text in ["): 5\n", "): 5 kB\n", "((: 5\n", " _: 5\n"] {
            let outcome = parse(text.as_bytes(), |amount| panic!("{amount:?}"));
            assert_eq!(outcome, Err(SampleError::Malformed), "{text}");
        }
    }

    #[test]
    fn bad_lines_cost_only_themselves() {
        let mut seen = 0;
        let text =
            b"A: 1 MB\n: 5 kB\nB 1 kB\nC: 18014398509481984 kB\nD:\n\nMemFree: 2 kB\nE: 7 kB";
        assert_eq!(parse(text, |amount| seen += amount.value), Err(SampleError::Malformed));
        assert_eq!(seen, 2048);
    }
}
