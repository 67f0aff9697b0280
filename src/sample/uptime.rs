//! `/proc/uptime`: how long the machine has run.
//!
//! ```text
//! 1414.74 2734.94
//! ```
//!
//! Seconds since the start, suspend included, and seconds that all CPUs together were idle.

use std::path::Path;

use crate::record::word_of_f64;

use super::columns::Columns;
use super::fields::Fields;
use super::scan::first_line;
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uptime {
    /// Time since the machine started.
    pub uptime_seconds: f64,
    /// Idle time of all CPUs together.
    pub idle_seconds: f64,
}

/// Parses the text of the file.
///
/// # Errors
///
/// When the line is not complete or not of this form.
pub fn parse(text: &[u8]) -> Result<Uptime, SampleError> {
    first_line(text, |scan| {
        Ok(Uptime { uptime_seconds: scan.decimal()?, idle_seconds: scan.decimal()? })
    })
}

/// The source.
pub(super) struct Up {
    file: TextFile,
    fields: Fields<2>,
}

impl Up {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: TextFile::new(roots.procfs.join("uptime"), Shown::Whole),
            fields: Fields::new("host", ["uptime_seconds", "idle_seconds"]),
        }
    }
}

impl Source for Up {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Uptime { uptime_seconds, idle_seconds } = parse(self.file.read()?)?;
        self.fields.begin();
        self.fields.put_all([uptime_seconds, idle_seconds].map(word_of_f64), columns);
        self.fields.finish(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_understood_only_whole() {
        let text = b"1414.74 2734.94\n";
        let expected = Uptime { uptime_seconds: 1414.74, idle_seconds: 2734.94 };
        assert_eq!(parse(text), Ok(expected));
        for end in 1..text.len() {
            assert_eq!(parse(&text[..end]), Err(SampleError::Truncated), "{end}");
        }
        assert_eq!(parse(b"1414.74\n"), Err(SampleError::Malformed));
    }
}
