//! A writer that goes on in a file that holds anything behind a sound header.
//!
//! Whatever is in the file, the writer comes, in place or in a new one, and what it publishes then is
//! as good as in a ring that was never damaged: every record reads back bit for bit under a sequence
//! of its own, with the series that live, each alone in its column, and no slot holds what no writer
//! puts there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use tachograph::record::{Record, Schema};
use tachograph::ring::layout::{RESUME_MAX, header as at};
use tachograph::ring::{
    Before, Header, Opening, Ring, RunDir, Words, Writer, WriterOptions, audit,
};

use super::input::Input;
use super::memory_dir;
use super::ring_file::{self, Shape};
use super::ring_model::{Living, copy, covering, living, record_at};

/// Most records that are published.
const RECORDS_MAX: u8 = 40;

/// What the writer that comes is to do.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Whether the ring is of another boot.
    pub other_boot: bool,
    /// Whether a newer version has made it.
    pub newer: bool,
    /// Binary logarithm of the number of slots that it wants, less one.
    pub slots: u8,
    /// Series that it has and the ring does not.
    pub added: u8,
    /// Records that it publishes.
    pub records: u8,
    /// Whether it ends in order.
    pub closes: bool,
}

impl Task {
    fn take(input: &mut Input<'_>) -> Self {
        Self {
            other_boot: input.byte() % 16 == 15,
            newer: input.byte() % 4 == 3,
            slots: input.below(5),
            added: input.below(16),
            records: input.below(RECORDS_MAX + 1),
            closes: input.byte().is_multiple_of(2),
        }
    }

    /// The bytes from which [`Task::take`] makes this.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend([
            if self.other_boot { 15 } else { 0 },
            if self.newer { 3 } else { 0 },
            self.slots,
            self.added,
            self.records,
            u8::from(!self.closes),
        ]);
    }
}

/// Goes on in the ring of an input, and then once more.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let task = Task::take(&mut input);
    let shape = Shape::take(&mut input);
    let mut header = Header { version: 1 + u64::from(task.newer), ..shape.header() };
    if !task.other_boot {
        header.boot_id = boot_id();
    }
    let words = ring_file::take_behind(&header, &mut input);
    memory_dir::with(|dir| go_on(dir, &task, &header, &words));
}

fn go_on(dir: &Path, task: &Task, header: &Header, words: &[u64]) {
    let dir = RunDir::for_writing(Some(dir)).expect("a fresh directory is fit for a ring");
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    fs::write(dir.ring("host"), bytes).expect("there is room");
    let interval = Duration::from_nanos(header.interval_ns);
    let options = WriterOptions { interval, depth_records: 2 << task.slots, mode: 0o600 };

    let (mut writer, mut schema, before) = come(&dir, &options, task.added);
    match before {
        Before::OtherBoot => {
            assert!(task.other_boot);
            assert_eq!((writer.head(), writer.epoch()), (0, 1));
        }
        Before::History { records, .. } => {
            assert!(!task.other_boot);
            assert!(records <= header.geometry.slot_count);
        }
        Before::SetAside { path, .. } => {
            // Nothing but a head beyond all counting is wrong with it.
            let slots = (0..header.geometry.slot_count).map(|slot| header.geometry.slot_word(slot));
            let vast = |word: usize| words[word].div_ceil(2) >= RESUME_MAX / 2;
            assert!(words[at::HEAD] >= RESUME_MAX / 2 || slots.into_iter().any(vast));
            fs::remove_file(path).expect("it is there");
        }
        before => panic!("{before:?}"),
    }
    let mut published = Published::default();
    check(&writer, &schema);
    for turn in 0..task.records {
        // Series come and go meanwhile, now and then.
        if turn % 5 == 3 {
            let column = schema.iter().next().map(|(column, _)| column);
            column.into_iter().for_each(|column| schema.end(column));
            add(&mut schema, 1);
        }
        published.publish(&mut writer, &mut schema, turn);
    }
    check(&writer, &schema);
    published.check(&writer.ring());
    let last = writer.head();
    if task.closes {
        writer.close();
    } else {
        drop(writer);
    }

    // Now the ring is one that a writer has left.
    let (mut writer, mut schema, before) = come(&dir, &options, 0);
    assert!(matches!(before, Before::History { discarded: 0, .. }), "{before:?}");
    assert_eq!(writer.head(), last);
    published.check(&writer.ring());
    published.publish(&mut writer, &mut schema, RECORDS_MAX);
    published.check(&writer.ring());
    check(&writer, &schema);
}

