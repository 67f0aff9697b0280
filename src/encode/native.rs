//! What rings there are and what they hold, as JSON: the native view.
//!
//! Every list is written piece by piece, so that an answer of any length needs the memory of one
//! piece. Values stand in the unit in which they are stored; integers are exact, and what was not
//! measured is left out.

use std::borrow::Cow;

use super::stamp::push_time;
use super::{PART_BYTES, push_escaped, push_f64, push_u64};
use crate::record::{Class, Repr, Series, metric};
use crate::ring::{DirectoryCursor, Entry, RecordView, Ring, RingKind, Value, Words, layout};

/// Series that are looked at for one piece at most, whether they are wanted or not.
pub const SERIES_PER_PIECE: usize = 4096;
/// How often the newest record is read anew because its directory has changed meanwhile.
const READ_TRIES: u32 = 4;

/// What is to be told of a ring as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingLine {
    /// Its name.
    pub name: String,
    /// Whose series it has.
    pub kind: RingKind,
    /// What has become of its writer, in one word.
    pub state: &'static str,
    /// Nanoseconds between its records.
    pub interval_ns: u64,
    /// Its newest record; 0 when there is none.
    pub head: u64,
    /// Its writer's epoch.
    pub epoch: u64,
    /// How many series live.
    pub series: usize,
    /// Who owns the file.
    pub uid: u32,
    /// The file.
    pub path: String,
}

impl RingLine {
    /// Appends it as an object.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"name\":");
        push_escaped(out, &self.name);
        for (name, text) in [("kind", self.kind.as_str()), ("liveness", self.state)] {
            push_key(out, name);
            push_escaped(out, text);
        }
        for (name, number) in [
            ("interval_ns", self.interval_ns),
            ("head", self.head),
            ("epoch", self.epoch),
            ("series", self.series as u64),
            ("uid", self.uid.into()),
        ] {
            push_key(out, name);
            push_u64(out, number);
        }
        push_key(out, "path");
        push_escaped(out, &self.path);
        out.push(b'}');
    }
}

/// How many series of a ring live.
#[must_use]
pub fn living<W: Words>(ring: &Ring<W>) -> usize {
    let lives = |index: &usize| ring.entry_last(*index) == layout::LIVES;
    entries(ring).filter(lives).count()
}

/// The numbers of the entries that a ring's directory has.
fn entries<W: Words>(ring: &Ring<W>) -> std::ops::Range<usize> {
    DirectoryCursor::default().news(ring).map_or(0..0, |news| news.entries)
}

/// A list of series that is being written: those that some record of the ring still has.
#[derive(Clone, Debug)]
pub struct SeriesList {
    /// The entry that comes next, and the end of those that were there at the beginning.
    left: std::ops::Range<usize>,
}

impl SeriesList {
    /// The series of `ring`.
    #[must_use]
    pub fn of<W: Words>(ring: &Ring<W>) -> Self {
        Self { left: entries(ring) }
    }

    /// Appends the next elements of a JSON list to `out`, until it has [`PART_BYTES`] or `budget`
    /// entries have been looked at, and says whether it has come to the end. `is_first` says that no
    /// element has been written yet.
    pub fn piece<W: Words>(
        &mut self,
        (name, ring): (&str, &Ring<W>),
        wanted: impl Fn(&str, &str) -> bool,
        (budget, is_first): (&mut usize, &mut bool),
        out: &mut Vec<u8>,
    ) -> bool {
        let oldest = ring.bounds().map_or(1, |(oldest, _)| oldest);
        while *budget > 0 && out.len() < PART_BYTES {
            let Some(index) = self.left.next() else { return true };
            *budget -= 1;
            let entry = ring.entry(index).ok().filter(|entry| entry.covers_any_since(oldest));
            let is_wanted = |entry: &Entry| wanted(&entry.series.object, &name_of(entry));
            let Some(entry) = entry.filter(is_wanted) else { continue };
            if !std::mem::take(is_first) {
                out.extend_from_slice(b",\n");
            }
            write_series((name, ring), &entry, out);
        }
        self.left.is_empty()
    }
}

