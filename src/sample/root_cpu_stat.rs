//! `cpu.stat` of the root control group: CPU time of all CPUs in microseconds.
//!
//! ```text
//! usage_usec 9959652135
//! user_usec 8497575915
//! system_usec 1462076219
//! nice_usec 2277702649
//! ```
//!
//! The numbers are as fine as the kernel measures CPU time. One that was built to look only at each
//! timer interrupt which mode the CPU is in gives microseconds, but in steps of a whole interrupt's
//! time. Newer kernels have `nice_usec`, and `core_sched.force_idle_usec` where a core can be withheld
//! from tasks that do not trust one another; older ones count stolen time in `usage_usec`.

use std::path::Path;

use super::SampleError;
use super::columns::Columns;
use super::fields::Fields;
use super::scan::{Scanner, each_line};
use super::source::Source;
use super::text::{Shown, TextFile};

/// How many lines are kept.
const TIMES: usize = 5;

/// The names of the lines that are kept, by the number of a [`Time`].
const NAMES: [&[u8]; TIMES] =
    [b"usage_usec", b"user_usec", b"system_usec", b"nice_usec", b"core_sched.force_idle_usec"];

const METRICS: [&str; TIMES] =
    ["cpu_usage_us", "cpu_user_us", "cpu_system_us", "cpu_nice_us", "cpu_force_idle_us"];

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Which time it is: usage, user, system, nice or force-idle, from 0.
    pub which: usize,
    /// How long, in microseconds.
    pub us: u64,
}

/// Parses the text of the file and gives the lines that are kept to `each`.
///
/// # Errors
///
/// The first error of any of these lines; the others have been given nevertheless.
pub fn parse(text: &[u8], each: impl FnMut(Time)) -> Result<(), SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    each_line(text, line, each)
}

fn line(scan: &mut Scanner<'_>) -> Result<Option<Time>, SampleError> {
    let name = scan.token()?;
    let Some(which) = NAMES.iter().position(|known| *known == name) else { return Ok(None) };
    Ok(Some(Time { which, us: scan.number()? }))
}

/// The source.
pub(super) struct RootCpuStat {
    file: TextFile,
    fields: Fields<TIMES>,
}

impl RootCpuStat {
    /// That of the root control group at `dir`.
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            file: TextFile::new(dir.join("cpu.stat"), Shown::Whole),
            fields: Fields::new("host", METRICS),
        }
    }
}

impl Source for RootCpuStat {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { file, fields } = self;
        let text = file.read()?;
        fields.begin();
        let parsed = parse(text, |Time { which, us }| fields.put(which, us, columns));
        parsed.and(fields.finish(columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_lines_are_kept_in_any_order() {
        let mut seen = Vec::new();
        let text = b"nr_periods 0\nuser_usec 2\nusage_usec 3\ncore_sched.force_idle_usec 4\n";
        assert_eq!(parse(text, |time| seen.push((time.which, time.us))), Ok(()));
        assert_eq!(seen, [(1, 2), (0, 3), (4, 4)]);
    }

    #[test]
    fn bad_lines_cost_only_themselves() {
        let mut seen = Vec::new();
        let text = b"usage_usec -1\nuser_usec\nsystem_usec 5\nnice_usec 6";
        assert_eq!(parse(text, |time| seen.push(time.us)), Err(SampleError::Malformed));
        assert_eq!(seen, [5]);
        assert_eq!(parse(b"", |time| panic!("{time:?}")), Err(SampleError::Empty));
    }
}
