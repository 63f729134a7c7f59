//! From files to a group: the newest good snapshot, then every record after it, applied as they were
//! the first time. What does not add up refuses to start.

use std::sync::Arc;

use tidekeep_protocol::range::KeyRange;
use tidekeep_store::apply::{Stamp, apply};
use tidekeep_store::approach::{KEYS_MAX, approach};
use tidekeep_store::entry::Entry;
use tidekeep_store::history;
use tidekeep_store::moment::Moment;
use tidekeep_store::record::{BadRecord, Command, Record};
use tidekeep_store::sessions::Sessions;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::{Spread, Writing};
use tidekeep_store::snapshot::{self, Head};
use tidekeep_store::tables::Tables;
use tidekeep_store::view::View;

use crate::alarm::Alarm;
use crate::clock::Monotone;
use crate::commit::Identity;
use crate::disk::Disk;
use crate::error::{BoxError, OpenError};
use crate::gets::single_key;
use crate::group::{Cut, Group, Order, digest, held};
use crate::manifest::{MARKER, Manifest};
use crate::memory::{Eviction, Memory};
use crate::options::Options;
use crate::positions::Positions;
use crate::recover::{Recovery, at, refuse_interrupted};
use crate::solo::SoloOptions;
use crate::sync::atomic::AtomicU64;
use crate::sync::{Mutex, RwLock};
use crate::tail::Tail;

/// Entries that are worth threads of their own to lay out.
const MUCH: usize = 50_000;

/// Writes that arrive together share a record up to this many bytes.
const RECORD_BYTES: u64 = 1 << 20;

/// A store that was loaded.
pub(crate) struct Loaded {
    pub(crate) group: Group,
    pub(crate) identity: Identity,
    /// The snapshot that it was loaded from.
    pub(crate) snapshot: Option<Head>,
}

/// Loads a store, or makes an empty one where there has never been any.
pub(crate) fn load(mut options: SoloOptions) -> Result<Loaded, OpenError> {
    let spread = Spread::new((options.random)(), options.shards);
    let dice = (options.random)();
    let remembers = options.memory.eviction == Eviction::Lru && options.memory.limit_bytes > 0;
    let record_bytes = RECORD_BYTES.min(options.segment_bytes / 4) as usize;
    let log_options = Options {
        durability: options.durability,
        segment_bytes: options.segment_bytes,
        upkeep: options.upkeep,
        ..Options::new(options.random)
    };
    let recovery = Recovery::begin(options.disk, log_options)?;
    let mut state = State::new(spread, if remembers { Shard::remembering } else { Shard::new });
    let tail = state.load(&recovery, options.history_bytes)?;
    let (log, report) = recovery.replay(|_, payload| state.replay(payload, &tail))?;
    let Manifest { store_id, incarnation, .. } = *log.manifest();
    let identity = Identity { store_id: store_id.to_be_bytes(), incarnation };
    let State { shards, tables, snapshot, revision, now_ms, .. } = state;
    let store = held(shards.iter().map(|(_, shard)| &**shard));
    let memory = Memory::new(options.memory, store, options.history_bytes);
    memory.note_tables(tables.bytes());
    let group = Group {
        positions: Positions::new(log, revision),
        tail,
        clock: Monotone::new(options.clock, now_ms),
        alarm: Alarm::new(),
        shards: shards.into_iter().map(|(_, shard)| RwLock::new(*shard)).collect(),
        spread,
        limits: options.limits,
        record_bytes,
        revision: AtomicU64::new(revision),
        lease_due_ms: AtomicU64::new(tables.leases.next_due().unwrap_or(u64::MAX)),
        order: Mutex::new(Order { tables, ..Order::default() }),
        memory,
        dice: AtomicU64::new(dice),
        lags: Mutex::default(),
    };
    let (keys, _) = group.size();
    tracing::info!(records = report.replayed, revision, keys, "the store is loaded");
    Ok(Loaded { group, identity, snapshot })
}

/// Does what a start does up to its first change, and forgets it again.
pub(crate) fn rehearse(disk: &Arc<dyn Disk>) -> Result<(), OpenError> {
    refuse_interrupted(&disk.list().map_err(at("list", "the data directory"))?)?;
    let missing = || OpenError::Missing { missing: format!("its marker, the file {MARKER}") };
    let manifest = Manifest::load(&**disk, MARKER)?.ok_or_else(missing)?;
    let recovery = Recovery::find(Arc::clone(disk), Options::new(|| 0), manifest)?;
    let mut state = State::empty();
    let tail = state.load(&recovery, 0)?;
    recovery.read(|_, payload| state.replay(payload, &tail)).map(drop)
}

/// A snapshot that a newer version of this program has written.
#[derive(Debug, thiserror::Error)]
#[error("its head has version {0}, this version reads up to {newest}", newest = snapshot::VERSION)]
struct NewerHead(u8);

/// Whether what cannot be used was written by a newer version of this program.
pub(crate) fn is_newer(source: &BoxError) -> bool {
    let record = source.downcast_ref::<BadRecord>();
    source.is::<NewerHead>() || matches!(record, Some(BadRecord::Version(_)))
}

