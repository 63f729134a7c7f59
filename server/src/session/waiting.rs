//! Requests that the commit has not answered yet. Their ids may not be used again until it has.

use std::collections::VecDeque;

use super::answering::Given;
use super::batch::Ticket;

/// Batches of one connection that may wait for the disk at the same time.
pub(crate) const BATCHES_MAX: usize = 64;

struct Waiter {
    key: u64,
    held: Held,
}

/// A batch that has run and may not be shown yet.
#[derive(Debug)]
pub(crate) struct Held {
    /// Who asked.
    pub(crate) tickets: Vec<Ticket>,
    /// What became of the answers that were given.
    pub(crate) given: Given,
    /// Those of them that are bytes.
    pub(crate) bytes: Vec<u8>,
    /// How many answers are still to come, to the last of the tickets.
    pub(crate) missing: usize,
}

/// Batches that wait, oldest first.
#[derive(Default)]
pub(crate) struct Waiting {
    batches: VecDeque<Waiter>,
    next_key: u64,
    requests: usize,
    bytes: usize,
    highest_id: u32,
}

impl Waiting {
    /// Takes a batch in; the key brings it back.
    pub(crate) fn push(&mut self, held: Held) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        self.requests += held.tickets.len();
        self.bytes += held.bytes.len();
        let highest = held.tickets.iter().map(|ticket| ticket.id).max().unwrap_or(0);
        self.highest_id = self.highest_id.max(highest);
        self.batches.push_back(Waiter { key, held });
        key
    }

    /// Gives a batch back.
    pub(crate) fn take(&mut self, key: u64) -> Option<Held> {
        let place = self.batches.iter().position(|batch| batch.key == key)?;
        let Waiter { held, .. } = self.batches.remove(place)?;
        self.requests -= held.tickets.len();
        self.bytes -= held.bytes.len();
        if self.batches.is_empty() {
            self.highest_id = 0;
        }
        Some(held)
    }

    /// Bytes of answers that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Requests that wait.
    pub(crate) fn requests(&self) -> usize {
        self.requests
    }

    /// Whether no more batches may wait.
    pub(crate) fn is_full(&self) -> bool {
        self.batches.len() >= BATCHES_MAX
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether a request with this id waits. Ids usually rise, which makes this cheap.
    pub(crate) fn has(&self, id: u32) -> bool {
        let same = |ticket: &Ticket| ticket.id == id;
        id <= self.highest_id
            && self.batches.iter().any(|batch| batch.held.tickets.iter().any(same))
    }
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::op::Class;

    use super::super::tally::Counts;
    use super::*;

    fn held(ids: &[u32]) -> Held {
        let ticket = |&id| Ticket { id, kind: 0x11, operation: 1, class: Class::Write };
        let tickets: Vec<_> = ids.iter().map(ticket).collect();
        let given = Given { mark: 0, written: Counts::default(), left: Vec::new() };
        Held { missing: tickets.len(), tickets, given, bytes: vec![0; 10] }
    }

    #[test]
    fn ids_are_taken_until_their_batch_is_answered() {
        let mut waiting = Waiting::default();
        let first = waiting.push(held(&[5, 3]));
        let second = waiting.push(held(&[9]));
        assert!(waiting.has(3) && waiting.has(5) && waiting.has(9) && !waiting.has(4));
        assert_eq!((waiting.requests(), waiting.bytes()), (3, 20));
        assert_eq!(waiting.take(second).map(|held| held.tickets.len()), Some(1));
        assert!(!waiting.has(9));
        assert!(waiting.take(first).is_some() && waiting.take(first).is_none());
        assert!(waiting.is_empty() && waiting.requests() + waiting.bytes() == 0);
    }

    #[test]
    fn only_so_many_batches_wait() {
        let mut waiting = Waiting::default();
        let keys: Vec<u64> = (0..BATCHES_MAX).map(|_| waiting.push(held(&[]))).collect();
        assert!(waiting.is_full());
        waiting.take(keys[7]);
        assert!(!waiting.is_full());
    }
}
