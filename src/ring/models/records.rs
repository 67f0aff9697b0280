//! Models of publishing and reading: no reader takes a mix of two records for either.
//!
//! A reader that comes by the head is protected by the head's own ordering (C), which would hide a
//! mistake in the slot (A, B): so another one polls the slot itself.

use super::explorer::explore;
use super::words::{ModelRing, columns, put, read, ring, whole};
use crate::ring::layout::state;
use crate::ring::{ReadError, audit, notify};

/// A writer publishes `records` while `read` runs.
pub(super) fn check(slots: u64, records: u64, preemptions: usize, read: fn(&ModelRing)) {
    explore(preemptions, move |first| {
        let ring = ring(slots, false);
        let writers = ring.clone();
        let write = move || (1..=records).for_each(|seq| put(&writers, seq, whole(seq)));
        first.run(write, move || read(&ring));
    });
}

pub(super) fn by_the_head() {
    check(2, 3, 3, |ring| {
        let head = ring.head();
        if head > 0 {
            match read(ring, head) {
                Ok(found) => assert_eq!(found, whole(head), "torn"),
                Err(error) => {
                    assert_eq!(error, ReadError::Overrun, "the head is always stable or gone")
                }
            }
        }
    });
}

pub(super) fn latest() {
    check(2, 3, 2, |ring| {
        if let Some((seq, found)) = ring.latest(|view| (view.seq(), columns(view))) {
            assert_eq!(found, whole(seq), "torn");
        }
    });
}

pub(super) fn polled() {
    check(2, 4, 3, |ring| {
        if let Ok(found) = read(ring, 2) {
            assert_eq!(found, whole(2), "torn");
        }
    });
}

pub(super) fn window() {
    check(2, 4, 3, |ring| {
        let newest = ring.head();
        if newest < 2 {
            return;
        }
        let window = [newest - 1, newest];
        let [Ok(old), Ok(new)] = window.map(|seq| ring.peek(seq).map(columns)) else { return };
        if ring.vouch(newest - 1).is_ok() {
            assert_eq!([old, new], window.map(whole), "torn");
        }
    });
}

/// A record that was seen to begin while the head was still seen two before it was called damage.
pub(super) fn audited() {
    check(2, 3, 2, |ring| {
        let found = audit(ring);
        assert_eq!(found.damaged_slots, 0, "{found:?}");
    });
}

/// A reader that finds the ring closed was left with an older head than its last.
pub(super) fn closed() {
    explore(3, |first| {
        let ring = ring(2, false);
        let writers = ring.clone();
        let write = move || {
            put(&writers, 1, whole(1));
            notify::close(writers.words(), &**writers.words());
            assert_eq!(writers.state(), state::CLOSED, "the end is not said");
        };
        let read = move || {
            if ring.state() == state::CLOSED {
                assert_eq!(ring.head(), 1, "the last head");
            }
        };
        first.run(write, read);
    });
}

mod loom_model {
    #[test]
    fn reader_by_the_head_never_sees_a_tear_and_always_finds_the_head() {
        super::by_the_head();
    }

    #[test]
    fn newest_record_is_whole() {
        super::latest();
    }

    #[test]
    fn reader_that_polls_a_slot_never_sees_a_tear() {
        super::polled();
    }

    #[test]
    fn window_of_two_is_vouched_for_by_its_oldest_record() {
        super::window();
    }

    #[test]
    fn head_of_a_ring_that_is_closed_is_its_last() {
        super::closed();
    }

    #[test]
    fn audit_of_a_ring_that_is_written_finds_no_damage() {
        super::audited();
    }
}
