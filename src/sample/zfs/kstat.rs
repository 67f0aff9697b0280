//! `/proc/spl/kstat/zfs/POOL/*`: what ZFS says of a pool and of its mounted datasets.
//!
//! A dataset that is mounted has a file `objset-0xID`; the ID is another after each import:
//!
//! ```text
//! 36 1 0x01 7 2160 5214787391 73405258558961
//! name                            type data
//! dataset_name                    7    tank/store
//! writes                          4    409570
//! nwritten                        4    2063419969
//! reads                           4    22108699
//! nread                           4    63067280992
//! nunlinks                        4    13849
//! nunlinked                       4    13848
//! ```
//!
//! The first line is that of every kstat: its number, its type (1 is a list of names), flags, how
//! many rows it has, bytes, and when it was made and read. Newer versions have more rows.
//!
//! `io` counts what the whole pool did. Times are in nanoseconds; `w` stands for waiting and `r`
//! for running, not for writes and reads. OpenZFS 2.1 and later do not have it:
//!
//! ```text
//! 25 3 0x00 1 80 21130673591 18749909907907817
//! nread    nwritten reads    writes   wtime    wlentime wupdate  rtime    rlentime rupdate  wcnt     rcnt
//! 38244616748032 9368704463360 440454478 103422825 193312306236072 555451635445109428 18749777788906500 366823432061758 3374994633964914 18749778029955847 0        0
//! ```
//!
//! `state` is one word, `ONLINE`, and has no first line.

use super::super::SampleError;
use super::super::scan::{Scanner, first_line};

/// Types of a kstat: a list of names with values, and the numbers of a device.
const TYPE_NAMED: u64 = 1;
const TYPE_IO: u64 = 3;

/// What was read from a dataset and written to it since it was mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatasetIo {
    /// Calls that read.
    pub reads: u64,
    /// Calls that wrote.
    pub writes: u64,
    /// Bytes read.
    pub nread: u64,
    /// Bytes written.
    pub nwritten: u64,
}

/// What the file of a dataset says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objset<'a> {
    /// Name of the dataset.
    pub dataset: &'a [u8],
    /// What was read and written.
    pub io: DatasetIo,
}

/// Parses the text of an `objset-0xID` file. Nothing behind its last row is looked at.
///
/// # Errors
///
/// [`SampleError::Truncated`] when there are fewer rows than the first line says;
/// [`SampleError::Malformed`] when one of the five rows above is not among them.
pub fn objset(text: &[u8]) -> Result<Objset<'_>, SampleError> {
    let mut lines = Lines::of(text)?;
    let rows = lines.next(|scan| header(scan, TYPE_NAMED))?;
    lines.next(|scan| match [scan.token()?, scan.token()?, scan.token()?] {
        [b"name", b"type", b"data"] => Ok(()),
        _ => Err(SampleError::Malformed),
    })?;
    let mut dataset = None;
    let mut numbers = [None; 4];
    for _ in 0..rows {
        lines.next(|scan| {
            let name = scan.token()?;
            scan.number()?;
            if name == b"dataset_name" {
                scan.blanks();
                // A name may have spaces in it, and this is the last thing on its line.
                dataset = Some(scan.line());
            } else if let Some(index) = ROWS.iter().position(|row| *row == name) {
                numbers[index] = Some(scan.number()?);
            }
            Ok(())
        })?;
    }
    let (Some(dataset), [Some(reads), Some(writes), Some(nread), Some(nwritten)]) =
        (dataset.filter(|name| !name.is_empty()), numbers)
    else {
        return Err(SampleError::Malformed);
    };
    Ok(Objset { dataset, io: DatasetIo { reads, writes, nread, nwritten } })
}

/// The rows of a dataset that are numbers.
const ROWS: [&[u8]; 4] = [b"reads", b"writes", b"nread", b"nwritten"];

