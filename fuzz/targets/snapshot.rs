//! Fuzzes the loading of a snapshot, and of the log behind it, into a store.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidekeep_fuzz::snapshot::run(data));
