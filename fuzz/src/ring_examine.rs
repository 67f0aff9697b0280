//! Everything that a reader can do with a ring, and what must hold whatever is in it.

use tachograph::record::{ABSENT, Record};
use tachograph::ring::layout::{SEQUENCE_MAX, header};
use tachograph::ring::{Geometry, Header, ReadError, RecordView, Ring, Words, audit};
use tachograph::window::{Event, GapReason, Grid, Window};

use super::input::Input;
use super::watched::Watched;

/// What a reader asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Lower bound of a window, in nanoseconds since 1970.
    pub after_ns: u64,
    /// Upper bound of a window.
    pub up_to_ns: u64,
    /// Step of a grid, not zero.
    pub step_ns: u64,
    /// First sequence of a window.
    pub first: u64,
    /// Last sequence of a window.
    pub last: u64,
}

impl Asked {
    /// The next questions of an input.
    pub fn take(input: &mut Input<'_>) -> Self {
        let [after_ns, up_to_ns, step_ns, first, last] = std::array::from_fn(|_| input.word());
        Self { after_ns, up_to_ns, step_ns: step_ns.max(1), first, last }
    }

    /// The bytes from which [`Asked::take`] makes this.
    pub fn put(&self, out: &mut Vec<u8>) {
        let words = [self.after_ns, self.up_to_ns, self.step_ns, self.first, self.last];
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
}

/// How many loads a ring's size explains.
struct Allowance {
    record: u64,
    directory: u64,
    scan: u64,
    grid: u64,
}

impl Allowance {
    fn of(geometry: &Geometry) -> Self {
        let slots = geometry.slot_count + 4;
        let record = geometry.column_capacity as u64 + 16;
        // A name has up to 1024 bytes of object and 255 of metric.
        let directory = 6 + geometry.entry_capacity as u64 * 172;
        let scan = slots * (record + 8) * 8;
        // Each generation may look for its beginning in all the slots.
        Self { record: record * 12, directory, scan, grid: slots * slots * 32 }
    }
}

/// What reading everything has yielded.
#[derive(Debug, Default)]
pub struct Seen {
    /// The records that were vouched for, each as often as it was read.
    pub records: Vec<Record>,
    /// Records, missing and overrun ones of each window of sequences, and how many were asked for.
    pub accounts: Vec<(u64, u64)>,
    /// Records outside of the hours of the window that gave them.
    pub untimely: usize,
}

/// Reads all that can be read of a ring. Nothing panics, and nothing takes more loads than the size
/// of the ring explains.
pub fn examine<W: Words>(ring: &Ring<Watched<W>>, asked: &Asked) -> Seen {
    let geometry = *ring.geometry();
    let allowance = Allowance::of(&geometry);
    let allow = |loads| ring.words().allow(loads);
    let mut seen = Seen::default();

    allow(allowance.directory);
    let directory = ring.directory();
    assert!(directory.entries.len() <= geometry.entry_capacity);
    for entry in directory.iter() {
        assert!(entry.column < geometry.column_capacity && entry.first > 0);
        assert!(!entry.series.object.is_empty() && !entry.series.metric.is_empty());
    }

    allow(allowance.directory);
    let mut followed = directory.clone();
    followed.update(ring);
    assert!(followed.entries.len() <= geometry.entry_capacity);
    assert!(followed.iter().all(|entry| entry.first > 0 && entry.last >= entry.first - 1));

    allow(allowance.scan * 3 + allowance.directory);
    let found = audit(ring);
    assert!(found.records <= geometry.slot_count && found.missing < geometry.slot_count);
    assert!(found.damaged_slots <= geometry.slot_count);
    assert!(found.oldest <= found.found_head);

    allow(allowance.record);
    if let Some(record) = ring.latest(|view| copy(&view)) {
        seen.records.push(record);
    }
    if let Some(entry) = directory.iter().next() {
        allow(allowance.directory * 2);
        if let Some(column) = ring.find(&entry.series.object, &entry.series.metric) {
            assert!(column.index() < geometry.column_capacity);
            allow(allowance.record);
            let _ = ring.latest(|view| view.value(&column));
        }
    }

    allow(allowance.record);
    let (oldest, head) = ring.bounds().unwrap_or((1, 0));
    for seq in (oldest..=head).chain([0, head, asked.first, asked.last, u64::MAX]) {
        allow(allowance.record);
        let mut record = Record::default();
        if ring.read_into(seq, &mut record).is_ok() {
            assert_eq!(record.header.seq, seq);
            assert_eq!(record.header.columns, record.words().len() as u64);
            assert!(record.words().len() <= geometry.column_capacity);
            seen.records.push(record);
        }
    }

    for (first, last) in [(0, u64::MAX), (asked.first, asked.last)] {
        allow(allowance.record);
        let window = Window::sequences(ring, first, last);
        walk(ring, &window, &allowance, &mut seen);
    }
    for count in [u64::MAX, asked.last] {
        allow(allowance.record);
        walk(ring, &Window::newest(ring, count), &allowance, &mut seen);
    }
    for (after_ns, up_to_ns) in [(0, u64::MAX), (asked.after_ns, asked.up_to_ns)] {
        allow(allowance.scan);
        let window = Window::between(ring, after_ns, up_to_ns);
        let from = seen.records.len();
        let accounts = seen.accounts.len();
        walk(ring, &window, &allowance, &mut seen);
        let times = seen.records[from..].iter().map(|record| record.header.realtime_ns);
        seen.untimely += times.filter(|ns| !(*ns > after_ns && *ns <= up_to_ns)).count();
        // Records of the range that are not of the window's hours are in no account.
        seen.accounts.truncate(accounts);
    }

    for skip_runs in [false, true] {
        allow(allowance.grid);
        let mut generations = Grid::new(ring, asked.step_ns).iter();
        let mut younger = u64::MAX;
        while let Some(generation) = generations.next() {
            assert!((1..younger).contains(&generation.seq));
            assert!(generation.base.is_none_or(|base| (1..generation.seq).contains(&base)));
            younger = generation.seq;
            if skip_runs {
                generations.skip_run();
            }
        }
    }
    seen
}

fn walk<W: Words>(
    ring: &Ring<Watched<W>>,
    window: &Window<'_, Watched<W>>,
    allowance: &Allowance,
    seen: &mut Seen,
) {
    ring.words().allow(allowance.scan);
    let mut records = Vec::new();
    let mut account = 0;
    let outcome = window.read(|events| {
        records.clear();
        account = 0;
        let mut before = 0;
        for event in events {
            match event {
                Event::Record(view) => {
                    assert!(view.seq() > before, "sequences grow");
                    before = view.seq();
                    records.push(copy(&view));
                    account += 1;
                }
                Event::Gap(gap) => {
                    assert!(gap.before > before, "a gap stands before what follows");
                    match gap.reason {
                        GapReason::Overrun(count) | GapReason::Missing(count) => {
                            assert!(count > 0);
                            account += count;
                        }
                        _ => {}
                    }
                }
            }
        }
    });
    if outcome.is_ok() {
        seen.accounts.extend(window.bounds().map(|(first, last)| (account, last - first + 1)));
        seen.records.append(&mut records);
    }
}

fn copy<W: Words>(view: &RecordView<'_, W>) -> Record {
    let mut record = Record::default();
    view.copy_into(&mut record);
    assert_eq!(view.word(view.columns()), ABSENT);
    record
}

/// What [`Ring::read`] must say of `seq` when nothing changes, by the format's page.
pub fn expected<W: Words + ?Sized>(ring: &Header, words: &W, seq: u64) -> Result<(), ReadError> {
    let geometry = &ring.geometry;
    let (found, head) =
        (words.load(geometry.slot_word(seq)), words.load(header::HEAD).min(SEQUENCE_MAX));
    let Some(wanted) = seq.checked_mul(2).filter(|wanted| *wanted > 0) else {
        return Err(ReadError::Corrupt);
    };
    // An odd word is of the record above it, which is being written.
    let of = found / 2 + found % 2;
    if found == wanted {
        Ok(())
    } else if of % geometry.slot_count != seq % geometry.slot_count && found != 0 {
        Err(ReadError::Corrupt)
    } else if found > wanted {
        Err(ReadError::Overrun)
    } else if seq > head {
        Err(ReadError::NotYet)
    } else if head - seq >= geometry.slot_count || seq < ring.first_seq {
        Err(ReadError::Overrun)
    } else {
        Err(ReadError::Lost)
    }
}