/// What a pool did since it was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolIo {
    /// Bytes read.
    pub nread: u64,
    /// Bytes written.
    pub nwritten: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Time in which requests waited, in nanoseconds.
    pub wtime_ns: u64,
    /// The same times the number of those that waited.
    pub wlentime_ns: u64,
    /// Time in which requests were being carried out, in nanoseconds.
    pub rtime_ns: u64,
    /// The same times the number of those that were.
    pub rlentime_ns: u64,
    /// Requests that wait now.
    pub wcnt: u64,
    /// Requests that are being carried out now.
    pub rcnt: u64,
}

/// Parses the text of the file `io` of a pool. Nothing behind its row of numbers is looked at.
///
/// # Errors
///
/// When the text is cut short or not of this form, or lacks one of the numbers.
pub fn pool_io(text: &[u8]) -> Result<PoolIo, SampleError> {
    let mut lines = Lines::of(text)?;
    lines.next(|scan| header(scan, TYPE_IO))?;
    let mut names = lines.next(|scan| Ok(scan.clone()))?;
    let numbers = lines.next(|scan| {
        let mut numbers = [None; COLUMNS.len()];
        while !names.at_line_end() {
            let (name, number) = (names.token()?, scan.number()?);
            if let Some(index) = COLUMNS.iter().position(|column| *column == name) {
                numbers[index] = Some(number);
            }
        }
        Ok(numbers)
    })?;
    let [
        Some(nread),
        Some(nwritten),
        Some(reads),
        Some(writes),
        Some(wtime_ns),
        Some(wlentime_ns),
        Some(rtime_ns),
        Some(rlentime_ns),
        Some(wcnt),
        Some(rcnt),
    ] = numbers
    else {
        return Err(SampleError::Malformed);
    };
    Ok(PoolIo {
        nread,
        nwritten,
        reads,
        writes,
        wtime_ns,
        wlentime_ns,
        rtime_ns,
        rlentime_ns,
        wcnt,
        rcnt,
    })
}

/// The columns of a pool's numbers that are of use.
const COLUMNS: [&[u8]; 10] = [
    b"nread",
    b"nwritten",
    b"reads",
    b"writes",
    b"wtime",
    b"wlentime",
    b"rtime",
    b"rlentime",
    b"wcnt",
    b"rcnt",
];

/// Parses the text of the file `state` of a pool.
///
/// # Errors
///
/// When the text is cut short or is not one word on a line.
pub fn pool_state(text: &[u8]) -> Result<&[u8], SampleError> {
    first_line(text, |scan| {
        let state = scan.token()?;
        if scan.at_line_end() { Ok(state) } else { Err(SampleError::Malformed) }
    })
}

/// The first line of a kstat of type `wanted`: how many rows it has.
fn header(scan: &mut Scanner<'_>, wanted: u64) -> Result<u64, SampleError> {
    scan.number()?;
    let kind = scan.number()?;
    scan.token()?;
    let rows = scan.number()?;
    if kind == wanted { Ok(rows) } else { Err(SampleError::Malformed) }
}

