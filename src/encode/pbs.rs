//! The pbs view: what Proxmox Backup Server's pull-metrics clients know a host by.
//!
//! Sixteen points for the id `host`, one generation each 10 s, the last 30 min, as JSON objects in
//! a list. Metric names, types and units are those that the clients expect; the values are computed
//! from the ring's raw counters when they are asked for.

use super::Points;
use crate::record::{Kind, Repr};
use crate::ring::{Directory, ReadError, RecordView, Ring, Value, Words};
use crate::window::derive::{CPU_MODES, CpuTimes, cpu_shares};
use crate::window::{Generation, Grid};

/// Time between generations.
pub const STEP_S: u64 = 10;
/// How far back the history goes.
pub const HISTORY_S: i64 = 30 * 60;
/// Most generations of an answer: the steps of the history, and more when a recorder was started
/// anew in between. Of still more the oldest are left out.
pub const GENERATIONS_MAX: usize = 512;
/// A part of an answer is closed when it has this many bytes.
///
/// Large enough that the price of a part (a chunk header, a system call) does not show, small
/// enough that a hundred slow readers hold a few MiB together.
pub const PART_BYTES: usize = 64 << 10;
/// How often a record is read again because the directory changed under it.
const PLAN_TRIES: u32 = 4;

const NS_PER_S: u64 = 1_000_000_000;
const SECTOR_BYTES: f64 = 512.0;

/// Metric and type of the points of the id `host`, in their order.
pub const HOST_POINTS: [(&str, Kind); 16] = [
    ("cpu_current", Kind::Gauge),
    ("cpu_iowait", Kind::Gauge),
    ("cpu_avg1", Kind::Gauge),
    ("cpu_avg5", Kind::Gauge),
    ("cpu_avg15", Kind::Gauge),
    ("mem_total", Kind::Gauge),
    ("mem_used", Kind::Gauge),
    ("swap_total", Kind::Gauge),
    ("swap_used", Kind::Gauge),
    ("net_in", Kind::Derive),
    ("net_out", Kind::Derive),
    ("disk_total", Kind::Gauge),
    ("disk_used", Kind::Gauge),
    ("disk_available", Kind::Gauge),
    ("disk_read", Kind::Derive),
    ("disk_write", Kind::Derive),
];

/// One value per line of [`HOST_POINTS`], NaN where there is none.
pub type HostValues = [f64; HOST_POINTS.len()];

/// What is asked of the view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PbsQuery {
    /// All generations of the last 30 min that are newer than `start_s`; otherwise the newest one.
    pub history: bool,
    /// Only generations whose time is strictly after this, in seconds since 1970.
    pub start_s: i64,
}

/// Which columns hold what the view needs, as one directory said it.
#[derive(Debug)]
pub struct PbsPlan {
    ring_id: [u64; 2],
    changes: u64,
    cpu: [Track; CPU_MODES.len()],
    load: [Track; 3],
    mem_total: Track,
    mem_available: Track,
    swap_total: Track,
    swap_free: Track,
    nics: Vec<Nic>,
    disk_size: Track,
    disk_free: Track,
    disk_available: Track,
    read_sectors: Track,
    written_sectors: Track,
    points: Points,
}

#[derive(Debug)]
struct Nic {
    object: Box<str>,
    physical: Track,
    received: Track,
    sent: Track,
}

/// The columns of one series through time: it may have ended and begun again elsewhere.
#[derive(Debug, Default)]
struct Track(Vec<Stretch>);

#[derive(Debug)]
struct Stretch {
    column: usize,
    first: u64,
    last: u64,
    repr: Repr,
}

impl Track {
    fn of(directory: &Directory, object: &str, metric: &str) -> Self {
        let of_series = directory
            .iter()
            .filter(|entry| &*entry.series.metric == metric && &*entry.series.object == object);
        // The newest first: it is asked for most.
        let stretches = of_series.rev().map(|entry| Stretch {
            column: entry.column,
            first: entry.first,
            last: entry.last,
            repr: entry.series.repr,
        });
        Self(stretches.collect())
    }

    fn value<W: Words>(&self, view: &RecordView<'_, W>) -> Option<Value> {
        let seq = view.seq();
        let stretch =
            self.0.iter().find(|stretch| (stretch.first..=stretch.last).contains(&seq))?;
        Value::of_word(view.word(stretch.column), stretch.repr)
    }

    fn u64<W: Words>(&self, view: &RecordView<'_, W>) -> Option<u64> {
        match self.value(view)? {
            Value::U64(value) => Some(value),
            Value::F64(_) => None,
        }
    }

