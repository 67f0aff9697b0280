//! What a ring must hold after each operation, too plain to be wrong: one place per slot.
//!
//! And what damage may change of it. A seqlock has no checksum: whoever flips a bit in the words of a
//! slot is not found out, unless it is in the slot's first word and makes it one that no writer
//! leaves there. So the words of a slot that were changed make that slot *tainted*: what is read from
//! it is its changed words, or an error. Nothing else that was published may be another, and nothing
//! else may be gone.

use std::collections::BTreeSet;
use std::rc::Rc;

use tachograph::record::{Record, RecordHeader, Schema};
use tachograph::ring::layout::{entry, header as at, record};
use tachograph::ring::{Geometry, Indexed, ReadError, Ring, Words};

use super::ring_stores;

/// Who lives where: object and column, sorted. Twice in it is who is twice in the directory.
pub type Living = Vec<(String, usize)>;

/// What a slot holds.
#[derive(Clone, Debug)]
pub enum Slot {
    /// Nothing that anybody can read.
    Empty,
    /// This record was being written when the writer was killed.
    Writing(u64),
    /// This record, with the series that it has.
    Stable(Record, Rc<Living>),
}

impl Slot {
    /// The sequence that was last begun here.
    fn seq(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Writing(seq) => *seq,
            Self::Stable(record, _) => record.header.seq,
        }
    }
}

/// Columns whose series are damaged are nobody's, and a new file may be too narrow for them.
pub fn narrow(record: &mut Record, columns: usize) {
    if columns < record.words().len() {
        record.set_columns(columns);
        record.header.columns = columns as u64;
    }
}

/// A ring as it must be.
#[derive(Clone, Debug)]
pub struct Model {
    /// By slot.
    pub slots: Vec<Slot>,
    /// The newest record that the header states.
    pub head: u64,
    /// The highest sequence that was given out, or that readers were told of.
    pub given: u64,
    /// The first record that the file can hold, as it says itself: those before it were not taken over.
    pub first_seq: u64,
    /// Whether anything in the file has ever been damaged, so that what a writer took over from it
    /// need not be sound.
    pub damaged: bool,
}

impl Model {
    /// A ring without records.
    pub fn new(slot_count: u64) -> Self {
        let slots = vec![Slot::Empty; slot_count as usize];
        Self { slots, head: 0, given: 0, first_seq: 0, damaged: false }
    }

    /// How many slots there are.
    pub fn slot_count(&self) -> u64 {
        self.slots.len() as u64
    }

    fn place(&mut self, seq: u64) -> &mut Slot {
        let index = seq % self.slot_count();
        &mut self.slots[index as usize]
    }

    /// A writer has begun to write this record.
    pub fn begin(&mut self, seq: u64) {
        *self.place(seq) = Slot::Writing(seq);
    }

    /// The record has become stable, and is not stated yet.
    pub fn settle(&mut self, record: Record, living: Rc<Living>) {
        let seq = record.header.seq;
        self.given = self.given.max(seq);
        *self.place(seq) = Slot::Stable(record, living);
    }

    /// The record has been published.
    pub fn publish(&mut self, record: Record, living: Rc<Living>) {
        assert!(record.header.seq > self.given, "a sequence is given out once");
        self.head = record.header.seq;
        self.settle(record, living);
    }

    /// The records have been copied to a file of so many columns, but for what no writer has finished.
    pub fn move_to_a_file_of(&mut self, columns: usize) {
        for slot in &mut self.slots {
            match slot {
                Slot::Writing(_) => *slot = Slot::Empty,
                Slot::Stable(record, _) if self.damaged => narrow(record, columns),
                Slot::Stable(record, _) => assert!(record.words().len() <= columns),
                Slot::Empty => {}
            }
        }
    }

    /// The records that can be read, with the series that they have.
    pub fn records(&self) -> impl Iterator<Item = (&Record, &Rc<Living>)> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Stable(record, living) => Some((record, living)),
            _ => None,
        })
    }

    /// What reading the record `seq` must give.
    pub fn expected(&self, seq: u64) -> Result<&Record, ReadError> {
        if seq == 0 || seq > u64::MAX / 2 {
            return Err(ReadError::Corrupt);
        }
        let slots = self.slot_count();
        match &self.slots[(seq % slots) as usize] {
            Slot::Stable(record, _) if record.header.seq == seq => Ok(record),
            slot if slot.seq() > seq => Err(ReadError::Overrun),
            _ if seq > self.head => Err(ReadError::NotYet),
            _ if self.head - seq >= slots || seq < self.first_seq => Err(ReadError::Overrun),
            _ => Err(ReadError::Lost),
        }
    }

    /// Sequences worth asking for: two turns before the head to one after it, and what is none.
    pub fn near(&self) -> impl Iterator<Item = u64> + use<> {
        let slots = self.slot_count();
        let (from, to) = (self.head.saturating_sub(2 * slots), self.given + slots);
        (from..=to).chain([0, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX])
    }
}

/// How the words of a ring differ from those that its writers left.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    /// The file is no ring any more: the immutable header is another, or there is too little of it.
    pub whole_file: bool,
    /// The header states another head.
    pub head: bool,
    /// The header did not state yet what was given out last.
    pub unstated: bool,
    /// How many slots say in their first word that something else is in them.
    pub states: u64,
    /// Slots of which any word is another.
    pub slots: BTreeSet<u64>,
    /// Entries of which any word, or any of their names, is another, or that are not counted.
    pub entries: BTreeSet<usize>,
    /// Whether the header counts other entries.
    pub count: bool,
    /// Entries that say what no writer says, so that nobody can overlook it.
    pub entries_named: u64,
}