/// Whether a record can be read, without applying it.
pub(crate) fn decodes(payload: &[u8]) -> Result<(), BoxError> {
    Record::decode(payload)?.commands().try_for_each(|command| command.map(drop))?;
    Ok(())
}

/// A shard, and the entries that it is to take in.
type Work<'s> = (&'s mut Shard, Vec<Entry>);

/// A state on its way from the disk.
pub(crate) struct State {
    spread: Spread,
    shards: Vec<(usize, Box<Shard>)>,
    tables: Tables,
    snapshot: Option<Head>,
    /// Sessions of the snapshot that are yet to come.
    sessions_left: u64,
    /// Leases of the snapshot that are yet to come.
    leases_left: u64,
    /// Entries of the snapshot that are yet to come.
    entries_left: u64,
    /// Entries that no shard has taken in yet, by shards.
    coming: Vec<Vec<Entry>>,
    history: history::Reader,
    revision: u64,
    now_ms: u64,
}

impl State {
    fn new(spread: Spread, shard: fn(Spread) -> Shard) -> Self {
        Self {
            spread,
            shards: (0..spread.shards()).map(|index| (index, Box::new(shard(spread)))).collect(),
            tables: Tables::default(),
            snapshot: None,
            sessions_left: 0,
            leases_left: 0,
            entries_left: 0,
            coming: vec![Vec::new(); spread.shards()],
            history: history::Reader::default(),
            revision: 0,
            now_ms: 0,
        }
    }

    /// A state of few parts and a spread that anyone could guess, for those who only look at it.
    pub(crate) fn empty() -> Self {
        Self::new(Spread::new(0, 1), Shard::new)
    }

    /// Takes in the snapshot that recovery has chosen, if there is one.
    fn load(&mut self, recovery: &Recovery, history_bytes: usize) -> Result<Tail, OpenError> {
        recovery.load_snapshot(|chunk| self.take(chunk))?;
        match recovery.snapshot() {
            None => Ok(Tail::new(0, history_bytes)),
            Some(info) => self.begin_tail(history_bytes).map_err(|source| {
                let file = crate::snapshot::name(info.index);
                OpenError::Replay { file, index: info.index, source }
            }),
        }
    }

    /// What a snapshot of it begins with.
    pub(crate) fn head(&self) -> Head {
        let shards = || self.shards.iter().map(|(_, shard)| &**shard);
        let keys = shards().map(|shard| shard.keys() as u64).sum();
        Head {
            revision: self.revision,
            now_ms: self.now_ms,
            keys,
            digest: digest(shards()),
            sessions: self.tables.sessions.len() as u64,
            forgotten_ms: self.tables.sessions.forgotten_ms(),
            leases: self.tables.leases.len() as u64,
        }
    }

    /// As a cut after the record `index`.
    pub(crate) fn into_cut(self, index: u64) -> Cut {
        let head = self.head();
        let shards = self.shards.iter().map(|(_, shard)| &**shard);
        let view = View::freeze(shards, &KeyRange::all(), Moment::new(head.now_ms), head.revision);
        Cut { index, head, tables: self.tables.save(), view }
    }

    /// Whether it is the state that a snapshot with this head holds, whenever that was made.
    pub(crate) fn agrees(&self, head: &Head) -> bool {
        Head { now_ms: head.now_ms, ..self.head() } == *head
    }

