//! A recorder of this host, as the program puts it together.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tachograph::record::{Record, RecordHeader, Schema};
use tachograph::ring::{Opening, RunDir, Writer, WriterOptions};
use tachograph::sample::{Roots, Sampler, Selection};

#[path = "../../tests/support/scratch.rs"]
mod scratch;
use scratch::Scratch;

/// One second, in nanoseconds.
const S: u64 = 1_000_000_000;

/// The recorder and its ring in memory, of as many slots as the program's own.
pub(crate) struct Host {
    _scratch: Scratch,
    pub(crate) schema: Schema,
    pub(crate) record: Record,
    pub(crate) writer: Writer,
    sampler: Sampler,
    ticks: u64,
}

impl Host {
    /// Opens what `selection` says.
    pub(crate) fn new(selection: &Selection) -> Self {
        let scratch = Scratch::new();
        let dir = RunDir::for_writing(Some(scratch.path())).expect("a run directory");
        let opening = Opening::of(&dir, "host").expect("the lane is free");
        let mut schema = Schema::new();
        let sampler = Sampler::open(&Roots::default(), selection, &mut schema);
        let options =
            WriterOptions { interval: Duration::from_secs(1), depth_records: 3601, mode: 0o644 };
        let (writer, _) = opening.start(&options, &mut schema).expect("a ring");
        let record = Record::new(schema.width());
        Self { _scratch: scratch, schema, record, writer, sampler, ticks: 0 }
    }

    /// What the program does at each tick.
    pub(crate) fn tick(&mut self) {
        self.tick_ago(0);
    }

    /// The same, but the record says that it is so many seconds old.
    pub(crate) fn tick_ago(&mut self, seconds: u64) {
        let (realtime_ns, boottime_ns) = (ns(ClockId::Realtime), ns(ClockId::Boottime));
        self.sampler.tick(self.ticks, self.ticks == 0, &mut self.schema, &mut self.record);
        assert_eq!(self.sampler.drain_events().count(), 0, "a sound machine");
        if !self.schema.changes().is_empty() {
            self.writer.sync(&mut self.schema).expect("room in the ring");
        }
        self.ticks += 1;
        self.record.header = RecordHeader {
            realtime_ns: realtime_ns - seconds * S,
            boottime_ns: boottime_ns.saturating_sub(seconds * S),
            tick_duration_ns: ns(ClockId::Boottime) - boottime_ns,
            ..RecordHeader::default()
        };
        self.writer.publish(&mut self.record);
        self.writer.wake();
    }
}

fn ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec as u64 * S + now.tv_nsec as u64
}
