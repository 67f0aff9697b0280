//! `/proc/net/snmp` and `/proc/net/netstat`: what the network protocols have counted.
//!
//! ```text
//! Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens ...
//! Tcp: 1 200 120000 -1 11065 10843 ...
//! Udp: InDatagrams NoPorts InErrors OutDatagrams ...
//! Udp: 198 0 0 200 ...
//! ```
//!
//! A line of names and a line of numbers for each protocol. Of several hundred those are kept that
//! are watched in practice: errors, traffic, connections, and what is lost for want of room. A number
//! may be negative, which says that there is none.

use std::path::Path;

use super::columns::Columns;
use super::rows::Rows;
use super::scan::{Scanner, each_line};
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

/// Most statistics of a protocol that are kept.
const KEPT_MAX: usize = 32;

/// Most statistics of a file that are followed.
const STATISTICS_MAX: usize = 128;

/// One number of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistic<'a> {
    /// The protocol, such as `Tcp`.
    pub protocol: &'a [u8],
    /// The kernel's name for it.
    pub name: &'a [u8],
    /// The number; `None` if it is negative.
    pub value: Option<u64>,
}

/// The two lines of a protocol.
struct Pair<'a> {
    protocol: &'a [u8],
    names: Scanner<'a>,
    values: Scanner<'a>,
}

/// The statistics of a protocol that are kept.
struct Kept<'a> {
    statistics: [Statistic<'a>; KEPT_MAX],
    count: usize,
}

impl<'a> Pair<'a> {
    /// The statistics that are kept. Of two lines that do not fit nothing counts, so nothing is
    /// given away before both have been read to their ends.
    fn read(mut self) -> Result<Kept<'a>, SampleError> {
        let protocol = self.protocol;
        let none = Statistic { protocol, name: b"", value: None };
        let mut kept = Kept { statistics: [none; KEPT_MAX], count: 0 };
        while !self.names.at_line_end() {
            let name = self.names.token()?;
            if is_kept(protocol, name) {
                let value = value(&mut self.values)?;
                let place = kept.statistics.get_mut(kept.count).ok_or(SampleError::TooMany)?;
                *place = Statistic { protocol, name, value };
                kept.count += 1;
            } else {
                self.values.token()?;
            }
        }
        if self.values.at_line_end() { Ok(kept) } else { Err(SampleError::Malformed) }
    }
}

/// Parses the text of such a file and gives the statistics that are kept to `each`.
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn parse<'a>(text: &'a [u8], mut each: impl FnMut(Statistic<'a>)) -> Result<(), SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    let mut names: Option<(&[u8], Scanner<'_>)> = None;
    let line = |scan: &mut Scanner<'a>| {
        let protocol = scan.name_before(b':')?;
        match names.take() {
            None => names = Some((protocol, scan.clone())),
            Some((before, names)) if before == protocol => {
                return Pair { protocol, names, values: scan.clone() }.read().map(Some);
            }
            Some(_) => {
                names = Some((protocol, scan.clone()));
                return Err(SampleError::Malformed);
            }
        }
        Ok(None)
    };
    let parsed = each_line(text, line, |kept| {
        kept.statistics.into_iter().take(kept.count).for_each(&mut each);
    });
    parsed.and(if names.is_none() { Ok(()) } else { Err(SampleError::Truncated) })
}

/// The next number, if it is not negative.
pub(super) fn value(scan: &mut Scanner<'_>) -> Result<Option<u64>, SampleError> {
    scan.blanks();
    if scan.peek() != Some(b'-') {
        return scan.number().map(Some);
    }
    scan.pass(b'-')?;
    if scan.peek().is_some_and(|byte| !byte.is_ascii_digit()) {
        return Err(SampleError::Malformed);
    }
    scan.number().map(|_| None)
}

/// Whether a statistic is one that is watched in practice, as `node_exporter` has it.
pub(super) fn is_kept(protocol: &[u8], name: &[u8]) -> bool {
    match (protocol, name) {
        (_, b"InErrors" | b"InErrs")
        | (b"Ip", b"Forwarding")
        | (b"Ip6" | b"IpExt", b"InOctets" | b"OutOctets")
        | (b"Icmp" | b"Icmp6", b"InMsgs" | b"OutMsgs")
        | (b"TcpExt", b"TCPSynRetrans" | b"TCPTimeouts" | b"TCPOFOQueue" | b"TCPRcvQDrop")
        | (
            b"Tcp",
            b"ActiveOpens" | b"InSegs" | b"OutSegs" | b"OutRsts" | b"PassiveOpens" | b"RetransSegs"
            | b"CurrEstab",
        )
        | (
            b"Udp" | b"Udp6",
            b"InDatagrams" | b"OutDatagrams" | b"NoPorts" | b"RcvbufErrors" | b"SndbufErrors",
        ) => true,
        (b"TcpExt", _) => name.starts_with(b"Listen") || name.starts_with(b"Syncookies"),
        _ => false,
    }
}

