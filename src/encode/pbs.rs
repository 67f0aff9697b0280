//! The pbs view: what Proxmox Backup Server's pull-metrics clients know a host and its stores by.
//!
//! Sixteen points for the id `host` and five for each `datastore/NAME`, one generation each 10 s, the
//! last 30 min, as JSON objects in a list. Metric names, types and units are those that the clients
//! expect; the values are computed from the ring's raw counters when they are asked for. Each
//! generation has the stores that lived in it: the host first, then the stores by name.

use std::collections::BTreeMap;

use super::Points;
use crate::record::{Class, Kind, Repr};
use crate::ring::layout::LIVES;
use crate::ring::{DirectoryCursor, Entry, ReadError, RecordView, Ring, Value, Words};
use crate::window::derive::{CPU_MODES, CpuTimes, cpu_shares};
use crate::window::{Generation, Grid, Objects};

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
/// enough that a hundred slow readers hold a few MiB together. A generation is not divided.
pub const PART_BYTES: usize = 64 << 10;
/// Most stores of a ring that the view has. Of more, those that came first are followed.
pub const STORES_MAX: usize = 256;
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

/// Metric and type of the points of each id `datastore/NAME`, in their order.
pub const STORE_POINTS: [(&str, Kind); 5] = [
    ("disk_total", Kind::Gauge),
    ("disk_used", Kind::Gauge),
    ("disk_available", Kind::Gauge),
    ("disk_read", Kind::Derive),
    ("disk_write", Kind::Derive),
];

/// The series of a store that hold the values of [`STORE_POINTS`], in the same order.
const STORE_SERIES: [&str; STORE_POINTS.len()] =
    ["size_bytes", "used_bytes", "available_bytes", "read_bytes", "written_bytes"];

/// What is asked of the view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PbsQuery {
    /// All generations of the last 30 min that are newer than `start_s`; otherwise the newest one.
    pub history: bool,
    /// Only generations whose time is strictly after this, in seconds since 1970.
    pub start_s: i64,
}

/// Which columns hold what the view needs, as far as the directory has been read.
///
/// It follows the directory of a ring: what it has seen is not decoded again, and what only records
/// had that the ring no longer has is forgotten.
#[derive(Debug)]
pub struct PbsPlan {
    cursor: DirectoryCursor,
    host: Tracks<HOST_SERIES_COUNT>,
    root: Tracks<{ ROOT_SERIES.len() }>,
    /// The interfaces, but those that are known to have no hardware behind them, of which a host of
    /// containers makes thousands. Ordered, so that sums of doubles do not depend on how the plan
    /// came about.
    nics: BTreeMap<Box<str>, Tracks<{ NIC_SERIES.len() }>>,
    stores: BTreeMap<Box<str>, Tracks<{ STORE_SERIES.len() }>>,
    stores_left_out: usize,
    /// The host's points, then those of each store, in the order of `stores`.
    points: Points,
    /// Those that it tells of. What it needs of others is not there for it.
    objects: Objects,
}

/// The series of `host` that the view needs: CPU times by [`CPU_MODES`], then these.
const LEVEL_SERIES: [&str; 7] = [
    "load1",
    "load5",
    "load15",
    "meminfo_MemTotal_bytes",
    "meminfo_MemAvailable_bytes",
    "meminfo_SwapTotal_bytes",
    "meminfo_SwapFree_bytes",
];
const HOST_SERIES_COUNT: usize = CPU_MODES.len() + LEVEL_SERIES.len();

/// The series of the root file system that it needs, and those of an interface.
const ROOT_SERIES: [&str; 5] =
    ["size_bytes", "free_bytes", "available_bytes", "read_sectors", "written_sectors"];
const NIC_SERIES: [&str; 3] = ["physical", "receive_bytes", "transmit_bytes"];
const PHYSICAL: usize = 0;
const RECEIVED: usize = 1;
const SENT: usize = 2;

/// The series of one object, by their place in a list of metrics.
#[derive(Debug)]
struct Tracks<const N: usize>([Track; N]);

impl<const N: usize> Tracks<N> {
    fn new() -> Self {
        Self(std::array::from_fn(|_| Track::default()))
    }

    /// Brings the stretches up to date, and forgets those that ended before the record `oldest`.
    /// Says whether there is any left.
    fn refresh<W: Words>(&mut self, ring: &Ring<W>, oldest: u64) -> bool {
        self.0.iter_mut().for_each(|track| track.refresh(ring, oldest));
        self.0.iter().any(|track| !track.0.is_empty())
    }
}

