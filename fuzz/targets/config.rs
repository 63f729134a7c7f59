//! Fuzzes the server's flags and the text of origins.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidekeep_fuzz::config::run(data));
