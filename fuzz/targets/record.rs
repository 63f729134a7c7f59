//! Fuzzes the records of the log as the store reads and applies them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidekeep_fuzz::record::run(data));
