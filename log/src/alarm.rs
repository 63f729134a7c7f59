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

    /// Forgets what was asked for; then look for what ends next, and [`Alarm::set`] it. What is
    /// put meanwhile wakes the thread or is found by it.
    pub(crate) fn clear(&self) {
        self.at_ms.store(NEVER, Ordering::Release);
    }
}

const NEVER: u64 = u64::MAX;
