//! The log: to stderr, a line an event, never per tick.

use std::sync::OnceLock;

use tachograph::http::ACCESS;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Puts another filter in the place of the one that the log was started with.
static CHANGE: OnceLock<Box<dyn Fn(EnvFilter) -> anyhow::Result<()> + Send + Sync>> =
    OnceLock::new();

/// Starts to log at `level`, or by a filter as in `tachograph::http=debug,info`, and requests too if
/// these are wanted.
pub(crate) fn start(level: &str, requests: bool) -> anyhow::Result<()> {
    use std::io::IsTerminal as _;
    let filter = chosen(level, requests)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // It would be told to stderr, and panic when that has been closed: whoever reads the log
        // may go at any time and must not take the recorder along.
        .log_internal_errors(false)
        .with_filter_reloading();
    let handle = log.reload_handle();
    let change = move |filter| handle.reload(filter).map_err(anyhow::Error::new);
    // Nobody starts the log twice: it would panic below.
    let _ = CHANGE.set(Box::new(change));
    log.init();
    Ok(())
}

/// Changes the level or the filter of the log that has been started.
pub(crate) fn change(level: &str, requests: bool) -> anyhow::Result<()> {
    let filter = chosen(level, requests)?;
    CHANGE.get().map_or(Ok(()), |change| change(filter))
}

/// The filter of a level. Requests that are wanted are told even where only warnings are.
fn chosen(level: &str, requests: bool) -> anyhow::Result<EnvFilter> {
    let level = if requests { format!("{level},{ACCESS}=info") } else { level.to_owned() };
    filter(&level).map_err(anyhow::Error::msg)
}

/// Checks what is asked for with `--log`.
pub(crate) fn level(text: &str) -> Result<String, String> {
    filter(text).map(|_| text.to_owned())
}

fn filter(text: &str) -> Result<EnvFilter, String> {
    // A word that is no level would be taken for the name of a module, and nothing be logged.
    let known = |part: &str| {
        !part.is_empty() && (part.contains('=') || part.parse::<LevelFilter>().is_ok())
    };
    // No patterns in it: to make an automaton of some takes minutes.
    let filter = EnvFilter::builder()
        .with_regex(false)
        .parse(text)
        .ok()
        .filter(|_| text.split(',').all(known));
    let wrong = || format!("{text:?} is no log level; write error, warn, info, debug or trace");
    filter.ok_or_else(wrong)
}

/// Tells the person at the terminal, if there is one.
pub(crate) fn tell(line: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "tachograph: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `--log loud` was taken for a module's name: nothing was logged, and nothing told why.
    #[test]
    fn words_that_are_no_level_are_refused() {
        for level in ["info", "OFF", "debug,tachograph::http=trace", "warn,tachograph=debug"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        for level in ["", "loud", "info,loud", "tachograph=loud"] {
            assert!(filter(level).is_err(), "{level}");
        }
    }
}
