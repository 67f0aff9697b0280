//! The configuration file.
#![no_main]

use tachograph_fuzz::{config, run};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(config::run, data));