/// What patterns are compared with.
pub(super) fn name_of(entry: &Entry) -> String {
    format!("{}/{}", entry.series.object, entry.series.metric)
}

fn write_series<W: Words>((name, ring): (&str, &Ring<W>), entry: &Entry, out: &mut Vec<u8>) {
    let series = &entry.series;
    out.extend_from_slice(b"{\"ring\":");
    push_escaped(out, name);
    for (name, text) in [
        ("object", &*series.object),
        ("metric", &*series.metric),
        ("kind", series.kind.as_str()),
        ("unit", series.unit.as_str()),
        ("repr", series.repr.as_str()),
    ] {
        push_key(out, name);
        push_escaped(out, text);
    }
    push_key(out, "first");
    push_u64(out, entry.first);
    push_key(out, "last");
    if entry.lives() {
        out.extend_from_slice(b"null");
    } else {
        push_u64(out, entry.last);
    }
    // When these two records were made, as far as the ring still has them.
    for (key, seq) in [("first_time", entry.first), ("last_time", entry.last)] {
        push_key(out, key);
        match ring.read(seq, |view| view.realtime_ns()) {
            Ok(time_ns) => {
                out.push(b'"');
                push_time(out, time_ns);
                out.push(b'"');
            }
            Err(_) => out.extend_from_slice(b"null"),
        }
    }
    push_key(out, "help");
    match help(ring.header().kind(), series) {
        Some(help) => push_escaped(out, &help),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

/// What the catalog says of a series. It knows nothing of an application's, whatever their names.
fn help(kind: RingKind, series: &Series) -> Option<Cow<'static, str>> {
    let class = Class::of(&series.object).filter(|_| kind == RingKind::Lane)?;
    let metric = metric(class, &series.metric)?;
    match metric.matches(&series.metric) {
        Some(field) if !field.is_empty() => Some(metric.help.replace('*', field).into()),
        _ => Some(metric.help.into()),
    }
}

/// The living series of one ring, laid out for its newest record. It is brought up to date when the
/// directory has changed, and otherwise not looked at again.
#[derive(Debug, Default)]
pub struct LatestPlan {
    cursor: DirectoryCursor,
    /// In the order of the directory.
    series: Vec<Planned>,
}

#[derive(Debug)]
struct Planned {
    /// The number of its entry.
    index: usize,
    column: usize,
    first: u64,
    repr: Repr,
    /// What patterns are compared with.
    name: Box<str>,
    /// How much of that is the object.
    object_bytes: usize,
    /// All of its element that stands before the value.
    text: Box<[u8]>,
}

impl Planned {
    fn of(index: usize, entry: &Entry) -> Self {
        let series = &entry.series;
        let mut text = b"{\"object\":".to_vec();
        push_escaped(&mut text, &series.object);
        for (name, value) in [("metric", &*series.metric), ("unit", series.unit.as_str())] {
            push_key(&mut text, name);
            push_escaped(&mut text, value);
        }
        push_key(&mut text, "value");
        Self {
            index,
            column: entry.column,
            first: entry.first,
            repr: series.repr,
            name: name_of(entry).into(),
            object_bytes: series.object.len(),
            text: text.into(),
        }
    }
}

impl LatestPlan {
    fn update<W: Words>(&mut self, ring: &Ring<W>) {
        let Some(news) = self.cursor.news(ring) else { return };
        if news.anew {
            self.series.clear();
        }
        self.series.retain(|planned| ring.entry_last(planned.index) == layout::LIVES);
        for index in news.entries {
            let entry = ring.entry(index).ok().filter(Entry::lives);
            self.series.extend(entry.map(|entry| Planned::of(index, &entry)));
        }
    }
}

/// The newest record of one ring that is being written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latest {
    /// The record; 0 before it has been chosen.
    seq: u64,
    progress: Progress,
}

/// How far it has been written.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The first entry that has not been looked at.
    next: usize,
    has_value: bool,
    done: bool,
}

