//! From times to sequences, by bisection.
//!
//! Wall-clock times do not simply grow with the sequence: the clock may be set back. They do grow
//! within a *run*, and each record says where its run began, so the runs are visited one by one from
//! the newest, and each is bisected. While that goes on, the oldest records may vanish: one that has
//! is older than all that is left, which is all that a bisection needs to know of it.

use crate::ring::{ReadError, Ring, Words};

/// The time of the record `seq` and where its run begins.
pub(super) fn time_and_run<W: Words>(ring: &Ring<W>, seq: u64) -> Result<(u64, u64), ReadError> {
    ring.read(seq, |view| {
        let header = view.header();
        (header.realtime_ns, header.run_first)
    })
}

pub(super) fn time<W: Words>(ring: &Ring<W>, seq: u64) -> Result<u64, ReadError> {
    ring.read(seq, |view| view.realtime_ns())
}

/// The smallest range of sequences that has every record whose time is in `(after_ns, up_to_ns]`.
pub(super) fn cover<W: Words>(ring: &Ring<W>, after_ns: u64, up_to_ns: u64) -> Option<(u64, u64)> {
    let (oldest, head) = ring.bounds()?;
    let mut range: Option<(u64, u64)> = None;
    let mut end = head;
    // Each turn ends before the run it has visited begins, so there are no more turns than slots.
    while end >= oldest {
        let Ok((_, run_first)) = time_and_run(ring, end) else {
            end -= 1;
            continue;
        };
        let start = run_first.clamp(oldest, end);
        let first = partition(start, end + 1, |seq| time(ring, seq), |time| time > after_ns);
        let behind = partition(first, end + 1, |seq| time(ring, seq), |time| time > up_to_ns);
        if first < behind {
            let last = behind - 1;
            range = Some(range.map_or((first, last), |(_, newest)| (first, newest)));
        }
        end = start - 1;
    }
    range
}

/// The first sequence of `start..end` whose key `is_behind`, or `end`; keys grow with the sequence.
///
/// A record that was overwritten counts as not behind. Any other that cannot be read is passed over
/// for the next one that can.
pub(super) fn partition<K>(
    mut start: u64,
    mut end: u64,
    key: impl Fn(u64) -> Result<K, ReadError>,
    is_behind: impl Fn(K) -> bool,
) -> u64 {
    while start < end {
        let middle = start + (end - start) / 2;
        let mut probe = middle;
        let behind = loop {
            match key(probe) {
                Ok(key) => break is_behind(key),
                Err(ReadError::Overrun) => break false,
                Err(_) if probe + 1 < end => probe += 1,
                // Nothing readable from the middle on: whatever is behind begins before it, or
                // nowhere in this range.
                Err(_) => break true,
            }
        };
        if behind {
            end = middle;
        } else {
            start = probe + 1;
        }
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(keys: &[Result<u64, ReadError>], wanted: u64) -> u64 {
        partition(0, keys.len() as u64, |seq| keys[seq as usize], |key| key > wanted)
    }

    #[test]
    fn partition_finds_the_first_key_behind() {
        let keys: Vec<_> = [1, 3, 5, 7, 9].map(Ok).to_vec();
        let found: Vec<_> = (0..11).map(|wanted| find(&keys, wanted)).collect();
        assert_eq!(found, [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    }

    #[test]
    fn overwritten_records_are_older_than_all_others() {
        let mut keys: Vec<_> = [1, 3, 5, 7, 9].map(Ok).to_vec();
        keys[..3].fill(Err(ReadError::Overrun));
        assert_eq!(find(&keys, 0), 3);
        assert_eq!(find(&keys, 7), 4);
    }

    #[test]
    fn holes_are_passed_over() {
        let mut keys: Vec<_> = [1, 3, 5, 7, 9, 11, 13].map(Ok).to_vec();
        keys[3] = Err(ReadError::NotYet);
        keys[6] = Err(ReadError::Corrupt);
        for (wanted, least, most) in [(0, 0, 0), (4, 2, 2), (5, 3, 4), (9, 5, 5), (11, 6, 7)] {
            let found = find(&keys, wanted);
            assert!((least..=most).contains(&found), "{wanted}: {found}");
        }
    }
}
