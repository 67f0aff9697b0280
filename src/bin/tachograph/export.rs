//! `export`: a window of the rings, as rows.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::time::Duration;

use anyhow::bail;
use glob::Pattern;
use tachograph::encode::{RowFormat, RowSeries, Rows, StepCells};
use tachograph::record::Series;
use tachograph::ring::{
    Directory, Entry, OpenError, Reader, Ring, RingKind, RunDir, Value, Words, realtime_ns,
};
use tachograph::window::lane::{self, Candidate};
use tachograph::window::{Event, GapReason, Steps, Track, Window};

use crate::attach;
use crate::cli::{Common, ExportFlags, Format};
use crate::config;
use crate::moment::Moment;
use crate::{log, openmetrics, show};

/// How far back a window of a running recorder reaches unless it is told.
const FROM_DEFAULT: Moment = Moment::Before(Duration::from_secs(300));
/// Records that are written in one go, and so have to be there at one time.
const BATCH_RECORDS: u64 = 256;

pub(crate) fn export(common: &Common, flags: &ExportFlags) -> anyhow::Result<()> {
    let wanted = Wanted::of(flags)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    if flags.format == Format::OpenMetrics {
        export_openmetrics(common, flags, &wanted, &mut out)?;
        return Ok(out.flush()?);
    }
    match &flags.file {
        Some(file) => {
            let ring = attach::saved(file)?;
            let from = flags.from.unwrap_or(Moment::At(0));
            let newest_ns = attach::newest_ns(&ring);
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            export_lanes(&[Lane::of(name, ring)], flags, (from, newest_ns), &wanted, &mut out)?;
        }
        None => {
            let readers = readers(common, flags.lane.as_deref())?;
            let lane =
                |(name, reader): &(String, Reader)| Lane::of(name.clone(), reader.ring().clone());
            let lanes: Vec<_> = readers.iter().map(lane).collect();
            let from = flags.from.unwrap_or(FROM_DEFAULT);
            export_lanes(&lanes, flags, (from, realtime_ns()), &wanted, &mut out)?;
        }
    }
    Ok(out.flush()?)
}

/// Writes one ring as OpenMetrics, which has no place for steps, gaps and several lanes.
fn export_openmetrics(
    common: &Common,
    flags: &ExportFlags,
    wanted: &Wanted,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    if flags.step.is_some() {
        bail!("--step cannot be combined with --format openmetrics, which has every record");
    }
    let admits = |entry: &Entry| wanted.admits(entry);
    if let Some(file) = &flags.file {
        let ring = attach::saved(file)?;
        let newest_ns = attach::newest_ns(&ring);
        let from = flags.from.unwrap_or(Moment::At(0));
        let bounds = bounds_ns(from, flags.to, newest_ns)?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        return openmetrics::export((&name, &ring), bounds, admits, out);
    }
    let lane = flags.lane.as_deref().unwrap_or(config::LANE);
    let reader = attach::reader(common, lane)?;
    let from = flags.from.unwrap_or(FROM_DEFAULT);
    let bounds = bounds_ns(from, flags.to, realtime_ns())?;
    openmetrics::export((lane, reader.ring()), bounds, admits, out)
}

/// First and last moment, in nanoseconds since 1970.
fn bounds_ns(from: Moment, to: Moment, now_ns: u64) -> anyhow::Result<(u64, u64)> {
    let (from_ns, to_ns) = (from.ns(now_ns), to.ns(now_ns));
    if from_ns > to_ns {
        bail!("--from {} is after --to {}", show::moment(from_ns), show::moment(to_ns));
    }
    Ok((from_ns, to_ns))
}

/// The patterns that series must match, any of them.
struct Wanted(Vec<Pattern>);

impl Wanted {
    fn of(flags: &ExportFlags) -> anyhow::Result<Self> {
        let compile = |text: &String| match Pattern::new(text) {
            Ok(pattern) => Ok(pattern),
            Err(error) => bail!("the pattern {text:?}: {}", error.msg),
        };
        Ok(Self(flags.matching.iter().map(compile).collect::<Result<_, _>>()?))
    }

