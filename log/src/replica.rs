//! A group whose order is decided elsewhere, by several nodes together: it applies records as they are
//! ordered, each at the time that the record bears, and keeps no log. Whoever decides the order (the crate
//! `cluster`) keeps the records, and gives back the state of [`Frozen`] before a start or to who lags behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::Class;
use tidekeep_store::apply::Stamp;
use tidekeep_store::history;
use tidekeep_store::recent::Run;
use tidekeep_store::record::{self, BadRecord, Expired, Record};
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::Spread;

use crate::clock::Clock;
use crate::commit::{Answer, Answers, Call, Changes, TooOld};
use crate::disk::memory::MemoryDisk;
use crate::envelope::MAX_PAYLOAD;
use crate::error::{BoxError, OpenError};
use crate::group::{Cut, Group};
use crate::load::Settings;
use crate::log::Permit;
use crate::memory::MemoryOptions;
use crate::options::{Durability, Options, Upkeep};
use crate::pace::Pace;
use crate::recover::Recovery;
use crate::state::State;
use crate::tail::Tail;
use crate::turn::Turn;

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
    group: Group,
    time: Arc<OrderedTime>,
    history_bytes: usize,
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
        Ok(Self { group, time, history_bytes: options.history_bytes })
    }

    /// Applies the next record of the order. Gives the answers to its clients' commands, in their order,
    /// which may be shown at once: what is ordered is safe.
    ///
    /// # Errors
    /// [`BadRecord`]: nothing of it was applied. A node that cannot read what the others applied must
    /// not go on.
    pub fn apply(&self, record: &[u8]) -> Result<Vec<Answer>, BadRecord> {
        let record = Record::decode(record)?;
        let commands = record.commands().collect::<Result<Vec<_>, _>>()?;
        self.time.0.fetch_max(record.stamp.now_ms, Ordering::AcqRel);
        let permit = self.permit();
        let mut turn = Turn::begin(&self.group);
        let answers = commands.into_iter().filter_map(|command| turn.command(command)).collect();
        turn.finish(permit);
        Ok(answers)
    }

    /// Answers reads, of one moment: that of the newest record. A write among them is refused.
    pub fn read(&self, calls: &[Call<'_>], answers: &mut dyn Answers) {
        let moment = self.group.moment();
        let (mut at, mut shows) = (0, 0);
        while let Some(call) = calls.get(at) {
            debug_assert_eq!(call.request.spec().class, Class::Read);
            match self.group.get_all(&calls[at..], &moment, &mut shows, answers) {
                0 => {
                    self.group.read(&call.request, &moment, &mut shows, answers);
                    at += 1;
                }
                some => at += some,
            }
        }
    }

    /// A record that ends some of the leases and entries whose time is over at `now_ms`; none if there
    /// are none. Applying it twice, or late, ends nothing that lives.
    pub fn ending(&self, now_ms: u64) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        record::begin(Stamp { now_ms, revision: 0 }, &mut out);
        let empty = out.len();
        {
            let order = self.group.order.lock();
            for lease in order.tables.leases.due(now_ms).take(DUE_STEP) {
                record::push_end_lease(lease, &mut out);
            }
        }
        let due = self.group.due(now_ms, DUE_STEP);
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

    /// The time of the newest record, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.time.now_ms()
    }

    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.group.positions.safe()
    }

    /// The changes after a revision, oldest first: at most `bytes` of memory, but at least one if there
    /// is one.
    ///
    /// # Errors
    /// [`TooOld`]: some of them have been forgotten.
    pub fn changes(&self, after: u64, bytes: usize) -> Result<Changes, TooOld> {
        self.group.tail.read(after, self.revision(), bytes)
    }

    /// A sum over all entries: equal replicas have equal digests.
    pub fn digest(&self) -> u64 {
        self.group.digest()
    }

    /// How many keys are kept, those included whose time is over and that are yet to be removed.
    pub fn keys(&self) -> u64 {
        self.group.size().0
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
        let mut state = State::new(self.group.spread, Shard::new);
        state.remember(self.history_bytes);
        chunks.into_iter().try_for_each(|chunk| state.take(chunk))?;
        let tail = state.begin_tail(self.history_bytes)?;
        let (revision, now_ms) = (state.revision, state.now_ms);
        let permit = self.permit();
        self.group.replace(state, tail);
        self.time.0.fetch_max(now_ms, Ordering::AcqRel);
        self.group.positions.note(revision);
        self.group.log().append_one(permit, &[]);
        Ok(())
    }

    /// Room in a log that keeps nothing.
    fn permit(&self) -> Permit<'_> {
        let admitted = self.group.log().admit(1, 0);
        admitted.unwrap_or_else(|_| unreachable!("it keeps nothing, and nobody closes it"))
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

    /// Gives it chunk by chunk; stops at the first error of `use_chunk`.
    ///
    /// # Errors
    /// That of `use_chunk`.
    pub fn write<E>(&self, mut use_chunk: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.cut.write(Pace::giving_way(), &mut use_chunk)?;
        history::write(self.changes.changes(), use_chunk)
    }
}
