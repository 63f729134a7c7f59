//! The log as its users see it: admit, append, wait. Appending only copies bytes into memory, so
//! it may happen under a lock; the writer thread takes what has gathered to the disk.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::disk::{Disk, File};
use crate::envelope::{self, MAX_PAYLOAD};
use crate::error::{Failure, OpenError, Refused, SnapshotError, is_full};
use crate::manifest::{MARKER, Manifest};
use crate::options::{Durability, Options, Stats, Upkeep};
use crate::pieces::Pieces;
use crate::shared::{Counters, Kept, Shared, Spare, Stall, State};
use crate::snapshot::{self, Published, SnapshotInfo};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::ticket::{Progress, Ticket};
use crate::writer::{Tail, Writer};
use crate::{prepare, segment};

/// How long records wait for others to be written together with, where no reply waits for them: the
/// writer need not be woken for each, and what the system does for a write it does once for many.
const GATHER: Duration = Duration::from_millis(if cfg!(loom) { 0 } else { 2 });

/// Room for records, promised. Dropping it unused gives the room back.
#[must_use = "a permit reserves room until it is used or dropped"]
pub struct Permit<'a> {
    shared: &'a Shared,
    bytes: u64,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.shared.state.lock().outstanding -= self.bytes;
            self.shared.room_grew();
            self.shared.work.notify_all();
        }
    }
}

/// The open log. Share it in an `Arc`; dropping it closes it.
pub struct Log {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// What threads would do, where there are to be none.
    steps: Option<Mutex<Steps>>,
}

/// The state of work that is done in steps.
struct Steps {
    writer: Writer,
    batch: Vec<Vec<u8>>,
    /// The segment that the marker names.
    noted: u64,
}

/// Where recovery found the log, and where the writer goes on.
pub(crate) struct Start {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) manifest: Manifest,
    pub(crate) options: Options,
    pub(crate) segments: VecDeque<Kept>,
    pub(crate) snapshots: Vec<SnapshotInfo>,
    pub(crate) spare: Option<Arc<dyn File>>,
    pub(crate) tail: Tail,
    pub(crate) replayed_bytes: u64,
}

impl Log {
    pub(crate) fn start(start: Start) -> Result<Self, OpenError> {
        let Start { options, tail, .. } = start;
        let last = tail.last_index;
        let synced = Progress::new(last);
        let safe = match options.durability {
            // In memory, what was appended is as safe as it will ever be.
            Durability::Always | Durability::Memory => Arc::clone(&synced),
            Durability::Interval(_) | Durability::None => Progress::new(last),
        };
        let shared = Arc::new(Shared {
            disk: start.disk,
            manifest: start.manifest,
            durability: options.durability,
            segment_bytes: options.segment_bytes,
            gather: match (options.durability, options.upkeep) {
                (Durability::Interval(_) | Durability::None, Upkeep::Threads) => GATHER,
                (Durability::Always | Durability::Memory, _) | (_, Upkeep::Steps) => Duration::ZERO,
            },
            mark_after: match options.upkeep {
                Upkeep::Threads => options.mark_after,
                Upkeep::Steps => Duration::ZERO,
            },
            retry_full: options.retry_full,
            buffer_bytes: options.buffer_bytes,
            state: Mutex::new(State {
                pending: Pieces::default(),
                appended: last,
                outstanding: 0,
                left: tail.bytes - tail.at,
                spare: start.spare.map_or(Spare::Wanted, Spare::Ready),
                sync_through: 0,
                closing: false,
                wakes_at: usize::MAX,
                hurry: false,
                segments: start.segments,
            }),
            work: Condvar::new(),
            prepare: Condvar::new(),
            synced,
            safe,
            room: Progress::new(0),
            stall: Stall::new(),
            counters: Counters {
                bytes: AtomicU64::new(start.replayed_bytes),
                ..Counters::default()
            },
            snapshots: Mutex::new(start.snapshots),
            bytes_at_snapshot: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let writer = Writer::new(Arc::clone(&shared), tail, options.random);
        let mut log = Self { shared: Arc::clone(&shared), threads: Mutex::default(), steps: None };
        match options.upkeep {
            Upkeep::Threads => {
                log.spawn("tidekeep-log", move || writer.run())?;
                log.spawn("tidekeep-space", move || prepare::run(&shared))?;
            }
            Upkeep::Steps => {
                let noted = shared.manifest.segment;
                log.steps = Some(Mutex::new(Steps { writer, batch: Vec::new(), noted }));
            }
        }
        Ok(log)
    }

    /// With [`Upkeep::Steps`], does one piece of each thread's work: writes and syncs what was
    /// appended, or marks the end; reserves a segment, or notes one. Whether there was anything.
    pub fn step(&self) -> bool {
        let Some(steps) = &self.steps else { return false };
        let Steps { writer, batch, noted } = &mut *steps.lock();
        // Both, one after the other: neither waits for the other's work to run out.
        writer.step(batch) | prepare::step(&self.shared, noted)
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        let thread = thread::Builder::new().name(name.into()).spawn(run).map_err(|source| {
            OpenError::Io { doing: "start the thread", file: name.into(), source }
        })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Reserves room for `records` records with `bytes` payload bytes in sum. Ask before applying
    /// and without holding a lock; append with the permit afterwards.
    ///
    /// # Errors
    /// [`Refused`]: nothing has happened, and the variant says whether to wait, retry or give up.
    pub fn admit(&self, records: usize, bytes: usize) -> Result<Permit<'_>, Refused> {
        self.admit_keeping(records, bytes, self.shared.segment_bytes / 16)
    }

    /// Like [`Log::admit`], for records that free space (deletes): on a full disk these may use
    /// the last sixteenth of a segment, which others leave alone.
    ///
    /// # Errors
    /// As [`Log::admit`].
    pub fn admit_freeing(&self, records: usize, bytes: usize) -> Result<Permit<'_>, Refused> {
        self.admit_keeping(records, bytes, 0)
    }

    /// Like [`Log::admit`], for records that must not wait for room although they free none (leases
    /// that are kept alive): these leave half of what [`Log::admit_freeing`] may use alone.
    ///
    /// # Errors
    /// As [`Log::admit`].
    pub fn admit_keeping_alive(&self, records: usize, bytes: usize) -> Result<Permit<'_>, Refused> {
        self.admit_keeping(records, bytes, self.shared.segment_bytes / 32)
    }

