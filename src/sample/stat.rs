//! `/proc/stat`: CPU time, interrupts, context switches, forks.
//!
//! ```text
//! cpu  5942 0 2566 273493 260 0 22 9 0 0
//! cpu0 2836 0 1017 137332 18 0 7 4 0 0
//! cpu1 3106 0 1548 136161 242 0 15 5 0 0
//! intr 159640 0 0 0 26 1570 0 ...
//! ctxt 307669
//! btime 1795367200
//! processes 5333
//! procs_running 1
//! procs_blocked 0
//! softirq 122805 0 19380 4 3234 41939 0 137 31440 0 26671
//! ```
//!
//! CPU lines count ticks in the modes user, nice, system, idle, iowait, irq, softirq, steal, guest
//! and guest_nice; older kernels know fewer modes. A CPU that is off-line has no line. The `intr`
//! line goes on with one number for each interrupt there could be, thousands on a large machine.

use std::path::Path;

use crate::record::{Class, object_id};

use super::columns::Columns;
use super::fields::Fields;
use super::rows::Rows;
use super::scan::{Scanner, each_line};
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

/// Most CPUs that are followed; the kernel can be built for as many.
const CPUS_MAX: usize = 8192;

/// How many modes there are, and how few a kernel may know.
const MODES: usize = 10;
const MODES_MIN: usize = 4;

/// What a line of the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// `cpu` or `cpu0`.
    Cpu(Cpu<'a>),
    /// A line of one number that counts.
    Total(Total, u64),
}

/// The times of one CPU or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu<'a> {
    /// Its number in digits; empty for all CPUs together.
    pub number: &'a [u8],
    /// Ticks by mode, in the order of the file.
    pub ticks: [u64; MODES],
    /// How many modes the line has.
    pub modes: usize,
}

/// Which number of the whole machine a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// `ctxt`.
    ContextSwitches,
    /// The first number of `intr`.
    Interrupts,
    /// `processes`.
    Forks,
    /// `procs_running`.
    ProcsRunning,
    /// `procs_blocked`.
    ProcsBlocked,
    /// `btime`.
    BootTimeSeconds,
}

/// Parses the text of the file, its lines in any order, and gives what they say to `each`.
///
/// # Errors
///
/// The first error of any line; the other lines have been given nevertheless.
pub fn parse<'a>(text: &'a [u8], each: impl FnMut(Line<'a>)) -> Result<(), SampleError> {
    if text.is_empty() {
        return Err(SampleError::Empty);
    }
    each_line(text, line, each)
}

#[inline]
fn line<'a>(scan: &mut Scanner<'a>) -> Result<Option<Line<'a>>, SampleError> {
    let key = scan.token()?;
    if let Some(number) = key.strip_prefix(b"cpu") {
        return if number.iter().all(u8::is_ascii_digit) {
            cpu(number, scan).map(|cpu| Some(Line::Cpu(cpu)))
        } else {
            Ok(None)
        };
    }
    let total = match key {
        b"ctxt" => Total::ContextSwitches,
        b"intr" => Total::Interrupts,
        b"processes" => Total::Forks,
        b"procs_running" => Total::ProcsRunning,
        b"procs_blocked" => Total::ProcsBlocked,
        b"btime" => Total::BootTimeSeconds,
        _ => return Ok(None),
    };
    Ok(Some(Line::Total(total, scan.number()?)))
}

#[inline]
fn cpu<'a>(number: &'a [u8], scan: &mut Scanner<'a>) -> Result<Cpu<'a>, SampleError> {
    let mut cpu = Cpu { number, ticks: [0; MODES], modes: 0 };
    for ticks in &mut cpu.ticks {
        if scan.at_line_end() {
            break;
        }
        *ticks = scan.number()?;
        cpu.modes += 1;
    }
    if cpu.modes < MODES_MIN { Err(SampleError::Malformed) } else { Ok(cpu) }
}

const CPU_METRICS: [&str; MODES] = [
    "user_ticks",
    "nice_ticks",
    "system_ticks",
    "idle_ticks",
    "iowait_ticks",
    "irq_ticks",
    "softirq_ticks",
    "steal_ticks",
    "guest_ticks",
    "guest_nice_ticks",
];

