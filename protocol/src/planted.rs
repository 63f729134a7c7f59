//! Bugs that are planted on purpose, to see whether the tests would notice them. They exist only
//! under the feature `planted`, which nothing but tests switches on, and even then sleep until the
//! environment variable `TIDEKEEP_PLANTED` names one. `cargo xtask test planted` wakes each of them
//! and runs the tests that must fail; docs/testing.md lists them.

/// Whether the planted bug with this name is awake.
#[cfg(feature = "planted")]
pub fn is_awake(name: &str) -> bool {
    extern crate std;
    static AWAKE: std::sync::OnceLock<Option<std::string::String>> = std::sync::OnceLock::new();
    AWAKE.get_or_init(|| std::env::var("TIDEKEEP_PLANTED").ok()).as_deref() == Some(name)
}

/// Whether the planted bug with this name is awake: never, in what is built to be used.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn is_awake(_: &str) -> bool {
    false
}