    fn admit_keeping(
        &self,
        records: usize,
        bytes: usize,
        reserve: u64,
    ) -> Result<Permit<'_>, Refused> {
        let shared = &*self.shared;
        let longest = records.saturating_mul(MAX_PAYLOAD);
        if bytes > longest {
            return Err(Refused::TooLarge { bytes: bytes as u64, limit: longest as u64 });
        }
        let overhead = records.saturating_mul(envelope::size_on_disk(0) + envelope::ALIGN);
        let bytes = bytes.saturating_add(overhead) as u64;
        let capacity = shared.segment_bytes - segment::HEADER as u64;
        let limit = capacity.min(shared.buffer_bytes);
        if bytes > limit {
            return Err(Refused::TooLarge { bytes, limit });
        }
        // Taken before the look at the state, so that room which grows in between is noticed.
        let growth = shared.room.reached() + 1;
        let mut state = shared.state.lock();
        if let Some(failure) = shared.synced.failure() {
            return Err(failure.clone().into());
        }
        if state.closing {
            return Err(Refused::Closed);
        }
        let wanted = state.outstanding + bytes;
        let on_disk = match state.spare {
            Spare::Ready(_) => capacity.max(state.left),
            Spare::Taken | Spare::Wanted | Spare::Full => state.left.saturating_sub(reserve),
        };
        if wanted <= on_disk && wanted <= shared.buffer_bytes {
            state.outstanding = wanted;
            return Ok(Permit { shared, bytes });
        }
        match state.spare {
            Spare::Full if wanted > on_disk => Err(Refused::Full),
            _ => {
                if state.pending.bytes() > 0 {
                    state.hurry = true;
                    shared.work.notify_one();
                }
                Err(Refused::Busy(shared.room.ticket(growth)))
            }
        }
    }

    /// Appends records in order and returns the index of the last one (of the last one before, if
    /// there are none). Copies into memory and nothing else; call it under the lock that decides
    /// the order. `payloads` must be those the permit was asked for.
    ///
    /// # Panics
    /// If a payload is longer than [`MAX_PAYLOAD`], or all together than the permit allows.
    pub fn append<'p>(
        &self,
        permit: Permit<'_>,
        payloads: impl IntoIterator<Item = &'p [u8]>,
    ) -> u64 {
        let mut appending = Appending::begin(&self.shared, permit);
        for payload in payloads {
            appending.add(payload.len(), |pending, index| pending.push(index, payload));
        }
        appending.end()
    }

    /// Appends the record whose payload was built behind [`envelope::begin`], and returns its index;
    /// see [`Log::append`]. What is left in `record` is memory for the next one.
    pub(crate) fn append_built(&self, permit: Permit<'_>, record: &mut Vec<u8>) -> u64 {
        let mut appending = Appending::begin(&self.shared, permit);
        let payload_bytes = record.len() - envelope::HEADER;
        appending.add(payload_bytes, |pending, index| pending.push_built(index, record));
        appending.end()
    }

    /// Whether the bytes of records are kept: else nothing need be put into one.
    pub(crate) fn keeps_records(&self) -> bool {
        self.shared.durability != Durability::Memory
    }

    /// Appends one record and returns its index; see [`Log::append`].
    pub fn append_one(&self, permit: Permit<'_>, payload: &[u8]) -> u64 {
        self.append(permit, [payload])
    }

    /// Resolves once the record `index` may be confirmed.
    pub fn ticket(&self, index: u64) -> Ticket {
        self.shared.safe.ticket(index)
    }

    /// Syncs everything appended so far, whatever the durability, and resolves when that is done.
    pub fn sync(&self) -> Ticket {
        let mut state = self.shared.state.lock();
        let through = state.appended;
        state.sync_through = through;
        drop(state);
        self.shared.work.notify_one();
        self.shared.synced.ticket(through)
    }

    /// Last index handed out; 0 in a new log.
    pub fn appended(&self) -> u64 {
        self.shared.state.lock().appended
    }

    /// Last index that may be confirmed, and hence shown to readers and watchers.
    pub fn durable(&self) -> u64 {
        self.shared.safe.reached()
    }

    /// Last index that is on disk for certain.
    pub fn synced(&self) -> u64 {
        self.shared.synced.reached()
    }

    /// The fatal error that ended the log, if one did.
    pub fn failure(&self) -> Option<Failure> {
        self.shared.synced.failure().cloned()
    }

    /// Never resolves but with the fatal error that ends the log.
    pub fn until_failure(&self) -> Ticket {
        self.shared.synced.ticket(u64::MAX)
    }

    /// How long the writer's current disk call has been running; `None` if none is.
    pub fn stalled(&self) -> Option<Duration> {
        self.shared.stall.elapsed()
    }

    /// Figures since the log was opened.
    pub fn stats(&self) -> Stats {
        let state = self.shared.state.lock();
        let counters = &self.shared.counters;
        Stats {
            records: counters.records.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            writes: counters.writes.load(Ordering::Relaxed),
            syncs: counters.syncs.load(Ordering::Relaxed),
            sync_micros: counters.sync_micros.load(Ordering::Relaxed),
            segments: state.segments.len() as u64,
            full: matches!(state.spare, Spare::Full),
        }
    }

    /// Bytes logged since the newest snapshot began.
    pub fn bytes_since_snapshot(&self) -> u64 {
        let bytes = self.shared.counters.bytes.load(Ordering::Relaxed);
        bytes.saturating_sub(self.shared.bytes_at_snapshot.load(Ordering::Relaxed))
    }

    /// Whether a snapshot is worth its while: the log has grown by `log_bytes` and by half of what the state
    /// takes. On a full disk a segment is enough, since a snapshot of what is left after deletes releases some.
    pub fn wants_snapshot(&self, log_bytes: u64, state_bytes: impl FnOnce() -> u64) -> bool {
        let grown = self.bytes_since_snapshot();
        match self.stats().full {
            true => grown >= log_bytes.min(self.shared.segment_bytes).max(1),
            false => grown >= log_bytes.max(1) && grown >= state_bytes() / 2,
        }
    }

    /// Writes a snapshot of the state after record `index`, publishes it, and releases what it
    /// makes superfluous. The snapshot before it stays as a fall-back, with the log after that.
    /// Blocks for as long as that takes; a second call waits for the first.
    ///
    /// # Errors
    /// [`SnapshotError`]: the store is as it was before.
    pub fn write_snapshot(
        &self,
        index: u64,
        created_ms: u64,
        feed: impl FnOnce(&mut snapshot::Writer) -> Result<(), SnapshotError>,
    ) -> Result<Published, SnapshotError> {
        let mut kept = self.shared.snapshots.lock();
        let after = kept.last().map_or(0, |newest| newest.index);
        let appended = self.appended();
        if index <= after || index > appended {
            return Err(SnapshotError::Index { index, after, appended });
        }
        let bytes = self.shared.counters.bytes.load(Ordering::Relaxed);
        // A snapshot must never be ahead of the log that it is to be continued with.
        let synced = self.sync();
        while !synced.is_ready() && self.step() {}
        synced.wait()?;
        let disk = &*self.shared.disk;
        let info = snapshot::write(disk, self.shared.manifest.store_id, index, created_ms, feed)?;
        kept.push(info.clone());
        let superfluous = kept.len().saturating_sub(2);
        kept.drain(..superfluous);
        self.shared.bytes_at_snapshot.store(bytes, Ordering::Relaxed);
        let released = snapshot::remove_others(disk, &kept)
            .and_then(|()| if kept.len() < 2 { Ok(0) } else { self.release(kept[0].index) })
            .map_err(|source| SnapshotError::Io { doing: "release", file: "log".into(), source })?;
        Ok(Published { info, released_segments: released })
    }

    /// Removes the segments that hold nothing after `index`, oldest first and durably one by one,
    /// so that a power cut leaves no gap.
    fn release(&self, index: u64) -> io::Result<u64> {
        let shared = &*self.shared;
        let mut released = 0;
        loop {
            let oldest = {
                let state = shared.state.lock();
                match (state.segments.front(), state.segments.get(1)) {
                    (Some(oldest), Some(next)) if next.first_index <= index + 1 => oldest.sequence,
                    _ => return Ok(released),
                }
            };
            shared.disk.remove(&segment::name(oldest))?;
            shared.disk.sync_dir()?;
            shared.state.lock().segments.pop_front();
            shared.prepare.notify_all();
            released += 1;
        }
    }

    /// Flushes and syncs everything appended, then ends the threads. Later admissions are refused.
    ///
    /// # Errors
    /// The fatal failure that ended the log before everything was durable.
    pub fn close(&self) -> Result<(), Failure> {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_all();
        self.shared.prepare.notify_all();
        while self.step() {}
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                let died = io::Error::other("a thread of the log died");
                self.shared.fail(Failure::new("run", "log", died));
            }
        }
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        self.end_run()
    }

    /// Notes that everything is on disk, where that was left open.
    fn end_run(&self) -> Result<(), Failure> {
        let shared = &self.shared;
        if !shared.manifest.lossy || shared.ended.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let state = shared.state.lock();
        let segment = state.segments.back().map_or(shared.manifest.segment, |last| last.sequence);
        drop(state);
        let manifest = Manifest { segment, lossy: false, ..shared.manifest };
        match manifest.replace(&*shared.disk) {
            // It then looks as if the run had not ended well, which costs watchers a new beginning.
            Err(error) if is_full(&error) => Ok(()),
            outcome => outcome.map_err(|error| Failure::new("replace", MARKER, error)),
        }
    }

    /// Who this store is, in this run.
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }
}

