//! The moment of a read: the time, and the leases that are over by then although the command that
//! ends them has not come yet. What has ended is absent from its moment on, for every reader.

use alloc::vec::Vec;

use crate::entry::Entry;
use crate::leases::Leases;

/// When something is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moment {
    now_ms: u64,
    /// Leases that are over and still there; nearly always none. Ordered.
    over: Vec<u64>,
}

impl Moment {
    /// A moment at which no lease that is still there is over.
    pub fn new(now_ms: u64) -> Self {
        Self { now_ms, over: Vec::new() }
    }

    /// A moment, with the leases of the group.
    pub fn of(now_ms: u64, leases: &Leases) -> Self {
        let mut over: Vec<u64> = leases.due(now_ms).collect();
        over.sort_unstable();
        Self { now_ms, over }
    }

    /// The time, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Whether an entry's time is over: its own, or that of the lease that it goes with.
    pub fn is_over(&self, entry: &Entry) -> bool {
        entry.expired(self.now_ms)
            || !self.over.is_empty()
                && entry.lease().is_some_and(|lease| self.over.binary_search(&lease).is_ok())
    }
}
