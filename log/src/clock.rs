//! The time of day as the group sees it: asked of a clock that tests replace, and never going
//! backwards, so that what has expired stays expired. Where that clock was set, time goes on a little
//! slower or faster until both agree: a lease that is kept alive outlives that, and what is to expire
//! does expire.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use tidekeep_protocol::planted;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// Milliseconds that have passed since some moment, those included in which the machine slept, on
    /// a clock that nobody sets. Without one, time stands still where the clock was set back, and
    /// follows it where it was set forward.
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
        let since = clock_gettime(ClockId::Boottime);
        let (seconds, nanos) =
            (u64::try_from(since.tv_sec).ok()?, u64::try_from(since.tv_nsec).ok()?);
        Some(seconds * 1_000 + nanos / 1_000_000)
    }
}

/// A clock that is off by less is followed: threads ask at the same time, and seconds may leap.
const JUMP_MS: u64 = 1_000;

/// The pace of time, in tenths, while it waits for a clock that was set back.
const SLOW: u64 = 9;

/// The same while it runs after one that was set forward. A holder of a lease allows for that.
const FAST: u64 = 11;

/// A clock that does not jump where the one behind it does.
pub struct Monotone {
    clock: Arc<dyn Clock>,
    latest: AtomicU64,
    /// Whether time goes by a pace of its own.
    astray: AtomicBool,
    anchor: Mutex<Anchor>,
}

/// What time it was when so much had elapsed.
#[derive(Clone, Copy)]
struct Anchor {
    told: u64,
    elapsed: u64,
}

impl Monotone {
    /// A clock that begins at `latest` at the earliest.
    pub fn new(clock: Arc<dyn Clock>, latest: u64) -> Self {
        let now = clock.now_ms();
        let anchor = Anchor { told: now.max(latest), elapsed: clock.elapsed_ms().unwrap_or(0) };
        // However long ago the last run was, its end is no moment that the clock could be set since.
        let astray = AtomicBool::new(now.saturating_add(JUMP_MS) < latest);
        Self { clock, latest: AtomicU64::new(anchor.told), astray, anchor: Mutex::new(anchor) }
    }

    /// Milliseconds since the Unix epoch, never fewer than anybody was told before.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.at(self.clock.now_ms())
    }

    /// The time when the clock behind shows `now`.
    pub fn at(&self, now: u64) -> u64 {
        if planted::is_awake("time-goes-back") {
            return now;
        }
        let latest = self.latest.load(Ordering::Relaxed);
        if now.abs_diff(latest) <= JUMP_MS && !self.astray.load(Ordering::Relaxed) {
            return self.at_least(now);
        }
        match self.clock.elapsed_ms() {
            Some(elapsed) => self.go_on(now, elapsed),
            None if now < latest => latest,
            None => self.at_least(now),
        }
    }

    /// Takes over the time of somebody else, be it behind: from there it goes on, a little slower or faster as
    /// long as the clock behind differs.
    pub fn follow(&self, told: u64) {
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms().unwrap_or(0));
        let mut anchor = self.anchor.lock();
        self.latest.store(told, Ordering::Relaxed);
        *anchor = Anchor { told, elapsed };
        self.astray.store(now.abs_diff(told) > JUMP_MS, Ordering::Relaxed);
    }

    /// The time when the clock shows `now`, which is far from what was told last: time has passed, or
    /// the clock was set.
    fn go_on(&self, now: u64, elapsed: u64) -> u64 {
        let mut anchor = self.anchor.lock();
        let passed = elapsed.saturating_sub(anchor.elapsed);
        let even = anchor.told.saturating_add(passed);
        if !self.astray.load(Ordering::Relaxed) {
            let even = even.max(self.latest.load(Ordering::Relaxed));
            if now.abs_diff(even) > JUMP_MS {
                *anchor = Anchor { told: even, elapsed };
                self.astray.store(true, Ordering::Relaxed);
                tracing::warn!(
                    "the machine's clock was set by {} s; time runs a tenth {} until both agree",
                    now.abs_diff(even) / 1000,
                    if now < even { "slower" } else { "faster" },
                );
                return self.at_least(even);
            }
            *anchor = Anchor { told: now.max(even), elapsed };
            return self.at_least(now);
        }
        let pace = if now < even { SLOW } else { FAST };
        let own = anchor.told.saturating_add(passed / 10 * pace + passed % 10 * pace / 10);
        let agrees = if pace == SLOW { own <= now } else { now <= own };
        if agrees {
            *anchor = Anchor { told: now, elapsed };
            self.astray.store(false, Ordering::Relaxed);
            return self.at_least(now);
        }
        if passed >= JUMP_MS {
            // The clock may be set again, the other way.
            *anchor = Anchor { told: own, elapsed };
        }
        self.at_least(own)
    }

    fn at_least(&self, now: u64) -> u64 {
        // Most calls fall into a millisecond that has been noted, and need not write.
        let latest = self.latest.load(Ordering::Relaxed);
        if now <= latest { latest } else { self.latest.fetch_max(now, Ordering::Relaxed).max(now) }
    }
}
