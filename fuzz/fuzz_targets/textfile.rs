//! The kernel's files, cut short and damaged.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tachograph_fuzz::textfile::run(data));
