//! The log of a node, which all its groups share: their items are appended in the order in which the groups
//! gave them, written and synced together, and each group is told of its own in that order. What is to be
//! appended waits here while the log has no room; openraft's own task never does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use openraft::type_config::AsyncRuntime;
use parking_lot::Mutex;
use tokio::sync::Notify;

use tidekeep_log::disk::Disk;
use tidekeep_log::{
    Durability, Identity, Log, MAX_PAYLOAD, OpenError, Options, Recovery, Refused, ReplicaOptions,
    SnapshotError, SnapshotTally, Upkeep,
};

use crate::raft::item::Item;
use crate::raft::opening::{Opened, Reading};
use crate::raft::storage::{Captured, Store};
use crate::raft::telling::{Done, Telling};

/// How a node's log is kept.
pub struct JournalOptions {
    /// Where its files are.
    pub disk: Arc<dyn Disk>,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// Who does the log's work.
    pub upkeep: Upkeep,
    /// With [`Upkeep::Steps`], told whenever there is something to step for.
    pub appended: Option<Arc<Notify>>,
    /// How the groups' replicas are made.
    pub replica: ReplicaOptions,
    /// Source of ids and seeds; must not repeat after a restart.
    pub random: Box<dyn FnMut() -> u64 + Send>,
}

/// A node's log.
pub struct Journal {
    log: Log,
    appended: Option<Arc<Notify>>,
    queue: Mutex<Queue>,
    /// Wakes the task that waits for room.
    waits: Notify,
    telling: Arc<Telling>,
    stores: Mutex<BTreeMap<u32, Weak<Store>>>,
    /// The groups that the log held something of when it was opened.
    found: BTreeSet<u32>,
    /// Groups that another one was split into, until a member is started for them.
    born: Mutex<BTreeMap<u32, Arc<Store>>>,
    snapshots: SnapshotTally,
    replica: ReplicaOptions,
    segment_bytes: u64,
}

struct Queue {
    /// Index of the last record that was given to the log or waits to be.
    last: u64,
    waiting: VecDeque<Write>,
}

/// Records of one group, and whom to tell when they are safe.
struct Write {
    records: Vec<Vec<u8>>,
    done: Done,
}

/// Time between two looks at a full disk.
const FULL_RETRY: Duration = Duration::from_millis(100);

/// More than an entry has beside the record that it carries.
const ENTRY_HEAD: usize = 256;

/// Part of a segment that a record of a state's chunk takes at most.
const SHARE: u64 = 8;

impl Journal {
    /// Opens the log of a node, or makes an empty one, and reads what it holds.
    ///
    /// # Errors
    /// [`OpenError`]: what is there cannot be trusted; nothing is changed.
    pub fn open(mut options: JournalOptions) -> Result<Opened, OpenError> {
        let replica = ReplicaOptions { seed: (options.random)(), ..options.replica };
        let log_options = Options {
            durability: Durability::Always,
            segment_bytes: options.segment_bytes,
            upkeep: options.upkeep,
            ..Options::new(options.random)
        };
        let recovery = Recovery::begin(options.disk, log_options)?;
        let mut reading = Reading::new(&replica);
        recovery.load_snapshot(|chunk| reading.chunk(chunk))?;
        let (log, report) = recovery.replay(|index, record| reading.record(index, record))?;
        let last = report.last_index;
        let found = reading.end(last)?;
        let journal = Self {
            log,
            appended: options.appended,
            queue: Mutex::new(Queue { last, waiting: VecDeque::new() }),
            waits: Notify::new(),
            telling: Arc::default(),
            stores: Mutex::default(),
            found: found.groups(),
            born: Mutex::default(),
            snapshots: SnapshotTally::default(),
            replica,
            segment_bytes: options.segment_bytes,
        };
        for group in found.ahead(last) {
            // Whatever is appended later is behind it, on disk too.
            journal.append(vec![Item::Captured(last).encode(group)], Box::new(drop));
        }
        Ok(Opened::new(Arc::new(journal), found))
    }

    /// Appends records behind all others; `done` is told when they are safe. Never waits. Gives the
    /// index of the last one.
    pub(crate) fn append(&self, records: Vec<Vec<u8>>, done: Done) -> u64 {
        let mut queue = self.queue.lock();
        queue.last += records.len() as u64;
        let last = queue.last;
        let mut write = Write { records, done };
        if queue.waiting.is_empty() {
            match self.give(&mut write) {
                Ok(()) => self.tell(last, write.done),
                Err(Refused::Busy(_) | Refused::Full) => {
                    queue.waiting.push_back(write);
                    self.waits.notify_one();
                }
                Err(refused) => (write.done)(Err(io::Error::other(refused.to_string()))),
            }
        } else {
            queue.waiting.push_back(write);
        }
        last
    }

