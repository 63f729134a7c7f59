//! The one place where the server asks for the time. Sessions get it as a number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::session::Millis;

/// When something is done, on the clocks that it may be asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) instant: Instant,
    pub(crate) now: Millis,
    /// The same in microseconds.
    now_us: u64,
}

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
        self.moment().now
    }

    /// This moment.
    #[inline]
    pub(crate) fn moment(&self) -> Moment {
        let instant = Instant::now();
        let since = instant.saturating_duration_since(self.start);
        // Half a million years fit.
        let (seconds, nanos) = (since.as_secs(), since.subsec_nanos());
        let now = Millis(seconds * 1_000 + u64::from(nanos / 1_000_000));
        Moment { instant, now, now_us: seconds * 1_000_000 + u64::from(nanos / 1_000) }
    }

    /// A time of this clock as the runtime's timers take it: never early.
    pub(crate) fn instant(&self, at: Millis) -> tokio::time::Instant {
        // A session cannot wait for longer than this, and the sum must not overflow.
        const LONGEST_MS: u64 = 365 * 24 * 60 * 60 * 1000;
        let at = at.0.min(self.now().0.saturating_add(LONGEST_MS));
        tokio::time::Instant::from_std(self.start + Duration::from_millis(at))
    }
}

/// The time of day at moments: how far it is ahead of the process' clock is asked of the system once in
/// a millisecond, however much is done in it.
#[derive(Debug)]
pub(crate) struct Wall {
    asked: AtomicU64,
    ahead_us: AtomicU64,
}

impl Default for Wall {
    fn default() -> Self {
        Self { asked: AtomicU64::new(u64::MAX), ahead_us: AtomicU64::new(0) }
    }
}

impl Wall {
    /// Microseconds since the Unix epoch.
    #[inline]
    pub(crate) fn unix_us(&self, moment: &Moment) -> u64 {
        if self.asked.load(Ordering::Acquire) != moment.now.0 {
            // Who asks at the same time is told the same, or nearly.
            self.ahead_us.store(unix_us().wrapping_sub(moment.now_us), Ordering::Relaxed);
            self.asked.store(moment.now.0, Ordering::Release);
        }
        moment.now_us.wrapping_add(self.ahead_us.load(Ordering::Relaxed))
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Microseconds since the Unix epoch.
fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
