//! From files to a group: the newest good snapshot, then every record after it (`state`, `replay`). What
//! does not add up refuses to start.

use std::sync::Arc;

use tidekeep_protocol::limits::Limits;
use tidekeep_store::record::{BadRecord, Record};
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::Spread;
use tidekeep_store::snapshot::Head;

use crate::alarm::Alarm;
use crate::clock::{Clock, Monotone};
use crate::commit::Identity;
use crate::disk::Disk;
use crate::error::{BoxError, OpenError};
use crate::group::{Group, Order, held};
use crate::log::Log;
use crate::manifest::{MARKER, Manifest};
use crate::memory::{Eviction, Memory, MemoryOptions};
use crate::options::Options;
use crate::positions::Positions;
use crate::recover::{Recovery, at, refuse_interrupted};
use crate::replay::Replay;
use crate::solo::SoloOptions;
use crate::state::{NewerHead, State};
use crate::sync::atomic::{AtomicBool, AtomicU64};
use crate::sync::{Mutex, RwLock};
use crate::tail::Tail;

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
    let mut replay = Replay::new(&mut state, &tail);
    let (log, report) = recovery.replay_together(|records| replay.records(records))?;
    let Manifest { store_id, incarnation, .. } = *log.manifest();
    let identity = Identity { store_id: store_id.to_be_bytes(), incarnation };
    let (snapshot, revision) = (state.snapshot, state.revision);
    let settings = Settings {
        limits: options.limits,
        record_bytes,
        history_bytes: options.history_bytes,
        memory: options.memory,
        clock: options.clock,
        dice,
    };
    let group = settings.group(state, tail, log);
    let (keys, _) = group.size();
    tracing::info!(records = report.replayed, revision, keys, "the store is loaded");
    Ok(Loaded { group, identity, snapshot })
}

/// What a group is made with beside its state.
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) record_bytes: usize,
    pub(crate) history_bytes: usize,
    pub(crate) memory: MemoryOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dice: u64,
}

impl Settings {
    /// The group of a state, whose order goes on in `log`.
    pub(crate) fn group(self, state: State, tail: Tail, log: Log) -> Group {
        let State { spread, shards, tables, revision, now_ms, .. } = state;
        let store = held(shards.iter().map(|(_, shard)| &**shard));
        let memory = Memory::new(self.memory, store, self.history_bytes);
        memory.note_tables(tables.bytes());
        Group {
            positions: Positions::new(log, revision),
            tail,
            clock: Monotone::new(self.clock, now_ms),
            alarm: Alarm::new(),
            shards: shards.into_iter().map(|(_, shard)| RwLock::new(*shard)).collect(),
            spread,
            limits: self.limits,
            record_bytes: self.record_bytes,
            revision: AtomicU64::new(revision),
            lease_due_ms: AtomicU64::new(tables.leases.next_due().unwrap_or(u64::MAX)),
            has_locks: AtomicBool::new(!tables.intents.has_no_parts()),
            order: Mutex::new(Order { tables, ..Order::default() }),
            memory,
            dice: AtomicU64::new(self.dice),
            lags: Mutex::default(),
        }
    }
}

/// Does what a start does up to its first change, and forgets it again.
pub(crate) fn rehearse(disk: &Arc<dyn Disk>) -> Result<(), OpenError> {
    refuse_interrupted(&disk.list().map_err(at("list", "the data directory"))?)?;
    let missing = || OpenError::Missing { missing: format!("its marker, the file {MARKER}") };
    let manifest = Manifest::load(&**disk, MARKER)?.ok_or_else(missing)?;
    let recovery = Recovery::find(Arc::clone(disk), Options::new(|| 0), manifest)?;
    let mut state = State::empty();
    let tail = state.load(&recovery, 0)?;
    let mut replay = Replay::new(&mut state, &tail);
    recovery.read(|records| replay.records(records)).map(drop)
}

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
