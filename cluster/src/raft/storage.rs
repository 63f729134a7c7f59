//! A group on one node: the entries that openraft reads, and the replica that they are applied to. What
//! changes here is put into the node's log under the same lock, so that both tell the same story.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::type_config::AsyncRuntime;
use openraft::{OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use tidekeep_log::{Frozen, Replica};

use crate::raft::item::{
    Given, Installed, Item, encode_chunk, encode_entry, encode_pieces, record_bytes,
};
use crate::raft::journal::Journal;
use crate::raft::reached::Reached;
use crate::raft::recovered::Recovered;
use crate::raft::telling::Done;
use crate::raft::told::Told;
use crate::raft::types::{Entry, LogId, Promise, Types};

/// A group on one node.
pub(crate) struct Store {
    pub(crate) group: u32,
    pub(crate) journal: Arc<Journal>,
    kept: Mutex<Kept>,
    /// Where the replica is; locked while an entry is applied.
    pub(crate) installed: Mutex<Installed>,
    /// The same for those who wait until an entry is applied.
    pub(crate) applied: Reached,
    pub(crate) replica: Replica,
    /// How it began, if the group has given it to the node.
    given: Option<Given>,
    /// Whether groups are being made that this one is split into.
    pub(crate) bearing: AtomicBool,
    /// Bytes of entries that are kept for those who lag behind.
    keep: AtomicUsize,
    /// Whether the node takes no part in the group any more; locked while a record is appended, so that
    /// none comes behind the one that says so.
    forgotten: Mutex<bool>,
}

/// What openraft keeps.
struct Kept {
    promise: Option<Promise>,
    /// The last entry that is not kept any more.
    purged: Option<LogId>,
    entries: VecDeque<Entry>,
    /// About how much memory the entries take.
    bytes: usize,
}

impl Kept {
    fn new(promise: Option<Promise>, purged: Option<LogId>, entries: VecDeque<Entry>) -> Self {
        let bytes = entries.iter().map(size).sum();
        Self { promise, purged, entries, bytes }
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += size(&entry);
        self.entries.push_back(entry);
    }

    /// Keeps so many of the first ones.
    fn truncate(&mut self, stay: usize) {
        self.bytes -= self.entries.drain(stay..).map(|entry| size(&entry)).sum::<usize>();
    }

    /// Forgets so many of the first ones.
    fn purge(&mut self, gone: usize) {
        self.bytes -= self.entries.drain(..gone).map(|entry| size(&entry)).sum::<usize>();
    }

    /// The last entry that is not needed to keep so many bytes of entries behind it.
    fn spare(&self, bytes: usize) -> Option<LogId> {
        let mut more = self.bytes.checked_sub(bytes).filter(|&more| more > 0)?;
        let mut spare = None;
        for entry in &self.entries {
            let Some(left) = more.checked_sub(size(entry)) else { break };
            (more, spare) = (left, Some(entry.log_id));
        }
        spare
    }

    /// The index of the first entry that is kept, or of the next one.
    fn first(&self) -> u64 {
        self.purged.map_or(0, |purged| purged.index + 1)
    }

    fn last(&self) -> Option<LogId> {
        self.entries.back().map(|entry| entry.log_id).or(self.purged)
    }

    /// Where an index is, or would be.
    fn place(&self, index: u64) -> usize {
        (index.saturating_sub(self.first()) as usize).min(self.entries.len())
    }
}

/// The part of what is kept that may come on top before some is forgotten.
const SLACK: usize = 8;

/// Bytes of entries that are read at once, but for a single one that is longer.
const READ_BYTES: usize = 1 << 20;

impl Store {
    pub(crate) fn new(group: u32, recovered: Recovered, journal: Arc<Journal>) -> Arc<Self> {
        let Recovered { promise, entries, installed, replica, given, .. } = recovered;
        let kept = Kept::new(promise, installed.applied, entries);
        let applied = Reached::new(installed.applied.map(|applied| applied.index));
        let (kept, installed) = (Mutex::new(kept), Mutex::new(installed));
        let store = Self {
            group,
            journal: Arc::clone(&journal),
            kept,
            installed,
            applied,
            replica,
            given,
            bearing: AtomicBool::new(false),
            keep: AtomicUsize::new(usize::MAX),
            forgotten: Mutex::new(false),
        };
        let store = Arc::new(store);
        journal.register(group, &store);
        store
    }

    /// Puts into the node's log how the replica begins that the group has given to the node. Nothing of it is there
    /// before.
    pub(crate) fn keep_given(&self) {
        let record = self.given.map(|given| Item::Given(given).encode(self.group));
        // What follows is told after it.
        self.put(record.into_iter().collect(), Box::new(drop));
    }

    /// Whether the group has given the replica to the node, and the log says so.
    pub(crate) fn was_given(&self) -> bool {
        self.given.is_some()
    }

    /// Whether it has not yet what was ordered when the group gave it to the node.
    pub(crate) fn is_partial(&self) -> bool {
        self.given.is_some_and(|given| self.kept.lock().last() < Some(given.place))
    }

    /// Puts records of the group into the node's log, unless nothing of the group is kept any more.
    fn put(&self, records: Vec<Vec<u8>>, done: Done) {
        let forgotten = self.forgotten.lock();
        match *forgotten {
            false => drop(self.journal.append(records, done)),
            true => done(Err(stopped())),
        }
    }

    /// Keeps nothing of the group from now on; resolves when a start will know that.
    pub(crate) fn forget(&self) -> oneshot::Receiver<io::Result<()>> {
        let (done, safe) = oneshot::channel();
        let mut forgotten = self.forgotten.lock();
        *forgotten = true;
        let record = Item::Forgotten.encode(self.group);
        self.journal.append(vec![record], Box::new(move |outcome| drop(done.send(outcome))));
        safe
    }

    /// Whether nothing of the group is kept any more.
    pub(crate) fn is_forgotten(&self) -> bool {
        *self.forgotten.lock()
    }

    /// The state behind the last entry that was applied, and which that is.
    pub(crate) fn freeze(&self) -> (Installed, Frozen) {
        let installed = self.installed.lock();
        (installed.clone(), self.replica.freeze())
    }

    /// Puts the state that the replica has taken over into the node's log; resolves when it is safe.
    pub(crate) fn keep_installed(
        &self,
        installed: Installed,
        chunks: &[Vec<u8>],
    ) -> oneshot::Receiver<io::Result<()>> {
        self.keep_state(&Item::Installed(installed), chunks)
    }

    /// Puts a state and the item that ends it into the node's log; resolves when it is safe.
    pub(crate) fn keep_state(
        &self,
        end: &Item,
        chunks: &[Vec<u8>],
    ) -> oneshot::Receiver<io::Result<()>> {
        let most = self.journal.record_max();
        let pieces = |chunk: &Vec<u8>| encode_pieces(self.group, chunk, most);
        let coming = Item::Coming.encode(self.group);
        let mut records: Vec<_> =
            std::iter::once(coming).chain(chunks.iter().flat_map(pieces)).collect();
        records.push(end.encode(self.group));
        let (done, safe) = oneshot::channel();
        self.put(records, Box::new(move |outcome| drop(done.send(outcome))));
        safe
    }

    /// All there is of the group, unless that is nothing any more.
    pub(crate) fn capture(&self) -> Option<Captured> {
        let applied = self.installed.lock().applied;
        let (promise, entries, at) = {
            let kept = self.kept.lock();
            let forgotten = self.forgotten.lock();
            if *forgotten {
                return None;
            }
            let from = kept.place(applied.map_or(0, |applied| applied.index + 1));
            let entries = kept.entries.range(from..).cloned().collect();
            (kept.promise, entries, self.journal.last())
        };
        // Later than the entries: what is applied by now is at least what was then.
        let (installed, frozen) = self.freeze();
        let (group, given) = (self.group, self.given);
        Some(Captured { group, at, given, promise, entries, installed, frozen })
    }

    /// Sets how many bytes of entries are kept for those who lag behind. Whether there are more, and enough
    /// more to forget some.
    pub(crate) fn keep(&self, bytes: usize) -> bool {
        self.keep.store(bytes, Ordering::Relaxed);
        let kept = self.kept.lock().bytes;
        kept > bytes + bytes / SLACK && self.spare().is_some()
    }

    /// The first entry that is kept for those who lag behind, or the next one.
    pub(crate) fn first_kept(&self) -> u64 {
        self.kept.lock().first()
    }

    /// The last entry that was applied and need not be kept.
    pub(crate) fn spare(&self) -> Option<LogId> {
        let applied = self.installed.lock().applied;
        self.kept.lock().spare(self.keep.load(Ordering::Relaxed)).min(applied)
    }

    fn read(&self, range: impl RangeBounds<u64>, bytes: usize) -> Vec<Entry> {
        let kept = self.kept.lock();
        let from = match range.start_bound() {
            Bound::Included(&at) => at,
            Bound::Excluded(&at) => at + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&at) => at + 1,
            Bound::Excluded(&at) => at,
            Bound::Unbounded => u64::MAX,
        };
        let (from, to) = (kept.place(from), kept.place(to));
        let mut left = bytes;
        let entries = kept.entries.range(from..to.max(from)).take_while(|entry| {
            let fits = left > 0;
            left = left.saturating_sub(size(entry));
            fits
        });
        entries.cloned().collect()
    }
}

