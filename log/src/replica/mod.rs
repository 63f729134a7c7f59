//! A group whose order is decided elsewhere, by several nodes together: it applies records as they are
//! ordered, each at the time that the record bears, and keeps no log. Whoever decides the order (the crate
//! `cluster`) keeps the records, and gives back the state of [`Frozen`] before a start or to who lags behind.

mod applying;
mod dividing;
mod reading;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tidekeep_protocol::limits::Limits;
use tidekeep_store::apply::Stamp;
use tidekeep_store::history;
use tidekeep_store::recent::Run;
use tidekeep_store::record::{self, BadRecord, Expired};
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::Spread;
use tidekeep_store::snapshot::Feed;
use tidekeep_store::tables::Tables;

use crate::clock::Clock;
use crate::commit::Answer;
use crate::disk::memory::MemoryDisk;
use crate::envelope::MAX_PAYLOAD;
use crate::error::{BoxError, OpenError};
use crate::group::{Cut, Group};
use crate::load::Settings;
use crate::memory::MemoryOptions;
use crate::options::{Durability, Options, Upkeep};
use crate::pace::Pace;
use crate::recover::Recovery;
use crate::state::State;
use crate::tail::Tail;
use applying::permit;

pub use applying::Applying;
pub use dividing::{Dividing, Part};

/// How a replica is made.
#[derive(Debug, Clone)]
pub struct ReplicaOptions {
    /// The bounds of pages that it reads.
    pub limits: Limits,
    /// Changes are remembered for watchers up to this many bytes.
    pub history_bytes: usize,
    /// Locks that the keys are spread over.
    pub shards: usize,
    /// Seeds the spread; nobody outside is to guess it.
    pub seed: u64,
}

impl ReplicaOptions {
    /// What a server uses unless it is told otherwise.
    pub fn new(seed: u64) -> Self {
        Self { limits: Limits::DEFAULT, history_bytes: 64 << 20, shards: 16, seed }
    }
}

/// The state of a group on one of its nodes.
pub struct Replica {
    group: Arc<Group>,
    time: Arc<OrderedTime>,
    history_bytes: usize,
    /// Whether the state is sealed.
    sealed: AtomicBool,
}

/// The time of the newest record: the same on every node that applied the same records.
#[derive(Default)]
struct OrderedTime(AtomicU64);

impl Clock for OrderedTime {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Entries whose end is asked for at once, and leases likewise.
const DUE_STEP: usize = 128;

impl Replica {
    /// An empty one.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new(options: &ReplicaOptions) -> Result<Self, OpenError> {
        let seed = options.seed;
        let log_options = Options {
            durability: Durability::Memory,
            segment_bytes: SEGMENT_BYTES,
            upkeep: Upkeep::Steps,
            ..Options::new(move || seed)
        };
        let (log, _) =
            Recovery::begin(Arc::new(MemoryDisk::new()), log_options)?.replay(|_, _| Ok(()))?;
        let time = Arc::new(OrderedTime::default());
        let settings = Settings {
            limits: options.limits,
            record_bytes: MAX_PAYLOAD,
            history_bytes: options.history_bytes,
            memory: MemoryOptions::default(),
            clock: Arc::clone(&time) as _,
            dice: seed,
        };
        let state = State::new(Spread::new(seed, options.shards), Shard::new);
        let group = settings.group(state, Tail::new(0, options.history_bytes), log);
        let (group, sealed) = (Arc::new(group), AtomicBool::new(false));
        Ok(Self { group, time, history_bytes: options.history_bytes, sealed })
    }

    /// Applies the next record of the order. Gives the answers to its clients' commands, in their order,
    /// which may be shown at once: what is ordered is safe.
    ///
    /// # Errors
    /// [`BadRecord`]: nothing of it was applied. A node that cannot read what the others applied must
    /// not go on.
    pub fn apply(&self, record: &[u8]) -> Result<Vec<Answer>, BadRecord> {
        let mut applying = self.applying(record)?;
        Ok(std::iter::from_fn(|| applying.next_write()).collect())
    }

    /// Begins to apply the next record of the order, to run reads between its commands.
    ///
    /// # Errors
    /// [`BadRecord`]: nothing of it was applied.
    pub fn applying<'r>(&'r self, record: &'r [u8]) -> Result<Applying<'r>, BadRecord> {
        Applying::begin(self, record)
    }