impl Latest {
    /// Appends the next piece to `out`, until that has [`PART_BYTES`] or `budget` series have been
    /// looked at, and says whether it was the last. A ring without a record gives `"seq":0` and no
    /// values.
    ///
    /// The record is read in place, also when it is written in several pieces: all of them are of
    /// the same record. When the writer goes round the whole ring between two of them, or faster
    /// than one can be written, the values end there and `"overrun":true` follows.
    pub fn piece<W: Words>(
        &mut self,
        (name, ring): (&str, &Ring<W>),
        plan: &mut LatestPlan,
        wanted: impl Fn(&str, &str) -> bool,
        budget: &mut usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let (begun, limit) = (out.len(), *budget);
        if self.seq > 0 {
            plan.update(ring);
            let progress = self.progress;
            let written = ring.read(self.seq, |view| {
                write_values((ring, view), plan, progress, &wanted, limit, out)
            });
            match written {
                Ok((progress, left)) => (self.progress, *budget) = (progress, left),
                Err(_) => {
                    out.truncate(begun);
                    self.break_off(out);
                }
            }
            return self.progress.done;
        }
        for _ in 0..READ_TRIES {
            plan.update(ring);
            let written = ring.latest(|view| {
                out.truncate(begun);
                write_head(name, view.seq(), Some(view.realtime_ns()), out);
                let progress = Progress::default();
                (view.seq(), write_values((ring, view), plan, progress, &wanted, limit, out))
            });
            let Some((seq, (progress, left))) = written else {
                out.truncate(begun);
                write_head(name, ring.head(), None, out);
                if ring.head() == 0 {
                    out.extend_from_slice(b"]}");
                    return true;
                }
                self.break_off(out);
                return true;
            };
            (self.seq, self.progress, *budget) = (seq, progress, left);
            // Then the plan knows all series of that record.
            if plan.cursor.is_current(ring) {
                break;
            }
        }
        self.progress.done
    }

    fn break_off(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"],\"overrun\":true}");
        self.progress.done = true;
    }
}

fn write_head(name: &str, seq: u64, realtime_ns: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"name\":");
    push_escaped(out, name);
    push_key(out, "seq");
    push_u64(out, seq);
    if let Some(realtime_ns) = realtime_ns {
        push_key(out, "time");
        out.push(b'"');
        push_time(out, realtime_ns);
        out.push(b'"');
    }
    push_key(out, "values");
    out.push(b'[');
}

/// Appends values from where `progress` says, and says how far it came and what is left of `budget`.
fn write_values<W: Words>(
    (ring, view): (&Ring<W>, RecordView<'_, W>),
    plan: &LatestPlan,
    mut progress: Progress,
    wanted: &impl Fn(&str, &str) -> bool,
    mut budget: usize,
    out: &mut Vec<u8>,
) -> (Progress, usize) {
    let seq = view.seq();
    let from = plan.series.partition_point(|planned| planned.index < progress.next);
    for planned in &plan.series[from..] {
        if budget == 0 || out.len() >= PART_BYTES {
            return (progress, budget);
        }
        budget -= 1;
        progress.next = planned.index + 1;
        // Asked in place: the column may be another series' by now, in a later record.
        let covered = planned.first <= seq && seq <= ring.entry_last(planned.index);
        if !covered || !wanted(&planned.name[..planned.object_bytes], &planned.name) {
            continue;
        }
        let Some(value) = Value::of_word(view.word(planned.column), planned.repr) else { continue };
        out.extend_from_slice(if progress.has_value { b",\n" } else { b"\n" });
        progress.has_value = true;
        out.extend_from_slice(&planned.text);
        push_value(out, value);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    progress.done = true;
    (progress, budget)
}

pub(super) fn push_value(out: &mut Vec<u8>, value: Value) {
    match value {
        Value::U64(value) => push_u64(out, value),
        Value::F64(value) => push_f64(out, value),
    }
}

pub(super) fn push_key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}
