//! How often each command of Redis clients was run.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::session::{ROWS, RespCounts};

/// Counters by the commands' rows.
#[derive(Debug)]
pub(crate) struct Commands {
    rows: Box<[AtomicU64]>,
    refused: AtomicU64,
}

impl Default for Commands {
    fn default() -> Self {
        let rows = ROWS.iter().map(|_| AtomicU64::new(0)).collect();
        Self { rows, refused: AtomicU64::new(0) }
    }
}

impl Commands {
    /// Adds what a session did, and clears it.
    pub(crate) fn add(&self, counts: &mut RespCounts) {
        if counts.refused > 0 {
            self.refused.fetch_add(counts.refused.into(), Ordering::Relaxed);
        }
        counts.drain(|row, count| {
            if let Some(counter) = self.rows.get(row) {
                counter.fetch_add(count.into(), Ordering::Relaxed);
            }
        });
    }

    /// How often the command of this row was run.
    pub(crate) fn count(&self, row: usize) -> u64 {
        self.rows.get(row).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// How often any was run.
    pub(crate) fn total(&self) -> u64 {
        (0..self.rows.len()).map(|row| self.count(row)).sum()
    }

    /// How many were told an error before they ran.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}
