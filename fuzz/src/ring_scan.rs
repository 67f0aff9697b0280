//! A whole ring that holds anything behind a sound header.

use std::sync::atomic::{AtomicU64, Ordering};

use tachograph::ring::Ring;

use super::guarded;
use super::input::Input;
use super::ring_examine::{Asked, Seen, examine, expected};
use super::ring_file::{self, Shape};
use super::watched::Watched;

/// Reads a ring that stands still in every way and compares with its plain words.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let asked = Asked::take(&mut input);
    let shape = Shape::take(&mut input);
    guarded::words(&ring_file::take(&shape, &mut input), |words| {
        let watched = Watched::new(words);
        watched.allow(32);
        let ring = Ring::decode(watched).expect("a sound header");
        let seen = examine(&ring, &asked);
        check(&ring, &asked, &seen);
    });
}

fn check(ring: &Ring<Watched<&[AtomicU64]>>, asked: &Asked, seen: &Seen) {
    let words = *ring.words().inner();
    let plain = |index: usize| words[index].load(Ordering::Relaxed);
    assert_eq!(seen.untimely, 0);
    for record in &seen.records {
        let slot = ring.geometry().slot_word(record.header.seq);
        assert_eq!(expected(ring.header(), words, record.header.seq), Ok(()));
        assert_eq!(record.header.realtime_ns, plain(slot + 1));
        for (column, word) in record.words().iter().enumerate() {
            assert_eq!(*word, plain(slot + 8 + column));
        }
    }
    ring.words().allow(u64::MAX);
    let (oldest, head) = ring.bounds().unwrap_or((1, 0));
    let mut untimed = false;
    for seq in (oldest..=head).chain([0, head, asked.first, asked.last, u64::MAX]) {
        let time = ring.read(seq, |view| view.realtime_ns());
        untimed |= time == Ok(0);
        assert_eq!(time.map(drop), expected(ring.header(), words, seq), "{seq}");
    }
    // A window leaves nothing out without saying so. No record is of the moment 0.
    if !untimed {
        for (told, asked_for) in &seen.accounts {
            assert_eq!(told, asked_for);
        }
    }
}