fn come(dir: &RunDir, options: &WriterOptions, added: u8) -> (Writer, Schema, Before) {
    let opening = Opening::of(dir, "host").expect("the lane is free");
    let mut columns = BTreeSet::new();
    assert!(opening.live_series().all(|(column, _)| columns.insert(column)), "two in one column");
    let mut schema = Schema::resume(opening.live_series());
    add(&mut schema, added);
    let (writer, before) = opening.start(options, &mut schema).expect("there is room");
    (writer, schema, before)
}

/// Adds this many series that do not live yet.
fn add(schema: &mut Schema, count: u8) {
    let mut left = count;
    // Of so many names one more than there are series is free.
    for index in 0..=schema.len() + usize::from(count) {
        let name = format!("nic/e{index}");
        if left > 0 && schema.column(&name, "receive_bytes").is_none() {
            schema.add(&name, "receive_bytes").expect("room");
            left -= 1;
        }
    }
}

/// What a writer must have made right before its next record.
fn check(writer: &Writer, schema: &Schema) {
    let ring = writer.ring();
    let audit = audit(&ring);
    assert_eq!(audit.damaged_slots, 0, "{audit:?}");
    let directory = ring.directory();
    let next = writer.head() + 1;
    let mut columns = BTreeSet::new();
    for entry in directory.iter().filter(|entry| entry.covers(next)) {
        assert!(entry.lives() && columns.insert(entry.column), "{entry:?}");
        assert_eq!(schema.series(entry.column), Some(&entry.series));
    }
    assert_eq!(columns.len(), schema.len());
    // Whatever can be read has a sequence that is not given out again.
    let slots = 0..ring.geometry().slot_count;
    let states = slots.map(|slot| ring.words().load(ring.geometry().slot_word(slot)));
    for seq in states.map(|state| state / 2) {
        assert!(copy(&ring, seq).is_none() || seq <= writer.head());
    }
}

/// The records that were published, with the series that they have.
#[derive(Debug, Default)]
struct Published(Vec<(Record, Living)>);

impl Published {
    fn publish(&mut self, writer: &mut Writer, schema: &mut Schema, turn: u8) {
        writer.sync(schema).expect("there is room");
        let seq = writer.head() + 1;
        let mut record = record_at((1 << 40) + u64::from(turn), schema.width());
        writer.publish(&mut record);
        assert_eq!((record.header.seq, writer.head()), (seq, seq));
        assert!((1..=seq).contains(&record.header.run_first));
        self.0.push((record, living(schema)));
    }

    /// Every record that the ring has room for is in it.
    fn check<W: Words>(&self, ring: &Ring<W>) {
        let slots = ring.geometry().slot_count as usize;
        for (record, living) in self.0.iter().rev().take(slots) {
            let seq = record.header.seq;
            assert_eq!(copy(ring, seq).as_ref(), Some(record));
            assert_eq!(&covering(ring, seq), living, "the series of {seq}");
        }
    }
}

/// The kernel's id of this boot, as a ring has it.
fn boot_id() -> [u64; 2] {
    static ID: OnceLock<[u64; 2]> = OnceLock::new();
    *ID.get_or_init(|| {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits = text.trim().replace('-', "");
        let number = u128::from_str_radix(&digits, 16).unwrap_or(0);
        [(number >> 64) as u64, number as u64]
    })
}
