//! The kernel's files, cut short and damaged.
#![no_main]

use tachograph_fuzz::{proc_parsers, run};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(proc_parsers::run, data));
