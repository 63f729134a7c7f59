//! What appenders, the writer and the preparer have in common, and the rule that ties them:
//! everything promised fits into space that is already on disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::disk::{Disk, File};
use crate::error::Failure;
use crate::manifest::Manifest;
use crate::options::Durability;
use crate::pieces::Pieces;
use crate::snapshot::SnapshotInfo;
use crate::sync::{Condvar, Mutex};
use crate::ticket::Progress;

/// What the next segment's space is up to.
pub(crate) enum Spare {
    /// Reserved and durable.
    Ready(Arc<dyn File>),
    /// Being made the next segment. Its name is not free before that is done.
    Taken,
    /// To be reserved, or being reserved.
    Wanted,
    /// There was no space for it; tried again later.
    Full,
}

/// A segment on disk, oldest first in the list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) sequence: u64,
    pub(crate) first_index: u64,
}

/// What appenders, writer and preparer share under one short lock.
pub(crate) struct State {
    /// Records that lack their seal.
    pub(crate) pending: Pieces,
    /// Last index handed out.
    pub(crate) appended: u64,
    /// Bytes promised to permits or buffered, and not yet written to a segment.
    pub(crate) outstanding: u64,
    /// Bytes of the current segment not yet written. `outstanding` fits into this or into the
    /// spare: that is why an append never meets a full disk.
    pub(crate) left: u64,
    pub(crate) spare: Spare,
    /// Everything up to this index is to be synced, whatever the durability.
    pub(crate) sync_through: u64,
    pub(crate) closing: bool,
    /// How many bytes must be pending for the writer to be woken; all there can be while it is awake.
    pub(crate) wakes_at: usize,
    /// Whether somebody waits for what is pending to be written.
    pub(crate) hurry: bool,
    pub(crate) segments: VecDeque<Kept>,
}

pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) manifest: Manifest,
    pub(crate) durability: Durability,
    pub(crate) segment_bytes: u64,
    /// How long records wait for others to be written together with.
    pub(crate) gather: Duration,
    pub(crate) mark_after: Duration,
    pub(crate) retry_full: Duration,
    pub(crate) buffer_bytes: u64,
    pub(crate) state: Mutex<State>,
    /// Wakes the writer.
    pub(crate) work: Condvar,
    /// Wakes the preparer.
    pub(crate) prepare: Condvar,
    /// Last index that is durable on disk.
    pub(crate) synced: Arc<Progress>,
    /// Last index that may be confirmed: `synced` itself under `Always`.
    pub(crate) safe: Arc<Progress>,
    /// Counts the times that room has grown.
    pub(crate) room: Arc<Progress>,
    pub(crate) stall: Stall,
    pub(crate) counters: Counters,
    pub(crate) snapshots: Mutex<Vec<SnapshotInfo>>,
    pub(crate) bytes_at_snapshot: AtomicU64,
    /// The marker says that everything is on disk.
    pub(crate) ended: AtomicBool,
}

/// Figures only: nobody waits for them, so they are std's whatever the locks are.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) sync_micros: AtomicU64,
}

/// How long the disk call that runs now has been running.
pub(crate) struct Stall {
    origin: Instant,
    /// Microseconds after `origin`, plus one; 0 while no call runs.
    since: AtomicU64,
}

impl Stall {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), since: AtomicU64::new(0) }
    }

    /// Makes a disk call that a watchdog can see.
    pub(crate) fn watch<T>(&self, call: impl FnOnce() -> T) -> T {
        let now = self.origin.elapsed().as_micros() as u64 + 1;
        self.since.store(now, Ordering::Relaxed);
        let outcome = call();
        self.since.store(0, Ordering::Relaxed);
        outcome
    }

    pub(crate) fn elapsed(&self) -> Option<Duration> {
        let since = self.since.load(Ordering::Relaxed).checked_sub(1)?;
        self.origin.elapsed().checked_sub(Duration::from_micros(since))
    }
}

impl Shared {
    /// Ends the log: every open ticket fails, and nothing is admitted any more.
    pub(crate) fn fail(&self, failure: Failure) {
        self.synced.fail(failure.clone());
        self.safe.fail(failure.clone());
        self.room.fail(failure);
        self.work.notify_all();
        self.prepare.notify_all();
    }

    pub(crate) fn failed(&self) -> bool {
        self.synced.failure().is_some()
    }

    /// Lets those who were refused as busy ask again.
    pub(crate) fn room_grew(&self) {
        self.room.advance(self.room.reached() + 1);
    }
}