const ALL_CPUS_METRICS: [&str; MODES] = [
    "cpu_user_ticks",
    "cpu_nice_ticks",
    "cpu_system_ticks",
    "cpu_idle_ticks",
    "cpu_iowait_ticks",
    "cpu_irq_ticks",
    "cpu_softirq_ticks",
    "cpu_steal_ticks",
    "cpu_guest_ticks",
    "cpu_guest_nice_ticks",
];

/// By the number of a [`Total`].
const TOTAL_METRICS: [&str; 6] = [
    "context_switches",
    "interrupts",
    "forks",
    "procs_running",
    "procs_blocked",
    "boot_time_seconds",
];

/// The source.
pub(super) struct Stat {
    file: TextFile,
    totals: Fields<6>,
    all_cpus: Fields<MODES>,
    cpus: Rows<MODES>,
}

impl Stat {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: TextFile::new(roots.procfs.join("stat"), Shown::Whole),
            totals: Fields::new("host", TOTAL_METRICS),
            all_cpus: Fields::new("host", ALL_CPUS_METRICS),
            cpus: Rows::new(CPUS_MAX),
        }
    }
}

impl Source for Stat {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { file, totals, all_cpus, cpus } = self;
        let text = file.read()?;
        totals.begin();
        all_cpus.begin();
        cpus.begin();
        let parsed = parse(text, |line| match line {
            Line::Total(total, value) => totals.put(total as usize, value, columns),
            Line::Cpu(Cpu { number: b"", ticks, modes }) => {
                all_cpus.put_all(ticks.into_iter().take(modes), columns);
            }
            Line::Cpu(Cpu { number, ticks, modes }) => {
                let row = cpus.row(number, modes as u8, columns, |columns| {
                    let object = object_id(Class::Cpu, number);
                    Ok((columns.add_all(&object, &CPU_METRICS, |mode| mode < modes)?, 0))
                });
                if let Some(row) = row {
                    row.put(&ticks, columns);
                }
            }
        });
        let parsed = parsed.and(totals.finish(columns)).and(all_cpus.finish(columns));
        // The other lines stand behind those of the CPUs: if all are there, so are the CPUs.
        parsed.and(cpus.finish(parsed.is_ok(), columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> (Vec<Line<'_>>, Result<(), SampleError>) {
        let mut lines = Vec::new();
        let outcome = parse(text.as_bytes(), |line| lines.push(line));
        (lines, outcome)
    }

    #[test]
    fn lines_of_any_order_and_age_are_understood() {
        let (lines, outcome) =
            lines("ctxt 5\ncpu7 1 2 3 4\nintr 9 0 0\ncpu  1 2 3 4 5 6 7 8 9 10 11\nnew 1 2\n");
        assert_eq!(outcome, Ok(()));
        let ticks = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        assert_eq!(
            lines,
            [
                Line::Total(Total::ContextSwitches, 5),
                Line::Cpu(Cpu { number: b"7", ticks: [1, 2, 3, 4, 0, 0, 0, 0, 0, 0], modes: 4 }),
                Line::Total(Total::Interrupts, 9),
                Line::Cpu(Cpu { number: b"", ticks, modes: 10 }),
            ]
        );
    }

    #[test]
    fn bad_lines_cost_only_themselves() {
        let text = "cpu0 1 2 3\ncpu1 1 2 3 4x\nctxt\nbtime 99999999999999999999\nprocesses 1\n";
        let (lines, outcome) = lines(text);
        assert_eq!(outcome, Err(SampleError::Malformed));
        assert_eq!(lines, [Line::Total(Total::Forks, 1)]);
    }

    #[test]
    fn line_without_newline_is_not_believed() {
        let (lines, outcome) = lines("ctxt 123\nintr 45 6");
        assert_eq!(outcome, Err(SampleError::Truncated));
        assert_eq!(lines, [Line::Total(Total::ContextSwitches, 123)]);
    }
}
