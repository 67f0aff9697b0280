//! Devices that come, go, change their names and return while a recorder runs: real ones, made and
//! taken away in a network namespace and on loop devices. Needs root.

#[path = "support/program.rs"]
mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Ended, Place, Program, eventually, tachograph};
use tachograph::ring::{Entry, Reader};

/// Whether this can run, said where it cannot.
fn can_run(tools: &[&str]) -> bool {
    if !rustix::process::geteuid().is_root() {
        eprintln!("LEFT OUT: making devices needs root");
        return false;
    }
    let found = |tool: &&&str| Command::new(tool).arg("--version").output().is_ok();
    let missing: Vec<_> = tools.iter().filter(|tool| !found(tool)).collect();
    if !missing.is_empty() {
        eprintln!("LEFT OUT: there is no {missing:?}");
    }
    missing.is_empty()
}

fn run(command: &mut Command) -> String {
    let ended = Program::start(command).ended();
    let Ended { code: Some(0), out, .. } = ended else { panic!("{command:?}: {ended:?}") };
    out
}

/// The lifetimes of a series, oldest first.
fn lifetimes(reader: &Reader, object: &str, metric: &str) -> Vec<Entry> {
    let directory = reader.ring().directory();
    let named = |entry: &&Entry| &*entry.series.object == object && &*entry.series.metric == metric;
    directory.iter().filter(named).cloned().collect()
}

/// The values of a lifetime that are still in the ring, oldest first.
fn values(reader: &Reader, entry: &Entry) -> Vec<u64> {
    let ring = reader.ring();
    let (oldest, head) = ring.bounds().expect("records");
    let seqs = entry.first.max(oldest)..=entry.last.min(head);
    let word = |seq| ring.read(seq, |view| view.word(entry.column)).ok();
    seqs.filter_map(word).filter(|word| *word != tachograph::record::ABSENT).collect()
}

fn reader(place: &Place) -> Reader {
    eventually("a ring", || Reader::open(&place.ring()).ok())
}

fn sure(reader: &mut Reader, what: &str, holds: impl Fn(&Reader) -> bool) {
    eventually(what, || {
        reader.refresh().expect("the ring stays");
        holds(reader).then_some(())
    });
}

#[test]
fn interfaces_come_go_return_and_are_renamed_without_a_spike() {
    if !can_run(&["unshare", "nsenter", "ip"]) {
        return;
    }
    let place = Place::new();
    let mut command = Command::new("unshare");
    command.arg("--net").arg(tachograph().get_program());
    command.args("record --interval 20ms --depth 60s --run-dir".split(' ')).arg(place.run_dir());
    let program = Program::start(&mut command);
    let mut reader = reader(&place);
    // The program's own pid: unshare becomes the program.
    let ip = |words: &str| {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &program.pid().to_string(), "ip"]);
        run(command.args(words.split(' ')));
    };
    let lives = |reader: &Reader, object: &str| {
        lifetimes(reader, object, "receive_bytes").last().is_some_and(Entry::lives)
    };
    ip("link add left type veth peer name right");
    ip("addr add 10.1.1.1/24 dev left");
    ip("link set left up");
    ip("link set right up");
    sure(&mut reader, "both ends", |reader| {
        lives(reader, "nic/left") && lives(reader, "nic/right")
    });
    // The kernel itself sends as soon as the two are up: neighbour discovery.
    sure(&mut reader, "traffic", |reader| {
        let entry = lifetimes(reader, "nic/right", "receive_bytes").pop().expect("it lives");
        values(reader, &entry).last().is_some_and(|bytes| *bytes > 0)
    });

    ip("link set left down");
    ip("link set left name middle");
    sure(&mut reader, "the new name", |reader| {
        lives(reader, "nic/middle") && !lives(reader, "nic/left")
    });
    let [left] = &lifetimes(&reader, "nic/left", "receive_bytes")[..] else { panic!("one life") };
    let [middle] = &lifetimes(&reader, "nic/middle", "receive_bytes")[..] else {
        panic!("one life")
    };
    assert!(left.last < middle.first, "{left:?} {middle:?}");

    ip("link delete middle");
    sure(&mut reader, "the end of both", |reader| {
        !lives(reader, "nic/middle") && !lives(reader, "nic/right")
    });
    ip("link add left type veth peer name right");
    sure(&mut reader, "their return", |reader| {
        lives(reader, "nic/left") && lives(reader, "nic/right")
    });
    let head = reader.ring().head();
    sure(&mut reader, "some more records", |reader| reader.ring().head() > head + 5);
    for object in ["nic/left", "nic/right"] {
        let lives = lifetimes(&reader, object, "receive_bytes");
        let [former, returned] = &lives[..] else { panic!("{lives:?}") };
        assert!(former.last < returned.first, "{lives:?}");
        for life in [former, returned] {
            let values = values(&reader, life);
            assert!(!values.is_empty() && values.is_sorted(), "{object}: {values:?}");
        }
        // What had been counted is not counted on.
        assert_eq!(values(&reader, returned).first(), Some(&0), "{object}");
    }
    // An interface that was there all the time is not touched by any of it.
    assert_eq!(lifetimes(&reader, "nic/lo", "receive_bytes").len(), 1);
    let ended = program.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    place.assert_closed_and_clean();
}

