//! What a store does by itself: one thread removes what has expired, one writes snapshots. They are
//! told to stop here, and leave their figures here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use parking_lot::Mutex;

use crate::error::{OpenError, SnapshotError};

/// The threads of a store.
#[derive(Default)]
pub(crate) struct Background {
    pub(crate) tally: Arc<Tally>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads tell, and that they are to stop.
#[derive(Default)]
pub(crate) struct Tally {
    closing: AtomicBool,
    /// Entries removed because their time was over.
    pub(crate) expired: AtomicU64,
    pub(crate) snapshots: AtomicU64,
    pub(crate) snapshots_failed: AtomicU64,
    /// The newest snapshot's revision and time; 0 if there is none.
    pub(crate) snapshot_revision: AtomicU64,
    pub(crate) snapshot_at_ms: AtomicU64,
    /// Why the last try to write one failed; none if it did not.
    pub(crate) failing: Mutex<Option<Failing>>,
}

/// Work that has failed each time for a while.
pub(crate) struct Failing {
    pub(crate) since: Instant,
    pub(crate) why: String,
}

impl Tally {
    /// Whether the threads are to stop. One that parks is woken when this becomes true.
    pub(crate) fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Notes how a try to write a snapshot ended. It has not failed where there was nothing new to write, or
    /// where it was given up for the end of the store.
    pub(crate) fn note_snapshot<T>(&self, outcome: &Result<T, SnapshotError>) {
        match outcome {
            Ok(_) => *self.failing.lock() = None,
            Err(SnapshotError::Index { .. }) => {}
            Err(_) if self.closing() => {}
            Err(why) => {
                self.snapshots_failed.fetch_add(1, Ordering::Relaxed);
                let mut failing = self.failing.lock();
                let since = failing.as_ref().map_or_else(Instant::now, |before| before.since);
                *failing = Some(Failing { since, why: why.to_string() });
            }
        }
    }
}

impl Background {
    /// Starts a thread.
    pub(crate) fn spawn(
        &self,
        name: &str,
        run: impl FnOnce(&Tally) + Send + 'static,
    ) -> Result<(), OpenError> {
        let tally = Arc::clone(&self.tally);
        let thread = thread::Builder::new().name(name.into()).spawn(move || run(&tally));
        let thread = thread.map_err(|source| OpenError::Io {
            doing: "start the thread",
            file: name.into(),
            source,
        })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Stops the threads and waits for their end.
    pub(crate) fn stop(&self) {
        self.tally.closing.store(true, Ordering::Release);
        for thread in self.threads.lock().drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread of the store died");
            }
        }
    }
}
