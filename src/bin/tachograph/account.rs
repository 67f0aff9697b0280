//! What a recorder's own work was like: late, long, costly?

use std::time::Duration;

use tachograph::ring::{Ring, Words};
use tachograph::window::derive::increase;
use tachograph::window::{Event, GapReason, Window};

use crate::show;

/// How far back an account reaches, in nanoseconds.
const REACH_NS: u64 = 60_000_000_000;
/// Most records that it looks at.
const RECORDS_MAX: usize = 100_000;

/// What the recorder says of its own work over the last minute, or since it started.
#[derive(Default)]
pub(crate) struct Account {
    ticks: usize,
    over: Duration,
    missed: u64,
    lateness_ns: Vec<u64>,
    duration_ns: Vec<u64>,
    cpu_share: Option<f64>,
}

impl Account {
    /// The account of the minute before `now_ns`, in nanoseconds since 1970.
    pub(crate) fn of<W: Words>(ring: &Ring<W>, now_ns: u64) -> Option<Self> {
        let [lateness, cpu] =
            ["tick_lateness_ns", "cpu_ns"].map(|metric| ring.find("tachograph", metric));
        let (lateness, cpu) = (lateness?, cpu?);
        let window = Window::between(ring, now_ns.saturating_sub(REACH_NS), now_ns);
        let (account, first, last) = window
            .read(|events| {
                let mut account = Self::default();
                let (mut first, mut last) = (None, None);
                for event in events.take(RECORDS_MAX) {
                    match event {
                        Event::Record(view) => {
                            let header = view.header();
                            account.ticks += 1;
                            account.duration_ns.push(header.tick_duration_ns);
                            account.lateness_ns.extend(view.u64(&lateness));
                            last = Some((header.boottime_ns, view.u64(&cpu)));
                            first = first.or(last);
                        }
                        Event::Gap(gap) => match gap.reason {
                            GapReason::Missed(missed) => account.missed += missed,
                            // What came before was another process's work.
                            GapReason::Epoch { .. } => (account, first) = (Self::default(), None),
                            _ => {}
                        },
                    }
                }
                (account, first, last)
            })
            .ok()?;
        let ((from_ns, cpu_from), (to_ns, cpu_to)) = (first?, last?);
        let over_ns = to_ns.saturating_sub(from_ns);
        let cpu_share = increase(cpu_from, cpu_to).filter(|_| over_ns > 0);
        let mut account = account;
        account.over = Duration::from_nanos(over_ns);
        account.cpu_share = cpu_share.map(|cpu_ns| cpu_ns as f64 / over_ns as f64);
        account.lateness_ns.sort_unstable();
        account.duration_ns.sort_unstable();
        Some(account)
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |sorted: &[u64], share: f64| {
            let index = (sorted.len() as f64 * share) as usize;
            let value = sorted.get(index.min(sorted.len().saturating_sub(1)));
            value.map_or("-".to_owned(), |ns| show::nanoseconds(*ns as f64))
        };
        write!(
            f,
            "account   {} ticks in {}, {} missed; ",
            self.ticks,
            show::span(self.over),
            self.missed
        )?;
        write!(
            f,
            "lateness p50 {} p99 {}; ",
            at(&self.lateness_ns, 0.5),
            at(&self.lateness_ns, 0.99)
        )?;
        write!(
            f,
            "duration p50 {} p99 {}",
            at(&self.duration_ns, 0.5),
            at(&self.duration_ns, 0.99)
        )?;
        match self.cpu_share {
            Some(share) => write!(f, "; CPU {:.3} % of a core", share * 100.0),
            None => Ok(()),
        }
    }
}
