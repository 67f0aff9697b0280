//! A writer that goes on in a file that holds anything behind a sound header.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tachograph_fuzz::ring_recover::run(data));
