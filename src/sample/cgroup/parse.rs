//! The texts of a control group's files, both versions'.

use super::super::SampleError;
use super::super::scan::{Scanner, each_line, first_line};

/// A line of a file of keys: `cpu.stat`, `memory.events`, `cpuacct.stat`, `memory.oom_control`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its number.
    pub value: u64,
}

/// Parses a file of keys and gives what each line says to `each`.
///
/// ```text
/// usage_usec 415563
/// user_usec 241000
/// ```
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn keyed<'a>(text: &'a [u8], each: impl FnMut(Keyed<'a>)) -> Result<(), SampleError> {
    let line = |scan: &mut Scanner<'a>| {
        let key = scan.token()?;
        Ok(Some(Keyed { key, value: scan.number()? }))
    };
    each_line(not_empty(text)?, line, each)
}

/// Parses a file of one number, such as `memory.current`; `None` where it says `max`: no limit.
///
/// The first version has no such word. Its largest number of whole pages stands for it.
///
/// # Errors
///
/// That of the line.
pub fn amount(text: &[u8]) -> Result<Option<u64>, SampleError> {
    /// The largest page that Linux has.
    const PAGE_BYTES_MAX: u64 = 256 << 10;
    first_line(text, |scan| {
        if scan.peek() == Some(b'm') {
            return if scan.token()? == b"max" { Ok(None) } else { Err(SampleError::Malformed) };
        }
        let value = scan.number()?;
        Ok((value <= i64::MAX as u64 - PAGE_BYTES_MAX).then_some(value))
    })
}

/// What a line of `io.stat` says of a device: bytes read, written and discarded, then the numbers of
/// these requests.
pub type DeviceIo = [u64; 6];

/// Parses `io.stat` and gives what each line says to `each`.
///
/// ```text
/// 8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0
/// ```
///
/// There are kernels that print a device without any number, and forget the end of that line: what
/// is not `key=number` is passed over.
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn io_stat(text: &[u8], each: impl FnMut(DeviceIo)) -> Result<(), SampleError> {
    let line = |scan: &mut Scanner<'_>| {
        let mut numbers = [0; 6];
        let mut given = false;
        while !scan.at_line_end() {
            let word = scan.token()?;
            let Some(at) = memchr::memchr(b'=', word) else { continue };
            let (key, value) = word.split_at(at);
            let index = match key {
                b"rbytes" => 0,
                b"wbytes" => 1,
                b"dbytes" => 2,
                b"rios" => 3,
                b"wios" => 4,
                b"dios" => 5,
                _ => continue,
            };
            numbers[index] = decimal_digits(value.get(1..).unwrap_or_default())?;
            given = true;
        }
        Ok(given.then_some(numbers))
    };
    // A group that has done nothing has no line, and the file no text.
    each_line(text, line, each)
}

/// What a line of `blkio.throttle.io_service_bytes` or `io_serviced` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockIo {
    /// 0 for reads, 1 for writes, 2 for discards.
    pub operation: usize,
    /// Bytes or requests.
    pub value: u64,
}

/// Parses a file of the first version's block devices and gives what each line says to `each`.
///
/// ```text
/// 8:16 Read 1459200
/// 8:16 Write 314773504
/// 8:16 Sync 314773504
/// 8:16 Async 1459200
/// 8:16 Discard 0
/// 8:16 Total 316232704
/// Total 316232704
/// ```
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn block_io(text: &[u8], each: impl FnMut(BlockIo)) -> Result<(), SampleError> {
    let line = |scan: &mut Scanner<'_>| {
        if scan.token()? == b"Total" {
            return scan.number().map(|_| None);
        }
        let operation = match scan.token()? {
            b"Read" => 0,
            b"Write" => 1,
            b"Discard" => 2,
            _ => return Ok(None),
        };
        Ok(Some(BlockIo { operation, value: scan.number()? }))
    };
    each_line(text, line, each)
}

/// What a line of a pressure file says of the whole time: whether all tasks were held up and not
/// just some, and for how many microseconds.
pub type StallTotal = (bool, u64);

/// Parses a pressure file and gives the totals to `each`; the averages can be computed from these.
///
/// ```text
/// some avg10=0.00 avg60=0.13 avg300=0.56 total=7903185
/// full avg10=0.00 avg60=0.00 avg300=0.00 total=0
/// ```
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn stall_totals(text: &[u8], each: impl FnMut(StallTotal)) -> Result<(), SampleError> {
    let line = |scan: &mut Scanner<'_>| {
        let full = match scan.token()? {
            b"some" => false,
            b"full" => true,
            _ => return Ok(None),
        };
        const TOTAL: &[u8] = b"total=";
        let rest = scan.line();
        let at = memchr::memmem::find(rest, TOTAL).ok_or(SampleError::Malformed)?;
        let (before, total) = rest.split_at(at);
        if !before.ends_with(b" ") {
            return Err(SampleError::Malformed);
        }
        let total = total.get(TOTAL.len()..).unwrap_or_default();
        let end = memchr::memchr(b' ', total).unwrap_or(total.len());
        Ok(Some((full, decimal_digits(total.get(..end).unwrap_or_default())?)))
    };
    each_line(not_empty(text)?, line, each)
}

