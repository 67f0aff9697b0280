//! The clock loop: wait for the tick, sample, publish.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tachograph::encode::STEP_S;
use tachograph::record::{Record, RecordHeader, Schema, flags};
use tachograph::ring::{Before, Now, Opening, Reader, RunDir, Writer, WriterOptions};
use tachograph::sample::Sampler;
use tracing::{error, info, warn};

use crate::config::{Depth, LANE, Lane, Settings};
use crate::schedule::{Schedule, Tick};
use crate::show::{bytes, span};

/// The default depth is shortened where the ring would be larger than this.
const DEFAULT_RING_BYTES_MAX: u64 = 256 << 20;
/// Permissions of the ring's file: what it holds can be read under /proc by everybody as well.
const RING_MODE: u32 = 0o644;

/// Sources that the points of the pull API come from.
const PULLED: [&str; 6] = ["stat", "meminfo", "loadavg", "net_dev", "filesystem", "datastore"];

/// Metrics of the recorder itself, in the order in which [`Recorder::observe_self`] writes them.
const SELF_METRICS: [&str; 11] = [
    "ticks",
    "ticks_missed",
    "tick_duration_ns",
    "tick_lateness_ns",
    "cpu_ns",
    "source_errors",
    "sources_failing",
    "columns_used",
    "clock_steps",
    "rollovers",
    "sync_failures",
];

/// A recorder, ready to tick.
pub(crate) struct Recorder {
    writer: Writer,
    schema: Schema,
    sampler: Sampler,
    record: Record,
    schedule: Schedule,
    own: [Option<usize>; SELF_METRICS.len()],
    ticks: u64,
    ticks_missed: u64,
    clock_steps: u64,
    last_duration_ns: u64,
    sync_failures: u64,
}

impl Recorder {
    /// Opens the sources and the ring of a lane.
    pub(crate) fn start(settings: &Settings, lane: &Lane) -> anyhow::Result<Self> {
        let dir = RunDir::for_writing(settings.run_dir.as_deref())?;
        if !dir.is_in_memory() {
            warn!(
                "{} is not on tmpfs: the recorder is held up whenever the kernel writes the ring to the disk",
                dir.path().display()
            );
        }
        let opening = Opening::of(&dir, &lane.name)?;
        let mut schema = Schema::resume(opening.live_series());
        let own = SELF_METRICS.map(|metric| schema.add("tachograph", metric).ok());
        let sampler = Sampler::open(&settings.sampling(lane), &mut schema);
        schema.end_unclaimed();
        let options = WriterOptions {
            interval: lane.interval,
            depth_records: depth_records(lane, schema.width()),
            mode: RING_MODE,
        };
        let (writer, before) = opening.start(&options, &mut schema)?;
        tell(lane, &writer, schema.len(), &before);
        Ok(Self {
            record: Record::new(schema.width()),
            writer,
            schema,
            sampler,
            schedule: Schedule::new(lane.interval),
            own,
            ticks: 0,
            ticks_missed: 0,
            clock_steps: 0,
            last_duration_ns: 0,
            sync_failures: 0,
        })
    }

    /// A reader in this process.
    pub(crate) fn reader(&self) -> anyhow::Result<Reader> {
        Ok(self.writer.reader()?)
    }

    /// Ends before it has begun: the ring is closed.
    pub(crate) fn close(self) {
        self.writer.close();
    }

    /// Records until `stop` is set, then closes the ring.
    pub(crate) fn run(mut self, stop: &AtomicBool) {
        while self.sleep(stop) {
            self.tick();
        }
        self.writer.close();
    }

    /// Sleeps until the next tick; `false` when it is time to end.
    fn sleep(&mut self, stop: &AtomicBool) -> bool {
        let wait = self.schedule.wait(Now::read());
        let mut deadline = Instant::now() + wait;
        loop {
            if stop.load(Ordering::Acquire) {
                return false;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                thread::park_timeout(left);
                continue;
            }
            match self.schedule.early(Now::read()) {
                Some(more) => deadline = Instant::now() + more,
                None => return true,
            }
        }
    }

    /// Takes one tick: everything that is due is read and published as one record.
    pub(crate) fn tick(&mut self) {
        let now = Now::read();
        let tick = self.schedule.take(now);
        let first = self.ticks == 0;
        self.ticks += 1;
        self.ticks_missed += tick.missed;
        self.clock_steps += u64::from(tick.clock_step);
        self.sampler.tick(tick.number, first, &mut self.schema, &mut self.record);
        for event in self.sampler.drain_events() {
            warn!("{event}");
        }
        self.observe_self(&tick);
        self.follow_schema(now);
        let duration_ns = Now::read().boottime_ns.saturating_sub(now.boottime_ns);
        self.last_duration_ns = duration_ns;
        let mut set = 0;
        if tick.missed > 0 {
            set |= flags::MISSED;
        }
        if tick.clock_step {
            set |= flags::CLOCK_STEP;
        }
        let columns = self.record.words().len() as u64;
        self.record.header = RecordHeader {
            realtime_ns: now.realtime_ns,
            boottime_ns: now.boottime_ns,
            columns,
            tick_duration_ns: duration_ns,
            missed_ticks: tick.missed,
            ..RecordHeader::default()
        };
        self.record.header.set_epoch_and_flags(0, set);
        self.writer.publish(&mut self.record);
        self.writer.wake();
    }

