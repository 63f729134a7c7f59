//! Leases on the disk: a deadline that a restart neither cuts nor renews, keys that are gone at it
//! and go together, and a clock that jumps.

use tidekeep_log::disk::faulty::Crash;
use tidekeep_log::{Commit, EventKind, Reply, Solo};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::{
    self, LeaseGrant, LeaseKeepAlive, LeaseReply, LeaseRevoke, Leases, Request, Touch, WriteStatus,
};
use tidekeep_protocol::range::KeyRange;
use tidekeep_store::reply::Written;

use crate::clock::START_MS;
use crate::steps;
use crate::world::{
    World, ask, content, figure, get, now_or_never, put, put_of, put_with, submit, until, wait,
};

pub(crate) fn grant(store: &Solo, ttl_ms: u64) -> u64 {
    match ask(store, Request::LeaseGrant(LeaseGrant { ttl_ms })) {
        Ok(Reply::Lease(LeaseReply { revision, lease, .. })) => {
            assert_eq!(revision, lease);
            lease
        }
        other => panic!("no lease was granted: {other:?}"),
    }
}

/// When the lease ends now; the code of the refusal if it is over.
fn keep_alive(store: &Solo, lease: u64) -> Result<u64, Code> {
    match ask(store, Request::LeaseKeepAlive(LeaseKeepAlive { lease })) {
        Ok(Reply::Lease(reply)) => Ok(reply.expires_at),
        Err(refusal) => Err(refusal.code),
        other => panic!("{other:?} is no answer to a keep-alive"),
    }
}

pub(crate) fn tie(store: &Solo, key: &[u8], lease: u64) -> u64 {
    put_with(store, op::Put { expiry: Expiry::Lease(lease), ..put_of(key, b"here") })
}

fn leases(store: &Solo) -> Vec<op::Lease> {
    match ask(store, Request::Leases(Leases { after: 0, limit: 0 })) {
        Ok(Reply::Leases(page)) => {
            assert!(!page.more, "the tests' leases fit into a page");
            page.leases
        }
        other => panic!("{other:?} is no page of leases"),
    }
}

/// What happened at each revision after one, as kinds and keys.
fn happened(store: &Solo, after: u64) -> Vec<Vec<(EventKind, Vec<u8>)>> {
    let found = store.feed().changes(after, usize::MAX).expect("nothing is forgotten");
    let events = |change: &tidekeep_log::Change| {
        change.events.iter().map(|event| (event.kind, event.key().to_vec())).collect()
    };
    found.changes.iter().map(events).collect()
}

#[test]
fn keys_are_gone_at_the_end_of_their_lease_and_go_at_one_revision() {
    let world = World::new(1);
    let store = world.open();
    let lease = grant(&store, 1000);
    for key in [&b"b"[..], b"a", b"c"] {
        tie(&store, key, lease);
    }
    put(&store, b"other", b"stays");
    let last = store.feed().revision();
    world.clock.advance(999);
    let entry = get(&store, b"a").expect("it is there");
    assert_eq!((entry.lease(), entry.expires_at()), (Some(lease), None));
    world.clock.advance(1);
    let (_, found) = content(&store);
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [b"other"]);
    assert_eq!(leases(&store), []);
    wait(store.feed().changed(last)).expect("storage works");
    let expired = |key: &[u8]| (EventKind::Expire, key.to_vec());
    assert_eq!(happened(&store, last), [vec![expired(b"a"), expired(b"b"), expired(b"c")]]);
    until("they are counted", || figure(&store, "expired") == 3);
    assert_eq!((figure(&store, "keys"), figure(&store, "leases")), (1, 0));
}

