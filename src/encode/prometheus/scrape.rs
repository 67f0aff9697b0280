//! The newest record, without times.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::sheet::{Sheet, Sheets};
use super::{Collectors, Exposition};
use crate::encode::PART_BYTES;
use crate::encode::number::F64_ROOM;
use crate::encode::room::Room;
use crate::record::{ABSENT, RecordHeader};
use crate::ring::{RecordView, Ring, Span as _, Words};
use crate::window::Stretch;

/// How far back a value is looked for that the newest record does not have: a source that is read at
/// every so many ticks leaves its series absent in between.
const LOOK_BACK_RECORDS: u64 = 64;

/// How often the newest record is chosen anew because the directory has changed meanwhile.
const CHOICES: u32 = 4;

/// The writer has overwritten what was being written out, or changes the directory faster than it can
/// be read: what was written so far is no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overtaken;

impl fmt::Display for Overtaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ring was overwritten while it was read")
    }
}

impl Error for Overtaken {}

/// The newest record of a ring, being written.
///
/// All of it is of one record, also when it is written in several parts. Of a source that is not read at
/// every tick it has the last value, from one of the 64 records before.
#[derive(Clone, Debug)]
pub struct Scrape {
    sheet: Arc<Sheet>,
    exposition: Exposition,
    wanted: Collectors,
    /// 0 when there is no record.
    seq: u64,
    /// The next family.
    family: usize,
}

impl Scrape {
    /// Chooses the newest record of `ring`.
    ///
    /// # Errors
    ///
    /// [`Overtaken`].
    pub fn begin<W: Words>(
        ring: &Ring<W>,
        sheets: &mut Sheets,
        (exposition, wanted): (Exposition, Collectors),
    ) -> Result<Self, Overtaken> {
        for _ in 0..CHOICES {
            let sheet = sheets.living(ring);
            let seq = ring.latest(|view| view.seq()).unwrap_or(0);
            if sheets.is_current(ring) {
                return Ok(Self { sheet, exposition, wanted, seq, family: 0 });
            }
        }
        Err(Overtaken)
    }

    /// The record; 0 when there is none.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Appends the next families to `out`, about [`PART_BYTES`] of them, and says whether more
    /// follow. What must stand at the very end is for the caller to add.
    ///
    /// # Errors
    ///
    /// [`Overtaken`] when the writer has gone round the whole ring since the beginning.
    pub fn part<W: Words>(&mut self, ring: &Ring<W>, out: &mut Vec<u8>) -> Result<bool, Overtaken> {
        if self.seq == 0 {
            return Ok(false);
        }
        let end = out.len() + PART_BYTES;
        let mut room = Room::behind(out);
        let next = ring.read(self.seq, |view| self.write(ring, &view, end, &mut room));
        self.family = next.map_err(|_| Overtaken)?;
        Ok(self.family < self.sheet.families.len())
    }

    /// Writes families until the text is as long as `end`; the first one that was not written.
    fn write<W: Words>(
        &self,
        ring: &Ring<W>,
        view: &RecordView<'_, W>,
        end: usize,
        room: &mut Room<'_>,
    ) -> usize {
        let sheet = &*self.sheet;
        let (span, realtime_ns) = (view.span(), view.realtime_ns());
        for (index, family) in sheet.families.iter().enumerate().skip(self.family) {
            if room.len() >= end {
                return index;
            }
            if !self.wanted.has_place(family.collector) {
                continue;
            }
            let mut is_headed = false;
            for sample in &sheet.samples[family.samples.clone()] {
                let Some(stretch) = sheet.stretch(sample, self.seq) else { continue };
                let at = RecordHeader::WORDS + stretch.column;
                let mut word = match sample.scale.has_word() {
                    true => span.load(at).unwrap_or(ABSENT),
                    false => 0,
                };
                if word == ABSENT {
                    word = self.before(ring, &stretch);
                }
                if word == ABSENT {
                    continue;
                }
                let begun = room.len();
                if !is_headed {
                    let head = family.head(self.exposition);
                    room.blocks(&sheet.text, head.at, head.len);
                }
                room.blocks(&sheet.text, sample.name.at, sample.name.len);
                let next = room.ready::<{ F64_ROOM + 1 }>();
                let number = next.first_chunk_mut().expect("it is longer");
                let len = sample.scale.write(number, word, realtime_ns);
                next[len] = b'\n';
                room.grow(len + 1);
                is_headed |= len > 0;
                if len == 0 {
                    room.truncate(begun);
                }
            }
        }
        sheet.families.len()
    }

    /// The last word of a lifetime before the record.
    #[cold]
    fn before<W: Words>(&self, ring: &Ring<W>, stretch: &Stretch) -> u64 {
        let oldest = self.seq.saturating_sub(LOOK_BACK_RECORDS).max(stretch.first).max(1);
        let word = |seq| ring.read(seq, |view| view.word(stretch.column)).unwrap_or(ABSENT);
        (oldest..self.seq).rev().map(word).find(|word| *word != ABSENT).unwrap_or(ABSENT)
    }
}
