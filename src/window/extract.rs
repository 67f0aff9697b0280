//! What a window takes of several rings: which series, each of them from the ring it is best read
//! from.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::lane::{self, Candidate};
use super::{Objects, Track, Window};
use crate::record::Series;
use crate::ring::{Directory, Entry, Ring, RingKind, Words};

/// A ring that a window may be taken of.
#[derive(Clone, Debug)]
pub struct NamedRing<W> {
    /// What people call it.
    pub name: String,
    /// The ring.
    pub ring: Ring<W>,
    /// What is known of its directory. Kept from one window to the next, it is decoded once.
    pub directory: KnownDirectory,
    /// Of which objects the window may be.
    pub objects: Objects,
}

/// A directory that is brought up to date where it is needed, and otherwise not looked at again.
#[derive(Clone, Debug, Default)]
pub struct KnownDirectory(Rc<RefCell<Rc<Directory>>>);

impl KnownDirectory {
    /// What the directory of `ring` holds now.
    #[must_use]
    pub fn of<W: Words>(&self, ring: &Ring<W>) -> Rc<Directory> {
        let mut known = self.0.borrow_mut();
        if !known.is_current(ring) {
            Rc::make_mut(&mut known).update(ring);
        }
        Rc::clone(&known)
    }
}

/// Which records a window asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The earliest time, in nanoseconds since 1970.
    pub from_ns: u64,
    /// The latest time.
    pub to_ns: u64,
    /// Only records after this one, if there is one. What the ring no longer has of them is overrun.
    pub since_seq: Option<u64>,
}

impl Bounds {
    /// Whether a record of this time is asked for.
    #[inline]
    #[must_use]
    pub fn admits(&self, time_ns: u64) -> bool {
        (self.from_ns..=self.to_ns).contains(&time_ns)
    }
}

/// An entry of a ring's directory and its number there, which does not change in an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// How many entries were made before it.
    pub number: usize,
    /// The entry.
    pub entry: Entry,
}

/// What a window takes of one ring.
///
/// It ends with the record that was the newest when it was made, and knows all series of its records.
#[derive(Clone, Debug)]
pub struct Extract<W> {
    /// The ring's name.
    pub name: String,
    /// The ring.
    pub ring: Ring<W>,
    /// What was asked for.
    pub bounds: Bounds,
    /// The first record that may belong to it.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// The series that some of these records have, in the directory's order.
    pub entries: Vec<Numbered>,
    directory: Rc<Directory>,
}

impl<W: Words> Extract<W> {
    /// What there is of the series that `wanted` says yes to; `None` when no record is in bounds.
    fn of(named: NamedRing<W>, bounds: Bounds, wanted: &impl Fn(&Entry) -> bool) -> Option<Self> {
        let NamedRing { name, ring, directory, objects } = named;
        let window = Window::between(&ring, bounds.from_ns.saturating_sub(1), bounds.to_ns);
        let (mut first, last) = window.bounds()?;
        if let Some(since) = bounds.since_seq {
            let oldest = ring.bounds().map_or(1, |(oldest, _)| oldest);
            let next = since.saturating_add(1);
            // What lies before the oldest record may have been in bounds, and is told as overrun.
            first = if first <= oldest { next } else { first.max(next) };
        }
        if first > last {
            return None;
        }
        let directory = directory.of(&ring);
        let numbered = directory.entries.iter().enumerate();
        let entries = numbered
            .filter_map(|(number, entry)| Some((number, entry.as_ref()?)))
            .filter(|(_, entry)| entry.first <= last && entry.covers_any_since(first))
            .filter(|(_, entry)| objects.has(&entry.series.object) && wanted(entry))
            .map(|(number, entry)| Numbered { number, entry: entry.clone() })
            .collect();
        Some(Self { name, ring, bounds, first, last, entries, directory })
    }

    /// What a window takes of `rings`: of each, in their order, the series that `wanted` says yes to
    /// and that no other of the rings is better read from. A ring that has none of them is left out.
    #[must_use]
    pub fn all(
        rings: impl IntoIterator<Item = NamedRing<W>>,
        bounds: Bounds,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Vec<Self> {
        let of = |ring| Self::of(ring, bounds, &wanted);
        let mut extracts: Vec<_> = rings.into_iter().filter_map(of).collect();
        keep_best(&mut extracts, bounds);
        extracts.retain(|extract| !extract.entries.is_empty());
        extracts
    }

    /// Whether others may have the same series. An application's are its own, whatever their names.
    fn is_shared(&self) -> bool {
        self.ring.header().kind() == RingKind::Lane
    }

    /// The series, each with the number of its first entry, and with all lifetimes that it ever had:
    /// counters count from before the window.
    #[must_use]
    pub fn tracks_ever(&self) -> Vec<(usize, Track)> {
        let directory = &self.directory;
        let wanted: HashSet<&Series> =
            self.entries.iter().map(|numbered| &numbered.entry.series).collect();
        let mut numbers: HashMap<&Series, usize> = HashMap::new();
        for (number, entry) in directory.entries.iter().enumerate() {
            if let Some(entry) = entry {
                numbers.entry(&entry.series).or_insert(number);
            }
        }
        let tracks = Track::all(directory, |series| wanted.contains(series));
        let number = |track: &Track| numbers.get(&track.series).copied().unwrap_or_default();
        tracks.into_iter().map(|track| (number(&track), track)).collect()
    }

    /// The series, with those of their lifetimes that some record of the window has.
    #[must_use]
    pub fn tracks(&self) -> Vec<Track> {
        Track::of_entries(self.entries.iter().map(|numbered| &numbered.entry))
    }

    /// The window, from the record `seq` on, be it before its first one.
    #[must_use]
    pub fn window(&self, seq: u64) -> Window<'_, W> {
        Window {
            ring: &self.ring,
            first: seq,
            last: self.last,
            after_ns: self.bounds.from_ns.saturating_sub(1),
            up_to_ns: self.bounds.to_ns,
            by_time: true,
            continues: false,
        }
    }
}

/// Leaves each series that several lanes may have in the one extract that it is best read from.
fn keep_best<W: Words>(extracts: &mut [Extract<W>], bounds: Bounds) {
    let after_ns = bounds.from_ns.saturating_sub(1);
    let candidate =
        |extract: &Extract<W>| Candidate::of("", &extract.ring, None, after_ns, bounds.to_ns);
    let reaches: Vec<_> = extracts.iter().map(candidate).collect();
    let shared: Vec<bool> = extracts.iter().map(Extract::is_shared).collect();
    // A single lane is the best one that there is.
    if shared.iter().filter(|is_shared| **is_shared).count() < 2 {
        return;
    }
    let mut held: HashMap<(Box<str>, Box<str>), Vec<Candidate<'_>>> = HashMap::new();
    let name = |Numbered { entry, .. }: &Numbered| {
        (entry.series.object.clone(), entry.series.metric.clone())
    };
    for (index, extract) in extracts.iter().enumerate().filter(|(index, _)| shared[*index]) {
        for numbered in &extract.entries {
            held.entry(name(numbered)).or_insert_with(|| reaches.clone())[index].holds = true;
        }
    }
    let best: HashMap<_, _> =
        held.into_iter().map(|(name, lanes)| (name, lane::choose(&lanes, after_ns))).collect();
    for (index, extract) in extracts.iter_mut().enumerate().filter(|(index, _)| shared[*index]) {
        extract.entries.retain(|numbered| best[&name(numbered)] == Some(index));
    }
}
