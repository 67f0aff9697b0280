//! The records of a ring as server-sent events, one batch after the other.
//!
//! First comes an event `series` that says what the columns are, and again whenever they are others.
//! Then come events `records`, each with all records since the one before, as far as they fit: of each
//! its sequence, its time and its values in the order of the columns, where `null` stands for what was
//! not measured. What is not there is told by an event `gap`, and another file in the ring's place by an
//! event `ring`. All data are one line of JSON.
//!
//! An event's id is the sequence of the last record that it tells of, a minus sign, and that record's
//! time in nanoseconds. Sequences alone do not name a record: after a reboot they begin anew. With its
//! time, a record is known again wherever it is copied, as into the larger ring that takes the place of
//! a smaller one, and never taken for another.

use std::error::Error;
use std::fmt;

use super::native::{name_of, push_key, push_value};
use super::stamp::push_time;
use super::{PART_BYTES, push_escaped, push_u64};
use crate::record::Repr;
use crate::ring::{DirectoryCursor, Entry, RecordView, Ring, Value, Words};
use crate::window::{Event, Gap, GapReason, Window};

/// How far somebody has read: a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventId {
    /// Its sequence.
    pub seq: u64,
    /// Its time; `None` if only the sequence is known.
    pub realtime_ns: Option<u64>,
}

impl EventId {
    /// Reads an id, or a sequence by itself.
    ///
    /// # Errors
    ///
    /// [`UnfitEventId`] for any other text.
    ///
    /// # Examples
    ///
    /// ```
    /// use tachograph::encode::EventId;
    ///
    /// let id = EventId::parse("4711-1795000000000000000")?;
    /// assert_eq!((id.seq, id.realtime_ns), (4711, Some(1_795_000_000_000_000_000)));
    /// assert_eq!(EventId::parse("4711")?.realtime_ns, None);
    /// assert!(EventId::parse("4711-").is_err());
    /// # Ok::<(), tachograph::encode::UnfitEventId>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, UnfitEventId> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u64>().ok().filter(|_| digits).ok_or(UnfitEventId)
        };
        match text.split_once('-') {
            None => Ok(Self { seq: number(text)?, realtime_ns: None }),
            Some((seq, time)) => Ok(Self { seq: number(seq)?, realtime_ns: Some(number(time)?) }),
        }
    }

    fn push(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"id: ");
        push_u64(out, self.seq);
        if let Some(realtime_ns) = self.realtime_ns {
            out.push(b'-');
            push_u64(out, realtime_ns);
        }
        out.push(b'\n');
    }

    /// Whether the record may be one of `ring`, be it overwritten by now or not.
    fn fits<W: Words>(self, ring: &Ring<W>) -> bool {
        let Some((oldest, head)) = ring.bounds() else { return self.seq == 0 };
        if self.seq > head {
            return false;
        }
        let Some(realtime_ns) = self.realtime_ns.filter(|_| self.seq > 0) else { return true };
        match ring.read(self.seq, |view| view.realtime_ns()) {
            Ok(found_ns) => found_ns == realtime_ns,
            // It is gone, with whatever it was. Were it of another ring it would hardly be older than
            // the oldest record here.
            Err(_) if self.seq < oldest => {
                ring.read(oldest, |view| view.realtime_ns()).is_ok_and(|ns| realtime_ns <= ns)
            }
            Err(_) => true,
        }
    }
}

/// A text that is no [`EventId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnfitEventId;

impl fmt::Display for UnfitEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an event id, as in 4711 or 4711-1795000000000000000")
    }
}

impl Error for UnfitEventId {}

/// Where frames begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the newest record.
    Newest,
    /// With the first record after this one.
    After(EventId),
}

/// A column of the frames.
#[derive(Debug)]
struct Wanted {
    entry: Entry,
    /// The number of its entry.
    index: usize,
}

/// The frames of one ring, being written.
#[derive(Debug)]
pub struct Frames {
    name: String,
    /// The last record that has been told of.
    told: EventId,
    /// Where it begins; nothing has been told before.
    start: Option<Start>,
    cursor: DirectoryCursor,
    columns: Vec<Wanted>,
    /// The next column that the event `series` under way is to name.
    naming: Option<usize>,
    /// The columns are to be named before the next record.
    is_news: bool,
    /// Whether somebody has read up to `told`, so that what stands behind it is told as well.
    continues: bool,
    /// Whether there has been a frame with records or gaps.
    has_read: bool,
    overruns: u64,
}

