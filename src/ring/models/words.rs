//! The words of a small ring, as atomics of the model checker.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64 as PlainU64, AtomicUsize, Ordering};

#[cfg(loom)]
pub(super) use loom::{
    sync::atomic::{AtomicU32, AtomicU64},
    sync::{Condvar, Mutex},
    thread,
};
#[cfg(shuttle)]
pub(super) use shuttle::{
    sync::atomic::{AtomicU32, AtomicU64},
    sync::{Condvar, Mutex},
    thread,
};

use super::mutation;
use crate::record::{Kind, RecordHeader, Repr, Series, Unit};
use crate::ring::layout::{entry as entry_at, header as at, record as record_at};
use crate::ring::notify::{self, Notify};
use crate::ring::{
    Geometry, Header, Indexed, ReadError, RecordView, Ring, Sizes, Words, WordsMut, heap_words,
    layout, slot,
};

/// Columns of every record.
pub(super) const COLUMNS: usize = 2;
/// Entries that the directory can have.
const ENTRIES: usize = 4;

/// Words of which some are the model's, in every order that it allows, and all others plain memory,
/// which all threads see at once. Each word that is the model's makes a model larger, so only those
/// are that speak for others: of a record, its state and columns; of an entry, all but its meaning.
pub(super) struct Modelled {
    plain: Box<[PlainU64]>,
    /// Which words are the model's, ascending.
    indices: Vec<usize>,
    words: Vec<AtomicU64>,
    notify: AtomicU32,
    /// The kernel's side of the futex: it compares and falls asleep in one step.
    queue: Mutex<()>,
    woken: Condvar,
}

/// The ring of a model. Clones share the words.
pub(super) type ModelRing = Ring<Arc<Modelled>>;

/// An empty ring with this many slots. The directory's words are the model's if it has a part in it.
pub(super) fn ring(slot_count: u64, with_directory: bool) -> ModelRing {
    mutation::begin();
    let sizes = Sizes {
        slot_count,
        column_capacity: COLUMNS as u64,
        entry_capacity: ENTRIES as u64,
        arena_bytes: 64,
    };
    let geometry = Geometry::of(sizes).expect("sound sizes");
    let plain = heap_words(geometry.file_words());
    Header {
        version: layout::VERSION,
        compatible_flags: 0,
        geometry,
        ring_id: [1, 2],
        boot_id: [3, 4],
        interval_ns: 1_000_000_000,
        created_ns: 5,
        first_seq: 0,
    }
    .encode(&plain);
    let mut indices = vec![at::HEAD, at::STATE];
    if with_directory {
        indices.extend([at::ENTRY_COUNT, at::DIRECTORY_CHANGES]);
        for entry in 0..ENTRIES {
            let entry = geometry.entry_word(entry);
            let once = [entry_at::OBJECT, entry_at::COLUMN, entry_at::FIRST, entry_at::LAST];
            indices.extend(once.map(|word| entry + word));
        }
        // The second name; the others are there from the beginning.
        indices.push(geometry.arena_word() + 2);
    }
    for seq in 0..slot_count {
        let slot = geometry.slot_word(seq);
        indices.push(slot);
        indices.extend((0..COLUMNS).map(|column| slot + RecordHeader::WORDS + column));
        plain.store(slot + record_at::COLUMNS, COLUMNS as u64);
    }
    indices.sort_unstable();
    let words = indices.iter().map(|_| AtomicU64::new(0)).collect();
    let modelled = Modelled {
        plain,
        indices,
        words,
        notify: AtomicU32::new(0),
        queue: Mutex::new(()),
        woken: Condvar::new(),
    };
    Ring::decode(Arc::new(modelled)).expect("a sound header")
}

/// The word of a column, as every writer of a model publishes it: a tear shows itself.
pub(super) fn word(seq: u64, column: usize) -> u64 {
    seq * 10 + column as u64
}

/// Publishes the record `seq`, and says so to those who sleep.
pub(super) fn publish<W: WordsMut>(ring: &Ring<W>, notify: &Modelled, seq: u64) {
    put(ring, seq, [0, 1].map(|column| word(seq, column)));
    notify::announce(notify, seq);
    notify::wake(notify);
}

/// Publishes the record `seq` with these columns. The header's words are not the model's, and stay.
pub(super) fn put<W: WordsMut>(ring: &Ring<W>, seq: u64, columns: [u64; COLUMNS]) {
    let slot = ring.geometry().slot_word(seq);
    let mut header = [0; RecordHeader::WORDS];
    ring.words().copy(slot, &mut header);
    slot::publish(ring.words(), slot, seq, &[&header[1..], &columns]);
}

/// States the head of a ring that nobody knows of yet, as one does whose history has been copied.
#[cfg(shuttle)]
pub(super) fn state_head(ring: &ModelRing, head: u64) {
    ring.words().store(at::HEAD, head);
    notify::announce(&**ring.words(), head);
}