/// About how many bytes an entry takes.
fn size(entry: &Entry) -> usize {
    record_bytes(entry) + ENTRY_BYTES
}

const ENTRY_BYTES: usize = 64;

/// A group as it was at a moment.
pub(crate) struct Captured {
    group: u32,
    /// The log's last record at that moment.
    at: u64,
    given: Option<Given>,
    promise: Option<Promise>,
    entries: Vec<Entry>,
    installed: Installed,
    frozen: Frozen,
}

impl Captured {
    /// Gives it as the items of a snapshot.
    pub(crate) fn write<E>(self, give: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let Self { group, at, given, promise, entries, installed, frozen } = self;
        give(&Item::Captured(at).encode(group))?;
        if let Some(given) = given {
            give(&Item::Given(given).encode(group))?;
        }
        if let Some(promise) = promise {
            give(&Item::Promise(promise).encode(group))?;
        }
        let applied = installed.applied;
        if applied.is_some() {
            frozen.write(|chunk| give(&encode_chunk(group, chunk)))?;
            give(&Item::Installed(installed).encode(group))?;
        }
        entries
            .into_iter()
            .filter(|entry| applied.is_none_or(|applied| entry.log_id.index > applied.index))
            .try_for_each(|entry| give(&encode_entry(group, &entry)))
    }
}

