//! A series through time: the columns it lay in, lifetime by lifetime.
//!
//! An object that goes and returns has one entry in the directory per lifetime, often in another
//! column. Names alone make them one series to a person; what is counted in one lifetime has nothing
//! to do with the former.

use std::collections::HashMap;

use crate::record::{Class, Kind, Repr, Series, Unit};
use crate::ring::{Directory, Entry, RecordView, Value, Words};

/// One lifetime of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Where it lies in a record.
    pub column: usize,
    /// The first record that has it.
    pub first: u64,
    /// The last record that has it; `u64::MAX` while it lives.
    pub last: u64,
}

impl Stretch {
    /// Whether some record of `first..=last` has it.
    #[must_use]
    pub fn meets(&self, first: u64, last: u64) -> bool {
        self.first.max(first) <= self.last.min(last)
    }
}

/// A series and all its lifetimes in one ring, as one directory said it.
///
/// It knows all records that were there before the directory was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// What is measured. Entries of the same names that mean something else are other tracks.
    pub series: Series,
    /// The class of its object; `None` when this version knows none of that name.
    pub class: Option<Class>,
    /// Its lifetimes, the newest first, since that is asked for most.
    pub stretches: Vec<Stretch>,
}

impl Track {
    /// The series with these names, with the meaning that its newest entry has. `None` when the
    /// directory has no such entry.
    #[must_use]
    pub fn of(directory: &Directory, object: &str, metric: &str) -> Option<Self> {
        let named =
            |entry: &&Entry| &*entry.series.metric == metric && &*entry.series.object == object;
        let newest = directory.iter().rev().find(named)?;
        let mut track = Self::new(&newest.series);
        let same = directory.iter().rev().filter(|entry| entry.series == newest.series);
        track.stretches.extend(same.map(stretch_of));
        Some(track)
    }

    /// All series that `wanted` says yes to, in the order in which they first appeared.
    #[must_use]
    pub fn all(directory: &Directory, mut wanted: impl FnMut(&Series) -> bool) -> Vec<Self> {
        Self::of_entries(directory.iter().filter(|entry| wanted(&entry.series)))
    }

    /// The series of these entries, in the order in which they first appear.
    pub(super) fn of_entries<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Self> {
        let mut tracks: Vec<Self> = Vec::new();
        let mut places: HashMap<&Series, usize> = HashMap::new();
        for entry in entries {
            let place = *places.entry(&entry.series).or_insert_with(|| {
                tracks.push(Self::new(&entry.series));
                tracks.len() - 1
            });
            tracks[place].stretches.push(stretch_of(entry));
        }
        for track in &mut tracks {
            track.stretches.reverse();
        }
        tracks
    }

    fn new(series: &Series) -> Self {
        let class = Class::of(&series.object);
        Self { series: series.clone(), class, stretches: Vec::new() }
    }

    /// Which of its lifetimes the record `seq` belongs to, and where it lies there.
    #[inline]
    #[must_use]
    pub fn at(&self, seq: u64) -> Option<(usize, Stretch)> {
        let covers = |stretch: &&Stretch| (stretch.first..=stretch.last).contains(&seq);
        let index = self.stretches.iter().position(|stretch| covers(&stretch))?;
        Some((index, self.stretches[index]))
    }

    /// Whether some record of `first..=last` has it.
    #[must_use]
    pub fn meets(&self, first: u64, last: u64) -> bool {
        self.stretches.iter().any(|stretch| stretch.meets(first, last))
    }

    /// Its value in a record, if the record has it and it was measured.
    #[inline]
    #[must_use]
    pub fn value<W: Words>(&self, view: &RecordView<'_, W>) -> Option<Value> {
        let (_, stretch) = self.at(view.seq())?;
        Value::of_word(view.word(stretch.column), self.series.repr)
    }

    /// Its value in a record as an integer; `None` as well when it is a series of doubles.
    #[must_use]
    pub fn u64<W: Words>(&self, view: &RecordView<'_, W>) -> Option<u64> {
        match self.value(view)? {
            Value::U64(value) => Some(value),
            Value::F64(_) => None,
        }
    }

    /// The double nearest to its value in a record.
    #[must_use]
    pub fn f64<W: Words>(&self, view: &RecordView<'_, W>) -> Option<f64> {
        self.value(view).map(Value::as_f64)
    }

    /// Whether its values are levels, and not totals of which only differences have a meaning.
    #[must_use]
    pub fn is_gauge(&self) -> bool {
        self.series.kind == Kind::Gauge
    }

    /// Whether its counter may be one that a driver keeps in 32 bits.
    pub(super) fn may_wrap(&self) -> bool {
        let Series { kind, unit, repr, .. } = &self.series;
        let narrow = match self.class {
            Some(Class::Nic) => matches!(unit, Unit::Bytes | Unit::Count),
            // The kernel prints the times of a disk as 32 bits everywhere.
            Some(Class::Disk) => matches!(unit, Unit::Bytes | Unit::Count | Unit::Milliseconds),
            Some(Class::Filesystem | Class::Datastore) => *unit == Unit::Milliseconds,
            _ => false,
        };
        narrow && *kind == Kind::Counter && *repr == Repr::U64
    }

    /// Whether it is CPU time, which the kernel corrects downwards now and then.
    pub(super) fn is_cpu_time(&self) -> bool {
        self.series.unit == Unit::Ticks && matches!(self.class, Some(Class::Host | Class::Cpu))
    }
}

fn stretch_of(entry: &Entry) -> Stretch {
    Stretch { column: entry.column, first: entry.first, last: entry.last }
}
