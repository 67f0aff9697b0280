//! A ring that was saved reads as the ring did: bit for bit, gap for gap, name for name.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tachograph::record::{Record, RecordHeader};
use tachograph::ring::{
    PreadWords, ReadError, Ring, Words, WriteError, audit, layout, open_untrusted, save,
};

#[path = "support/recorded.rs"]
mod recorded;
use recorded::Recorded;

const START_NS: u64 = 1_795_000_000_000_000_000;
const S: u64 = 1_000_000_000;

const METRICS: [(&str, &str); 3] =
    [("host", "load1"), ("nic/a", "receive_bytes"), ("nic/b", "receive_bytes")];

/// What happens between two records.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    Restart,
    End(usize),
    Begin(usize),
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        6 => Just(Between::Nothing),
        1 => Just(Between::Restart),
        1 => (0..METRICS.len()).prop_map(Between::End),
        2 => (0..METRICS.len()).prop_map(Between::Begin),
    ]
}

fn recorded(depth: u64, history: &[Between]) -> Recorded {
    let mut recorded = Recorded::new(depth, Duration::from_secs(1), &METRICS);
    for (index, between) in history.iter().enumerate() {
        match *between {
            Between::Nothing => {}
            Between::Restart => recorded.restart(),
            Between::End(which) => {
                let (object, metric) = METRICS[which];
                if let Some(column) = recorded.schema.column(object, metric) {
                    recorded.schema.end(column);
                    recorded.sync();
                }
            }
            Between::Begin(which) => {
                let (object, metric) = METRICS[which];
                recorded.schema.add(object, metric).expect("room");
                recorded.sync();
            }
        }
        for (column, word) in recorded.record.words_mut().iter_mut().enumerate() {
            *word = (index * 1000 + column) as u64;
        }
        let ns = index as u64 * S;
        recorded.publish(START_NS + ns, ns, 0, false);
    }
    recorded
}

/// Everything of the records `first..=last`: what each holds and how each series is called.
fn content<W: Words>(ring: &Ring<W>, (first, last): (u64, u64)) -> Vec<Option<Content>> {
    let directory = ring.directory();
    let content = |seq| {
        let mut record = Record::default();
        ring.read_into(seq, &mut record).ok()?;
        let covering = directory.iter().filter(|entry| entry.covers(seq));
        let mut series: Vec<_> = covering
            .filter_map(|entry| {
                let word = *record.words().get(entry.column)?;
                Some((format!("{} {}", entry.series.object, entry.series.metric), word))
            })
            .collect();
        series.sort();
        Some((record.header, series))
    };
    (first..=last).map(content).collect()
}

type Content = (RecordHeader, Vec<(String, u64)>);

fn opened(path: &Path) -> Ring<PreadWords> {
    open_untrusted(path).expect("what was saved opens").0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 64 }))]
    #[test]
    fn what_is_saved_reads_as_the_ring_did(
        depth in 2_u64..40,
        history in proptest::collection::vec(between(), 1..60),
        part in (0_u64..70, 0_u64..70),
        inner in (0_u64..70, 0_u64..70),
    ) {
        let recorded = recorded(depth, &history);
        let ring = recorded.writer().ring();
        let bounds = ring.bounds().expect("records");
        let dir = recorded.scratch.path();
        // All, a part of it, and a part of the part.
        let mut source: Option<Ring<PreadWords>> = None;
        for (index, (from, len)) in [(0, 1000), part, inner].into_iter().enumerate() {
            let path = dir.join(format!("{index}.tacho"));
            let asked = (from, from + len);
            let saved = match &source {
                None => save(&ring, asked, &path, false),
                Some(source) => save(source, asked, &path, false),
            };
            let had = source.as_ref().map_or(Some(bounds), Ring::bounds).expect("never empty");
            let wanted = (asked.0.max(had.0), asked.1.min(had.1));
            if wanted.0 > wanted.1 {
                prop_assert!(matches!(saved, Err(WriteError::Empty)));
                prop_assert!(!path.exists());
                break;
            }
            let saved = saved.expect("room on the disk");
            prop_assert_eq!(saved.bounds, wanted);
            let found = opened(&path);
            prop_assert_eq!(found.bounds(), Some(wanted));
            prop_assert_eq!(content(&found, wanted), content(&ring, wanted));
            prop_assert_eq!(saved.records + saved.missing, wanted.1 - wanted.0 + 1);
            prop_assert_eq!(found.state(), layout::state::CLOSED);
            let audit = audit(&found);
            prop_assert!(audit.is_clean(), "{audit:?}");
            prop_assert_eq!(audit.missing, saved.missing);
            prop_assert_eq!(fs::metadata(&path).expect("saved").len(), saved.file_bytes);
            let before = wanted.0.checked_sub(1).filter(|seq| *seq > 0);
            let before = before.map(|seq| found.read(seq, |_| ()));
            prop_assert!(matches!(before, None | Some(Err(ReadError::Overrun))), "{before:?}");
            source = Some(found);
        }
    }
}

