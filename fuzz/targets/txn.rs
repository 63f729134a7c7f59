//! Fuzzes the text of a transaction, in words and in JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidekeep_fuzz::txn::run(data));
