//! A writer in its file under any operations, with crashes and damage between them.
#![no_main]

use tachograph_fuzz::{ring_ops, run};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(ring_ops::run, data));
