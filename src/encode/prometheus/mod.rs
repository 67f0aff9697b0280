//! A ring as Prometheus and OpenMetrics text: the prometheus view.
//!
//! ```text
//! # HELP node_cpu_seconds_total Seconds the CPUs spent in each mode.
//! # TYPE node_cpu_seconds_total counter
//! node_cpu_seconds_total{cpu="0",mode="user"} 11617.58
//! ```
//!
//! Families, labels, types and help are those that `node_exporter` has for the same kernel values;
//! [`family`](self) decides them from a series' names alone. What `node_exporter` of Debian leaves
//! out unless it is told otherwise (partitions, loop devices, the loopback interface) is left out
//! here as well: sums over all devices mean the same.
//!
//! [`Scrape`] writes the newest record, without times. [`History`] writes every record of a window,
//! series by series and each with its time, as both formats demand it. Both write part by part, from
//! a [`Sheet`] that is laid out once for as long as the directory does not change, straight from the
//! ring.
//!
//! Values are exact: a counter of ticks, milliseconds or sectors is an integer times a constant, and
//! so is its text. Formats: Prometheus' text format 0.0.4, which 1.0.0 only adds names to that do
//! not occur here; OpenMetrics 1.0.

mod collector;
mod family;
mod history;
mod scale;
mod scrape;
mod sheet;

pub use collector::{Collectors, UnknownCollector};
pub use history::{HISTORY_RECORDS_MAX, History, HistoryFrom, HistoryReach};
pub use scrape::{Overtaken, Scrape};
pub use sheet::{Sheet, Sheets};

/// Which of the two text formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text, 0.0.4 or 1.0.0: times in milliseconds.
    Text,
    /// OpenMetrics text, 1.0.0: times in seconds.
    OpenMetrics,
}

impl Exposition {
    /// What must stand at the very end.
    #[must_use]
    pub const fn end(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::OpenMetrics => "# EOF\n",
        }
    }
}
