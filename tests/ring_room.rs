//! A file system without room is an error that can be read, never a signal at a later store.
//!
//! Alone in its file: it starts a process, and a process that is just being started has the locks of
//! every writer in this one for a moment.

mod support;

use std::fs;
use std::path::Path;

use support::{ShmDir, fill_columns, publish, schema};
use tachograph::record::Record;
use tachograph::ring::{Liveness, Opening, Reader, RunDir, WriteError};

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
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn full_tmpfs_is_an_error_and_leaves_the_old_ring_in_use() {
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
