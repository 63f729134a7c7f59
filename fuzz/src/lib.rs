//! What each fuzz target does with its bytes, and what must hold whatever they are. A target is a
//! function that panics when a promise is broken; `targets/` hands them to the fuzzer.
//!
//! | module | reads | promise beside not to panic |
//! |---|---|---|
//! | [`frames`] | streams of frames | what was decoded encodes to the same bytes; limits hold |
//! | [`requests`] | bodies | decode after encode is identity; memory is bounded by the bytes |
//! | [`session`] | a client's bytes | each request is answered at most once, in frames that decode |
//! | [`resp`] | a Redis client's bytes | replies are well-formed, the same wherever the bytes are cut |
//! | [`http`] | a visitor's bytes | answers are well-formed; foreign origins stay outside |
//! | [`log`] | a data directory | refused unchanged, or the same records at every next start |
//! | [`snapshot`] | a snapshot's file | refused unchanged, or the same store at every next start |
//! | [`record`] | records | replay is deterministic, accounts add up |
//! | [`client_core`] | a server's bytes | each call settles once; all settle in time |
//! | [`cursor`], [`config`], [`import`], [`txn`] | what people and programs hand in | read back as written |
#![forbid(unsafe_code)]

pub mod client_core;
pub mod config;
pub mod cursor;
pub mod disk;
pub mod frames;
pub mod http;
pub mod import;
pub mod log;
pub mod record;
pub mod replies;
pub mod requests;
pub mod resp;
pub mod script;
pub mod seal;
pub mod session;
pub mod snapshot;
pub mod txn;

/// Runs `f` and fails when more than `limit` bytes were allocated at any one time.
pub fn within<T>(limit: usize, f: impl FnOnce() -> T) -> T {
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(f()));
    assert!(used.bytes_max <= limit as u64, "{} bytes of memory for {limit}", used.bytes_max);
    result.expect("the closure has run")
}