/// The columns of one series through time, oldest first: it may have ended and begun again
/// elsewhere.
#[derive(Debug, Default)]
struct Track(Vec<Stretch>);

#[derive(Debug)]
struct Stretch {
    /// Number of its entry in the directory.
    entry: usize,
    column: usize,
    first: u64,
    last: u64,
    repr: Repr,
}

impl Stretch {
    /// Whether the series said 0 in a record that the ring has. It may say nothing in some.
    fn says_no<W: Words>(&self, ring: &Ring<W>, oldest: u64, head: u64) -> bool {
        let lived = self.first.max(oldest)..=self.last.min(head);
        let word = |seq: u64| ring.read(seq, |view| view.word(self.column));
        let mut ends = [*lived.end(), *lived.start()].into_iter().filter(|seq| lived.contains(seq));
        ends.any(|seq| {
            word(seq).is_ok_and(|word| Value::of_word(word, self.repr) == Some(Value::U64(0)))
        })
    }
}

impl Track {
    fn push(&mut self, index: usize, entry: &Entry) {
        let Entry { column, first, last, ref series } = *entry;
        self.0.push(Stretch { entry: index, column, first, last, repr: series.repr });
    }

    fn refresh<W: Words>(&mut self, ring: &Ring<W>, oldest: u64) {
        self.0.retain_mut(|stretch| {
            if stretch.last == LIVES {
                stretch.last = ring.entry_last(stretch.entry);
            }
            stretch.last >= oldest.max(stretch.first)
        });
    }

