//! `/sys/devices/system/node/`: memory of each node of a machine whose memory is in several places.
//!
//! ```text
//! online:         0-1
//! node0/meminfo:  Node 0 MemTotal:       24684084 kB
//!                 Node 0 HugePages_Total:     0
//! node0/numastat: numa_hit 305736208
//!                 local_node 305691066
//! ```
//!
//! Nodes come and go where memory can be plugged in, and `online` says which there are.

use std::path::{Path, PathBuf};

use crate::record::{self, Class, object_id};

use super::columns::Columns;
use super::meminfo::{self, Amount};
use super::rows::Rows;
use super::scan::{Scanner, each_line, first_line};
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

/// Most nodes that are followed; the kernel can be built for as many.
const NODES_MAX: usize = 1024;

/// Most lines of a node's file that are followed.
const LINES_MAX: usize = 128;

/// Parses the text of `online` and gives the number of each node, in order, to `each`.
///
/// # Errors
///
/// When the line is not complete, is no list of numbers that grow, or names more than 1024.
pub fn parse_online(text: &[u8], mut each: impl FnMut(u32)) -> Result<(), SampleError> {
    let mut numbers = first_line(text, |scan| {
        let ranges = scan.token()?.split(|&byte| byte == b',');
        let mut next = 0;
        let mut nodes = 0;
        for range in ranges.clone() {
            let (first, last) = self::range(range)?;
            nodes += u64::from(last.checked_sub(first).ok_or(SampleError::Malformed)?) + 1;
            if u64::from(first) < next {
                return Err(SampleError::Malformed);
            }
            next = u64::from(last) + 1;
        }
        if nodes > NODES_MAX as u64 { Err(SampleError::TooMany) } else { Ok(ranges) }
    })?;
    numbers.try_for_each(|range| {
        let (first, last) = self::range(range)?;
        (first..=last).for_each(&mut each);
        Ok(())
    })
}

/// `7` or `3-5`.
fn range(text: &[u8]) -> Result<(u32, u32), SampleError> {
    let number = |text: &[u8]| {
        let digits = text.iter().all(u8::is_ascii_digit);
        let number = str::from_utf8(text).ok().filter(|_| digits)?;
        number.parse().ok()
    };
    let mut ends = text.splitn(2, |&byte| byte == b'-').map(number);
    let first = ends.next().flatten().ok_or(SampleError::Malformed)?;
    let last = ends.next().unwrap_or(Some(first)).ok_or(SampleError::Malformed)?;
    Ok((first, last))
}

/// Parses the text of a node's `meminfo` and gives what each line says to `each`.
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn parse_meminfo<'a>(text: &'a [u8], each: impl FnMut(Amount<'a>)) -> Result<(), SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    let line = |scan: &mut Scanner<'a>| {
        if scan.token()? != b"Node" {
            return Err(SampleError::Malformed);
        }
        scan.number()?;
        meminfo::line(scan)
    };
    each_line(text, line, each)
}

/// Parses the text of a node's `numastat` and gives name and number of each line to `each`.
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn parse_numastat<'a>(
    text: &'a [u8],
    mut each: impl FnMut(&'a [u8], u64),
) -> Result<(), SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    let line = |scan: &mut Scanner<'a>| Ok(Some((scan.token()?, scan.number()?)));
    each_line(text, line, |(name, number)| each(name, number))
}

/// One node.
struct Node {
    number: u32,
    object: String,
    meminfo: TextFile,
    numastat: TextFile,
    amounts: Rows<1>,
    events: Rows<1>,
}

impl Node {
    fn new(dir: &Path, number: u32) -> Self {
        let file = |name| TextFile::new(dir.join(format!("node{number}/{name}")), Shown::Whole);
        Self {
            number,
            object: object_id(Class::Numa, number.to_string().as_bytes()),
            meminfo: file("meminfo"),
            numastat: file("numastat"),
            amounts: Rows::patient(LINES_MAX),
            events: Rows::patient(LINES_MAX),
        }
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { object, meminfo, numastat, amounts, events, .. } = self;
        let outcome = meminfo.read().and_then(|text| {
            amounts.begin();
            let parsed = parse_meminfo(text, |amount| {
                let row = amounts.row(amount.name, amount.bytes.into(), columns, |columns| {
                    add(object, &meminfo::metric(amount), columns)
                });
                if let Some(row) = row {
                    row.put(&[amount.value], columns);
                }
            });
            parsed.and(amounts.finish(parsed.is_ok(), columns))
        });
        outcome.and(numastat.read().and_then(|text| {
            events.begin();
            let parsed = parse_numastat(text, |name, number| {
                let row =
                    events.row(name, 0, columns, |columns| add(object, &metric(name), columns));
                if let Some(row) = row {
                    row.put(&[number], columns);
                }
            });
            parsed.and(events.finish(parsed.is_ok(), columns))
        }))
    }

