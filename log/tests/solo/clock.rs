//! A clock that tests set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidekeep_log::clock::Clock;

/// When the tests begin, in milliseconds since 1970.
pub(crate) const START_MS: u64 = 1_700_000_000_000;

/// Time that stands still until a test moves it: what the clock shows, and what has elapsed.
#[derive(Debug)]
pub(crate) struct ManualClock(AtomicU64, AtomicU64);

impl ManualClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(START_MS), AtomicU64::new(0)))
    }

    /// Sets the clock without time having passed.
    pub(crate) fn set(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
        self.1.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn elapsed_ms(&self) -> Option<u64> {
        Some(self.1.load(Ordering::Relaxed))
    }
}
