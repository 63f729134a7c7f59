//! The end of a server's life, in order: it says that it is not ready, takes no more connections,
//! tells its clients, lets them finish, and closes the store.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The longest time clients are spread over when they come back, in milliseconds.
const RECONNECT_SPREAD_MS: u32 = 2_000;

/// Whether the server is stopping, for all who have to know.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    begun: AtomicBool,
    notify: Notify,
}

impl Drain {
    /// Tells everybody; once is enough.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Whether it has begun.
    pub(crate) fn is_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Resolves once it has begun.
    pub(crate) fn begun(&self) -> impl Future<Output = ()> + Send + '_ {
        // Made before the look at the flag: a beginning between the two is not missed.
        let notified = self.notify.notified();
        async move {
            if !self.is_begun() {
                notified.await;
            }
        }
    }

    /// How long one client is to wait before it connects again, in milliseconds. Each gets another
    /// time, so that the next server does not meet all of them at once.
    pub(crate) fn reconnect_after_ms(&self) -> u32 {
        fastrand::u32(0..=RECONNECT_SPREAD_MS)
    }
}