    /// Index of the last record that anybody appended.
    pub(crate) fn last(&self) -> u64 {
        self.queue.lock().last
    }

    /// Gives the log as many of the records as it takes now.
    fn give(&self, write: &mut Write) -> Result<(), Refused> {
        let mut given = 0;
        let outcome = write.records.iter().try_for_each(|record| {
            let permit = self.log.admit(1, record.len())?;
            self.log.append_one(permit, record);
            given += 1;
            Ok(())
        });
        write.records.drain(..given);
        if let (true, Some(appended)) = (given > 0, &self.appended) {
            appended.notify_one();
        }
        outcome
    }

    fn tell(&self, last: u64, done: Done) {
        self.telling.add(self.log.ticket(last), done);
    }

    /// Gives the log what waits for room, in order; what to wait for before the next try.
    fn give_waiting(&self) -> Option<Refused> {
        let mut queue = self.queue.lock();
        while let Some(mut write) = queue.waiting.pop_front() {
            match self.give(&mut write) {
                Ok(()) => self.tell(self.log.appended(), write.done),
                Err(refused @ (Refused::Busy(_) | Refused::Full)) => {
                    queue.waiting.push_front(write);
                    return Some(refused);
                }
                Err(refused) => (write.done)(Err(io::Error::other(refused.to_string()))),
            }
        }
        None
    }

    /// Makes a group known, so that snapshots have it.
    pub(crate) fn register(&self, group: u32, store: &Arc<Store>) {
        self.stores.lock().insert(group, Arc::downgrade(store));
    }

    /// The groups that it keeps something of now.
    pub fn groups(&self) -> Vec<u32> {
        let stores = self.stores();
        stores.iter().filter(|store| !store.is_forgotten()).map(|store| store.group).collect()
    }

    /// Whether there is something of a group here.
    pub(crate) fn has(&self, group: u32) -> bool {
        let is_alive = |store: &Weak<Store>| store.strong_count() > 0;
        self.found.contains(&group) || self.stores.lock().get(&group).is_some_and(is_alive)
    }

    /// Keeps a group that another one was split into until a member is started for it.
    pub(crate) fn keep_born(&self, group: u32, store: Arc<Store>) {
        self.born.lock().insert(group, store);
    }

    /// Whether another group was split into a group that no member was started for yet.
    pub(crate) fn has_born(&self, group: u32) -> bool {
        self.born.lock().contains_key(&group)
    }

    /// A group that another one was split into, for the member that is started for it.
    pub(crate) fn take_born(&self, group: u32) -> Option<Arc<Store>> {
        self.born.lock().remove(&group)
    }

    /// The longest record of a state's chunk, in bytes.
    pub(crate) fn record_max(&self) -> usize {
        (self.segment_bytes / SHARE) as usize
    }

    /// The longest record that a group may order, in bytes: what its entry takes beside it fits as well. All
    /// nodes of a group need segments of the same length.
    pub(crate) fn proposal_max(&self) -> usize {
        (self.segment_bytes as usize / 2).min(MAX_PAYLOAD - ENTRY_HEAD)
    }

    /// How replicas of this node are made.
    pub(crate) fn replica_options(&self) -> &ReplicaOptions {
        &self.replica
    }

    /// Which store the log was made as, and which history of it.
    pub fn identity(&self) -> Identity {
        let manifest = self.log.manifest();
        Identity { store_id: manifest.store_id.to_be_bytes(), incarnation: manifest.incarnation }
    }

    /// Whether a snapshot is worth its while, where one is wanted after so many bytes of log.
    pub fn wants_snapshot(&self, log_bytes: u64) -> bool {
        let bytes = || self.stores().iter().map(|store| store.replica.bytes()).sum();
        self.log.wants_snapshot(log_bytes, bytes)
    }

