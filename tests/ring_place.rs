//! Where rings may lie and which files are trusted.

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::{ShmDir, assert_history, publish, schema, start, try_start, word};
use tachograph::record::Schema;
use tachograph::ring::layout::{header as at, record as record_at, state};
use tachograph::ring::{
    OpenError, Opening, PlaceError, Reader, RunDir, Words, WriteError, open_untrusted,
};

fn unusable(path: &Path) -> &'static str {
    match RunDir::for_writing(Some(path)) {
        Err(PlaceError::Unusable { path: found, reason }) => {
            assert_eq!(found, path);
            reason
        }
        other => panic!("{other:?}"),
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode can be set");
}

/// Gives `path` to another user; only root can. Says so when the test cannot be made.
fn give_away(path: &Path) -> bool {
    let given = std::os::unix::fs::chown(path, Some(12345), None).is_ok();
    if !given {
        eprintln!("skipped: giving a file to another user takes root");
    }
    given
}

#[test]
fn run_directory_that_others_could_change_is_refused() {
    let dir = ShmDir::new();
    let link = dir.path().join("link");
    let real = dir.path().join("real");
    fs::create_dir(&real).expect("created");
    symlink(&real, &link).expect("linked");
    assert!(unusable(&link).contains("symbolic link"));
    for mode in [0o775, 0o757, 0o777, 0o720] {
        set_mode(&real, mode);
        assert!(unusable(&real).contains("others"), "{mode:o}");
    }
    set_mode(&real, 0o700);
    let place = RunDir::for_writing(Some(&real)).expect("it is ours alone");
    assert!(place.is_in_memory());
    let file = dir.path().join("file");
    fs::write(&file, "").expect("written");
    assert!(unusable(&file).contains("not a directory"));
    if give_away(&real) {
        assert!(unusable(&real).contains("another user"));
    }
}

#[test]
fn run_directory_that_cannot_be_made_is_named() {
    let dir = ShmDir::new();
    let file = dir.path().join("file");
    fs::write(&file, "").expect("written");
    let orphan = dir.path().join("no/such/place");
    for path in [orphan, file.join("below"), "/proc/tachograph".into(), "/sys/tachograph".into()] {
        let error = RunDir::for_writing(Some(&path)).expect_err("it cannot be made");
        let text = error.to_string();
        assert!(text.contains(&*path.to_string_lossy()), "{text}");
    }
    let fresh = dir.path().join("fresh");
    RunDir::for_writing(Some(&fresh)).expect("made");
    assert_eq!(fs::metadata(&fresh).expect("made").permissions().mode() & 0o022, 0);
}

/// Somebody asked for twenty hours at a millisecond and was told that `slot_count cannot be
/// 134217728`: neither what it would have taken, nor what there is, nor which flag says so.
#[test]
fn more_records_than_any_ring_has_are_a_lack_of_room() {
    let dir = ShmDir::new();
    for depth in [72_000_000, u64::MAX] {
        let opening = Opening::of(&dir.run_dir(), "host").expect("the lane is free");
        let error =
            opening.start(&support::options(depth), &mut support::schema(1)).expect_err("too many");
        let text = error.to_string();
        let WriteError::NoRoom { needed_bytes, free_bytes, .. } = error else { panic!("{text}") };
        assert!(needed_bytes > 72_000_000 * 8 && needed_bytes > free_bytes && free_bytes > 0);
        assert!(text.contains("--depth") && text.contains("--interval"), "{text}");
        assert_eq!(dir.files(), ["host.lock"]);
    }
}

/// A link was refused, but the same link written with a slash behind it was followed.
#[test]
fn slash_behind_a_link_does_not_hide_that_it_is_one() {
    let dir = ShmDir::new();
    let (link, real) = (dir.path().join("link"), dir.path().join("real"));
    fs::create_dir(&real).expect("created");
    symlink(&real, &link).expect("linked");
    for behind in ["/", "//", "/.", "/./"] {
        let path = PathBuf::from(format!("{}{behind}", link.display()));
        assert!(unusable(&path).contains("symbolic link"), "{behind}");
        let plain = PathBuf::from(format!("{}{behind}", real.display()));
        let place = RunDir::for_writing(Some(&plain)).expect("it is ours alone");
        assert_eq!(place.path().as_os_str(), real.as_os_str());
    }
}

#[test]
fn reader_finds_the_directory_that_has_the_ring() {
    let dir = ShmDir::new();
    let place = RunDir::holding("host", Some(dir.path())).expect("the one that was named");
    assert_eq!(place.ring("host"), dir.ring());
    match Reader::open(&place.ring("host")) {
        Err(OpenError::Missing(path)) => assert_eq!(path, dir.ring()),
        other => panic!("{other:?}"),
    }
}

