//! Going on in a ring whose writer is gone: the head is found by looking at every slot, never
//! believed, and what no writer put there is emptied.

use std::sync::atomic::{AtomicBool, Ordering};

use super::layout::{RESUME_MAX, header as at, record as record_at};
use super::sync::{self, Site};
use super::words::{Words, WordsMut};
use super::{Geometry, Ring, slot};
use crate::record::RecordHeader;

/// What a look at every slot found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The newest stable record; 0 when there is none.
    pub(super) head: u64,
    /// The sequence after which a writer goes on, so that it uses none a second time. Above `head`
    /// when the header knows of records whose slots have been damaged.
    pub(super) resume_after: u64,
    /// Stable records that the ring holds and keeps.
    pub(super) records: u64,
    /// Slots that hold what no writer puts there.
    pub(super) discarded: u64,
}

/// The first word of every slot, and the head that the header states, each loaded once.
#[derive(Debug)]
pub(super) struct Slots {
    geometry: Geometry,
    stated: u64,
    states: Vec<u64>,
}

impl Slots {
    pub(super) fn look<W: Words>(ring: &Ring<W>) -> Self {
        let geometry = *ring.geometry();
        let stated = ring.head();
        let slot_indices = 0..geometry.slot_count;
        let states = slot_indices.map(|index| ring.words().load(geometry.slot_word(index)));
        Self { geometry, stated, states: states.collect() }
    }

    /// The head that the header stated before the slots were looked at.
    pub(super) fn stated(&self) -> u64 {
        self.stated
    }

    /// Finds the head.
    ///
    /// The header states one, or the one before it when the writer was killed between the slot and
    /// the header. Only in a damaged file do slots disagree with it; then that head is right which
    /// most slots agree with: neither one word of the header nor a few slots with absurd sequences
    /// cost the history.
    ///
    /// A stated head that is later counts as one slot more: the newest record's slot may be the one
    /// that is damaged, and a sequence that readers have had is not given out again. At worst the
    /// oldest record is given up for that, which would have gone with the next one.
    pub(super) fn find(&self) -> Found {
        let (stated, votes) = self.stated_and_votes();
        let (agreed, most_votes) = self.agreed((stated, votes));
        let turn = agreed..=agreed + self.geometry.slot_count;
        let later = turn.contains(&stated) && votes + 1 >= most_votes;
        let (resume_after, records) = if later { (stated, votes) } else { (agreed, most_votes) };
        let present = self.stable().filter(|seq| self.can_hold(*seq, resume_after));
        Found {
            head: present.max().unwrap_or(0),
            resume_after,
            records,
            discarded: self.discarded(agreed, agreed),
        }
    }

    /// The head that most slots agree with.
    pub(super) fn agreed_head(&self) -> u64 {
        self.agreed(self.stated_and_votes()).0
    }

    /// The head that is stated, or the one after it if its record is there, and how many slots agree.
    fn stated_and_votes(&self) -> (u64, u64) {
        let next = self.stated.wrapping_add(1);
        let stated = if self.stable().any(|seq| seq == next) { next } else { self.stated };
        let stated = if stated <= RESUME_MAX { stated } else { 0 };
        (stated, self.agreeing(stated))
    }

    fn agreed(&self, (stated, votes): (u64, u64)) -> (u64, u64) {
        let all_agree = votes >= self.stable().count() as u64;
        if all_agree { (stated, votes) } else { self.most_agreed((stated, votes)) }
    }

    /// Slots that hold what no writer puts there while the head moves from `before` to `after`: no
    /// record that the ring can have then, and not one that is being written.
    pub(super) fn discarded(&self, before: u64, after: u64) -> u64 {
        self.unsound(before, after).count() as u64
    }

