//! Fuzzes the cursors that clients give back.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidekeep_fuzz::cursor::run(data));
