//! The writer thread: take what has gathered, write it in one call, sync once, tell those who
//! wait, in order. No timer decides the size of a batch: what queued during one sync is the next.

use std::io::{self, IoSlice};
use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::disk::File;
use crate::envelope::{self, Kind, Seed};
use crate::error::Failure;
use crate::options::Durability;
use crate::pieces;
use crate::segment;
use crate::shared::{Kept, Shared, Spare, State};
use tidekeep_protocol::planted;

/// Bytes that need not wait for more to be written together with.
const GATHER_BYTES: usize = 256 << 10;

/// The segment that is written to, and where its next record goes.
pub(crate) struct Tail {
    pub(crate) file: Arc<dyn File>,
    pub(crate) sequence: u64,
    pub(crate) epoch: u64,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Offset of the next record.
    pub(crate) at: u64,
    /// Checksum of the record before `at`, or of the header.
    pub(crate) prev: u32,
    /// Index of the last entry written.
    pub(crate) last_index: u64,
    /// Whether the last record says that everything before it is durable.
    pub(crate) marked: bool,
}

/// The thread's own state.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    random: Box<dyn FnMut() -> u64 + Send>,
    tail: Tail,
    /// Offset of the tail up to which it is durable.
    synced_at: u64,
    /// When there was nothing pending last: what is now was appended after that.
    empty_at: Instant,
    /// When the oldest record that is pending was appended, at the earliest. With `interval` its reply has
    /// been given since, and a sync that was under way may have kept it from being seen.
    pending_since: Option<Instant>,
    /// The same of what is being written.
    written_since: Instant,
    /// The same of what was written and is not durable.
    dirty_since: Option<Instant>,
    /// When the log last became durable.
    quiet_since: Instant,
}

