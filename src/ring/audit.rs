//! A look at every slot of a ring: is each one what a writer leaves there?

use super::layout::LIVES;
use super::recover::Slots;
use super::sync::{Ordering, fence};
use super::{Directory, Ring, Words};
use crate::record::{ABSENT, Record, Repr, f64_of_word};

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// Newest record that the header states.
    pub stated_head: u64,
    /// Newest record that the slots show.
    pub found_head: u64,
    /// Oldest record that could be read.
    pub oldest: u64,
    /// Records that could be read.
    pub records: u64,
    /// Sequences between the oldest and the newest that have no record.
    pub missing: u64,
    /// Slots that hold what no writer puts there.
    pub damaged_slots: u64,
    /// Records whose header contradicts itself or its neighbours'.
    pub damaged_headers: u64,
    /// Words of `f64` series that are neither finite nor absent.
    pub not_finite: u64,
    /// Directory entries that could not be read.
    pub damaged_entries: u64,
    /// Series that share a column in the same records.
    pub overlapping_series: u64,
}

impl Audit {
    /// Whether nothing was found that a writer does not leave. Missing records are no damage.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damaged_slots
            + self.damaged_headers
            + self.not_finite
            + self.damaged_entries
            + self.overlapping_series
            == 0
    }
}

/// Looks at every slot once. Safe on any ring, also one that is being written: what is overwritten
/// meanwhile is not counted as damage.
#[must_use]
pub fn audit<W: Words>(ring: &Ring<W>) -> Audit {
    let slots = Slots::look(ring);
    // The head again, after the slots: each of them was seen between the two.
    fence(Ordering::Acquire);
    let (stated_head, head_after) = (slots.stated(), ring.head());
    let found = slots.find();
    let (head, damaged_slots) = if stated_head == head_after {
        (found.head, found.discarded)
    } else {
        (head_after, slots.discarded(stated_head, head_after))
    };
    // The directory after the head: it knows the lifetimes of all series of the records up to it.
    let directory = ring.directory();
    let mut audit = Audit {
        stated_head,
        found_head: head,
        damaged_slots,
        damaged_entries: directory.damaged() as u64,
        overlapping_series: overlapping(&directory),
        ..Audit::default()
    };
    let floats = float_columns(&directory);
    let mut record = Record::default();
    let mut run = (0, 0);
    for seq in ring.oldest(head)..=head {
        match ring.read_into(seq, &mut record) {
            Ok(()) => {}
            Err(_) => {
                // Unless a live writer has come by meanwhile.
                let due = seq >= ring.oldest(ring.head());
                audit.missing += u64::from(due && audit.records > 0);
                continue;
            }
        }
        if audit.records == 0 {
            audit.oldest = seq;
        }
        audit.records += 1;
        let header = &record.header;
        let backwards = run.0 == header.run_first && header.realtime_ns <= run.1;
        let sound = (1..=seq).contains(&header.run_first) && !backwards;
        audit.damaged_headers += u64::from(!sound);
        run = (header.run_first, header.realtime_ns);
        for (column, first, last) in &floats {
            let Some(word) = record.words().get(*column) else { continue };
            let wrong = *word != ABSENT && f64_of_word(*word).is_none();
            audit.not_finite += u64::from(wrong && (*first..=*last).contains(&seq));
        }
    }
    audit
}

fn float_columns(directory: &Directory) -> Vec<(usize, u64, u64)> {
    let floats = directory.iter().filter(|entry| entry.series.repr == Repr::F64);
    floats.map(|entry| (entry.column, entry.first, entry.last)).collect()
}

fn overlapping(directory: &Directory) -> u64 {
    let mut spans: Vec<_> = directory
        .iter()
        .filter(|entry| entry.last >= entry.first)
        .map(|entry| (entry.column, entry.first, entry.last))
        .collect();
    spans.sort_unstable();
    let overlap = |pair: &&[(usize, u64, u64)]| {
        pair[0].0 == pair[1].0 && (pair[0].2 == LIVES || pair[0].2 >= pair[1].1)
    };
    spans.windows(2).filter(overlap).count() as u64
}
