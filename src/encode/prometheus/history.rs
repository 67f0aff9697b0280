//! Every record of a window, series by series, each value with its time.

use std::sync::Arc;

use super::scrape::Overtaken;
use super::sheet::{Sample, Sheet, Sheets};
use super::{Collectors, Exposition};
use crate::encode::PART_BYTES;
use crate::encode::number::{F64_ROOM, write_decimal, write_u64};
use crate::encode::room::Room;
use crate::record::{ABSENT, RecordHeader};
use crate::ring::{Ring, Words};
use crate::window::{Stretch, Window};

/// Most records of one answer. Of a window with more, the oldest ones are given.
pub const HISTORY_RECORDS_MAX: usize = 1 << 16;

/// The share of the ring that an answer keeps away from the writer: what the writer overwrites before
/// the answer has been sent would make it worthless as a whole.
const OVERRUN_MARGIN: u64 = 32;

/// How often a window is chosen anew because the directory has changed meanwhile.
const CHOICES: u32 = 4;

const NS_PER_MS: u64 = 1_000_000;

/// What a history begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryFrom {
    /// Records whose time is after this, in nanoseconds since 1970.
    After(
        /// The time.
        u64,
    ),
    /// Records after this sequence.
    Since(
        /// The sequence.
        u64,
    ),
}

/// How far a history reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryReach {
    /// Its last record; where it has none, the one that it was to begin after.
    pub last_seq: u64,
    /// The time of that record, in nanoseconds since 1970; 0 where there is none.
    pub last_ns: u64,
    /// How many records it has.
    pub records: u64,
    /// Records that were asked for and had been overwritten, or were about to be.
    pub overrun: u64,
    /// Records that are not in the ring although it reaches further back.
    pub missing: u64,
    /// Records that come at or before the time of one that was recorded earlier, to the millisecond:
    /// those after a clock was set back, and those closer than a millisecond to the one before.
    pub unordered: u64,
}

/// A record of the window.
#[derive(Clone, Copy, Debug)]
struct Frame {
    seq: u64,
    /// Where its columns begin, in words.
    words_at: usize,
    columns: usize,
    realtime_ns: u64,
}

/// Every record of a window, being written.
#[derive(Debug)]
pub struct History {
    sheet: Option<Arc<Sheet>>,
    exposition: Exposition,
    wanted: Collectors,
    frames: Vec<Frame>,
    /// For each of them, what stands behind the value.
    times: Vec<TimeText>,
    reach: HistoryReach,
    family: usize,
    sample: usize,
    frame: usize,
    is_headed: bool,
}

/// A space, a time and a newline, and in the last byte how long they are.
type TimeText = [u8; 24];

impl Default for History {
    /// One that has nothing to write.
    fn default() -> Self {
        Self {
            sheet: None,
            exposition: Exposition::Text,
            wanted: Collectors::NONE,
            frames: Vec::new(),
            times: Vec::new(),
            reach: HistoryReach::default(),
            family: 0,
            sample: 0,
            frame: 0,
            is_headed: false,
        }
    }
}

impl History {
    /// Chooses the records of `ring` from `from` on, as far as they are safe from the writer for a
    /// while, and `records_max` of them at most. Used again, it does not allocate.
    ///
    /// # Errors
    ///
    /// [`Overtaken`].
    pub fn begin<W: Words>(
        &mut self,
        ring: &Ring<W>,
        sheets: &mut Sheets,
        from: HistoryFrom,
        (exposition, wanted): (Exposition, Collectors),
        records_max: usize,
    ) -> Result<(), Overtaken> {
        for _ in 0..CHOICES {
            let sheet = sheets.all(ring);
            let (bounds, after_ns) = match from {
                HistoryFrom::After(ns) => (Window::between(ring, ns, u64::MAX).bounds(), ns),
                HistoryFrom::Since(seq) => {
                    (Window::sequences(ring, seq.saturating_add(1), u64::MAX).bounds(), 0)
                }
            };
            self.reset(sheet, (exposition, wanted));
            if let HistoryFrom::Since(seq) = from {
                self.reach.last_seq = seq;
            }
            if let (Some((first, last)), Some((oldest, head))) = (bounds, ring.bounds()) {
                let slots = ring.geometry().slot_count;
                // The ring is full when its oldest record is one that the next will overwrite.
                let is_full = head - oldest + 1 == slots;
                let safe = if is_full { oldest + slots / OVERRUN_MARGIN } else { oldest };
                let begin = first.max(safe);
                self.reach.overrun = begin.min(last + 1) - first;
                self.choose(ring, (begin, last), (after_ns, u64::MAX), records_max);
            }
            if sheets.is_current(ring) {
                return Ok(());
            }
        }
        Err(Overtaken)
    }

    /// Chooses all records of `ring` between two times, as [`Window::between`] has them, with the
    /// samples of a sheet of its own. Allocates.
    pub fn begin_between<W: Words>(
        &mut self,
        ring: &Ring<W>,
        sheet: Arc<Sheet>,
        (after_ns, up_to_ns): (u64, u64),
        exposition: Exposition,
    ) {
        self.reset(sheet, (exposition, Collectors::ALL));
        if let Some(bounds) = Window::between(ring, after_ns, up_to_ns).bounds() {
            self.choose(ring, bounds, (after_ns, up_to_ns), usize::MAX);
        }
    }

