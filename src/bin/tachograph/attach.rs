//! The ring that a command looks at: found by the same rule everywhere, or explained.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use tachograph::ring::{OpenError, PreadWords, Reader, Ring, RunDir, Words, open_untrusted};

use crate::cli::Common;
use crate::config;

/// Where the ring is, or would be: in the run directory, or else in the first further directory that
/// has one.
pub(crate) fn path(common: &Common, lane: &str) -> anyhow::Result<PathBuf> {
    let path = RunDir::holding(lane, config::run_dir(common)?.as_deref())?.ring(lane);
    if path.exists() {
        return Ok(path);
    }
    let further = config::ring_dirs(common)?;
    let mut further = further.iter().map(|dir| dir.join(format!("{lane}.ring")));
    Ok(further.find(|further| further.exists()).unwrap_or(path))
}

/// A reader of the ring.
pub(crate) fn reader(common: &Common, lane: &str) -> anyhow::Result<Reader> {
    let path = path(common, lane)?;
    match Reader::open(&path) {
        Err(error @ OpenError::Missing(_)) => bail!("{error}; {ADVICE}"),
        opened => Ok(opened?),
    }
}

/// A ring that a command looks at.
pub(crate) enum Attached {
    /// One that is, or was, recorded on this machine.
    Live(Reader),
    /// A file that somebody saved, of whatever origin.
    Saved(Ring<Arc<PreadWords>>, PathBuf),
}

/// The ring of a lane, or that in `file`.
pub(crate) fn attach(common: &Common, lane: &str, file: Option<&Path>) -> anyhow::Result<Attached> {
    match file {
        Some(file) => Ok(Attached::Saved(saved(file)?, file.to_owned())),
        None => Ok(Attached::Live(reader(common, lane)?)),
    }
}

/// The ring that somebody saved as `file`.
pub(crate) fn saved(file: &Path) -> anyhow::Result<Ring<Arc<PreadWords>>> {
    Ok(open_untrusted(file)?.0.shared())
}

/// What "now" means in a ring that nobody writes any more: when its newest record was taken.
pub(crate) fn newest_ns<W: Words>(ring: &Ring<W>) -> u64 {
    ring.latest(|view| view.realtime_ns()).unwrap_or(0)
}

/// What to do when there is no ring.
pub(crate) const ADVICE: &str = "`tachograph run` records one, --run-dir names another place";
