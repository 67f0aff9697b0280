//! `export --format openmetrics`: a window of one ring, for tools that fill a database from a file.

use std::io::Write;
use std::sync::Arc;

use anyhow::bail;
use tachograph::encode::prometheus::{Exposition, History, Sheet};
use tachograph::ring::{Entry, Ring, Words};
use tachograph::window::Objects;

/// Writes every record of the ring `name` between two times, both included, and of them the series
/// that are `wanted`.
pub(crate) fn export<W: Words>(
    (name, ring): (&str, &Ring<W>),
    (from_ns, to_ns): (u64, u64),
    wanted: impl Fn(&Entry) -> bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let directory = ring.directory();
    let entries: Vec<_> = directory.iter().collect();
    let sheet = Sheet::of(name, ring.header().kind(), &entries, &Objects::all(), wanted);
    let mut history = History::default();
    let between = (from_ns.saturating_sub(1), to_ns);
    history.begin_between(ring, Arc::new(sheet), between, Exposition::OpenMetrics);
    if history.reach().records == 0 {
        bail!("there is no record in this window");
    }
    let (mut text, mut is_more) = (Vec::new(), true);
    while is_more {
        text.clear();
        is_more = history.part(ring, &mut text)?;
        out.write_all(&text)?;
    }
    Ok(out.write_all(Exposition::OpenMetrics.end().as_bytes())?)
}