    /// Those slots, with what they hold and why no writer puts it there.
    pub(super) fn unsound(
        &self,
        before: u64,
        after: u64,
    ) -> impl Iterator<Item = (usize, u64, &'static str)> {
        (0..self.states.len()).filter(move |index| !self.is_sound(*index, before, after)).map(
            |index| {
                let reason = match self.state(index) {
                    SlotState::Foreign => "which no record of this slot has",
                    SlotState::Writing(_) => "a record that no writer with this head is at",
                    _ => "a record that no ring with this head has",
                };
                (index, self.states[index], reason)
            },
        )
    }

    fn is_sound(&self, index: usize, before: u64, after: u64) -> bool {
        let next = after.min(RESUME_MAX) + 1;
        let possible = self.geometry.oldest(before)..=next;
        match self.state(index) {
            SlotState::Empty => true,
            SlotState::Stable(seq) if before == after => self.can_hold(seq, after),
            SlotState::Stable(seq) => possible.contains(&seq),
            // Nothing orders the store that begins a record after that of the head before it: where
            // loads may pass one another, the record after the next is seen to begin. Nobody ever
            // accepts a slot in this state, so one that is damaged so does no harm.
            SlotState::Writing(seq) if before == after => (next..=next + 1).contains(&seq),
            SlotState::Writing(seq) => (*possible.start()..=next + 1).contains(&seq),
            SlotState::Foreign => false,
        }
    }

    fn state(&self, index: usize) -> SlotState {
        let found = self.states[index];
        let seq = found.div_ceil(2);
        let belongs = seq & (self.geometry.slot_count - 1) == index as u64;
        match found {
            0 => SlotState::Empty,
            _ if !belongs || seq > RESUME_MAX => SlotState::Foreign,
            _ if found.is_multiple_of(2) => SlotState::Stable(seq),
            _ => SlotState::Writing(seq),
        }
    }

    /// The records that are stable in the slots where they belong.
    fn stable(&self) -> impl Iterator<Item = u64> {
        (0..self.states.len()).filter_map(|index| match self.state(index) {
            SlotState::Stable(seq) => Some(seq),
            _ => None,
        })
    }

    /// How many slots hold a record that a ring with this head can hold.
    pub(super) fn agreeing(&self, head: u64) -> u64 {
        self.stable().filter(|seq| self.can_hold(*seq, head)).count() as u64
    }

    fn can_hold(&self, seq: u64, head: u64) -> bool {
        (self.geometry.oldest(head)..=head).contains(&seq)
    }

    /// The head that most slots agree with, and how many: the given one unless another has more,
    /// and of several others the latest.
    fn most_agreed(&self, given: (u64, u64)) -> (u64, u64) {
        let mut stable: Vec<u64> = self.stable().collect();
        stable.sort_unstable();
        let mut oldest = 0;
        let mut most = given;
        for (index, head) in stable.iter().enumerate() {
            while !self.can_hold(stable[oldest], *head) {
                oldest += 1;
            }
            let agreeing = (index + 1 - oldest) as u64;
            if agreeing > given.1 && agreeing >= most.1 {
                most = (*head, agreeing);
            }
        }
        most
    }
}

enum SlotState {
    /// Nothing was ever written.
    Empty,
    /// This record is stable.
    Stable(u64),
    /// This record was being written.
    Writing(u64),
    /// No writer leaves this here.
    Foreign,
}

/// Empties the slots that hold no record of a ring whose writer goes on as `found` says, and states
/// as its head the sequence after which that is. Readers may have had it, and a writer that is killed
/// before its first record must not give it out again.
pub(super) fn clean<W: WordsMut>(ring: &Ring<W>, slots: &Slots, found: &Found) {
    let after = found.resume_after;
    for index in (0..slots.states.len()).filter(|index| !slots.is_sound(*index, after, after)) {
        ring.words().store(ring.geometry().slot_word(index as u64), 0);
    }
    sync::store_release(ring.words(), Site::HeadFound, at::HEAD, after); // C
}

