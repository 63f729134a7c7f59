//! One machine's group: the local log alone decides what is safe. Opens a store, runs its threads
//! (expiry, snapshots), and is the [`Commit`] that a server alone is built on.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::range::KeyRange;

use crate::clock::Clock;
use crate::commit::{
    Answers, Call, Changed, Changes, Commit, Failed, Identity, Lost, Pending, PendingView, Promise,
    Standing, TooOld,
};
use crate::disk::Disk;
use crate::error::OpenError;
use crate::group::{Group, Run};
use crate::options::Durability;
use crate::{expiry, load, snapshots};

/// How a store is opened.
pub struct SoloOptions {
    /// Where its files are.
    pub disk: Arc<dyn Disk>,
    /// When a reply may be given.
    pub durability: Durability,
    /// The bounds of pages that it reads.
    pub limits: Limits,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// A snapshot is written when the log since the last one has this many bytes, and at least half
    /// as many as the data.
    pub snapshot_log_bytes: u64,
    /// Changes are remembered for watchers up to this many bytes.
    pub history_bytes: usize,
    /// Locks that the keys are spread over.
    pub shards: usize,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Source of ids and seeds; must not repeat after a restart.
    pub random: Box<dyn FnMut() -> u64 + Send>,
}

impl SoloOptions {
    /// What a server uses unless it is told otherwise.
    pub fn new(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        random: impl FnMut() -> u64 + Send + 'static,
    ) -> Self {
        Self {
            disk,
            durability: Durability::Always,
            limits: Limits::DEFAULT,
            segment_bytes: 64 << 20,
            snapshot_log_bytes: 64 << 20,
            history_bytes: 64 << 20,
            shards: 16,
            clock,
            random: Box::new(random),
        }
    }
}

/// A store on this machine alone.
pub struct Solo {
    group: Arc<Group>,
    identity: Identity,
    durability: Durability,
    progress: Arc<Progress>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads tell, and what they are told.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) closing: AtomicBool,
    pub(crate) expired: AtomicU64,
    pub(crate) expiry_lag_ms: AtomicU64,
    pub(crate) snapshots: AtomicU64,
    pub(crate) snapshots_failed: AtomicU64,
    pub(crate) snapshot_revision: AtomicU64,
    pub(crate) snapshot_at_ms: AtomicU64,
}

impl Solo {
    /// Opens the store, or makes an empty one where there has never been any, and starts its threads.
    ///
    /// # Errors
    /// [`OpenError`]: what is there cannot be trusted; nothing is changed.
    pub fn open(mut options: SoloOptions) -> Result<Self, OpenError> {
        let seed = (options.random)();
        let durability = options.durability;
        let snapshot_log_bytes = options.snapshot_log_bytes;
        let (group, identity, snapshot) = load::load(options, seed)?;
        let group = Arc::new(group);
        let progress = Arc::new(Progress::default());
        progress.snapshot_revision.store(snapshot.revision, Ordering::Relaxed);
        progress.snapshot_at_ms.store(snapshot.now_ms, Ordering::Relaxed);
        let solo = Self { group, identity, durability, progress, threads: Mutex::default() };
        let (group, progress) = (Arc::clone(&solo.group), Arc::clone(&solo.progress));
        solo.spawn("tidekeep-expiry", move || expiry::run(&group, &progress))?;
        let (group, progress) = (Arc::clone(&solo.group), Arc::clone(&solo.progress));
        solo.spawn("tidekeep-snapshot", move || {
            snapshots::run(&group, &progress, snapshot_log_bytes);
        })?;
        Ok(solo)
    }

    /// A sum over all entries: equal stores have equal digests.
    pub fn digest(&self) -> u64 {
        let shards = self.group.read_all();
        shards.iter().fold(0, |sum: u64, shard| sum.wrapping_add(shard.digest()))
    }

    /// Writes a snapshot now, whatever the log's length.
    ///
    /// # Errors
    /// Why there is none; the store is as it was.
    pub fn snapshot(&self) -> Result<(), crate::SnapshotError> {
        snapshots::write(&self.group, &self.progress)
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        let thread = thread::Builder::new().name(name.into()).spawn(run).map_err(|source| {
            OpenError::Io { doing: "start the thread", file: name.into(), source }
        })?;
        self.threads.lock().push(thread);
        Ok(())
    }
}

