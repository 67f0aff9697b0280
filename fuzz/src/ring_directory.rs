//! The directory of a ring: any entries and names, and a reader that keeps up with them.

use std::sync::atomic::{AtomicU64, Ordering};

use tachograph::record::{Kind, OBJECT_ID_BYTES_MAX, Repr, Series, Unit};
use tachograph::ring::layout::{LIVES, entry as at, header};
use tachograph::ring::{Directory, DirectoryCursor, Entry, Geometry, METRIC_BYTES_MAX, Ring};

use super::guarded;
use super::input::Input;
use super::ring_file::{self, Shape};

/// Most changes of an input.
const CHANGES_MAX: usize = 24;
/// Words of an entry that mean something.
const ENTRY_WORDS: usize = at::LAST + 1;

/// Decodes a directory, changes it, and keeps up with the changes. What a snapshot has must be what a
/// second decoder makes of the words, which was written by the letter of the format's page.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let shape = Shape::take(&mut input);
    let words = ring_file::take(&shape, &mut input);
    guarded::words(&words, |words| follow(&Ring::decode(words).expect("a sound header"), input));
}

fn follow(ring: &Ring<&[AtomicU64]>, mut input: Input<'_>) {
    let (geometry, words) = (ring.geometry(), *ring.words());
    let mut followed = Directory::default();
    let mut cursor = DirectoryCursor::default();
    for _ in 0..CHANGES_MAX {
        followed.update(ring);
        check(ring, &followed);
        let news = cursor.news(ring);
        assert!(cursor.is_current(ring) && followed.is_current(ring));
        assert!(news.is_none_or(|news| news.entries.end <= geometry.entry_capacity));
        let is_as_writers_do = change(geometry, words, &mut input);
        if !is_as_writers_do {
            // Words that change against the rules may be seen or not, but only until they are decoded
            // from the first to the last; and nothing ends in a panic before.
            followed.update(ring);
            bounded(geometry, &followed);
            followed = ring.directory();
        }
    }
    followed.update(ring);
    check(ring, &followed);
}

/// The next change of an input: whether it is one that a writer may make.
fn change(geometry: &Geometry, words: &[AtomicU64], input: &mut Input<'_>) -> bool {
    let load = |index: usize| words[index].load(Ordering::Relaxed);
    let store = |index: usize, value: u64| words[index].store(value, Ordering::Relaxed);
    let count = load(header::ENTRY_COUNT).min(geometry.entry_capacity as u64) as usize;
    let raise = |index: usize| store(index, load(index).wrapping_add(1));
    match input.below(4) {
        // A series begins.
        0 if count < geometry.entry_capacity => {
            let start = geometry.entry_word(count);
            (0..ENTRY_WORDS).for_each(|field| store(start + field, input.word()));
            store(header::ENTRY_COUNT, count as u64 + 1);
            raise(header::DIRECTORY_CHANGES);
            true
        }
        // A series ends.
        1 if count > 0 => {
            let last = geometry.entry_word(usize::from(input.byte()) % count) + at::LAST;
            let value = input.word();
            if load(last) == LIVES {
                store(last, value);
            }
            raise(header::DIRECTORY_CHANGES);
            true
        }
        // A writer comes and mends what it likes.
        2 => {
            let index =
                geometry.entry_word(0) + usize::from(input.short()) % directory_words(geometry);
            store(index, input.word());
            raise(header::EPOCH);
            true
        }
        _ => {
            let index =
                geometry.entry_word(0) + usize::from(input.short()) % directory_words(geometry);
            store(index, input.word());
            store(header::ENTRY_COUNT, input.word());
            false
        }
    }
}

/// From the first entry to the end of the names.
fn directory_words(geometry: &Geometry) -> usize {
    geometry.arena_word() + geometry.arena_bytes as usize / 8 - geometry.entry_word(0)
}

fn bounded(geometry: &Geometry, directory: &Directory) {
    assert!(directory.entries.len() <= geometry.entry_capacity);
    for entry in directory.iter() {
        assert!(entry.column < geometry.column_capacity);
        assert!(entry.first > 0 && entry.last >= entry.first - 1);
    }
}

/// A snapshot has what the words say, and what is asked of it follows from that.
fn check(ring: &Ring<&[AtomicU64]>, directory: &Directory) {
    let (geometry, words) = (ring.geometry(), *ring.words());
    bounded(geometry, directory);
    let count = words[header::ENTRY_COUNT].load(Ordering::Relaxed);
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(geometry.entry_capacity);
    let expected: Vec<_> = (0..count).map(|index| entry(geometry, words, index)).collect();
    assert_eq!(directory.entries, expected);
    assert_eq!(ring.directory(), *directory);
    assert_eq!(directory.damaged(), expected.iter().filter(|entry| entry.is_none()).count());
    for (index, expected) in expected.iter().enumerate() {
        let found = ring.entry(index);
        assert_eq!(found.as_ref().ok(), expected.as_ref());
        assert!(found.err().is_none_or(|damage| !damage.to_string().is_empty()));
    }
    assert!(ring.entry(geometry.entry_capacity).is_err());
    for asked in expected.iter().flatten() {
        let (object, metric) = (&*asked.series.object, &*asked.series.metric);
        let newest = expected.iter().flatten().rev().find(|entry| {
            entry.lives() && &*entry.series.object == object && &*entry.series.metric == metric
        });
        assert_eq!(directory.find(object, metric), newest);
        let column = ring.find(object, metric).map(|column| column.index());
        assert_eq!(column, newest.map(|entry| entry.column));
    }
    assert_eq!(ring.find("", "").map(|column| column.index()), None);
}

/// One entry, by the letter of the format's page.
fn entry(geometry: &Geometry, words: &[AtomicU64], index: usize) -> Option<Entry> {
    let start = (geometry.directory_offset + index as u64 * geometry.entry_bytes) / 8;
    let field = |field: usize| words[start as usize + field].load(Ordering::Relaxed);
    let name = |place: u64, bytes_max: usize| {
        let (offset, len) = (place >> 32, place & 0xFFFF_FFFF);
        let fits = offset % 8 == 0 && offset + len <= geometry.arena_bytes;
        if !fits || len == 0 || len > bytes_max as u64 {
            return None;
        }
        let byte = |at: u64| {
            let word = words[((geometry.arena_offset + at) / 8) as usize].load(Ordering::Relaxed);
            (word >> (at % 8 * 8)) as u8
        };
        String::from_utf8((offset..offset + len).map(byte).collect()).ok()
    };
    let code = |place: u32| (field(at::MEANING) >> (8 * place)) as u8;
    let kind = Kind::ALL.iter().find(|kind| kind.code() == code(0));
    let unit = Unit::ALL.iter().find(|unit| unit.code() == code(1));
    let repr = Repr::ALL.iter().find(|repr| repr.code() == code(2));
    let (column, first, last) = (field(at::COLUMN), field(at::FIRST), field(at::LAST));
    let is_sound = field(at::MEANING) < 1 << 24
        && column < geometry.column_capacity as u64
        && first >= 1
        && last >= first - 1;
    let series = Series {
        object: name(field(at::OBJECT), OBJECT_ID_BYTES_MAX)?.into(),
        metric: name(field(at::METRIC), METRIC_BYTES_MAX)?.into(),
        kind: *kind?,
        unit: *unit?,
        repr: *repr?,
    };
    is_sound.then_some(Entry { series, column: column as usize, first, last })
}
