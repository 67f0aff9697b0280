//! The log: to stderr, a line an event, never per tick.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// Starts to log at `level`, or by a filter as in `tachograph::http=debug,info`.
pub(crate) fn start(level: &str) -> anyhow::Result<()> {
    use std::io::IsTerminal as _;
    let filter = EnvFilter::try_new(level).with_context(|| {
        format!("{level:?} is no log level; write error, warn, info, debug or trace")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // It would be told to stderr, and panic when that has been closed: whoever reads the log
        // may go at any time and must not take the recorder along.
        .log_internal_errors(false)
        .init();
    Ok(())
}
