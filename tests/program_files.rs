//! What the program does about files and directories that are not as they should be.

#[path = "support/program.rs"]
mod support;

use std::fs;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};

use support::{Ended, Place, ask, eventually};
use tachograph::ring::open_untrusted;

fn record(run_dir: &Path) -> Ended {
    ask(["record".as_ref(), "--run-dir".as_ref(), run_dir.as_os_str()])
}

fn inspect(file: &Path) -> Ended {
    ask(["inspect".as_ref(), file.as_os_str()])
}

/// Names of the files in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it is there");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("listed").file_name();
    let mut names: Vec<_> = entries.map(|entry| name(entry).display().to_string()).collect();
    names.sort();
    names
}

/// A ring that a recorder has left in order.
fn recorded(place: &Place) -> PathBuf {
    let recorder = place.start("record --interval 50ms --depth 10s");
    place.snapshot_from(5);
    assert_eq!(recorder.end().code, Some(0));
    place.ring()
}

#[test]
fn run_directories_that_cannot_be_used_are_named() {
    let place = Place::new();
    let orphan = place.path().join("no/such/place");
    let file = place.path().join("file");
    fs::write(&file, "").expect("written");
    let (link, real) = (place.path().join("link"), place.path().join("real"));
    fs::create_dir(&real).expect("created");
    symlink(&real, &link).expect("linked");
    let mut slash = link.clone().into_os_string();
    slash.push("/");
    for (run_dir, words) in [
        (&orphan, "No such file"),
        (&file, "not a directory"),
        (&link, "symbolic link"),
        (&slash.into(), "symbolic link"),
        (&"/proc/tachograph".into(), "cannot create"),
    ] {
        let ended = record(run_dir);
        let name = run_dir.to_string_lossy();
        ended.assert_refused(&[name.trim_end_matches('/'), words]);
        assert_eq!(ended.err.matches(words).count(), 1, "told once: {ended:?}");
    }
    assert!(names(&real).is_empty());
}

#[test]
fn commands_without_a_ring_say_where_they_looked_and_what_makes_one() {
    let place = Place::new();
    let path = place.ring().display().to_string();
    for command in ["snapshot", "snapshot --json", "tail", "tail --json", "inspect"] {
        place.ask(command).assert_refused(&[&path, "tachograph run", "--run-dir"]);
    }
    assert!(!place.run_dir().exists());
}

#[test]
fn ring_that_is_too_large_is_refused_with_sizes_and_flags() {
    let place = Place::new();
    for depth in ["200h", "1000000h", "90000000000h"] {
        let ended = place.ask(&format!("record --interval 1ms --depth {depth}"));
        ended.assert_refused(&["no room", "bytes", "can have", "--depth", "--interval"]);
        // The lock stays, as it does after every recorder; nothing takes any room.
        assert_eq!(names(&place.run_dir()), ["host.lock"]);
    }
    recorded(&place);
    let before = fs::read(place.ring()).expect("a ring");
    place.ask("record --interval 1ms --depth 1000000h").assert_refused(&["no room"]);
    assert!(fs::read(place.ring()).expect("a ring") == before, "the old ring is as it was");
}

#[test]
fn damaged_ring_is_kept_aside_and_recording_goes_on() {
    let place = Place::new();
    let whole = fs::read(recorded(&place)).expect("a ring");
    let garbage: Vec<u8> = (0..50_000_u32).map(|index| ((index * 7919) >> 5) as u8).collect();
    for (damaged, what) in [
        (garbage, "magic"),
        (whole[..whole.len() / 2].to_vec(), "truncated"),
        (whole[..100].to_vec(), "magic"),
        (Vec::new(), "magic"),
    ] {
        fs::write(place.ring(), &damaged).expect("written");
        let recorder = place.start("record --interval 50ms");
        assert_eq!(place.snapshot_from(2)["epoch"], 1);
        let ended = recorder.end();
        let aside = place.run_dir().join("host.ring.damaged");
        assert_eq!((ended.code, fs::read(&aside).ok()), (Some(0), Some(damaged)));
        let warning = ended.err.lines().find(|line| line.contains(" WARN "));
        let warning = warning.unwrap_or_else(|| panic!("nothing told: {ended:?}"));
        assert!(warning.contains(what) && warning.contains("host.ring.damaged"), "{warning}");
        assert_eq!(ended.err.matches(" WARN ").count(), 1, "{ended:?}");
        place.assert_closed_and_clean();
        inspect(&aside).assert_refused(&["host.ring.damaged", what]);
    }
}

