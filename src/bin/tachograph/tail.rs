//! `tail`: a line per record, as it is published.

use std::io::{self, Write};
use std::time::Duration;

use tachograph::encode::{HOST_POINTS, PbsPlan};
use tachograph::record::{Record, RecordHeader};
use tachograph::ring::{Directory, Liveness, Reader, Ring, RingKind, Wait, Words};
use tachograph::window::derive::CpuTimes;
use tachograph::window::{Event, Gap, GapReason, Window};

use crate::cli::TailFlags;
use crate::{log, show, snapshot};

/// How long to sleep for a record before looking whether the writer still lives.
const LIVENESS_CHECK: Duration = Duration::from_secs(2);
/// Lines between two headings.
const HEADING_EVERY: u64 = 40;
/// Most records that are looked at in one go.
const BATCH_MAX: u64 = 10_000;

pub(crate) fn tail(mut reader: Reader, flags: &TailFlags) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut lines = Lines::new(&reader, flags);
    // The newest record is shown at once, as what changed since the one before it.
    let mut seen = reader.ring().head().saturating_sub(1);
    lines.begin_after(&reader, seen);
    let mut told = Liveness::Live;
    while !lines.done() {
        match reader.wait(seen, LIVENESS_CHECK) {
            Wait::Published(head) => {
                let last = head.min(seen + BATCH_MAX);
                lines.print(&mut out, &reader, seen, last)?;
                out.flush()?;
                seen = last;
                told = Liveness::Live;
            }
            Wait::Retired | Wait::TimedOut => {
                if reader.refresh()? {
                    // Another ring may count from the beginning.
                    seen = seen.min(reader.ring().head());
                    continue;
                }
                let liveness = reader.liveness();
                if liveness != told && liveness != Liveness::Live {
                    let writer =
                        if lines.is_application { "the application" } else { "the recorder" };
                    log::tell(format_args!("{writer} is {liveness}; waiting for its next record"));
                }
                told = liveness;
            }
        }
    }
    Ok(())
}

struct Lines {
    json: bool,
    /// Nothing is known of its series but what the directory says.
    is_application: bool,
    left: Option<u64>,
    printed: u64,
    plan: PbsPlan,
    before: Option<Measured>,
    record: Record,
    directory: Directory,
}

/// A record's values, those of the host first, what the next one's shares of CPU time start from, and the time since boot.
struct Measured {
    values: Vec<f64>,
    cpu: CpuTimes,
    boottime_ns: u64,
}

/// What one wake-up has to tell.
enum Line {
    Record(RecordHeader),
    Gap(Gap),
}

impl Lines {
    fn new(reader: &Reader, flags: &TailFlags) -> Self {
        let plan = PbsPlan::of(reader.ring());
        Self {
            json: flags.json,
            is_application: reader.ring().header().kind() == RingKind::Application,
            left: flags.count,
            printed: 0,
            plan,
            before: None,
            record: Record::default(),
            directory: Directory::default(),
        }
    }

    /// Makes the record `seq`, if it is there, the one that the next is compared with.
    fn begin_after(&mut self, reader: &Reader, seq: u64) {
        let ring = reader.ring();
        let header = ring.read(seq, |view| view.header());
        self.before = header.ok().and_then(|header| self.measure(ring, &header));
    }

    /// The values of a record; without one before it there are no shares of CPU time.
    fn measure<W: Words>(&mut self, ring: &Ring<W>, header: &RecordHeader) -> Option<Measured> {
        let before = self.before.as_ref().map(|before| &before.cpu);
        let mut values = Vec::new();
        let cpu = self.plan.measure(ring, header.seq, before, &mut values).ok()?;
        if before.is_none() {
            values[at("cpu_current")] = f64::NAN;
            values[at("cpu_iowait")] = f64::NAN;
        }
        Some(Measured { values, cpu, boottime_ns: header.boottime_ns })
    }