#[test]
fn nothing_reads_or_writes_past_the_end_although_its_command_has_not_come() {
    let world = World::new(2);
    let store = steps::open(&world);
    let ask_all = |requests: &[Request<'_>]| {
        let pending = submit(&store, requests);
        while store.step() {}
        now_or_never(pending).expect("a step makes it safe").expect("storage works")
    };
    let ask = |request| ask_all(&[request]).remove(0);
    let granted = ask(Request::LeaseGrant(LeaseGrant { ttl_ms: 500 }));
    let Ok(Reply::Lease(LeaseReply { lease, .. })) = granted else { panic!("{granted:?}") };
    let tied = |key| op::Put { expiry: Expiry::Lease(lease), ..put_of(key, b"here") };
    ask(Request::Put(tied(b"key"))).expect("the lease is there");
    world.clock.advance(500);
    assert_eq!(get(&store, b"key"), None);
    assert!(content(&store).1.is_empty());
    let view = wait(store.feed().view(&KeyRange::all())).expect("storage works");
    assert!(view.page(None, 10, 1000).is_empty());
    assert_eq!(view.entries().count(), 1, "the command is yet to come");
    let refused = |request| ask(request).map_err(|refusal| refusal.code).err();
    assert_eq!(refused(Request::Put(tied(b"late"))), Some(Code::NotFound));
    assert_eq!(refused(Request::LeaseRevoke(LeaseRevoke { lease })), Some(Code::NotFound));
    assert_eq!(refused(Request::LeaseKeepAlive(LeaseKeepAlive { lease })), Some(Code::NotFound));
    // Under the order lock too: a read behind a write of the same batch.
    let batch = [Request::Put(put_of(b"x", b"")), Request::Get(op::Get { key: b"key" })];
    let answers = ask_all(&batch);
    assert!(matches!(&answers[1], Ok(Reply::Get(got)) if got.entry.is_none()), "{answers:?}");
    // A new holder comes before the command does, and outlives it.
    let fresh = op::Put { condition: Condition::Absent, ..put_of(b"key", b"new") };
    let put = ask(Request::Put(fresh));
    let Ok(Reply::Put(Written { revision, status: WriteStatus::Applied, .. })) = put else {
        panic!("{put:?}")
    };
    assert_eq!(store.expire().expect("there is room"), 1, "the lease, and no key with it");
    let entry = get(&store, b"key").expect("the new holder's");
    assert_eq!((entry.created(), entry.value()), (revision, &b"new"[..]));
}

#[test]
fn a_key_is_not_shown_past_the_end_that_a_power_cut_could_give_back_to_its_lease() {
    let world = World::new(3);
    let store = steps::open(&world);
    let ask = |request| {
        let pending = submit(&store, &[request]);
        while store.step() {}
        now_or_never(pending).expect("a step makes it safe").expect("storage works").remove(0)
    };
    let granted = ask(Request::LeaseGrant(LeaseGrant { ttl_ms: 500 }));
    let Ok(Reply::Lease(LeaseReply { lease, .. })) = granted else { panic!("{granted:?}") };
    let tied = op::Put { expiry: Expiry::Lease(lease), ..put_of(b"key", b"here") };
    ask(Request::Put(tied)).expect("the lease is there");
    world.clock.advance(499);
    let kept = submit(&store, &[Request::LeaseKeepAlive(LeaseKeepAlive { lease })]);
    world.clock.advance(1);
    let mut read = submit(&store, &[Request::Get(op::Get { key: b"key" })]);
    assert!(now_or_never(&mut read).is_none(), "it shows a keep-alive that can be lost");
    while store.step() {}
    assert!(now_or_never(kept).is_some());
    let answers = now_or_never(read).expect("all is safe").expect("storage works");
    assert!(matches!(&answers[0], Ok(Reply::Get(got)) if got.entry.is_some()), "{answers:?}");
}

#[test]
fn a_lease_that_is_kept_alive_stays_and_its_keys_can_leave_it() {
    let world = World::new(3);
    let store = world.open();
    let lease = grant(&store, 1000);
    tie(&store, b"stays", lease);
    tie(&store, b"leaves", lease);
    for round in 1..=5 {
        world.clock.advance(900);
        assert_eq!(keep_alive(&store, lease), Ok(START_MS + round * 900 + 1000));
    }
    let touch = |key, expiry| Request::Touch(Touch { key, expiry, condition: Condition::Always });
    ask(&store, touch(b"stays", Expiry::Keep)).expect("it is there");
    ask(&store, touch(b"leaves", Expiry::Never)).expect("it is there");
    let [listed] = leases(&store)[..] else { panic!("there is one lease") };
    assert_eq!((listed.lease, listed.keys), (lease, 1));
    let reply = ask(&store, Request::LeaseRevoke(LeaseRevoke { lease })).expect("it is there");
    let Reply::LeaseRevoke(revoked) = reply else { panic!("{reply:?}") };
    assert_eq!(revoked.deleted, 1);
    let last = happened(&store, revoked.revision - 1);
    assert_eq!(last, [vec![(EventKind::Delete, b"stays".to_vec())]]);
    assert_eq!(get(&store, b"leaves").expect("it is there").lease(), None);
    assert_eq!(keep_alive(&store, lease), Err(Code::NotFound));
}

