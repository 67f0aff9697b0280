//! How the program is: whether its recorders publish, how fast, and what the server has done.

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tachograph::encode::living;
use tachograph::http::Counters;
use tachograph::ring::{Liveness, Reader, boottime_ns};

use crate::show::span;

/// Most lanes that a status tells of.
const LANES_TOLD: usize = 4;

/// What is looked at to know it.
pub(crate) struct Health {
    lanes: Vec<Lane>,
    server: Option<Rc<Counters>>,
    looked: Instant,
}

/// A lane that this program records.
struct Lane {
    name: String,
    reader: Reader,
    head_at_start: u64,
    head: u64,
}

impl Health {
    /// That of a program with these recorders, which have not begun, and this server.
    pub(crate) fn of(lanes: Vec<(String, Reader)>, server: Option<Rc<Counters>>) -> Self {
        let lane = |(name, reader): (String, Reader)| {
            let head = reader.ring().head();
            Lane { name, reader, head_at_start: head, head }
        };
        Self { lanes: lanes.into_iter().map(lane).collect(), server, looked: Instant::now() }
    }

    /// Whether every recorder has published since it was begun.
    pub(crate) fn has_begun(&mut self) -> bool {
        self.lanes.iter_mut().all(|lane| {
            lane.follow();
            lane.reader.ring().head() > lane.head_at_start
        })
    }

    /// Whether every recorder publishes: its newest record is younger than three intervals and a
    /// second. A watchdog whose time is shorter than an interval is fed between two records too.
    pub(crate) fn is_well(&mut self) -> bool {
        self.lanes.iter_mut().all(|lane| {
            lane.follow();
            lane.reader.liveness() == Liveness::Live
        })
    }

    /// One line for a person: rates are those since the last one.
    pub(crate) fn status(&mut self) -> String {
        let over = self.looked.elapsed();
        self.looked = Instant::now();
        let mut status = String::new();
        for lane in self.lanes.iter_mut().take(LANES_TOLD) {
            lane.tell(over, &mut status);
        }
        if self.lanes.len() > LANES_TOLD {
            // Writing to a String does not fail.
            let _ = write!(status, "{} more lanes; ", self.lanes.len() - LANES_TOLD);
        }
        match &self.server {
            Some(counters) => {
                let _ = write!(status, "{} requests", counters.requests.get());
            }
            None => status.truncate(status.trim_end_matches("; ").len()),
        }
        status
    }
}

impl Lane {
    /// Goes on to the ring's new file if there is one. What cannot be opened is not followed, and
    /// is then seen to stand still.
    fn follow(&mut self) {
        let _ = self.reader.refresh();
    }

    fn tell(&mut self, over: Duration, status: &mut String) {
        let ring = self.reader.ring();
        let head = ring.head();
        let records = head.saturating_sub(std::mem::replace(&mut self.head, head));
        let kept = ring.bounds().map_or(0, |(first, last)| last - first + 1);
        let rate = records as f64 / over.as_secs_f64().max(1e-3);
        let (name, series) = (&self.name, living(ring));
        let _ = write!(status, "{name}: {series} series, {rate:.1} records/s, {kept} kept");
        if self.reader.liveness() != Liveness::Live {
            let age = Duration::from_nanos(boottime_ns().saturating_sub(ring.heartbeat_ns()));
            let _ = write!(status, ", NOTHING FOR {}", span(Duration::from_secs(age.as_secs())));
        }
        status.push_str("; ");
    }
}
