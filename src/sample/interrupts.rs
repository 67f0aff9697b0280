//! `/proc/interrupts`: how often each CPU was interrupted, by interrupt.
//!
//! ```text
//!            CPU0       CPU1
//!  24:          1          0  IO-APIC   5-edge      ACPI:Ged
//!  36:          0     798566 PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
//! LOC:    1605426    1670405   Local timer interrupts
//! ERR:          0
//! ```
//!
//! Only CPUs that are on-line have a column. What follows the counts of a numbered interrupt is its
//! controller, its number there with the way it is triggered, and the devices that asked for it; of
//! another it is a description. A few lines have one number for the whole machine.
//!
//! On a large machine nearly all counts are zero, since an interrupt goes to a few CPUs: one that has
//! not come to a CPU yet has no series there. When a count is zero again the interrupt has been given
//! to another device, and the series ends.

use std::path::Path;

use crate::record::{Class, info_metric, object_id};

use super::columns::{Column, Columns};
use super::cpu_table::{self, Line};
use super::rows::Rows;
use super::source::Source;
use super::text::{Shown, TextFile};
use super::{Roots, SampleError};

/// Most interrupts that are followed.
const INTERRUPTS_MAX: usize = 4096;

/// Most CPUs of an interrupt that are followed; the kernel can be built for as many.
const CPUS_MAX: usize = 8192;

/// Most series of counts. A record has room for eight times as many.
const SERIES_MAX: usize = 16 << 10;

/// Lines are as long as the machine has CPUs: the end of the text is found by reading on.
const LINE_BYTES_MAX: usize = 4 << 10;

/// One interrupt and its series.
struct Interrupt {
    name: Box<[u8]>,
    /// By CPU; one that has not been interrupted has a row without a column.
    counts: Rows<1>,
    controller: Rows<1>,
    /// Its devices, or its description if it has no number.
    subject: Rows<1>,
}

impl Interrupt {
    fn new(name: &[u8]) -> Self {
        let [controller, subject] = [(); 2].map(|()| Rows::new(1));
        Self { name: name.into(), counts: Rows::new(CPUS_MAX), controller, subject }
    }

    /// Puts what `line` says. Of all series so far there were `series`.
    fn put(
        &mut self,
        line: &Line<'_>,
        series: &mut usize,
        columns: &mut Columns<'_>,
    ) -> Result<(), SampleError> {
        let Self { name, counts, .. } = self;
        counts.begin();
        // With one CPU only the want of a description tells such a line from others.
        let is_total = !line.is_by_cpu || (line.counts.len() == 1 && line.rest.is_empty());
        for (cpu, count) in line.counts.clone() {
            let is_counted = is_total || count > 0;
            *series += usize::from(is_counted);
            let row = counts.row(cpu, is_counted.into(), columns, |columns| {
                if !is_counted {
                    return Ok(([Column::NONE], 0));
                }
                if *series > SERIES_MAX {
                    return Err(SampleError::TooMany);
                }
                let metric = if is_total { "interrupts".into() } else { cpu_metric(cpu) };
                Ok(([columns.add(&object_id(Class::Interrupt, name), &metric)?], 0))
            });
            if let Some(row) = row {
                row.put(&[count], columns);
            }
        }
        let outcome = counts.finish(true, columns);
        let [controller, subject] = details(line);
        outcome.and(say(&mut self.controller, name, controller, columns)).and(say(
            &mut self.subject,
            name,
            subject,
            columns,
        ))
    }

    /// Ends all its series.
    fn end(&mut self, columns: &mut Columns<'_>) {
        for rows in [&mut self.counts, &mut self.controller, &mut self.subject] {
            rows.end(columns);
        }
    }
}

/// Says in `rows` that the interrupt `name` has this string, if any.
fn say(
    rows: &mut Rows<1>,
    name: &[u8],
    (key, string): (&str, &[u8]),
    columns: &mut Columns<'_>,
) -> Result<(), SampleError> {
    // The old string may have to make way.
    if !rows.is_only(string) {
        rows.end(columns);
    }
    rows.begin();
    if !string.is_empty() {
        let row = rows.row(string, 0, columns, |columns| {
            let object = object_id(Class::Interrupt, name);
            Ok(([columns.add(&object, &info_metric(key, string))?], 0))
        });
        if let Some(row) = row {
            row.put(&[1], columns);
        }
    }
    rows.finish(true, columns)
}

fn cpu_metric(number: &[u8]) -> String {
    "cpu".chars().chain(number.iter().copied().map(char::from)).collect()
}

