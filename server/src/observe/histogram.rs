//! A histogram of durations with fixed bounds, counted without locks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds.
pub(crate) const BOUNDS_US: [u64; 15] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    5_000_000, 30_000_000,
];

/// How often which duration was seen.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// One more than there are bounds: the last has none.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub(crate) fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many were at most as long as each bound, how many there were, and their sum in
    /// microseconds.
    pub(crate) fn read(&self) -> ([u64; BOUNDS_US.len()], u64, u64) {
        let mut count = 0;
        let mut at_most = [0; BOUNDS_US.len()];
        for (place, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            if let Some(slot) = at_most.get_mut(place) {
                *slot = count;
            }
        }
        (at_most, count, self.sum_us.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_its_bucket_and_all_above() {
        let histogram = Histogram::default();
        for us in [10, 50, 51, 40_000_000] {
            histogram.record(Duration::from_micros(us));
        }
        let (at_most, count, sum_us) = histogram.read();
        assert_eq!((at_most[0], at_most[1], at_most[14]), (2, 3, 3));
        assert_eq!((count, sum_us), (4, 40_000_111));
    }
}