    fn f64<W: Words>(&self, view: &RecordView<'_, W>) -> Option<f64> {
        self.value(view).map(Value::as_f64)
    }
}

impl PbsPlan {
    /// The plan for a ring as its directory is now.
    #[must_use]
    pub fn of<W: Words>(ring: &Ring<W>) -> Self {
        let directory = ring.directory();
        let host = |metric: &str| Track::of(&directory, "host", metric);
        let root = |metric: &str| Track::of(&directory, "filesystem/", metric);
        let mut nics: Vec<Nic> = Vec::new();
        for entry in directory.iter().filter(|entry| &*entry.series.metric == "physical") {
            let object = &entry.series.object;
            if !nics.iter().any(|nic| nic.object == *object) {
                nics.push(Nic {
                    object: object.clone(),
                    physical: Track::of(&directory, object, "physical"),
                    received: Track::of(&directory, object, "receive_bytes"),
                    sent: Track::of(&directory, object, "transmit_bytes"),
                });
            }
        }
        let mut points = Points::new();
        for (metric, kind) in HOST_POINTS {
            points.push("host", metric, kind);
        }
        Self {
            ring_id: ring.header().ring_id,
            changes: directory.changes,
            cpu: CPU_MODES.map(|mode| host(&format!("cpu_{mode}_ticks"))),
            load: ["load1", "load5", "load15"].map(host),
            mem_total: host("meminfo_MemTotal_bytes"),
            mem_available: host("meminfo_MemAvailable_bytes"),
            swap_total: host("meminfo_SwapTotal_bytes"),
            swap_free: host("meminfo_SwapFree_bytes"),
            nics,
            disk_size: root("size_bytes"),
            disk_free: root("free_bytes"),
            disk_available: root("available_bytes"),
            read_sectors: root("read_sectors"),
            written_sectors: root("written_sectors"),
            points,
        }
    }

    /// Whether the ring's directory is still the one that the plan was made from. Asked after a
    /// record was read, `true` means that the plan knew all of its series.
    #[must_use]
    pub fn is_current<W: Words>(&self, ring: &Ring<W>) -> bool {
        ring.header().ring_id == self.ring_id && ring.directory_changes() == self.changes
    }

    /// The values of the record `seq`, and its CPU times for the next one. Shares of CPU time are
    /// those since `before`, or since boot. The plan is made anew when the directory has changed.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the record is not there.
    pub fn measure<W: Words>(
        &mut self,
        ring: &Ring<W>,
        seq: u64,
        before: Option<&CpuTimes>,
    ) -> Result<(HostValues, CpuTimes), ReadError> {
        for _ in 0..PLAN_TRIES {
            let (mut values, times) =
                ring.read(seq, |view| (self.levels(&view), self.cpu_times(&view)))?;
            if self.is_current(ring) {
                let shares = cpu_shares(before, &times);
                values[0] = shares.map_or(f64::NAN, |shares| shares.busy);
                values[1] = shares.map_or(f64::NAN, |shares| shares.iowait);
                return Ok((values, times));
            }
            *self = Self::of(ring);
        }
        // A directory that changes faster than it can be read belongs to no sane recorder.
        Err(ReadError::Corrupt)
    }

    fn cpu_times<W: Words>(&self, view: &RecordView<'_, W>) -> CpuTimes {
        std::array::from_fn(|mode| self.cpu[mode].u64(view))
    }

    /// The values of a record by itself: all of [`HOST_POINTS`] but the shares of CPU time.
    fn levels<W: Words>(&self, view: &RecordView<'_, W>) -> HostValues {
        let used = |total: &Track, free: &Track| {
            let (total, free) = (total.u64(view)?, free.u64(view)?);
            Some(total.saturating_sub(free) as f64)
        };
        let bytes = |sectors: &Track| Some(sectors.u64(view)? as f64 * SECTOR_BYTES);
        let found = [
            self.load[0].f64(view),
            self.load[1].f64(view),
            self.load[2].f64(view),
            self.mem_total.f64(view),
            used(&self.mem_total, &self.mem_available),
            self.swap_total.f64(view),
            used(&self.swap_total, &self.swap_free),
            self.physical_bytes(view, |nic| &nic.received),
            self.physical_bytes(view, |nic| &nic.sent),
            self.disk_size.f64(view),
            used(&self.disk_size, &self.disk_free),
            self.disk_available.f64(view),
            bytes(&self.read_sectors),
            bytes(&self.written_sectors),
        ];
        let mut values = [f64::NAN; HOST_POINTS.len()];
        for (value, found) in values[2..].iter_mut().zip(found) {
            *value = found.unwrap_or(f64::NAN);
        }
        values
    }

