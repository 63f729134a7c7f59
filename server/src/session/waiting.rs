//! Requests that the commit has not answered yet. Their ids may not be used again until it has.

use std::collections::VecDeque;

use super::batch::Ticket;

/// Batches of one connection that may wait for the disk at the same time.
pub(crate) const BATCHES_MAX: usize = 64;

struct Waiter {
    key: u64,
    tickets: Vec<Ticket>,
}

/// Batches that wait, oldest first.
#[derive(Default)]
pub(crate) struct Waiting {
    batches: VecDeque<Waiter>,
    next_key: u64,
    requests: usize,
    highest_id: u32,
}

impl Waiting {
    /// Takes a batch in; the key brings its tickets back.
    pub(crate) fn push(&mut self, tickets: Vec<Ticket>) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        self.requests += tickets.len();
        let highest = tickets.iter().map(|ticket| ticket.id).max().unwrap_or(0);
        self.highest_id = self.highest_id.max(highest);
        self.batches.push_back(Waiter { key, tickets });
        key
    }

    /// Gives a batch's tickets back.
    pub(crate) fn take(&mut self, key: u64) -> Option<Vec<Ticket>> {
        let place = self.batches.iter().position(|batch| batch.key == key)?;
        let batch = self.batches.remove(place)?;
        self.requests -= batch.tickets.len();
        if self.batches.is_empty() {
            self.highest_id = 0;
        }
        Some(batch.tickets)
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
        id <= self.highest_id && self.batches.iter().any(|batch| batch.tickets.iter().any(same))
    }
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::op::Class;

    use super::*;

    fn ticket(id: u32) -> Ticket {
        Ticket { id, kind: 0x11, operation: 1, class: Class::Write }
    }

    #[test]
    fn ids_are_taken_until_their_batch_is_answered() {
        let mut waiting = Waiting::default();
        let first = waiting.push(vec![ticket(5), ticket(3)]);
        let second = waiting.push(vec![ticket(9)]);
        assert!(waiting.has(3) && waiting.has(5) && waiting.has(9) && !waiting.has(4));
        assert_eq!(waiting.requests(), 3);
        assert_eq!(waiting.take(second).map(|tickets| tickets.len()), Some(1));
        assert!(!waiting.has(9));
        assert!(waiting.take(first).is_some() && waiting.take(first).is_none());
        assert!(waiting.is_empty() && waiting.requests() == 0);
    }

    #[test]
    fn only_so_many_batches_wait() {
        let mut waiting = Waiting::default();
        let keys: Vec<u64> = (0..BATCHES_MAX).map(|_| waiting.push(Vec::new())).collect();
        assert!(waiting.is_full());
        waiting.take(keys[7]);
        assert!(!waiting.is_full());
    }
}
