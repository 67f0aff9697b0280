//! `snapshot`: the newest record, for people or as JSON.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::bail;
use serde_json::{Map, Number, Value as Json, json};
use tachograph::record::{Record, u64_of_word};
use tachograph::ring::{Directory, Reader, Ring, RunDir, Value, Words};
use tachograph::window::derive::increase;
use tachograph::window::{Event, GapReason, Window};

use crate::cli::SnapshotFlags;
use crate::config::LANE;
use crate::schedule::{Now, clock_ns};
use crate::show;

/// How far back the account of the recorder's own work reaches, in nanoseconds.
const ACCOUNT_NS: u64 = 60_000_000_000;
/// Most records that the account looks at.
const ACCOUNT_RECORDS_MAX: usize = 100_000;

pub(crate) fn snapshot(dir: &RunDir, flags: &SnapshotFlags) -> anyhow::Result<()> {
    let reader = Reader::open(&dir.ring(LANE))?;
    let ring = reader.ring();
    let mut record = Record::default();
    let Some(()) = ring.latest(|view| view.copy_into(&mut record)) else {
        bail!("{} has no record yet", reader.path().display());
    };
    // After the record: it then knows every series of it.
    let directory = ring.directory();
    let mut out = io::BufWriter::new(io::stdout().lock());
    if flags.json {
        writeln!(out, "{}", json_of(&record, &directory))?;
    } else {
        print_head(&mut out, &reader, &record)?;
        print_table(&mut out, &record, &directory)?;
    }
    Ok(out.flush()?)
}

fn print_head(out: &mut impl Write, reader: &Reader, record: &Record) -> anyhow::Result<()> {
    let ring = reader.ring();
    let header = &record.header;
    let now_ns = clock_ns(rustix::time::ClockId::Boottime);
    let age = show::nanoseconds(now_ns.saturating_sub(header.boottime_ns) as f64);
    let interval = Duration::from_nanos(ring.header().interval_ns);
    let (oldest, newest) = ring.bounds().unwrap_or((header.seq, header.seq));
    writeln!(out, "ring      {}", reader.path().display())?;
    writeln!(
        out,
        "recorder  {}, process {}, every {interval:?}, epoch {}",
        reader.liveness(),
        ring.writer_pid(),
        header.epoch()
    )?;
    writeln!(
        out,
        "record    {} at {}, {age} ago; the ring has {oldest} to {newest}",
        header.seq,
        show::moment(header.realtime_ns)
    )?;
    if let Some(account) = Account::of(ring) {
        writeln!(out, "{account}")?;
    }
    Ok(writeln!(out)?)
}

fn print_table(out: &mut impl Write, record: &Record, directory: &Directory) -> anyhow::Result<()> {
    let rows = rows(record, directory);
    let width = |text: fn(&(&str, &str, String)) -> usize| rows.iter().map(text).max().unwrap_or(0);
    let (objects, metrics) = (width(|row| row.0.len()), width(|row| row.1.len()));
    let values = width(|row| row.2.len());
    writeln!(out, "{:objects$}  {:metrics$}  {:>values$}", "OBJECT", "METRIC", "VALUE")?;
    for (object, metric, value) in &rows {
        writeln!(out, "{object:objects$}  {metric:metrics$}  {value:>values$}")?;
    }
    Ok(())
}

/// Object, metric and value of each series that the record has, sorted as people count.
fn rows<'a>(record: &Record, directory: &'a Directory) -> Vec<(&'a str, &'a str, String)> {
    let covering = directory.iter().filter(|entry| entry.covers(record.header.seq));
    let mut rows: Vec<_> = covering
        .map(|entry| {
            let word = record
                .words()
                .get(entry.column)
                .copied()
                .and_then(|word| Value::of(word, &entry.series));
            let value = word.map_or("-".to_owned(), |value| show::value(value, entry.series.unit));
            (&*entry.series.object, &*entry.series.metric, value)
        })
        .collect();
    // Within an object, in the order in which the recorder declares its metrics.
    rows.sort_by(|a, b| natural(a.0).cmp(&natural(b.0)));
    rows
}

/// A key under which `cpu/10` comes after `cpu/9`.
fn natural(object: &str) -> (&str, u64, &str) {
    let digits = object.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (stem, number) = object.split_at(object.len() - digits);
    (stem, number.parse().unwrap_or(0), object)
}

