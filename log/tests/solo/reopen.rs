//! What is there after a restart is what was there before it: entries, order, identity, history.

use tidekeep_log::disk::Disk;
use tidekeep_log::disk::faulty::Crash;
use tidekeep_log::{Commit, Durability, OpenError};
use tidekeep_protocol::op::{LeaseRevoke, Request};

use crate::leases::{grant, tie};
use crate::watch::churn;
use crate::world::{
    Content, Follower, World, ask, ask_all, content, delete, figure, get, put, put_request, until,
};

/// No entry is about to end, so that what is read does not depend on the moment.
pub(crate) fn settle(world: &World, store: &tidekeep_log::Solo) {
    world.clock.advance(10);
    until("nothing is due", || {
        let (revision, entries) = content(store);
        // What ended has been removed, and its removal is safe.
        entries.len() as u64 == figure(store, "keys") && revision == figure(store, "revision")
    });
}

#[test]
fn everything_is_the_same_after_a_restart() {
    for (durability, snapshot_log_bytes) in [
        (Durability::Always, u64::MAX),
        (Durability::Always, 8 << 10),
        (Durability::None, 8 << 10),
        (Durability::INTERVAL, u64::MAX),
    ] {
        let world = World { durability, snapshot_log_bytes, ..World::new(1) };
        let store = world.open();
        churn(&store, 1, 500);
        settle(&world, &store);
        if snapshot_log_bytes != u64::MAX {
            until("there is a snapshot", || figure(&store, "snapshot_revision") > 0);
        }
        let before = (store.digest(), store.feed().revision(), content(&store), store.identity());
        store.close().expect("it closes");
        drop(store);

        let world = world.on(world.disk.crash(Crash::Drop));
        let store = world.open();
        let after = (store.digest(), store.feed().revision(), content(&store), store.identity());
        assert_eq!(before, after);
        assert_eq!(put(&store, b"next", b""), before.1 + 1, "revisions go on");
    }
}

#[test]
fn long_and_short_records_lie_across_segments_and_come_back() {
    for durability in [Durability::Always, Durability::None] {
        let world = World { durability, ..World::new(9) };
        let store = world.open();
        for round in 0..100_usize {
            // From a few bytes to more than a short record may have, in no order.
            let value = vec![round as u8; round * 7_919 % 16_000];
            let keys = [[1, round as u8], [2, round as u8]];
            let batch = keys.each_ref().map(|key| put_request(key, &value));
            ask_all(&store, &batch).expect("storage works");
            put(&store, &[3, round as u8], b"short");
        }
        let before = (store.digest(), store.feed().revision(), content(&store));
        assert_eq!(before.1, 300);
        let segments = figure(&store, "log_segments");
        assert!(segments > 10, "{segments} segments");
        store.close().expect("it closes");
        drop(store);

        let store = world.on(world.disk.crash(Crash::Drop)).open();
        assert_eq!(before, (store.digest(), store.feed().revision(), content(&store)));
    }
}

#[test]
fn watches_resume_behind_a_restart_and_behind_snapshots() {
    let world = World::new(2);
    let store = world.open();
    let mut follower = Follower { at: 0, content: Content::new() };
    churn(&store, 2, 100);
    follower.follow_through(&store, store.feed().revision() / 2);
    let left_at = follower.at;
    for seed in 3..6 {
        churn(&store, seed, 100);
        store.snapshot().expect("it is written");
    }
    settle(&world, &store);
    store.close().expect("it closes");
    drop(store);

    let world = world.on(world.disk.crash(Crash::Drop));
    let store = world.open();
    assert!(figure(&store, "snapshot_revision") > left_at, "a snapshot lies in between");
    follower.follow_through(&store, store.feed().revision());
    assert_eq!(follower.content, content(&store).1);

    let mut from_the_first = Follower { at: 0, content: Content::new() };
    from_the_first.follow(&store);
    assert_eq!(from_the_first.content, follower.content);
}

