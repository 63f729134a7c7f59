//! How long to wait before the next attempt: a random time below a ceiling that doubles with each
//! failure ("full jitter"), so that clients which lost one server do not come back as one crowd.

use crate::rng::Rng;

/// Doublings after which the ceiling no longer grows, whatever the configuration says.
const DOUBLINGS_MAX: u32 = 20;

/// Counts the attempts since the last success.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// How long to wait now, in milliseconds; the next wait has twice the ceiling, up to `max_ms`.
    pub(crate) fn next_ms(&mut self, min_ms: u32, max_ms: u32, rng: &mut Rng) -> u32 {
        let doublings = self.attempts.min(DOUBLINGS_MAX);
        self.attempts = self.attempts.saturating_add(1);
        let ceiling = u64::from(min_ms) << doublings;
        rng.up_to(u32::try_from(ceiling).unwrap_or(u32::MAX).min(max_ms))
    }

    /// The last attempt held long enough: begin again from the shortest wait.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceiling_doubles_up_to_the_longest_wait() {
        let mut rng = Rng::new(3);
        let mut longest = [0; 12];
        for _ in 0..500 {
            let mut backoff = Backoff::default();
            for longest in &mut longest {
                *longest = backoff.next_ms(100, 20_000, &mut rng).max(*longest);
            }
        }
        for (attempt, &longest) in longest.iter().enumerate() {
            let ceiling = (100 << attempt).min(20_000);
            assert!(longest <= ceiling && longest > ceiling / 2, "{attempt}: {longest}");
        }
    }

    #[test]
    fn waits_never_overflow() {
        let mut rng = Rng::new(3);
        let mut backoff = Backoff { attempts: u32::MAX };
        assert!(backoff.next_ms(u32::MAX, 5, &mut rng) <= 5);
        backoff.reset();
        assert!(backoff.next_ms(1, 20_000, &mut rng) <= 1);
    }
}
