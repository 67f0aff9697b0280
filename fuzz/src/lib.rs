//! What the fuzz targets do with an input, callable without the fuzzer.
//!
//! Each target's module has one `run(input)` that panics when something does not hold. A target in
//! `fuzz_targets` only has it [`run`]; the test `fuzz_replay` of the main crate includes this file and
//! runs every input under `seeds` through it, so that what was found once stays found.

#[cfg(feature = "daemon")]
pub mod config;
pub mod guarded;
#[cfg(feature = "http")]
pub mod http_query;
pub mod input;
pub mod memory_dir;
pub mod proc_parsers;
#[cfg(feature = "http")]
pub mod rights;
pub mod ring_directory;
pub mod ring_examine;
pub mod ring_file;
pub mod ring_header;
pub mod ring_model;
pub mod ring_mutating;
pub mod ring_op;
pub mod ring_ops;
pub mod ring_record;
pub mod ring_recover;
pub mod ring_scan;
pub mod ring_sound;
pub mod ring_stores;
pub mod seeds;
pub mod textfile;
pub mod watched;

/// What a target does with an input. It panics when something does not hold.
pub type Body = fn(&[u8]);

/// Runs a target's body on an input that lies against memory which cannot be read.
pub fn run(body: Body, input: &[u8]) {
    guarded::bytes(input, body);
}

/// Every target and its body.
pub const TARGETS: &[(&str, Body)] = &[
    ("ring_header", ring_header::run),
    ("ring_directory", ring_directory::run),
    ("ring_record", ring_record::run),
    ("ring_scan", ring_scan::run),
    ("ring_mutating", ring_mutating::run),
    ("ring_ops", ring_ops::run),
    ("ring_recover", ring_recover::run),
    ("proc_parsers", proc_parsers::run),
    ("textfile", textfile::run),
    #[cfg(feature = "http")]
    ("http_query", http_query::run),
    #[cfg(feature = "http")]
    ("rights", rights::run),
    #[cfg(feature = "daemon")]
    ("config", config::run),
];