    /// All groups as they are now, to be written as a snapshot.
    pub fn cut(&self) -> Cut<'_> {
        // What was appended by now is in every group's state; what comes meanwhile is told apart by its
        // index.
        let index = self.log.appended();
        let stores = self.stores();
        let created_ms = stores.iter().map(|store| store.replica.now_ms()).max().unwrap_or(0);
        let groups = stores.iter().filter_map(|store| store.capture()).collect();
        let revision = stores.iter().map(|store| store.replica.revision()).max().unwrap_or(0);
        Cut { journal: self, index, revision, created_ms, groups }
    }

    /// Writes a snapshot of all groups and releases what it makes superfluous. Blocks for as long as that
    /// takes.
    ///
    /// # Errors
    /// [`SnapshotError`]: the log is as it was before.
    pub fn snapshot(&self) -> Result<(), SnapshotError> {
        self.cut().write()
    }

    fn stores(&self) -> Vec<Arc<Store>> {
        self.stores.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// What is wrong although everything is served, in words for who runs the node.
    pub fn warning(&self) -> Option<String> {
        self.snapshots.warning(&self.log)
    }

    /// Gives each figure of the log and its snapshots by name.
    pub fn figures(&self, each: &mut dyn FnMut(&'static str, u64)) {
        self.log.figures(each);
        let now_ms = self.stores().iter().map(|store| store.replica.now_ms()).max().unwrap_or(0);
        self.snapshots.figures(now_ms, each);
    }

    /// Resolves with the reason, once the disk has failed for good.
    pub async fn failed(&self) -> String {
        match self.log.until_failure().await {
            Err(failure) => failure.to_string(),
            Ok(()) => std::future::pending().await,
        }
    }

    /// Writes everything to disk and stops the log's threads. Blocks until that is done.
    ///
    /// # Errors
    /// Why not everything is on disk.
    pub fn close(&self) -> Result<(), String> {
        self.log.close().map_err(|failure| failure.to_string())
    }

    /// With [`Upkeep::Steps`], does one piece of the log's work; whether there was any.
    pub fn step(&self) -> bool {
        self.log.step()
    }

    /// How long the disk call that runs now has been running.
    pub fn stalled(&self) -> Option<Duration> {
        self.log.stalled()
    }

    /// Whether something waits for room on the disk.
    pub fn waits_for_room(&self) -> bool {
        self.is_full() && !self.queue.lock().waiting.is_empty()
    }

    /// Whether the disk has no room for more than is prepared: what comes then waits until it has.
    pub fn is_full(&self) -> bool {
        self.log.stats().full
    }
}

/// All groups of a node at about one moment, each with what it had then.
pub struct Cut<'j> {
    journal: &'j Journal,
    index: u64,
    /// The greatest of the groups' revisions.
    revision: u64,
    created_ms: u64,
    groups: Vec<Captured>,
}

impl Cut<'_> {
    /// Writes it as a snapshot of the log, and releases what that makes superfluous. Blocks for as long as
    /// that takes.
    ///
    /// # Errors
    /// [`SnapshotError`]: the log is as it was before.
    pub fn write(self) -> Result<(), SnapshotError> {
        let mut groups = self.groups.into_iter();
        let Journal { log, snapshots, .. } = self.journal;
        let written = log.write_snapshot(self.index, self.created_ms, |out| {
            groups.try_for_each(|group| group.write(&mut |item| out.write(item)))
        });
        snapshots.note(&written, self.revision, self.created_ms);
        written.map(drop)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.telling.end();
    }
}

impl Opened {
    /// Starts the task that the log needs beside its threads. It ends with the journal.
    pub fn run<R: AsyncRuntime>(&self) {
        if self.runs.swap(true, Ordering::Relaxed) {
            return;
        }
        let journal = Arc::downgrade(&self.journal);
        // It ends by itself: nobody waits for it.
        let _giving = R::spawn(async move {
            loop {
                let Some(alive) = journal.upgrade() else { return };
                match alive.give_waiting() {
                    Some(Refused::Busy(room)) => {
                        drop(alive);
                        // A failure is met again when the records are given.
                        let _ = room.await;
                    }
                    Some(_) => {
                        drop(alive);
                        R::sleep(FULL_RETRY).await;
                    }
                    None => {
                        let looked = R::timeout(LOOK, alive.waits.notified()).await;
                        // Either way the next round looks, and ends where the journal did.
                        drop(looked);
                    }
                }
            }
        });
    }
}

