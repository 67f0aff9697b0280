//! Going on in a ring whose writer is gone: the head is found by looking at every slot, never
//! believed, and what no writer put there is emptied.

use super::Ring;
use super::layout::header as at;
use super::map::WriteMap;
use super::words::{Words, WordsMut};
use crate::record::RecordHeader;

/// What a look at every slot found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The newest stable record; 0 when there is none.
    pub(super) head: u64,
    /// Stable records that the ring holds.
    pub(super) records: u64,
    /// Slots that hold what no writer puts there.
    pub(super) discarded: u64,
}

/// Finds the head.
///
/// There are two candidates: the head that the header states, or one beyond it when the writer was
/// killed between the slot and the header; and the highest stable slot. They differ only in a
/// damaged file, and then the one that more slots agree with is right: a single slot with an
/// absurd sequence must not cost the history.
pub(super) fn head<W: Words>(ring: &Ring<W>) -> Found {
    let stated = ring.head();
    let next = stable(ring, stated.wrapping_add(1));
    let stated = if next { stated + 1 } else { stated };
    let slots = || (0..ring.geometry().slot_count).map(|slot_index| sequence_at(ring, slot_index));
    let highest = slots().filter_map(|slot| slot.stable).max().unwrap_or(0);
    let agreeing = |head: u64| {
        slots().filter(|slot| slot.stable.is_some_and(|seq| present(ring, seq, head))).count()
    };
    let head = if agreeing(stated) >= agreeing(highest) { stated } else { highest };
    // A head whose own slot is empty was only stated.
    let head = if stable(ring, head) {
        head
    } else {
        slots()
            .filter_map(|slot| slot.stable)
            .filter(|seq| present(ring, *seq, head))
            .max()
            .unwrap_or(0)
    };
    let records = agreeing(head) as u64;
    let discarded = slots().filter(|slot| !slot.is_sound(ring, head)).count() as u64;
    Found { head, records, discarded }
}

/// Empties the slots that [`head`] counted as discarded and states the head.
pub(super) fn clean(ring: &Ring<WriteMap>, found: &Found) {
    for slot_index in 0..ring.geometry().slot_count {
        let slot = sequence_at(ring, slot_index);
        if !slot.is_sound(ring, found.head) {
            ring.words().store(ring.geometry().slot_word(slot_index), 0);
        }
    }
    ring.words().store_release(at::HEAD, found.head);
}

/// Copies the stable records `from..=head` of one ring into another that nobody reads yet. Columns
/// keep their places.
pub(super) fn copy_history<W: Words>(old: &Ring<W>, new: &Ring<WriteMap>, from: u64, head: u64) {
    let width =
        RecordHeader::WORDS + old.geometry().column_capacity.min(new.geometry().column_capacity);
    let mut words = vec![0; width];
    for seq in from.max(old.geometry().oldest(head))..=head {
        if !stable(old, seq) {
            continue;
        }
        old.words().copy(old.geometry().slot_word(seq), &mut words);
        let columns = words[4].min((width - RecordHeader::WORDS) as u64);
        words[4] = columns;
        let used = RecordHeader::WORDS + columns as usize;
        new.words().store_all(new.geometry().slot_word(seq), &words[..used]);
    }
}

/// The epoch of a writer that goes on after `head`: one more than any that is stated.
pub(super) fn next_epoch<W: Words>(ring: &Ring<W>, head: u64) -> u32 {
    let last = record_header(ring, head).map_or(0, |header| header.epoch());
    let stated = u32::try_from(ring.words().load(at::EPOCH)).unwrap_or(0);
    last.max(stated).wrapping_add(1).max(1)
}

/// The header of a stable record.
pub(super) fn record_header<W: Words>(ring: &Ring<W>, seq: u64) -> Option<RecordHeader> {
    ring.read(seq, |view| view.header()).ok()
}

fn stable<W: Words>(ring: &Ring<W>, seq: u64) -> bool {
    seq > 0 && Some(ring.words().load(ring.geometry().slot_word(seq))) == seq.checked_mul(2)
}

/// Whether a ring with this head can hold the record `seq`.
fn present<W: Words>(ring: &Ring<W>, seq: u64, head: u64) -> bool {
    (ring.geometry().oldest(head)..=head).contains(&seq)
}

struct SlotState {
    found: u64,
    /// The record that is stable in the slot, if it belongs there.
    stable: Option<u64>,
    /// The record that was being written, if it belongs there.
    writing: Option<u64>,
}

impl SlotState {
    fn is_sound<W: Words>(&self, ring: &Ring<W>, head: u64) -> bool {
        self.found == 0
            || self.stable.is_some_and(|seq| present(ring, seq, head))
            || self.writing == Some(head.wrapping_add(1))
    }
}

fn sequence_at<W: Words>(ring: &Ring<W>, slot_index: u64) -> SlotState {
    let found = ring.words().load(ring.geometry().slot_word(slot_index));
    let seq = found.div_ceil(2);
    let belongs = found != 0 && seq & (ring.geometry().slot_count - 1) == slot_index;
    let even = found.is_multiple_of(2);
    SlotState {
        found,
        stable: (belongs && even).then_some(seq),
        writing: (belongs && !even).then_some(seq),
    }
}
