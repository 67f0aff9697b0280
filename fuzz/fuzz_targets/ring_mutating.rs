//! A ring whose words change while they are read.
#![no_main]

use tachograph_fuzz::{ring_mutating, run};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(ring_mutating::run, data));
