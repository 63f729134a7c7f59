//! Makes room below the memory limit. A thread keeps some free, so that writers seldom wait for it;
//! a writer that finds too little takes a bounded step itself.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tidekeep_store::entry::Entry;

use crate::background::Tally;
use crate::error::Refused;
use crate::group::Group;
use crate::memory::Eviction;

/// The longest sleep: buffers of connections grow without a write that would wake the thread.
const NAP: Duration = Duration::from_millis(100);

/// The pause after the log had no room, or when nothing can be evicted.
const AFTER_FAILURE: Duration = Duration::from_millis(40);

/// Entries in one evict command.
const STEP: usize = 128;

/// Entries that one writer removes before it gives up.
const WRITER_STEPS: usize = 32;

/// Entries that are looked at for each that is to go: the older of many go, not the oldest of all.
const SAMPLES: usize = 8;

pub(crate) fn run(group: &Group, tally: &Tally) {
    group.memory.wake_me();
    while !tally.closing() {
        let missing = group.memory.headroom().saturating_sub(group.memory.room());
        if missing == 0 {
            thread::park_timeout(NAP);
        } else if !matches!(group.evict(missing), Ok(evicted) if evicted > 0) {
            thread::park_timeout(AFTER_FAILURE);
        }
    }
}

impl Group {
    /// Makes room for writes that may grow the entries by this much, as far as a few steps do.
    pub(crate) fn make_room(&self, bytes: u64) {
        if self.memory.eviction().is_none() {
            return;
        }
        for _ in 0..WRITER_STEPS {
            let missing = bytes.saturating_sub(self.memory.room());
            // What cannot be evicted now is the write's to be refused.
            if missing == 0 || !matches!(self.evict(missing), Ok(evicted) if evicted > 0) {
                return;
            }
        }
    }

    /// Evicts entries worth about this much, a step's at most; how many.
    ///
    /// # Errors
    /// The log has no room now, or has failed.
    pub(crate) fn evict(&self, bytes: u64) -> Result<usize, Refused> {
        let candidates = match self.memory.eviction() {
            None | Some(Eviction::Refuse) => return Ok(0),
            Some(Eviction::Lru) => self.least_recently_used(),
            Some(Eviction::Soonest) => self.ending_soonest(),
        };
        let mut left = bytes;
        let enough = |entry: &Entry| {
            let wanted = left > 0;
            left = left.saturating_sub(entry.cost() as u64);
            wanted
        };
        let chosen: Vec<Entry> = candidates.into_iter().take_while(enough).collect();
        if chosen.is_empty() {
            return Ok(0);
        }
        let evicted = self.remove_evicted(&chosen)?;
        self.memory.evicted.fetch_add(evicted as u64, Ordering::Relaxed);
        Ok(evicted)
    }

    /// The least recently used entries of a sample, oldest first.
    fn least_recently_used(&self) -> Vec<Entry> {
        let now_ms = self.clock.now_ms();
        let each = (STEP * SAMPLES).div_ceil(self.shards.len());
        let mut sample: Vec<(u32, Entry)> = Vec::with_capacity(each * self.shards.len());
        for shard in &self.shards {
            let shard = shard.read();
            let found = (0..each).filter_map(|_| shard.sample(self.draw(), now_ms));
            // What goes with a lease is somebody's word that they are there: it goes with it alone.
            let found = found.filter(|(_, entry)| entry.lease().is_none());
            sample.extend(found.map(|(age, entry)| (age, entry.clone())));
        }
        sample.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.key().cmp(other.key())));
        sample.dedup_by(|(_, one), (_, other)| one.key() == other.key());
        sample.truncate((sample.len() / SAMPLES).max(1));
        sample.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The entries that end first.
    fn ending_soonest(&self) -> Vec<Entry> {
        let mut ending: Vec<(u64, Entry)> = Vec::new();
        for shard in &self.shards {
            let shard = shard.read();
            ending.extend(shard.ends().take(STEP).map(|(at, entry)| (at, entry.clone())));
        }
        ending.sort();
        ending.truncate(STEP);
        ending.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The next of an even row of numbers (SplitMix64).
    fn draw(&self) -> u64 {
        let mut z = self.dice.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
