//! Wakes the thread that removes what has expired when an entry ends sooner than all before it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};

/// When the thread wakes by itself, in milliseconds since 1970, and how to wake it sooner.
pub(crate) struct Alarm {
    at_ms: AtomicU64,
    thread: OnceLock<Thread>,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self { at_ms: AtomicU64::new(NEVER), thread: OnceLock::new() }
    }

    /// Makes the calling thread the one to wake.
    pub(crate) fn wake_me(&self) {
        // A group has one such thread; a second one would only not be woken.
        let _ = self.thread.set(thread::current());
    }

    /// Asks to be awake at `at_ms`. Call it with the lock held under which the entry was put.
    pub(crate) fn set(&self, at_ms: u64) {
        if at_ms < self.at_ms.load(Ordering::Relaxed)
            && at_ms < self.at_ms.fetch_min(at_ms, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Notes when the thread that is to be woken wakes by itself.
    pub(crate) fn expect(&self, at_ms: u64) {
        self.at_ms.fetch_min(at_ms, Ordering::AcqRel);
    }

    /// Forgets what was asked for; then look for what ends next, and [`Alarm::expect`] it. What is
    /// put meanwhile wakes the thread or is found by it.
    pub(crate) fn clear(&self) {
        self.at_ms.store(NEVER, Ordering::Release);
    }
}

const NEVER: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;

    /// How long the thread that is to be woken waits, if nobody else asks for it.
    const WAIT: Duration = Duration::from_millis(50);

    #[test]
    fn who_looks_what_ends_next_is_not_woken_by_that() {
        let alarm = Alarm::new();
        alarm.wake_me();
        for due_ms in [7, 5, 9] {
            alarm.clear();
            alarm.expect(due_ms);
            let began = Instant::now();
            thread::park_timeout(WAIT);
            assert!(began.elapsed() >= WAIT, "it goes round and round");
        }
    }

    #[test]
    fn an_end_that_comes_before_all_others_wakes() {
        let alarm = Arc::new(Alarm::new());
        alarm.wake_me();
        alarm.clear();
        alarm.expect(9);
        alarm.set(9);
        alarm.set(10);
        let began = Instant::now();
        thread::park_timeout(WAIT);
        assert!(began.elapsed() >= WAIT, "it was known already");
        let other = Arc::clone(&alarm);
        let writer = thread::spawn(move || other.set(8));
        thread::park();
        writer.join().expect("it ends");
        assert_eq!(alarm.at_ms.load(Ordering::Relaxed), 8);
    }
}
