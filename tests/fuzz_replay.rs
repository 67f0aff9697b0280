//! What the fuzzer begins with, and what it has found, holds without the fuzzer too.
//!
//! Every file in `fuzz/seeds` goes through the body of its target. Most are made by
//! `fuzz/src/seeds.rs`, which `cargo run --manifest-path fuzz/Cargo.toml --bin seeds` writes anew; a
//! file there that is not is an input that once failed.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

#[allow(unreachable_pub, missing_docs, reason = "a library of its own, included as a module")]
#[path = "../fuzz/src/lib.rs"]
mod bodies;

fn package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The inputs in the repository: path and bytes, in order.
fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = package("fuzz/seeds").join(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("a seed"))).collect()
}

fn replay(target: &str) {
    replay_prefixes(target, usize::MAX);
}

/// Of inputs that make files, not every prefix: so many of each, evenly spread.
fn replay_prefixes(target: &str, prefixes_max: usize) {
    let (_, body) = bodies::TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    let inputs = inputs(target);
    assert!(!inputs.is_empty());
    for (path, input) in inputs {
        // Shown with a failure, and only then.
        eprintln!("{}", path.display());
        bodies::run(*body, &input);
        for len in (0..input.len()).step_by(input.len().div_ceil(prefixes_max).max(1)) {
            bodies::run(*body, &input[..len]);
        }
    }
}

#[test]
fn headers_that_hold() {
    replay("ring_header");
}

#[test]
fn directories_that_change() {
    replay("ring_directory");
}

#[test]
fn records_that_hold_anything() {
    replay_prefixes("ring_record", 100);
}

#[test]
fn rings_that_stand_still() {
    replay("ring_scan");
}

#[test]
fn rings_that_change_while_they_are_read() {
    replay("ring_mutating");
}

#[test]
fn writers_that_are_killed_in_files_that_are_damaged() {
    replay_prefixes("ring_ops", 12);
}

#[test]
fn writers_that_go_on_in_files_that_hold_anything() {
    replay_prefixes("ring_recover", 12);
}

#[test]
fn kernel_files() {
    replay("proc_parsers");
}

#[test]
fn text_files() {
    replay("textfile");
}

#[cfg(feature = "http")]
#[test]
fn requests() {
    replay("http_query");
}

#[cfg(feature = "http")]
#[test]
fn principals() {
    replay("rights");
}

#[cfg(feature = "daemon")]
#[test]
fn configurations() {
    replay("config");
}

#[test]
fn seeds_are_those_of_the_generator() {
    const COMMAND: &str = "cargo run --manifest-path fuzz/Cargo.toml --bin seeds";
    for (target, _) in bodies::TARGETS {
        let dir = package("fuzz/seeds").join(target);
        for (name, seed) in bodies::seeds::of(target, &package("tests/fixtures/hosts")) {
            let path = dir.join(name);
            let found = fs::read(&path).is_ok_and(|found| found == seed);
            assert!(found, "{} is another: run `{COMMAND}`", path.display());
        }
    }
}

/// What is behind an input cannot be read: the child that tries is killed.
#[test]
fn inputs_lie_against_memory_that_cannot_be_read() {
    const CHILD: &str = "TACHOGRAPH_TEST_FALLS";
    if std::env::var_os(CHILD).is_some() {
        bodies::guarded::fall_over_the_end();
    }
    let ran = Command::new(std::env::current_exe().expect("this file"))
        .args(["--exact", "inputs_lie_against_memory_that_cannot_be_read"])
        .env(CHILD, "1")
        .output()
        .expect("this program can be started again");
    let told = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.status.signal(), Some(11), "{}: {told}", ran.status);
}
