//! The ring that a command looks at: found by the same rule everywhere, or explained.

use std::path::PathBuf;

use anyhow::bail;
use tachograph::ring::{OpenError, Reader, RunDir};

use crate::cli::Common;
use crate::config::{self, LANE};

/// Where the ring is, or would be.
pub(crate) fn path(common: &Common) -> anyhow::Result<PathBuf> {
    Ok(RunDir::holding(LANE, config::run_dir(common)?.as_deref())?.ring(LANE))
}

/// A reader of the ring.
pub(crate) fn reader(common: &Common) -> anyhow::Result<Reader> {
    let path = path(common)?;
    match Reader::open(&path) {
        Err(error @ OpenError::Missing(_)) => bail!("{error}; {ADVICE}"),
        opened => Ok(opened?),
    }
}

/// What to do when there is no ring.
pub(crate) const ADVICE: &str = "`tachograph run` records one, --run-dir names another place";
