//! `/proc/vmstat`: events of the memory management.
//!
//! ```text
//! nr_free_pages 1217885
//! pgpgin 1367677
//! pgfault 4481526
//! oom_kill 0
//! ```
//!
//! Of some two hundred lines those are kept that are watched in practice: pages moved to and from
//! disk (`pgpg*`) and swap (`pswp*`), faults (`pg*fault*`) and kills for want of memory
//! (`oom_kill*`). The rest is mostly found in `/proc/meminfo` too.

use std::path::Path;

use super::columns::Columns;
use super::rows::Rows;
use super::scan::{Scanner, each_line};
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

/// Most lines that are followed.
const LINES_MAX: usize = 256;

/// Longer than any line: names have up to 40 letters, numbers up to 20 digits.
const LINE_BYTES_MAX: usize = 128;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The kernel's name for it.
    pub name: &'a [u8],
    /// How often it has happened.
    pub count: u64,
}

/// Parses the text of the file and gives the lines that are kept to `each`.
///
/// # Errors
///
/// The first error of any of these lines; the others have been given nevertheless.
pub fn parse<'a>(text: &'a [u8], each: impl FnMut(Event<'a>)) -> Result<(), SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    each_line(text, line, each)
}

#[inline]
fn line<'a>(scan: &mut Scanner<'a>) -> Result<Option<Event<'a>>, SampleError> {
    if !matches!(scan.peek(), Some(b'p' | b'o')) {
        return Ok(None);
    }
    let name = scan.token()?;
    Ok(if is_kept(name) { Some(Event { name, count: scan.number()? }) } else { None })
}

#[inline]
fn is_kept(name: &[u8]) -> bool {
    match name {
        [b'p', b'g', rest @ ..] => {
            rest.starts_with(b"pg") || rest.windows(5).any(|part| part == b"fault")
        }
        _ => name.starts_with(b"pswp") || name.starts_with(b"oom_kill"),
    }
}

/// The metric's name: `pgfault` becomes `vmstat_pgfault`.
fn metric(name: &[u8]) -> String {
    let word = |&byte: &u8| if byte.is_ascii_alphanumeric() { char::from(byte) } else { '_' };
    "vmstat_".chars().chain(name.iter().map(word)).collect()
}

/// The source.
pub(super) struct Vmstat {
    file: TextFile,
    lines: Rows<1>,
}

impl Vmstat {
    pub(super) fn new(roots: &Roots) -> Self {
        let shown = Shown::ByLine { longest: LINE_BYTES_MAX };
        Self {
            file: TextFile::new(roots.procfs.join("vmstat"), shown),
            lines: Rows::patient(LINES_MAX),
        }
    }
}

impl Source for Vmstat {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { file, lines } = self;
        let text = file.read()?;
        lines.begin();
        let parsed = parse(text, |event| {
            let row = lines.row(event.name, 0, columns, |columns| {
                Ok(([columns.add("host", &metric(event.name))?], 0))
            });
            if let Some(row) = row {
                row.put(&[event.count], columns);
            }
        });
        parsed.and(lines.finish(parsed.is_ok(), columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_are_watched_are_kept() {
        let mut seen = Vec::new();
        let text = b"nr_free_pages 1\npgpgin 2\npswpout 3\npgalloc_dma x\npgfault 4\n\
            numa_pte_updates 5\npgmajfault 6\noom_kill 7\nnr_unstable 0\n";
        assert_eq!(parse(text, |event| seen.push((metric(event.name), event.count))), Ok(()));
        let names = ["pgpgin", "pswpout", "pgfault", "pgmajfault", "oom_kill"];
        let expected = names.map(|name| format!("vmstat_{name}")).into_iter().zip([2, 3, 4, 6, 7]);
        assert_eq!(seen, expected.collect::<Vec<_>>());
    }

    #[test]
    fn bad_lines_cost_only_themselves() {
        let mut seen = 0;
        let text = b"pgpgin -2\npswpin\npgfault 4\npgpgout 5";
        assert_eq!(parse(text, |event| seen += event.count), Err(SampleError::Malformed));
        assert_eq!(seen, 4);
    }
}
