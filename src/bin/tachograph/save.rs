//! `save`: a ring, or a part of it, kept as a file.

use anyhow::bail;
use tachograph::encode::Moment;
use tachograph::ring::{Ring, Words, WriteError, realtime_ns, save as save_ring};
use tachograph::window::Window;

use crate::attach::{self, Attached};
use crate::cli::{Common, SaveFlags};
use crate::{log, show};

pub(crate) fn save(common: &Common, flags: &SaveFlags) -> anyhow::Result<()> {
    match attach::attach(common, &flags.lane.name, flags.file.as_deref())? {
        Attached::Live(reader) => save_part(reader.ring(), flags, realtime_ns()),
        Attached::Saved(ring, _) => {
            let newest_ns = attach::newest_ns(&ring);
            save_part(&ring, flags, newest_ns)
        }
    }
}

fn save_part<W: Words>(ring: &Ring<W>, flags: &SaveFlags, now_ns: u64) -> anyhow::Result<()> {
    let from_ns = flags.from.map_or(0, |from| from.ns(now_ns));
    let to_ns = flags.to.unwrap_or(Moment::At(u64::MAX)).ns(now_ns);
    if from_ns > to_ns {
        bail!("--from {} is after --to {}", show::moment(from_ns), show::moment(to_ns));
    }
    let window = Window::between(ring, from_ns.saturating_sub(1), to_ns);
    let bounds = window.bounds().ok_or(WriteError::Empty)?;
    let saved = match save_ring(ring, bounds, &flags.output, flags.force) {
        Err(error @ WriteError::Io { .. }) if !flags.force && flags.output.exists() => {
            bail!("{error}; --force replaces it")
        }
        saved => saved?,
    };
    let time = |seq| ring.read(seq, |view| show::moment(view.realtime_ns())).ok();
    let (first, last) = saved.bounds;
    let times = time(first).zip(time(last));
    let times = times.map(|(first, last)| format!(", {first} to {last}")).unwrap_or_default();
    log::tell(format_args!(
        "saved {} records of {} series{times}, as {} ({})",
        saved.records,
        saved.series,
        flags.output.display(),
        show::bytes(saved.file_bytes as f64)
    ));
    if saved.missing > 0 {
        log::tell(format_args!(
            "{} records between the first and the last were not there any more",
            saved.missing
        ));
    }
    Ok(())
}
