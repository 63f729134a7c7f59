//! Fuzzes the lines of an import.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidekeep_fuzz::import::run(data));