/// The lines of a text that must all be there and be right.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    fn of(text: &'a [u8]) -> Result<Self, SampleError> {
        if text.is_empty() { Err(SampleError::Empty) } else { Ok(Self { rest: text }) }
    }

    /// What `parse` makes of the next line.
    fn next<T>(
        &mut self,
        parse: impl FnOnce(&mut Scanner<'a>) -> Result<T, SampleError>,
    ) -> Result<T, SampleError> {
        let end = memchr::memchr(b'\n', self.rest).map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        first_line(line, parse).map_err(|error| match error {
            // The text as a whole had something.
            SampleError::Empty => SampleError::Truncated,
            error => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJSET: &str = "\
36 1 0x01 7 2160 5214787391 73405258558961
name                            type data
dataset_name                    7    tank/store
writes                          4    409570
nwritten                        4    2063419969
reads                           4    22108699
nread                           4    63067280992
nunlinks                        4    13849
nunlinked                       4    13848
";

    const IO: &str = "\
25 3 0x00 1 80 21130673591 18749909907907817
nread    nwritten reads    writes   wtime    wlentime wupdate  rtime    rlentime rupdate  wcnt     rcnt    \n\
38244616748032 9368704463360 440454478 103422825 5 6 7 8 9 10 11       12      \n";

    #[test]
    fn dataset_says_what_it_read_and_wrote() {
        let io = DatasetIo {
            reads: 22_108_699,
            writes: 409_570,
            nread: 63_067_280_992,
            nwritten: 2_063_419_969,
        };
        assert_eq!(objset(OBJSET.as_bytes()), Ok(Objset { dataset: b"tank/store", io }));
        let spaced = OBJSET.replace("tank/store", "my tank/a b  c");
        assert_eq!(objset(spaced.as_bytes()), Ok(Objset { dataset: b"my tank/a b  c", io }));
        let newer = OBJSET.replace("0x01 7", "0x01 8") + "zil_commit_count                4    9\n";
        assert_eq!(objset(newer.as_bytes()), Ok(Objset { dataset: b"tank/store", io }));
        let behind = format!("{OBJSET}writes 4 1\nnonsense");
        assert_eq!(objset(behind.as_bytes()), Ok(Objset { dataset: b"tank/store", io }));
    }

    #[test]
    fn pool_says_what_it_did() {
        let io = PoolIo {
            nread: 38_244_616_748_032,
            nwritten: 9_368_704_463_360,
            reads: 440_454_478,
            writes: 103_422_825,
            wtime_ns: 5,
            wlentime_ns: 6,
            rtime_ns: 8,
            rlentime_ns: 9,
            wcnt: 11,
            rcnt: 12,
        };
        assert_eq!(pool_io(IO.as_bytes()), Ok(io));
        assert_eq!(pool_state(b"ONLINE\n"), Ok(&b"ONLINE"[..]));
    }

    #[test]
    fn text_that_is_cut_anywhere_is_an_error() {
        for cut in 0..OBJSET.len() {
            let error = if cut == 0 { SampleError::Empty } else { SampleError::Truncated };
            assert_eq!(objset(&OBJSET.as_bytes()[..cut]), Err(error), "after {cut}");
        }
        for cut in 0..IO.len() {
            let error = if cut == 0 { SampleError::Empty } else { SampleError::Truncated };
            assert_eq!(pool_io(&IO.as_bytes()[..cut]), Err(error), "after {cut}");
        }
        for cut in 0..7 {
            assert!(pool_state(&b"ONLINE\n"[..cut]).is_err());
        }
    }

    #[test]
    fn other_texts_are_malformed() {
        for (what, with) in [
            ("0x01 7", "0x01 x"),
            ("36 1 ", "36 2 "),
            ("type", "kind"),
            ("reads ", "rends "),
            ("dataset_name", "dataset_nome"),
            ("tank/store", ""),
            ("409570", "-409570"),
            ("409570", ""),
        ] {
            let text = OBJSET.replacen(what, with, 1);
            assert_eq!(objset(text.as_bytes()), Err(SampleError::Malformed), "{what} {with}");
        }
        for (what, with) in [("25 3 ", "25 1 "), ("reads ", "rends "), (" 12 ", " "), ("5 6", "x")]
        {
            let text = IO.replacen(what, with, 1);
            assert_eq!(pool_io(text.as_bytes()), Err(SampleError::Malformed), "{what} {with}");
        }
        let large = OBJSET.replace("409570", "18446744073709551616");
        assert_eq!(objset(large.as_bytes()), Err(SampleError::TooLarge));
        assert_eq!(pool_state(b"ON LINE\n"), Err(SampleError::Malformed));
        assert_eq!(pool_state(b"\n"), Err(SampleError::Malformed));
    }
}