/// A loop device with one partition of a mebibyte; it is given back at the end.
struct Loop(String);

impl Loop {
    fn of(image: &Path) -> Self {
        let mut command = Command::new("losetup");
        let path = run(command.args(["--find", "--show"]).arg(image));
        let this = Self(path.trim().to_owned());
        // Told rather than found: not every kernel reads tables of partitions.
        run(Command::new("addpart").args([&*this.0, "1", "2048", "2048"]));
        this
    }

    fn name(&self) -> &str {
        self.0.trim_start_matches("/dev/")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("delpart").args([&*self.0, "1"]).status();
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

const SECTOR: u64 = 512;

/// A disk's image.
fn image(place: &Place) -> PathBuf {
    let path = place.path().join("disk.img");
    let file = File::create(&path).expect("a file");
    file.set_len(4 << 20).expect("room");
    path
}

#[test]
fn partitions_come_and_go_and_return_as_new_series() {
    if !can_run(&["losetup", "addpart", "delpart"]) {
        return;
    }
    let place = Place::new();
    let image = image(&place);
    let mut program = place.start("record --interval 20ms --depth 60s");
    let mut reader = reader(&place);
    let disk = Loop::of(&image);
    let object = format!("disk/{}p1", disk.name());
    let device = format!("{}p1", disk.0);
    let series = |reader: &Reader| lifetimes(reader, &object, "written_sectors");
    sure(&mut reader, "the partition", |reader| series(reader).last().is_some_and(Entry::lives));
    let earlier = series(&reader).len();
    assert_eq!(lifetimes(&reader, &object, "partition").len(), earlier);
    let device =
        eventually("the device's node", || fs::OpenOptions::new().write(true).open(&device).ok());
    device.write_all_at(&[7; 64 << 10], 0).expect("it is large enough");
    device.sync_all().expect("written");
    drop(device);
    let written = (64 << 10) / SECTOR;
    sure(&mut reader, "what was written", |reader| {
        values(reader, &series(reader)[earlier - 1]).last().is_some_and(|last| *last >= written)
    });
    drop(disk);
    sure(&mut reader, "its end", |reader| !series(reader)[earlier - 1].lives());
    let disk = Loop::of(&image);
    if format!("disk/{}p1", disk.name()) == object {
        sure(&mut reader, "its return", |reader| series(reader).len() > earlier);
        let lives = series(&reader);
        assert!(lives[earlier - 1].last < lives[earlier].first, "{lives:?}");
        let head = reader.ring().head();
        sure(&mut reader, "some more records", |reader| reader.ring().head() > head + 5);
        let values = values(&reader, &series(&reader)[earlier]);
        assert!(values.iter().all(|value| *value < written), "a spike: {values:?}");
    } else {
        eprintln!("LEFT OUT: somebody else has taken the loop device");
    }
    assert!(program.is_running());
    drop(disk);
    assert_eq!(program.end().code, Some(0));
    place.assert_closed_and_clean();
}
