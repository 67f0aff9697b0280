//! Publishing and reading, against a plain copy of the same bytes.
//!
//! The records have 512 columns, 4 KiB. The hot cases use a ring of few slots, as the copy they are
//! compared with stays in the first-level cache too; the walking cases go through a ring as large as
//! the program's own.

use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tachograph::record::{Record, RecordHeader, Schema};
use tachograph::ring::{Opening, RunDir, Writer, WriterOptions};

#[path = "support/judge.rs"]
mod judge;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/pair.rs"]
mod pair;
#[path = "../tests/support/scratch.rs"]
mod scratch;

use judge::{Goal, text, verdict};
use pair::pair;
use scratch::Scratch;

const COLUMNS: usize = 512;
const ROUNDS: usize = 15;

fn ring_of(slots: u64) -> (Scratch, Writer, Record) {
    let scratch = Scratch::new();
    let dir = RunDir::for_writing(Some(scratch.path())).expect("a run directory");
    let mut schema = Schema::new();
    for nic in 0.. {
        if schema.add(&format!("nic/{nic}"), "receive_bytes").expect("room") + 1 == COLUMNS {
            break;
        }
    }
    let options =
        WriterOptions { interval: Duration::from_millis(1), depth_records: slots, mode: 0o600 };
    let opening = Opening::of(&dir, "bench").expect("the lane is free");
    let (writer, _) = opening.start(&options, &mut schema).expect("a ring");
    let mut record = Record::new(COLUMNS);
    for (index, word) in record.words_mut().iter_mut().enumerate() {
        *word = index as u64;
    }
    (scratch, writer, record)
}

fn publish(writer: &mut Writer, record: &mut Record) {
    record.header.realtime_ns += 1;
    writer.publish(record);
}

#[expect(clippy::print_stdout, reason = "the report")]
fn main() {
    machine::print();
    let (_hot, mut writer, mut record) = ring_of(4);
    let (_large, mut walking, mut walking_record) = ring_of(4096);
    let source = vec![7_u64; COLUMNS];
    let mut target = vec![0_u64; COLUMNS];
    let mut copy = || {
        black_box(&mut target).copy_from_slice(black_box(&source));
    };

    let publishes = || publish(&mut writer, &mut record);
    pair(("publish/512 hot", "copy 4 KiB"), Goal::AtMost(3.0), ROUNDS, publishes, &mut copy);
    let publishes = || publish(&mut walking, &mut walking_record);
    let large = vec![0_u64; 4096 * COLUMNS];
    let mut large: Vec<&mut [u64]> =
        Vec::new().into_iter().chain(large.leak().chunks_mut(COLUMNS)).collect();
    let mut at = 0;
    let walk = || {
        at = (at + 1) % large.len();
        black_box(&mut large[at]).copy_from_slice(black_box(&source));
    };
    pair(("publish/512 walking 17 MB", "copy 4 KiB"), Goal::None, ROUNDS, publishes, walk);
    let wakes = || {
        publish(&mut writer, &mut record);
        writer.wake();
    };
    pair(
        ("publish/512 and wake, nobody sleeps", "copy 4 KiB"),
        Goal::None,
        ROUNDS,
        wakes,
        &mut copy,
    );

    let ring = writer.ring();
    let head = ring.head();
    let columns =
        ["nic/3", "nic/300"].map(|nic| ring.find(nic, "receive_bytes").expect("a series"));
    let [a, b] = &columns;
    let two = || ring.latest(|view| Some((view.u64(a)?, view.u64(b)?)));
    assert_eq!(two(), Some(Some((3, 300))));
    let outcome = pair(("latest/2 columns hot", "copy 4 KiB"), Goal::None, ROUNDS, two, &mut copy);
    println!(
        "{:<44} ours {:>9}  goal < 5 ns  {}",
        "latest/2 columns hot",
        text(outcome.ours),
        verdict(outcome.ours < 5e-9),
    );

    // Several sums, since one would be waited for 512 times.
    let sum = || {
        ring.read(head, |view| {
            let mut sums = [0_u64; 8];
            let (words, rest) = view.span()[RecordHeader::WORDS..].as_chunks::<16>();
            for sixteen in words {
                for (index, word) in sixteen.iter().enumerate() {
                    let sum = &mut sums[index % 8];
                    *sum = sum.wrapping_add(word.load(Ordering::Relaxed));
                }
            }
            assert!(rest.is_empty());
            sums.into_iter().sum::<u64>()
        })
    };
    assert_eq!(sum(), Ok((0..512).sum()));
    pair(("view/512 every word in place", "copy 4 KiB"), Goal::AtMost(2.0), ROUNDS, sum, &mut copy);

    let mut out = Record::new(COLUMNS);
    let mut read = || ring.read_into(head, &mut out);
    assert_eq!(read(), Ok(()));
    pair(("read_into/512", "copy 4 KiB"), Goal::None, ROUNDS, &mut read, &mut copy);
    assert_eq!(out.words(), record.words());
    assert_eq!(target, source);
}