/// Key and value of the controller and of the subject; a value may be empty.
fn details<'a>(line: &Line<'a>) -> [(&'static str, &'a [u8]); 2] {
    if !line.name.iter().all(u8::is_ascii_digit) {
        return [("controller", b""), ("description", line.rest)];
    }
    let (controller, rest) = split(line.rest);
    let (first, after) = split(rest);
    let (second, after_second) = split(after);
    // `1-edge` or, on other machines, `27 Level`.
    let digits = first.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let devices = match first.get(digits) {
        Some(b'-') if digits > 0 => after,
        None if digits > 0 && [&b"Level"[..], b"Edge", b"None"].contains(&second) => after_second,
        _ => rest,
    };
    [("controller", controller), ("devices", devices)]
}

/// The first word of `text` and what follows it.
fn split(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| b" \t".contains(byte)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, rest.trim_ascii_start())
}

/// The source.
pub(super) struct Interrupts {
    file: TextFile,
    /// In the order of the text.
    interrupts: Vec<Interrupt>,
}

impl Interrupts {
    pub(super) fn new(roots: &Roots) -> Self {
        let shown = Shown::ByLine { longest: LINE_BYTES_MAX };
        Self { file: TextFile::new(roots.procfs.join("interrupts"), shown), interrupts: Vec::new() }
    }
}

impl Source for Interrupts {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn turn(&mut self, columns: &mut Columns<'_>) -> Result<(), SampleError> {
        let Self { file, interrupts } = self;
        let text = file.read()?;
        let mut outcome = Ok(());
        let mut series = 0;
        let mut met = 0;
        let parsed = cpu_table::parse(text, |line| {
            let placed = place(interrupts, met, line.name);
            outcome = outcome.and(placed.and_then(|is_new| {
                if !is_new {
                    return Ok(());
                }
                met += 1;
                interrupts[met - 1].put(&line, &mut series, columns)
            }));
        });
        if parsed.is_ok() {
            interrupts.drain(met..).for_each(|mut interrupt| interrupt.end(columns));
        }
        parsed.and(outcome)
    }
}

/// Sees to it that the interrupt `name` stands at index `met`, behind those that were met at this
/// turn; `false` if it is one of them.
fn place(interrupts: &mut Vec<Interrupt>, met: usize, name: &[u8]) -> Result<bool, SampleError> {
    if interrupts.get(met).is_some_and(|expected| *expected.name == *name) {
        return Ok(true);
    }
    let found = interrupts.iter().position(|interrupt| *interrupt.name == *name);
    match found {
        Some(index) if index < met => return Ok(false),
        Some(index) => interrupts.swap(met, index),
        None if interrupts.len() >= INTERRUPTS_MAX => return Err(SampleError::TooMany),
        None => {
            interrupts.push(Interrupt::new(name));
            let last = interrupts.len() - 1;
            interrupts.swap(met, last);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::METRIC_BYTES_MAX;

    fn of(line: &str) -> [(String, String); 2] {
        let text = format!("CPU0 CPU1\n{line}\n");
        let mut seen = Vec::new();
        let string = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let outcome = cpu_table::parse(text.as_bytes(), |line| {
            seen.push(details(&line).map(|(key, value)| (key.to_owned(), string(value))));
        });
        assert_eq!((outcome, seen.len()), (Ok(()), 1), "{line}");
        seen.remove(0)
    }

    #[test]
    fn devices_are_told_from_the_trigger() {
        for (line, controller, devices) in [
            ("24: 1 0  IO-APIC   5-edge      ACPI:Ged", "IO-APIC", "ACPI:Ged"),
            ("13: 1 0  GICv3  27 Level     arch_timer", "GICv3", "arch_timer"),
            (
                "16: 1 0  IO-APIC  16-fasteoi   ehci_hcd:usb1, i801_smbus",
                "IO-APIC",
                "ehci_hcd:usb1, i801_smbus",
            ),
            ("58: 1 0  ITS-MSI 524288 Edge  nvme0q0", "ITS-MSI", "nvme0q0"),
            ("59: 1 0  chip  eth0", "chip", "eth0"),
            ("60: 1 0  chip  7", "chip", "7"),
            ("61: 1 0", "", ""),
        ] {
            let expected = [("controller", controller), ("devices", devices)];
            assert_eq!(of(line), expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        }
        let [controller, subject] = of("LOC: 1 2  Local timer interrupts");
        assert_eq!(controller.1, "");
        assert_eq!(subject, ("description".to_owned(), "Local timer interrupts".to_owned()));
    }

    #[test]
    fn long_string_is_cut_between_characters() {
        assert_eq!(info_metric("devices", b"a b"), "devices=a%20b");
        for value in ["x", " ", "\u{fc}", "\u{20ac}"] {
            let metric = info_metric("k", value.repeat(999).as_bytes());
            assert!((METRIC_BYTES_MAX - 2..=METRIC_BYTES_MAX).contains(&metric.len()), "{value}");
            let piece = info_metric("", value.as_bytes()).len() - 1;
            assert_eq!((metric.len() - 2) % piece, 0, "{value}");
        }
    }
}
