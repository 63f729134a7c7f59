//! Fuzzes the server's session, with a store behind it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidekeep_fuzz::session::run(data));
