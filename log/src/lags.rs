//! How late things were lately: a histogram over the last one to two minutes, fine enough to tell a
//! percentile within a sixteenth of it.

/// How long a window of the histogram is, in milliseconds.
const WINDOW_MS: u64 = 60_000;

/// Values below this have a bucket each; above, every doubling has sixteen.
const EXACT: u64 = 32;
const BUCKETS: usize = 512;

/// Counts of lags, in milliseconds.
#[derive(Debug)]
pub(crate) struct Lags {
    now: Window,
    before: Window,
    /// When the window began.
    began_ms: u64,
    total: u64,
    sum_ms: u64,
}

#[derive(Debug, Clone)]
struct Window {
    buckets: Box<[u32; BUCKETS]>,
    count: u64,
    max_ms: u64,
}

/// What is told of the lags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Half of them were at most this.
    pub(crate) p50_ms: u64,
    /// All but a hundredth were at most this.
    pub(crate) p99_ms: u64,
    /// The longest.
    pub(crate) max_ms: u64,
}

impl Default for Lags {
    fn default() -> Self {
        let (now, before) = (Window::new(), Window::new());
        Self { now, before, began_ms: 0, total: 0, sum_ms: 0 }
    }
}

impl Lags {
    /// Counts one at `now_ms`.
    pub(crate) fn record(&mut self, now_ms: u64, lag_ms: u64) {
        self.turn_over(now_ms);
        let window = &mut self.now;
        let bucket = &mut window.buckets[bucket_of(lag_ms)];
        *bucket = bucket.saturating_add(1);
        window.count += 1;
        window.max_ms = window.max_ms.max(lag_ms);
        self.total += 1;
        self.sum_ms = self.sum_ms.saturating_add(lag_ms);
    }

    /// What they were lately, at `now_ms`.
    pub(crate) fn tell(&mut self, now_ms: u64) -> Told {
        self.turn_over(now_ms);
        let max_ms = self.now.max_ms.max(self.before.max_ms);
        let of = |hundredths| self.percentile(hundredths).min(max_ms);
        Told { p50_ms: of(50), p99_ms: of(99), max_ms }
    }

    /// How many there were since the beginning, and their sum in milliseconds.
    pub(crate) fn total(&self) -> (u64, u64) {
        (self.total, self.sum_ms)
    }

    fn percentile(&self, hundredths: u64) -> u64 {
        let wanted = ((self.now.count + self.before.count) * hundredths).div_ceil(100);
        let mut seen = 0;
        for (bucket, (now, before)) in
            self.now.buckets.iter().zip(self.before.buckets.iter()).enumerate()
        {
            seen += u64::from(*now) + u64::from(*before);
            if seen >= wanted {
                return highest_of(bucket);
            }
        }
        u64::MAX
    }

    fn turn_over(&mut self, now_ms: u64) {
        let windows = now_ms.saturating_sub(self.began_ms) / WINDOW_MS;
        if windows == 0 {
            return;
        }
        let last = std::mem::replace(&mut self.now, Window::new());
        self.before = if windows == 1 { last } else { Window::new() };
        self.began_ms = now_ms;
    }
}

impl Window {
    fn new() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0, max_ms: 0 }
    }
}

fn bucket_of(ms: u64) -> usize {
    let ms = ms.min(u64::from(u32::MAX));
    let shift = (ms.max(EXACT - 1).ilog2() - 4) as usize;
    shift * 16 + (ms >> shift) as usize
}

fn highest_of(bucket: usize) -> u64 {
    let shift = (bucket / 16).saturating_sub(1);
    let place = (bucket - shift * 16) as u64;
    ((place + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lag_has_a_bucket_that_ends_close_above_it() {
        for ms in (0..5000).chain([100_000, 86_400_000, u64::from(u32::MAX)]) {
            let highest = highest_of(bucket_of(ms));
            assert!(ms <= highest && highest <= ms + ms / 16, "{ms} is counted as {highest}");
        }
        assert!(bucket_of(u64::MAX) < BUCKETS);
    }

    #[test]
    fn percentiles_are_of_the_last_minutes() {
        let mut lags = Lags::default();
        assert_eq!(lags.tell(5), Told::default());
        for ms in 1..=100 {
            lags.record(1_000_000, ms);
        }
        let told = lags.tell(1_000_000);
        assert!((50..=53).contains(&told.p50_ms) && (99..=100).contains(&told.p99_ms), "{told:?}");
        assert_eq!(told.max_ms, 100);
        lags.record(1_000_000 + WINDOW_MS, 7);
        assert_eq!(lags.tell(1_000_000 + WINDOW_MS).max_ms, 100);
        assert_eq!(lags.tell(1_000_000 + 2 * WINDOW_MS).max_ms, 7);
        assert_eq!(lags.tell(1_000_000 + 9 * WINDOW_MS), Told::default());
        assert_eq!(lags.total(), (101, 5057));
    }
}
