//! A memory limit that is reached now and then: something beside the store takes the room, and gives
//! it back. Writes that grow are refused meanwhile, and only then; all others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidekeep_log::{Eviction, MemoryOptions};

use crate::call::What;
use crate::world::World;

/// What else takes memory on the server's machine.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    outside: Arc<AtomicU64>,
    /// When there was room for everything again.
    relieved_at: u64,
}

impl Pressure {
    pub(crate) fn options(&self, limit_bytes: u64) -> MemoryOptions {
        let outside = Arc::clone(&self.outside);
        MemoryOptions { limit_bytes, eviction: Eviction::Refuse, outside }
    }
}

impl World {
    /// Takes all memory, or nearly all of what the history leaves, or gives it back.
    pub(crate) fn squeeze(&mut self) {
        let limit = self.plan.memory_bytes;
        let spare = *self.random.pick(&[0, 64 << 10, 80 << 10, limit]);
        self.trace(format_args!("{spare} of {limit} bytes of memory are left"));
        self.server.pressure.outside.store(limit - spare.min(limit), Ordering::Relaxed);
        if spare >= limit {
            self.server.pressure.relieved_at = self.now;
        }
    }

    /// Gives all memory back.
    pub(crate) fn relieve(&mut self) {
        self.server.pressure.outside.store(0, Ordering::Relaxed);
        self.server.pressure.relieved_at = self.now;
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
