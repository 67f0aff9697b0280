//! `/proc/loadavg`: how many tasks run or wait.
//!
//! ```text
//! 0.01 0.11 0.07 1/85 5334
//! ```
//!
//! Load over 1, 5 and 15 minutes, tasks that could run of all tasks, and the newest process id.

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
pub struct Loadavg {
    /// Over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Threads that run or could run.
    pub tasks_runnable: u64,
    /// Threads that exist.
    pub tasks: u64,
}

/// Parses the text of the file.
///
/// # Errors
///
/// When the line is not complete or not of this form.
pub fn parse(text: &[u8]) -> Result<Loadavg, SampleError> {
    first_line(text, |scan| {
        let load = [scan.decimal()?, scan.decimal()?, scan.decimal()?];
        let tasks_runnable = scan.number_before(b'/')?;
        Ok(Loadavg { load, tasks_runnable, tasks: scan.number()? })
    })
}

/// The source.
pub(super) struct Load {
    file: TextFile,
    fields: Fields<5>,
}

impl Load {
    pub(super) fn new(roots: &Roots) -> Self {
        let metrics = ["load1", "load5", "load15", "tasks_runnable", "tasks"];
        Self {
            file: TextFile::new(roots.procfs.join("loadavg"), Shown::Whole),
            fields: Fields::new("host", metrics),
        }
    }
}

impl Source for Load {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Loadavg { load: [one, five, fifteen], tasks_runnable, tasks } =
            parse(self.file.read()?)?;
        self.fields.begin();
        let [one, five, fifteen] = [one, five, fifteen].map(word_of_f64);
        self.fields.put_all([one, five, fifteen, tasks_runnable, tasks], columns);
        self.fields.finish(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_understood() {
        let expected = Loadavg { load: [0.01, 0.11, 12.07], tasks_runnable: 1, tasks: 85 };
        assert_eq!(parse(b"0.01 0.11 12.07 1/85 5334\n"), Ok(expected));
    }

    #[test]
    fn line_cut_anywhere_is_refused() {
        let text = b"0.01 0.11 12.07 1/85 5334\n";
        assert_eq!(parse(b""), Err(SampleError::Empty));
        for end in 1..text.len() {
            assert_eq!(parse(&text[..end]), Err(SampleError::Truncated), "{end}");
        }
        assert_eq!(parse(b"0.01 0.11 12.07 1 /85 5334\n"), Err(SampleError::Malformed));
        assert_eq!(parse(b"\xff\0\n"), Err(SampleError::Malformed));
    }
}