/// openraft's door to a group's entries.
pub(crate) struct Entries<R: AsyncRuntime> {
    store: Arc<Store>,
    told: Arc<Told<R>>,
}

impl<R: AsyncRuntime> Entries<R> {
    pub(crate) fn new(store: Arc<Store>, told: Arc<Told<R>>) -> Self {
        Self { store, told }
    }
}

impl<R: AsyncRuntime> RaftLogReader<Types<R>> for Entries<R> {
    async fn try_get_log_entries<B: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: B,
    ) -> io::Result<Vec<Entry>> {
        Ok(self.store.read(range, usize::MAX))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        Ok(self.store.read(start..end, READ_BYTES))
    }

    async fn read_vote(&mut self) -> io::Result<Option<Promise>> {
        Ok(self.store.kept.lock().promise)
    }
}

impl<R: AsyncRuntime> RaftLogStorage<Types<R>> for Entries<R> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types<R>>> {
        let kept = self.store.kept.lock();
        Ok(LogState { last_purged_log_id: kept.purged, last_log_id: kept.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        Self::new(Arc::clone(&self.store), Arc::clone(&self.told))
    }

    async fn save_vote(&mut self, promise: &Promise) -> io::Result<()> {
        let (done, safe) = oneshot::channel();
        {
            let mut kept = self.store.kept.lock();
            kept.promise = Some(*promise);
            let record = Item::Promise(*promise).encode(self.store.group);
            let done = Box::new(move |outcome| drop(done.send(outcome)));
            self.store.put(vec![record], done);
        }
        safe.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types<R>>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut kept = self.store.kept.lock();
        let mut records = Vec::new();
        for entry in entries {
            debug_assert_eq!(entry.log_id.index, kept.first() + kept.entries.len() as u64);
            records.push(encode_entry(self.store.group, &entry));
            self.told.note_entry(&entry);
            kept.push(entry);
        }
        let done = Box::new(move |outcome| callback.io_completed(outcome));
        self.store.put(records, done);
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let mut kept = self.store.kept.lock();
        let stays = kept.place(last.map_or(0, |last| last.index + 1));
        kept.truncate(stays);
        let record = Item::Truncate(last.map(|last| last.index)).encode(self.store.group);
        // Whoever appends behind it is told after it.
        self.store.put(vec![record], Box::new(drop));
        Ok(())
    }

    async fn purge(&mut self, through: LogId) -> io::Result<()> {
        // Of memory alone: the node's log forgets with its snapshots.
        let mut kept = self.store.kept.lock();
        if kept.purged < Some(through) {
            let gone = kept.place(through.index + 1);
            kept.purge(gone);
            kept.purged = Some(through);
        }
        Ok(())
    }
}

pub(crate) fn stopped() -> io::Error {
    io::Error::other("the node is stopping")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::NodeId;
    use crate::raft::types::{LeaderId, Payload, Proposal};

    const RECORD: usize = 1_000;
    const ENTRY: usize = RECORD + ENTRY_BYTES;

    fn entry(index: u64) -> Entry {
        let log_id = LogId::new(LeaderId { term: 1, node_id: NodeId(1) }, index);
        Entry { log_id, payload: Payload::Normal(Proposal::new(vec![0; RECORD])) }
    }

    fn spare(kept: &Kept, bytes: usize) -> Option<u64> {
        kept.spare(bytes).map(|spare| spare.index)
    }

    #[test]
    fn what_need_not_be_kept_leaves_as_many_bytes_as_are_wanted() {
        let mut kept = Kept::new(None, None, (0..6).map(entry).collect());
        assert_eq!(spare(&kept, 6 * ENTRY), None);
        assert_eq!(spare(&kept, 5 * ENTRY + 1), None, "without it there would be less");
        assert_eq!(spare(&kept, 5 * ENTRY), Some(0));
        assert_eq!(spare(&kept, 0), Some(5));
        kept.push(entry(6));
        assert_eq!(spare(&kept, 5 * ENTRY), Some(1));
        kept.truncate(6);
        assert_eq!(spare(&kept, 5 * ENTRY), Some(0));
        kept.purge(2);
        assert_eq!((spare(&kept, 4 * ENTRY), spare(&kept, 3 * ENTRY)), (None, Some(2)));
    }
}
