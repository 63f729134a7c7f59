//! A memory limit that is reached now and then: something beside the store takes the room, and gives
//! it back. Keys go or writes that grow are refused meanwhile, and only then; all others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidekeep_log::{Change, Entry, EventKind, Eviction, MemoryOptions};
use tidekeep_protocol::range::KeyRange;

use crate::call::What;
use crate::world::World;

/// A command of this age is safe and known, or is lost: the longest sync and the longest restart.
const KNOWN_MS: u64 = 10_000;

/// What else takes memory on the server's machine.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    outside: Arc<AtomicU64>,
    /// Whether memory has ever run short.
    was_short: bool,
    /// When there was room for everything again.
    relieved_at: u64,
}

impl Pressure {
    pub(crate) fn options(&self, limit_bytes: u64, eviction: Eviction) -> MemoryOptions {
        let outside = Arc::clone(&self.outside);
        MemoryOptions { limit_bytes, eviction, outside }
    }
}

impl World {
    /// Takes all memory, or leaves room for some keys beside what is kept for the history and the index,
    /// or gives it back.
    pub(crate) fn squeeze(&mut self) {
        let limit = self.plan.memory_bytes;
        let some = self.random.between(limit / 16 + limit / 128, limit / 13);
        let spare = *self.random.pick(&[0, some, some, limit]);
        self.trace(format_args!("{spare} of {limit} bytes of memory are left"));
        self.server.pressure.outside.store(limit - spare.min(limit), Ordering::Relaxed);
        match spare >= limit {
            true => self.server.pressure.relieved_at = self.now,
            false => self.server.pressure.was_short = true,
        }
    }

    /// Gives all memory back.
    pub(crate) fn relieve(&mut self) {
        self.server.pressure.outside.store(0, Ordering::Relaxed);
        self.server.pressure.relieved_at = self.now;
    }

    /// The next change, if it evicts: was memory short, and are these the keys that may go? Called before
    /// the history takes it in.
    pub(crate) fn check_eviction(&self, change: &Change) -> Result<(), String> {
        let evicts = |kind| kind == EventKind::Evict;
        let Some(last) = change.events.iter().rfind(|event| evicts(event.kind)) else {
            return Ok(());
        };
        let revision = change.revision;
        let alone = |kind| evicts(kind) || kind == EventKind::Expire;
        if !change.events.iter().all(|event| alone(event.kind)) {
            return Err(format!("revision {revision} evicts beside something else"));
        }
        if change.events.iter().any(|event| event.entry.lease().is_some()) {
            return Err(format!("revision {revision} evicts what goes with a lease"));
        }
        let pressure = &self.server.pressure;
        let taken = pressure.outside.load(Ordering::Relaxed) > 0;
        if !pressure.was_short || (!taken && self.now > pressure.relieved_at + KNOWN_MS) {
            return Err(format!("revision {revision} evicts, though there was room"));
        }
        match self.plan.eviction {
            Eviction::Refuse => Err(format!("revision {revision} evicts, and is to refuse")),
            Eviction::Lru => Ok(()),
            Eviction::Soonest => {
                let latest = last.entry.expires_at();
                let goes = |key: &[u8]| change.events.iter().any(|event| event.key() == key);
                let content = self.history.content(&KeyRange::all(), revision - 1);
                let stays = content.into_iter().filter(|entry| !goes(entry.key()));
                let soonest = stays.filter_map(Entry::expires_at).min();
                if latest.is_none() || soonest.is_some_and(|at| Some(at) < latest) {
                    return Err(format!(
                        "revision {revision} evicts {latest:?} before {soonest:?}"
                    ));
                }
                Ok(())
            }
        }
    }

    /// A call was refused for want of memory: was there none, and would it have taken some?
    pub(crate) fn check_memory_full(&self, what: &What, made_at: u64) -> Result<(), String> {
        let pressure = &self.server.pressure;
        let taken = pressure.outside.load(Ordering::Relaxed) > 0;
        if !what.may_grow() {
            return Err(format!("{what:?} takes no memory, but was refused"));
        }
        if !taken && made_at >= pressure.relieved_at {
            return Err(format!("{what:?} was refused, though there was room"));
        }
        Ok(())
    }
}
