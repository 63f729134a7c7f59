//! The memory limit: what frees goes on at it, what grows is refused or makes room first, and
//! nothing of it is lost or invented by a restart.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidekeep_log::disk::faulty::{Crash, seeded};
use tidekeep_log::{Commit, Durability, EventKind, Eviction, MemoryOptions, Reply, Solo};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::{self, DeleteRange, Put, Request, TxnOp};
use tidekeep_protocol::range::Range;

use crate::leases::{grant, tie};
use crate::world::{
    Follower, World, add_request, ask, ask_all, content, delete, delete_request, figure, get, put,
    put_of, put_request, txn_request, until,
};

const LIMIT: u64 = 256 << 10;

fn world(seed: u64, eviction: Eviction) -> World {
    let memory = MemoryOptions { limit_bytes: LIMIT, eviction, outside: Arc::default() };
    let durability = Durability::None;
    World {
        memory,
        durability,
        history_bytes: 64 << 10,
        segment_bytes: 1 << 20,
        ..World::new(seed)
    }
}

fn key(i: usize) -> Vec<u8> {
    format!("key-{i:05}").into_bytes()
}

/// Puts entries until one is refused; how many there are.
fn fill(store: &Solo) -> usize {
    for i in 0.. {
        if let Err(refusal) = ask(store, put_request(&key(i), &[7; 100])) {
            assert_eq!(refusal.code, Code::MemoryFull);
            assert!(refusal.code.retryable());
            return i;
        }
    }
    unreachable!("the limit is never reached")
}

fn ends(key: &[u8], after_ms: u64) -> Request<'_> {
    Request::Touch(op::Touch { key, expiry: Expiry::After(after_ms), condition: Condition::Always })
}

#[test]
fn at_the_limit_what_does_not_grow_goes_on_and_room_is_used_again() {
    let world = world(1, Eviction::Refuse);
    let store = world.open();
    let count = fill(&store);
    assert!(count > 500, "only {count} entries fit");
    let used = figure(&store, "memory_bytes");
    assert!(used <= LIMIT && used > LIMIT / 2, "{used} bytes are used");
    assert_eq!(figure(&store, "memory_limit_bytes"), LIMIT);

    assert!(get(&store, &key(0)).is_some());
    assert_eq!(content(&store).1.len(), count);
    let same = ask(&store, put_request(&key(1), &[8; 100]));
    assert!(same.is_ok(), "an overwrite of the same length: {same:?}");
    assert!(ask(&store, put_request(&key(1), b"less")).is_ok());
    assert!(ask(&store, ends(&key(2), 60_000)).is_ok());
    assert!(ask(&store, ends(&key(2), 30_000)).is_ok());
    let grown = ask(&store, put_request(&key(3), &[8; 4000]));
    assert_eq!(grown.expect_err("it grows").code, Code::MemoryFull);
    assert_eq!(get(&store, &key(3)).expect("it is as it was").value(), [7; 100]);
    assert!(figure(&store, "memory_refused") >= 2);

    assert!(delete(&store, &key(4)).is_some());
    assert!(ask(&store, put_request(b"in its place", &[9; 90])).is_ok());
    let start = key(10);
    let range = Range { start: &start, end: None };
    let request = Request::DeleteRange(DeleteRange { range, limit: 50 });
    assert!(ask(&store, request).is_ok());
    put(&store, b"writes go on by themselves", &[1; 1000]);
}

#[test]
fn a_transaction_counts_as_a_whole_and_leaves_no_trace_when_it_is_refused() {
    let world = world(2, Eviction::Refuse);
    let store = world.open();
    let count = fill(&store);
    let (before, at) = (store.digest(), store.feed().revision());
    let (a, b, c) = (key(0), key(1), key(2));
    let delete =
        |key| TxnOp::Delete(op::Delete { key, condition: Condition::Always, previous: false });
    let grows = vec![delete(&a), TxnOp::Put(put_of(&b, &[1; 3000]))];
    assert_eq!(ask(&store, txn_request(grows)).expect_err("it grows").code, Code::MemoryFull);
    assert_eq!((store.digest(), store.feed().revision()), (before, at));

    // First what grows, then what makes room for it.
    let even = vec![TxnOp::Put(put_of(b"new", &[1; 90])), delete(&c)];
    assert!(ask(&store, txn_request(even)).is_ok());
    assert_eq!(content(&store).1.len(), count);
    let digest = store.digest();
    store.close().expect("it closes");
    drop(store);
    let store = world.on(world.disk.crash(Crash::Drop)).open();
    assert_eq!(store.digest(), digest, "what was refused is not in the log");
    assert!(ask(&store, put_request(b"one more", &[1; 3000])).is_err(), "the limit is still there");
}

#[test]
fn what_is_refused_in_a_batch_hinders_nothing_beside_it() {
    let store = world(3, Eviction::Refuse).open();
    fill(&store);
    let batch = [
        put_request(b"new", &[0; 4000]),
        delete_request(b"key-00000"),
        add_request(b"counter", 1),
        put_request(b"newer", &[0; 4000]),
    ];
    let answers = ask_all(&store, &batch).expect("storage works");
    let refused =
        |at: usize| matches!(&answers[at], Err(refusal) if refusal.code == Code::MemoryFull);
    assert!(refused(0) && refused(3));
    assert!(answers[1].is_ok() && matches!(answers[2], Ok(Reply::Increment(_))));
}

