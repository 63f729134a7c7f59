//! How much a connection may ask for in a second: a bucket of tokens that fills as time passes. Time
//! is an argument.

use super::timing::Millis;

/// Tokens are kept in thousandths, so that one that fills per second is not rounded away.
const PARTS: u64 = 1000;

/// A bucket that holds what comes in a second.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Tokens that come in a second; 0 sets no limit.
    per_second: u64,
    /// What is in it, in thousandths; below 0 after something that was larger than what there was.
    parts: i64,
    at: Millis,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(per_second: u64, now: Millis) -> Self {
        Self { per_second, parts: full(per_second), at: now }
    }

    /// Whether there is anything in it; if not, in how many milliseconds there will be.
    pub(crate) fn check(&mut self, now: Millis) -> Result<(), u32> {
        if self.per_second == 0 {
            return Ok(());
        }
        let passed_ms = now.0.saturating_sub(self.at.0);
        self.at = now.max(self.at);
        // A token a second is a part a millisecond.
        let came = self.per_second.saturating_mul(passed_ms).min(i64::MAX as u64) as i64;
        self.parts = self.parts.saturating_add(came).min(full(self.per_second));
        if self.parts >= PARTS as i64 {
            return Ok(());
        }
        let missing = (PARTS as i64 - self.parts) as u64;
        Err(u32::try_from(missing.div_ceil(self.per_second)).unwrap_or(u32::MAX))
    }

    /// Takes tokens out, more than there are if need be: then it takes longer until there are any.
    pub(crate) fn take(&mut self, tokens: u64) {
        if self.per_second > 0 {
            let parts = tokens.saturating_mul(PARTS).min(i64::MAX as u64) as i64;
            self.parts = self.parts.saturating_sub(parts);
        }
    }
}

fn full(per_second: u64) -> i64 {
    per_second.saturating_mul(PARTS).min(i64::MAX as u64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_goes_at_once_and_then_as_many_as_come() {
        let mut bucket = Bucket::new(10, Millis(0));
        let mut taken = 0;
        for ms in 0..5_000 {
            while bucket.check(Millis(ms)).is_ok() {
                bucket.take(1);
                taken += 1;
            }
        }
        assert_eq!(taken, 10 + 49);
    }

    #[test]
    fn who_waits_as_long_as_told_is_served() {
        for per_second in [1, 3, 7, 1000, 1_000_000] {
            let mut bucket = Bucket::new(per_second, Millis(0));
            bucket.take(3 * per_second);
            let wait_ms = bucket.check(Millis(5)).unwrap_err();
            assert!(bucket.check(Millis(5 + u64::from(wait_ms) - 1)).is_err());
            assert!(bucket.check(Millis(5 + u64::from(wait_ms))).is_ok());
        }
    }

    #[test]
    fn a_limit_of_nothing_is_no_limit() {
        let mut bucket = Bucket::new(0, Millis(0));
        bucket.take(u64::MAX);
        assert!(bucket.check(Millis(0)).is_ok());
    }
}
