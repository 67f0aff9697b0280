//! The header of a ring: any words.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tachograph_fuzz::ring_header::run(data));
