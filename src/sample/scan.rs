//! Reads tokens and numbers from the bytes of a kernel file.
//!
//! Nothing here allocates, and nothing panics whatever the bytes are. Two rules keep a text that
//! was cut short from becoming a wrong value: a number counts only when a blank or the line's end
//! follows it, and a line counts only when its newline was there ([`each_line`]).

use super::SampleError;

/// Longest name of a line or a device that is believed, in bytes. The kernel's own limits (16 for
/// an interface, 32 for a disk) are far below.
pub(super) const NAME_BYTES_MAX: usize = 128;

/// A place in a text. It moves forward within a line and never past the line's end.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// The beginning of `text`.
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// The next byte, which may be the newline.
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// What is left of the line, without its newline.
    #[inline]
    pub(super) fn line(&self) -> &'a [u8] {
        let end = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
        self.rest.get(..end).unwrap_or_default()
    }

    /// Whether nothing but blanks is left of the line.
    #[inline]
    pub(super) fn at_line_end(&mut self) -> bool {
        self.blanks();
        matches!(self.peek(), None | Some(b'\n'))
    }

    /// Passes blanks.
    #[inline]
    pub(super) fn blanks(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Passes exactly `byte`.
    #[inline]
    pub(super) fn pass(&mut self, byte: u8) -> Result<(), SampleError> {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte && byte != b'\n' => {
                self.rest = rest;
                Ok(())
            }
            Some(_) => Err(SampleError::Malformed),
            None => Err(SampleError::Truncated),
        }
    }

    /// The next run of bytes that are not blank; a blank or the line's end must follow.
    #[inline]
    pub(super) fn token(&mut self) -> Result<&'a [u8], SampleError> {
        self.blanks();
        self.name_until(is_gap)
    }

    /// The same of up to `limit` bytes, for what may be longer than a name.
    pub(super) fn token_within(&mut self, limit: usize) -> Result<&'a [u8], SampleError> {
        self.blanks();
        let token = self.run_within(limit)?;
        if token.is_empty() { Err(SampleError::Malformed) } else { Ok(token) }
    }

    /// The bytes from here on that are not blank, up to `limit` of them and maybe none; a blank or
    /// the line's end must follow.
    pub(super) fn run_within(&mut self, limit: usize) -> Result<&'a [u8], SampleError> {
        let looked_at = self.rest.get(..=limit).unwrap_or(self.rest);
        match looked_at.iter().position(|&byte| is_gap(byte)) {
            Some(end) => {
                let (run, rest) = self.rest.split_at(end);
                self.rest = rest;
                Ok(run)
            }
            None if looked_at.len() <= limit => Err(SampleError::Truncated),
            None => Err(SampleError::Malformed),
        }
    }

    /// The bytes up to `delimiter`, which must stand on this line and is passed.
    #[inline]
    pub(super) fn name_before(&mut self, delimiter: u8) -> Result<&'a [u8], SampleError> {
        self.blanks();
        let name = self.name_until(|byte| byte == delimiter || byte == b'\n')?;
        self.pass(delimiter)?;
        Ok(name)
    }

    /// The bytes up to the last `delimiter` on this line, which is passed.
    #[inline]
    pub(super) fn name_before_last(&mut self, delimiter: u8) -> Result<&'a [u8], SampleError> {
        self.blanks();
        let end = memchr::memrchr(delimiter, self.line()).ok_or(SampleError::Malformed)?;
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(SampleError::Malformed);
        }
        self.rest = rest;
        self.pass(delimiter)?;
        Ok(name)
    }

    /// The next number; a blank or the line's end must follow.
    #[inline]
    pub(super) fn number(&mut self) -> Result<u64, SampleError> {
        self.blanks();
        self.digits(is_gap)
    }

    /// The next number and the `delimiter` that must follow it at once.
    #[inline]
    pub(super) fn number_before(&mut self, delimiter: u8) -> Result<u64, SampleError> {
        self.blanks();
        let value = self.digits(|byte| byte == delimiter)?;
        self.pass(delimiter)?;
        Ok(value)
    }

    /// The next number with or without a fraction; a blank or the line's end must follow.
    ///
    /// The result is the `f64` nearest to the decimal number, as `str::parse` gives it.
    #[inline]
    pub(super) fn decimal(&mut self) -> Result<f64, SampleError> {
        // Up to here an integer and a power of ten are exact as f64, and so the quotient of the
        // two is the nearest one.
        const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
        const POWERS: [f64; 7] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

        self.blanks();
        let text = self.rest;
        let whole = self.digits(|byte| byte == b'.' || is_gap(byte))?;
        if self.peek() != Some(b'.') {
            return if whole <= EXACT { Ok(whole as f64) } else { nearest(text, self.rest) };
        }
        self.pass(b'.')?;
        let fraction_text = self.rest;
        let fraction = self.digits(is_gap)?;
        let places = fraction_text.len() - self.rest.len();
        let exact = POWERS.get(places).and_then(|&power| {
            let digits = whole.checked_mul(power as u64)?.checked_add(fraction)?;
            (digits <= EXACT).then(|| digits as f64 / power)
        });
        exact.map_or_else(|| nearest(text, self.rest), Ok)
    }

    /// Passes the rest of the line and its newline; false if the text ends before one.
    #[inline]
    fn end_line(&mut self) -> bool {
        if let [b'\n', rest @ ..] = self.rest {
            self.rest = rest;
            return true;
        }
        let end = memchr::memchr(b'\n', self.rest);
        self.rest = end.and_then(|end| self.rest.get(end + 1..)).unwrap_or_default();
        end.is_some()
    }

    /// A name that is neither empty nor too long, up to the first byte that `ends` it.
    #[inline]
    fn name_until(&mut self, ends: impl Fn(u8) -> bool) -> Result<&'a [u8], SampleError> {
        let looked_at = self.rest.get(..=NAME_BYTES_MAX).unwrap_or(self.rest);
        match looked_at.iter().position(|&byte| ends(byte)) {
            Some(end) if end > 0 => {
                let (name, rest) = self.rest.split_at(end);
                self.rest = rest;
                Ok(name)
            }
            None if looked_at.len() <= NAME_BYTES_MAX => Err(SampleError::Truncated),
            _ => Err(SampleError::Malformed),
        }
    }

    /// At least one digit, up to the first byte that `ends` the number, which is not passed.
    #[inline]
    fn digits(&mut self, ends: impl Fn(u8) -> bool) -> Result<u64, SampleError> {
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                if index == 0 || !ends(byte) {
                    return Err(SampleError::Malformed);
                }
                self.rest = self.rest.get(index..).unwrap_or_default();
                return Ok(value);
            }
            value = value
                .checked_mul(10)
                .and_then(|value| value.checked_add(u64::from(digit)))
                .ok_or(SampleError::TooLarge)?;
        }
        Err(SampleError::Truncated)
    }
}