/// Copies the stable records `from..=head` of one ring into another that nobody reads yet, until
/// `stop` is set. Columns keep their places.
///
/// The writer may be at work in the old ring meanwhile: a record that it overwrites is left out.
pub(super) fn copy_history<W: Words, V: WordsMut>(
    old: &Ring<W>,
    new: &Ring<V>,
    from: u64,
    head: u64,
    stop: &AtomicBool,
) {
    let (old_words, geometry) = (old.words(), old.geometry());
    let width = RecordHeader::WORDS + geometry.column_capacity.min(new.geometry().column_capacity);
    let mut words = vec![0; width];
    for seq in from.max(geometry.oldest(head))..=head {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let slot = geometry.slot_word(seq);
        let copied = slot::observe(old_words, slot, seq, || {
            let columns = old_words.load(slot + record_at::COLUMNS);
            let columns = columns.min((width - RecordHeader::WORDS) as u64);
            let used = RecordHeader::WORDS + columns as usize;
            old_words.copy(slot, &mut words[..used]);
            words[record_at::COLUMNS] = columns;
            used
        });
        let slot = new.geometry().slot_word(seq);
        match copied {
            Ok(used) => new.words().store_all(slot, &words[..used]),
            // What an earlier copy has put there is older than the ring can hold now.
            Err(_) => new.words().store(slot, 0),
        }
    }
}

/// The epoch of a writer that goes on after `head`: one more than any that is stated.
pub(super) fn next_epoch<W: Words>(ring: &Ring<W>, head: u64) -> u32 {
    let last = record_header(ring, head).map_or(0, |header| header.epoch());
    let stated = u32::try_from(ring.words().load(at::EPOCH)).unwrap_or(0);
    last.max(stated).wrapping_add(1).max(1)
}

/// The newest record's time and where its run began, if its neighbours bear it out; a run that a
/// damaged header speaks of is not gone on with.
pub(super) fn last_run<W: Words>(ring: &Ring<W>, head: u64) -> Option<(u64, u64)> {
    let last = record_header(ring, head)?;
    let sound = match record_header(ring, head - 1) {
        Some(before) if last.run_first != head => {
            last.run_first == before.run_first && last.realtime_ns > before.realtime_ns
        }
        _ => (1..=head).contains(&last.run_first),
    };
    sound.then_some((last.realtime_ns, last.run_first))
}