enum Work {
    Write,
    Sync,
    Mark,
    End,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        tail: Tail,
        random: Box<dyn FnMut() -> u64 + Send>,
    ) -> Self {
        let synced_at = tail.at;
        let now = Instant::now();
        Self {
            shared,
            random,
            tail,
            synced_at,
            empty_at: now,
            pending_since: None,
            written_since: now,
            dirty_since: None,
            quiet_since: now,
        }
    }

    /// Runs until the log is closed or the disk fails.
    pub(crate) fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            let work = self.next_work(&mut batch);
            if self.perform(&work, &mut batch).is_break() {
                return;
            }
        }
    }

    /// Does the next piece of work, if there is any now; whether there was.
    pub(crate) fn step(&mut self, batch: &mut Vec<Vec<u8>>) -> bool {
        let shared = Arc::clone(&self.shared);
        self.empty_at = Instant::now();
        let work = self.find_work(&mut shared.state.lock(), batch, self.empty_at);
        work.is_some_and(|work| self.perform(&work, batch).is_continue())
    }

    fn perform(&mut self, work: &Work, batch: &mut Vec<Vec<u8>>) -> ControlFlow<()> {
        let outcome = match work {
            Work::Write => self.commit(batch),
            Work::Sync => self.sync(),
            Work::Mark => self.mark(),
            Work::End => return ControlFlow::Break(()),
        };
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => {
                tracing::error!(%failure, "the log has failed");
                self.shared.fail(failure);
                ControlFlow::Break(())
            }
        }
    }

    /// Sleeps until there is something to do. Swaps what has gathered into `batch`.
    fn next_work(&mut self, batch: &mut Vec<Vec<u8>>) -> Work {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        let mut slept = false;
        loop {
            let now = Instant::now();
            if slept {
                // The first record that comes wakes this thread.
                self.empty_at = now;
            }
            if let Some(work) = self.find_work(&mut state, batch, now) {
                return work;
            }
            let ripe_at = self.pending_since.map(|since| since + self.shared.gather);
            state.wakes_at = if ripe_at.is_some() { GATHER_BYTES } else { 1 };
            let due = self.deadline().into_iter().chain(ripe_at);
            match due.filter(|&due| due > now).min() {
                Some(due) => drop(shared.work.wait_until(&mut state, due)),
                None => shared.work.wait(&mut state),
            }
            state.wakes_at = usize::MAX;
            slept = true;
        }
    }

    fn find_work(
        &mut self,
        state: &mut State,
        batch: &mut Vec<Vec<u8>>,
        now: Instant,
    ) -> Option<Work> {
        if self.shared.failed() {
            return Some(Work::End);
        }
        if self.is_ripe(state, now) {
            self.written_since = self.pending_since.take().unwrap_or(now);
            (self.empty_at, state.hurry) = (now, false);
            state.pending.swap_into(batch);
            return Some(Work::Write);
        }
        let due = state.closing || self.deadline().is_some_and(|deadline| deadline <= now);
        if self.dirty_since.is_some() {
            let wanted = due || state.sync_through > self.shared.synced.reached();
            wanted.then_some(Work::Sync)
        } else if due && self.may_mark(state) {
            self.written_since = now;
            Some(Work::Mark)
        } else {
            (state.closing && state.outstanding == 0).then_some(Work::End)
        }
    }

    /// Whether what is pending is to be written now.
    fn is_ripe(&mut self, state: &State, now: Instant) -> bool {
        if state.pending.bytes() == 0 {
            self.empty_at = now;
            return false;
        }
        *self.pending_since.get_or_insert(self.empty_at) + self.shared.gather <= now
            || state.pending.bytes() >= GATHER_BYTES
            || state.hurry
            || state.closing
            || state.sync_through > self.shared.synced.reached()
    }

    /// When something is to be done even if nothing is appended.
    fn deadline(&self) -> Option<Instant> {
        match (self.dirty_since, self.shared.durability) {
            (Some(since), Durability::Interval(interval)) => since.checked_add(interval),
            (Some(_), _) => None,
            (None, _) if self.tail.marked => None,
            (None, _) => self.quiet_since.checked_add(self.shared.mark_after),
        }
    }

    /// Reserves the bytes of a mark, if one is due and nobody is about to append. A segment too
    /// full for a mark does without.
    fn may_mark(&mut self, state: &mut State) -> bool {
        if self.tail.marked || state.outstanding > 0 {
            return false;
        }
        self.tail.marked = true;
        let fits = state.left >= envelope::MARK as u64;
        if fits {
            state.outstanding = envelope::MARK as u64;
        }
        fits
    }

    fn commit(&mut self, batch: &mut Vec<Vec<u8>>) -> Result<(), Failure> {
        let (mut parts, mut bytes) = (Vec::with_capacity(batch.len()), 0);
        for piece in &mut *batch {
            let mut rest = &mut piece[..];
            while !rest.is_empty() {
                let fits = self.seal(rest, bytes);
                let (part, later) = rest.split_at_mut(fits);
                bytes += fits;
                parts.push(IoSlice::new(part));
                if !later.is_empty() {
                    self.write(&mut parts, bytes)?;
                    (parts, bytes) = (Vec::new(), 0);
                    self.roll()?;
                }
                rest = later;
            }
        }
        self.write(&mut parts, bytes)?;
        pieces::empty(batch);
        self.tail.marked = false;
        let due = match self.shared.durability {
            Durability::Always => true,
            Durability::Interval(_) => self.deadline().is_some_and(|at| at <= Instant::now()),
            Durability::None | Durability::Memory => false,
        };
        if due || self.shared.state.lock().sync_through > self.shared.synced.reached() {
            self.sync()?;
        }
        Ok(())
    }

    fn mark(&mut self) -> Result<(), Failure> {
        let mut mark = Vec::new();
        envelope::push(&mut mark, Kind::Mark, self.tail.last_index, &[]);
        let bytes = self.seal(&mut mark, 0);
        self.write(&mut [IoSlice::new(&mark)], bytes)?;
        self.sync()
    }

    /// Seals the records that fit into the segment behind `before` bytes that are yet to be
    /// written, and returns their bytes.
    fn seal(&mut self, records: &mut [u8], before: usize) -> usize {
        let room = (self.tail.bytes - self.tail.at) as usize - before;
        let seed = Seed::of(self.tail.epoch);
        let mut end = 0;
        while end < records.len() {
            let size = envelope::first_size(&records[end..]);
            if end + size > room {
                break;
            }
            let record = &mut records[end..end + size];
            self.tail.last_index = envelope::first_index(record);
            let synced = self.synced_at as u32;
            self.tail.prev = envelope::seal(record, seed, self.tail.prev, synced);
            end += size;
        }
        end
    }

    fn write(&mut self, parts: &mut [IoSlice<'_>], bytes: usize) -> Result<(), Failure> {
        if bytes == 0 {
            return Ok(());
        }
        let Tail { file, at, .. } = &self.tail;
        let shared = &*self.shared;
        shared
            .stall
            .watch(|| match shared.durability {
                Durability::Always => file.append_at(parts, *at),
                // No reply waits for the disk, so the system may write when it is best.
                Durability::Interval(_) | Durability::None | Durability::Memory => {
                    file.write_parts_at(parts, *at)
                }
            })
            .map_err(|error| Failure::new("write", self.name(), error))?;
        let len = bytes as u64;
        self.tail.at += len;
        let since = match planted::is_awake("interval-begins-late") {
            true => Instant::now(),
            false => self.written_since,
        };
        self.dirty_since.get_or_insert(since);
        self.shared.counters.writes.fetch_add(1, Ordering::Relaxed);
        self.shared.counters.bytes.fetch_add(len, Ordering::Relaxed);
        let mut state = self.shared.state.lock();
        state.outstanding -= len;
        state.left -= len;
        drop(state);
        self.shared.room_grew();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Failure> {
        let file = &self.tail.file;
        let start = Instant::now();
        self.shared
            .stall
            .watch(|| if planted::is_awake("reply-before-sync") { Ok(()) } else { file.sync() })
            .map_err(|error| Failure::new("sync", self.name(), error))?;
        self.synced_at = self.tail.at;
        self.dirty_since = None;
        self.quiet_since = Instant::now();
        let took = self.quiet_since.duration_since(start).as_micros() as u64;
        self.shared.counters.sync_micros.fetch_add(took, Ordering::Relaxed);
        self.shared.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.shared.synced.advance(self.tail.last_index);
        Ok(())
    }

    /// Completes the segment and goes on in the spare, which admission has made sure is there.
    fn roll(&mut self) -> Result<(), Failure> {
        if self.dirty_since.is_some() {
            self.sync()?;
        }
        let sequence = self.tail.sequence + 1;
        let first_index = self.tail.last_index + 1;
        let mut state = self.shared.state.lock();
        let Spare::Ready(spare) = mem::replace(&mut state.spare, Spare::Taken) else {
            // Admission promises no more than fits into the segment or the spare.
            let broken = io::Error::other("more was admitted than there is room for");
            return Err(Failure::new("find", segment::SPARE, broken));
        };
        state.left = self.shared.segment_bytes - segment::HEADER as u64;
        state.segments.push_back(Kept { sequence, first_index });
        drop(state);
        let header = segment::Header {
            store_id: self.shared.manifest.store_id,
            sequence,
            epoch: (self.random)(),
            first_index,
            chain: self.tail.prev,
        };
        let disk = &*self.shared.disk;
        let prev = self
            .shared
            .stall
            .watch(|| segment::begin(disk, &*spare, &header))
            .map_err(|error| Failure::new("begin", segment::name(sequence), error))?;
        self.shared.state.lock().spare = Spare::Wanted;
        self.shared.prepare.notify_all();
        self.tail = Tail {
            file: spare,
            sequence,
            epoch: header.epoch,
            bytes: self.shared.segment_bytes,
            at: segment::HEADER as u64,
            prev,
            last_index: self.tail.last_index,
            marked: false,
        };
        self.synced_at = self.tail.at;
        Ok(())
    }

    fn name(&self) -> String {
        segment::name(self.tail.sequence)
    }
}
