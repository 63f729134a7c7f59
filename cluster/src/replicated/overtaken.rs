//! Reads that may not be run again. A node that says nothing more may have done all that it was passed on: a read
//! that is run again comes behind it, and would show writes that its connection sent after it.

use std::collections::HashSet;

use tidekeep_protocol::op::Request;

use crate::replicated::calls::{Asked, Calls};

/// What may have been written already.
#[derive(Debug, Default)]
pub(crate) struct Written {
    keys: HashSet<Vec<u8>>,
    /// Whether it may be any key.
    anything: bool,
}

/// What a request looks at, or changes.
enum Reach<'r> {
    Nothing,
    Key(&'r [u8]),
    Many,
}

impl Written {
    /// Any key.
    pub(crate) fn anything() -> Self {
        Self { anything: true, ..Self::default() }
    }

    /// The places of the calls that may be run again, where this may have been written behind them; adds what they
    /// write. Whose calls they are is not known here: a key that somebody else writes counts as well.
    pub(crate) fn take_in(&mut self, calls: &Calls) -> Vec<usize> {
        let asked: Vec<_> = calls.iter().zip(calls.sorts()).collect();
        let mut places = Vec::with_capacity(asked.len());
        for (place, (asked, sort)) in asked.iter().enumerate().rev() {
            let may_run = match asked {
                Asked::Call(call) if sort.is_ordered() => {
                    self.add(&reach(&call.request));
                    true
                }
                Asked::Call(call) => !self.shows_in(&reach(&call.request)),
                // Parts of a transaction over groups: nobody was promised an order with those.
                Asked::Step(_) => true,
            };
            if may_run {
                places.push(place);
            }
        }
        places.reverse();
        places
    }

    fn add(&mut self, reach: &Reach<'_>) {
        match reach {
            Reach::Nothing => {}
            Reach::Key(key) => drop(self.keys.insert(key.to_vec())),
            Reach::Many => self.anything = true,
        }
    }

    fn shows_in(&self, reach: &Reach<'_>) -> bool {
        match reach {
            Reach::Nothing => false,
            Reach::Key(key) => self.anything || self.keys.contains(*key),
            Reach::Many => self.anything || !self.keys.is_empty(),
        }
    }
}

fn reach<'r>(request: &Request<'r>) -> Reach<'r> {
    match request {
        Request::Get(get) => Reach::Key(get.key),
        Request::Put(put) => Reach::Key(put.key),
        Request::Delete(delete) => Reach::Key(delete.key),
        Request::Touch(touch) => Reach::Key(touch.key),
        Request::Increment(increment) => Reach::Key(increment.key),
        // Reads of leases show what these have done.
        Request::LeaseGrant(_) | Request::LeaseKeepAlive(_) => Reach::Key(b""),
        Request::Scan(_)
        | Request::Children(_)
        | Request::Txn(_)
        | Request::DeleteRange(_)
        | Request::LeaseRevoke(_)
        | Request::Leases(_) => Reach::Many,
        Request::Watch(_)
        | Request::Status(_)
        | Request::Backup(_)
        | Request::Cluster(_)
        | Request::Sessions(_) => Reach::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use tidekeep_log::Call;
    use tidekeep_protocol::condition::Expiry;
    use tidekeep_protocol::op::{Children, Get, Increment};

    use super::*;

    fn calls(requests: &[Request<'_>]) -> Calls {
        let mut calls = Calls::default();
        requests.iter().for_each(|request| calls.push(&Call::new(request.clone())));
        calls
    }

    fn get(key: &[u8]) -> Request<'_> {
        Request::Get(Get { key })
    }

    fn increment(key: &[u8]) -> Request<'_> {
        Request::Increment(Increment { key, by: 1, expiry: Expiry::Keep })
    }

    #[test]
    fn a_read_in_front_of_a_write_of_its_key_is_not_run_again() {
        let page =
            Request::Children(Children { prefix: b"", delimiter: b"/", after: None, limit: 0 });
        let mut written = Written::default();
        let later = [get(b"a"), increment(b"a"), get(b"a"), page.clone()];
        assert_eq!(written.take_in(&calls(&later)), [1, 2, 3]);
        // What another piece writes behind these counts too.
        let sooner = [get(b"b"), page, get(b"a"), increment(b"b"), get(b"b")];
        assert_eq!(written.take_in(&calls(&sooner)), [3, 4]);
        assert_eq!(written.take_in(&calls(&[get(b"c"), get(b"b")])), [0]);
        assert_eq!(Written::anything().take_in(&calls(&[get(b"c"), increment(b"c")])), [1]);
    }
}