#[test]
fn history_is_bounded_in_snapshots_too() {
    let world = World { history_bytes: 8 << 10, ..World::new(3) };
    let store = world.open();
    for i in 0..500 {
        put(&store, format!("key-{}", i % 10).as_bytes(), &[7; 50]);
    }
    store.snapshot().expect("it is written");
    let oldest = store.feed().changes(0, usize::MAX).expect_err("it is forgotten").oldest;
    drop(store);
    let world = world.on(world.disk.crash(Crash::Drop));
    let store = world.open();
    let again = store.feed().changes(0, usize::MAX).expect_err("it is forgotten").oldest;
    assert_eq!(again, oldest);
    assert_eq!(store.feed().changes(oldest, usize::MAX).expect("it is known").through, 500);
}

#[test]
fn a_store_that_was_never_written_to_stays_empty() {
    let world = World::new(4);
    let identity = world.open().identity();
    let world = world.on(world.disk.crash(Crash::Drop));
    let store = world.open();
    assert_eq!((store.identity(), store.feed().revision()), (identity, 0));
    assert_eq!(content(&store).1.len(), 0);
    assert_eq!(delete(&store, b"nothing"), None);
}

#[test]
fn a_damaged_log_is_named_and_not_opened() {
    let world = World::new(5);
    let store = world.open();
    for i in 0..20 {
        put(&store, format!("key-{i}").as_bytes(), b"value");
    }
    drop(store);
    let disk = world.disk.crash(Crash::Drop);
    let segment = disk.list().expect("the disk works").into_iter().find(|name| {
        disk.content(name).is_some_and(|bytes| bytes.len() as u64 == world.segment_bytes)
    });
    disk.flip_bit(&segment.expect("there is a segment"), 8 * 200);
    assert!(matches!(world.on(disk).try_open(), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_history_that_may_have_lost_what_it_showed_is_another_one() {
    for (durability, kept) in
        [(Durability::Always, true), (Durability::INTERVAL, false), (Durability::None, false)]
    {
        let world = World { durability, ..World::new(7) };
        let store = world.open();
        put(&store, b"shown", b"");
        let first = store.identity();
        let disk = world.disk.crash(Crash::Drop);
        drop(store);
        let world = world.on(disk);
        let store = world.open();
        let second = store.identity();
        assert_eq!(second.store_id, first.store_id);
        assert_eq!(second.incarnation == first.incarnation, kept, "{durability:?}");
        store.close().expect("it closes");
        drop(store);
        let world = world.on(world.disk.crash(Crash::Drop));
        let third = world.open().identity();
        assert_eq!(third, second, "nothing is lost by a run that ends well, {durability:?}");
    }
}

#[test]
fn a_large_snapshot_and_a_long_log_are_taken_in_by_all_cores() {
    let world = World { durability: Durability::None, segment_bytes: 1 << 20, ..World::new(4) };
    let store = world.open();
    let fill = |store: &tidekeep_log::Solo, from: usize, count: usize| {
        let keys = (from..from + count).map(|i| format!("key-{:06}", i * 7919 % 80_000));
        for keys in keys.collect::<Vec<_>>().chunks(1000) {
            let puts: Vec<_> =
                keys.iter().map(|key| put_request(key.as_bytes(), key.as_bytes())).collect();
            ask_all(store, &puts).expect("storage works");
        }
    };
    // More than is worth threads, with leases among them.
    let lease = grant(&store, 60_000);
    for i in 0..10 {
        tie(&store, format!("key-{:06}x", i * 8000).as_bytes(), lease);
    }
    fill(&store, 0, 60_000);
    store.snapshot().expect("it is written");
    let snapshot = store.feed().revision();
    ask(&store, Request::LeaseRevoke(LeaseRevoke { lease })).expect("it is there");
    // New keys, and half as many again that are written over.
    fill(&store, 55_000, 15_000);
    let before = (store.digest(), store.feed().revision());
    store.close().expect("it closes");
    drop(store);

    let world = world.on(world.disk.crash(Crash::Drop));
    let store = world.open();
    assert_eq!(figure(&store, "snapshot_revision"), snapshot);
    assert_eq!((store.digest(), store.feed().revision()), before);
    for key in (0..70_000).step_by(700).map(|i| format!("key-{:06}", i * 7919 % 80_000)) {
        let entry = get(&store, key.as_bytes()).expect("it is found");
        assert_eq!(entry.value(), key.as_bytes());
    }
    assert_eq!(figure(&store, "keys"), 70_000);
    let oldest = store.feed().changes(0, usize::MAX).expect("everything is remembered");
    assert_eq!(oldest.through, before.1);
}
