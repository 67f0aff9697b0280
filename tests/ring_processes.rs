//! Readers and writers in processes of their own, as they are in use; writers die by SIGKILL.
//!
//! The test binary starts itself again; an environment variable says which part the child plays. The
//! words of a record are functions of its sequence, so that a torn one shows itself. A child is
//! killed and waited for through its own handle, also when the test fails.

mod support;

use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use support::{ShmDir, is_whole};
use tachograph::record::{Record, Schema, flags};
use tachograph::ring::{Liveness, Opening, ReadError, Reader, Ring, RunDir, Wait, Words, audit};

const PART: &str = "TACHOGRAPH_TEST_PART";
const DIR: &str = "TACHOGRAPH_TEST_DIR";
/// Longer than anything here takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);
const READING: Duration = Duration::from_secs(3);
const KILLS: u32 = 25;
const COLUMNS: usize = 61;
const SLOTS: u64 = 64;

struct Process(Child);

impl Process {
    fn start(part: &str, dir: &ShmDir) -> Self {
        let child = Command::new(env::current_exe().expect("this file"))
            .args(["--exact", "part_of_a_child", "--nocapture", "--test-threads=1"])
            .env(PART, part)
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.expect("the test binary can be started"))
    }

    fn kill(&mut self) {
        self.0.kill().expect("it has not been waited for");
        let status = self.0.wait().expect("it is our child");
        assert_eq!(status.signal(), Some(9), "it ended by itself: {status}");
    }

    /// What it wrote before it ended in order.
    fn output(mut self) -> String {
        let mut text = String::new();
        let mut stdout = self.0.stdout.take().expect("piped");
        std::io::Read::read_to_string(&mut stdout, &mut text).expect("UTF-8");
        let status = self.0.wait().expect("it is our child");
        assert!(status.success(), "{status}: {text}");
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail, and need not be done, for a child that has been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// No test of its own: what a child does. Without a part to play it does nothing.
#[test]
fn part_of_a_child() {
    let Ok(part) = env::var(PART) else { return };
    let dir = PathBuf::from(env::var_os(DIR).expect("said by whoever said the part"));
    match &*part {
        "write" => write_for_ever(&dir, u64::MAX),
        "write and roll over" => write_for_ever(&dir, 5000),
        "copy" => read_for_a_while(&dir, copy_window),
        "view" => read_for_a_while(&dir, view_window),
        other => panic!("no part {other}"),
    }
}

/// Publishes at full speed, and needs a larger ring after each `grow_after` records.
fn write_for_ever(dir: &std::path::Path, grow_after: u64) {
    let place = RunDir::for_writing(Some(dir)).expect("the test made it");
    let opening = Opening::of(&place, "host").expect("the writer before is dead");
    let mut schema = Schema::resume(opening.live_series());
    for column in schema.len()..COLUMNS {
        schema.add(&support::nic(column), "receive_bytes").expect("room");
    }
    let (mut writer, _) = opening.start(&support::options(SLOTS), &mut schema).expect("it starts");
    let mut record = Record::new(schema.width());
    loop {
        let seq = writer.head() + 1;
        if seq.is_multiple_of(grow_after) && schema.width() < 2000 {
            for column in schema.width()..schema.width() + 60 {
                schema.add(&support::nic(column), "receive_bytes").expect("room");
            }
            writer.sync(&mut schema).expect("there is room");
            record.set_columns(schema.width());
        }
        support::fill(&mut record, seq);
        record.header.boottime_ns = tachograph::ring::boottime_ns();
        writer.publish(&mut record);
        if seq.is_multiple_of(16) {
            writer.wake();
        }
    }
}

type ReadWindow = fn(&Ring<tachograph::ring::ReadMap>, u64, u64, &mut Record) -> u64;

/// Copies each record; how many of them.
fn copy_window<W: Words>(ring: &Ring<W>, first: u64, last: u64, record: &mut Record) -> u64 {
    let mut read = 0;
    for seq in first..=last {
        match ring.read_into(seq, record) {
            Ok(()) => {
                assert!(record.header.seq == seq && is_whole(record), "torn: {record:?}");
                read += 1;
            }
            Err(ReadError::Overrun | ReadError::Lost) => {}
            Err(error) => panic!("{seq} of {:?}: {error}", ring.bounds()),
        }
    }
    read
}

/// Looks at all records in place and vouches for them at the end; all or none.
fn view_window<W: Words>(ring: &Ring<W>, first: u64, last: u64, record: &mut Record) -> u64 {
    // Half of the ring, so that the writer does not always come by.
    let first = first.max(last.saturating_sub(SLOTS / 2)).max(1);
    let Ok(views) = (first..=last).map(|seq| ring.peek(seq)).collect::<Result<Vec<_>, _>>() else {
        return 0;
    };
    let whole = views.iter().all(|view| {
        view.copy_into(record);
        is_whole(record)
    });
    if ring.vouch(first).is_err() {
        return 0;
    }
    assert!(whole, "torn, and vouched for");
    last - first + 1
}

fn read_for_a_while(dir: &std::path::Path, read_window: ReadWindow) {
    let path = dir.join("host.ring");
    let begin = Instant::now();
    let mut reader = loop {
        match Reader::open(&path) {
            Ok(reader) => break reader,
            Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}"),
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert!(matches!(reader.wait(0, PATIENCE), Wait::Published(_) | Wait::Retired));
    let mut record = Record::default();
    let (start, begin) = (reader.ring().head() + 1, Instant::now());
    let (mut next, mut read, mut lost) = (start, 0, 0);
    while begin.elapsed() < READING || (read == 0 && begin.elapsed() < PATIENCE) {
        if let Wait::Published(newest) = reader.wait(next - 1, Duration::from_millis(100)) {
            let seen = read_window(
                reader.ring(),
                next.max(reader.ring().geometry().oldest(newest)),
                newest,
                &mut record,
            );
            lost += newest + 1 - next - seen;
            read += seen;
            next = newest + 1;
        } else {
            reader.refresh().expect("the newest ring opens");
        }
        assert_eq!(start + read + lost, next, "every sequence is accounted for");
    }
    assert!(read > 0, "nothing was ever read");
    let mut line = String::new();
    write!(line, "read {read} lost {lost} reopened {}", reader.reopened()).expect("a string");
    // Where the harness does not catch it: the parent reads it.
    use std::io::Write as _;
    writeln!(std::io::stdout().lock(), "{line}").expect("the parent listens");
}

#[test]
fn readers_in_other_processes_never_see_a_torn_record() {
    for part in ["write", "write and roll over"] {
        let dir = ShmDir::new();
        let mut writer = Process::start(part, &dir);
        let readers = [Process::start("copy", &dir), Process::start("view", &dir)];
        for reader in readers {
            let text = reader.output();
            let line = text.lines().find(|line| line.contains("read ")).expect("it reports");
            eprintln!("{part}: {line}");
        }
        writer.kill();
        let reader = Reader::open(&dir.ring()).expect("the ring opens");
        assert_eq!(reader.liveness(), Liveness::Dead);
        let audit = audit(reader.ring());
        assert!(audit.is_clean(), "{audit:?}");
    }
}

#[test]
fn writers_killed_at_any_moment_lose_at_most_the_record_that_they_were_writing() {
    let dir = ShmDir::new();
    let mut attached: Option<Reader> = None;
    let (mut head, mut in_publish) = (0, 0);
    for turn in 1..=KILLS {
        let mut writer = Process::start("write", &dir);
        let begin = Instant::now();
        let reader = loop {
            match attached.take().map_or_else(|| Reader::open(&dir.ring()), Ok) {
                Ok(reader) => break reader,
                Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}"),
            }
            thread::sleep(Duration::from_millis(1));
        };
        // The reader that is attached goes on with the next writer, in the same file.
        let found = reader.wait(head, PATIENCE);
        assert!(matches!(found, Wait::Published(newest) if newest > head), "{found:?}");
        let mut record = Record::default();
        let until = Duration::from_micros(u64::from(turn) * 7919 % 20_000);
        let (begin, mut whole) = (Instant::now(), 0);
        while begin.elapsed() < until || (whole == 0 && begin.elapsed() < PATIENCE) {
            if reader.ring().read_into(reader.ring().head(), &mut record).is_ok() {
                assert!(is_whole(&record), "torn: {record:?}");
                assert_eq!(record.header.epoch(), turn);
                whole += 1;
            }
        }
        assert!(whole > 0);
        writer.kill();
        assert_eq!(reader.liveness(), Liveness::Dead);
        assert_eq!(reader.reopened(), 0);

        // All that a dead writer leaves is whole, without a hole, and the head is the newest.
        let ring = reader.ring();
        let audit = audit(ring);
        assert!(audit.is_clean() && audit.missing == 0, "{audit:?}");
        // It may have died between the slot and the head.
        assert!(audit.found_head - audit.stated_head <= 1, "{audit:?}");
        assert!(audit.found_head > head, "sequences go on");
        let state = ring.words().load(ring.geometry().slot_word(audit.found_head + 1));
        in_publish += u32::from(!state.is_multiple_of(2));
        for record in support::history(ring) {
            assert!(is_whole(&record), "torn: {record:?}");
            let first = record.header.flags() & flags::EPOCH_FIRST != 0;
            let follows = record.header.seq == head + 1;
            assert!(!follows || (first && record.header.epoch() == turn), "{record:?}");
            assert!(record.header.epoch() == turn || record.header.seq <= head, "{record:?}");
        }
        head = audit.found_head;
        attached = Some(reader);
    }
    eprintln!("{KILLS} writers killed, {in_publish} of them in the middle of a publish");
    let reader = attached.expect("there was a turn");
    assert!(!dir.files().iter().any(|name| name.contains("tmp") || name.contains("damaged")));
    assert!(audit(reader.ring()).is_clean());
}
