//! Which record of the log made which revision, for as long as that record is not yet safe. Readers
//! and watchers know revisions; what they wait for is a record.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;

use crate::error::Failure;
use crate::log::Log;
use crate::ticket::{Progress, Ticket};

/// Revisions and the records that made them.
pub(crate) struct Positions {
    log: Log,
    /// Records that were not safe when last looked at, each with the last revision it made.
    pending: Mutex<VecDeque<Pair>>,
    safe: AtomicU64,
    appended: Arc<Progress>,
}

struct Pair {
    index: u64,
    revision: u64,
}

impl Positions {
    /// Everything up to `revision` is safe.
    pub(crate) fn new(log: Log, revision: u64) -> Self {
        Self {
            log,
            pending: Mutex::default(),
            safe: AtomicU64::new(revision),
            appended: Progress::new(revision),
        }
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Notes that the record `index` made the revisions up to `revision`.
    pub(crate) fn appended(&self, index: u64, revision: u64) {
        self.pending.lock().push_back(Pair { index, revision });
        self.appended.advance(revision);
    }

    /// The newest revision whose record was appended.
    pub(crate) fn last(&self) -> u64 {
        self.appended.reached()
    }

    /// The newest revision that may be shown.
    pub(crate) fn safe(&self) -> u64 {
        if self.safe.load(Ordering::Acquire) < self.last() {
            self.settle(&mut self.pending.lock());
        }
        self.safe.load(Ordering::Acquire)
    }

    /// What to wait for until `revision` may be shown; none if it may be already. The record that
    /// made it has been appended.
    pub(crate) fn ticket(&self, revision: u64) -> Option<Ticket> {
        if revision <= self.safe.load(Ordering::Acquire) {
            return None;
        }
        let mut pending = self.pending.lock();
        self.settle(&mut pending);
        let at = pending.partition_point(|pair| pair.revision < revision);
        pending.get(at).map(|pair| self.log.ticket(pair.index))
    }

    /// Resolves when a revision after `after` may be shown.
    pub(crate) fn changed(self: &Arc<Self>, after: u64) -> ChangeTicket {
        let ticket = self.appended.ticket(after + 1);
        ChangeTicket { positions: Arc::clone(self), after, ticket }
    }

    fn settle(&self, pending: &mut VecDeque<Pair>) {
        let durable = self.log.durable();
        while let Some(pair) = pending.pop_front_if(|pair| pair.index <= durable) {
            self.safe.fetch_max(pair.revision, Ordering::AcqRel);
        }
    }
}

/// Waits first for a change to be made, then for it to be safe.
pub(crate) struct ChangeTicket {
    positions: Arc<Positions>,
    after: u64,
    ticket: Ticket,
}

impl ChangeTicket {
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            if self.positions.safe() > self.after {
                return Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.ticket).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                Poll::Ready(Ok(())) => {}
            }
            match self.positions.ticket(self.after + 1) {
                Some(ticket) => self.ticket = ticket,
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}
