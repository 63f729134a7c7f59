//! Fuzzes the client core with the bytes of a hostile server.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidekeep_fuzz::client_core::run(data));
