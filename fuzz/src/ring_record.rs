//! The records of a ring: any words in the slots, read in every way there is.

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use tachograph::record::{ABSENT, Record, Repr};
use tachograph::ring::layout::{SEQUENCE_MAX, header, record as at};
use tachograph::ring::{
    Directory, Header, PreadWords, ReadError, RecordView, Ring, Value, Words, open_untrusted,
};

use super::input::Input;
use super::ring_examine::expected;
use super::ring_file::{self, Shape};
use super::{guarded, memory_dir};

/// Words of a record before those of its columns.
const HEADER_WORDS: usize = at::MISSED_TICKS + 1;

/// Reads every record that there can be, from memory and from a file, and compares what each way of
/// reading gives with the plain words.
pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let shape = Shape::take(&mut input);
    let asked = [input.word(), input.word()];
    let header = Header { first_seq: u64::from(input.byte()), ..shape.header() };
    let words = ring_file::take_behind(&header, &mut input);
    guarded::words(&words, |words| {
        let ring = Ring::decode(words).expect("a sound header");
        let head = words[header::HEAD].load(Ordering::Relaxed);
        let slots = header.geometry.slot_count;
        let near = head.saturating_sub(2 * slots)..=head.saturating_add(slots);
        // The slots' own sequences as well, whatever the head says.
        let stated = (0..slots).map(|index| {
            words[header.geometry.slot_word(index)].load(Ordering::Relaxed).div_ceil(2)
        });
        let seqs: Vec<u64> = near.chain(stated).chain(asked).chain([0, 1, u64::MAX]).collect();
        let directory = ring.directory();
        let plain: Vec<_> = seqs.iter().map(|seq| check(&ring, &directory, *seq)).collect();
        check_latest(&ring);
        memory_dir::with(|dir| {
            let file = on_file(dir, words);
            for (seq, plain) in seqs.iter().zip(&plain) {
                let mut copy = Record::default();
                let read = file.read_into(*seq, &mut copy).map(|()| copy);
                assert_eq!(&read, plain, "{seq}");
            }
            assert!(!file.words().failed());
        });
    });
}

/// The same ring in a file that is read and not mapped.
fn on_file(dir: &Path, words: &[AtomicU64]) -> Ring<PreadWords> {
    let path = dir.join("host.ring");
    let bytes: Vec<u8> =
        words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
    let mut file = std::fs::File::create(&path).expect("a file in memory");
    file.write_all(&bytes).expect("room");
    open_untrusted(&path).expect("a sound header").0
}

/// Reads the record `seq` in every way. What is read of it is what its slot holds.
fn check(ring: &Ring<&[AtomicU64]>, directory: &Directory, seq: u64) -> Result<Record, ReadError> {
    let words = *ring.words();
    let due = expected(ring.header(), words, seq);
    assert_eq!(ring.read(seq, |view| view.seq()), due.map(|()| seq));
    assert_eq!(ring.peek(seq).map(|view| view.seq()), due.map(|()| seq));
    assert_eq!(ring.vouch(seq), due);
    let mut copy = Record::default();
    assert_eq!(ring.read_into(seq, &mut copy), due);
    due?;
    let slot = ring.geometry().slot_word(seq);
    let plain = |offset: usize| words[slot + offset].load(Ordering::Relaxed);
    let columns = plain(at::COLUMNS).min(ring.geometry().column_capacity as u64) as usize;
    let columns_of = |view: RecordView<'_, &[AtomicU64]>| {
        assert_eq!(view.columns(), columns);
        assert_eq!(view.realtime_ns(), plain(at::REALTIME_NS));
        assert_eq!(view.header().boottime_ns, plain(at::BOOTTIME_NS));
        assert_eq!(view.header().seq, seq);
        let span = view.span();
        assert_eq!(span.len(), HEADER_WORDS + columns);
        let by_span = span[HEADER_WORDS..].iter().map(|word| word.load(Ordering::Relaxed));
        assert!(by_span.eq(view.words()));
        for column in columns..columns + 3 {
            assert_eq!(view.word(column), ABSENT, "beyond the record");
        }
        assert_eq!(view.word(usize::MAX), ABSENT);
        check_series(ring, directory, &view);
        (0..columns).map(|column| view.word(column)).collect::<Vec<_>>()
    };
    let found = ring.read(seq, columns_of).expect("it was there");
    assert!(found.iter().copied().eq((0..columns).map(|column| plain(HEADER_WORDS + column))));
    assert_eq!(copy.words(), found);
    assert_eq!(copy.header.columns, columns as u64);
    for (column, word) in found.iter().enumerate() {
        check_value(*word);
        assert_eq!(copy.u64(column), Some(*word).filter(|word| *word != ABSENT));
    }
    Ok(copy)
}

/// What is asked by series is the word of its column, where the record has the series.
fn check_series(
    ring: &Ring<&[AtomicU64]>,
    directory: &Directory,
    view: &RecordView<'_, &[AtomicU64]>,
) {
    for entry in directory.iter().filter(|entry| entry.lives()) {
        let (object, metric) = (&entry.series.object, &entry.series.metric);
        let Some(column) = ring.find(object, metric) else { panic!("{object}/{metric} lives") };
        // Of two that live under one name the later one is found.
        let entry = directory.find(object, metric).expect("it lives");
        let word = if entry.covers(view.seq()) { view.word(entry.column) } else { ABSENT };
        let value = Value::of_word(word, entry.series.repr);
        assert_eq!(view.value(&column).map(bits), value.map(bits));
        let is_double = entry.series.repr == Repr::F64;
        let (integer, double) = if is_double { (None, value) } else { (value, None) };
        assert_eq!(view.u64(&column).map(Value::U64).map(bits), integer.map(bits));
        assert_eq!(view.f64(&column).map(Value::F64).map(bits), double.map(bits));
    }
}

fn bits(value: Value) -> (bool, u64) {
    match value {
        Value::U64(value) => (false, value),
        Value::F64(value) => (true, value.to_bits()),
    }
}

/// No word is a double that is not finite, and the absent one is nothing.
fn check_value(word: u64) {
    let double = f64::from_bits(word);
    let expected = double.is_finite().then_some((true, word));
    assert_eq!(Value::of_word(word, Repr::F64).map(bits), expected);
    let expected = (word != ABSENT).then_some((false, word));
    assert_eq!(Value::of_word(word, Repr::U64).map(bits), expected);
}

/// The newest record is the one that the head names, or the one before it if that one is damaged or
/// lost, or none.
fn check_latest(ring: &Ring<&[AtomicU64]>) {
    let head = ring.words().load(header::HEAD).min(SEQUENCE_MAX);
    let due = |seq: u64| expected(ring.header(), *ring.words(), seq);
    let newest = match due(head) {
        Ok(()) => Some(head),
        Err(ReadError::Lost | ReadError::Corrupt) if head > 1 => {
            Some(head - 1).filter(|seq| due(*seq).is_ok())
        }
        Err(_) => None,
    };
    assert_eq!(ring.latest(|view| view.seq()), newest);
}
