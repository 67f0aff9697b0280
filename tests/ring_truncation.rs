//! What happens when the owner of a ring shortens it under those who use it, which no writer of ours
//! does: who maps the file dies of SIGBUS, who reads it lives, and who comes later is told.

#[path = "support/child.rs"]
mod child;
mod support;

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use child::{Process, asked_of_a_child, pause, say};
use support::{ShmDir, publish, schema, start, try_start};
use tachograph::record::Schema;
use tachograph::ring::{
    Before, FormatError, OpenError, ReadError, Reader, audit, layout, open_untrusted,
};

const SIGBUS: i32 = 7;
/// As many records as there are slots.
const RECORDS: u64 = 8;

/// Says what it finds before and after the test has done something to the file.
fn watch(look: impl Fn() -> String) {
    say(&look());
    pause();
    say(&look());
}

/// No test of its own: what a child does. Without a part to play it does nothing.
#[test]
fn part_of_a_child() {
    let Some((part, path)) = asked_of_a_child() else { return };
    let newest = |found: Option<u64>| found.map_or("none".to_owned(), |seq| seq.to_string());
    match &*part {
        "map" => {
            let reader = Reader::open(&path).expect("it is trusted");
            watch(|| newest(reader.ring().latest(|view| view.seq())));
        }
        "read" => {
            let (ring, _) = open_untrusted(&path).expect("it is a ring");
            watch(|| {
                let found = newest(ring.latest(|view| view.seq()));
                let records = audit(&ring).records;
                format!("{found}, {records} records, failed {}", ring.words().failed())
            });
        }
        "write" => {
            let dir = tachograph::ring::RunDir::for_writing(path.parent()).expect("the test's");
            let opening = tachograph::ring::Opening::of(&dir, "host").expect("the lane is free");
            let mut schema = Schema::resume(opening.live_series());
            let started = opening.start(&support::options(RECORDS), &mut schema);
            let (mut writer, _) = started.expect("it goes on");
            say(&publish(&mut writer, 1).header.seq.to_string());
            pause();
            say(&publish(&mut writer, 1).header.seq.to_string());
        }
        other => panic!("no part {other}"),
    }
}

/// A directory with a ring that a writer has left, full.
fn left() -> ShmDir {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, RECORDS, &mut schema(1));
    for _ in 0..RECORDS {
        publish(&mut writer, 1);
    }
    writer.close();
    dir
}

fn writable(path: &Path) -> File {
    OpenOptions::new().write(true).open(path).expect("our own")
}

fn cut(path: &Path, bytes: u64) {
    writable(path).set_len(bytes).expect("cut");
}

/// Where the slots begin, and the size of the file.
fn extent(path: &Path) -> (u64, u64) {
    let (ring, _) = open_untrusted(path).expect("a ring");
    (ring.geometry().slots_offset, ring.geometry().file_bytes)
}

#[test]
fn mapped_reader_dies_of_sigbus_and_of_nothing_else() {
    let dir = left();
    let mut reader = Process::start("map", &dir.ring(), None);
    assert_eq!(reader.line(), "8");
    cut(&dir.ring(), 0);
    reader.go_on();
    let status = reader.status();
    assert_eq!(status.signal(), Some(SIGBUS), "{status}");
}

/// Pages that are still there are read as before: it is the missing page that kills.
#[test]
fn mapped_reader_does_not_notice_what_is_cut_off_behind_what_it_reads() {
    let dir = left();
    let (slots, _) = extent(&dir.ring());
    let mut reader = Process::start("map", &dir.ring(), None);
    assert_eq!(reader.line(), "8");
    cut(&dir.ring(), slots + 4096);
    reader.go_on();
    assert_eq!(reader.line(), "8");
    assert!(reader.status().success());
}

#[test]
fn reader_that_does_not_map_finds_nothing_and_says_that_it_failed() {
    let dir = left();
    let mut reader = Process::start("read", &dir.ring(), None);
    assert_eq!(reader.line(), "8, 8 records, failed false");
    cut(&dir.ring(), 0);
    reader.go_on();
    assert_eq!(reader.line(), "none, 0 records, failed true");
    assert!(reader.status().success());
}

