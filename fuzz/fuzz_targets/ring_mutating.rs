//! A ring whose words change while they are read.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tachograph_fuzz::ring_mutating::run(data));