    /// Bytes over all interfaces with hardware behind them; `None` on a host without any.
    fn physical_bytes<W: Words>(
        &self,
        view: &RecordView<'_, W>,
        of: impl Fn(&Nic) -> &Track,
    ) -> Option<f64> {
        let physical = self.nics.iter().filter(|nic| nic.physical.u64(view) == Some(1));
        physical.filter_map(|nic| of(nic).u64(view)).map(|bytes| bytes as f64).reduce(|a, b| a + b)
    }
}

/// A generation chosen for an answer.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    generation: Generation,
    timestamp_s: i64,
}

/// An answer of the view, written part by part.
///
/// Its memory does not depend on the window: the list of chosen generations and, while a part is
/// written, one generation's values. Reused through [`PbsAnswer::begin`], it does not allocate.
#[derive(Debug)]
pub struct PbsAnswer {
    chosen: Vec<Chosen>,
    next: usize,
    first: bool,
    base: Option<(u64, CpuTimes)>,
    overrun: u64,
}

impl Default for PbsAnswer {
    fn default() -> Self {
        Self { chosen: Vec::new(), next: 0, first: true, base: None, overrun: 0 }
    }
}

impl PbsAnswer {
    /// Chooses the generations that answer `query` at the time `now_s`, in seconds since 1970.
    ///
    /// They ascend, no two have the same second, and none lies in the future. Where a clock that was
    /// set back gave two of them one second, the one recorded first stands.
    pub fn begin<W: Words>(&mut self, ring: &Ring<W>, query: PbsQuery, now_s: i64) {
        let Self { chosen, next, first, base, overrun } = self;
        chosen.clear();
        (*next, *first, *base, *overrun) = (0, true, None, 0);
        let timestamp_s = |generation: &Generation| (generation.realtime_ns / NS_PER_S) as i64;
        let grid = Grid::new(ring, STEP_S * NS_PER_S);
        if !query.history {
            let newest = grid.newest();
            chosen.extend(
                newest
                    .map(|generation| Chosen { timestamp_s: timestamp_s(&generation), generation }),
            );
            return;
        }
        let after_s = query.start_s.max(now_s.saturating_sub(HISTORY_S + 1));
        let mut generations = grid.iter();
        while let Some(generation) = generations.next() {
            let timestamp_s = timestamp_s(&generation);
            if timestamp_s <= after_s {
                // Older ones of this run are older still; an earlier run may be later in time.
                generations.skip_run();
            } else if timestamp_s <= now_s {
                chosen.push(Chosen { generation, timestamp_s });
                if chosen.len() == GENERATIONS_MAX {
                    break;
                }
            }
        }
        chosen.reverse();
        if !chosen.is_sorted_by(|a, b| a.timestamp_s < b.timestamp_s) {
            chosen.sort_unstable_by_key(|chosen| (chosen.timestamp_s, chosen.generation.seq));
            chosen.dedup_by_key(|chosen| chosen.timestamp_s);
        }
    }

    /// Appends the next part to `out`: JSON objects, separated by commas across parts. Returns
    /// whether more follow. `plan` is made anew when the ring's directory has changed.
    ///
    /// A generation that the writer has overwritten since [`PbsAnswer::begin`] is left out and
    /// counted.
    pub fn part<W: Words>(
        &mut self,
        ring: &Ring<W>,
        plan: &mut PbsPlan,
        out: &mut Vec<u8>,
    ) -> bool {
        let end = out.len() + PART_BYTES;
        while let Some(Chosen { generation, timestamp_s }) = self.chosen.get(self.next).copied() {
            if out.len() >= end {
                return true;
            }
            self.next += 1;
            match self.measure(ring, plan, &generation) {
                Ok(values) => plan.points.encode(timestamp_s, &values, &mut self.first, out),
                Err(_) => self.overrun += 1,
            }
        }
        false
    }

    /// Generations that were overwritten before they could be written out.
    #[must_use]
    pub fn overrun(&self) -> u64 {
        self.overrun
    }

    fn measure<W: Words>(
        &mut self,
        ring: &Ring<W>,
        plan: &mut PbsPlan,
        generation: &Generation,
    ) -> Result<HostValues, ReadError> {
        let before = match (generation.base, self.base) {
            (Some(base), Some((seq, times))) if base == seq => Some(times),
            (Some(base), _) => Some(plan.measure(ring, base, None)?.1),
            (None, _) => None,
        };
        let (values, times) = plan.measure(ring, generation.seq, before.as_ref())?;
        self.base = Some((generation.seq, times));
        Ok(values)
    }
}
