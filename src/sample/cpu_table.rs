//! The form of `/proc/softirqs` and `/proc/interrupts`: a column for each CPU.
//!
//! ```text
//!                     CPU0       CPU1
//!  36:          0     798566 PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
//! LOC:    1605426    1670405   Local timer interrupts
//! ERR:          0
//! ```
//!
//! Some lines have one number for the whole machine.

use super::SampleError;
use super::scan::{Scanner, each_line};

/// What a line says.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// What is before the colon.
    pub name: &'a [u8],
    /// What was counted on each CPU, or once.
    pub counts: Counts<'a>,
    /// Whether there is a count for each CPU of the heading, and not just one.
    pub is_by_cpu: bool,
    /// What follows the counts, without blanks around it.
    pub rest: &'a [u8],
}

/// Numbers of CPUs in digits, each with what was counted there.
#[derive(Clone, Debug)]
pub struct Counts<'a> {
    cpus: Scanner<'a>,
    counts: Scanner<'a>,
    left: usize,
}

impl<'a> Iterator for Counts<'a> {
    type Item = (&'a [u8], u64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // Both have been seen to be sound.
        Some((cpu(&mut self.cpus).ok()?, self.counts.number().ok()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Counts<'_> {}

/// Parses the text of such a file and gives each line below the heading to `each`. Before the
/// heading no line counts.
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn parse<'a>(text: &'a [u8], each: impl FnMut(Line<'a>)) -> Result<(), SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    let mut heading = None;
    let line = |scan: &mut Scanner<'a>| match &heading {
        Some((cpus, count)) => line(scan, cpus, *count).map(Some),
        None => {
            let cpus = scan.clone();
            heading = Some((cpus, count(scan)?));
            Ok(None)
        }
    };
    each_line(text, line, each)
}

/// How many CPUs the heading names: at least one, and nothing else.
fn count(scan: &mut Scanner<'_>) -> Result<usize, SampleError> {
    let mut count = 0;
    while count == 0 || !scan.at_line_end() {
        cpu(scan)?;
        count += 1;
    }
    Ok(count)
}

/// The number of the next CPU of the heading.
#[inline]
fn cpu<'a>(scan: &mut Scanner<'a>) -> Result<&'a [u8], SampleError> {
    let number = scan.token()?.strip_prefix(b"CPU").ok_or(SampleError::Malformed)?;
    let is_number = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    if is_number { Ok(number) } else { Err(SampleError::Malformed) }
}

fn line<'a>(
    scan: &mut Scanner<'a>,
    cpus: &Scanner<'a>,
    count: usize,
) -> Result<Line<'a>, SampleError> {
    let name = scan.name_before(b':')?;
    let counts = scan.clone();
    scan.number()?;
    let mut left = 1;
    while left < count && !(left == 1 && scan.at_line_end()) {
        scan.number()?;
        left += 1;
    }
    let rest = scan.line().trim_ascii();
    let counts = Counts { cpus: cpus.clone(), counts, left };
    Ok(Line { name, counts, is_by_cpu: left == count, rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = (String, Vec<(String, u64)>, String);

    fn lines(text: &str) -> (Vec<Seen>, Result<(), SampleError>) {
        let string = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut lines = Vec::new();
        let outcome = parse(text.as_bytes(), |line| {
            assert!(line.is_by_cpu || line.counts.len() == 1);
            let counts = line.counts.map(|(cpu, count)| (string(cpu), count)).collect();
            lines.push((string(line.name), counts, string(line.rest)));
        });
        (lines, outcome)
    }

    fn seen(name: &str, counts: &[(&str, u64)], rest: &str) -> Seen {
        let counts = counts.iter().map(|(cpu, count)| ((*cpu).to_owned(), *count));
        (name.to_owned(), counts.collect(), rest.to_owned())
    }

    #[test]
    fn counts_belong_to_the_cpus_of_the_heading() {
        let text = "           CPU0       CPU3\n  1:   4   5  IO-APIC  1-edge  i8042 \nERR:   6\n";
        let expected = vec![
            seen("1", &[("0", 4), ("3", 5)], "IO-APIC  1-edge  i8042"),
            seen("ERR", &[("0", 6)], ""),
        ];
        assert_eq!(lines(text), (expected, Ok(())));
        let expected = vec![seen("HI", &[("7", 1)], "")];
        assert_eq!(lines("CPU7\nHI: 1\n"), (expected, Ok(())));
    }

    #[test]
    fn bad_lines_cost_only_themselves() {
        let text =
            "CPU0 CPU1 CPU2\n1: 1 2\n2: 1 text\n3: 1 2 x\n4\n: 1 2 3\n5:\n6: 1 2 3\n7: 1 2 3";
        let expected = vec![seen("6", &[("0", 1), ("1", 2), ("2", 3)], "")];
        assert_eq!(lines(text), (expected, Err(SampleError::Malformed)));
    }

    #[test]
    fn without_its_heading_no_line_counts() {
        for heading in ["", "CPU0 CPU", "CPU0 1", "CPUx", "1: 2 3"] {
            let text = format!("{heading}\n1: 2 3\n");
            assert_eq!(lines(&text), (vec![], Err(SampleError::Malformed)), "{heading}");
        }
    }
}
