//! The program on a host whose file systems come, hang and die.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

#[path = "support/fuse.rs"]
mod fuse;
#[path = "support/namespace.rs"]
mod namespace;
#[path = "support/program.rs"]
mod support;

use fuse::{BLOCK_BYTES, Fuse};
use rustix::mount::UnmountFlags;
use rustix::process::Signal;
use support::{Place, eventually};

/// A mount point outside of `/dev`, where mounts are not watched by default. It is unmounted and
/// removed at the end, whatever is there.
struct Point(PathBuf);

impl Point {
    fn new() -> Self {
        let name = format!("tachograph-program-mounts-{}", std::process::id());
        let point = Self(std::env::temp_dir().join(name));
        fs::create_dir(&point.0).expect("a temporary directory");
        point
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}

/// The newest record, once `wanted` holds of what it says of `object`.
fn until(place: &Place, object: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || Some(place.snapshot()).filter(|record| wanted(&record["values"][object])))
}

#[test]
fn recorder_goes_on_and_closes_its_ring_while_a_file_system_hangs() {
    if !namespace::is_inside(
        "recorder_goes_on_and_closes_its_ring_while_a_file_system_hangs",
        false,
    ) || !fuse::is_there()
    {
        return;
    }
    let place = Place::new();
    let point = Point::new();
    let object = format!("filesystem{}", point.0.display());
    let recorder = place.start("record --interval 10ms --depth 20s");
    place.snapshot();

    let fuse = match Fuse::mount(&point.0, 500) {
        Ok(fuse) => fuse,
        Err(errno) => {
            return eprintln!("LEFT OUT, no file system hung: FUSE cannot be mounted: {errno}");
        }
    };
    let size = 500 * BLOCK_BYTES;
    until(&place, &object, "it is seen", |of| of["size_bytes"] == size);
    fuse.hang();
    let before = until(&place, &object, "it is asked", |_| fuse.waiting() > 0);
    let after = until(&place, &object, "it is stuck", |of| {
        assert_eq!(of["size_bytes"], size, "the last answer stands");
        of["stuck"] == 1 && of["age_ms"].as_u64() > Some(3000)
    });
    let grown = |metric: &str| {
        let of = |record: &Value| record["values"]["tachograph"][metric].as_u64();
        of(&after).zip(of(&before)).map(|(after, before)| after - before).expect("given")
    };
    let (ticks, missed) = (grown("ticks"), grown("ticks_missed"));
    eprintln!("{ticks} ticks taken and {missed} missed while it hung");
    // It hung for two hundred ticks at the least.
    assert!(ticks > 100 && missed < ticks / 2, "{ticks} ticks taken and {missed} missed");
    eventually("it is told of", || {
        recorder.err().contains("has not answered for too long").then_some(())
    });

    fuse.go_on(700);
    let answers = |of: &Value| of["size_bytes"] == 700 * BLOCK_BYTES && of["stuck"] == 0;
    until(&place, &object, "it answers", answers);
    // It closes its ring at once. That the process is gone is up to the kernel, which does not take
    // a question back that the server has read: once nobody is there to answer, it is.
    fuse.hang();
    until(&place, &object, "it is asked", |_| fuse.waiting() > 0);
    recorder.signal(Signal::TERM);
    eventually("a closed ring", || place.inspect("writer").contains("closed").then_some(()));
    assert_eq!(fuse.waiting(), 1, "it still hangs");
    let next = place.start("record --interval 10ms --depth 20s");
    let seq = place.snapshot()["seq"].as_u64().expect("a number");
    place.snapshot_from(seq + 10);
    drop(fuse);
    for recorder in [recorder.ended(), next.end()] {
        assert_eq!(recorder.code, Some(0), "{recorder:?}");
    }
    place.assert_closed_and_clean();
}