fn untrusted(path: &Path) -> &'static str {
    match Reader::open(path) {
        Err(OpenError::Untrusted { path: found, reason }) => {
            assert_eq!(found, path);
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn file_that_others_could_change_is_not_mapped_but_can_be_read() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(1));
    let records = [publish(&mut writer, 1)];
    let ring = dir.ring();
    for mode in [0o664, 0o646, 0o666] {
        set_mode(&ring, mode);
        assert!(untrusted(&ring).contains("write"), "{mode:o}");
    }
    assert_history(&open_untrusted(&ring).expect("read, not mapped").0, &records);
    set_mode(&ring, 0o644);
    let other = dir.path().join("other.ring");
    fs::hard_link(&ring, &other).expect("linked");
    assert!(untrusted(&ring).contains("another name"));
    fs::remove_file(&other).expect("removed");
    Reader::open(&ring).expect("it is sound again");
    symlink(&ring, &other).expect("linked");
    assert!(matches!(Reader::open(&other), Err(OpenError::Io { .. })), "a symbolic link");
    assert!(open_untrusted(&other).is_err());
    if give_away(&ring) {
        // Its directory is root's, which does not speak for another user's file.
        assert!(untrusted(&ring).contains("another user"));
        assert_history(&open_untrusted(&ring).expect("read, not mapped").0, &records);
        drop(writer);
        let error = try_start(&dir, 8, &mut Schema::new()).expect_err("not ours to write to");
        assert!(error.to_string().contains("of this user"), "{error}");
    }
}

/// A home looks like a service's directory: its owner's, in one that only root can write to. Root, who
/// opened a ring there, mapped a file that a person could cut short under it.
#[test]
fn ring_of_a_service_in_its_own_directory_is_mapped_and_that_of_a_person_is_not() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(1));
    publish(&mut writer, 1);
    // Only root can make this, and only root can write to /run.
    let home = PathBuf::from(format!("/run/tachograph-test-{}", std::process::id()));
    if fs::create_dir(&home).is_err() {
        eprintln!("skipped: making a directory in /run takes root");
        return;
    }
    let ring = home.join("host.ring");
    fs::copy(dir.ring(), &ring).expect("copied");
    let opened = [998, 62_000, 1000, 12_345].map(|uid| {
        for path in [&home, &ring] {
            std::os::unix::fs::chown(path, Some(uid), None).expect("root can give files away");
        }
        Reader::open(&ring).map(|reader| reader.ring().head()).map_err(|error| error.to_string())
    });
    fs::remove_dir_all(&home).expect("removed");
    assert_eq!((&opened[0], &opened[1]), (&Ok(1), &Ok(1)), "services");
    for refused in &opened[2..] {
        assert!(refused.as_ref().is_err_and(|error| error.contains("another user")), "{refused:?}");
    }
}

#[test]
fn what_is_no_regular_file_is_no_ring() {
    let dir = ShmDir::new();
    fs::create_dir(dir.ring()).expect("created");
    assert!(matches!(Reader::open(&dir.ring()), Err(OpenError::Io { .. })));
    assert!(try_start(&dir, 8, &mut schema(1)).is_err());
    assert!(Reader::open(Path::new("/dev/null")).is_err());
    for (content, len) in [("", 0), ("no ring", 7), (&*"x".repeat(10_000), 10_000)] {
        let path = dir.path().join(format!("file{len}"));
        fs::write(&path, content).expect("written");
        assert!(matches!(Reader::open(&path), Err(OpenError::Format { .. })), "{len} bytes");
        assert!(matches!(open_untrusted(&path), Err(OpenError::Format { .. })), "{len} bytes");
    }
}

#[test]
fn sizes_that_make_no_ring_are_refused_and_leave_nothing_behind() {
    let dir = ShmDir::new();
    let with = |interval, depth_records| {
        let opening = Opening::of(&dir.run_dir(), "host").expect("the lane is free");
        let options =
            tachograph::ring::WriterOptions { interval, ..support::options(depth_records) };
        let error = opening.start(&options, &mut schema(1)).expect_err("no ring");
        assert_eq!(dir.files(), ["host.lock"]);
        error.to_string()
    };
    assert!(with(Duration::ZERO, 8).contains("interval_ns"));
    assert!(with(Duration::from_secs(1), u64::MAX).contains("no room"));
    assert!(with(Duration::from_secs(1), (1 << 24) + 1).contains("no room"));
}

#[test]
fn states_are_stored_where_the_page_says() {
    let dir = ShmDir::new();
    let (mut writer, _) = start(&dir, 8, &mut schema(1));
    publish(&mut writer, 1);
    let words = support::file_words(&dir.ring());
    assert_eq!(words.load(at::STATE), state::RUNNING);
    assert_eq!(words.load(at::PID), u64::from(std::process::id()));
    assert_eq!((words.load(at::EPOCH), words.load(at::HEAD)), (1, 1));
    assert_eq!(words.load(at::NOTIFY), 1);
    let slot = writer.ring().geometry().slot_word(1);
    assert_eq!(words.load(slot + record_at::SEQ), 2);
    assert_eq!(words.load(slot + record_at::COLUMNS), 1);
    assert_eq!(words.load(slot + 8), word(1, 0));
    let ring = writer.ring();
    writer.close();
    assert_eq!(ring.state(), state::CLOSED);
}