#[test]
fn file_that_is_there_is_kept_unless_it_may_be_replaced() {
    let recorded = recorded(8, &[Between::Nothing; 5]);
    let ring = recorded.writer().ring();
    let path = recorded.scratch.path().join("kept");
    fs::write(&path, "mine").expect("a file");
    let error = save(&ring, (1, 5), &path, false).expect_err("it is there");
    assert!(error.to_string().contains("kept"), "{error}");
    assert_eq!(fs::read(&path).expect("still there"), b"mine");
    save(&ring, (1, 5), &path, true).expect("it may be replaced");
    assert_eq!(opened(&path).bounds(), Some((1, 5)));
    let nowhere = recorded.scratch.path().join("no/such/dir");
    assert!(matches!(save(&ring, (1, 5), &nowhere, false), Err(WriteError::Io { .. })));
    assert!(matches!(save(&ring, (9, 20), &nowhere, false), Err(WriteError::Empty)));
    let left: Vec<PathBuf> = fs::read_dir(recorded.scratch.path())
        .expect("the directory")
        .map(|entry| entry.expect("listed").path())
        .filter(|path| path.to_string_lossy().contains("tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn saving_beside_a_writer_at_full_speed_leaves_out_what_was_overwritten_and_tears_nothing() {
    let series: Vec<String> = (0..200).map(|index| format!("nic/{index}")).collect();
    let series: Vec<_> = series.iter().map(|object| (&**object, "receive_bytes")).collect();
    let mut recorded = Recorded::new(64, Duration::from_millis(1), &series);
    let publish = |recorded: &mut Recorded, seq: u64| {
        for (column, word) in recorded.record.words_mut().iter_mut().enumerate() {
            *word = seq << 16 | column as u64;
        }
        recorded.publish(START_NS + seq * 1_000_000, seq * 1_000_000, 0, false);
    };
    (1..=64).for_each(|seq| publish(&mut recorded, seq));
    let ring = recorded.writer().ring();
    let dir = recorded.scratch.path().to_owned();
    let done = AtomicBool::new(false);
    let (mut records, mut missing) = (0, 0);
    std::thread::scope(|scope| {
        let saver = scope.spawn(|| {
            for round in 0..if cfg!(miri) { 2 } else { 40 } {
                let path = dir.join(format!("{round}.tacho"));
                let Ok(saved) = save(&ring, (0, u64::MAX), &path, false) else { continue };
                records += saved.records;
                missing += saved.missing;
                let found = opened(&path);
                let mut seen = 0;
                for seq in saved.bounds.0..=saved.bounds.1 {
                    let sound = |view: tachograph::ring::RecordView<'_, _>| {
                        view.words()
                            .enumerate()
                            .all(|(column, word)| word == seq << 16 | column as u64)
                    };
                    match found.read(seq, sound) {
                        Ok(sound) => {
                            assert!(sound, "record {seq} is torn");
                            seen += 1;
                        }
                        Err(error) => assert_eq!(error, ReadError::Lost),
                    }
                }
                assert_eq!(seen, saved.records);
                fs::remove_file(path).expect("saved");
            }
            done.store(true, Ordering::Release);
        });
        let mut seq = 64;
        while !done.load(Ordering::Acquire) && !saver.is_finished() {
            seq += 1;
            publish(&mut recorded, seq);
        }
    });
    assert!(records > 0, "{missing} missing");
}
