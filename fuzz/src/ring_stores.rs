//! What a writer stores, in its order, so that one can be stopped after any store.
//!
//! Nothing in the writer stops it half way. So it is let do its work, and what it would not have
//! stored yet is taken back: the words before, with the first so many of its stores. That these are
//! all of its stores is checked each time: words that no store explains are a failure.

use tachograph::record::RecordHeader;
use tachograph::ring::Geometry;
use tachograph::ring::layout::{WORD, entry, header as at, record};

/// One store: which word, and what.
pub type Store = (usize, u64);

/// The words of a ring after the first `count` of `stores`.
pub fn stopped(before: &[u64], stores: &[Store], count: usize) -> Vec<u64> {
    let mut words = before.to_vec();
    for (index, value) in &stores[..count] {
        words[*index] = *value;
    }
    words
}

/// The stores that published a record.
///
/// # Panics
///
/// When they do not explain `after`, as those of [`sync`] do.
pub fn publish(geometry: &Geometry, before: &[u64], after: &[u64]) -> Vec<Store> {
    let seq = after[at::HEAD];
    let slot = geometry.slot_word(seq);
    let words = RecordHeader::WORDS + after[slot + record::COLUMNS] as usize;
    let mut stores = vec![(slot, 2 * seq - 1)];
    let last = [slot, at::HEAD, at::HEARTBEAT_NS, at::NOTIFY];
    stores.extend((slot + 1..slot + words).chain(last).map(|index| (index, after[index])));
    checked(before, after, stores)
}

/// The stores that told the directory of a ring, which stayed in its place, what has changed.
pub fn sync(geometry: &Geometry, before: &[u64], after: &[u64]) -> Vec<Store> {
    checked(before, after, directory(geometry, before, after))
}

/// The stores with which a writer came to a ring without damage and went on in its place.
pub fn start(geometry: &Geometry, before: &[u64], after: &[u64]) -> Vec<Store> {
    let mut stores = vec![(at::HEAD, after[at::HEAD])];
    stores.extend(directory(geometry, before, after));
    let last = [at::EPOCH, at::PID, at::PID_START, at::HEARTBEAT_NS, at::STATE];
    stores.extend(last.map(|index| (index, after[index])));
    checked(before, after, stores)
}

fn directory(geometry: &Geometry, before: &[u64], after: &[u64]) -> Vec<Store> {
    let changes = before[at::DIRECTORY_CHANGES];
    if after[at::DIRECTORY_CHANGES] == changes {
        return Vec::new();
    }
    let [known, all] = [before, after].map(|words| words[at::ENTRY_COUNT] as usize);
    let lasts = (0..known).map(|index| geometry.entry_word(index) + entry::LAST);
    let mut stores: Vec<Store> = lasts
        .filter(|last| before[*last] != after[*last])
        .map(|last| (last, after[last]))
        .collect();
    stores.push((at::DIRECTORY_CHANGES, changes.wrapping_add(1)));
    let mut store = |index: usize| stores.push((index, after[index]));
    for start in (known..all).map(|index| geometry.entry_word(index)) {
        for name in [entry::OBJECT, entry::METRIC] {
            let words = name_words(geometry, after[start + name]);
            words.filter(|word| before[*word] != after[*word]).for_each(&mut store);
        }
        (start..=start + entry::LAST).for_each(&mut store);
    }
    [at::ARENA_USED, at::ENTRY_COUNT, at::DIRECTORY_CHANGES].into_iter().for_each(store);
    stores
}

/// The words of the name whose place an entry says; none of it may lie outside.
pub fn name_words(geometry: &Geometry, place: u64) -> std::ops::Range<usize> {
    let (offset, len) = (place >> 32, place & u64::from(u32::MAX));
    let start = geometry.arena_word() + (offset / WORD) as usize;
    start..start + len.div_ceil(WORD) as usize
}

fn checked(before: &[u64], after: &[u64], stores: Vec<Store>) -> Vec<Store> {
    let explained = stopped(before, &stores, stores.len());
    let unexplained = || (0..after.len()).find(|index| explained[*index] != after[*index]);
    assert!(explained == after, "no store explains the word {:?}", unexplained());
    stores
}
