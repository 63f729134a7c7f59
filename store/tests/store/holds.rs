//! Holds: all keys of a group stay as they are while a backup is cut, and for no longer than that was said.

use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::op::{Get, Request, Txn, TxnOp};
use tidekeep_store::holds::Held;
use tidekeep_store::intents::Intents;
use tidekeep_store::record::{Command, Expired};
use tidekeep_store::step::{Decide, Decided, Hold, Prepared, Release, TxnId};

use crate::group::Group;
use crate::transactions::{ask, intents, is_locked, prepare, put, run, txn_id};

#[test]
fn a_hold_keeps_all_keys_as_they_are_until_it_is_let_go_or_its_time_is_over() {
    let mut group = Group::new(3, 2);
    let ends = Expiry::At(1_020);
    for (key, expiry) in [("a", Expiry::Never), ("ends", ends)] {
        run(&mut group, 1_000, Request::Put(put(key, expiry)));
    }
    let part = |key| Txn { then: vec![TxnOp::Put(put(key, Expiry::Never))], ..Txn::default() };
    assert!(matches!(prepare(&mut group, 1_001, txn_id(1), &part("b")), Prepared::Locked(_)));
    let hold = TxnId { sequence: 0, ..txn_id(7) };
    let (since, until_ms) = (2, 1_110);
    let asked = Hold { hold, for_ms: 100 };
    assert_eq!(ask(&mut group, 1_010, asked), Held { since, until_ms });
    assert_eq!(ask(&mut group, 1_020, asked), Held { since, until_ms }, "it is no longer for that");
    // Nobody writes any more, nothing ends, and nothing more is prepared.
    assert!(is_locked(&run(&mut group, 1_030, Request::Put(put("a", Expiry::Never)))));
    let end = Command::Expire(vec![Expired { key: b"ends", modified: 2 }]);
    assert_eq!(group.apply(1_030, &end).unwrap().1, None);
    let second = TxnId { sequence: 2, ..txn_id(2) };
    assert_eq!(prepare(&mut group, 1_030, second, &part("c")), Prepared::Held);
    let get = Request::Get(Get { key: b"a" });
    assert_eq!(intents(&group).blocking(&get, &group.tables.leases, 1_030), None);
    // What was prepared before comes to its end.
    assert!(!intents(&group).has_no_parts());
    let decided = ask(&mut group, 1_040, Decide { txn: txn_id(1), succeeded: true });
    assert!(matches!(decided, Decided::Committed(_)));
    assert!(intents(&group).has_no_parts());
    assert_eq!(ask(&mut group, 1_050, Release { hold }), Some(Held { since, until_ms }));
    assert_eq!(ask(&mut group, 1_050, Release { hold }), None);
    assert!(group.apply(1_051, &end).unwrap().1.is_some());
    // One that nobody lets go is in nobody's way for longer than it said.
    ask(&mut group, 1_060, asked);
    let rows = intents(&group).packed();
    let mut back = Intents::default();
    assert!(rows.iter().all(|row| back.read(row).is_some()));
    assert!(back.is_locked(b"any", 1_159) && !back.is_locked(b"any", 1_160));
    assert!(is_locked(&run(&mut group, 1_159, Request::Put(put("a", Expiry::Never)))));
    assert!(!is_locked(&run(&mut group, 1_160, Request::Put(put("a", Expiry::Never)))));
    assert!(intents(&group).is_free(), "nor is it kept");
    assert_eq!(ask(&mut group, 1_161, Release { hold }), None);
}
