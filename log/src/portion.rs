//! A group's part of a backup of all groups: a cut of its state while somebody holds its keys, or of a group that is
//! the whole store. It is summed up and given piece by piece, to whoever puts the parts of all groups together.

use std::collections::VecDeque;
use std::convert::Infallible;

use tidekeep_store::sessions::Sessions;
use tidekeep_store::snapshot::{self, Feed, Head};
use tidekeep_store::step::TxnId;
use tidekeep_store::tables::SavedTables;

use crate::group::{Cut, Group};

/// A cut of a group.
pub struct Portion {
    head: Head,
    estimate: u64,
    /// The first part of the entries that is not summed up.
    unsummed: usize,
    sessions: VecDeque<Vec<u8>>,
    leases: VecDeque<Vec<u8>>,
    feed: Feed,
}

/// A chunk of the rows of a [`Portion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortionRows {
    /// Answers to numbered writes.
    Sessions(Vec<u8>),
    /// Leases.
    Leases(Vec<u8>),
}

/// All of a [`Portion`] but its entries.
#[derive(Debug, Clone)]
pub struct PortionTables {
    /// What its cut adds up to.
    pub head: Head,
    /// Answers to numbered writes.
    pub sessions: Vec<Vec<u8>>,
    /// Leases.
    pub leases: Vec<Vec<u8>>,
}

/// Why there is no cut of a group that somebody holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStill {
    /// The hold has ended, or has not begun.
    NotHeld,
    /// A transaction over groups is on its way to its end: ask again.
    Busy,
}

impl Portion {
    /// A cut of a group.
    ///
    /// # Errors
    /// [`NotStill`]: it was to be cut under a hold, and does not stand still by it.
    pub(crate) fn of(group: &Group, hold: Option<&TxnId>) -> Result<Self, NotStill> {
        let order = group.order.lock();
        if let Some(hold) = hold {
            let intents = &order.tables.intents;
            intents.held(hold, group.clock.now_ms()).ok_or(NotStill::NotHeld)?;
            if !intents.has_no_parts() {
                return Err(NotStill::Busy);
            }
        }
        let mut cut = group.cut_under(order);
        if hold.is_some() {
            // Each group knows its own part of what a client has written under a number, and no store alone
            // could put them together: none is known any more.
            cut.tables.sessions = Sessions::default();
            cut.head.forgotten_ms = cut.head.forgotten_ms.max(cut.head.now_ms);
        }
        let estimate = group.size().1;
        Ok(Self::new(cut, estimate))
    }

    fn new(cut: Cut, estimate: u64) -> Self {
        let Cut { head, tables: SavedTables { sessions, leases, .. }, view, .. } = cut;
        let head = Head { sessions: sessions.len() as u64, intents: 0, digest: 0, ..head };
        let chunks = |tables: &SavedTables| {
            let mut chunks = VecDeque::new();
            let Ok(()) = snapshot::write_tables(tables, |chunk| {
                chunks.push_back(chunk.to_vec());
                Ok::<(), Infallible>(())
            });
            chunks
        };
        let sessions = chunks(&SavedTables { sessions, ..SavedTables::default() });
        let leases = chunks(&SavedTables { leases, ..SavedTables::default() });
        Self { head, estimate, unsummed: 0, sessions, leases, feed: Feed::new(view) }
    }

    /// About how many bytes it has.
    pub fn estimate_bytes(&self) -> u64 {
        self.estimate
    }

    /// Sums up so many parts of the entries more; what it adds up to, once that is all.
    pub fn sum_up(&mut self, parts: usize) -> Option<Head> {
        for _ in 0..parts {
            match self.feed.view().digest_of_part(self.unsummed) {
                None => return Some(self.head),
                Some(sum) => self.head.digest = self.head.digest.wrapping_add(sum),
            }
            self.unsummed += 1;
        }
        None
    }

    /// The next chunk of what is no entry; none at the end.
    pub fn next_rows(&mut self) -> Option<PortionRows> {
        let sessions = self.sessions.pop_front().map(PortionRows::Sessions);
        sessions.or_else(|| self.leases.pop_front().map(PortionRows::Leases))
    }

    /// The next chunk of entries; empty at the end.
    pub fn next_entries(&mut self) -> Vec<u8> {
        let mut chunk = Vec::new();
        self.feed.next_chunk(&mut chunk);
        chunk
    }
}