/// The series of the statistics of a file.
pub(super) struct Statistics {
    /// Which protocols the file has. No series must have two files that write it, whatever
    /// a damaged text says.
    has: fn(&[u8]) -> bool,
    rows: Rows<1>,
    /// `Tcp_InSegs`, put together for each.
    name: Vec<u8>,
}

impl Statistics {
    pub(super) fn new(has: fn(&[u8]) -> bool) -> Self {
        Self { has, rows: Rows::patient(STATISTICS_MAX), name: Vec::new() }
    }

    /// Takes a turn at `text`, which `parse` understands.
    pub(super) fn turn<'a>(
        &mut self,
        text: &'a [u8],
        parse: impl FnOnce(&'a [u8], &mut dyn FnMut(Statistic<'a>)) -> Result<(), SampleError>,
        columns: &mut Columns<'_>,
    ) -> Result<(), SampleError> {
        let Self { has, rows, name } = self;
        rows.begin();
        let parsed = parse(text, &mut |statistic| {
            let is_plain = statistic.protocol.iter().all(u8::is_ascii_alphanumeric);
            if !is_plain || !has(statistic.protocol) {
                return;
            }
            name.clear();
            name.extend_from_slice(statistic.protocol);
            name.push(b'_');
            name.extend_from_slice(statistic.name);
            let row = rows
                .row(name, 0, columns, |columns| Ok(([columns.add("host", &metric(name))?], 0)));
            if let (Some(row), Some(value)) = (row, statistic.value) {
                row.put(&[value], columns);
            }
        });
        parsed.and(rows.finish(parsed.is_ok(), columns))
    }
}

/// The metric's name: `Tcp_InSegs` becomes `netstat_Tcp_InSegs`.
fn metric(name: &[u8]) -> String {
    let word = |&byte: &u8| if byte.is_ascii_alphanumeric() { char::from(byte) } else { '_' };
    "netstat_".chars().chain(name.iter().map(word)).collect()
}

/// The source of one of the two files.
pub(super) struct Netstat {
    file: TextFile,
    statistics: Statistics,
}

impl Netstat {
    /// `/proc/net/snmp`.
    pub(super) fn snmp(roots: &Roots) -> Self {
        Self::new(roots, "net/snmp", |protocol| !protocol.ends_with(b"Ext") && !is_ipv6(protocol))
    }

    /// `/proc/net/netstat`, whose protocols are extensions of the others.
    pub(super) fn extensions(roots: &Roots) -> Self {
        Self::new(roots, "net/netstat", |protocol| protocol.ends_with(b"Ext"))
    }

    fn new(roots: &Roots, file: &str, has: fn(&[u8]) -> bool) -> Self {
        let file = TextFile::new(roots.procfs.join(file), Shown::Whole);
        Self { file, statistics: Statistics::new(has) }
    }
}

/// Whether a protocol is one of IPv6.
pub(super) fn is_ipv6(protocol: &[u8]) -> bool {
    protocol.ends_with(b"6")
}

impl Source for Netstat {
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

    type Seen = Vec<(String, Option<u64>)>;

    fn statistics(text: &str) -> (Seen, Result<(), SampleError>) {
        let mut seen = Vec::new();
        let outcome = parse(text.as_bytes(), |statistic| {
            let name = [statistic.protocol, b"_", statistic.name].concat();
            seen.push((metric(&name), statistic.value));
        });
        (seen, outcome)
    }

    #[test]
    fn numbers_belong_to_the_names_above_them() {
        let text = "Tcp: MaxConn CurrEstab InErrs\nTcp: -1 2 3\nX: a\nX: -x\n\
            TcpExt: ListenDrops TW SyncookiesSent\nTcpExt: 4 5 -6\n";
        let expected = [
            ("netstat_Tcp_CurrEstab", Some(2)),
            ("netstat_Tcp_InErrs", Some(3)),
            ("netstat_TcpExt_ListenDrops", Some(4)),
            ("netstat_TcpExt_SyncookiesSent", None),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value)).to_vec();
        assert_eq!(statistics(text), (expected, Ok(())));
    }

    #[test]
    fn lines_that_do_not_fit_count_for_nothing() {
        let good = "Udp: InErrors\nUdp: 7\n";
        for wrong in [
            "Tcp: InErrs OutRsts\nTcp: 1\n",
            "Tcp: InErrs\nTcp: 1 2\n",
            "Tcp: InErrs\nTcp: x\n",
            "Tcp: InErrs\nTcp: -\n",
            "Tcp: InErrs\nTcp: --1\n",
            "Tcp: InErrs\n",
            "Tcp InErrs\nTcp: InErrs\n",
        ] {
            let (seen, outcome) = statistics(&format!("{wrong}{good}"));
            assert_eq!(outcome, Err(SampleError::Malformed), "{wrong}");
            assert_eq!(seen, [("netstat_Udp_InErrors".to_owned(), Some(7))], "{wrong}");
        }
    }

    #[test]
    fn names_without_numbers_are_half_a_text() {
        assert_eq!(statistics("Udp: InErrors\n"), (vec![], Err(SampleError::Truncated)));
        assert_eq!(statistics("Udp: InErrors\nUdp: 7"), (vec![], Err(SampleError::Truncated)));
    }
}