#[test]
fn buffers_of_connections_count_and_history_gives_way() {
    let world = world(4, Eviction::Refuse);
    let outside = Arc::clone(&world.memory.outside);
    let store = world.open();
    for round in 0..50_u8 {
        for i in 0..20 {
            put(&store, &key(i), &[round; 1000]);
        }
    }
    let history = figure(&store, "memory_history_bytes");
    assert!(history > 32 << 10, "{history} bytes of history");
    outside.store(LIMIT, Ordering::Relaxed);
    assert_eq!(ask(&store, put_request(b"x", b"")).expect_err("no room").code, Code::MemoryFull);
    put(&store, &key(0), &[1; 1000]);
    let history = figure(&store, "memory_history_bytes");
    assert!(history <= LIMIT / 16 + 2000, "{history} bytes of history at the limit");
    outside.store(0, Ordering::Relaxed);
    put(&store, b"x", b"");
}

/// How many entries made room after a revision.
fn evicted_after(store: &Solo, revision: u64) -> usize {
    let found = store.feed().changes(revision, usize::MAX).expect("nothing is forgotten");
    let events = found.changes.iter().flat_map(|change| &change.events);
    events.filter(|event| event.kind == EventKind::Evict).count()
}

#[test]
fn what_goes_with_a_lease_is_not_evicted() {
    let store = world(15, Eviction::Lru).open();
    let lease = grant(&store, 3_600_000);
    tie(&store, b"lock", lease);
    for i in 0..6000 {
        put(&store, &key(i), &[2; 100]);
    }
    assert!(figure(&store, "evicted") > 1000);
    assert!(get(&store, b"lock").is_some(), "its holder was told nothing");
}

#[test]
fn entries_that_were_not_used_for_long_make_room_and_watchers_are_told() {
    let world = World { history_bytes: 1 << 30, ..world(5, Eviction::Lru) };
    let store = world.open();
    let hot: Vec<Vec<u8>> = (0..100).map(|i| format!("hot-{i}").into_bytes()).collect();
    for key in &hot {
        put(&store, key, &[1; 100]);
    }
    let mut follower = Follower { at: 0, content: Default::default() };
    let mut seen = 0;
    for i in 0..6000 {
        world.clock.advance(100);
        put(&store, &key(i), &[2; 100]);
        if i % 50 == 0 {
            hot.iter().for_each(|key| drop(get(&store, key)));
        }
        seen += evicted_after(&store, follower.at);
        follower.follow(&store);
        assert!(figure(&store, "memory_refused") == 0);
    }
    // Changes that nobody may have seen yet are kept beyond it.
    assert!(figure(&store, "memory_bytes") <= LIMIT + LIMIT / 16);
    let count = figure(&store, "evicted");
    assert!(count > 4000, "only {count} were evicted");
    let kept = hot.iter().filter(|key| get(&store, key).is_some()).count();
    assert!(kept >= 90, "only {kept} of 100 entries in use are left");
    assert!(seen > count as usize / 2, "watchers were told of {seen} of {count}");
    until("watchers know what is there", || {
        follower.follow(&store);
        follower.content == content(&store).1
    });

    store.close().expect("it closes");
    let digest = store.digest();
    drop(store);
    // Without a limit, so that nothing more is evicted.
    let unlimited = World { memory: MemoryOptions::default(), ..world };
    let store = unlimited.on(unlimited.disk.crash(Crash::Drop)).open();
    assert_eq!(store.digest(), digest, "what was evicted stays away");
}

#[test]
fn entries_that_end_soonest_make_room_and_those_without_an_end_stay() {
    let world = world(6, Eviction::Soonest);
    let store = world.open();
    put(&store, b"for ever", &[1; 100]);
    let mut random = seeded(6);
    let mut far = Vec::new();
    for i in 0..3000_usize {
        let after_ms = 1_000_000 + random() % 1_000_000;
        if after_ms > 1_990_000 {
            far.push(key(i));
        }
        let key = key(i);
        let put = Put { expiry: Expiry::After(after_ms), ..put_of(&key, &[2; 100]) };
        assert!(ask(&store, Request::Put(put)).is_ok(), "there is always room");
    }
    assert!(get(&store, b"for ever").is_some());
    assert!(far.iter().all(|key| get(&store, key).is_some()), "the latest ends are kept");
    until("room is made", || figure(&store, "memory_bytes") <= LIMIT + LIMIT / 16);
    let count = figure(&store, "evicted");
    assert!(count > 1000, "only {count} were evicted");
}

#[test]
fn when_nothing_can_be_evicted_writes_are_refused() {
    let store = world(7, Eviction::Soonest).open();
    let count = fill(&store);
    assert!(count > 500 && figure(&store, "evicted") == 0);
}
