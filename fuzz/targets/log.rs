//! Fuzzes recovery: a data directory of any files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidekeep_fuzz::log::run(data));
