//! The header of a ring: any words.
#![no_main]

use tachograph_fuzz::{ring_header, run};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(ring_header::run, data));