    fn admits(&self, entry: &Entry) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let name = format!("{}/{}", entry.series.object, entry.series.metric);
        self.0.iter().any(|pattern| pattern.matches(&name))
    }
}

/// The rings of the run directory and of the further ones, or the one that is asked for. Of two rings
/// of one name the first is taken. What is no ring, or not to be trusted, is told and left out.
fn readers(common: &Common, lane: Option<&str>) -> anyhow::Result<Vec<(String, Reader)>> {
    if let Some(lane) = lane {
        return Ok(vec![(lane.to_owned(), attach::reader(common, lane)?)]);
    }
    let dir = RunDir::holding(config::LANE, config::run_dir(common)?.as_deref())?;
    let mut readers: Vec<(String, Reader)> = Vec::new();
    let further = config::ring_dirs(common)?;
    let further = further.iter().map(|further| RunDir::holding(config::LANE, Some(further)));
    let mut seen = Vec::new();
    for dir in std::iter::once(Ok(dir.clone())).chain(further) {
        let dir = dir?;
        // One directory may be named twice.
        let place = dir.path().canonicalize().unwrap_or_else(|_| dir.path().to_owned());
        if seen.contains(&place) {
            continue;
        }
        seen.push(place);
        for name in dir.lanes().unwrap_or_default() {
            let path = dir.ring(&name);
            if readers.iter().any(|(known, _)| *known == name) {
                let path = path.to_string_lossy();
                let path = show::name(&path);
                log::tell(format_args!("{path} is left out: there is another ring of this name"));
                continue;
            }
            match Reader::open(&path) {
                // It has gone since the directory was read.
                Err(OpenError::Missing(_)) => {}
                Err(error) => {
                    let error = error.to_string();
                    log::tell(format_args!("left out: {}", show::name(&error)));
                }
                Ok(reader) => readers.push((name, reader)),
            }
        }
    }
    if readers.is_empty() {
        bail!("there is no ring in {}; {}", dir.path().display(), attach::ADVICE);
    }
    Ok(readers)
}

/// A ring and its name.
struct Lane<W> {
    name: String,
    ring: Ring<W>,
    /// Whether others may have the same series. An application's are its own, whatever their names.
    is_shared: bool,
}

impl<W: Words> Lane<W> {
    fn of(name: String, ring: Ring<W>) -> Self {
        let is_shared = ring.header().kind() == RingKind::Lane;
        Self { name, ring, is_shared }
    }
}

/// The part of a lane that is written.
struct Part<'a, W> {
    lane: &'a Lane<W>,
    window: Window<'a, W>,
    /// First and last record of the window.
    bounds: (u64, u64),
    directory: Directory,
    /// The series that some record of the window has, in the directory's order.
    entries: Vec<Entry>,
}

impl<'a, W: Words> Part<'a, W> {
    /// What there is of `wanted` in the lane; `None` when the window has no record.
    fn of(lane: &'a Lane<W>, (from_ns, to_ns): (u64, u64), wanted: &Wanted) -> Option<Self> {
        let window = Window::between(&lane.ring, from_ns.saturating_sub(1), to_ns);
        let (first, last) = window.bounds()?;
        let directory = lane.ring.directory();
        let there = |entry: &&Entry| entry.first <= last && entry.covers_any_since(first);
        let entries = directory.iter().filter(there).filter(|entry| wanted.admits(entry));
        let entries = entries.cloned().collect();
        Some(Self { lane, window, bounds: (first, last), directory, entries })
    }
}

