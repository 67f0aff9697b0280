//! What a writer does to the directory, and one that comes after another: with the ring's own
//! functions, in the order in which [`crate::ring::Writer`] and [`crate::ring::Opening`] call them.

use std::fs::File;
use std::sync::Arc;

use super::words::{ModelRing, Modelled, Mortal, put, series, whole};
use crate::ring::file::{Living, RingFile};
use crate::ring::recover::{Slots, clean};
use crate::ring::{Ring, WordsMut, layout};

/// The directory in its writer's hands. What the file would be held for, a lock, the model has not.
pub(super) fn directory_of<W: WordsMut>(ring: Ring<W>) -> RingFile<W> {
    RingFile::new(File::open("/dev/null").expect("it is always there"), ring, true)
}

/// Lets the series `number` begin in `column`, with the record `first`.
pub(super) fn begin<W: WordsMut>(file: &mut RingFile<W>, number: usize, column: usize, first: u64) {
    file.settle(column, Living { series: series(number), first, index: None });
}

/// Lets the series of `column`, whose entry is number `index`, end with the record `last`.
pub(super) fn end<W: WordsMut>(file: &mut RingFile<W>, column: usize, index: usize, last: u64) {
    file.live[column] = None;
    file.ended.push((index, last));
}

/// Begins to let the series in column 0 end and another take it over from record 2 on, in the hands
/// of a writer that may not live that long.
pub(super) fn be_killed_changing(file: &RingFile<Arc<Modelled>>, mortal: Ring<Mortal>) {
    let mut mortal = directory_of(mortal);
    (mortal.written, mortal.arena_used) = (file.written, file.arena_used);
    mortal.names.clone_from(&file.names);
    mortal.live.push(None);
    end(&mut mortal, 0, 0, 1);
    begin(&mut mortal, 1, 0, 2);
    mortal.write_entries(1);
}

/// The next writer, which has one series in column 0, whatever there was.
pub(super) fn go_on(ring: ModelRing) {
    let entries: Vec<_> = ring.directory().iter().cloned().collect();
    let head = recover(&ring);
    let nothing = File::open("/dev/null").expect("it is always there");
    let mut file = RingFile::of(nothing, ring, entries, head);
    if file.live.first().is_none_or(Option::is_none) {
        begin(&mut file, 2, 0, head + 1);
    }
    file.write_entries(head);
    file.ring.words().store(layout::header::EPOCH, 2);
    put(&file.ring, head + 1, whole(head + 1));
}

/// Finds the head as a writer does that comes to a ring; it goes on after what this returns.
pub(super) fn recover(ring: &ModelRing) -> u64 {
    let slots = Slots::look(ring);
    let found = slots.find();
    assert_eq!(found.discarded, 0, "a writer that is killed leaves no damage");
    clean(ring, &slots, &found);
    found.resume_after
}