/// Both columns of a record.
pub(super) fn columns<W: Words>(view: RecordView<'_, W>) -> [u64; COLUMNS] {
    [view.word(0), view.word(1)]
}

/// Reads both columns of the record `seq`.
pub(super) fn read(ring: &ModelRing, seq: u64) -> Result<[u64; COLUMNS], ReadError> {
    ring.read(seq, columns)
}

/// What the columns of a whole record are.
pub(super) fn whole(seq: u64) -> [u64; COLUMNS] {
    [word(seq, 0), word(seq, 1)]
}

/// A series of its own name; the `number`s count from 0.
pub(super) fn series(number: usize) -> Series {
    Series {
        object: ["first", "second", "third"][number].into(),
        metric: "m".into(),
        kind: Kind::Gauge,
        unit: Unit::Count,
        repr: Repr::U64,
    }
}

impl Modelled {
    fn modelled(&self, index: usize) -> Option<&AtomicU64> {
        self.indices.binary_search(&index).ok().map(|place| &self.words[place])
    }

    fn store_now(&self, index: usize, value: u64, order: Ordering) {
        match self.modelled(index) {
            _ if index == at::NOTIFY => self.notify.store(value as u32, order),
            Some(word) => word.store(value, order),
            None => self.plain.store(index, value),
        }
    }

    /// Stores, in the order in which a mutation has it.
    fn store_in_turn(&self, index: usize, value: u64, order: Ordering) {
        if mutation::holds_back(index, value) {
            return;
        }
        self.store_now(index, value, order);
        self.store_overdue();
    }

    fn store_overdue(&self) {
        if let Some((index, value)) = mutation::overdue() {
            self.store_now(index, value, Ordering::Release);
        }
    }
}

impl Words for Modelled {
    type Span<'a> = Indexed<'a, Self>;

    fn span(&self, start: usize, len: usize) -> Indexed<'_, Self> {
        Indexed::new(self, start, len)
    }

    fn len(&self) -> usize {
        self.plain.len()
    }

    fn load(&self, index: usize) -> u64 {
        match self.modelled(index) {
            Some(word) => word.load(Ordering::Relaxed),
            None => self.plain.load(index),
        }
    }
}

impl WordsMut for Modelled {
    fn store(&self, index: usize, value: u64) {
        self.store_in_turn(index, value, Ordering::Relaxed);
    }

    fn store_release(&self, index: usize, value: u64) {
        self.store_in_turn(index, value, Ordering::Release);
    }
}

impl Notify for Modelled {
    fn load(&self) -> u32 {
        self.notify.load(Ordering::Relaxed)
    }

    fn store(&self, value: u32, order: Ordering) {
        self.store_in_turn(at::NOTIFY, u64::from(value), order);
    }

    fn add_one(&self, order: Ordering) {
        self.notify.fetch_add(1, order);
        self.store_overdue();
    }

    fn sleep(&self, seen: u32, _timeout: Duration) {
        let seen = if mutation::is(mutation::Mutation::SeenTooLate) {
            self.notify.load(Ordering::Relaxed)
        } else {
            seen
        };
        let queue = self.queue.lock().expect("nobody panics with it");
        if self.notify.load(Ordering::Relaxed) == seen {
            drop(self.woken.wait(queue).expect("nobody panics with it"));
        }
    }

    fn wake(&self) {
        let queue = self.queue.lock().expect("nobody panics with it");
        self.woken.notify_all();
        drop(queue);
        self.store_overdue();
    }
}

/// The words of a writer that is killed after some stores: those that follow are not done.
pub(super) struct Mortal {
    words: Arc<Modelled>,
    left: AtomicUsize,
}

impl Mortal {
    /// The same ring in the hands of a writer that does `stores` more stores.
    pub(super) fn of(ring: &ModelRing, stores: usize) -> Ring<Self> {
        let mortal = Self { words: ring.words().clone(), left: AtomicUsize::new(stores) };
        Ring::decode(mortal).expect("the ring was decoded before")
    }

    fn lives(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        left > 0
    }
}

impl Words for Mortal {
    type Span<'a> = Indexed<'a, Self>;

    fn span(&self, start: usize, len: usize) -> Indexed<'_, Self> {
        Indexed::new(self, start, len)
    }

    fn len(&self) -> usize {
        self.words.len()
    }

    fn load(&self, index: usize) -> u64 {
        self.words.load(index)
    }
}

impl WordsMut for Mortal {
    fn store(&self, index: usize, value: u64) {
        if self.lives() {
            self.words.store(index, value);
        }
    }

    fn store_release(&self, index: usize, value: u64) {
        if self.lives() {
            self.words.store_release(index, value);
        }
    }
}
