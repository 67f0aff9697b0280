//! Credentials, and the files that say who may read what.
#![no_main]

use tachograph_fuzz::{rights, run};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(rights::run, data));
