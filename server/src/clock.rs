//! The one place where the server asks for the time. Sessions get it as a number.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::session::Millis;

/// Time since the server began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Now, on the clock that never goes back.
    pub(crate) fn now(&self) -> Millis {
        self.at(Instant::now())
    }

    /// A time of the system's as this clock tells it.
    pub(crate) fn at(&self, instant: Instant) -> Millis {
        let since = instant.saturating_duration_since(self.start);
        Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// A time of this clock as the runtime's timers take it: never early.
    pub(crate) fn instant(&self, at: Millis) -> tokio::time::Instant {
        // A session cannot wait for longer than this, and the sum must not overflow.
        const LONGEST_MS: u64 = 365 * 24 * 60 * 60 * 1000;
        let at = at.0.min(self.now().0.saturating_add(LONGEST_MS));
        tokio::time::Instant::from_std(self.start + Duration::from_millis(at))
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Microseconds since the Unix epoch.
pub(crate) fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