    /// How far the answer reaches.
    #[must_use]
    pub fn reach(&self) -> HistoryReach {
        self.reach
    }

    fn reset(&mut self, sheet: Arc<Sheet>, (exposition, wanted): (Exposition, Collectors)) {
        self.frames.clear();
        self.times.clear();
        self.reach = HistoryReach::default();
        (self.exposition, self.wanted) = (exposition, wanted);
        (self.family, self.sample, self.frame, self.is_headed) = (0, 0, 0, false);
        self.sheet = Some(sheet);
    }

    /// Takes the records `first..=last` whose time lies between the two, up to `records_max` of them.
    fn choose<W: Words>(
        &mut self,
        ring: &Ring<W>,
        (first, last): (u64, u64),
        (after_ns, up_to_ns): (u64, u64),
        records_max: usize,
    ) {
        let reach = &mut self.reach;
        let mut newest_ms = None;
        for seq in first..=last {
            if self.frames.len() == records_max {
                break;
            }
            let Ok(view) = ring.peek(seq) else {
                reach.missing += 1;
                continue;
            };
            let realtime_ns = view.realtime_ns();
            if realtime_ns <= after_ns || realtime_ns > up_to_ns {
                continue;
            }
            (reach.last_seq, reach.last_ns) = (seq, realtime_ns);
            let time_ms = realtime_ns / NS_PER_MS;
            if newest_ms.is_some_and(|newest| time_ms <= newest) {
                reach.unordered += 1;
                continue;
            }
            newest_ms = Some(time_ms);
            let words_at = ring.geometry().slot_word(seq) + RecordHeader::WORDS;
            let columns = view.columns();
            self.frames.push(Frame { seq, words_at, columns, realtime_ns });
            self.times.push(time_text(self.exposition, time_ms));
        }
        reach.records = self.frames.len() as u64;
    }

    /// Appends the next samples to `out`, about [`PART_BYTES`] of them, and says whether more
    /// follow. What must stand at the very end is for the caller to add.
    ///
    /// # Errors
    ///
    /// [`Overtaken`] when the writer has come to the first record of the window.
    pub fn part<W: Words>(&mut self, ring: &Ring<W>, out: &mut Vec<u8>) -> Result<bool, Overtaken> {
        let Some(sheet) = self.sheet.clone() else { return Ok(false) };
        let Some(first) = self.frames.first().copied() else { return Ok(false) };
        let end = out.len() + PART_BYTES;
        let mut room = Room::behind(out);
        while let Some(family) = sheet.families.get(self.family) {
            if self.wanted.has_place(family.collector) {
                for index in self.sample.max(family.samples.start)..family.samples.end {
                    self.sample = index;
                    let is_done = self.write(ring, &sheet, &sheet.samples[index], end, &mut room);
                    if !is_done {
                        ring.vouch(first.seq).map_err(|_| Overtaken)?;
                        return Ok(true);
                    }
                }
            }
            self.sample = family.samples.end;
            (self.family, self.is_headed) = (self.family + 1, false);
        }
        // The writer overwrites in order: one look at the oldest is enough for all.
        ring.vouch(first.seq).map_err(|_| Overtaken)?;
        Ok(false)
    }

    /// Writes the values of one sample from where it was left until the text is as long as `end`, and
    /// says whether it has come to the last.
    fn write<W: Words>(
        &mut self,
        ring: &Ring<W>,
        sheet: &Sheet,
        sample: &Sample,
        end: usize,
        room: &mut Room<'_>,
    ) -> bool {
        let words = ring.words();
        let name = sample.name;
        let has_word = sample.scale.has_word();
        let mut stretch = None;
        while let Some(frame) = self.frames.get(self.frame) {
            if room.len() >= end {
                return false;
            }
            let time = &self.times[self.frame];
            self.frame += 1;
            let covered = |stretch: &Stretch| (stretch.first..=stretch.last).contains(&frame.seq);
            if !stretch.as_ref().is_some_and(covered) {
                stretch = sheet.stretch(sample, frame.seq);
            }
            let Some(stretch) = stretch else { continue };
            let word = match has_word {
                true if stretch.column < frame.columns => {
                    words.load(frame.words_at + stretch.column)
                }
                true => continue,
                false => 0,
            };
            if word == ABSENT {
                continue;
            }
            let begun = room.len();
            if !self.is_headed {
                let head = sheet.families[self.family].head(self.exposition);
                room.blocks(&sheet.text, head.at, head.len);
            }
            room.blocks(&sheet.text, name.at, name.len);
            let len = sample.scale.write(room.ready(), word, frame.realtime_ns);
            room.grow(len);
            *room.ready() = *time;
            room.grow(time[time.len() - 1].into());
            self.is_headed |= len > 0;
            if len == 0 {
                room.truncate(begun);
            }
        }
        self.frame = 0;
        true
    }
}

fn time_text(exposition: Exposition, time_ms: u64) -> TimeText {
    let mut room = [0; F64_ROOM];
    let len = match exposition {
        Exposition::Text => write_u64(&mut room, time_ms),
        Exposition::OpenMetrics => write_decimal::<3>(&mut room, time_ms),
    };
    let mut text: TimeText = [b' '; _];
    text[1..=len].copy_from_slice(&room[..len]);
    text[len + 1] = b'\n';
    text[text.len() - 1] = len as u8 + 2;
    text
}
