//! Text files of metrics, whole and cut short.
#![no_main]

use tachograph_fuzz::{run, textfile};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(textfile::run, data));
