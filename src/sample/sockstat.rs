//! `/proc/net/sockstat` and `sockstat6`: how many sockets there are, and what memory they hold.
//!
//! ```text
//! sockets: used 16
//! TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 228
//! UDP: inuse 0 mem 0
//! FRAG: inuse 0 memory 0
//! ```
//!
//! `mem` is in pages, `memory` in bytes. The second file is absent where IPv6 is.

use std::path::Path;

use super::columns::Columns;
use super::netstat::{self, value};
use super::rows::Rows;
use super::scan::{NAME_BYTES_MAX, Scanner, each_line};
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

/// Most numbers of a file that are followed.
const NUMBERS_MAX: usize = 64;

/// One number of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets<'a> {
    /// The protocol, such as `TCP`; or `sockets`, for all.
    pub protocol: &'a [u8],
    /// The kernel's name for the number.
    pub name: &'a [u8],
    /// The number; `None` if it is negative, as sums over all CPUs may be for a moment.
    pub value: Option<u64>,
}

/// Parses the text of the file and gives each number to `each`.
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn parse<'a>(text: &'a [u8], mut each: impl FnMut(Sockets<'a>)) -> Result<(), SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    let line = |scan: &mut Scanner<'a>| {
        let protocol = scan.name_before(b':')?;
        let numbers = scan.clone();
        // Of a line that has a mistake nothing counts.
        read(protocol, numbers.clone(), |_| {})?;
        Ok(Some((protocol, numbers)))
    };
    each_line(text, line, |(protocol, numbers)| {
        let read = read(protocol, numbers, &mut each);
        debug_assert_eq!(read, Ok(()), "it was read before");
    })
}

fn read<'a>(
    protocol: &'a [u8],
    mut scan: Scanner<'a>,
    mut each: impl FnMut(Sockets<'a>),
) -> Result<(), SampleError> {
    while !scan.at_line_end() {
        let name = scan.token()?;
        each(Sockets { protocol, name, value: value(&mut scan)? });
    }
    Ok(())
}

/// The source of one of the files.
pub(super) struct Sockstat {
    file: TextFile,
    is_ipv6: bool,
    page_bytes: u64,
    rows: Rows<1>,
    /// `TCP_inuse`, put together for each.
    name: Vec<u8>,
}

impl Sockstat {
    /// The file of the older protocols, or that of IPv6.
    pub(super) fn new(roots: &Roots, is_ipv6: bool) -> Self {
        let file = if is_ipv6 { "net/sockstat6" } else { "net/sockstat" };
        Self {
            file: TextFile::new(roots.procfs.join(file), Shown::Whole),
            is_ipv6,
            page_bytes: rustix::param::page_size() as u64,
            rows: Rows::patient(NUMBERS_MAX),
            name: Vec::new(),
        }
    }
}

impl Source for Sockstat {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { file, is_ipv6, page_bytes, rows, name } = self;
        let text = file.read()?;
        rows.begin();
        let parsed = parse(text, |sockets| {
            // No series must have two files that write it, whatever a damaged text says.
            let is_plain = sockets.protocol.iter().all(u8::is_ascii_alphanumeric);
            if !is_plain || netstat::is_ipv6(sockets.protocol) != *is_ipv6 {
                return;
            }
            name.clear();
            name.extend_from_slice(sockets.protocol);
            name.push(b'_');
            name.extend_from_slice(sockets.name);
            if name.len() > NAME_BYTES_MAX {
                return;
            }
            put(rows, name, sockets.value, columns);
            if sockets.name == b"mem" {
                name.extend_from_slice(b"_bytes");
                let bytes = sockets.value.and_then(|pages| pages.checked_mul(*page_bytes));
                put(rows, name, bytes, columns);
            }
        });
        parsed.and(rows.finish(parsed.is_ok(), columns))
    }
}

fn put(rows: &mut Rows<1>, name: &[u8], value: Option<u64>, columns: &mut Columns<'_>) {
    let row = rows.row(name, 0, columns, |columns| Ok(([columns.add("host", &metric(name))?], 0)));
    if let (Some(row), Some(value)) = (row, value) {
        row.put(&[value], columns);
    }
}

/// The metric's name: `TCP_inuse` becomes `sockstat_TCP_inuse`.
fn metric(name: &[u8]) -> String {
    let word = |&byte: &u8| if byte.is_ascii_alphanumeric() { char::from(byte) } else { '_' };
    "sockstat_".chars().chain(name.iter().map(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_understood_line_by_line() {
        let text = b"sockets: used 16\nTCP: inuse 1 mem -1\nUDP: inuse x\nRAW: inuse\n: a 1\n\
            NEW:\nFRAG6: inuse 0 memory 7\nTCP6: inuse 1 ";
        let mut seen = Vec::new();
        let outcome = parse(text, |sockets| {
            seen.push((metric(&[sockets.protocol, b"_", sockets.name].concat()), sockets.value));
        });
        assert_eq!(outcome, Err(SampleError::Malformed));
        let expected = [
            ("sockstat_sockets_used", Some(16)),
            ("sockstat_TCP_inuse", Some(1)),
            ("sockstat_TCP_mem", None),
            ("sockstat_FRAG6_inuse", Some(0)),
            ("sockstat_FRAG6_memory", Some(7)),
        ];
        assert_eq!(seen, expected.map(|(name, value)| (name.to_owned(), value)));
    }
}
