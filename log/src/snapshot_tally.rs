//! How the writing of snapshots goes: what a store tells of it in figures, and in words while it fails.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::error::SnapshotError;
use crate::log::Log;

/// What came of the snapshots of a log.
#[derive(Default)]
pub struct SnapshotTally {
    written: AtomicU64,
    failed: AtomicU64,
    /// The newest snapshot's revision and time; 0 if there is none.
    revision: AtomicU64,
    at_ms: AtomicU64,
    /// Why the last try to write one failed; none if it did not.
    failing: Mutex<Option<Failing>>,
}

/// Work that has failed each time for a while.
struct Failing {
    since: Instant,
    why: String,
}

impl SnapshotTally {
    /// Notes which snapshot is the newest: up to which revision, and of when.
    pub(crate) fn note_newest(&self, revision: u64, at_ms: u64) {
        self.revision.store(revision, Ordering::Relaxed);
        self.at_ms.store(at_ms, Ordering::Relaxed);
    }

    /// Notes how a try to write one ended. It has not failed where there was nothing new to write.
    pub fn note<T>(&self, outcome: &Result<T, SnapshotError>, revision: u64, at_ms: u64) {
        match outcome {
            Ok(_) => {
                *self.failing.lock() = None;
                self.written.fetch_add(1, Ordering::Relaxed);
                self.note_newest(revision, at_ms);
            }
            Err(SnapshotError::Index { .. }) => {}
            Err(why) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                let mut failing = self.failing.lock();
                let since = failing.as_ref().map_or_else(Instant::now, |before| before.since);
                *failing = Some(Failing { since, why: why.to_string() });
            }
        }
    }

    /// What is wrong, in words for who runs the server, while none can be written.
    pub fn warning(&self, log: &Log) -> Option<String> {
        let failing = self.failing.lock();
        let failing = failing.as_ref()?;
        let seconds = failing.since.elapsed().as_secs();
        let grown = log.bytes_since_snapshot() >> 20;
        Some(format!(
            "no snapshot could be written for {seconds} s: {}; a start has {grown} MiB of log to replay",
            failing.why
        ))
    }

    /// Gives each figure by name, with its unit last, at a time in milliseconds since 1970.
    pub fn figures(&self, now_ms: u64, each: &mut dyn FnMut(&'static str, u64)) {
        let at_ms = self.at_ms.load(Ordering::Relaxed);
        let age_ms = if at_ms == 0 { 0 } else { now_ms.saturating_sub(at_ms) };
        let failing_ms = self.failing.lock().as_ref().map_or(0, |failing| {
            // What began this very millisecond is no 0, which says that all is well.
            (failing.since.elapsed().as_millis() as u64).max(1)
        });
        each("snapshots", self.written.load(Ordering::Relaxed));
        each("snapshots_failed", self.failed.load(Ordering::Relaxed));
        each("snapshot_failing_ms", failing_ms);
        each("snapshot_revision", self.revision.load(Ordering::Relaxed));
        each("snapshot_age_ms", age_ms);
    }
}