/// A record as JSON: `{"seq", "time", "epoch", "values": {object: {metric: value}}}`.
pub(crate) fn json_of(record: &Record, directory: &Directory) -> Json {
    let mut objects = Map::new();
    for entry in directory.iter().filter(|entry| entry.covers(record.header.seq)) {
        let word = record.words().get(entry.column).copied();
        let number = match word.and_then(|word| Value::of(word, &entry.series)) {
            Some(Value::U64(value)) => Some(Number::from(value)),
            Some(Value::F64(value)) => Number::from_f64(value),
            None => None,
        };
        let metrics =
            objects.entry(&*entry.series.object).or_insert_with(|| Json::Object(Map::new()));
        if let (Json::Object(metrics), Some(number)) = (metrics, number) {
            metrics.insert((*entry.series.metric).into(), Json::Number(number));
        }
    }
    let header = &record.header;
    json!({
        "seq": header.seq,
        "time": show::moment(header.realtime_ns),
        "time_ns": header.realtime_ns,
        "epoch": header.epoch(),
        "values": objects,
    })
}

/// What the recorder says of its own work over the last minute.
struct Account {
    ticks: usize,
    over: Duration,
    missed: u64,
    lateness_ns: Vec<u64>,
    duration_ns: Vec<u64>,
    cpu_share: Option<f64>,
}

impl Account {
    fn of<W: Words>(ring: &Ring<W>) -> Option<Self> {
        let now_ns = Now::read().realtime_ns;
        let [lateness, cpu] =
            ["tick_lateness_ns", "cpu_ns"].map(|metric| ring.find("tachograph", metric));
        let (lateness, cpu) = (lateness?, cpu?);
        let window = Window::between(ring, now_ns.saturating_sub(ACCOUNT_NS), now_ns);
        let (account, first, last) = window
            .read(|events| {
                let mut account = Self {
                    ticks: 0,
                    over: Duration::ZERO,
                    missed: 0,
                    lateness_ns: Vec::new(),
                    duration_ns: Vec::new(),
                    cpu_share: None,
                };
                let (mut first, mut last) = (None, None);
                for event in events.take(ACCOUNT_RECORDS_MAX) {
                    match event {
                        Event::Record(view) => {
                            let header = view.header();
                            account.ticks += 1;
                            account.duration_ns.push(header.tick_duration_ns);
                            let late = u64_of_word(view.word(lateness.index()));
                            account.lateness_ns.extend(late);
                            let cpu_ns = u64_of_word(view.word(cpu.index()));
                            last = Some((header.boottime_ns, cpu_ns));
                            first = first.or(last);
                        }
                        Event::Gap(gap) => {
                            if let GapReason::Missed(missed) = gap.reason {
                                account.missed += missed;
                            }
                            if let GapReason::Epoch { .. } = gap.reason {
                                // The CPU time of another process began anew.
                                first = None;
                            }
                        }
                    }
                }
                (account, first, last)
            })
            .ok()?;
        let ((from_ns, cpu_from), (to_ns, cpu_to)) = (first?, last?);
        let over_ns = to_ns.saturating_sub(from_ns);
        let cpu_share = increase(cpu_from, cpu_to).filter(|_| over_ns > 0);
        let mut account = account;
        account.over = Duration::from_nanos(over_ns);
        account.cpu_share = cpu_share.map(|cpu_ns| cpu_ns as f64 / over_ns as f64);
        account.lateness_ns.sort_unstable();
        account.duration_ns.sort_unstable();
        Some(account)
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |sorted: &[u64], share: f64| {
            let index = (sorted.len() as f64 * share) as usize;
            let value = sorted.get(index.min(sorted.len().saturating_sub(1)));
            value.map_or("-".to_owned(), |ns| show::nanoseconds(*ns as f64))
        };
        write!(
            f,
            "account   {} ticks in {}, {} missed; ",
            self.ticks,
            show::span(self.over),
            self.missed
        )?;
        write!(
            f,
            "lateness p50 {} p99 {}; ",
            at(&self.lateness_ns, 0.5),
            at(&self.lateness_ns, 0.99)
        )?;
        write!(
            f,
            "duration p50 {} p99 {}",
            at(&self.duration_ns, 0.5),
            at(&self.duration_ns, 0.99)
        )?;
        match self.cpu_share {
            Some(share) => write!(f, "; CPU {:.3} % of a core", share * 100.0),
            None => Ok(()),
        }
    }
}
