//! A look at every field of a ring that can be known to be wrong: is each one what a writer leaves?

use super::layout::{self, entry as entry_at, header as at, record as record_at, state};
use super::recover::Slots;
use super::sync::{Ordering, Site, fence};
use super::{Damage, Directory, Part, Ring, Words};
use crate::record::{ABSENT, Record, RecordHeader, Repr, f64_of_word, flags};

/// How many times one field is named at most: a file in which all is wrong says so a million times.
const NAMED_MAX: usize = 8;
/// The flags of a record that this version knows.
const FLAGS_KNOWN: u32 = flags::EPOCH_FIRST | flags::CLOCK_STEP | flags::MISSED;

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
    /// Fields of the header's changing part that hold what no writer puts there.
    pub damaged_fields: u64,
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
    /// The fields that are wrong, each by its name and place: those of the header, then of the slots,
    /// the directory and the records. Of one field in different places no more than the first eight.
    pub damage: Vec<Damage>,
    /// How many more there are than `damage` names.
    pub unnamed: u64,
}

impl Audit {
    /// Whether nothing was found that a writer does not leave. Missing records are no damage.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damaged_fields
            + self.damaged_slots
            + self.damaged_headers
            + self.not_finite
            + self.damaged_entries
            + self.overlapping_series
            == 0
    }

    fn name(&mut self, damage: Damage) {
        // Damage of one kind comes in a row, so that few of the others are passed.
        let of_field = |named: &&Damage| named.field == damage.field;
        if self.damage.iter().rev().filter(of_field).take(NAMED_MAX).count() < NAMED_MAX {
            self.damage.push(damage);
        } else {
            self.unnamed += 1;
        }
    }
}

/// Looks at every slot, entry and record once. Safe on any ring, also one that is being written:
/// what is overwritten meanwhile is not counted as damage.
#[must_use]
pub fn audit<W: Words>(ring: &Ring<W>) -> Audit {
    let slots = Slots::look(ring);
    // The head again, after the slots: each of them was seen between the two.
    fence(Site::AfterSlots, Ordering::Acquire); // C
    let (stated_head, head_after) = (slots.stated(), ring.head());
    let found = slots.find();
    // What the slots agree on, unless a writer is at work.
    let agreed = (stated_head == head_after).then(|| slots.agreed_head());
    let (head, before, after) = match agreed {
        Some(agreed) => (found.head, agreed, agreed),
        None => (head_after, stated_head, head_after),
    };
    // The directory after the head: it knows the lifetimes of all series of the records up to it.
    let directory = ring.directory();
    let mut audit = Audit {
        stated_head,
        found_head: head,
        damaged_slots: slots.discarded(before, after),
        damaged_entries: directory.damaged() as u64,
        ..Audit::default()
    };
    look_at_header(ring, &directory, agreed, &mut audit);
    for (index, value, reason) in slots.unsound(before, after) {
        let (part, field) = (Part::Slot(index as u64), record_field(record_at::SEQ));
        audit.name(Damage { part, field, value, reason });
    }
    look_at_directory(ring, &directory, &mut audit);
    look_at_records(ring, &directory, &mut audit);
    audit
}

/// Looks at the header's changing part, the other one having been looked at when it was decoded. What
/// is published, it knows only while no writer is at work: when the slots agree on a head.
fn look_at_header<W: Words>(
    ring: &Ring<W>,
    directory: &Directory,
    agreed_head: Option<u64>,
    audit: &mut Audit,
) {
    let (geometry, stated_head, found_head) =
        (ring.geometry(), audit.stated_head, audit.found_head);
    let load = |word: usize| ring.words().load(word);
    let published = |word: usize| at::PUBLISHED[word - at::HEAD].0;
    let lifecycle = |word: usize| at::LIFECYCLE[word - at::STATE].0;
    let mut check = |holds: bool, field, value, reason| {
        if !holds {
            audit.damaged_fields += 1;
            audit.name(Damage { part: Part::Header, field, value, reason });
        }
    };
    if let Some(agreed) = agreed_head {
        // The one that was stated when the slots were looked at, unless that is no sequence at all.
        let head = if stated_head < layout::SEQUENCE_MAX { stated_head } else { load(at::HEAD) };
        // The writer may have been killed between the slot and the head.
        let is_agreed = [agreed, agreed.wrapping_sub(1)].contains(&head);
        check(is_agreed, published(at::HEAD), head, "which the slots do not agree with");
        let heartbeat = load(at::HEARTBEAT_NS);
        let least = least_heartbeat_ns(ring, found_head);
        let reason = "before the newest record";
        check(heartbeat >= least, published(at::HEARTBEAT_NS), heartbeat, reason);
    }
    let state = load(at::STATE);
    let is_state = matches!(state, state::RUNNING | state::CLOSED | state::RETIRED);
    check(is_state, lifecycle(at::STATE), state, "which is no state");
    let epoch = load(at::EPOCH);
    let is_epoch = (1..=u64::from(u32::MAX)).contains(&epoch);
    check(is_epoch, lifecycle(at::EPOCH), epoch, "which no writer has");
    let entries = load(at::ENTRY_COUNT);
    let fits = entries <= geometry.entry_capacity as u64;
    check(fits, lifecycle(at::ENTRY_COUNT), entries, "above entry_capacity");
    // After the directory: the writer states the room for names before the entries that have them.
    let used = load(at::ARENA_USED);
    let fits = used <= geometry.arena_bytes && used.is_multiple_of(layout::WORD);
    check(fits, lifecycle(at::ARENA_USED), used, "above arena_bytes or no multiple of 8");
    let covers = used >= names_end(ring, directory);
    check(covers, lifecycle(at::ARENA_USED), used, "below the end of a name");
    let changes = load(at::DIRECTORY_CHANGES);
    let is_counted = changes > 0 || directory.entries.is_empty();
    check(is_counted, lifecycle(at::DIRECTORY_CHANGES), changes, "although there are entries");
}

