//! The memory limit: what the store holds, how much more it may, and who is to make room. Entries,
//! leaves and ends are counted as writes change them; the history gives way to them down to a floor.
//!
//! ```text
//! limit = entries + index + sessions + buffers of connections + the history's floor
//!         + what the index may grow by + room
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

use tidekeep_protocol::planted;

/// What happens to a write that does not fit below the memory limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Eviction {
    /// It is refused.
    #[default]
    Refuse,
    /// Entries go that were not used for the longest time, as far as a sample tells.
    Lru,
    /// Entries go that end soonest; those without an end stay.
    Soonest,
}

/// How much memory a store may take.
#[derive(Debug, Clone, Default)]
pub struct MemoryOptions {
    /// The limit, in bytes; 0 is none.
    pub limit_bytes: u64,
    /// What happens at the limit.
    pub eviction: Eviction,
    /// Bytes that the store's user holds for it and that count as well: buffers of connections.
    pub outside: Arc<AtomicU64>,
}

/// Part of the limit that the history may take however much the store needs.
const FLOOR_PART: u64 = 16;

/// Part of the limit that is for what finding entries takes to grow into: it grows in steps, by which
/// no single write can be measured.
const INDEX_PART: u64 = 128;

/// Part of the limit that eviction keeps free.
const HEADROOM_PART: u64 = 16;
const HEADROOM_MIN: u64 = 16 << 10;
const HEADROOM_MAX: u64 = 16 << 20;

/// The account of a group's memory.
pub(crate) struct Memory {
    options: MemoryOptions,
    history_max: u64,
    history_floor: u64,
    /// What the shards hold. Kept only if there is a limit; written under the order lock.
    store: AtomicU64,
    /// What the tables beside them hold, likewise.
    tables: AtomicU64,
    /// Entries that made room.
    pub(crate) evicted: AtomicU64,
    /// Writes that did not fit.
    pub(crate) refused: AtomicU64,
    /// The thread that makes room.
    evictor: OnceLock<Thread>,
}

impl Memory {
    /// The account of shards that hold `store` bytes, beside a history of at most `history_max`.
    pub(crate) fn new(options: MemoryOptions, store: u64, history_max: usize) -> Self {
        let history_max = history_max as u64;
        let history_floor = history_max.min(options.limit_bytes / FLOOR_PART);
        Self {
            options,
            history_max,
            history_floor,
            store: AtomicU64::new(store),
            tables: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            evictor: OnceLock::new(),
        }
    }

    /// The limit, if there is one.
    pub(crate) fn limit(&self) -> Option<u64> {
        Some(self.options.limit_bytes).filter(|limit| *limit > 0)
    }

    /// How room is made, if it is.
    pub(crate) fn eviction(&self) -> Option<Eviction> {
        Some(self.options.eviction).filter(|way| self.limit().is_some() && *way != Eviction::Refuse)
    }

    /// Bytes that the store's user holds.
    pub(crate) fn outside(&self) -> u64 {
        self.options.outside.load(Ordering::Relaxed)
    }

    /// Notes that shards which held `before` bytes hold `after`.
    pub(crate) fn moved(&self, before: u64, after: u64) {
        if planted::is_awake("memory-not-counted") {
            return;
        }
        // Wraps around to a subtraction when it became less.
        self.store.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Notes what the tables hold.
    pub(crate) fn note_tables(&self, bytes: usize) {
        self.tables.store(bytes as u64, Ordering::Relaxed);
    }

    /// By how much the entries may grow. The history's floor is kept free for it whether or not it is
    /// used, so that what a delete takes out of the store is room at once, although watchers are yet to
    /// be told of it.
    pub(crate) fn room(&self) -> u64 {
        let Some(limit) = self.limit() else { return u64::MAX };
        self.left(limit).saturating_sub(self.history_floor + limit / INDEX_PART)
    }

    /// How much the history may hold now.
    pub(crate) fn history_max(&self) -> u64 {
        match self.limit() {
            None => self.history_max,
            Some(limit) => self.left(limit).clamp(self.history_floor, self.history_max),
        }
    }

    /// What eviction keeps free.
    pub(crate) fn headroom(&self) -> u64 {
        (self.options.limit_bytes / HEADROOM_PART).clamp(HEADROOM_MIN, HEADROOM_MAX)
    }

    /// Makes the calling thread the one that makes room.
    pub(crate) fn wake_me(&self) {
        // A group has one such thread; a second one would only not be woken.
        let _ = self.evictor.set(thread::current());
    }

    /// Wakes the thread that makes room, if there is too little.
    pub(crate) fn press(&self) {
        if self.eviction().is_some()
            && self.room() < self.headroom()
            && let Some(thread) = self.evictor.get()
        {
            thread.unpark();
        }
    }

    fn left(&self, limit: u64) -> u64 {
        let store = self.store.load(Ordering::Relaxed) + self.tables.load(Ordering::Relaxed);
        let taken = store.saturating_add(self.outside());
        limit.saturating_sub(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(limit_bytes: u64, store: u64) -> Memory {
        let options = MemoryOptions { limit_bytes, ..MemoryOptions::default() };
        Memory::new(options, store, 1000)
    }

    #[test]
    fn without_a_limit_there_is_always_room() {
        let memory = memory(0, u64::MAX / 2);
        assert_eq!((memory.room(), memory.history_max()), (u64::MAX, 1000));
        assert_eq!(memory.eviction(), None);
    }

    #[test]
    fn the_history_gives_way_down_to_its_floor() {
        let memory = memory(1600, 0);
        assert_eq!((memory.room(), memory.history_max()), (1488, 1000));
        memory.moved(0, 1200);
        assert_eq!((memory.room(), memory.history_max()), (288, 400));
        memory.moved(1200, 1590);
        assert_eq!((memory.room(), memory.history_max()), (0, 100));
        memory.options.outside.store(5000, Ordering::Relaxed);
        assert_eq!((memory.room(), memory.history_max()), (0, 100));
        memory.options.outside.store(0, Ordering::Relaxed);
        memory.moved(1590, 90);
        assert_eq!(memory.room(), 1398);
    }
}