    /// Makes the newest record's time at least this.
    pub(crate) fn reach(&self, now_ms: u64) {
        self.time.0.fetch_max(now_ms, Ordering::AcqRel);
    }

    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// A record that ends some of the leases and entries whose time is over at `now_ms`; none if there
    /// are none. Applying it twice, or late, ends nothing that lives.
    pub fn ending(&self, now_ms: u64) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        record::begin(Stamp { now_ms, revision: 0 }, &mut out);
        let empty = out.len();
        let due = {
            let order = self.group.order.lock();
            let Tables { leases, intents, .. } = &order.tables;
            let free = |lease: &u64| !intents.is_lease_held(*lease, leases, now_ms);
            for lease in leases.due(now_ms).filter(free).take(DUE_STEP) {
                record::push_end_lease(lease, &mut out);
            }
            self.group.due_of(now_ms, DUE_STEP, |entry| !intents.is_locked(entry.key(), now_ms))
        };
        if !due.is_empty() {
            let expired: Vec<_> = due
                .iter()
                .map(|entry| Expired { key: entry.key(), modified: entry.modified() })
                .collect();
            record::push_expire(&expired, &mut out);
        }
        (out.len() > empty).then_some(out)
    }

    /// When the next entry or lease ends, in milliseconds since 1970.
    pub fn next_due(&self) -> Option<u64> {
        self.group.next_due()
    }

    /// The whole state behind the last record. Writes go on beside it, and copy what they change.
    pub fn freeze(&self) -> Frozen {
        let cut = self.group.cut();
        let changes = self.group.tail.all(cut.head.revision);
        Frozen { cut, changes }
    }

    /// Takes the state of a [`Frozen`] from its chunks instead of its own, which must be older.
    ///
    /// # Errors
    /// What is wrong with the chunks; the state is as it was.
    pub fn install<'c>(&self, chunks: impl IntoIterator<Item = &'c [u8]>) -> Result<(), BoxError> {
        self.replace_state(|state| chunks.into_iter().try_for_each(|chunk| state.take(chunk)))
    }

    /// Takes the state that `fill` makes of an empty one.
    fn replace_state(
        &self,
        fill: impl FnOnce(&mut State) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        let mut state = State::new(self.group.spread, Shard::new);
        state.remember(self.history_bytes);
        fill(&mut state)?;
        let tail = state.begin_tail(self.history_bytes)?;
        let (revision, now_ms) = (state.revision, state.now_ms);
        let sealed = state.tables.intents.sealed().is_some();
        let permit = permit(&self.group);
        self.group.replace(state, tail);
        self.time.0.fetch_max(now_ms, Ordering::AcqRel);
        self.group.positions.note(revision);
        self.group.log().append_one(permit, &[]);
        self.group.positions.safe();
        self.sealed.store(sealed, Ordering::Release);
        Ok(())
    }
}

/// Of a log in memory that keeps no records: the least there can be.
const SEGMENT_BYTES: u64 = 4 << 10;

/// The state of a replica between two records.
pub struct Frozen {
    cut: Cut,
    changes: Run,
}

impl Frozen {
    /// The newest revision in it.
    pub fn revision(&self) -> u64 {
        self.cut.head.revision
    }

    /// How many keys are in it.
    pub fn keys(&self) -> u64 {
        self.cut.head.keys
    }

    /// Its chunks, each made when it is asked for: whoever sends them need not hold them all.
    pub fn into_chunks(self) -> FrozenChunks {
        let Self { cut, changes } = self;
        let mut ready = VecDeque::new();
        let Ok(()) = cut.write_tables(Pace::giving_way(), |chunk| {
            ready.push_back(chunk.to_vec());
            Ok::<(), Infallible>(())
        });
        FrozenChunks { ready, feed: Feed::new(cut.view), changes: Some(changes) }
    }

    /// Gives it chunk by chunk; stops at the first error of `use_chunk`.
    ///
    /// # Errors
    /// That of `use_chunk`.
    pub fn write<E>(&self, mut use_chunk: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.cut.write(Pace::giving_way(), &mut use_chunk)?;
        history::write(self.changes.changes(), use_chunk)
    }
}

/// The chunks of a [`Frozen`].
pub struct FrozenChunks {
    ready: VecDeque<Vec<u8>>,
    feed: Feed,
    /// What comes behind the entries.
    changes: Option<Run>,
}

impl Iterator for FrozenChunks {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(chunk) = self.ready.pop_front() {
            return Some(chunk);
        }
        let mut chunk = Vec::new();
        if self.changes.is_some() {
            self.feed.next_chunk(&mut chunk);
        }
        if !chunk.is_empty() {
            return Some(chunk);
        }
        let Ok(()) = history::write(self.changes.take()?.changes(), |chunk| {
            self.ready.push_back(chunk.to_vec());
            Ok::<(), Infallible>(())
        });
        self.ready.pop_front()
    }
}
