//! A writer that goes on in a file that holds anything behind a sound header.
#![no_main]

use tachograph_fuzz::{ring_recover, run};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(ring_recover::run, data));