impl Damage {
    /// Compares the words of a ring with those that its writers left.
    pub fn of(geometry: &Geometry, left: &[u64], found: &[u64]) -> Self {
        let word = |index: usize| found.get(index).copied();
        let differs = |index: usize| word(index) != Some(left[index]);
        let cut = found.len() < geometry.file_words();
        let whole_file = cut || (0..=at::CHECKSUM).any(differs);
        let mut damage = Self { whole_file, head: differs(at::HEAD), ..Self::default() };
        for index in 0..geometry.slot_count {
            let slot = geometry.slot_word(index);
            damage.states += u64::from(differs(slot));
            let columns = left[slot + record::COLUMNS].min(geometry.column_capacity as u64);
            if (slot..slot + RecordHeader::WORDS + columns as usize).any(differs) {
                damage.slots.insert(index);
            }
        }
        let [known, counted] = [left[at::ENTRY_COUNT], word(at::ENTRY_COUNT).unwrap_or(0)];
        let capacity = geometry.entry_capacity as u64;
        let [known, counted] = [known, counted].map(|count| count.min(capacity) as usize);
        damage.count = differs(at::ENTRY_COUNT);
        for index in 0..known {
            let start = geometry.entry_word(index);
            let of_names = |field: usize| {
                let words = ring_stores::name_words(geometry, left[start + field]);
                // A damaged entry that was taken over may name any place.
                (words.start..words.end.min(geometry.file_words())).any(differs)
            };
            let own = (start..=start + entry::LAST).any(differs);
            let any = own || of_names(entry::OBJECT) || of_names(entry::METRIC);
            if any || index >= counted {
                damage.entries.insert(index);
            }
            let meaning = word(start + entry::MEANING).unwrap_or(0);
            damage.entries_named += u64::from(index < counted && meaning >> 24 != 0);
        }
        damage
    }

    /// Whether there is any that a reader or the next writer could stumble over.
    pub fn is_any(&self) -> bool {
        self.whole_file || self.head || !self.slots.is_empty() || self.is_in_directory()
    }

    /// Whether the directory is not what it was.
    pub fn is_in_directory(&self) -> bool {
        self.count || !self.entries.is_empty()
    }

    /// How many undamaged records the next writer may take for damaged.
    ///
    /// It believes the head that most slots agree with, to which the header's word adds one vote for
    /// a later one. So records are lost only if other words speak for another head, and not more of
    /// them than words that do.
    pub fn lost_max(&self) -> u64 {
        if self.head { self.states + 1 } else { self.states.saturating_sub(1) }
    }

    /// Whether the next writer knows which sequences were given out: the header's word says so, and
    /// the slot of the newest record. If neither of them says so it cannot know.
    pub fn hides_sequences(&self) -> bool {
        self.states + u64::from(self.header_is_silent()) > 1
    }

    /// Whether the header's word does not say which sequence was given out last.
    pub fn header_is_silent(&self) -> bool {
        self.head || self.unstated
    }
}

/// The words of a file as they were at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a>(&'a [u64]);

impl Words for Image<'_> {
    type Span<'a>
        = Indexed<'a, Self>
    where
        Self: 'a;

    fn span(&self, start: usize, len: usize) -> Indexed<'_, Self> {
        Indexed::new(self, start, len)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn load(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }
}

/// The ring that these words are; `None` if they are none.
pub fn ring_of(words: &[u64]) -> Option<Ring<Image<'_>>> {
    Ring::decode(Image(words)).ok()
}

/// The words of a slot that `found` has, as the record `seq`.
pub fn record_in(geometry: &Geometry, found: &[u64], seq: u64) -> Record {
    let slot = geometry.slot_word(seq);
    let columns = found[slot + record::COLUMNS].min(geometry.column_capacity as u64) as usize;
    let mut record = Record::new(columns);
    let header = &mut record.header;
    header.seq = seq;
    header.realtime_ns = found[slot + record::REALTIME_NS];
    header.boottime_ns = found[slot + record::BOOTTIME_NS];
    header.epoch_and_flags = found[slot + record::EPOCH_AND_FLAGS];
    // As the header has it, which may say more than there is room for.
    header.tick_duration_ns = found[slot + record::TICK_DURATION_NS];
    header.run_first = found[slot + record::RUN_FIRST];
    header.missed_ticks = found[slot + record::MISSED_TICKS];
    let start = slot + RecordHeader::WORDS;
    record.words_mut().copy_from_slice(&found[start..start + columns]);
    record
}

/// The series of `schema`, sorted.
pub fn living(schema: &Schema) -> Living {
    let mut living: Living =
        schema.iter().map(|(column, series)| (series.object.to_string(), column)).collect();
    living.sort_unstable();
    living
}

/// The record `seq`, copied, if it can be read.
pub fn copy<W: Words>(ring: &Ring<W>, seq: u64) -> Option<Record> {
    let mut record = Record::default();
    ring.read_into(seq, &mut record).ok().map(|()| record)
}

/// A record of `columns` words that no other moment has.
pub fn record_at(clock_ns: u64, columns: usize) -> Record {
    let mut record = Record::new(columns);
    record.header.realtime_ns = clock_ns;
    record.header.boottime_ns = clock_ns + 7;
    for (column, word) in record.words_mut().iter_mut().enumerate() {
        *word = (clock_ns << 20).wrapping_add(column as u64);
    }
    record
}

/// The series that a directory says the record `seq` has.
pub fn covering<W: Words>(ring: &Ring<W>, seq: u64) -> Living {
    let directory = ring.directory();
    let mut living: Living = directory
        .iter()
        .filter(|entry| entry.covers(seq))
        .map(|entry| (entry.series.object.to_string(), entry.column))
        .collect();
    living.sort_unstable();
    living
}