    fn value<W: Words>(&self, view: &RecordView<'_, W>) -> Option<Value> {
        let seq = view.seq();
        let covers = |stretch: &&Stretch| (stretch.first..=stretch.last).contains(&seq);
        // The newest is asked for most.
        let stretch = self.0.iter().rev().find(covers)?;
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

impl Default for PbsPlan {
    /// The plan for no ring yet.
    fn default() -> Self {
        let mut plan = Self {
            cursor: DirectoryCursor::default(),
            host: Tracks::new(),
            root: Tracks::new(),
            nics: BTreeMap::new(),
            stores: BTreeMap::new(),
            stores_left_out: 0,
            points: Points::new(),
            objects: Objects::all(),
        };
        plan.lay_out_points();
        plan
    }
}

impl PbsPlan {
    /// The plan for a ring as its directory is now.
    #[must_use]
    pub fn of<W: Words>(ring: &Ring<W>) -> Self {
        Self::only(ring, Objects::all())
    }

    /// The same for some objects. The host's points need the objects of the host: of the class `host`,
    /// the root file system and the interfaces.
    #[must_use]
    pub fn only<W: Words>(ring: &Ring<W>, objects: Objects) -> Self {
        let mut plan = Self { objects, ..Self::default() };
        plan.update(ring);
        plan
    }

    /// Whether the ring's directory is still as the plan knows it. Asked after a record was read,
    /// `true` means that the plan knew all of its series.
    #[must_use]
    pub fn is_current<W: Words>(&self, ring: &Ring<W>) -> bool {
        self.cursor.is_current(ring)
    }

    /// Brings the plan up to date with the ring's directory, of which it decodes only what is new.
    pub fn update<W: Words>(&mut self, ring: &Ring<W>) {
        let Some(news) = self.cursor.news(ring) else { return };
        if news.anew {
            let (cursor, objects) = (std::mem::take(&mut self.cursor), self.objects.clone());
            *self = Self { cursor, objects, ..Self::default() };
        }
        let stores = self.stores.len();
        // What ended before it is in no record that can be asked for.
        let (oldest, head) = ring.bounds().unwrap_or((1, 0));
        self.host.refresh(ring, oldest);
        self.root.refresh(ring, oldest);
        self.nics.retain(|_, nic| nic.refresh(ring, oldest));
        self.stores.retain(|_, store| store.refresh(ring, oldest));
        if self.stores.len() < stores && self.stores_left_out > 0 {
            // There is room for a store that was passed over.
            *self = Self::only(ring, self.objects.clone());
            return;
        }
        let kept = self.stores.len();
        for index in news.entries {
            let Ok(entry) = ring.entry(index) else { continue };
            if entry.covers_any_since(oldest) && self.objects.has(&entry.series.object) {
                self.add(index, &entry);
            }
        }
        // Whether there is hardware is found out when the series begins, and holds while it lives.
        self.nics.retain(|_, nic| {
            let Track(physical) = &nic.0[PHYSICAL];
            let known = physical.iter().all(|stretch| stretch.says_no(ring, oldest, head));
            physical.is_empty() || !known
        });
        if kept != stores || self.stores.len() != kept {
            self.lay_out_points();
        }
    }

    /// Takes in an entry, if the view needs it.
    fn add(&mut self, index: usize, entry: &Entry) {
        let (object, metric) = (&*entry.series.object, &*entry.series.metric);
        let place = |metrics: &[&str]| metrics.iter().position(|name| *name == metric);
        let track = match Class::of(object) {
            Some(Class::Host) => {
                let mode = metric.strip_prefix("cpu_").and_then(|name| name.strip_suffix("_ticks"));
                let mode = mode.and_then(|mode| CPU_MODES.iter().position(|name| *name == mode));
                let level = || place(&LEVEL_SERIES).map(|level| CPU_MODES.len() + level);
                mode.or_else(level).map(|place| &mut self.host.0[place])
            }
            Some(Class::Filesystem) if object == "filesystem/" => {
                place(&ROOT_SERIES).map(|place| &mut self.root.0[place])
            }
            Some(Class::Nic) => place(&NIC_SERIES).map(|place| {
                let nic = self.nics.entry(object.into());
                &mut nic.or_insert_with(Tracks::new).0[place]
            }),
            Some(Class::Datastore) => place(&STORE_SERIES).and_then(|place| {
                let is_known = self.stores.contains_key(object);
                if !is_known && self.stores.len() >= STORES_MAX {
                    self.stores_left_out += usize::from(place == 0);
                    return None;
                }
                let store = self.stores.entry(object.into());
                Some(&mut store.or_insert_with(Tracks::new).0[place])
            }),
            _ => None,
        };
        if let Some(track) = track {
            track.push(index, entry);
        }
    }

    fn lay_out_points(&mut self) {
        self.points = Points::new();
        let host = [("host", &HOST_POINTS[..])].into_iter();
        let stores = self.stores.keys().map(|store| (&**store, &STORE_POINTS[..]));
        for (object, points) in host.chain(stores) {
            for (metric, kind) in points {
                self.points.push(object, metric, *kind);
            }
        }
    }

    /// How many points a generation has room for: those of the host and of every store that some
    /// record of the ring may have.
    #[must_use]
    pub fn points(&self) -> usize {
        self.points.len()
    }

    /// Stores beyond [`STORES_MAX`]. One that ended and came again is counted twice.
    #[must_use]
    pub fn stores_left_out(&self) -> usize {
        self.stores_left_out
    }

    /// Puts the values of the record `seq` into `values` and returns its CPU times, for the next
    /// one. There are as many values as [`PbsPlan::points`]: those of [`HOST_POINTS`], then those of
    /// [`STORE_POINTS`] for each store; NaN where there is none. Shares of CPU time are those since
    /// `before`, or since boot.
    ///
    /// The plan is brought up to date when the directory has changed.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the record is not there; `values` must then not be used.
    pub fn measure<W: Words>(
        &mut self,
        ring: &Ring<W>,
        seq: u64,
        before: Option<&CpuTimes>,
        values: &mut Vec<f64>,
    ) -> Result<CpuTimes, ReadError> {
        let times = self.read(ring, seq, |plan, view| {
            values.clear();
            values.resize(plan.points.len(), f64::NAN);
            let (host, stores) = values.split_at_mut(HOST_POINTS.len());
            plan.levels(view, host);
            for (values, store) in stores.chunks_mut(STORE_POINTS.len()).zip(plan.stores.values()) {
                for (value, track) in values.iter_mut().zip(&store.0) {
                    *value = track.f64(view).unwrap_or(f64::NAN);
                }
            }
            plan.cpu_times(view)
        })?;
        if let Some(shares) = cpu_shares(before, &times) {
            (values[0], values[1]) = (shares.busy, shares.iowait);
        }
        Ok(times)
    }

    /// The CPU times of the record `seq`.
    fn measure_cpu<W: Words>(&mut self, ring: &Ring<W>, seq: u64) -> Result<CpuTimes, ReadError> {
        self.read(ring, seq, |plan, view| plan.cpu_times(view))
    }

    /// Runs `f` on the record `seq` with a plan that knows all of its series.
    fn read<W: Words, T>(
        &mut self,
        ring: &Ring<W>,
        seq: u64,
        mut f: impl FnMut(&Self, &RecordView<'_, W>) -> T,
    ) -> Result<T, ReadError> {
        for _ in 0..PLAN_TRIES {
            let found = ring.read(seq, |view| f(self, &view))?;
            if self.is_current(ring) {
                return Ok(found);
            }
            self.update(ring);
        }
        // A directory that changes faster than it can be read belongs to no sane recorder.
        Err(ReadError::Corrupt)
    }

    fn cpu_times<W: Words>(&self, view: &RecordView<'_, W>) -> CpuTimes {
        std::array::from_fn(|mode| self.host.0[mode].u64(view))
    }

    /// The values of the host in a record by itself: all of [`HOST_POINTS`] but the shares of CPU
    /// time.
    fn levels<W: Words>(&self, view: &RecordView<'_, W>, values: &mut [f64]) {
        let used = |total: &Track, free: &Track| {
            let (total, free) = (total.u64(view)?, free.u64(view)?);
            Some(total.saturating_sub(free) as f64)
        };
        let bytes = |sectors: &Track| Some(sectors.u64(view)? as f64 * SECTOR_BYTES);
        let (_, levels) = self.host.0.split_at(CPU_MODES.len());
        let [load1, load5, load15, mem_total, mem_available, swap_total, swap_free] = levels else {
            return;
        };
        let [disk_size, disk_free, disk_available, read_sectors, written_sectors] = &self.root.0;
        let found = [
            load1.f64(view),
            load5.f64(view),
            load15.f64(view),
            mem_total.f64(view),
            used(mem_total, mem_available),
            swap_total.f64(view),
            used(swap_total, swap_free),
            self.physical_bytes(view, RECEIVED),
            self.physical_bytes(view, SENT),
            disk_size.f64(view),
            used(disk_size, disk_free),
            disk_available.f64(view),
            bytes(read_sectors),
            bytes(written_sectors),
        ];
        for (value, found) in values.iter_mut().skip(2).zip(found) {
            *value = found.unwrap_or(f64::NAN);
        }
    }

    /// Bytes over all interfaces with hardware behind them, received or sent by the place in
    /// [`NIC_SERIES`]; `None` on a host without any.
    fn physical_bytes<W: Words>(&self, view: &RecordView<'_, W>, place: usize) -> Option<f64> {
        let physical = self.nics.values().filter(|nic| nic.0[PHYSICAL].u64(view) == Some(1));
        let bytes = physical.filter_map(|nic| nic.0[place].u64(view));
        bytes.map(|bytes| bytes as f64).reduce(|a, b| a + b)
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
/// written, one generation's values, of which there are no more than [`STORES_MAX`] explains. Reused through [`PbsAnswer::begin`], it does not allocate.
#[derive(Debug)]
pub struct PbsAnswer {
    chosen: Vec<Chosen>,
    next: usize,
    first: bool,
    base: Option<(u64, CpuTimes)>,
    overrun: u64,
    /// The values of the generation that is being written.
    values: Vec<f64>,
}

impl Default for PbsAnswer {
    fn default() -> Self {
        let (chosen, values) = (Vec::new(), Vec::new());
        Self { chosen, next: 0, first: true, base: None, overrun: 0, values }
    }
}

impl PbsAnswer {
    /// Chooses the generations that answer `query` at the time `now_s`, in seconds since 1970.
    ///
    /// They ascend, no two have the same second, and none lies in the future. Where a clock that was
    /// set back gave two of them one second, the one recorded first stands.
    pub fn begin<W: Words>(&mut self, ring: &Ring<W>, query: PbsQuery, now_s: i64) {
        let Self { chosen, next, first, base, overrun, values: _ } = self;
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
    /// whether more follow. `plan` is brought up to date when the ring's directory has changed.
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
                Ok(()) => plan.points.encode(timestamp_s, &self.values, &mut self.first, out),
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
    ) -> Result<(), ReadError> {
        let before = match (generation.base, self.base) {
            (Some(base), Some((seq, times))) if base == seq => Some(times),
            (Some(base), _) => Some(plan.measure_cpu(ring, base)?),
            (None, _) => None,
        };
        let times = plan.measure(ring, generation.seq, before.as_ref(), &mut self.values)?;
        self.base = Some((generation.seq, times));
        Ok(())
    }
}
