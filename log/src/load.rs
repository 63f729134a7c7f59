//! From files to a group: the newest good snapshot, then every record after it, applied as they were
//! the first time. What does not add up refuses to start.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::{Mutex, RwLock};
use tidekeep_store::apply::apply;
use tidekeep_store::record::Record;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::{Spread, Writing};
use tidekeep_store::snapshot::{self, Head};

use crate::clock::Floor;
use crate::commit::Identity;
use crate::error::{BoxError, OpenError};
use crate::group::Group;
use crate::options::Options;
use crate::positions::Positions;
use crate::recover::Recovery;
use crate::solo::SoloOptions;
use crate::tail::Tail;

/// Loads a store; `seed` spreads its keys. Gives the group, who it is, and the snapshot's head.
pub(crate) fn load(options: SoloOptions, seed: u64) -> Result<(Group, Identity, Head), OpenError> {
    let log_options = Options {
        durability: options.durability,
        segment_bytes: options.segment_bytes,
        ..Options::new(options.random)
    };
    let recovery = Recovery::begin(options.disk, log_options)?;
    let manifest = recovery.manifest();
    let identity =
        Identity { store_id: manifest.store_id.to_be_bytes(), incarnation: manifest.incarnation };
    let mut loading = Loading::new(Spread::new(seed, options.shards));
    recovery.load_snapshot(|chunk| loading.chunk(chunk))?;
    let head = loading.head.unwrap_or(Head { revision: 0, now_ms: 0, keys: 0, digest: 0 });
    if let Some(info) = recovery.snapshot() {
        loading.check_snapshot().map_err(|source| OpenError::Replay {
            file: "the snapshot".into(),
            index: info.index,
            source,
        })?;
    }
    let tail = Tail::new(head.revision, options.history_bytes);
    loading.revision = head.revision;
    loading.now_ms = head.now_ms;
    let (log, report) = recovery.replay(|_, payload| loading.record(payload, &tail))?;
    tracing::info!(
        records = report.replayed,
        revision = loading.revision,
        keys = loading.shards.iter().map(|(_, shard)| shard.keys()).sum::<usize>(),
        "the store is loaded"
    );
    let floor = Floor::default();
    floor.raise(loading.now_ms);
    let revision = loading.revision;
    let group = Group {
        positions: Arc::new(Positions::new(log, revision)),
        tail,
        shards: loading.shards.into_iter().map(|(_, shard)| RwLock::new(*shard)).collect(),
        spread: loading.spread,
        clock: options.clock,
        floor,
        limits: options.limits,
        revision: AtomicU64::new(revision),
        order: Mutex::default(),
    };
    Ok((group, identity, head))
}

/// A state on its way from the disk.
struct Loading {
    spread: Spread,
    shards: Vec<(usize, Box<Shard>)>,
    head: Option<Head>,
    revision: u64,
    now_ms: u64,
}

impl Loading {
    fn new(spread: Spread) -> Self {
        let shards = (0..spread.shards()).map(|index| (index, Box::default())).collect();
        Self { spread, shards, head: None, revision: 0, now_ms: 0 }
    }

    fn chunk(&mut self, chunk: &[u8]) -> Result<(), BoxError> {
        if self.head.is_none() {
            self.head = Some(Head::decode(chunk).ok_or("its head cannot be read")?);
            return Ok(());
        }
        for entry in snapshot::entries(chunk) {
            let entry = entry.ok_or("an entry in it cannot be read")?;
            let shard = self.spread.shard_of(entry.key());
            self.shards[shard].1.insert(entry);
        }
        Ok(())
    }

    fn check_snapshot(&self) -> Result<(), BoxError> {
        let head = self.head.ok_or("it is empty")?;
        let keys: usize = self.shards.iter().map(|(_, shard)| shard.keys()).sum();
        let digest =
            self.shards.iter().fold(0, |sum: u64, (_, shard)| sum.wrapping_add(shard.digest()));
        if (keys as u64, digest) != (head.keys, head.digest) {
            return Err("its entries do not add up to its head".into());
        }
        Ok(())
    }

    fn record(&mut self, payload: &[u8], tail: &Tail) -> Result<(), BoxError> {
        let record = Record::decode(payload)?;
        if record.stamp.revision != self.revision {
            return Err(format!(
                "it follows revision {}, the state has {}",
                record.stamp.revision, self.revision
            )
            .into());
        }
        let mut stamp = record.stamp;
        for command in record.commands() {
            let mut writing = Writing::new(self.spread, &mut self.shards);
            let (_, change) = apply(&mut writing, stamp, &command?)?;
            let change = change.ok_or("a command that changed something changes nothing now")?;
            stamp.revision = change.revision;
            tail.extend([change]);
        }
        self.revision = stamp.revision;
        self.now_ms = self.now_ms.max(stamp.now_ms);
        Ok(())
    }
}
