//! A recorder of this host, as the program puts it together.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tachograph::record::{Record, RecordHeader, Schema};
use tachograph::ring::{Opening, RunDir, Writer, WriterOptions};
use tachograph::sample::{Sampler, Sampling, Selection};

#[path = "../../tests/support/scratch.rs"]
mod scratch;
pub(crate) use scratch::Scratch;

/// One second, in nanoseconds.
const S: u64 = 1_000_000_000;

/// The recorder and its ring in memory, of as many slots as the program's own.
pub(crate) struct Host {
    scratch: Scratch,
    pub(crate) schema: Schema,
    pub(crate) record: Record,
    pub(crate) writer: Writer,
    sampler: Sampler,
    ticks: u64,
}

impl Host {
    /// Opens what `selection` says.
    #[allow(dead_code, reason = "not every benchmark has nothing else to say")]
    pub(crate) fn new(selection: &Selection) -> Self {
        Self::of(&Sampling { sources: selection.clone(), ..Sampling::default() })
    }

    /// Opens what `sampling` says.
    pub(crate) fn of(sampling: &Sampling) -> Self {
        let scratch = Scratch::new();
        let dir = RunDir::for_writing(Some(scratch.path())).expect("a run directory");
        let opening = Opening::of(&dir, "host").expect("the lane is free");
        let mut schema = Schema::new();
        let sampler = Sampler::open(sampling, &mut schema);
        let options =
            WriterOptions { interval: Duration::from_secs(1), depth_records: 3601, mode: 0o644 };
        let (writer, _) = opening.start(&options, &mut schema).expect("a ring");
        let record = Record::new(schema.width());
        Self { scratch, schema, record, writer, sampler, ticks: 0 }
    }

    /// What the program does at each tick.
    #[allow(dead_code, reason = "not every benchmark times ticks")]
    pub(crate) fn tick(&mut self) {
        self.tick_of(0, self.ticks == 0);
    }

    /// The same at a tick at which every source is due.
    #[allow(dead_code, reason = "not every benchmark times ticks")]
    pub(crate) fn whole_tick(&mut self) {
        self.tick_of(0, true);
    }

    /// Fills the ring with a record for each of the last `seconds`.
    #[allow(dead_code, reason = "not every benchmark reads")]
    pub(crate) fn record_past(&mut self, seconds: u64) {
        (0..=seconds).rev().for_each(|ago| self.tick_of(ago, ago == seconds));
    }

    /// Closes the ring and leaves it in its directory.
    #[allow(dead_code, reason = "not every benchmark leaves a ring to the program")]
    pub(crate) fn end(self) -> Scratch {
        self.writer.close();
        self.scratch
    }

    /// Ticks, and records it as what was seen so many seconds ago.
    fn tick_of(&mut self, ago: u64, all_due: bool) {
        let (realtime_ns, boottime_ns) = (ns(ClockId::Realtime), ns(ClockId::Boottime));
        self.sampler.tick(self.ticks, all_due, &mut self.schema, &mut self.record);
        assert_eq!(self.sampler.drain_events().count(), 0, "a sound machine");
        if ago > 0 {
            self.rewind_cpu_time(ago);
        }
        if !self.schema.changes().is_empty() {
            self.writer.sync(&mut self.schema).expect("room in the ring");
        }
        self.ticks += 1;
        self.record.header = RecordHeader {
            realtime_ns: realtime_ns - ago * S,
            boottime_ns: boottime_ns.saturating_sub(ago * S),
            tick_duration_ns: ns(ClockId::Boottime) - boottime_ns,
            ..RecordHeader::default()
        };
        self.writer.publish(&mut self.record);
        self.writer.wake();
    }

    /// In all of a made-up past hardly any CPU time passes, and shares of nothing are absent from
    /// answers. So what the CPUs did is made up as well.
    fn rewind_cpu_time(&mut self, seconds: u64) {
        for (rate, mode) in [(61, "idle"), (17, "user"), (7, "system"), (1, "iowait")] {
            let column = self.schema.column("host", &format!("cpu_{mode}_ticks"));
            let word = &mut self.record.words_mut()[column.expect("every kernel has it")];
            *word = word.saturating_sub(rate * seconds);
        }
    }
}

fn ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec as u64 * S + now.tv_nsec as u64
}
