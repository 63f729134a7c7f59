//! What revisions say of a transaction over groups. At its home, where it is decided, it has the revision of
//! that moment. Its part in another group has the one of when it is done there, later: so a write of another
//! key that was made behind the transaction, in the knowledge of it, can have a lower one. Of one key they
//! always grow, and what was answered before something else began is always lower.

use tidekeep_protocol::codec;
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::op::{Get, Request, Txn, TxnOp, TxnReply};
use tidekeep_store::read::PageLimits;
use tidekeep_store::reply::Reply;
use tidekeep_store::step::{Decide, Decided, Finish, Finished, Outcome, Part, Prepared, TxnId};

use crate::group::Group;
use crate::transactions::{ask, is_locked, prepare, put, run, txn_id};

const LIMITS: PageLimits = PageLimits { entries: 1, bytes: 1_000 };

/// The home of the transactions, and another group.
struct Pair {
    home: Group,
    other: Group,
}

impl Pair {
    fn new() -> Self {
        Self { home: Group::new(3, 1), other: Group::new(3, 2) }
    }

    fn prepare(&mut self, txn: TxnId, at_home: &'static str, elsewhere: &'static str) {
        for (group, key) in [(&mut self.home, at_home), (&mut self.other, elsewhere)] {
            let part = Txn { then: vec![TxnOp::Put(put(key, Expiry::Never))], ..Txn::default() };
            let votes = prepare(group, 1_000, txn, &part);
            assert!(matches!(votes, Prepared::Locked(_)), "{votes:?}");
        }
    }

    /// The revision of the home's part.
    fn decide(&mut self, txn: TxnId) -> u64 {
        match ask(&mut self.home, 1_000, Decide { txn, succeeded: true }) {
            Decided::Committed(part) => revision_of(&part),
            other => panic!("{other:?}"),
        }
    }

    /// The revision of the other part.
    fn finish(&mut self, txn: TxnId) -> u64 {
        match ask(&mut self.other, 1_000, Finish { txn, outcome: Outcome::Then }) {
            Finished::Done(part) => revision_of(&part),
            other @ Finished::Nothing => panic!("{other:?}"),
        }
    }
}

fn revision_of(part: &Part) -> u64 {
    let reply: TxnReply<'_> = codec::decode(&part.body).expect("a reply");
    reply.revision
}

/// The revision of a put; none if a lock is in its way.
fn write(group: &mut Group, key: &'static str) -> Option<u64> {
    match run(group, 1_000, Request::Put(put(key, Expiry::Never))) {
        Reply::Put(written) => Some(written.revision),
        reply if is_locked(&reply) => None,
        other => panic!("{other:?}"),
    }
}

/// The revision of a key's last write; none if a lock is in the way.
fn read(group: &Group, key: &'static str) -> Option<u64> {
    let get = Request::Get(Get { key: key.as_bytes() });
    let tables = &group.tables;
    if tables.intents.blocking(&get, &tables.leases, 1_000).is_some() {
        return None;
    }
    match group.read(&get, LIMITS, 1_000) {
        Some(Reply::Get(got)) => Some(got.entry.map_or(0, |entry| entry.modified())),
        other => panic!("{other:?}"),
    }
}

/// Another one of the same groups.
fn another() -> TxnId {
    TxnId { sequence: 2, ..txn_id(2) }
}

#[test]
fn who_has_seen_a_transaction_at_its_home_can_write_at_a_lower_revision_elsewhere() {
    let (mut pair, txn) = (Pair::new(), txn_id(1));
    pair.prepare(txn, "home", "part{tag}");
    assert_eq!(read(&pair.home, "home"), None, "nothing of it can be seen before it is decided");
    let decided = pair.decide(txn);
    assert_eq!(read(&pair.home, "home"), Some(decided), "now it is done");
    // Who has read that writes a key beside the transaction's other one, with the same tag.
    let behind = write(&mut pair.other, "beside{tag}").expect("nothing holds that key");
    assert_eq!(read(&pair.other, "part{tag}"), None, "who asks for the part waits for it");
    assert_eq!(write(&mut pair.other, "part{tag}"), None, "and so does who writes there");
    let part = pair.finish(txn);
    assert!(behind < part, "{behind} is behind {part} in the order of all calls");
    // At home there is no such gap, and after the answer there is none anywhere.
    assert!(write(&mut pair.home, "beside").is_some_and(|later| later > decided));
    assert!(write(&mut pair.other, "beside{tag}").is_some_and(|later| later > part));
    assert!(write(&mut pair.other, "part{tag}").is_some_and(|later| later > part));
}

#[test]
fn two_transactions_can_have_their_revisions_in_opposite_orders_at_home_and_elsewhere() {
    let mut pair = Pair::new();
    let (first, second) = (txn_id(1), another());
    pair.prepare(first, "home", "one{tag}");
    let at_home = pair.decide(first);
    pair.prepare(second, "home", "two{tag}");
    let later_at_home = pair.decide(second);
    let later_elsewhere = pair.finish(second);
    let elsewhere = pair.finish(first);
    assert!(at_home < later_at_home && later_elsewhere < elsewhere);
    assert_eq!(read(&pair.other, "one{tag}"), Some(elsewhere));
    assert_eq!(read(&pair.other, "two{tag}"), Some(later_elsewhere));
}

#[test]
fn a_part_comes_behind_all_that_was_written_before_its_transaction_was_decided() {
    let (mut pair, txn) = (Pair::new(), txn_id(1));
    let before = write(&mut pair.other, "part{tag}").expect("nothing holds it");
    pair.prepare(txn, "home", "part{tag}");
    let beside = write(&mut pair.other, "beside{tag}").expect("nothing holds it");
    pair.decide(txn);
    assert!(pair.finish(txn) > beside.max(before));
}
