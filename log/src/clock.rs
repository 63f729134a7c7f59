//! The time of day as the group sees it: asked of a clock that tests replace, and never going
//! backwards, so that what has expired stays expired. Where that clock was set, time goes on a little
//! slower or faster until both agree: a lease that is kept alive outlives that, and what is to expire
//! does expire.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// The pace of time while it waits for a clock that was set back: tenths of a millisecond in each.
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
    /// In tenths of a millisecond: at no pace is a part of any lost.
    told: u64,
    elapsed: u64,
    /// By how much the clock behind was ahead of what had elapsed, when that was last looked at.
    ahead: i64,
}

impl Monotone {
    /// A clock that begins at `latest` at the earliest.
    pub fn new(clock: Arc<dyn Clock>, latest: u64) -> Self {
        let (now, elapsed) = (clock.now_ms(), clock.elapsed_ms().unwrap_or(0));
        let told = now.max(latest);
        let anchor = Anchor { told: tenths(told), elapsed, ahead: ahead(now, elapsed) };
        // However long ago the last run was, its end is no moment that the clock could be set since.
        let astray = AtomicBool::new(now.saturating_add(JUMP_MS) < latest);
        Self { clock, latest: AtomicU64::new(told), astray, anchor: Mutex::new(anchor) }
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

    /// Takes over the time that somebody else told `ago`, be it behind: from there it goes on, a little slower or
    /// faster as long as the clock behind differs. By how little it does is no matter: what is to end soon
    /// would be cut by that much.
    pub fn follow(&self, told: u64, ago: Duration) {
        let (now, elapsed) = (self.clock.now_ms(), self.clock.elapsed_ms());
        let mut anchor = self.anchor.lock();
        if let Some(elapsed) = elapsed {
            warn(anchor.look(now, elapsed), now, told);
        }
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        let elapsed = elapsed.unwrap_or(0).saturating_sub(ago);
        *anchor = Anchor { told: tenths(told), elapsed, ..*anchor };
        self.latest.store(told, Ordering::Relaxed);
        self.astray.store(true, Ordering::Relaxed);
    }

    /// The time when the clock shows `now`, and time goes by a pace of its own, or that is far from what was told
    /// last: time has passed, or the clock was set.
    fn go_on(&self, now: u64, elapsed: u64) -> u64 {
        let mut anchor = self.anchor.lock();
        // Somebody else may have looked later, and come first.
        let elapsed = elapsed.max(anchor.elapsed);
        let passed = elapsed - anchor.elapsed;
        if !self.astray.load(Ordering::Relaxed) {
            let even = (anchor.told / 10).saturating_add(passed);
            let even = even.max(self.latest.load(Ordering::Relaxed));
            let was_set = now.abs_diff(even) > JUMP_MS;
            let told = if was_set { even } else { now.max(even) };
            warn(anchor.look(now, elapsed), now, even);
            *anchor = Anchor { told: tenths(told), elapsed, ..*anchor };
            self.astray.store(was_set, Ordering::Relaxed);
            return self.at_least(if was_set { even } else { now });
        }
        // From one look to the next: whichever way the clock is set between, no part of the way is made up
        // for at once.
        let least = anchor.told.saturating_add(passed.saturating_mul(SLOW));
        let most = anchor.told.saturating_add(passed.saturating_mul(FAST));
        let own = tenths(now).clamp(least, most);
        warn(anchor.look(now, elapsed), now, own / 10);
        *anchor = Anchor { told: own, elapsed, ..*anchor };
        if own == tenths(now) {
            self.astray.store(false, Ordering::Relaxed);
        }
        self.at_least(own / 10)
    }

    fn at_least(&self, now: u64) -> u64 {
        // Most calls fall into a millisecond that has been noted, and need not write.
        let latest = self.latest.load(Ordering::Relaxed);
        if now <= latest { latest } else { self.latest.fetch_max(now, Ordering::Relaxed).max(now) }
    }
}

impl Anchor {
    /// Looks at the clock behind, which shows `now`, and says by how much it was set since the last look.
    fn look(&mut self, now: u64, elapsed: u64) -> Option<i64> {
        let before = std::mem::replace(&mut self.ahead, ahead(now, elapsed));
        Some(self.ahead.saturating_sub(before)).filter(|by| by.unsigned_abs() > JUMP_MS)
    }
}

/// Says that the clock behind was set, and shows `now` when it is `told`.
fn warn(set_by: Option<i64>, now: u64, told: u64) {
    let Some(by) = set_by else { return };
    tracing::warn!(
        "the machine's clock was set {} s {}; the store's time does not jump: it comes to it a tenth {}, \
         unless another node leads",
        by.unsigned_abs() / 1000,
        if by < 0 { "back" } else { "forward" },
        if now < told { "slower" } else { "faster" },
    );
}

fn tenths(ms: u64) -> u64 {
    ms.saturating_mul(10)
}

fn ahead(now: u64, elapsed: u64) -> i64 {
    now.cast_signed().saturating_sub(elapsed.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_700_000_000_000;
    /// An end is this far away, and promised not to be a tenth of it early or late.
    const TTL_MS: u64 = 1_000;

    /// What the clock shows, and what has elapsed.
    #[derive(Default)]
    struct Hands(AtomicU64, AtomicU64);

    impl Hands {
        fn new() -> Arc<Self> {
            Arc::new(Self(AtomicU64::new(START_MS), AtomicU64::new(0)))
        }

        fn set(&self, ms: u64) {
            self.0.store(ms, Ordering::Relaxed);
        }

        fn advance(&self, ms: u64) {
            self.0.fetch_add(ms, Ordering::Relaxed);
            self.1.fetch_add(ms, Ordering::Relaxed);
        }
    }

    impl Clock for Hands {
        fn now_ms(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }

        fn elapsed_ms(&self) -> Option<u64> {
            Some(self.1.load(Ordering::Relaxed))
        }
    }

    /// How many milliseconds pass until it is `ms` later than it was at `from`, looked at every `step` of them.
    fn until(clock: &Monotone, hands: &Hands, end: u64, step: u64) -> u64 {
        let began = hands.1.load(Ordering::Relaxed);
        while clock.now_ms() < end {
            hands.advance(step);
        }
        hands.1.load(Ordering::Relaxed) - began
    }

    #[test]
    fn who_goes_on_with_the_time_of_another_neither_cuts_nor_renews_an_end() {
        for off in [-2_000, -999, -300, -20, -1, 0, 1, 20, 300, 999, 2_000_i64] {
            for step in [1, 7, 50] {
                let hands = Hands::new();
                let clock = Monotone::new(Arc::clone(&hands) as _, 0);
                let told = START_MS.saturating_add_signed(off);
                clock.follow(told, Duration::ZERO);
                let lived = until(&clock, &hands, told + TTL_MS, step);
                let case = format!("{off} ms ahead, looked at every {step} ms: {lived} ms");
                assert!(lived >= TTL_MS * 9 / 10, "{case}");
                assert!(lived <= TTL_MS * 10 / 9 + step, "{case}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_again_before_time_has_come_to_it_cuts_no_end() {
        const HOUR_MS: u64 = 3_600_000;
        for (first, then) in [(-1, 0), (-1, 1), (1, 0), (1, -1)] {
            for astray_ms in (0..3_000).step_by(130) {
                let hands = Hands::new();
                let clock = Monotone::new(Arc::clone(&hands) as _, 0);
                hands.set(START_MS.saturating_add_signed(first * HOUR_MS.cast_signed()));
                until(&clock, &hands, START_MS + astray_ms, 10);
                let end = clock.now_ms() + TTL_MS;
                let true_ms = START_MS + hands.1.load(Ordering::Relaxed);
                hands.set(true_ms.saturating_add_signed(then * HOUR_MS.cast_signed()));
                let lived = until(&clock, &hands, end, 1);
                let case =
                    format!("set by {first} h, and {then} h after {astray_ms} ms: {lived} ms");
                assert!((TTL_MS * 9 / 10..=TTL_MS * 10 / 9 + 1).contains(&lived), "{case}");
            }
        }
    }

    #[test]
    fn each_set_is_told_once_while_time_is_far_from_it_and_close_to_it() {
        let mut anchor = Anchor { told: 0, elapsed: 0, ahead: ahead(START_MS, 0) };
        let mut seen = Vec::new();
        for elapsed in 0..100_u64 {
            let set = [0, 60_000, -60_000, -59_500, 0, 900, 0][elapsed as usize / 15];
            let now = START_MS.saturating_add_signed(set) + elapsed;
            seen.extend(anchor.look(now, elapsed).map(|by| (elapsed, by)));
        }
        assert_eq!(seen, [(15, 60_000), (30, -120_000), (60, 59_500)]);
    }

    #[test]
    fn time_comes_to_the_clock_and_goes_with_it_from_there() {
        for told in [START_MS - 400, START_MS + 400] {
            let hands = Hands::new();
            let clock = Monotone::new(Arc::clone(&hands) as _, 0);
            clock.follow(told, Duration::ZERO);
            for _ in 0..4_100 {
                hands.advance(1);
                clock.now_ms();
            }
            assert!(!clock.astray.load(Ordering::Relaxed));
            assert_eq!(clock.now_ms(), hands.now_ms());
        }
    }
}
