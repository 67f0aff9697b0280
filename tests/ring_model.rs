//! A ring under random operations agrees with a model that is too plain to be wrong.
//!
//! After every operation each sequence near the ring's is either the record that was published under
//! it, bit for bit, or exactly as absent as the model says; and the directory names for each record
//! the series that lived when it was published, in their columns, and no other.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use support::{ShmDir, publish, start};
use tachograph::record::{Record, Schema};
use tachograph::ring::{ReadError, Reader, Ring, Words, Writer, audit};

#[derive(Clone, Debug)]
enum Op {
    /// Publishes this many records.
    Publish(u64),
    /// Adds this many series.
    Add(usize),
    /// Ends one of the living series.
    End(usize),
    /// Ends one, and at once another one takes its column.
    Replace(usize),
    /// The writer dies and another one goes on.
    Restart,
    /// The writer closes in order and another one goes on.
    Close,
    /// The writer dies in the middle of a publish, after so many stores, and another one goes on.
    Kill(usize),
    /// The writer is started again with another number of slots, a power of two.
    Depth(u32),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1..12_u64).prop_map(Op::Publish),
        3 => (1..5_usize).prop_map(Op::Add),
        1 => (20..60_usize).prop_map(Op::Add),
        3 => any::<usize>().prop_map(Op::End),
        3 => any::<usize>().prop_map(Op::Replace),
        2 => Just(Op::Restart),
        1 => Just(Op::Close),
        2 => (1..8_usize).prop_map(Op::Kill),
        2 => (1..6_u32).prop_map(Op::Depth),
    ]
}

/// Who lived where: object and column.
type Living = BTreeSet<(String, usize)>;

#[derive(Default)]
struct Model {
    slots: u64,
    head: u64,
    /// What can be read, with the series that lived then.
    records: BTreeMap<u64, (Record, Living)>,
}

impl Model {
    fn publish(&mut self, record: Record, living: Living) {
        self.head += 1;
        assert_eq!(record.header.seq, self.head);
        self.records.insert(self.head, (record, living));
        self.forget(self.head);
    }

    /// What shares a slot with a record up to `newest` goes.
    fn forget(&mut self, newest: u64) {
        let slots = self.slots;
        self.records.retain(|seq, _| seq + slots > newest);
    }

    fn resize(&mut self, slots: u64) {
        self.slots = slots;
        self.forget(self.head);
    }

    fn expected(&self, seq: u64) -> Result<&Record, ReadError> {
        if seq == 0 {
            return Err(ReadError::Corrupt);
        }
        if let Some((record, _)) = self.records.get(&seq) {
            return Ok(record);
        }
        Err(match seq {
            _ if seq > self.head => ReadError::NotYet,
            _ if seq + self.slots <= self.head => ReadError::Overrun,
            _ => ReadError::Lost,
        })
    }
}

struct Run {
    dir: ShmDir,
    model: Model,
    schema: Schema,
    writer: Option<Writer>,
    reader: Reader,
    series: usize,
    epoch: u32,
}

impl Run {
    fn new() -> Self {
        let dir = ShmDir::new();
        let mut schema = support::schema(1);
        let (writer, _) = start(&dir, 8, &mut schema);
        let reader = Reader::open(&dir.ring()).expect("the ring opens");
        let model = Model { slots: 8, ..Model::default() };
        Self { dir, model, schema, writer: Some(writer), reader, series: 1, epoch: 1 }
    }

    fn writer(&mut self) -> &mut Writer {
        self.writer.as_mut().expect("there is always one between operations")
    }

    fn living(&self) -> Living {
        self.schema.iter().map(|(column, series)| (series.object.to_string(), column)).collect()
    }

    fn add(&mut self) {
        let name = support::nic(self.series);
        self.series += 1;
        self.schema.add(&name, "receive_bytes").expect("room");
    }

    fn end(&mut self, which: usize) {
        let columns: Vec<_> = self.schema.iter().map(|(column, _)| column).collect();
        if let Some(column) = columns.get(which % columns.len().max(1)) {
            self.schema.end(*column);
        }
    }