/// Leaves each series that several lanes may have in the one part that it is best read from.
fn keep_best<W: Words>(parts: &mut [Part<'_, W>], (from_ns, to_ns): (u64, u64)) {
    let after_ns = from_ns.saturating_sub(1);
    let candidate = |part: &Part<'_, W>| Candidate::of("", &part.lane.ring, None, after_ns, to_ns);
    let reaches: Vec<_> = parts.iter().map(candidate).collect();
    let mut held: HashMap<(Box<str>, Box<str>), Vec<Candidate<'_>>> = HashMap::new();
    let name = |entry: &Entry| (entry.series.object.clone(), entry.series.metric.clone());
    for (index, part) in parts.iter().enumerate().filter(|(_, part)| part.lane.is_shared) {
        for entry in &part.entries {
            held.entry(name(entry)).or_insert_with(|| reaches.clone())[index].holds = true;
        }
    }
    let best: HashMap<_, _> =
        held.into_iter().map(|(name, lanes)| (name, lane::choose(&lanes, after_ns))).collect();
    for (index, part) in parts.iter_mut().enumerate().filter(|(_, part)| part.lane.is_shared) {
        part.entries.retain(|entry| best[&name(entry)] == Some(index));
    }
}

fn export_lanes<W: Words>(
    lanes: &[Lane<W>],
    flags: &ExportFlags,
    (from, now_ns): (Moment, u64),
    wanted: &Wanted,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (from_ns, to_ns) = bounds_ns(from, flags.to, now_ns)?;
    let mut parts: Vec<_> =
        lanes.iter().filter_map(|lane| Part::of(lane, (from_ns, to_ns), wanted)).collect();
    keep_best(&mut parts, (from_ns, to_ns));
    parts.retain(|part| !part.entries.is_empty());
    if parts.is_empty() {
        let patterns: Vec<_> = flags.matching.iter().map(|text| format!("{text:?}")).collect();
        match &patterns[..] {
            [] => bail!("there is no record in this window"),
            _ => bail!("no series of this window matches {}", patterns.join(" or ")),
        }
    }
    let format = match flags.format {
        Format::Csv => RowFormat::Csv,
        Format::Ndjson => RowFormat::Ndjson,
        Format::Json => RowFormat::Json,
        Format::OpenMetrics => bail!("OpenMetrics is not written as rows"),
    };
    let mut output =
        Output { format, rows: Rows::new(format, flags.step.is_some()), text: Vec::new(), out };
    output.rows.head(&mut output.text);
    for part in &parts {
        match flags.step {
            Some(step) => output.steps(part, step, to_ns)?,
            None => output.records(part, (from_ns, to_ns))?,
        }
    }
    output.rows.tail(&mut output.text);
    Ok(output.out.write_all(&output.text)?)
}

/// Where rows go.
struct Output<'a, O> {
    format: RowFormat,
    rows: Rows,
    /// What has not been written yet.
    text: Vec<u8>,
    out: &'a mut O,
}

impl<O: Write> Output<'_, O> {
    /// Writes a row per series and record.
    fn records<W: Words>(&mut self, part: &Part<'_, W>, bounds_ns: (u64, u64)) -> io::Result<()> {
        let lane = part.lane;
        let exported = |entry: &Entry| Exported {
            row: RowSeries::new(self.format, &lane.name, &entry.series),
            entry: entry.clone(),
        };
        let exported: Vec<_> = part.entries.iter().map(exported).collect();
        let (mut next, last) = part.bounds;
        let mut seen = None;
        while next <= last {
            let end = last.min(next.saturating_add(BATCH_RECORDS - 1));
            let batch = Batch { lane, exported: &exported, seen, bounds_ns, is_last: end == last };
            // What is lost at the end of a batch is told with the record that follows it.
            seen = batch.write(next, end, &mut self.rows, &mut self.text).or(seen);
            self.write()?;
            next = end + 1;
        }
        Ok(())
    }

    /// Writes a row per series and step.
    fn steps<W: Words>(
        &mut self,
        part: &Part<'_, W>,
        step: Duration,
        to_ns: u64,
    ) -> io::Result<()> {
        let wanted: HashSet<&Series> = part.entries.iter().map(|entry| &entry.series).collect();
        let tracks = Track::all(&part.directory, |series| wanted.contains(series));
        let (lane, ring) = (&part.lane.name, &part.lane.ring);
        let series = |track: &Track| RowSeries::new(self.format, lane, &track.series);
        let series: Vec<_> = tracks.iter().map(series).collect();
        let step_ns = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX).max(1);
        let mut steps = Steps::new(tracks, step_ns);
        steps.begin(&part.window);
        while let Some(step) = steps.next(ring) {
            let (rows, text) = (&mut self.rows, &mut self.text);
            rows.at(step.end_ns, step.last_seq);
            step.gaps.reasons().for_each(|reason| rows.gap(lane, reason, text));
            for (series, aggregate) in series.iter().zip(steps.aggregates()) {
                let cells = StepCells::from(aggregate);
                if cells.last.is_some() {
                    rows.step(series, &cells, text);
                }
            }
            self.write()?;
        }
        self.rows.at(to_ns, 0);
        steps.rest().reasons().for_each(|reason| self.rows.gap(lane, reason, &mut self.text));
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.out.write_all(&self.text)?;
        self.text.clear();
        Ok(())
    }
}

