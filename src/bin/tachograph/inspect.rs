//! `inspect`: what a ring's file holds and whether it is sound. Safe on any file.

use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use tachograph::ring::{
    Audit, Directory, Entry, Header, OpenError, PreadWords, Ring, audit, layout, liveness,
    open_untrusted,
};

use crate::cli::{Common, InspectFlags};
use crate::{attach, show};

/// Shows the ring; the exit code is 1 when it is damaged.
pub(crate) fn inspect(common: &Common, flags: &InspectFlags) -> anyhow::Result<ExitCode> {
    let path = match &flags.file {
        Some(file) => file.clone(),
        None => attach::path(common, &flags.lane.name)?,
    };
    // Never mapped: the file may be cut short, hostile, or changing.
    let (ring, file) = match open_untrusted(&path) {
        Err(error @ OpenError::Missing(_)) if flags.file.is_none() => {
            bail!("{error}; {}", attach::ADVICE)
        }
        opened => opened?,
    };
    let found = audit(&ring);
    let mut out = io::BufWriter::new(io::stdout().lock());
    writeln!(out, "{}", path.display())?;
    print_header(&mut out, ring.header())?;
    print_content(&mut out, &ring, &file, &found)?;
    let failed = ring.words().failed();
    print_findings(&mut out, &found, failed)?;
    if flags.directory {
        print_directory(&mut out, &ring.directory())?;
    }
    out.flush()?;
    let sound = found.is_clean() && !failed;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_header(out: &mut impl Write, header: &Header) -> anyhow::Result<()> {
    let Header { version, geometry, ring_id, boot_id, interval_ns, created_ns, .. } = *header;
    let reach = Duration::from_nanos(interval_ns.saturating_mul(geometry.slot_count));
    writeln!(
        out,
        "format     version {version}, {} ({} bytes)",
        show::bytes(geometry.file_bytes as f64),
        geometry.file_bytes
    )?;
    writeln!(out, "kind       {}", header.kind())?;
    writeln!(out, "made       {}", show::moment(created_ns))?;
    writeln!(out, "ring id    {:016x}{:016x}", ring_id[0], ring_id[1])?;
    writeln!(out, "boot id    {:016x}{:016x}", boot_id[0], boot_id[1])?;
    writeln!(out, "interval   {:?}", Duration::from_nanos(interval_ns))?;
    writeln!(
        out,
        "slots      {} of {} bytes, {}",
        geometry.slot_count,
        geometry.slot_bytes,
        show::span(reach)
    )?;
    writeln!(out, "columns    {} at offset {}", geometry.column_capacity, geometry.slots_offset)?;
    writeln!(
        out,
        "directory  {} entries at offset {}",
        geometry.entry_capacity, geometry.directory_offset
    )?;
    let (bytes, offset) = (geometry.arena_bytes, geometry.arena_offset);
    Ok(writeln!(out, "names      {bytes} bytes at offset {offset}")?)
}

fn print_content(
    out: &mut impl Write,
    ring: &Ring<PreadWords>,
    file: &File,
    found: &Audit,
) -> anyhow::Result<()> {
    let directory = ring.directory();
    let live = directory.iter().filter(|entry| entry.lives()).count();
    writeln!(out, "series     {live} live, {} ended", directory.iter().count() - live)?;
    let epoch = ring.epoch();
    writeln!(
        out,
        "writer     {}, process {}, epoch {epoch}",
        liveness(ring, file),
        ring.writer_pid()
    )?;

    writeln!(
        out,
        "records    {}, from {} to {}; {} missing in between",
        found.records, found.oldest, found.found_head, found.missing
    )?;
    if let (Some(first), Some(last)) = (time(ring, found.oldest), time(ring, found.found_head)) {
        writeln!(out, "times      {} to {}", show::moment(first), show::moment(last))?;
    }
    Ok(())
}

fn print_findings(out: &mut impl Write, found: &Audit, failed: bool) -> anyhow::Result<()> {
    if found.is_clean() && !failed {
        writeln!(out, "integrity  clean: header, slots and entries are what a writer leaves")?;
        return Ok(());
    }
    writeln!(out, "integrity  DAMAGED")?;
    for (count, one, many) in [
        (
            found.damaged_fields,
            "field of the header holds what no writer puts there",
            "fields of the header hold what no writer puts there",
        ),
        (
            found.damaged_slots,
            "slot holds what no writer puts there",
            "slots hold what no writer puts there",
        ),
        (
            found.damaged_headers,
            "record contradicts itself or its neighbours",
            "records contradict themselves or their neighbours",
        ),
        (
            found.not_finite,
            "floating point word is neither finite nor absent",
            "floating point words are neither finite nor absent",
        ),
        (
            found.damaged_entries,
            "directory entry cannot be read",
            "directory entries cannot be read",
        ),
        (
            found.overlapping_series,
            "series shares a column with another one at the same time",
            "series share a column with another one at the same time",
        ),
        (u64::from(failed), "read failed: the file is shorter than it was", ""),
    ] {
        if count > 0 {
            writeln!(out, "           {count} {}", if count == 1 { one } else { many })?;
        }
    }
    for (index, damage) in found.damage.iter().enumerate() {
        writeln!(out, "{:11}{damage}", if index == 0 { "damage" } else { "" })?;
    }
    if found.unnamed > 0 {
        writeln!(out, "           and {} more of these fields", found.unnamed)?;
    }
    Ok(())
}

fn time(ring: &Ring<PreadWords>, seq: u64) -> Option<u64> {
    ring.read(seq, |view| view.realtime_ns()).ok()
}

fn print_directory(out: &mut impl Write, directory: &Directory) -> anyhow::Result<()> {
    let object = |entry: &Entry| show::name(&entry.series.object).chars().count();
    let objects = directory.iter().map(object).max().unwrap_or(0).max(6);
    writeln!(out)?;
    writeln!(
        out,
        "{:objects$}  {:32} {:8} {:13} {:4} {:>6} {:>12} {:>12}",
        "OBJECT", "METRIC", "KIND", "UNIT", "REPR", "COLUMN", "FIRST", "LAST"
    )?;
    for entry in directory.iter() {
        let series = &entry.series;
        let last =
            if entry.last == layout::LIVES { "lives".to_owned() } else { entry.last.to_string() };
        writeln!(
            out,
            "{:objects$}  {:32} {:8} {:13} {:4} {:>6} {:>12} {:>12}",
            show::name(&series.object),
            show::name(&series.metric),
            series.kind,
            series.unit,
            series.repr,
            entry.column,
            entry.first,
            last
        )?;
    }
    Ok(())
}
