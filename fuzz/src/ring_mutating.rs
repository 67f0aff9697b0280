//! A ring whose words change while they are read.
//!
//! In the first kind of input the other side is hostile: any load may find anything. Nothing may
//! panic, read outside or run on. In the second it is the writer at its work, in any order with the
//! reader; then whatever is vouched for must be what was published.

use std::cell::Cell;

use tachograph::ring::{Indexed, Ring, Words};

use super::input::Input;
use super::ring_examine::{Asked, examine};
use super::ring_file::{self, Shape};
use super::ring_sound::{self, Sound};
use super::watched::Watched;

/// The first byte of an input in which the other side is hostile.
pub const HOSTILE: u8 = 0;
/// The first byte of an input in which the other side is the writer.
pub const WRITER: u8 = 1;

/// Reads a ring while it changes.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let kind = input.byte();
    let asked = Asked::take(&mut input);
    let mut shape = Shape::take(&mut input);
    // Everything is read many times over; small rings show as much and turn sooner.
    shape.slots %= 4;
    shape.columns %= 4;
    if kind.is_multiple_of(2) {
        hostile(&asked, &shape, input);
    } else {
        writer(&asked, shape, input);
    }
}

/// What happens at each load: the bytes of the tape one after another, and again from its start.
struct Tape<'a> {
    bytes: &'a [u8],
    next: Cell<usize>,
}

impl Tape<'_> {
    fn byte(&self) -> u8 {
        let at = self.next.get();
        self.next.set(at.wrapping_add(1));
        if self.bytes.is_empty() { 0 } else { self.bytes[at % self.bytes.len()] }
    }

    fn word(&self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }
}

/// Words of which any may be another at each load.
struct Hostile<'a> {
    words: Vec<Cell<u64>>,
    tape: Tape<'a>,
    /// Whether it has begun: a header that is refused would end the game.
    begun: Cell<bool>,
}

impl Words for Hostile<'_> {
    type Span<'a>
        = Indexed<'a, Self>
    where
        Self: 'a;

    fn span(&self, start: usize, len: usize) -> Indexed<'_, Self> {
        Indexed::new(self, start, len)
    }

    fn len(&self) -> usize {
        self.words.len()
    }

    fn load(&self, index: usize) -> u64 {
        let word = &self.words[index];
        let value = word.get();
        if !self.begun.get() {
            return value;
        }
        let act = self.tape.byte();
        let other = match act >> 1 {
            0..112 => return value,
            112..115 => value.wrapping_add(1),
            115..118 => value.wrapping_sub(1),
            118 => value.wrapping_mul(2),
            119 => value / 2,
            120 => 0,
            121 => u64::MAX,
            122 | 123 => value ^ 1 << (self.tape.byte() % 64),
            124 | 125 => self.words[usize::from(self.tape.byte()) % self.words.len()].get(),
            _ => self.tape.word(),
        };
        // Either the word has changed for good, or only this once.
        if act & 1 == 1 {
            word.set(other);
        }
        other
    }
}

fn hostile(asked: &Asked, shape: &Shape, mut input: Input<'_>) {
    let header_too = input.byte() == 1;
    let words = ring_file::take(shape, &mut input).into_iter().map(Cell::new).collect();
    let tape = Tape { bytes: input.rest(), next: Cell::new(0) };
    let words = Watched::new(Hostile { words, tape, begun: Cell::new(header_too) });
    words.allow(32);
    // The words outlive a header that is refused no longer than this.
    let Ok(ring) = Ring::decode(words) else { return };
    ring.words().inner().begun.set(true);
    if ring.words().inner().words.len() >= ring.geometry().file_words() {
        examine(&ring, asked);
    }
}

/// A ring whose writer makes some stores before each load.
struct AtWork<'a> {
    sound: Sound,
    tape: Tape<'a>,
}

impl Words for AtWork<'_> {
    type Span<'a>
        = Indexed<'a, Self>
    where
        Self: 'a;

    fn span(&self, start: usize, len: usize) -> Indexed<'_, Self> {
        Indexed::new(self, start, len)
    }

    fn len(&self) -> usize {
        self.sound.len()
    }

    fn load(&self, index: usize) -> u64 {
        let stores = match self.tape.byte() {
            0..224 => 0,
            byte @ 224..248 => byte - 223,
            byte => (byte - 247) * 16,
        };
        self.sound.store_some(stores.into());
        self.sound.load(index)
    }
}

fn writer(asked: &Asked, shape: Shape, mut input: Input<'_>) {
    let records = input.byte().into();
    let interval_ns = shape.interval_ns % 1_000_000_000_000;
    let shape = Shape { interval_ns, ..shape };
    let sound = Sound::new(shape, records);
    let tape = Tape { bytes: input.rest(), next: Cell::new(0) };
    let words = Watched::new(AtWork { sound, tape });
    words.allow(32);
    let ring = Ring::decode(words).expect("the header does not change");
    let seen = examine(&ring, asked);
    assert_eq!(seen.untimely, 0);
    for record in &seen.records {
        let header = &record.header;
        let payload = ring_sound::payload(header.seq, &shape);
        let found = [
            header.realtime_ns,
            header.boottime_ns,
            header.epoch_and_flags,
            header.columns,
            header.tick_duration_ns,
            header.run_first,
            header.missed_ticks,
        ];
        assert_eq!(found, payload[..7], "the header of {}", header.seq);
        assert_eq!(record.words(), &payload[7..], "the words of {}", header.seq);
    }
    for (told, asked_for) in &seen.accounts {
        assert_eq!(told, asked_for);
    }
}