/// A series in the records of one lane, for one of its lifetimes.
struct Exported {
    entry: Entry,
    row: RowSeries,
}

/// Some records of a lane that are written in one go.
struct Batch<'a, W> {
    lane: &'a Lane<W>,
    exported: &'a [Exported],
    /// The record that was written last.
    seen: Option<u64>,
    bounds_ns: (u64, u64),
    /// Whether no batch follows.
    is_last: bool,
}

impl<W: Words> Batch<'_, W> {
    /// What is left to tell of a gap: the record that was written last may be overwritten by now.
    fn untold(&self, reason: GapReason) -> Option<GapReason> {
        match reason {
            GapReason::Overrun(records) => {
                let untold = records - u64::from(self.seen.is_some());
                (untold > 0).then_some(GapReason::Overrun(untold))
            }
            other => Some(other),
        }
    }

    /// Appends the rows of the records `first..=last` to `text`, as far as they are there, and says
    /// which of them was the last.
    fn write(&self, first: u64, last: u64, rows: &mut Rows, text: &mut Vec<u8>) -> Option<u64> {
        let ring = &self.lane.ring;
        // From the record that was written last: a window tells of gaps between two records only.
        let window = Window::sequences(ring, self.seen.unwrap_or(first), last);
        let begun = text.len();
        let read = window.read(|events| {
            text.truncate(begun);
            let mut attempt = rows.clone();
            let (mut gaps, mut seen) = (Vec::new(), None);
            for event in events {
                match event {
                    Event::Gap(gap) => gaps.extend(self.untold(gap.reason)),
                    Event::Record(view) if Some(view.seq()) == self.seen => gaps.clear(),
                    Event::Record(view) => {
                        seen = Some(view.seq());
                        let time_ns = view.realtime_ns();
                        let within = (self.bounds_ns.0..=self.bounds_ns.1).contains(&time_ns);
                        if !within {
                            continue;
                        }
                        attempt.at(time_ns, view.seq());
                        for reason in gaps.drain(..) {
                            attempt.gap(&self.lane.name, reason, text);
                        }
                        let covering =
                            self.exported.iter().filter(|series| series.entry.covers(view.seq()));
                        for Exported { entry, row } in covering {
                            let word = view.word(entry.column);
                            if let Some(value) = Value::of(word, &entry.series) {
                                attempt.value(row, value, text);
                            }
                        }
                    }
                }
            }
            if self.is_last && !gaps.is_empty() {
                attempt.at(self.bounds_ns.1, last);
                for reason in gaps {
                    attempt.gap(&self.lane.name, reason, text);
                }
            }
            (attempt, seen)
        });
        match read {
            Ok((attempt, seen)) => {
                *rows = attempt;
                seen
            }
            Err(_) => {
                text.truncate(begun);
                rows.at(self.bounds_ns.0, first);
                rows.gap(&self.lane.name, GapReason::Overrun(last - first + 1), text);
                Some(last)
            }
        }
    }
}
