//! Models of waiting: whoever sleeps is woken. A wake-up that is lost shows itself as a deadlock.

use core::time::Duration;

use super::explorer::explore;
use super::words::{ModelRing, publish, put, ring, whole};
use crate::ring::{Wait, notify};

fn check(write: fn(&ModelRing), wait: fn(&ModelRing)) {
    explore(3, move |first| {
        let ring = ring(2, false);
        put(&ring, 1, whole(1));
        notify::announce(&**ring.words(), 1);
        let writers = ring.clone();
        first.run(move || write(&writers), move || wait(&ring));
    });
}

fn wait(ring: &ModelRing, seq: u64) -> Wait {
    notify::wait(ring, &**ring.words(), seq, false, Duration::MAX)
}

pub(super) fn published() {
    check(
        |ring| (2..=3).for_each(|seq| publish(ring, ring.words(), seq)),
        |ring| {
            let Wait::Published(head) = wait(ring, 1) else { panic!("it is not retired") };
            if head < 3 {
                assert_eq!(wait(ring, 2), Wait::Published(3));
            }
        },
    );
}

pub(super) fn retired() {
    check(
        |ring| notify::retire(ring.words(), &**ring.words()),
        |ring| assert_eq!(wait(ring, 1), Wait::Retired),
    );
}

/// The state was looked at after the head: a record that was published between the two looks, right
/// before the ring was retired, was left unseen by whoever then went to the new file.
pub(super) fn published_and_retired() {
    check(
        |ring| {
            publish(ring, ring.words(), 2);
            notify::retire(ring.words(), &**ring.words());
        },
        |ring| {
            // The last record of an old file is seen before its end.
            assert_eq!(wait(ring, 1), Wait::Published(2));
            assert_eq!(wait(ring, 2), Wait::Retired);
        },
    );
}

mod loom_model {
    #[test]
    fn sleeper_is_woken_by_the_next_record() {
        super::published();
    }

    #[test]
    fn sleeper_is_woken_when_another_file_takes_the_rings_place() {
        super::retired();
    }

    #[test]
    fn last_record_is_seen_before_the_end_of_its_file() {
        super::published_and_retired();
    }
}