#[test]
fn a_restart_neither_renews_nor_cuts_a_lease() {
    for snapshot in [false, true] {
        let world = World::new(4);
        let store = world.open();
        let (soon, late) = (grant(&store, 1000), grant(&store, 5000));
        tie(&store, b"soon", soon);
        tie(&store, b"late", late);
        world.clock.advance(400);
        assert_eq!(keep_alive(&store, late), Ok(START_MS + 5400));
        if snapshot {
            store.snapshot().expect("it is written");
        }
        let (revision, before) = (store.feed().revision(), happened(&store, 0));
        drop(store);

        let world = world.on(world.disk.crash(Crash::Drop));
        let store = world.open();
        assert_eq!((store.feed().revision(), happened(&store, 0)), (revision, before));
        let ends: Vec<_> = leases(&store).iter().map(|it| (it.lease, it.expires_at)).collect();
        assert_eq!(ends, [(soon, START_MS + 1000), (late, START_MS + 5400)]);
        world.clock.advance(600);
        assert_eq!(get(&store, b"soon"), None);
        until("it is removed", || figure(&store, "keys") == 1);
        world.clock.advance(4399);
        assert!(get(&store, b"late").is_some());
        world.clock.advance(1);
        assert_eq!(get(&store, b"late"), None);
        until("it is removed", || figure(&store, "keys") == 0);
    }
}

#[test]
fn a_clock_that_is_set_either_way_breaks_no_lease() {
    const HOUR_MS: u64 = 3_600_000;
    for set in [START_MS - HOUR_MS, START_MS + HOUR_MS] {
        let world = World::new(5);
        let store = world.open();
        let (held, left) = (grant(&store, 3000), grant(&store, 3000));
        tie(&store, b"held", held);
        tie(&store, b"left", left);
        let brief = op::Put { expiry: Expiry::After(3000), ..put_of(b"brief", b"") };
        put_with(&store, brief);
        world.clock.set(set);
        // Its holder counts on nine tenths of its time, and each key has nearly as much.
        world.clock.advance(2700);
        assert!([&b"held"[..], b"left", b"brief"].iter().all(|key| get(&store, key).is_some()));
        assert!(keep_alive(&store, held).is_ok());
        world.clock.advance(700);
        assert!(get(&store, b"held").is_some(), "it was kept alive");
        assert_eq!((get(&store, b"left"), get(&store, b"brief")), (None, None));
        for _ in 0..20 {
            assert!(keep_alive(&store, held).is_ok());
            world.clock.advance(2700);
        }
        world.clock.advance(700);
        assert_eq!(get(&store, b"held"), None, "in the end it is over");
        until("all are removed", || figure(&store, "keys") == 0);
    }
}

#[test]
fn time_that_passes_is_no_clock_that_was_set() {
    let world = World::new(5);
    let store = world.open();
    let lease = grant(&store, 60_000);
    tie(&store, b"key", lease);
    world.clock.advance(59_999);
    assert!(get(&store, b"key").is_some());
    world.clock.advance(1);
    assert_eq!(get(&store, b"key"), None);
}

#[test]
fn a_clock_that_was_set_is_caught_up_with() {
    let world = World::new(5);
    let store = world.open();
    world.clock.set(START_MS + 60_000);
    assert_eq!(store.time_at(START_MS + 60_000), START_MS);
    world.clock.advance(600_000);
    assert_eq!(store.time_at(START_MS + 660_000), START_MS + 660_000);
    let lease = grant(&store, 1000);
    assert_eq!(keep_alive(&store, lease), Ok(START_MS + 661_000));
}

#[test]
fn ten_thousand_leases_end_in_bounded_steps() {
    // Records of a kilobyte at most.
    let world = World { segment_bytes: 4096, ..World::new(6) };
    let store = world.open();
    for number in 0..10_000_u32 {
        let lease = grant(&store, 60_000);
        tie(&store, &number.to_be_bytes(), lease);
    }
    assert_eq!((figure(&store, "keys"), figure(&store, "leases")), (10_000, 10_000));
    let last = store.feed().revision();
    world.clock.advance(60_000);
    assert!(content(&store).1.is_empty(), "all are gone at once");
    until("all are removed", || figure(&store, "keys") == 0 && figure(&store, "leases") == 0);
    until("all are announced", || happened(&store, last).len() == 10_000);
}

#[test]
fn a_lease_of_many_keys_ends_as_one_change() {
    let world = World::new(7);
    let store = world.open();
    let lease = grant(&store, 1000);
    for number in 0..3000_u32 {
        tie(&store, &number.to_be_bytes(), lease);
    }
    let last = store.feed().revision();
    world.clock.advance(1000);
    wait(store.feed().changed(last)).expect("storage works");
    let ended = happened(&store, last);
    assert_eq!((ended.len(), ended[0].len()), (1, 3000));
}
