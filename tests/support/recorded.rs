//! Rings with a made-up past: every record is told what its clocks said.

use std::time::Duration;

use tachograph::record::{Record, Schema, flags};
use tachograph::ring::{Opening, RunDir, Writer, WriterOptions};

#[path = "scratch.rs"]
mod scratch;
use scratch::Scratch;

/// A recorder whose clocks are set by hand. Restarting it begins a new epoch in the same ring.
pub(crate) struct Recorded {
    pub(crate) scratch: Scratch,
    pub(crate) schema: Schema,
    pub(crate) record: Record,
    writer: Option<Writer>,
    options: WriterOptions,
}

impl Recorded {
    /// A ring for `depth_records` records at `interval` of the series `(object, metric)`.
    pub(crate) fn new(depth_records: u64, interval: Duration, series: &[(&str, &str)]) -> Self {
        let mut schema = Schema::new();
        for (object, metric) in series {
            schema.add(object, metric).expect("room for a series");
        }
        let options = WriterOptions { interval, depth_records, mode: 0o644 };
        let record = Record::new(schema.width());
        let mut this = Self { scratch: Scratch::new(), schema, record, writer: None, options };
        this.restart();
        this
    }

    pub(crate) fn restart(&mut self) {
        self.writer = None;
        let dir = RunDir::for_writing(Some(self.scratch.path())).expect("a run directory");
        let opening = Opening::of(&dir, "host").expect("the lane is free");
        let (writer, _) = opening.start(&self.options, &mut self.schema).expect("a ring");
        self.writer = Some(writer);
    }

    #[allow(dead_code, reason = "not every test asks the writer")]
    pub(crate) fn writer(&self) -> &Writer {
        self.writer.as_ref().expect("restart always leaves a writer")
    }

    /// Tells the ring what has changed in the schema.
    #[allow(dead_code, reason = "not every test changes the schema")]
    pub(crate) fn sync(&mut self) {
        self.writer.as_mut().expect("a writer").sync(&mut self.schema).expect("room in the ring");
        self.record.set_columns(self.schema.width());
    }

    /// Sets the value of a series in the next records.
    #[allow(dead_code, reason = "not every test sets values by name")]
    pub(crate) fn set(&mut self, object: &str, metric: &str, word: u64) {
        let column = self.schema.column(object, metric).expect("a known series");
        self.record.words_mut()[column] = word;
    }

    /// Publishes the record with these clocks; `missed` ticks and a clock `step` are flagged.
    pub(crate) fn publish(
        &mut self,
        realtime_ns: u64,
        boottime_ns: u64,
        missed: u64,
        step: bool,
    ) -> u64 {
        let header = &mut self.record.header;
        (header.realtime_ns, header.boottime_ns) = (realtime_ns, boottime_ns);
        header.missed_ticks = missed;
        let missed = if missed > 0 { flags::MISSED } else { 0 };
        header.set_epoch_and_flags(0, missed | if step { flags::CLOCK_STEP } else { 0 });
        let writer = self.writer.as_mut().expect("a writer");
        writer.publish(&mut self.record);
        writer.head()
    }
}
