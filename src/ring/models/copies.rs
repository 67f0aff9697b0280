//! Models of the copy of a history that a successor begins with, while the writer goes on.

use std::sync::atomic::AtomicBool;

use super::explorer::explore;
use super::words::{ModelRing, put, read, ring, whole};
use crate::ring::Words as _;
use crate::ring::recover::copy_history;

pub(super) fn copied() {
    explore(3, |first| {
        let (old, new) = (ring(2, false), ring(2, false));
        (1..=2).for_each(|seq| put(&old, seq, whole(seq)));
        // What an earlier copy has left in the slot that is overwritten meanwhile.
        put(&new, 1, whole(1));
        let writers = old.clone();
        let write = move || (3..=4).for_each(|seq| put(&writers, seq, whole(seq)));
        first.run(write, move || copy(&old, &new));
    });
}

fn copy(old: &ModelRing, new: &ModelRing) {
    copy_history(old, new, 1, 2, &AtomicBool::new(false));
    for seq in 1..=2 {
        let slot = new.geometry().slot_word(seq);
        if new.words().load(slot) == 0 {
            continue;
        }
        assert_eq!(read(new, seq), Ok(whole(seq)), "torn");
    }
}

mod loom_model {
    #[test]
    fn copied_record_is_whole_or_left_out() {
        super::copied();
    }
}
