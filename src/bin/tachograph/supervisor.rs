//! Who started the program and watches over it, as systemd does: is told how it is.
//!
//! Nothing is told unless `NOTIFY_SOCKET` says where. The watchdog is fed only while the recorders
//! publish: a program that answers and records nothing is not well.

use std::cell::Cell;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// Pause between two reports where no watchdog asks for a shorter one.
const REPORT_PERIOD: Duration = Duration::from_secs(10);
/// The shortest pause between two reports, however impatient the watchdog is.
const REPORT_PERIOD_MIN: Duration = Duration::from_millis(10);
/// Longest status that is told, in characters: it is one line for a person.
const STATUS_CHARS_MAX: usize = 512;

/// The service manager, if there is one.
#[derive(Debug)]
pub(crate) struct Supervisor {
    listens: bool,
    watchdog: Option<Duration>,
    failed: Cell<bool>,
}

impl Supervisor {
    /// The one that the environment names.
    pub(crate) fn of_environment() -> Self {
        let listens = std::env::var_os("NOTIFY_SOCKET").is_some_and(|name| !name.is_empty());
        let watchdog = sd_notify::watchdog_enabled().filter(|period| listens && !period.is_zero());
        Self { listens, watchdog, failed: Cell::new(false) }
    }

    /// Whether there is one.
    pub(crate) fn listens(&self) -> bool {
        self.listens
    }

    /// How often it is to hear something: twice in the watchdog's time.
    pub(crate) fn period(&self) -> Duration {
        let half = self.watchdog.map_or(REPORT_PERIOD, |watchdog| watchdog / 2);
        half.clamp(REPORT_PERIOD_MIN, REPORT_PERIOD)
    }

    /// All is begun, or a change is done.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
    }

    /// How the program is; `well` feeds the watchdog.
    pub(crate) fn report(&self, status: &str, well: bool) {
        let status = line(status);
        if well && self.watchdog.is_some() {
            self.tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
        } else {
            self.tell(&[NotifyState::Status(&status)]);
        }
    }

    /// A change begins; [`ready`](Self::ready) ends it.
    pub(crate) fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.tell(&[NotifyState::Reloading, now]);
        }
    }

    /// The end begins.
    pub(crate) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("ending")]);
    }

    /// A manager that does not hear is told of once: it may come back.
    fn tell(&self, states: &[NotifyState<'_>]) {
        if !self.listens {
            return;
        }
        if let Err(error) = sd_notify::notify(states)
            && !self.failed.replace(true)
        {
            warn!("the service manager cannot be told how the program is: {error}");
        }
    }
}

/// A status as one line: another one would be taken for something else that is told.
fn line(status: &str) -> String {
    let printable = |char: char| if char.is_control() { ' ' } else { char };
    status.chars().take(STATUS_CHARS_MAX).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_come_twice_in_the_time_of_the_watchdog() {
        let period = |watchdog: Option<u64>| {
            let watchdog = watchdog.map(Duration::from_millis);
            Supervisor { listens: true, watchdog, failed: Cell::default() }.period()
        };
        assert_eq!(period(None), REPORT_PERIOD);
        assert_eq!(period(Some(3000)), Duration::from_millis(1500));
        assert_eq!(period(Some(3_600_000)), REPORT_PERIOD);
        assert_eq!(period(Some(0)), REPORT_PERIOD_MIN);
    }

    #[test]
    fn status_is_one_line_whatever_is_in_it() {
        assert_eq!(line("refused\nWATCHDOG=trigger"), "refused WATCHDOG=trigger");
        assert_eq!(line(&"x".repeat(10_000)).len(), STATUS_CHARS_MAX);
    }
}
