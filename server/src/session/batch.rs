//! The requests that arrived together and run together. They borrow from the bytes that arrived;
//! the lists' memory is used again for the next batch.

use tidekeep_log::Call;
use tidekeep_protocol::op::{Class, Request, TxnOp};

/// Work in one batch, in units of a simple request. Enough to spread a sync over many requests, few
/// enough that the pages read at once stay small.
const WORK_MAX: usize = 1024;

/// What a page of entries counts as, beside simple requests.
const PAGE_WORK: usize = 64;

/// Who a reply goes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    /// The request's id.
    pub(crate) id: u32,
    /// The request's frame kind.
    pub(crate) kind: u8,
    /// The operation's place in the table.
    pub(crate) operation: u8,
    /// What the operation does to the store.
    pub(crate) class: Class,
}

/// Requests that run together, as two lists side by side.
#[derive(Default)]
pub(crate) struct Batch<'b> {
    /// What is asked.
    pub(crate) calls: Vec<Call<'b>>,
    /// Who asked.
    pub(crate) tickets: Vec<Ticket>,
    highest_id: u32,
    work: usize,
}

impl<'b> Batch<'b> {
    /// Adds a request.
    pub(crate) fn push(&mut self, call: Call<'b>, ticket: Ticket) {
        self.work += work(&call.request);
        self.highest_id = self.highest_id.max(ticket.id);
        self.calls.push(call);
        self.tickets.push(ticket);
    }

    /// Whether a request of this class may join those that are in it. What opens a watch, or is
    /// answered by the server itself, is alone, so that it begins in its turn.
    pub(crate) fn takes(&self, class: Class) -> bool {
        match (self.class(), class) {
            (None, _) => true,
            (Some(Class::Read | Class::Write), Class::Read | Class::Write) => true,
            (Some(_), _) => false,
        }
    }

    /// The class of the first request.
    pub(crate) fn class(&self) -> Option<Class> {
        self.tickets.first().map(|ticket| ticket.class)
    }

    /// Requests in the batch.
    pub(crate) fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// Whether it should run before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.work >= WORK_MAX
    }

    /// Whether a request with this id is in it. Ids usually rise, which makes this cheap.
    pub(crate) fn has(&self, id: u32) -> bool {
        id <= self.highest_id && self.tickets.iter().any(|ticket| ticket.id == id)
    }

    /// The same lists, empty, for bytes of another lifetime.
    pub(crate) fn recycle<'c>(mut self) -> Batch<'c> {
        self.tickets.clear();
        Batch { calls: recycle(self.calls), tickets: self.tickets, highest_id: 0, work: 0 }
    }
}

/// An emptied list as a list of another type of the same layout. The standard library collects
/// such an iterator in place, so the memory is kept.
pub(crate) fn recycle<A, B>(mut list: Vec<A>) -> Vec<B> {
    list.clear();
    list.into_iter().map(|_| unreachable!("the list was emptied")).collect()
}

fn work(request: &Request<'_>) -> usize {
    match request {
        Request::Scan(_)
        | Request::Children(_)
        | Request::DeleteRange(_)
        | Request::LeaseRevoke(_)
        | Request::Leases(_) => PAGE_WORK,
        Request::Txn(txn) => txn.then.iter().chain(&txn.otherwise).map(txn_work).sum::<usize>() + 1,
        Request::Get(_)
        | Request::Put(_)
        | Request::Delete(_)
        | Request::Touch(_)
        | Request::Increment(_)
        | Request::Watch(_)
        | Request::Status(_)
        | Request::Backup(_)
        | Request::Sessions(_)
        | Request::Cluster(_)
        | Request::LeaseGrant(_)
        | Request::LeaseKeepAlive(_) => 1,
    }
}

fn txn_work(op: &TxnOp<'_>) -> usize {
    match op {
        TxnOp::DeleteRange(_) => PAGE_WORK,
        TxnOp::Get(_)
        | TxnOp::Put(_)
        | TxnOp::Delete(_)
        | TxnOp::Touch(_)
        | TxnOp::Increment(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::op::Get;

    use super::*;

    fn batch_of(ids: &[u32]) -> Batch<'static> {
        let mut batch = Batch::default();
        for &id in ids {
            let ticket = Ticket { id, kind: 0x10, operation: 0, class: Class::Read };
            let request = Request::Get(Get { key: b"k" });
            batch.push(Call { body: Some(b"\x01k"), ..Call::new(request) }, ticket);
        }
        batch
    }

    #[test]
    fn an_id_is_found_in_whatever_order_ids_came() {
        for ids in [&[1, 2, 3][..], &[3, 2, 1], &[5, 1, 2], &[7], &[2, 9, 4, 6]] {
            let batch = batch_of(ids);
            for id in 1..12 {
                assert_eq!(batch.has(id), ids.contains(&id), "{id} in {ids:?}");
            }
        }
    }

    #[test]
    fn a_recycled_batch_is_empty_and_keeps_its_memory() {
        let batch = batch_of(&[1, 2, 3, 4, 5]);
        let (calls, tickets) = (batch.calls.capacity(), batch.tickets.capacity());
        let batch: Batch<'_> = batch.recycle();
        assert!(batch.is_empty() && batch.calls.is_empty());
        assert_eq!((batch.calls.capacity(), batch.tickets.capacity()), (calls, tickets));
    }
}