impl Frames {
    /// The frames of the ring `name` from `start` on.
    #[must_use]
    pub fn new(name: &str, start: Start) -> Self {
        Self {
            name: name.to_owned(),
            told: EventId::default(),
            start: Some(start),
            cursor: DirectoryCursor::default(),
            columns: Vec::new(),
            naming: None,
            is_news: true,
            continues: false,
            has_read: false,
            overruns: 0,
        }
    }

    /// The last record that has been told of.
    #[must_use]
    pub fn told(&self) -> EventId {
        self.told
    }

    /// How often records were overwritten before they could be told of, those before the first frame
    /// left aside.
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.overruns
    }

    /// Appends the next frame, until `out` has [`PART_BYTES`], and says whether there was anything to
    /// append. It can also be a part of the event `series`. One record is never divided.
    pub fn frame<W: Words>(
        &mut self,
        ring: &Ring<W>,
        admits: impl Fn(&str, &str) -> bool,
        out: &mut Vec<u8>,
    ) -> bool {
        let begun = out.len();
        if self.naming.is_some() {
            return self.name_columns(out);
        }
        if let Some(start) = self.start.take() {
            self.begin(ring, start, out);
        }
        // Before the directory: this one then has all series of the window's records.
        let window = if self.continues {
            Window::after(ring, self.told.seq)
        } else {
            Window::sequences(ring, self.told.seq.saturating_add(1), u64::MAX)
        };
        self.update(ring, admits);
        if std::mem::take(&mut self.is_news) {
            self.open_series(ring, out);
            self.naming = Some(0);
            return self.name_columns(out);
        }
        let written = out.len();
        let before = self.told;
        if window.is_empty() {
            return out.len() > begun;
        }
        let result = window.read(|events| {
            out.truncate(written);
            self.told = before;
            let mut overruns = 0;
            let mut batch = Batch { columns: &self.columns, told: &mut self.told, is_open: false };
            for event in events {
                match event {
                    Event::Gap(gap) => {
                        overruns += u64::from(matches!(gap.reason, GapReason::Overrun(_)));
                        batch.gap(gap, out);
                    }
                    Event::Record(view) => batch.record((ring, view), out),
                }
                if out.len() >= PART_BYTES {
                    break;
                }
            }
            batch.close(out);
            overruns
        });
        match result {
            Ok(overruns) => {
                self.overruns += if self.has_read { overruns } else { 0 };
                (self.continues, self.has_read) = (true, true);
            }
            Err(_) => {
                // Nothing is vouched for. The next try says what has been lost.
                out.truncate(written);
                self.told = before;
            }
        }
        out.len() > begun
    }

    /// Goes on in the ring that has taken the place of the one before.
    pub fn follow<W: Words>(&mut self, ring: &Ring<W>, out: &mut Vec<u8>) {
        self.naming = None;
        self.is_news = true;
        let continues = self.told.fits(ring);
        if !continues {
            self.told = before_oldest(ring);
            self.continues = false;
        }
        self.push_ring(ring, continues, out);
    }

    fn begin<W: Words>(&mut self, ring: &Ring<W>, start: Start, out: &mut Vec<u8>) {
        match start {
            Start::Newest => {
                self.told = EventId { seq: ring.head().saturating_sub(1), realtime_ns: None };
            }
            Start::After(id) if id.fits(ring) => {
                self.told = id;
                self.continues = id.seq > 0;
            }
            Start::After(_) => {
                self.told = before_oldest(ring);
                self.push_ring(ring, false, out);
            }
        }
    }

    /// Says that another ring is here than the one that was read before.
    fn push_ring<W: Words>(&self, ring: &Ring<W>, continues: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: ring\ndata: {\"ring\":");
        push_escaped(out, &self.name);
        push_ids(ring, out);
        push_key(out, "continues");
        out.extend_from_slice(if continues { b"true" } else { b"false" });
        push_key(out, "after");
        push_u64(out, self.told.seq);
        out.extend_from_slice(b"}\n\n");
    }

    /// Sees to it that the columns are those of the records that come.
    fn update<W: Words>(&mut self, ring: &Ring<W>, admits: impl Fn(&str, &str) -> bool) {
        let Some(news) = self.cursor.news(ring) else { return };
        let next = self.told.seq.saturating_add(1);
        let known = self.columns.len();
        if news.anew {
            self.columns.clear();
            self.is_news = true;
        }
        self.columns.retain_mut(|column| {
            column.entry.last = ring.entry_last(column.index);
            column.entry.covers_any_since(next)
        });
        self.is_news |= self.columns.len() < known;
        for index in news.entries {
            let entry = ring.entry(index).ok().filter(|entry| entry.covers_any_since(next));
            let admitted = |entry: &Entry| admits(&entry.series.object, &name_of(entry));
            let Some(entry) = entry.filter(admitted) else { continue };
            self.columns.push(Wanted { entry, index });
            self.is_news = true;
        }
    }

    fn open_series<W: Words>(&self, ring: &Ring<W>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: series\ndata: {\"ring\":");
        push_escaped(out, &self.name);
        push_ids(ring, out);
        push_key(out, "interval_ns");
        push_u64(out, ring.header().interval_ns);
        push_key(out, "series");
        out.push(b'[');
    }

    /// Goes on with the event `series`.
    fn name_columns(&mut self, out: &mut Vec<u8>) -> bool {
        let from = self.naming.take().unwrap_or(0);
        for (index, column) in self.columns.iter().enumerate().skip(from) {
            if out.len() >= PART_BYTES {
                self.naming = Some(index);
                return true;
            }
            if index > 0 {
                out.push(b',');
            }
            let series = &column.entry.series;
            out.extend_from_slice(b"{\"object\":");
            push_escaped(out, &series.object);
            for (name, text) in [
                ("metric", &*series.metric),
                ("kind", series.kind.as_str()),
                ("unit", series.unit.as_str()),
            ] {
                push_key(out, name);
                push_escaped(out, text);
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"]}\n\n");
        true
    }
}