/// The new pages are zeros, and a record is nothing that zeros can be taken for.
#[test]
fn file_that_is_cut_and_grows_again_has_no_records() {
    let dir = left();
    let (slots, bytes) = extent(&dir.ring());
    let attached = Reader::open(&dir.ring()).expect("it is trusted");
    let mut mapped = Process::start("map", &dir.ring(), None);
    let mut reading = Process::start("read", &dir.ring(), None);
    assert_eq!((mapped.line(), reading.line()), ("8".into(), "8, 8 records, failed false".into()));
    let file = writable(&dir.ring());
    file.set_len(slots).expect("cut");
    file.set_len(bytes).expect("grown");
    mapped.go_on();
    reading.go_on();
    assert_eq!(
        (mapped.line(), reading.line()),
        ("none".into(), "none, 0 records, failed false".into())
    );
    assert!(mapped.status().success() && reading.status().success());
    for seq in 1..=RECORDS {
        assert_eq!(attached.ring().read(seq, |_| ()), Err(ReadError::Lost));
    }
    // With the header gone as well there is nothing that says where anything is.
    file.set_len(0).expect("cut");
    file.set_len(bytes).expect("grown");
    assert_eq!(attached.ring().bounds(), None);
    let error = Reader::open(&dir.ring()).expect_err("zeros");
    assert!(matches!(error, OpenError::Format { source: FormatError::NotARing, .. }), "{error}");
}

/// Both kinds of reader are told when they open it, whatever is left of it: nobody touches a page that
/// is not there.
#[test]
fn file_that_was_cut_before_is_refused_in_words() {
    let dir = left();
    let (slots, bytes) = extent(&dir.ring());
    for len in [bytes - 1, bytes - 4096, slots, layout::HEADER_BYTES, 4095, 512, 0] {
        cut(&dir.ring(), len);
        let errors = [
            Reader::open(&dir.ring()).expect_err("it is short"),
            open_untrusted(&dir.ring()).expect_err("it is short"),
        ];
        for (error, is_mapped) in errors.into_iter().zip([true, false]) {
            let OpenError::Format { source, .. } = error else { panic!("{len}: {error}") };
            // What is shorter than a header is not mapped at all.
            let least = if is_mapped { layout::HEADER_BYTES } else { 256 };
            let found = len / 8 * 8;
            let truncated = FormatError::Truncated { stated: bytes, found };
            let expected = if len < least { FormatError::NotARing } else { truncated };
            assert_eq!(source, expected, "{len} bytes");
        }
    }
}

/// The writer has reserved every page and stores without asking. What it had published is lost; the
/// next one moves what is left aside and begins anew.
#[test]
fn writer_dies_of_sigbus_and_the_next_begins_anew() {
    let dir = left();
    let (slots, bytes) = extent(&dir.ring());
    let mut writer = Process::start("write", &dir.ring(), None);
    assert_eq!(writer.line(), "9");
    cut(&dir.ring(), slots);
    writer.go_on();
    let status = writer.status();
    assert_eq!(status.signal(), Some(SIGBUS), "{status}");
    let (_, before) = try_start(&dir, RECORDS, &mut schema(1)).expect("the lane is free");
    let Before::SetAside { path, error } = before else { panic!("{before:?}") };
    assert_eq!(error, FormatError::Truncated { stated: bytes, found: slots });
    assert!(path.exists());
    assert_eq!(Reader::open(&dir.ring()).expect("the new one").ring().head(), 0);

    // Grown again it is as long as it says but has holes, for which there may be no memory later.
    let dir = left();
    let file = writable(&dir.ring());
    file.set_len(slots).expect("cut");
    file.set_len(bytes).expect("grown");
    let (_, before) = try_start(&dir, RECORDS, &mut schema(1)).expect("the lane is free");
    let Before::SetAside { error: FormatError::Truncated { stated, found }, .. } = before else {
        panic!("{before:?}")
    };
    assert!(stated == bytes && found < bytes, "{found} of {stated}");
    assert!(fs::metadata(dir.ring()).is_ok());
}

/// The writer's stores then make pages that nobody has reserved; what it publishes is there for those
/// who had the file before.
#[test]
fn writer_whose_file_was_cut_and_has_grown_again_goes_on() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, RECORDS, &mut schema(1));
    publish(&mut writer, 1);
    let attached = Reader::open(&dir.ring()).expect("it is trusted");
    let (slots, bytes) = extent(&dir.ring());
    for from in [slots, 0] {
        let file = writable(&dir.ring());
        file.set_len(from).expect("cut");
        file.set_len(bytes).expect("grown");
        let before = writer.head();
        let record = publish(&mut writer, 1);
        assert_eq!(support::copy(attached.ring(), record.header.seq), Ok(record));
        assert_eq!(attached.ring().read(before, |_| ()), Err(ReadError::Lost));
    }
}
