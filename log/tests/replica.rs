//! A replica: equal records make equal replicas, a frozen state takes another one's place, and what is
//! to end ends by the records alone.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tidekeep_log::{Answer, Call, Fed, PendingBackup, Replica, ReplicaOptions, Reply, TooOld};
use tidekeep_protocol::codec;
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Get, LeaseReply, Put, Request, Txn, TxnOp};
use tidekeep_protocol::session::{Number, SessionId};
use tidekeep_protocol::slot::{GroupCount, slot_of};
use tidekeep_store::apply::Stamp;
use tidekeep_store::record;
use tidekeep_store::step::{AdoptLease, Finish, Outcome, Prepare, Step, TxnId};

/// Time for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A record of puts at a time.
fn puts(now_ms: u64, puts: &[(&str, &str, Expiry)]) -> Vec<u8> {
    let mut out = Vec::new();
    record::begin(Stamp { now_ms, revision: 0 }, &mut out);
    for &(key, value, expiry) in puts {
        record::push_decoded(&put(key, value, expiry), &mut out);
    }
    out
}

fn put<'a>(key: &'a str, value: &'a str, expiry: Expiry) -> Request<'a> {
    let (key, value) = (key.as_bytes(), value.as_bytes());
    Request::Put(Put { key, value, condition: Condition::Always, expiry, previous: false })
}

fn replica() -> Replica {
    Replica::new(&ReplicaOptions { history_bytes: 4096, ..ReplicaOptions::new(7) })
        .expect("memory for a replica")
}

fn value(replica: &Replica, key: &str) -> Option<Vec<u8>> {
    let request = Request::Get(Get { key: key.as_bytes() });
    let mut answers: Vec<Answer> = Vec::new();
    replica.read(&[Call::new(request)], &mut answers);
    match answers.pop() {
        Some(Ok(Reply::Get(found))) => found.entry.map(|entry| entry.value().to_vec()),
        other => panic!("{other:?}"),
    }
}

/// The chunks of a replica's state.
fn chunks(replica: &Replica) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    let Ok(()) = replica.freeze().write(|chunk| {
        chunks.push(chunk.to_vec());
        Ok::<_, std::convert::Infallible>(())
    });
    chunks
}

#[test]
fn equal_records_make_equal_replicas() {
    let (one, other) = (replica(), replica());
    for at in 0..100_u64 {
        let record = puts(at, &[(&format!("k{}", at % 7), "v", Expiry::Never)]);
        let answers = one.apply(&record).unwrap();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers, other.apply(&record).unwrap());
    }
    assert_eq!((one.digest(), one.revision(), one.keys()), (other.digest(), 100, 7));
}

#[test]
fn time_is_that_of_the_records() {
    let replica = replica();
    replica.apply(&puts(1_000, &[("brief", "v", Expiry::After(500))])).unwrap();
    assert_eq!(value(&replica, "brief").as_deref(), Some(&b"v"[..]));
    assert!(replica.ending(1_499).is_none());
    let ending = replica.ending(1_500).unwrap();
    assert_eq!(value(&replica, "brief").as_deref(), Some(&b"v"[..]), "nothing is ordered yet");
    assert_eq!(replica.apply(&ending).unwrap(), []);
    assert_eq!((value(&replica, "brief"), replica.keys(), replica.now_ms()), (None, 0, 1_500));
    // An older clock takes nothing back.
    replica.apply(&puts(1_200, &[("late", "v", Expiry::Never)])).unwrap();
    assert_eq!(replica.now_ms(), 1_500);
    // What was put anew meanwhile lives on.
    replica.apply(&puts(2_000, &[("brief", "again", Expiry::Never)])).unwrap();
    replica.apply(&ending).unwrap();
    assert_eq!(value(&replica, "brief").as_deref(), Some(&b"again"[..]));
}

