//! The records of a ring, read in every way there is.
#![no_main]

use tachograph_fuzz::{ring_record, run};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(ring_record::run, data));
