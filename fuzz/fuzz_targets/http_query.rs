//! Paths and parameters of requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tachograph_fuzz::http_query::run(data));
