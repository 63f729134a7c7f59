//! Which record of the log made which revision, for as long as that record is not yet safe. Readers
//! and watchers know revisions; what they wait for is a record.

use std::collections::VecDeque;

use crate::error::Failure;
use crate::log::Log;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::ticket::Ticket;

/// Revisions, and the records that made them.
pub(crate) struct Positions {
    log: Log,
    pending: Mutex<Pending>,
    /// The newest revision known to be safe. Others may be, too: see [`Positions::safe`].
    safe: AtomicU64,
}

struct Pending {
    /// Records that were not safe when last looked at, oldest first.
    records: VecDeque<Made>,
    /// Index of the last record, appended or about to be.
    last: u64,
    /// The revision after it.
    revision: u64,
}

/// A record and the last revision it made.
struct Made {
    index: u64,
    revision: u64,
}

impl Positions {
    /// Everything in the log is safe, and comes to `revision`.
    pub(crate) fn new(log: Log, revision: u64) -> Self {
        let last = log.appended();
        let pending = Pending { records: VecDeque::new(), last, revision };
        Self { log, pending: Mutex::new(pending), safe: AtomicU64::new(revision) }
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Notes the record that is about to be appended and makes the revisions up to `revision`. Call
    /// it under the lock that decides the order, before appending: whoever is woken by the record
    /// finds it here.
    pub(crate) fn note(&self, revision: u64) -> u64 {
        let mut pending = self.pending.lock();
        pending.last += 1;
        pending.revision = revision;
        let index = pending.last;
        pending.records.push_back(Made { index, revision });
        index
    }

    /// Index of the last record, and the revision after it.
    pub(crate) fn last(&self) -> (u64, u64) {
        let pending = self.pending.lock();
        (pending.last, pending.revision)
    }

    /// The newest revision that may be shown. Ask before giving out an answer that was waited for:
    /// from then on [`Positions::known_safe`] is not behind it, and no later answer shows less.
    pub(crate) fn safe(&self) -> u64 {
        self.settle(&mut self.pending.lock())
    }

    /// Makes known that `revision` may be shown, which whoever waited for its record has found.
    pub(crate) fn reach(&self, revision: u64) {
        if self.known_safe() < revision {
            self.safe();
        }
    }

    /// A revision that may be shown: the newest one that was asked for so far.
    pub(crate) fn known_safe(&self) -> u64 {
        self.safe.load(Ordering::Acquire)
    }

    /// What to wait for until `revision` may be shown; none if it may be already. A revision that
    /// was applied but not noted yet is made by the record that comes next.
    pub(crate) fn ticket(&self, revision: u64) -> Option<Ticket> {
        if revision <= self.known_safe() {
            return None;
        }
        let mut pending = self.pending.lock();
        if revision <= self.settle(&mut pending) {
            return None;
        }
        let at = pending.records.partition_point(|made| made.revision < revision);
        let index = pending.records.get(at).map_or(pending.last + 1, |made| made.index);
        Some(self.log.ticket(index))
    }

    /// Resolves when a revision after `after` may be shown.
    ///
    /// # Errors
    /// The log has failed.
    pub(crate) async fn changed(&self, after: u64) -> Result<(), Failure> {
        // After a revision that is yet to come, several records may go by.
        while let Some(ticket) = self.ticket(after.saturating_add(1)) {
            ticket.await?;
        }
        Ok(())
    }

    fn settle(&self, pending: &mut Pending) -> u64 {
        let durable = self.log.durable();
        while let Some(made) = pending.records.pop_front_if(|made| made.index <= durable) {
            self.safe.fetch_max(made.revision, Ordering::AcqRel);
        }
        self.known_safe()
    }
}