    fn done(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints the records after `seen` up to `last`, and what stands between them.
    fn print(
        &mut self,
        out: &mut impl Write,
        reader: &Reader,
        seen: u64,
        last: u64,
    ) -> anyhow::Result<()> {
        let ring = reader.ring();
        // From the record that was shown last: only between two records does a window tell of gaps.
        let lines = Window::sequences(ring, seen, last).read(|events| {
            let line = |event| match event {
                Event::Record(view) if view.seq() == seen => None,
                Event::Record(view) => Some(Line::Record(view.header())),
                Event::Gap(gap) => without(seen, gap).map(Line::Gap),
            };
            events.filter_map(line).collect::<Vec<_>>()
        })?;
        for line in lines {
            if self.done() {
                break;
            }
            match line {
                Line::Gap(gap) => {
                    writeln!(out, "{}", if self.json { gap_json(&gap) } else { gap_text(&gap) })?;
                }
                Line::Record(header) if self.json => {
                    if ring.read_into(header.seq, &mut self.record).is_ok() {
                        self.directory.update(ring);
                        writeln!(out, "{}", snapshot::json_of(&self.record, &self.directory))?;
                        self.count();
                    }
                }
                Line::Record(header) if self.is_application => {
                    if ring.read_into(header.seq, &mut self.record).is_ok() {
                        self.directory.update(ring);
                        let values = snapshot::in_a_line(&self.record, &self.directory);
                        let time = show::moment(header.realtime_ns);
                        writeln!(out, "{time:<24} {:>9}  {values}", header.seq)?;
                        self.count();
                    }
                }
                Line::Record(header) => {
                    // Overwritten since it was found.
                    let Some(measured) = self.measure(ring, &header) else { continue };
                    if self.printed.is_multiple_of(HEADING_EVERY) {
                        writeln!(out, "{HEADING}")?;
                    }
                    writeln!(out, "{}", self.row(&header, &measured))?;
                    self.before = Some(measured);
                    self.count();
                }
            }
        }
        Ok(())
    }

    fn count(&mut self) {
        self.printed += 1;
        self.left = self.left.map(|left| left - 1);
    }

    fn row(&self, header: &RecordHeader, measured: &Measured) -> String {
        let values = &measured.values;
        let value = |metric| Some(values[at(metric)]).filter(|value| value.is_finite());
        let percent =
            |metric| value(metric).map_or("-".into(), |share| format!("{:.1}", share * 100.0));
        let rate = |metric: &str| {
            let before = self.before.as_ref()?;
            let seconds = measured.boottime_ns.checked_sub(before.boottime_ns)? as f64 / 1e9;
            let rate = (values[at(metric)] - before.values[at(metric)]) / seconds;
            (rate.is_finite() && rate >= 0.0).then(|| show::bytes(rate))
        };
        let rate = |metric| rate(metric).unwrap_or("-".into());
        format!(
            "{:<24} {:>9} {:>6} {:>6} {:>6} {:>10} {:>10} {:>10} {:>10} {:>10}",
            show::moment(header.realtime_ns),
            header.seq,
            percent("cpu_current"),
            percent("cpu_iowait"),
            value("cpu_avg1").map_or("-".into(), |load| format!("{load:.2}")),
            value("mem_used").map_or("-".into(), show::bytes),
            rate("net_in"),
            rate("net_out"),
            rate("disk_read"),
            rate("disk_write"),
        )
    }
}

fn at(metric: &str) -> usize {
    HOST_POINTS.iter().position(|(name, _)| *name == metric).expect("one of the host's points")
}

const HEADING: &str = "TIME                           SEQ   CPU%  WAIT%  LOAD1   MEM USED   NET IN/s  NET OUT/s     READ/s    WRITE/s";

/// What is left to tell of a gap when the record `seen`, if there is one, has been shown before it
/// was overwritten.
fn without(seen: u64, gap: Gap) -> Option<Gap> {
    let reason = match gap.reason {
        GapReason::Overrun(records) => {
            let untold = records - u64::from(seen > 0);
            GapReason::Overrun((untold > 0).then_some(untold)?)
        }
        other => other,
    };
    Some(Gap { reason, ..gap })
}

fn gap_text(gap: &Gap) -> String {
    match gap.reason {
        GapReason::Overrun(records) => {
            format!("-- overwritten before it could be shown: {} --", counted(records, "record"))
        }
        GapReason::Missing(records) => format!("-- missing: {} --", counted(records, "record")),
        GapReason::Missed(ticks) => format!("-- the recorder missed {} --", counted(ticks, "tick")),
        GapReason::Epoch { to } => format!("-- the recorder was started anew: epoch {to} --"),
        GapReason::ClockStep => "-- the wall clock was set --".to_owned(),
        _ => "-- gap --".to_owned(),
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn gap_json(gap: &Gap) -> String {
    let (reason, count) = (gap.reason.as_str(), gap.reason.count());
    serde_json::json!({ "gap": reason, "count": count, "before_seq": gap.before }).to_string()
}