    /// Takes in a chunk of a snapshot: its head, then its sessions, its leases, its entries, and the
    /// changes before it.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<(), BoxError> {
        if self.snapshot.is_none() {
            if let Some(&found) = chunk.first().filter(|&&version| version > snapshot::VERSION) {
                return Err(NewerHead(found).into());
            }
            let head = Head::decode(chunk).ok_or("its head cannot be read")?;
            (self.revision, self.now_ms) = (head.revision, head.now_ms);
            (self.sessions_left, self.entries_left) = (head.sessions, head.keys);
            self.leases_left = head.leases;
            self.tables.sessions = Sessions::forgotten_until(head.forgotten_ms);
            self.snapshot = Some(head);
            return Ok(());
        }
        if self.sessions_left > 0 {
            for session in snapshot::items(chunk) {
                let read = session.and_then(|bytes| self.tables.sessions.read(bytes));
                read.ok_or("a session in it cannot be read")?;
                let left = self.sessions_left.checked_sub(1);
                self.sessions_left = left.ok_or("it has too many sessions")?;
            }
            return Ok(());
        }
        if self.leases_left > 0 {
            for lease in snapshot::items(chunk) {
                let read = lease.and_then(|bytes| self.tables.leases.read(bytes));
                read.ok_or("a lease in it cannot be read")?;
                self.leases_left =
                    self.leases_left.checked_sub(1).ok_or("it has too many leases")?;
            }
            return Ok(());
        }
        if self.entries_left == 0 {
            return Ok(self.history.read(chunk).ok_or("its history cannot be read")?);
        }
        for entry in snapshot::entries(chunk) {
            let entry = entry.ok_or("an entry in it cannot be read")?;
            if !self.tables.leases.tie(&entry) {
                return Err("an entry in it goes with a lease that is not".into());
            }
            let shard = self.spread.shard_of(entry.key());
            self.coming[shard].push(entry);
            self.entries_left = self.entries_left.checked_sub(1).ok_or("it has too many keys")?;
        }
        Ok(())
    }

    /// Lays out the shards of what has come, and gives the sum over all entries. Each shard is one
    /// thread's, as many at a time as there are cores, where this is much work.
    fn fill(&mut self) -> u64 {
        let coming = std::mem::take(&mut self.coming);
        let much = coming.iter().map(Vec::len).sum::<usize>() >= MUCH;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if much { cores.min(self.shards.len()) } else { 1 };
        let mut shares: Vec<Vec<Work<'_>>> = (0..threads).map(|_| Vec::new()).collect();
        for (at, (shard, entries)) in self.shards.iter_mut().zip(coming).enumerate() {
            shares[at % threads].push((&mut *shard.1, entries));
        }
        let lay_out = |share: Vec<Work<'_>>| {
            share.into_iter().fold(0, |sum: u64, (shard, entries)| {
                shard.fill(entries);
                sum.wrapping_add(shard.digest())
            })
        };
        let mine = shares.pop();
        std::thread::scope(|scope| {
            let others: Vec<_> =
                shares.into_iter().map(|share| scope.spawn(move || lay_out(share))).collect();
            let mine = mine.map_or(0, lay_out);
            let sums = others.into_iter().map(|other| match other.join() {
                Ok(sum) => sum,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            sums.fold(mine, u64::wrapping_add)
        })
    }

    /// Checks that the snapshot adds up, and begins the tail with the changes it remembers.
    pub(crate) fn begin_tail(&mut self, history_bytes: usize) -> Result<Tail, BoxError> {
        let head = self.snapshot.ok_or("it is empty")?;
        let digest = self.fill();
        let keys: usize = self.shards.iter().map(|(_, shard)| shard.keys()).sum();
        let tables = (self.tables.sessions.len() as u64, self.tables.leases.len() as u64);
        if (keys as u64, digest, tables) != (head.keys, head.digest, (head.sessions, head.leases)) {
            return Err("its entries do not add up to its head".into());
        }
        let history = std::mem::take(&mut self.history);
        let changes = history.into_changes().ok_or("its history ends in the middle")?;
        let (first, last) = (changes.first(), changes.last());
        if last.is_some_and(|last| last.revision != head.revision) {
            return Err("its history does not lead to its revision".into());
        }
        let before = first.map_or(head.revision, |first| first.revision.saturating_sub(1));
        let tail = Tail::new(before, history_bytes);
        tail.extend(changes, head.revision, u64::MAX);
        Ok(tail)
    }

    /// Applies a record of the log.
    pub(crate) fn replay(&mut self, payload: &[u8], tail: &Tail) -> Result<(), BoxError> {
        let record = Record::decode(payload)?;
        let mut stamp = record.stamp;
        if stamp.revision != self.revision {
            let (found, expected) = (stamp.revision, self.revision);
            return Err(format!("it follows revision {found}, the state has {expected}").into());
        }
        let mut commands = record.commands().peekable();
        let mut ahead = Vec::new();
        while commands.peek().is_some() {
            // An error is the last one there is.
            ahead.extend(commands.by_ref().take(KEYS_MAX));
            self.look_ahead(&ahead);
            for command in ahead.drain(..) {
                self.apply(command?, &mut stamp, tail)?;
            }
        }
        self.revision = stamp.revision;
        self.now_ms = self.now_ms.max(stamp.now_ms);
        Ok(())
    }

    /// Brings near what commands will look at.
    fn look_ahead(&self, commands: &[Result<Command<'_>, BadRecord>]) {
        let wanted = commands.iter().filter_map(|command| {
            let (Ok(Command::Request(request)) | Ok(Command::Numbered { request, .. })) = command
            else {
                return None;
            };
            let key = single_key(request)?;
            let hash = self.spread.hash(key);
            Some((key, hash, &*self.shards[self.spread.shard_of_hash(hash)].1))
        });
        approach(wanted);
    }

    /// Applies a command.
    fn apply(
        &mut self,
        command: Command<'_>,
        stamp: &mut Stamp,
        tail: &Tail,
    ) -> Result<(), BoxError> {
        let mut writing = Writing::new(self.spread, &mut self.shards);
        let applied = apply(&mut writing, &mut self.tables, *stamp, &command);
        let (change, changed) = match command {
            Command::Numbered { changed, .. } => {
                (applied.map_or(None, |applied| applied.1), changed)
            }
            Command::Request(_) | Command::Expire(_) | Command::Evict(_) | Command::EndLease(_) => {
                (applied?.1, true)
            }
        };
        if change.is_some() != changed {
            return Err("a command does not change now what it changed the first time".into());
        }
        if let Some(change) = change {
            stamp.revision = change.revision;
            tail.extend([change], stamp.revision, u64::MAX);
        }
        Ok(())
    }
}