#[test]
fn a_number_is_applied_once() {
    let replica = replica();
    let mut record = Vec::new();
    record::begin(Stamp { now_ms: 5, revision: 0 }, &mut record);
    record::push_session(SessionId([3; 16]), &mut record);
    let mut body = Vec::new();
    let request = put("k", "v", Expiry::Never);
    request.encode(&mut body);
    let number = Number { sequence: 1, oldest: 1 };
    record::push_numbered(number, false, request.spec().kind, &body, &mut record);
    let first = replica.apply(&record).unwrap();
    assert_eq!((replica.apply(&record).unwrap(), replica.revision()), (first, 1));
}

#[test]
fn chunks_that_are_made_one_by_one_are_the_same() {
    let replica = replica();
    for key in 0..3_000 {
        let (key, value) = (format!("key {key}"), "v".repeat(100));
        replica.apply(&puts(1_000, &[(&key, &value, Expiry::Never)])).unwrap();
    }
    let (whole, one_by_one) = (chunks(&replica), replica.freeze().into_chunks());
    assert!(whole.len() > 4, "{} chunks", whole.len());
    let again = self::replica();
    let one_by_one: Vec<_> = one_by_one.collect();
    again.install(one_by_one.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(again.digest(), replica.digest());
    assert_eq!(one_by_one.concat().len(), whole.concat().len());
    assert_eq!(again.changes(2_990, usize::MAX).unwrap().changes.len(), 10);
}

#[test]
fn reads_run_where_they_stand_among_the_writes() {
    let replica = replica();
    let record = puts(1_000, &[("k", "1", Expiry::Never), ("k", "2", Expiry::Never)]);
    let mut applying = replica.applying(&record).unwrap();
    let request = Request::Get(Get { key: b"k" });
    let get = [Call::new(request)];
    let mut seen: Vec<Answer> = Vec::new();
    applying.read(&get, &mut seen);
    while applying.next_write().is_some() {
        applying.read(&get, &mut seen);
    }
    drop(applying);
    let values = seen.iter().map(|answer| match answer {
        Ok(Reply::Get(got)) => got.entry.as_ref().map(|entry| entry.value().to_vec()),
        other => panic!("{other:?}"),
    });
    assert_eq!(values.collect::<Vec<_>>(), [None, Some(b"1".to_vec()), Some(b"2".to_vec())]);
    // Whoever was told of a write is told of no older revision, whatever is read.
    seen.clear();
    let absent = Request::Get(Get { key: b"absent" });
    replica.read(&[Call::new(absent)], &mut seen);
    assert!(matches!(&seen[..], [Ok(Reply::Get(got))] if got.revision == 2), "{seen:?}");
}

#[test]
fn a_frozen_state_takes_the_place_of_an_older_one() {
    let (ahead, behind) = (replica(), replica());
    for at in 0..200_u64 {
        let key = format!("k{}", at % 50);
        let record = puts(at, &[(&key, "v", Expiry::At(10_000 + at))]);
        ahead.apply(&record).unwrap();
        if at < 10 {
            behind.apply(&record).unwrap();
        }
    }
    let chunks = chunks(&ahead);
    let head_only = chunks[..1].iter().map(Vec::as_slice);
    assert!(behind.install(head_only).is_err());
    assert_eq!(behind.revision(), 10, "a refused state changes nothing");
    behind.install(chunks.iter().map(Vec::as_slice)).unwrap();
    assert_eq!((behind.digest(), behind.revision()), (ahead.digest(), 200));
    assert_eq!((behind.now_ms(), behind.next_due()), (ahead.now_ms(), ahead.next_due()));
    // Who follows goes on with what came with it, or is told that it is forgotten.
    let told = ahead.changes(190, usize::MAX).unwrap();
    let followed = behind.changes(190, usize::MAX).unwrap();
    assert_eq!((followed.changes.len(), followed.through), (told.changes.len(), 200));
    assert!(matches!(behind.changes(10, usize::MAX), Err(TooOld { .. })));
    let next = puts(300, &[("new", "v", Expiry::Never)]);
    assert_eq!(ahead.apply(&next).unwrap(), behind.apply(&next).unwrap());
    assert_eq!(ahead.digest(), behind.digest());
}

#[test]
fn a_cut_stays_as_it_was_when_another_state_takes_the_place_of_its_own() {
    let entries: Vec<_> = (0..500).map(|number| format!("key/{number}")).collect();
    let of = |value| {
        let replica = replica();
        let puts_of: Vec<_> =
            entries.iter().map(|key| (key.as_str(), value, Expiry::Never)).collect();
        replica.apply(&puts(1_000, &puts_of)).expect("it is a record");
        replica
    };
    let (old, new) = (of("old"), of("new"));
    let mut portion = old.portion(None).expect("nobody holds it");
    let head = portion.sum_up(usize::MAX).expect("all of it");
    old.install(chunks(&new).iter().map(Vec::as_slice)).expect("a state");
    let mut found = 0;
    loop {
        let chunk = portion.next_entries();
        if chunk.is_empty() {
            break;
        }
        for entry in tidekeep_store::snapshot::entries(&chunk) {
            assert_eq!(entry.expect("an entry").value(), b"old");
            found += 1;
        }
    }
    assert_eq!(found, head.keys);
}

#[test]
fn much_is_summed_up_for_a_backup_beside_whoever_asks_for_it() {
    let replica = replica();
    let value = "v".repeat(1 << 20);
    for number in 0..32 {
        let record = puts(1_000, &[(&format!("key/{number}"), &value, Expiry::Never)]);
        replica.apply(&record).expect("it is a record");
    }
    let mut look = Context::from_waker(Waker::noop());
    let mut begun: Vec<_> = (0..4).map(|_| replica.backup([7; 16])).collect();
    // One of them may be faster than this thread.
    let ready = |it: &mut PendingBackup| Pin::new(it).poll(&mut look).is_ready();
    assert!(!begun.iter_mut().all(ready), "whoever asked has waited for them");

    let mut backup = {
        let (mut begun, deadline) = (replica.backup([7; 16]), Instant::now() + PATIENCE);
        loop {
            match Pin::new(&mut begun).poll(&mut look) {
                Poll::Ready(backup) => break backup.expect("nothing fails"),
                Poll::Pending => assert!(Instant::now() < deadline, "it takes too long"),
            }
            std::thread::yield_now();
        }
    };
    assert_eq!((backup.revision(), backup.keys()), (replica.revision(), 32));
    let mut bytes = Vec::new();
    while backup.read(1 << 20, &mut bytes).expect("all is here") == Fed::More {}
    assert!(bytes.len() > 32 << 20, "{} bytes", bytes.len());
}

#[test]
fn the_parts_of_a_state_have_its_entries_and_no_copies() {
    let whole = replica();
    let keys: Vec<_> = (0..300).map(|number| format!("key/{number}")).collect();
    let entries: Vec<_> = keys.iter().map(|key| (key.as_str(), "value", Expiry::Never)).collect();
    whole.apply(&puts(1_000, &entries)).expect("it is a record");
    let groups = GroupCount::new(4).expect("a number of groups");
    let parts = whole.divide(groups, &ReplicaOptions::new(8)).expect("memory for the parts");
    assert_eq!(parts.iter().map(Replica::keys).sum::<u64>(), 300);
    for key in &keys {
        let part = &parts[usize::from(groups.group_of(slot_of(key.as_bytes())).0)];
        let (here, there) = (part.peek(key.as_bytes()), whole.peek(key.as_bytes()));
        let (here, there) = (here.expect("it is there"), there.expect("it is there"));
        assert_eq!(here.value().as_ptr(), there.value().as_ptr(), "{key}");
    }
}

#[test]
fn a_lease_of_another_group_is_adopted_once() {
    let replica = replica();
    let mut record = Vec::new();
    record::begin(Stamp { now_ms: 1_000, revision: 0 }, &mut record);
    for ttl_ms in [500, 900] {
        let (step, mut body) = (Step::AdoptLease(AdoptLease { lease: 77, ttl_ms }), Vec::new());
        step.encode(&mut body);
        record::push_request(step.kind(), &body, &mut record);
    }
    record::push_decoded(&put("k", "v", Expiry::Lease(77)), &mut record);
    let answers = replica.apply(&record).unwrap();
    let ends = |answer: &Answer| match answer {
        Ok(Reply::Encoded(encoded)) => codec::decode::<LeaseReply>(&encoded.body).unwrap(),
        other => panic!("{other:?}"),
    };
    let lease = LeaseReply { revision: 1, lease: 77, ttl_ms: 500, expires_at: 1_500 };
    assert_eq!((ends(&answers[0]), ends(&answers[1]).expires_at), (lease, 1_500));
    assert_eq!(value(&replica, "k").as_deref(), Some(&b"v"[..]));
    replica.apply(&replica.ending(1_500).unwrap()).unwrap();
    assert_eq!(value(&replica, "k"), None, "it goes with the lease");
}

/// A record of steps.
fn steps(now_ms: u64, steps: &[Step]) -> Vec<u8> {
    let mut out = Vec::new();
    record::begin(Stamp { now_ms, revision: 0 }, &mut out);
    for step in steps {
        let mut body = Vec::new();
        step.encode(&mut body);
        record::push_request(step.kind(), &body, &mut out);
    }
    out
}

#[test]
fn locks_go_with_a_state_and_hold_off_readers_writers_and_ends() {
    let (one, other) = (replica(), replica());
    one.apply(&puts(1_000, &[("brief", "old", Expiry::After(500)), ("free", "v", Expiry::Never)]))
        .unwrap();
    let (mut part, empty) = (Vec::new(), other.digest());
    let condition = Condition::Present;
    let put_op =
        Put { key: b"brief", value: b"new", condition, expiry: Expiry::Keep, previous: false };
    codec::encode(&Txn { then: vec![TxnOp::Put(put_op)], ..Txn::default() }, &mut part);
    let txn = TxnId { session: [1; 16], sequence: 1, attempt: 7 };
    let prepare = Prepare {
        txn,
        oldest: 1,
        retry: false,
        home: 0,
        groups: vec![0, 1],
        deadline_ms: 9_000,
        part,
    };
    let before = one.digest();
    one.apply(&steps(1_400, &[Step::Prepare(prepare)])).unwrap();
    assert_ne!(one.digest(), before, "what is locked is part of the state");
    other.install(chunks(&one).iter().map(Vec::as_slice)).unwrap();
    assert!(other.digest() == one.digest() && other.digest() != empty);
    for replica in [&one, &other] {
        let is_locked = |answer: Option<&Answer>| matches!(answer, Some(Ok(Reply::Locked(_))));
        let mut answers: Vec<Answer> = Vec::new();
        let get = |key| Call::new(Request::Get(Get { key }));
        replica.read(&[get(b"brief"), get(b"free")], &mut answers);
        assert!(is_locked(answers.first()) && !is_locked(answers.get(1)), "{answers:?}");
        let written = replica.apply(&puts(1_500, &[("brief", "late", Expiry::Never)])).unwrap();
        assert!(is_locked(written.first()), "{written:?}");
        assert!(replica.ending(2_000).is_none(), "what is locked does not end");
        assert_eq!(replica.left_behind(1_399).0.len(), 0);
        assert_eq!(replica.left_behind(1_400).0.len(), 1);
        let finish = Step::Finish(Finish { txn, outcome: Outcome::Then });
        replica.apply(&steps(1_600, &[finish])).unwrap();
        assert_eq!((replica.keys(), replica.left_behind(u64::MAX).0.len()), (2, 0));
        replica.apply(&replica.ending(2_000).unwrap()).unwrap();
        assert_eq!((value(replica, "brief"), replica.keys()), (None, 1), "its time was over");
    }
    assert_eq!(one.digest(), other.digest());
}
