//! Models of a writer that is killed after each of its stores, of the one that comes after it, and of
//! a reader all the while.
//!
//! What the kernel does in between is an order as well: the second writer has the lock that the
//! first one held until its death, so it sees all that was stored. Here both are one thread.

use super::changes::{be_killed_changing, begin, directory_of, go_on};
use super::explorer::explore;
use super::words::{ModelRing, Mortal, put, read, ring, whole};
use crate::ring::recover::{self, Slots};
use crate::ring::{ReadError, WordsMut as _, layout};

/// Stores of a publish: the state twice, the header's other words, two columns, the head.
const PUBLISH_STORES: usize = 2 + 7 + 2 + 1;
/// Of these, those that come before the record is stable.
const UNTIL_STABLE: usize = PUBLISH_STORES - 2;

/// A second record of a sequence would have these columns.
fn again(seq: u64) -> [u64; 2] {
    whole(seq + 1000)
}

/// The writer is killed in the publish of record 3, after so many stores.
fn publish_killed_after(stores: usize) {
    explore(2, move |first| {
        let ring = ring(2, false);
        (1..=2).for_each(|seq| put(&ring, seq, whole(seq)));
        let writers = ring.clone();
        first.run(move || be_killed_publishing(writers, stores), move || read_twice(&ring));
    });
}

fn be_killed_publishing(ring: ModelRing, stores: usize) {
    put(&Mortal::of(&ring, stores), 3, whole(3));
    let slots = Slots::look(&ring);
    let found = slots.find();
    let expected = if stores > UNTIL_STABLE { 3 } else { 2 };
    assert_eq!(found.head, expected, "killed after {stores} stores");
    assert_eq!(found.discarded, 0, "killed after {stores} stores");
    recover::clean(&ring, &slots, &found);
    assert_eq!(ring.head(), found.head, "the head that was found is stated");
    let next = found.resume_after + 1;
    put(&ring, next, again(next));
}

/// Reads by the head, twice: no record is torn, and no sequence has two.
fn read_twice(ring: &ModelRing) {
    let mut accepted = [None; 5];
    for _ in 0..2 {
        let head = ring.head();
        match read(ring, head) {
            Ok(columns) => {
                let sound = columns == whole(head) || head > 2 && columns == again(head);
                assert!(sound, "torn: {head} {columns:?}");
                let before = accepted[head as usize].replace(columns);
                assert!(before.is_none_or(|before| before == columns), "two records of {head}");
            }
            Err(error) => assert_eq!(error, ReadError::Overrun, "the head {head} is there"),
        }
    }
}

pub(super) fn publishing() {
    // The header's seven words are not the model's: to be killed between two of them is one case.
    for stores in [0, 1].into_iter().chain(1 + 7..=PUBLISH_STORES) {
        publish_killed_after(stores);
    }
}

/// The writer is killed after so many stores of a change: a series ends, and another takes over its
/// column from record 2 on.
fn change_killed_after(stores: usize) {
    explore(1, move |first| {
        let ring = ring(2, true);
        ring.words().store(layout::header::EPOCH, 1);
        let mut file = directory_of(ring.clone());
        begin(&mut file, 0, 0, 1);
        file.write_entries(0);
        put(&ring, 1, whole(1));
        let writers = ring.clone();
        let write = move || {
            be_killed_changing(&file, Mortal::of(&writers, stores));
            go_on(writers);
        };
        first.run(write, move || look(&ring));
    });
}

/// Each record that is read has one series by the directory, if that is current.
fn look(ring: &ModelRing) {
    let directory = ring.directory();
    assert_eq!(directory.damaged(), 0, "an entry seen half");
    for seq in [2, 1] {
        let columns = read(ring, seq);
        if columns.is_ok() && directory.is_current(ring) {
            assert_eq!(columns, Ok(whole(seq)), "torn");
            let covering = directory.iter().filter(|entry| entry.covers(seq));
            assert_eq!(covering.count(), 1, "the series of record {seq}");
        }
    }
}

pub(super) fn changing() {
    for stores in 0..=CHANGE_STORES {
        change_killed_after(stores);
    }
}

/// Stores of that change: the end, the count of changes, a name, an entry, three counts.
const CHANGE_STORES: usize = 1 + 1 + 1 + 6 + 3;

mod loom_model {
    #[test]
    fn writer_killed_after_any_store_of_a_publish_leaves_no_tear_and_no_second_record() {
        super::publishing();
    }

    #[test]
    fn writer_killed_after_any_store_of_a_change_leaves_a_sound_directory() {
        super::changing();
    }
}
