//! A whole ring that holds anything behind a sound header.
#![no_main]

use tachograph_fuzz::{ring_scan, run};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(ring_scan::run, data));
