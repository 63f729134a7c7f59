//! Fuzzes the bodies of requests, and of everything that a server answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidekeep_fuzz::requests::run(data));
