//! A file system without room is an error that can be read, never a signal at a later store.
//!
//! Alone in its file, and one at a time: it starts a process, and a process that is just being started has the locks of
//! every writer in this one for a moment.

mod support;

use std::fs;
use std::path::Path;

use support::{ShmDir, fill_columns, publish, schema};
use tachograph::record::{Kind, Record, Unit};
use tachograph::ring::{Liveness, Opening, Producer, Reader, RunDir, WriteError, WriterOptions};

/// Time between an application's records.
const INTERVAL: std::time::Duration = std::time::Duration::from_millis(100);

/// A small file system in memory, mounted for one test.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn mount(path: std::path::PathBuf, bytes: u64) -> Option<Self> {
        fs::create_dir(&path).expect("created");
        let size = format!("size={bytes},mode=0755");
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tachograph-test"])
            .arg(&path)
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(path)),
            other => {
                eprintln!("skipped: no tmpfs can be mounted here: {other:?}");
                None
            }
        }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // A ring that was replaced is given back by a thread of its own, which may not be done.
        for _ in 0..100 {
            let ended = std::process::Command::new("umount").arg("-q").arg(&self.0).status();
            if ended.is_ok_and(|status| status.success()) {
                return;
            }
            std::thread::sleep(INTERVAL);
        }
    }
}

/// Whoever holds it is alone.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// An application adds more series than its ring has room for, where no larger ring can be had: what
/// it had goes on, it can see why, and once there is room it is all there.
#[test]
fn producer_without_room_goes_on_with_what_it_has() {
    let _alone = alone();
    let dir = ShmDir::new();
    let Some(small) = Tmpfs::mount(dir.path().join("small"), 256 << 10) else { return };
    let place = RunDir::for_writing(Some(&small.0)).expect("root's own");
    let mut shop = Producer::declare(&place, "shop").expect("nobody has it");
    let taken = shop.add::<u64>("queue", "taken", Kind::Counter, Unit::Count).expect("a column");
    let options = WriterOptions { depth_records: 256, ..WriterOptions::every(INTERVAL) };
    let mut shop = shop.start(&options).expect("room for one");
    let mut added = Vec::new();
    for index in 0..100 {
        let object = format!("worker/{index}");
        added.push(shop.add::<u64>(&object, "busy", Kind::Gauge, Unit::Flag).expect("a column"));
    }
    let publish = |shop: &mut Producer| {
        shop.set(&taken, 7);
        added.iter().for_each(|worker| shop.set(worker, 1));
        shop.publish()
    };
    assert_eq!(publish(&mut shop), 1);
    assert!(
        matches!(shop.unrecorded(), Some(WriteError::NoRoom { .. })),
        "{:?}",
        shop.unrecorded()
    );
    assert_eq!(publish(&mut shop), 2);
    let reader = Reader::open(&place.ring("shop")).expect("it goes on");
    let column = reader.ring().find("queue", "taken").expect("it was there before");
    assert_eq!(reader.ring().latest(|view| view.u64(&column)), Some(Some(7)));
    assert!(reader.ring().find("worker/0", "busy").is_none());

    let remounted =
        std::process::Command::new("mount").args(["-o", "remount,size=4m"]).arg(&small.0).status();
    assert!(remounted.is_ok_and(|status| status.success()));
    // It tries again after a pause.
    let begin = std::time::Instant::now();
    while shop.unrecorded().is_some() {
        assert!(begin.elapsed().as_secs() < 60, "waited in vain");
        std::thread::sleep(INTERVAL);
        publish(&mut shop);
    }
    let reader = Reader::open(&place.ring("shop")).expect("a larger one");
    let worker = reader.ring().find("worker/99", "busy").expect("it is recorded now");
    assert_eq!(reader.ring().latest(|view| view.u64(&worker)), Some(Some(1)));
    let first = reader.ring().bounds().map(|(first, _)| first);
    assert_eq!(first, Some(1), "with the history");
}

#[test]
fn full_tmpfs_is_an_error_and_leaves_the_old_ring_in_use() {
    let _alone = alone();
    let dir = ShmDir::new();
    let Some(small) = Tmpfs::mount(dir.path().join("small"), 256 << 10) else { return };
    let place = RunDir::for_writing(Some(&small.0)).expect("root's own");
    let free = |error: &WriteError| match error {
        WriteError::NoRoom { needed_bytes, free_bytes, .. } => {
            assert!(needed_bytes > free_bytes, "{error}");
            *free_bytes
        }
        other => panic!("{other:?}"),
    };
    let opening = Opening::of(&place, "host").expect("the lane is free");
    let error = opening.start(&support::options(4096), &mut schema(1)).expect_err("too large");
    assert!(free(&error) <= 256 << 10);
    let before = place.free_bytes().expect("asked");
    assert_eq!(names(&small.0), ["host.lock"]);
    // One that fits, but not twice.
    let mut schema = schema(1);
    let opening = Opening::of(&place, "host").expect("the lane is free");
    let (mut writer, _) = opening.start(&support::options(256), &mut schema).expect("it fits");
    publish(&mut writer, 1);
    let with_ring = place.free_bytes().expect("asked");
    assert!(with_ring < before);
    fill_columns(&mut schema);
    free(&writer.sync(&mut schema).expect_err("no room for a second one"));
    assert_eq!(names(&small.0), ["host.lock", "host.ring"]);
    assert_eq!(place.free_bytes().expect("asked"), with_ring);
    let after = publish(&mut writer, 1);
    let reader = Reader::open(&place.ring("host")).expect("the ring opens");
    let mut read = Record::default();
    assert_eq!(reader.ring().read_into(2, &mut read), Ok(()));
    assert_eq!(read, after);
    assert_eq!(reader.liveness(), Liveness::Live);
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("the directory is there");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
