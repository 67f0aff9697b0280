//! `snapshot`: the newest record, for people or as JSON.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use serde_json::{Map, Number, Value as Json, json};
use tachograph::record::{CATALOG, Class, Record};
use tachograph::ring::{Directory, Entry, Ring, RingKind, Value, Words, realtime_ns};

use crate::account::Account;
use crate::attach::{self, Attached};
use crate::cli::{Common, SnapshotFlags};
use crate::show;

pub(crate) fn snapshot(common: &Common, flags: &SnapshotFlags) -> anyhow::Result<()> {
    match attach::attach(common, &flags.lane.name, flags.file.as_deref())? {
        Attached::Saved(ring, path) => show_newest(&ring, &path, "saved", flags),
        Attached::Live(reader) => {
            show_newest(reader.ring(), reader.path(), reader.liveness().as_str(), flags)
        }
    }
}

fn show_newest<W: Words>(
    ring: &Ring<W>,
    path: &Path,
    state: &str,
    flags: &SnapshotFlags,
) -> anyhow::Result<()> {
    let mut record = Record::default();
    let Some(()) = ring.latest(|view| view.copy_into(&mut record)) else {
        bail!("{} has no record yet", path.display());
    };
    // After the record: it then knows every series of it.
    let directory = ring.directory();
    let mut out = io::BufWriter::new(io::stdout().lock());
    if flags.json {
        writeln!(out, "{}", json_of(&record, &directory))?;
    } else {
        print_head(&mut out, (ring, path, state), &record)?;
        print_table(&mut out, &record, &directory)?;
    }
    Ok(out.flush()?)
}

fn print_head<W: Words>(
    out: &mut impl Write,
    (ring, path, state): (&Ring<W>, &Path, &str),
    record: &Record,
) -> anyhow::Result<()> {
    let header = &record.header;
    // By the wall clock: the ring may be another machine's, or of another boot.
    let age = show::span(Duration::from_nanos(realtime_ns().saturating_sub(header.realtime_ns)));
    let interval = Duration::from_nanos(ring.header().interval_ns);
    let (oldest, newest) = ring.bounds().unwrap_or((header.seq, header.seq));
    let writer = match ring.header().kind() {
        RingKind::Application => "producer",
        _ => "recorder",
    };
    writeln!(out, "ring      {}", path.display())?;
    writeln!(
        out,
        "{writer}  {state}, process {}, every {interval:?}, epoch {}",
        ring.writer_pid(),
        header.epoch()
    )?;
    writeln!(
        out,
        "record    {} at {}, {age} ago; the ring has {oldest} to {newest}",
        header.seq,
        show::moment(header.realtime_ns)
    )?;
    if let Some(account) = Account::of(ring, header.realtime_ns) {
        writeln!(out, "{account}")?;
    }
    Ok(writeln!(out)?)
}

fn print_table(out: &mut impl Write, record: &Record, directory: &Directory) -> anyhow::Result<()> {
    let rows = rows(record, directory);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let [objects, metrics, values] = [0, 1, 2].map(|column| width(column).unwrap_or(0));
    writeln!(out, "{:objects$}  {:metrics$}  {:>values$}", "OBJECT", "METRIC", "VALUE")?;
    for [object, metric, value] in &rows {
        writeln!(out, "{object:objects$}  {metric:metrics$}  {value:>values$}")?;
    }
    Ok(())
}

/// Object, metric and value of each series that the record has, in the catalog's order.
fn rows<'a>(record: &Record, directory: &'a Directory) -> Vec<[Cow<'a, str>; 3]> {
    let covering = directory.iter().filter(|entry| entry.covers(record.header.seq));
    let mut entries: Vec<_> = covering.collect();
    // A stable sort: where the kernel invents the names, its order stays.
    entries.sort_by_cached_key(|entry| place(&entry.series.object, &entry.series.metric));
    let row = |entry: &'a Entry| {
        let series = &entry.series;
        let value = value(record, entry);
        let text = value.map_or("-".to_owned(), |value| show::value(value, series.unit));
        [show::name(&series.object), show::name(&series.metric), text.into()]
    };
    entries.into_iter().map(row).collect()
}

/// The values of a record in one line, each behind its series' name.
pub(crate) fn in_a_line(record: &Record, directory: &Directory) -> String {
    let value = |[object, metric, value]: [Cow<'_, str>; 3]| format!("{object}/{metric} {value}");
    rows(record, directory).into_iter().map(value).collect::<Vec<_>>().join("  ")
}

fn value(record: &Record, entry: &Entry) -> Option<Value> {
    let word = record.words().get(entry.column)?;
    Value::of(*word, &entry.series)
}

/// Where a series stands: by class, then by object as people count (`cpu/10` after `cpu/9`), then
/// by metric; classes and metrics in the order of the catalog.
fn place<'a>(object: &'a str, metric: &str) -> (Option<Class>, &'a str, u64, &'a str, usize) {
    let digits = object.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (stem, number) = object.split_at(object.len() - digits);
    let class = Class::of(object);
    let mut lines = CATALOG.iter();
    let line = lines.position(|line| Some(line.class) == class && line.matches(metric).is_some());
    (class, stem, number.parse().unwrap_or(0), object, line.unwrap_or(CATALOG.len()))
}

/// A record as JSON: `{"seq", "time", "epoch", "values": {object: {metric: value}}}`.
pub(crate) fn json_of(record: &Record, directory: &Directory) -> Json {
    let mut objects = Map::new();
    for entry in directory.iter().filter(|entry| entry.covers(record.header.seq)) {
        let number = match value(record, entry) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_stand_in_the_order_of_the_catalog_and_of_counting() {
        let ordered = [
            ("host", "cpu_user_ticks"),
            ("host", "meminfo_MemTotal_bytes"),
            ("cpu/0", "user_ticks"),
            ("cpu/0", "nice_ticks"),
            ("cpu/9", "user_ticks"),
            ("cpu/10", "user_ticks"),
            ("nic/eth0", "receive_bytes"),
            ("nic/eth0", "physical"),
            ("nic/eth1", "receive_bytes"),
            ("tachograph", "ticks"),
        ];
        let places: Vec<_> = ordered.iter().map(|(object, metric)| place(object, metric)).collect();
        assert!(places.is_sorted(), "{places:?}");
    }
}
