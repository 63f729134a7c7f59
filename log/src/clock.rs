//! The time of day as the group sees it: asked of a clock that tests replace, and never going
//! backwards, so that what has expired stays expired.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tidekeep_protocol::planted;

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

/// A clock that stands still where the one behind it goes back.
pub(crate) struct Monotone {
    clock: Arc<dyn Clock>,
    latest: AtomicU64,
}

impl Monotone {
    /// A clock that begins at `latest` at the earliest.
    pub(crate) fn new(clock: Arc<dyn Clock>, latest: u64) -> Self {
        Self { clock, latest: AtomicU64::new(latest) }
    }

    /// Milliseconds since the Unix epoch, never fewer than anybody was told before.
    pub(crate) fn now_ms(&self) -> u64 {
        let now = self.clock.now_ms();
        if planted::is_awake("time-goes-back") {
            return now;
        }
        let latest = self.latest.load(Ordering::Relaxed);
        // Most calls fall into a millisecond that has been noted, and need not write.
        if now <= latest { latest } else { self.latest.fetch_max(now, Ordering::Relaxed).max(now) }
    }
}
