//! Counts connections: no more than the limit are let in, and a drain waits until all native ones
//! have left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::observe::{Metrics, Transport};

/// Visitors that are told at the same time that there is no room; more are closed unheard.
const TURNED_AWAY_MAX: usize = 64;

/// The door's count.
#[derive(Debug)]
pub(crate) struct Gate {
    limit: usize,
    inside: AtomicUsize,
    turned_away: AtomicUsize,
    native: AtomicUsize,
    left: Notify,
    metrics: Arc<Metrics>,
}

/// A place inside; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    turned_away: bool,
}

/// What a visitor turned out to be; counted as long as it is kept.
#[derive(Debug)]
pub(crate) struct Visit {
    gate: Arc<Gate>,
    transport: Transport,
}

impl Gate {
    pub(crate) fn new(limit: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            limit,
            inside: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
            native: AtomicUsize::new(0),
            left: Notify::new(),
            metrics,
        }
    }

    /// Takes a place; none when all are taken.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Place> {
        take(&self.inside, self.limit).then(|| Place { gate: Arc::clone(self), turned_away: false })
    }

    /// Takes a place among those who are told that there is none.
    pub(crate) fn turn_away(self: &Arc<Self>) -> Option<Place> {
        take(&self.turned_away, TURNED_AWAY_MAX)
            .then(|| Place { gate: Arc::clone(self), turned_away: true })
    }

    /// Counts a visitor whose transport is known now.
    pub(crate) fn visit(self: &Arc<Self>, transport: Transport) -> Visit {
        let traffic = self.metrics.traffic(transport);
        traffic.open.fetch_add(1, Ordering::Relaxed);
        traffic.opened.fetch_add(1, Ordering::Relaxed);
        if transport != Transport::Http {
            self.native.fetch_add(1, Ordering::AcqRel);
        }
        Visit { gate: Arc::clone(self), transport }
    }

    /// Resolves once no native connection is open.
    pub(crate) async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            if self.native.load(Ordering::Acquire) == 0 {
                return;
            }
            left.await;
        }
    }

    /// Native connections that are open.
    pub(crate) fn native(&self) -> usize {
        self.native.load(Ordering::Acquire)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let count = if self.turned_away { &self.gate.turned_away } else { &self.gate.inside };
        count.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.gate.metrics.traffic(self.transport).open.fetch_sub(1, Ordering::Relaxed);
        if self.transport != Transport::Http && self.gate.native.fetch_sub(1, Ordering::AcqRel) == 1
        {
            self.gate.left.notify_waiters();
        }
    }
}

fn take(count: &AtomicUsize, limit: usize) -> bool {
    let next = |taken| (taken < limit).then_some(taken + 1);
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_visitor_leaves() {
        let gate = Arc::new(Gate::new(2, Arc::default()));
        let first = gate.enter().unwrap();
        let _second = gate.enter().unwrap();
        assert!(gate.enter().is_none());
        assert!(gate.turn_away().is_some());
        drop(first);
        assert!(gate.enter().is_some());
    }
}
