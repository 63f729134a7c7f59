//! The time of day as the group sees it: asked of a clock that tests replace, and never going
//! backwards, so that what has expired stays expired.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The latest time that was given out; a clock that is set back stands still until it has passed.
#[derive(Debug, Default)]
pub(crate) struct Floor(AtomicU64);

impl Floor {
    /// The clock's time, or the latest one given out before.
    pub(crate) fn raise(&self, now_ms: u64) -> u64 {
        self.0.fetch_max(now_ms, Ordering::Relaxed).max(now_ms)
    }
}
