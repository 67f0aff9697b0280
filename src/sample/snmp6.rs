//! `/proc/net/snmp6`: what the protocols of IPv6 have counted.
//!
//! ```text
//! Ip6InReceives                       2
//! Icmp6InMsgs                         2
//! Udp6InDatagrams                     0
//! ```
//!
//! The name of the protocol ends with the first 6. What is kept is what is kept of the older
//! protocols; the file is absent where IPv6 is.

use std::path::Path;

use super::columns::Columns;
use super::netstat::{Statistic, Statistics, is_ipv6, is_kept, value};
use super::scan::{Scanner, each_line};
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

/// Parses the text of the file and gives the statistics that are kept to `each`.
///
/// # Errors
///
/// The first error of any of these lines; the others have been given nevertheless.
pub fn parse<'a>(text: &'a [u8], each: impl FnMut(Statistic<'a>)) -> Result<(), SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    each_line(text, line, each)
}

fn line<'a>(scan: &mut Scanner<'a>) -> Result<Option<Statistic<'a>>, SampleError> {
    let whole = scan.token()?;
    let Some(six) = memchr::memchr(b'6', whole) else { return Ok(None) };
    let (protocol, name) = whole.split_at(six + 1);
    if !is_kept(protocol, name) {
        return Ok(None);
    }
    Ok(Some(Statistic { protocol, name, value: value(scan)? }))
}

/// The source.
pub(super) struct Snmp6 {
    file: TextFile,
    statistics: Statistics,
}

impl Snmp6 {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: TextFile::new(roots.procfs.join("net/snmp6"), Shown::Whole),
            statistics: Statistics::new(is_ipv6),
        }
    }
}

impl Source for Snmp6 {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        self.statistics.turn(self.file.read()?, |text, each| parse(text, each), columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_ends_with_its_six() {
        let mut seen = Vec::new();
        let text = b"Ip6InOctets \t256\nIcmp6OutType135\tx\nUdpLite6InErrors 0\nUdp6NoPorts -1\n\
            Other 5\nUdp6InDatagrams\nIcmp6InMsgs 9";
        let outcome = parse(text, |statistic| seen.push(statistic));
        assert_eq!(outcome, Err(SampleError::Malformed));
        let statistic = |protocol, name, value| Statistic { protocol, name, value };
        let expected = [
            statistic(&b"Ip6"[..], &b"InOctets"[..], Some(256)),
            statistic(b"UdpLite6", b"InErrors", Some(0)),
            statistic(b"Udp6", b"NoPorts", None),
        ];
        assert_eq!(seen, expected);
    }
}
