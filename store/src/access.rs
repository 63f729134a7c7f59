//! When the entries of a leaf were last used: a coarse stamp for each, which readers set beside each
//! other. There are none unless somebody asked for them, so that nobody else pays.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::entry::allocated;

/// Milliseconds in one step of a stamp: the stamps go around after thirteen years.
const STEP_MS: u64 = 100;

/// The stamp of a time, in milliseconds since the Unix epoch.
pub(crate) fn stamp_of(now_ms: u64) -> u32 {
    (now_ms / STEP_MS) as u32
}

/// How long before `now` a stamp is, in steps. One that a reader has set since `now` was asked for is
/// of no age, rather than older than all.
pub(crate) fn age(now: u32, stamp: u32) -> u32 {
    let age = now.wrapping_sub(stamp);
    if age > u32::MAX / 2 { 0 } else { age }
}

/// Stamps that are added at once.
const GROWTH: usize = 16;

/// The stamps of a leaf, by the slots of its entries, or none at all.
#[derive(Debug, Default)]
pub(crate) struct Accesses(Option<Vec<AtomicU32>>);

impl Accesses {
    /// Of a new leaf with `count` entries.
    pub(crate) fn begin(kept: bool, used: u32, count: usize) -> Self {
        Self(kept.then(|| (0..count).map(|_| AtomicU32::new(used)).collect()))
    }

    /// What they cost in memory, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.0.as_ref().map_or(0, |stamps| allocated(stamps.capacity() * size_of::<AtomicU32>()))
    }

    /// The stamp of an entry.
    pub(crate) fn get(&self, at: usize) -> u32 {
        let stamp = self.0.as_ref().and_then(|stamps| stamps.get(at));
        stamp.map_or(0, |stamp| stamp.load(Ordering::Relaxed))
    }

    /// Notes that an entry is used. Most uses fall into a step that is noted already, and write
    /// nothing that other readers would have to fetch anew.
    pub(crate) fn set(&self, at: usize, used: u32) {
        if let Some(stamp) = self.0.as_ref().and_then(|stamps| stamps.get(at))
            && stamp.load(Ordering::Relaxed) != used
        {
            stamp.store(used, Ordering::Relaxed);
        }
    }

    pub(crate) fn push(&mut self, used: u32) {
        if let Some(stamps) = &mut self.0 {
            if stamps.len() == stamps.capacity() {
                stamps.reserve_exact(GROWTH);
            }
            stamps.push(AtomicU32::new(used));
        }
    }

    /// Takes a stamp out; the last one fills the gap.
    pub(crate) fn swap_remove(&mut self, at: usize) {
        if let Some(stamps) = &mut self.0 {
            stamps.swap_remove(at);
        }
    }

    pub(crate) fn swap(&mut self, a: usize, b: usize) {
        if let Some(stamps) = &mut self.0 {
            stamps.swap(a, b);
        }
    }

    /// Gives back what no stamp takes.
    pub(crate) fn fit(&mut self) {
        if let Some(stamps) = &mut self.0 {
            stamps.shrink_to_fit();
        }
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        if let Some(stamps) = &mut self.0 {
            stamps.truncate(len);
            stamps.shrink_to(len + GROWTH);
        }
    }

    /// Copies of some stamps.
    pub(crate) fn picked(&self, slots: impl Iterator<Item = usize>) -> Self {
        Self(self.0.as_ref().map(|stamps| slots.map(|slot| copied(&stamps[slot])).collect()))
    }

    pub(crate) fn extend(&mut self, next: &Self) {
        if let (Some(stamps), Some(next)) = (&mut self.0, &next.0) {
            stamps.extend(next.iter().map(copied));
        }
    }
}

impl Clone for Accesses {
    fn clone(&self) -> Self {
        Self(self.0.as_ref().map(|stamps| stamps.iter().map(copied).collect()))
    }
}

fn copied(stamp: &AtomicU32) -> AtomicU32 {
    AtomicU32::new(stamp.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_from_after_the_question_is_of_no_age() {
        assert_eq!(age(10, 4), 6);
        assert_eq!(age(10, 11), 0);
        assert_eq!(age(3, u32::MAX - 6), 10, "stamps go around");
    }

    #[test]
    fn stamps_follow_their_entries_and_are_none_unless_wanted() {
        let mut stamps = Accesses::begin(true, 1, 1);
        stamps.push(2);
        stamps.push(3);
        stamps.set(0, 9);
        let right = stamps.picked([1, 2].into_iter());
        stamps.truncate(1);
        stamps.extend(&right.clone());
        stamps.swap_remove(1);
        assert_eq!((stamps.get(0), stamps.get(1), right.get(0)), (9, 3, 2));
        stamps.swap(0, 1);
        assert_eq!((stamps.get(0), stamps.get(1)), (3, 9));
        let mut none = Accesses::begin(false, 1, 1);
        none.push(5);
        none.set(0, 5);
        assert_eq!((none.get(0), none.cost()), (0, 0));
    }
}
