//! The directory of a ring: any entries and names, and a reader that keeps up with them.

use std::sync::atomic::{AtomicU64, Ordering};

use tachograph::record::{Kind, OBJECT_ID_BYTES_MAX, Repr, Series, Unit};
use tachograph::ring::layout::{LIVES, entry as at, header};
use tachograph::ring::{
    Directory, DirectoryCursor, DirectoryNews, Entry, Geometry, METRIC_BYTES_MAX, Ring,
};

use super::guarded;
use super::input::Input;
use super::ring_file::{self, Shape};
use super::watched::Watched;

/// Most changes of an input.
const CHANGES_MAX: usize = 24;
/// Words of an entry that mean something.
const ENTRY_WORDS: usize = at::LAST + 1;
/// Most loads by which an entry is decoded: its own words and those of both names.
const ENTRY_LOADS: usize =
    ENTRY_WORDS + OBJECT_ID_BYTES_MAX.div_ceil(8) + METRIC_BYTES_MAX.div_ceil(8);
/// Most loads by which a header is decoded.
const HEADER_LOADS: u64 = 32;
/// Most loads by which a reader learns what is new.
const NEWS_LOADS: usize = 5;

type Plain<'a> = Ring<&'a [AtomicU64]>;
type Counted<'a> = Ring<Watched<&'a [AtomicU64]>>;

/// Decodes a directory, changes it, and keeps up with the changes. What a snapshot has must be what a
/// second decoder makes of the words, which was written by the letter of the format's page.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let shape = Shape::take(&mut input);
    let words = ring_file::take(&shape, &mut input);
    guarded::words(&words, |words| {
        let counted = Watched::new(words);
        counted.allow(HEADER_LOADS);
        let counted = Ring::decode(counted).expect("a sound header");
        follow(&Ring::decode(words).expect("a sound header"), &counted, input);
    });
}

fn follow(ring: &Plain<'_>, counted: &Counted<'_>, mut input: Input<'_>) {
    let mut follower = Follower::default();
    for _ in 0..CHANGES_MAX {
        follower.update(counted);
        check(ring, &follower.directory);
        let is_as_writers_do = change(ring.geometry(), ring.words(), &mut input);
        if !is_as_writers_do {
            // Words that change against the rules may be seen or not, but only until they are decoded
            // from the first to the last; and nothing ends in a panic before.
            follower.update(counted);
            bounded(ring.geometry(), &follower.directory);
            follower = Follower::default();
        }
    }
    follower.update(counted);
    check(ring, &follower.directory);
}

/// A reader that keeps up with a directory, and what it knows of it by the format's page.
#[derive(Default)]
struct Follower {
    directory: Directory,
    cursor: DirectoryCursor,
    epoch: Option<u64>,
    changes: u64,
}

impl Follower {
    /// Learns what is new, in no more loads than there are entries that are new or that lived.
    fn update(&mut self, ring: &Counted<'_>) {
        let plain = |index: usize| ring.words().inner()[index].load(Ordering::Relaxed);
        let allow = |loads: usize| ring.words().allow(loads as u64);
        let known = self.directory.entries.len();
        let count = entry_count(ring.geometry(), ring.words().inner());
        let (epoch, changes) = (Some(plain(header::EPOCH)), plain(header::DIRECTORY_CHANGES));
        let is_new = (epoch, changes) != (self.epoch, self.changes);
        let anew = epoch != self.epoch || count < known;
        let first = if anew { 0 } else { known };
        let new = is_new.then_some(first..count);
        allow(NEWS_LOADS);
        let news = self.cursor.news(ring);
        assert_eq!(news, new.clone().map(|entries| DirectoryNews { anew, entries }));
        let lived = self.directory.iter().filter(|entry| entry.lives()).count();
        allow(NEWS_LOADS + new.map_or(0, |new| lived + new.len() * ENTRY_LOADS));
        self.directory.update(ring);
        (self.epoch, self.changes) = (epoch, changes);
        allow(2 * NEWS_LOADS);
        assert!(self.cursor.is_current(ring) && self.directory.is_current(ring));
    }
}

/// The next change of an input: whether it is one that a writer may make.
fn change(geometry: &Geometry, words: &[AtomicU64], input: &mut Input<'_>) -> bool {
    let load = |index: usize| words[index].load(Ordering::Relaxed);
    let store = |index: usize, value: u64| words[index].store(value, Ordering::Relaxed);
    let count = entry_count(geometry, words);
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
            raise(header::DIRECTORY_CHANGES);
            false
        }
    }
}

/// Entries that the directory says it has, as far as there is room for them.
fn entry_count(geometry: &Geometry, words: &[AtomicU64]) -> usize {
    let count = words[header::ENTRY_COUNT].load(Ordering::Relaxed);
    usize::try_from(count).unwrap_or(usize::MAX).min(geometry.entry_capacity)
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
fn check(ring: &Plain<'_>, directory: &Directory) {
    let (geometry, words) = (ring.geometry(), *ring.words());
    bounded(geometry, directory);
    let count = entry_count(geometry, words);
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