#[inline]
fn is_gap(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n')
}

/// The number in `text` up to `rest`, by the standard library: exact for any count of digits.
#[cold]
fn nearest(text: &[u8], rest: &[u8]) -> Result<f64, SampleError> {
    let number = text.get(..text.len() - rest.len()).unwrap_or_default();
    let number = str::from_utf8(number).ok().and_then(|number| number.parse().ok());
    number.ok_or(SampleError::Malformed)
}

/// Parses every line of `text` with `line` and gives what it yields to `each`.
///
/// A line that cannot be parsed is passed over and its error kept; the lines after it count. What
/// `line` made of a line without a newline is thrown away.
///
/// # Errors
///
/// The first one of any line; [`SampleError::Truncated`] when the last line has no newline.
#[inline]
pub(super) fn each_line<'a, T>(
    text: &'a [u8],
    mut line: impl FnMut(&mut Scanner<'a>) -> Result<Option<T>, SampleError>,
    mut each: impl FnMut(T),
) -> Result<(), SampleError> {
    let mut outcome = Ok(());
    let mut scan = Scanner::new(text);
    while !scan.rest.is_empty() {
        let parsed = line(&mut scan);
        if !scan.end_line() {
            return outcome.and(Err(SampleError::Truncated));
        }
        match parsed {
            Ok(Some(value)) => each(value),
            Ok(None) => {}
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    outcome
}

/// Parses the first line of `text` with `line`.
///
/// # Errors
///
/// That of `line`; [`SampleError::Truncated`] when the line has no newline;
/// [`SampleError::Empty`] when there is no text.
pub(super) fn first_line<'a, T>(
    text: &'a [u8],
    line: impl FnOnce(&mut Scanner<'a>) -> Result<T, SampleError>,
) -> Result<T, SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    let mut scan = Scanner::new(text);
    let parsed = line(&mut scan);
    if scan.end_line() { parsed } else { Err(SampleError::Truncated) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Result<u64, SampleError> {
        Scanner::new(text.as_bytes()).number()
    }

    fn decimal(text: &str) -> Result<f64, SampleError> {
        Scanner::new(text.as_bytes()).decimal()
    }

    #[test]
    fn number_needs_an_end() {
        assert_eq!(number(" 0123 "), Ok(123));
        assert_eq!(number("18446744073709551615\n"), Ok(u64::MAX));
        assert_eq!(number("18446744073709551616\n"), Err(SampleError::TooLarge));
        assert_eq!(number("12"), Err(SampleError::Truncated));
        for wrong in ["\n", "x\n", "-1\n", "1x\n", "1.5\n", "\0\n"] {
            assert_eq!(number(wrong), Err(SampleError::Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn decimal_is_the_nearest_double() {
        for text in [
            "0.12",
            "1414.74",
            "7",
            "0.1",
            "9007199254740993.25",
            "0.3333333333333333333",
            "9007199254740993",
            "99999999.99",
        ] {
            assert_eq!(decimal(&format!("{text}\n")), Ok(text.parse().expect("a number")));
        }
        for wrong in [".5\n", "5.\n", "1.2.3\n", "nan\n", "1e5\n", "-1.0\n"] {
            assert_eq!(decimal(wrong), Err(SampleError::Malformed), "{wrong:?}");
        }
        assert_eq!(decimal("1.2"), Err(SampleError::Truncated));
        assert_eq!(decimal("1."), Err(SampleError::Truncated));
    }

    #[test]
    fn scanner_does_not_leave_its_line() {
        let mut scan = Scanner::new(b"one\ntwo\n");
        assert_eq!(scan.token(), Ok(&b"one"[..]));
        assert_eq!(scan.token(), Err(SampleError::Malformed));
        assert_eq!(scan.number(), Err(SampleError::Malformed));
        assert_eq!(scan.name_before(b'w'), Err(SampleError::Malformed));
        assert_eq!(scan.pass(b'\n'), Err(SampleError::Malformed));
        assert!(scan.at_line_end());
        assert!(scan.end_line());
        assert_eq!(scan.line(), b"two");
    }

    #[test]
    fn names_have_a_limit() {
        let mut text = vec![b'x'; NAME_BYTES_MAX];
        text.push(b' ');
        assert_eq!(Scanner::new(&text).token().map(<[u8]>::len), Ok(NAME_BYTES_MAX));
        text.insert(0, b'x');
        assert_eq!(Scanner::new(&text).token(), Err(SampleError::Malformed));
    }

    #[test]
    fn bad_line_costs_only_itself() {
        let mut seen = Vec::new();
        let outcome =
            each_line(b"1\nx\n\n22 more\n3", |scan| scan.number().map(Some), |n| seen.push(n));
        assert_eq!(outcome, Err(SampleError::Malformed));
        assert_eq!(seen, [1, 22]);
        let outcome = each_line(b"1\n3", |scan| scan.number().map(Some), |_| {});
        assert_eq!(outcome, Err(SampleError::Truncated));
    }

    proptest! {
        #[test]
        fn decimal_agrees_with_the_standard_library(whole: u64, fraction in "[0-9]{1,25}") {
            let text = format!("{whole}.{fraction}");
            match decimal(&format!("{text}\n")) {
                Ok(value) => prop_assert_eq!(value, text.parse::<f64>().expect("a number")),
                Err(error) => {
                    prop_assert_eq!(error, SampleError::TooLarge);
                    prop_assert!(fraction.parse::<u64>().is_err());
                }
            }
        }

        #[test]
        fn number_agrees_with_the_standard_library(text in "[0-9]{1,22}") {
            prop_assert_eq!(number(&format!("{text} ")).ok(), text.parse().ok());
        }
    }
}