    fn sync(&mut self) {
        let writer = self.writer.as_mut().expect("there is always one");
        writer.sync(&mut self.schema).expect("there is room in the end");
    }

    fn restart(&mut self, slots: u64) {
        self.writer = None;
        let living = self.living();
        self.schema = Schema::new();
        if living.is_empty() {
            // A schema that is empty is taken for one that is to be resumed; here both are right.
            assert!(self.reader.ring().directory().iter().all(|entry| !entry.lives()));
        }
        let (writer, _) = start(&self.dir, slots, &mut self.schema);
        assert_eq!(self.living(), living, "series keep their columns");
        self.epoch += 1;
        assert_eq!((writer.epoch(), writer.head()), (self.epoch, self.model.head));
        self.writer = Some(writer);
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Publish(count) => {
                for _ in 0..count {
                    let (width, living) = (self.schema.width(), self.living());
                    let record = publish(self.writer(), width);
                    self.model.publish(record, living);
                }
            }
            Op::Add(count) => {
                (0..count).for_each(|_| self.add());
                self.sync();
            }
            Op::End(which) => {
                self.end(which);
                self.sync();
            }
            Op::Replace(which) => {
                self.end(which);
                self.add();
                self.sync();
            }
            Op::Restart => self.restart(self.model.slots),
            Op::Close => {
                self.writer.take().expect("there is always one").close();
                self.restart(self.model.slots);
            }
            Op::Kill(stores) => {
                self.writer = None;
                let next = self.model.head + 1;
                let slot = self.reader.ring().geometry().slot_word(next);
                support::poke(&self.dir.ring(), slot, 2 * next - 1);
                for index in 1..stores {
                    support::poke(&self.dir.ring(), slot + index, u64::MAX / index as u64);
                }
                self.model.forget(next);
                self.check();
                self.restart(self.model.slots);
            }
            Op::Depth(bits) => {
                let slots = 1 << bits;
                if slots != self.model.slots {
                    self.model.resize(slots);
                }
                self.restart(slots);
            }
        }
        self.reader.refresh().expect("the newest ring opens");
        self.check();
    }

    fn check(&self) {
        self.check_ring(self.reader.ring());
        let copy = Ring::decode(support::file_words(&self.dir.ring())).expect("a ring");
        self.check_ring(&copy);
    }

    fn check_ring<W: Words>(&self, ring: &Ring<W>) {
        let model = &self.model;
        assert_eq!(ring.head(), model.head);
        let directory = ring.directory();
        let mut found = Record::default();
        for seq in model.head.saturating_sub(2 * model.slots)..=model.head + model.slots {
            match (ring.read_into(seq, &mut found), model.expected(seq)) {
                (Ok(()), Ok(expected)) => {
                    assert_eq!(&found, expected, "{seq}");
                }
                // A writer that was killed in the next record had begun to overwrite this one.
                (Err(ReadError::Overrun), Err(ReadError::Lost))
                    if seq + model.slots == model.head + 1 => {}
                (found, expected) => {
                    let expected = expected.map(|_| ());
                    assert_eq!(found, expected, "{seq} of {}", model.head);
                }
            }
        }
        for (seq, (record, living)) in &model.records {
            let covering = directory.iter().filter(|entry| entry.covers(*seq));
            let covering: Vec<_> =
                covering.map(|entry| (entry.series.object.to_string(), entry.column)).collect();
            let set: Living = covering.iter().cloned().collect();
            assert_eq!(covering.len(), set.len(), "{seq}: a series twice");
            assert_eq!(&set, living, "{seq}");
            assert!(living.iter().all(|(_, column)| *column < record.words().len()));
        }
        let newest = model.records.last_key_value().map(|(seq, _)| *seq);
        let latest = ring.latest(|view| view.seq());
        assert_eq!(latest, newest.filter(|seq| *seq == model.head));
        let audit = audit(ring);
        assert!(audit.is_clean(), "{audit:?}");
        assert_eq!(audit.records, model.records.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn ring_agrees_with_the_model_after_every_operation(ops in prop::collection::vec(op(), 1..40)) {
        let mut run = Run::new();
        run.check();
        for op in ops {
            run.apply(op);
        }
    }
}