/// The header of a stable record.
pub(super) fn record_header<W: Words>(ring: &Ring<W>, seq: u64) -> Option<RecordHeader> {
    ring.read(seq, |view| view.header()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::layout::Sizes;

    const SLOTS: u64 = 8;

    fn slots(stated: u64, states: &[(u64, u64)]) -> Slots {
        let geometry = Geometry::of(Sizes {
            slot_count: SLOTS,
            column_capacity: 1,
            entry_capacity: 1,
            arena_bytes: 8,
        })
        .expect("sound sizes");
        let mut slots = Slots { geometry, stated, states: vec![0; SLOTS as usize] };
        for (seq, state) in states {
            slots.states[(seq % SLOTS) as usize] = *state;
        }
        slots
    }

    /// The slots after `head` records, with some of them damaged.
    fn after(head: u64, stated: u64, damage: &[(u64, u64)]) -> Slots {
        let written = 1.max(head.saturating_sub(SLOTS - 1))..=head;
        let states: Vec<_> =
            written.map(|seq| (seq, 2 * seq)).chain(damage.iter().copied()).collect();
        slots(stated, &states)
    }

    fn found(head: u64, resume_after: u64, records: u64, discarded: u64) -> Found {
        Found { head, resume_after, records, discarded }
    }

    #[test]
    fn writer_killed_anywhere_in_a_publish_is_found_where_it_was() {
        for head in [0, 1, 5, 8, 9, 100] {
            assert_eq!(after(head, head, &[]).find(), found(head, head, head.min(8), 0));
            let next = head + 1;
            let kept = head.min(7);
            let writing = after(head, head, &[(next, 2 * next - 1)]);
            assert_eq!(writing.find(), found(head, head, kept, 0), "writing {next}");
            let unstated = after(head, head, &[(next, 2 * next)]);
            assert_eq!(unstated.find(), found(next, next, next.min(8), 0), "{next} not stated");
        }
    }

    /// The head that the header stated was compared with the highest slot only. With the header's
    /// word and one slot damaged both candidates were wrong, and 7 good records were emptied.
    #[test]
    fn damaged_head_and_absurd_slots_do_not_cost_the_history() {
        for stated in [0, 50, 99, 101, 1 << 40, RESUME_MAX, RESUME_MAX + 1, u64::MAX] {
            assert_eq!(after(100, stated, &[]).find().head, 100, "stated {stated}");
            assert_eq!(after(5, stated, &[]).find().head, 5, "stated {stated}");
            for absurd in [(1 << 50) + 93 % SLOTS, RESUME_MAX - SLOTS + 93 % SLOTS] {
                let damaged = after(100, stated, &[(93, 2 * absurd)]).find();
                assert_eq!((damaged.head, damaged.records), (100, 7), "stated {stated}");
                let damaged = after(5, stated, &[(5, 2 * ((1 << 50) + 5))]).find();
                assert_eq!((damaged.head, damaged.records), (4, 4), "stated {stated}");
            }
        }
        for foreign in [2 * 94, u64::MAX, u64::MAX - 1, 2 * (RESUME_MAX + 93 % SLOTS + SLOTS)] {
            assert_eq!(after(100, 100, &[(93, foreign)]).find(), found(100, 100, 7, 1));
        }
    }

    /// The slot of the newest record had been damaged. The writer went on after the one before and
    /// published a second record of a sequence that readers already had; they never saw it.
    #[test]
    fn sequence_of_a_record_that_was_damaged_is_not_used_again() {
        assert_eq!(after(100, 100, &[(100, 77)]).find(), found(99, 100, 7, 1));
        assert_eq!(after(3, 3, &[(3, 0)]).find(), found(2, 3, 2, 0));
    }

    /// One bit makes the newest record, 104, that of a turn before. All slots then agreed with 103,
    /// and 104 was published a second time.
    #[test]
    fn newest_record_that_seems_to_be_a_turn_older_is_not_given_out_again() {
        let damaged = after(104, 104, &[(104, 2 * 96)]).find();
        assert_eq!((damaged.head, damaged.resume_after, damaged.records), (103, 104, 7));
    }

    /// Only the highest sequence and the last one of a turn from the median on were asked for their
    /// votes. With the header's word gone, one slot that was a turn ahead cost three records.
    #[test]
    fn of_all_heads_that_is_right_which_most_slots_agree_with() {
        let damaged = after(100, 1 << 40, &[(96, 2 * 104)]).find();
        assert_eq!(damaged, found(100, 100, 7, 1));
    }

    #[test]
    fn slots_seen_while_the_head_moves_are_no_damage() {
        // Slots 0 and 1 were seen before the writer came by again, the others after.
        let mut moving = after(23, 16, &[]);
        (moving.states[1], moving.states[2]) = (2 * 9, 2 * 10);
        assert_eq!(moving.discarded(16, 23), 0);
        moving.states[0] = 2 * 24 - 1;
        assert_eq!(moving.discarded(16, 23), 0);
        moving.states[0] = 2 * 32;
        assert_eq!(moving.discarded(16, 23), 1);
    }

    /// An audit beside a live writer, on a machine whose loads pass one another, saw record 102 begin
    /// while the head was still seen at 100, and called that damage.
    #[test]
    fn record_that_is_seen_to_begin_before_the_head_before_it_is_no_damage() {
        assert_eq!(after(100, 100, &[(102, 2 * 102 - 1)]).find().discarded, 0);
        assert_eq!(after(100, 100, &[(102, 2 * 102 - 1)]).discarded(99, 100), 0);
        assert_eq!(after(100, 100, &[(103, 2 * 103 - 1)]).find().discarded, 1);
    }
}
