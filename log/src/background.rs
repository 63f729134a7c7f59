//! What a store does by itself: one thread removes what has expired, one writes snapshots. They are
//! told to stop here, and leave their figures here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use crate::error::OpenError;
use crate::snapshot_tally::SnapshotTally;

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
    pub(crate) snapshots: SnapshotTally,
}

impl Tally {
    /// Whether the threads are to stop. One that parks is woken when this becomes true.
    pub(crate) fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
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
