//! Fuzzes the envelope of every message.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidekeep_fuzz::frames::run(data));