    fn observe_self(&mut self, tick: &Tick) {
        let values = [
            self.ticks,
            self.ticks_missed,
            self.last_duration_ns,
            tick.lateness_ns,
            cpu_ns(),
            self.sampler.errors(),
            self.sampler.failing() as u64,
            self.schema.len() as u64,
            self.clock_steps,
            self.writer.rollovers(),
            self.sync_failures,
        ];
        for (column, value) in self.own.iter().zip(values) {
            if let Some(word) = column.and_then(|column| self.record.words_mut().get_mut(column)) {
                *word = value;
            }
        }
    }

    /// Tells the ring's directory what has come and gone, and the log when series cannot be recorded
    /// and when they are again.
    fn follow_schema(&mut self, now: Now) {
        let was_behind = self.writer.is_behind();
        match self.writer.keep_up(&mut self.schema, now.boottime_ns) {
            None => {}
            Some(Ok(())) if !was_behind => {}
            Some(Ok(())) => info!("all series are recorded again"),
            Some(Err(error)) => {
                if !was_behind {
                    error!("new series cannot be recorded: {error}");
                }
                self.sync_failures += 1;
            }
        }
    }
}

/// CPU time that this thread has used, in nanoseconds.
fn cpu_ns() -> u64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64
}

/// How many records the ring must hold.
fn depth_records(lane: &Lane, width: usize) -> u64 {
    let interval_ns = lane.interval.as_nanos();
    let records = |depth: Duration| {
        u64::try_from(depth.as_nanos().div_ceil(interval_ns)).unwrap_or(u64::MAX).saturating_add(1)
    };
    match lane.depth {
        Depth::Asked(depth) => records(depth),
        Depth::Default(depth) => {
            // An eighth more than the series need now is what the ring keeps for later ones.
            let slot_bytes = (RecordHeader::WORDS + width + width / 8 + 32) as u64 * 8;
            let most = DEFAULT_RING_BYTES_MAX / slot_bytes;
            if records(depth).next_power_of_two() <= most {
                return records(depth);
            }
            1 << most.max(2).ilog2()
        }
    }
}

/// Tells what is recorded where and after what, in one line, and before it what went wrong.
fn tell(lane: &Lane, writer: &Writer, series: usize, before: &Before) {
    let after = match before {
        Before::History { records, discarded, in_place } => {
            if *discarded > 0 {
                let (slots, were) =
                    if *discarded == 1 { ("slot", "was") } else { ("slots", "were") };
                warn!("{discarded} {slots} of the ring {were} damaged: emptied");
            }
            let file = if *in_place { "in it" } else { "of the former file" };
            format!(", after the {records} records {file}")
        }
        Before::OtherBoot => ", in place of the ring from before the machine started".to_owned(),
        Before::SetAside { path, error } => {
            let path = path.display();
            warn!("the file in the ring's place is kept as {path}; it cannot be used: {error}");
            String::new()
        }
        _ => String::new(),
    };
    let geometry = *writer.ring().geometry();
    let reach = lane.interval * u32::try_from(geometry.slot_count).unwrap_or(u32::MAX);
    let less = matches!(lane.depth, Depth::Default(depth) if reach < depth);
    let hint = if less { "; --depth asks for more" } else { "" };
    info!(
        "recording {series} series every {:?} into {} ({}, the last {}{hint}){after}",
        lane.interval,
        writer.path().display(),
        bytes(geometry.file_bytes as f64),
        span(reach),
    );
    if lane.name != LANE {
        return;
    }
    // A generation is derived from the one before it, so both must be there.
    if reach.as_secs() < 2 * STEP_S {
        warn!("a ring of {} has no generation for pullers, who ask every {STEP_S} s", span(reach));
    }
    // One record in so many stands for a step; whoever is not in it is not in the step.
    let ticks = u128::from(STEP_S) * 1_000_000_000 / lane.interval.as_nanos();
    for (source, divisor) in lane.sources.iter() {
        let rarely = divisor > 0 && !ticks.is_multiple_of(u128::from(divisor));
        if rarely && PULLED.contains(&source) {
            warn!(
                "the source {source} is read every {:?}, which does not divide {STEP_S} s: most \
                 generations lack what it gives",
                lane.interval * divisor
            );
        }
    }
}