impl Commit for Solo {
    fn submit(&self, calls: &[Call<'_>], answers: Answers) -> Pending {
        Run::start(Arc::clone(&self.group), calls, answers).into_promise()
    }

    fn view(&self, range: &KeyRange) -> PendingView {
        let view = self.group.freeze(range);
        match self.group.safe(view.revision()) {
            None => Promise::ready(Ok(view)),
            Some(safe) => Promise::later(async move {
                safe.await?;
                Ok(view)
            }),
        }
    }

    fn revision(&self) -> u64 {
        self.group.positions.safe()
    }

    fn changes(&self, after: u64, bytes: usize) -> Result<Changes, TooOld> {
        self.group.tail.read(after, self.revision(), bytes)
    }

    fn changed(&self, after: u64) -> Changed {
        let mut ticket = self.group.positions.changed(after);
        let mut failed = self.group.positions.log().until_failure();
        Promise::later(std::future::poll_fn(move |context| {
            if let Poll::Ready(Err(failure)) = pin!(&mut failed).poll(context) {
                return Poll::Ready(Err(Lost::from(failure)));
            }
            ticket.poll(context).map_err(Lost::from)
        }))
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn standing(&self) -> Standing {
        let log = self.group.positions.log();
        if let Some(failure) = log.failure() {
            return Standing::Failed(failure.to_string());
        }
        if log.stats().full {
            let refusal = Refusal::new(Code::NoSpace, "the disk is full");
            return Standing::ReadOnly(refusal);
        }
        Standing::Ready
    }

    fn figures(&self, each: &mut dyn FnMut(&'static str, u64)) {
        let (keys, bytes) = self.group.read_all().iter().fold((0, 0), |(keys, bytes), shard| {
            (keys + shard.keys() as u64, bytes + shard.bytes() as u64)
        });
        each("keys", keys);
        each("memory_bytes", bytes);
        each("revision", self.group.revision.load(Ordering::Relaxed));
        each("safe_revision", self.revision());
        let (changes, bytes) = self.group.tail.size();
        each("history_changes", changes as u64);
        each("history_bytes", bytes as u64);
        let log = self.group.positions.log();
        let stats = log.stats();
        each("log_records", stats.records);
        each("log_bytes", stats.bytes);
        each("log_writes", stats.writes);
        each("log_syncs", stats.syncs);
        each("log_sync_us", stats.sync_micros);
        each("log_segments", stats.segments);
        each("log_full", u64::from(stats.full));
        each("log_stalled_ms", log.stalled().map_or(0, |stalled| stalled.as_millis() as u64));
        each("log_bytes_since_snapshot", log.bytes_since_snapshot());
        let progress = &*self.progress;
        let now = self.group.clock.now_ms();
        let at = progress.snapshot_at_ms.load(Ordering::Relaxed);
        each("snapshots", progress.snapshots.load(Ordering::Relaxed));
        each("snapshots_failed", progress.snapshots_failed.load(Ordering::Relaxed));
        each("snapshot_revision", progress.snapshot_revision.load(Ordering::Relaxed));
        each("snapshot_age_ms", if at == 0 { 0 } else { now.saturating_sub(at) });
        each("expired", progress.expired.load(Ordering::Relaxed));
        each("expiry_lag_ms", progress.expiry_lag_ms.load(Ordering::Relaxed));
        if let Durability::Interval(interval) = self.durability {
            each("sync_interval_ms", interval.as_millis() as u64);
        }
    }

    fn failed(&self) -> Failed {
        let failed = self.group.positions.log().until_failure();
        Promise::later(async move {
            match failed.await {
                Err(failure) => failure.to_string(),
                Ok(()) => std::future::pending().await,
            }
        })
    }

    fn close(&self) -> Result<(), String> {
        self.progress.closing.store(true, Ordering::Release);
        for thread in self.threads.lock().drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread of the store died");
            }
        }
        self.group.positions.log().close().map_err(|failure| failure.to_string())
    }
}

impl Drop for Solo {
    fn drop(&mut self) {
        if let Err(why) = self.close() {
            tracing::error!(why, "the store was not closed cleanly");
        }
    }
}
