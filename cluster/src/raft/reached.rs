//! Up to which entry something has come, and how to wait until it has come to one. Those who wait are woken in the
//! order in which they came, which tokio's watch does not promise: simulated runs must be repeatable.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// The index of the last entry so far.
pub(crate) struct Reached {
    /// Of the one behind it.
    next: AtomicU64,
    moved: Notify,
}

impl Reached {
    pub(crate) fn new(last: Option<u64>) -> Self {
        Self { next: AtomicU64::new(next(last)), moved: Notify::new() }
    }

    pub(crate) fn set(&self, last: Option<u64>) {
        self.next.store(next(last), Ordering::Release);
        self.moved.notify_waiters();
    }

    pub(crate) fn get(&self) -> Option<u64> {
        self.next.load(Ordering::Acquire).checked_sub(1)
    }

    /// Resolves once it has come to an entry.
    pub(crate) async fn until(&self, index: u64) {
        loop {
            // Before the look, so that it misses nothing behind it.
            let mut moved = pin!(self.moved.notified());
            moved.as_mut().enable();
            if self.get() >= Some(index) {
                return;
            }
            moved.await;
        }
    }
}

fn next(last: Option<u64>) -> u64 {
    last.map_or(0, |last| last + 1)
}
