//! Fuzzes what a Redis client sends, against a true store.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidekeep_fuzz::resp::run(data));