/// The least that the heartbeat can be when the slots show that `head` is the newest record. A writer
/// that was killed right before it stored the heartbeat has left that of the record before; of its
/// first record, that of its start, of which nothing is known here.
fn least_heartbeat_ns<W: Words>(ring: &Ring<W>, head: u64) -> u64 {
    let header = |seq| ring.read(seq, |view| view.header());
    match (header(head), header(head.wrapping_sub(1))) {
        (Ok(newest), Ok(before)) if newest.flags() & flags::EPOCH_FIRST == 0 => {
            newest.boottime_ns.min(before.boottime_ns)
        }
        _ => 0,
    }
}

/// Where in the arena the last name of an entry ends.
fn names_end<W: Words>(ring: &Ring<W>, directory: &Directory) -> u64 {
    let sound = directory.entries.iter().enumerate().filter(|(_, entry)| entry.is_some());
    let ends = sound.flat_map(|(index, _)| {
        let mut places = [0; 2];
        ring.words().copy(ring.geometry().entry_word(index) + entry_at::OBJECT, &mut places);
        places.map(|place| (place >> 32) + (place & u64::from(u32::MAX)))
    });
    ends.max().unwrap_or(0)
}

fn look_at_directory<W: Words>(ring: &Ring<W>, directory: &Directory, audit: &mut Audit) {
    let damaged = (0..directory.entries.len()).filter(|index| directory.entries[*index].is_none());
    for damage in damaged.filter_map(|index| ring.entry(index).err()) {
        audit.name(damage);
    }
    let mut spans: Vec<_> = Vec::new();
    for (index, entry) in directory.entries.iter().enumerate() {
        let lived = entry.as_ref().filter(|entry| entry.last >= entry.first);
        spans.extend(lived.map(|entry| (entry.column, entry.first, entry.last, index)));
    }
    spans.sort_unstable();
    for pair in spans.windows(2) {
        let [(column, _, last, _), (other, first, _, index)] = pair else { continue };
        if column == other && last >= first {
            audit.overlapping_series += 1;
            audit.name(Damage {
                part: Part::Entry(*index),
                field: entry_at::FIELDS[entry_at::FIRST].0,
                value: *first,
                reason: "when its column still belongs to another series",
            });
        }
    }
}

fn look_at_records<W: Words>(ring: &Ring<W>, directory: &Directory, audit: &mut Audit) {
    let floats = float_columns(directory);
    let geometry = ring.geometry();
    let mut record = Record::default();
    let mut run = (0, 0);
    for seq in ring.oldest(audit.found_head)..=audit.found_head {
        let words = geometry.slot_word(seq) + RecordHeader::WORDS;
        let read = ring.read(seq, |view| {
            record.header = view.header();
            // The header's count may be more than there is room for.
            let columns = record.header.columns;
            record.set_columns(view.columns());
            ring.words().copy(words, record.words_mut());
            record.header.columns = columns;
        });
        if read.is_err() {
            // Unless a live writer has come by meanwhile.
            let due = seq >= ring.oldest(ring.head());
            audit.missing += u64::from(due && audit.records > 0);
            continue;
        }
        if audit.records == 0 {
            audit.oldest = seq;
        }
        audit.records += 1;
        let header = &record.header;
        audit.damaged_headers += u64::from(!look_at_record_header(ring, header, run, audit));
        run = (header.run_first, header.realtime_ns);
        for (column, first, last) in &floats {
            let Some(word) = record.words().get(*column) else { continue };
            let wrong = *word != ABSENT && f64_of_word(*word).is_none();
            if wrong && (*first..=*last).contains(&seq) {
                audit.not_finite += 1;
                let (part, field) = (Part::Column { seq, column: *column }, "word");
                audit.name(Damage { part, field, value: *word, reason: "a double but not finite" });
            }
        }
    }
}

/// Whether all is sound in the header of a record, before which the run began and the wall clock was
/// as `run` says.
fn look_at_record_header<W: Words>(
    ring: &Ring<W>,
    header: &RecordHeader,
    run: (u64, u64),
    audit: &mut Audit,
) -> bool {
    let mut is_sound = true;
    let mut check = |holds: bool, word: usize, value, reason| {
        if !holds {
            is_sound = false;
            let (part, field) = (Part::Record(header.seq), record_field(word));
            audit.name(Damage { part, field, value, reason });
        }
    };
    let ascends = run.0 != header.run_first || header.realtime_ns > run.1;
    let reason = "not after the record before in the same run";
    check(ascends, record_at::REALTIME_NS, header.realtime_ns, reason);
    // A newer version may have flags of its own.
    let is_known = header.flags() & !FLAGS_KNOWN == 0 || ring.header().version > layout::VERSION;
    let (word, value) = (record_at::EPOCH_AND_FLAGS, header.epoch_and_flags);
    check(is_known, word, value, "which has unknown flags");
    check(header.epoch() > 0, word, value, "in an epoch that no writer has");
    let fits = header.columns <= ring.geometry().column_capacity as u64;
    check(fits, record_at::COLUMNS, header.columns, "above column_capacity");
    let began = (1..=header.seq).contains(&header.run_first);
    check(began, record_at::RUN_FIRST, header.run_first, "not from 1 to the record's own sequence");
    is_sound
}

fn record_field(word: usize) -> &'static str {
    record_at::FIELDS[word].0
}

fn float_columns(directory: &Directory) -> Vec<(usize, u64, u64)> {
    let floats = directory.iter().filter(|entry| entry.series.repr == Repr::F64);
    floats.map(|entry| (entry.column, entry.first, entry.last)).collect()
}
