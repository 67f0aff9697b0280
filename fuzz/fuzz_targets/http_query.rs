//! Paths and parameters of requests.
#![no_main]

use tachograph_fuzz::{http_query, run};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(http_query::run, data));
