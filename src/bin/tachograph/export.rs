//! `export`: a window of the rings, as rows.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::bail;
use glob::Pattern;
use tachograph::encode::{Moment, PART_BYTES, RowFormat, RowsQuery, WindowRows};
use tachograph::ring::{Entry, OpenError, Reader, RunDir, Words, realtime_ns};
use tachograph::window::{Bounds, Extract, KnownDirectory, NamedRing, Objects};

use crate::attach;
use crate::cli::{Common, ExportFlags, Format};
use crate::config;
use crate::{log, openmetrics, show};

/// How far back a window of a running recorder reaches unless it is told.
const FROM_DEFAULT: Moment = Moment::Before(Duration::from_secs(300));

pub(crate) fn export(common: &Common, flags: &ExportFlags) -> anyhow::Result<()> {
    let wanted = Wanted::of(flags)?;
    let mut out = io::stdout().lock();
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
            let (directory, objects) = (KnownDirectory::default(), Objects::all());
            let rings = vec![NamedRing { name, ring, directory, objects }];
            export_rings(rings, flags, (from, newest_ns), &wanted, &mut out)?;
        }
        None => {
            let readers = readers(common, flags.lane.as_deref())?;
            let named = |(name, reader): &(String, Reader)| NamedRing {
                name: name.clone(),
                ring: reader.ring().clone(),
                directory: KnownDirectory::default(),
                objects: Objects::all(),
            };
            let from = flags.from.unwrap_or(FROM_DEFAULT);
            let rings = readers.iter().map(named).collect();
            export_rings(rings, flags, (from, realtime_ns()), &wanted, &mut out)?;
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

fn export_rings<W: Words>(
    rings: Vec<NamedRing<W>>,
    flags: &ExportFlags,
    (from, now_ns): (Moment, u64),
    wanted: &Wanted,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (from_ns, to_ns) = bounds_ns(from, flags.to, now_ns)?;
    let bounds = Bounds { from_ns, to_ns, since_seq: None };
    let extracts = Extract::all(rings, bounds, |entry| wanted.admits(entry));
    if extracts.is_empty() {
        let patterns: Vec<_> = flags.matching.iter().map(|text| format!("{text:?}")).collect();
        match &patterns[..] {
            [] => bail!("there is no record in this window"),
            _ => bail!("no series of this window matches {}", patterns.join(" or ")),
        }
    }
    let step_ns = |step: Duration| u64::try_from(step.as_nanos()).unwrap_or(u64::MAX);
    let query = RowsQuery {
        format: match flags.format {
            Format::Csv => RowFormat::Csv,
            Format::Ndjson => RowFormat::Ndjson,
            Format::Json => RowFormat::Json,
            Format::OpenMetrics => bail!("OpenMetrics is not written as rows"),
        },
        step_ns: flags.step.map(step_ns),
        cells: Vec::new(),
        limit: None,
        resume: None,
    };
    let mut rows = WindowRows::new(extracts, query);
    let mut part = Vec::with_capacity(PART_BYTES);
    loop {
        let is_last = rows.part(&mut part);
        out.write_all(&part)?;
        part.clear();
        if is_last {
            return Ok(());
        }
    }
}