    /// Ends all its series.
    fn end(mut self, columns: &mut Columns<'_>) {
        for rows in [&mut self.amounts, &mut self.events] {
            rows.end(columns);
        }
    }
}

/// A column for a name of the kernel's, if it is one that a node has.
fn add(object: &str, metric: &str, columns: &mut Columns<'_>) -> super::rows::Registered<1> {
    record::metric(Class::Numa, metric).ok_or(SampleError::Malformed)?;
    Ok(([columns.add(object, metric)?], 0))
}

/// The metric's name: `numa_hit` becomes `numastat_numa_hit`.
fn metric(name: &[u8]) -> String {
    let word = |&byte: &u8| if byte.is_ascii_alphanumeric() { char::from(byte) } else { '_' };
    "numastat_".chars().chain(name.iter().map(word)).collect()
}

/// The source.
pub(super) struct Numa {
    dir: PathBuf,
    online: TextFile,
    /// In the order of their numbers.
    nodes: Vec<Node>,
}

impl Numa {
    pub(super) fn new(roots: &Roots) -> Self {
        let dir = roots.sysfs.join("devices/system/node");
        let online = TextFile::new(dir.join("online"), Shown::Whole);
        Self { dir, online, nodes: Vec::new() }
    }
}

impl Source for Numa {
    fn path(&self) -> &Path {
        &self.dir
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { dir, online, nodes } = self;
        let mut next = 0;
        let mut outcome = online.read().and_then(|text| {
            parse_online(text, |number| {
                // Both lists are in order.
                while nodes.get(next).is_some_and(|node| node.number < number) {
                    nodes.remove(next).end(columns);
                }
                if nodes.get(next).is_none_or(|node| node.number != number) {
                    nodes.insert(next, Node::new(dir, number));
                }
                next += 1;
            })
        });
        if outcome.is_ok() {
            nodes.drain(next..).for_each(|node| node.end(columns));
        }
        for node in nodes {
            let turn = node.turn(columns);
            outcome = outcome.and(turn);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn online(text: &str) -> Result<Vec<u32>, SampleError> {
        let mut nodes = Vec::new();
        parse_online(text.as_bytes(), |number| nodes.push(number))?;
        Ok(nodes)
    }

    #[test]
    fn lists_of_nodes_are_understood() {
        assert_eq!(online("0\n"), Ok(vec![0]));
        assert_eq!(online("0-1,4,8-9\n"), Ok(vec![0, 1, 4, 8, 9]));
        assert_eq!(online("0-1023\n").map(|nodes| nodes.len()), Ok(NODES_MAX));
        assert_eq!(online("0-1024\n"), Err(SampleError::TooMany));
        assert_eq!(online("0-4294967295\n"), Err(SampleError::TooMany));
        for wrong in ["\n", "x\n", "1-\n", "-1\n", "2-1\n", "1,1\n", "0-2,1\n", "1,\n", "+1\n"] {
            assert_eq!(online(wrong), Err(SampleError::Malformed), "{wrong}");
        }
        for end in 1.."0-1,4,8-9\n".len() {
            assert_eq!(online(&"0-1,4,8-9\n"[..end]), Err(SampleError::Truncated));
        }
    }

    #[test]
    fn bad_lines_cost_only_themselves() {
        let mut seen = Vec::new();
        let text = b"Node 0 MemTotal:  5 kB\nMemFree: 1 kB\nNode 0 HugePages_Surp: 2\nNode 0 X: 3";
        let outcome = parse_meminfo(text, |amount| seen.push(amount.value));
        assert_eq!((outcome, &seen[..]), (Err(SampleError::Malformed), &[5 * 1024, 2][..]));
        seen.clear();
        let outcome =
            parse_numastat(b"numa_hit 7\nnuma_miss\nlocal_node 8", |_, number| seen.push(number));
        assert_eq!((outcome, &seen[..]), (Err(SampleError::Malformed), &[7][..]));
    }
}