fn not_empty(text: &[u8]) -> Result<&[u8], SampleError> {
    if text.is_empty() { Err(SampleError::Empty) } else { Ok(text) }
}

/// The number that all of `digits` is.
#[inline]
fn decimal_digits(digits: &[u8]) -> Result<u64, SampleError> {
    let mut value = 0_u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(SampleError::Malformed);
        }
        let tenfold = value.checked_mul(10).ok_or(SampleError::TooLarge)?;
        value = tenfold.checked_add(digit.into()).ok_or(SampleError::TooLarge)?;
    }
    if digits.is_empty() { Err(SampleError::Malformed) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<T>(
        text: &str,
        parse: impl FnOnce(&[u8], &mut dyn FnMut(T)) -> Result<(), SampleError>,
    ) -> (Vec<T>, Result<(), SampleError>) {
        let mut found = Vec::new();
        let outcome = parse(text.as_bytes(), &mut |one| found.push(one));
        (found, outcome)
    }

    #[test]
    fn keys_have_numbers() {
        let text = b"usage_usec 415563\nnew 1 2\nbad x\nnr_periods 7\ncut 1";
        let mut found = Vec::new();
        let outcome = keyed(text, |line| found.push((line.key, line.value)));
        assert_eq!(outcome, Err(SampleError::Malformed));
        assert_eq!(found, [(&b"usage_usec"[..], 415_563), (b"new", 1), (b"nr_periods", 7)]);
        assert_eq!(keyed(b"", |_| {}), Err(SampleError::Empty));
    }

    #[test]
    fn amount_without_a_limit_is_none() {
        assert_eq!(amount(b"1024\n"), Ok(Some(1024)));
        assert_eq!(amount(b"max\n"), Ok(None));
        assert_eq!(amount(b"9223372036854771712\n"), Ok(None), "pages of 4 KiB");
        assert_eq!(amount(b"9223372036854710272\n"), Ok(None), "pages of 64 KiB");
        for (wrong, error) in [
            ("", SampleError::Empty),
            ("102", SampleError::Truncated),
            ("max", SampleError::Truncated),
            ("maximum\n", SampleError::Malformed),
            ("-1\n", SampleError::Malformed),
            ("\n", SampleError::Malformed),
        ] {
            assert_eq!(amount(wrong.as_bytes()), Err(error), "{wrong:?}");
        }
    }

    #[test]
    fn devices_of_io_stat_are_understood() {
        let text = "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=9\n\
            253:1 253:0 wios=4\n8:32 \n8:48 rbytes=\n8:64 rbytes=1x\n8:80 rbytes=7";
        let (found, outcome) = all(text, |text, each| io_stat(text, each));
        assert_eq!(found, [[1, 2, 5, 3, 4, 6], [0, 0, 0, 0, 4, 0]]);
        assert_eq!(outcome, Err(SampleError::Malformed));
        assert_eq!(io_stat(b"", |_| panic!("nothing")), Ok(()));
    }

    #[test]
    fn lines_of_block_devices_are_understood() {
        let text =
            "8:16 Read 1\n8:16 Write 2\n8:16 Sync 3\n8:16 Discard 4\n8:16 Total 9\nTotal 9\n";
        let (found, outcome) = all(text, |text, each| block_io(text, each));
        assert_eq!(outcome, Ok(()));
        let found: Vec<_> = found.iter().map(|line| (line.operation, line.value)).collect();
        assert_eq!(found, [(0, 1), (1, 2), (2, 4)]);
        let (found, outcome) = all("8:16 Read\n8:16 Write 2", |text, each| block_io(text, each));
        assert_eq!((found.len(), outcome), (0, Err(SampleError::Malformed)));
    }

    #[test]
    fn totals_of_pressure_agree_with_the_whole_reading() {
        let text = "some avg10=0.00 avg60=0.13 avg300=99.56 total=7903185\n\
            full avg10=0.10 avg60=0.20 avg300=0.30 total=3 new=x\nnone total=4\n";
        let (found, outcome) = all(text, |text, each| stall_totals(text, each));
        assert_eq!((&found[..], outcome), (&[(false, 7_903_185), (true, 3)][..], Ok(())));
        let mut slow = Vec::new();
        let whole = super::super::super::pressure::parse(text.as_bytes(), |stall| {
            slow.push((stall.full, stall.total_us));
        });
        assert_eq!((slow, whole), (found, outcome));
        for wrong in ["some avg10=0.00\n", "some total=\n", "some subtotal=1\n", "full total=1x\n"]
        {
            let outcome = stall_totals(wrong.as_bytes(), |total| panic!("{total:?}"));
            assert_eq!(outcome, Err(SampleError::Malformed), "{wrong}");
        }
    }

    #[test]
    fn line_that_is_cut_says_nothing() {
        let text = b"some avg10=0.00 avg60=0.13 avg300=99.56 total=7903185\n";
        for end in 1..text.len() {
            let outcome = stall_totals(&text[..end], |total| panic!("{total:?}"));
            assert_eq!(outcome, Err(SampleError::Truncated), "{end}");
        }
        let text = b"8:16 rbytes=1459200 wbytes=314773504\n";
        for end in 1..text.len() {
            let outcome = io_stat(&text[..end], |device| panic!("{device:?}"));
            assert_eq!(outcome, Err(SampleError::Truncated), "{end}");
        }
    }
}