fn before_oldest<W: Words>(ring: &Ring<W>) -> EventId {
    let oldest = ring.bounds().map_or(1, |(oldest, _)| oldest);
    EventId { seq: oldest - 1, realtime_ns: None }
}

fn push_ids<W: Words>(ring: &Ring<W>, out: &mut Vec<u8>) {
    push_key(out, "epoch");
    push_u64(out, ring.epoch());
    push_key(out, "head");
    push_u64(out, ring.head());
}

/// Records and gaps of one frame.
struct Batch<'a> {
    columns: &'a [Wanted],
    told: &'a mut EventId,
    /// Whether an event `records` has begun.
    is_open: bool,
}

impl Batch<'_> {
    fn record<W: Words>(&mut self, (ring, view): (&Ring<W>, RecordView<'_, W>), out: &mut Vec<u8>) {
        let opening: &[u8] = b"event: records\ndata: {\"records\":[[";
        out.extend_from_slice(if std::mem::replace(&mut self.is_open, true) {
            b",["
        } else {
            opening
        });
        let (seq, realtime_ns) = (view.seq(), view.realtime_ns());
        push_u64(out, seq);
        out.extend_from_slice(b",\"");
        push_time(out, realtime_ns);
        out.extend_from_slice(b"\",[");
        for (place, Wanted { entry, index }) in self.columns.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            // Asked in place: the column may be another series' by now, in a later record.
            let covered = entry.first <= seq && seq <= ring.entry_last(*index);
            let repr: Repr = entry.series.repr;
            match Value::of_word(view.word(entry.column), repr).filter(|_| covered) {
                Some(value) => push_value(out, value),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(b"]]");
        *self.told = EventId { seq, realtime_ns: Some(realtime_ns) };
    }

    fn gap(&mut self, gap: Gap, out: &mut Vec<u8>) {
        self.close(out);
        out.extend_from_slice(b"event: gap\ndata: {\"before\":");
        push_u64(out, gap.before);
        push_key(out, "reason");
        push_escaped(out, gap.reason.as_str());
        push_key(out, "count");
        push_u64(out, gap.reason.count());
        out.extend_from_slice(b"}\n\n");
        // What is not there has been told of, too; were it the last, it would be told again.
        if matches!(gap.reason, GapReason::Overrun(_) | GapReason::Missing(_)) {
            *self.told = EventId { seq: gap.before - 1, realtime_ns: None };
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.is_open) {
            out.extend_from_slice(b"]}\n");
            self.told.push(out);
            out.push(b'\n');
        }
    }
}