/// Time after which the task that waits for room looks whether the journal is still there.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
    use openraft_rt_sim::SimRuntime;
    use tidekeep_log::disk::faulty::{Crash, FaultyDisk, seeded};

    use super::*;
    use crate::placement::NodeId;
    use crate::raft::item::Given;
    use crate::raft::recovered::Recovered;
    use crate::raft::storage::Entries;
    use crate::raft::told::Told;
    use crate::raft::types::{Entry, LeaderId, LogId, Payload, Promise, Proposal};

    const NODE: NodeId = NodeId(1);
    const GROUP: u32 = 3;
    const SEGMENT_BYTES: u64 = 4 << 10;
    const RECORD: usize = 700;

    /// The log on a disk, and its only group.
    fn open(disk: &FaultyDisk) -> (Opened, Arc<Store>) {
        let opened = Journal::open(JournalOptions {
            disk: Arc::new(disk.clone()),
            segment_bytes: SEGMENT_BYTES,
            upkeep: Upkeep::Steps,
            appended: None,
            replica: ReplicaOptions::new(1),
            random: Box::new(seeded(1)),
        });
        let opened = opened.unwrap();
        let recovered = opened.recovered.lock().remove(&GROUP);
        let recovered =
            recovered.unwrap_or_else(|| Recovered::new(&ReplicaOptions::new(1)).unwrap());
        let store = Store::new(GROUP, recovered, Arc::clone(&opened.journal));
        (opened, store)
    }

    fn append(store: &Arc<Store>, index: u64) {
        append_of(store, 1, index);
    }

    fn append_of(store: &Arc<Store>, term: u64, index: u64) {
        let log_id = LogId::new(LeaderId { term, node_id: NODE }, index);
        let entry = Entry { log_id, payload: Payload::Normal(Proposal::new(vec![0; RECORD])) };
        let mut entries =
            Entries::<SimRuntime>::new(Arc::clone(store), Arc::new(Told::new(NODE, 0)));
        SimRuntime::with_seed(0).block_on(entries.append([entry], IOFlushed::noop())).unwrap();
    }

    fn last(store: &Arc<Store>) -> Option<u64> {
        let mut entries =
            Entries::<SimRuntime>::new(Arc::clone(store), Arc::new(Told::new(NODE, 0)));
        let state = SimRuntime::with_seed(0).block_on(entries.get_log_state()).unwrap();
        state.last_log_id.map(|last| last.index)
    }

    /// Does all that the disk has to do.
    fn settle(opened: &Opened) {
        while opened.journal.step() {}
        assert!(opened.journal.give_waiting().is_none());
        while opened.journal.step() {}
    }

    fn promise(store: &Arc<Store>) -> Option<Promise> {
        let mut entries =
            Entries::<SimRuntime>::new(Arc::clone(store), Arc::new(Told::new(NODE, 0)));
        SimRuntime::with_seed(0).block_on(entries.read_vote()).unwrap()
    }

    #[test]
    fn a_replica_that_was_given_counts_for_nothing_before_it_has_what_was_there() {
        for snapshots in [false, true] {
            let mut disk = FaultyDisk::new(1);
            let place = LogId::new(LeaderId { term: 3, node_id: NODE }, 2);
            let given = Given { promise: Promise::new(3, NODE), place };
            let (opened, _) = open(&disk);
            let recovered = Recovered::given(&ReplicaOptions::new(1), given).unwrap();
            let store = Store::new(GROUP, recovered, Arc::clone(&opened.journal));
            store.keep_given();
            assert!(store.is_partial());
            settle(&opened);
            drop((opened, store));
            // A log that is longer and of an earlier leader has not what the later one had ordered.
            let entries = [(1, 0), (1, 1), (1, 2), (1, 3), (3, 4), (4, 5)];
            for (at, &(term, index)) in entries.iter().enumerate() {
                disk = disk.crash(Crash::Drop);
                let (opened, store) = open(&disk);
                assert_eq!((store.is_partial(), store.was_given()), (at < 5, true), "{at}");
                assert_eq!(promise(&store), Some(given.promise));
                append_of(&store, term, index);
                settle(&opened);
                if snapshots {
                    opened.journal.snapshot().unwrap();
                    settle(&opened);
                }
                drop((opened, store));
            }
        }
    }

    #[test]
    fn a_replica_that_was_forgotten_and_one_that_was_there_from_the_first_are_no_given_ones() {
        let disk = FaultyDisk::new(1);
        let place = LogId::new(LeaderId { term: 3, node_id: NODE }, 2);
        let given = Given { promise: Promise::new(3, NODE), place };
        let (opened, first) = open(&disk);
        assert!(!first.is_partial() && !first.was_given());
        let recovered = Recovered::given(&ReplicaOptions::new(1), given).unwrap();
        let store = Store::new(GROUP, recovered, Arc::clone(&opened.journal));
        store.keep_given();
        drop(store.forget());
        settle(&opened);
        drop((opened, first, store));
        let (_opened, store) = open(&disk.crash(Crash::Drop));
        assert!(!store.is_partial() && !store.was_given());
        assert_eq!(promise(&store), None);
    }

    #[test]
    fn what_follows_a_snapshot_that_was_ahead_of_its_log_is_there_after_every_start() {
        let mut disk = FaultyDisk::new(1);
        let (opened, store) = open(&disk);
        let mut next = 0;
        while opened.journal.queue.lock().waiting.len() < 3 {
            append(&store, next);
            next += 1;
        }
        // It has the entries that wait for room, and the log loses them.
        opened.journal.snapshot().unwrap();
        drop((opened, store));
        for _ in 0..3 {
            disk = disk.crash(Crash::Drop);
            let (opened, store) = open(&disk);
            assert_eq!(last(&store), Some(next - 1));
            append(&store, next);
            next += 1;
            while opened.journal.step() {}
            assert!(opened.journal.give_waiting().is_none());
            while opened.journal.step() {}
        }
    }
}