/// Records on their way into the buffer, under its lock.
struct Appending<'a> {
    shared: &'a Shared,
    state: MutexGuard<'a, State>,
    permit: Permit<'a>,
    before: u64,
}

impl<'a> Appending<'a> {
    fn begin(shared: &'a Shared, permit: Permit<'a>) -> Self {
        let state = shared.state.lock();
        let before = state.appended;
        Self { shared, state, permit, before }
    }

    /// Adds a record with so many payload bytes.
    fn add(&mut self, payload_bytes: usize, put: impl FnOnce(&mut Pieces, u64)) {
        let size = envelope::size_on_disk(payload_bytes) as u64;
        assert!(payload_bytes <= MAX_PAYLOAD, "a record is at most {MAX_PAYLOAD} bytes");
        assert!(size <= self.permit.bytes, "more is appended than was admitted");
        self.state.appended += 1;
        if self.shared.durability != Durability::Memory {
            // From here on these bytes are the buffer's, no longer the permit's.
            self.permit.bytes -= size;
            let index = self.state.appended;
            put(&mut self.state.pending, index);
        }
    }

    /// Gives the index of the last record, of the last one before if there were none.
    fn end(self) -> u64 {
        let Self { shared, mut state, mut permit, before } = self;
        state.outstanding -= std::mem::take(&mut permit.bytes);
        let last = state.appended;
        let wake = state.pending.bytes() >= state.wakes_at;
        if wake {
            state.wakes_at = usize::MAX;
        }
        if shared.durability != Durability::Always {
            // Under the lock, so that the position never runs ahead of the bytes.
            shared.safe.advance(last);
        }
        drop(state);
        shared.counters.records.fetch_add(last - before, Ordering::Relaxed);
        if wake {
            shared.work.notify_one();
        }
        last
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `close` first; tickets have failed already.
        let _ = self.close();
    }
}