#[test]
fn inspect_explains_whatever_it_is_given() {
    let place = Place::new();
    let ring = recorded(&place);
    let whole = fs::read(&ring).expect("a ring");
    let file = |name: &str, bytes: &[u8]| {
        let path = place.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    };
    let link = place.path().join("link");
    symlink(&ring, &link).expect("linked");
    for (path, words) in [
        (file("garbage", &[0xA5; 10_000]), "not a ring"),
        (file("text", b"hello\n"), "not a ring"),
        (file("empty", b""), "not a ring"),
        (file("header", &whole[..512]), "truncated"),
        (file("half", &whole[..whole.len() / 2]), "truncated"),
        (file("less", &whole[..whole.len() - 1]), "truncated"),
        (place.path().to_owned(), "not a regular file"),
        ("/dev/null".into(), "not a regular file"),
        ("/dev/zero".into(), "not a regular file"),
        (place.path().join("missing"), "no ring"),
        (link, "cannot open"),
    ] {
        let ended = inspect(&path);
        ended.assert_refused(&[&path.to_string_lossy(), words]);
        assert_eq!(ended.out, "", "{ended:?}");
    }
}

#[test]
fn inspect_reports_damage_with_exit_code_1() {
    let place = Place::new();
    let path = recorded(&place);
    let (ring, _) = open_untrusted(&path).expect("a ring");
    let geometry = *ring.geometry();
    let file = fs::OpenOptions::new().write(true).open(&path).expect("our own");
    file.write_all_at(&[7; 8], geometry.slot_word(2) as u64 * 8).expect("written");
    let ended = inspect(&path);
    assert_eq!((ended.code, &*ended.err), (Some(1), ""), "{ended:?}");
    assert!(ended.out.contains("\nintegrity  DAMAGED\n"), "{ended:?}");
    assert!(ended.out.contains("           1 slot holds what no writer puts there\n"), "{ended:?}");
    let line = "damage     slot 2: seq is 506381209866536711, which no record of this slot has\n";
    assert!(ended.out.contains(line), "{ended:?}");

    // A recorder goes on in it, and tells.
    let recorder = place.start("record --interval 50ms --depth 10s");
    place.snapshot_from(8);
    let ended = recorder.end();
    assert!(ended.err.contains(" WARN 1 slot of the ring was damaged"), "{ended:?}");
    assert!(ended.err.contains(" records"), "{ended:?}");
    place.assert_closed_and_clean();
}

/// The names of a ring were printed as they are; in a ring of unknown origin they could steer the
/// terminal of whoever looked at it.
#[test]
fn names_that_would_steer_a_terminal_are_shown_and_not_sent() {
    let place = Place::new();
    let path = recorded(&place);
    let (ring, _) = open_untrusted(&path).expect("a ring");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("our own");
    file.write_all_at(b"\x1b[2J", ring.geometry().arena_offset).expect("written");
    for command in ["inspect --directory", "snapshot", "snapshot --json"] {
        let ended = place.ask(command);
        let controls = ended.out.chars().filter(|character| character.is_control());
        assert!(controls.clone().all(|character| character == '\n'), "{command}: {ended:?}");
        assert!(ended.out.contains("[2J"), "{command}: {ended:?}");
    }
}

#[test]
fn clean_ring_of_another_place_is_shown_as_well() {
    let place = Place::new();
    let path = recorded(&place);
    let copy = place.path().join("copy");
    fs::copy(path, &copy).expect("copied");
    let ended = inspect(&copy);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.starts_with(&format!("{}\n", copy.display())), "{ended:?}");
    assert!(ended.out.contains("\nintegrity  clean"), "{ended:?}");
    for line in ended.out.lines() {
        assert!(line.len() <= 100, "{line}");
    }
}

/// A file that is taken away under a server: what it has mapped stays readable, and a new recorder's
/// ring is followed.
#[test]
fn server_survives_that_its_ring_is_deleted() {
    let place = Place::new();
    recorded(&place);
    let mut server = place.start("serve --listen 127.0.0.1:0");
    assert_eq!(server.full_pull().len(), 16);
    fs::remove_dir_all(place.run_dir()).expect("ours");
    assert_eq!(server.pull("?history=1").len(), 16);
    let recorder = place.start("record --interval 100ms");
    place.snapshot();
    eventually("that the new ring is served", || {
        server.full_pull();
        server.err().contains(" INFO following the ring ").then_some(())
    });
    assert!(server.is_ready());
    assert_eq!(recorder.end().code, Some(0));
}
