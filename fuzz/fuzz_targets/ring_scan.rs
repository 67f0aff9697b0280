//! A whole ring that holds anything behind a sound header.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tachograph_fuzz::ring_scan::run(data));
