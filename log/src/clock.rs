//! The time of day as the group sees it: asked of a clock that tests replace, and never going
//! backwards, so that what has expired stays expired. Where that clock was set back, time goes on a
//! little slower until the clock has caught up, so that what is to expire does expire.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use tidekeep_protocol::planted;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// Milliseconds that have passed since some moment, on a clock that nobody sets. Without one, time
    /// stands still where the clock was set back.
    fn elapsed_ms(&self) -> Option<u64> {
        None
    }
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn elapsed_ms(&self) -> Option<u64> {
        static START: OnceLock<Instant> = OnceLock::new();
        u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).ok()
    }
}

/// Steps back below this are threads that ask at the same time; time waits for them.
const JUMP_MS: u64 = 1_000;

/// The pace of time, in tenths, while the clock is behind it.
const PACE: u64 = 9;

/// A clock that does not go back where the one behind it does.
pub(crate) struct Monotone {
    clock: Arc<dyn Clock>,
    latest: AtomicU64,
    /// Whether there is an anchor.
    behind: AtomicBool,
    /// The time when the clock was found to have been set back, and what had elapsed by then.
    anchor: Mutex<Option<(u64, u64)>>,
}

impl Monotone {
    /// A clock that begins at `latest` at the earliest.
    pub(crate) fn new(clock: Arc<dyn Clock>, latest: u64) -> Self {
        let (behind, anchor) = (AtomicBool::new(false), Mutex::new(None));
        let this = Self { clock, latest: AtomicU64::new(latest), behind, anchor };
        // What elapses from here on counts even if the clock is behind.
        this.now_ms();
        this
    }

    /// Milliseconds since the Unix epoch, never fewer than anybody was told before.
    pub(crate) fn now_ms(&self) -> u64 {
        let now = self.clock.now_ms();
        if planted::is_awake("time-goes-back") {
            return now;
        }
        let latest = self.latest.load(Ordering::Relaxed);
        if now.saturating_add(JUMP_MS) < latest {
            return self.go_on(latest);
        }
        if self.behind.load(Ordering::Relaxed) {
            *self.anchor.lock() = None;
            self.behind.store(false, Ordering::Relaxed);
        }
        self.at_least(now, latest)
    }

    /// The time while the clock is far behind what was told.
    fn go_on(&self, latest: u64) -> u64 {
        let Some(elapsed) = self.clock.elapsed_ms() else { return latest };
        let mut anchor = self.anchor.lock();
        let (told, since) = *anchor.get_or_insert((latest, elapsed));
        self.behind.store(true, Ordering::Relaxed);
        let passed = elapsed.saturating_sub(since);
        self.at_least(told.saturating_add(passed / 10 * PACE + passed % 10 * PACE / 10), latest)
    }

    fn at_least(&self, now: u64, latest: u64) -> u64 {
        // Most calls fall into a millisecond that has been noted, and need not write.
        if now <= latest { latest } else { self.latest.fetch_max(now, Ordering::Relaxed).max(now) }
    }
}
