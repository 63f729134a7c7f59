//! Fuzzes the first bytes of a visitor, HTTP requests and the upgrade to WebSocket.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidekeep_fuzz::http::run(data));
