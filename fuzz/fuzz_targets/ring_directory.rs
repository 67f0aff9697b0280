//! The directory of a ring, and a reader that keeps up with it.
#![no_main]

use tachograph_fuzz::{ring_directory, run};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(ring_directory::run, data));
