//! With `always`, nothing is shown that a power cut could still take back.

use tidekeep_log::{Commit, Durability, Reply, Solo};
use tidekeep_protocol::condition::Condition;
use tidekeep_protocol::op::{self, Get, Order, Projection, Request, Scan};
use tidekeep_protocol::range::{KeyRange, Range};

use crate::world::{
    Held, World, delete_request, now_or_never, put, put_of, put_request, submit, until, wait,
};

/// Runs with one old key durable and the disk's syncs held from then on.
fn with_held_syncs(seed: u64, run: impl FnOnce(&World, &Solo)) {
    let world = World::new(seed);
    let store = world.open();
    put(&store, b"old", b"1");
    put(&store, b"gone", b"1");
    let held = Held::new(&world.disk);
    run(&world, &store);
    drop(held);
}

fn get(key: &[u8]) -> Request<'_> {
    Request::Get(Get { key })
}

fn scan() -> Request<'static> {
    let (order, projection) = (Order::Ascending, Projection::Full);
    Request::Scan(Scan { range: Range::default(), limit: 0, bytes: 0, order, projection })
}

#[test]
fn replies_that_show_an_unsafe_write_wait_for_it_and_others_do_not() {
    with_held_syncs(1, |world, store| {
        let write = submit(store, &[put_request(b"new", b"2"), delete_request(b"gone")]);
        until("the writer is at the disk", || world.disk.held_syncs() > 0);
        let refused = op::Put { condition: Condition::Absent, ..put_of(b"new", b"3") };
        let unsafe_ones =
            [get(b"new"), get(b"gone"), scan(), Request::Put(refused), delete_request(b"gone")];
        let mut waiting: Vec<_> =
            unsafe_ones.into_iter().map(|request| submit(store, &[request])).collect();
        for pending in &mut waiting {
            assert!(now_or_never(pending).is_none(), "it shows a write that can be lost");
        }
        let old = now_or_never(submit(store, &[get(b"old")])).expect("an old entry is shown");
        let Ok(Reply::Get(got)) = &old.expect("storage works")[0] else { panic!("no get") };
        assert!(got.entry.is_some());
        assert!(got.revision <= store.feed().revision(), "nor does its revision show one");
        assert_eq!(store.feed().revision(), 2);

        world.disk.hold_syncs(false);
        wait(write).expect("storage works");
        for pending in waiting {
            wait(pending).expect("storage works");
        }
        assert_eq!(store.feed().revision(), 4);
    });
}

#[test]
fn no_answer_is_given_at_a_revision_before_one_that_was_answered() {
    let store = World::new(5).open();
    put(&store, b"old", b"1");
    for _ in 0..20 {
        let written = put(&store, b"new", b"2");
        let answers = wait(submit(&store, &[get(b"old"), get(b"absent")])).expect("storage works");
        for answer in &answers {
            assert!(matches!(answer, Ok(Reply::Get(got)) if got.revision == written));
        }
    }
}

#[test]
fn watchers_are_told_of_safe_changes_only() {
    with_held_syncs(2, |world, store| {
        let write = submit(store, &[put_request(b"new", b"2")]);
        let mut changed = store.feed().changed(2);
        let mut view = store.feed().view(&KeyRange::all());
        until("the writer is at the disk", || world.disk.held_syncs() > 0);
        let found = store.feed().changes(2, usize::MAX).expect("nothing is forgotten");
        assert_eq!((found.changes.len(), found.through), (0, 2));
        assert!(now_or_never(&mut changed).is_none());
        assert!(now_or_never(&mut view).is_none());

        world.disk.hold_syncs(false);
        wait(changed).expect("storage works");
        let found = store.feed().changes(2, usize::MAX).expect("nothing is forgotten");
        assert_eq!((found.changes.len(), found.through), (1, 3));
        let view = wait(view).expect("storage works");
        assert_eq!((view.revision(), view.page(None, 10, usize::MAX).len()), (3, 3));
        wait(write).expect("storage works");
    });
}

#[test]
fn without_durability_nothing_waits() {
    for durability in [Durability::None, Durability::INTERVAL] {
        let world = World { durability, ..World::new(3) };
        let store = world.open();
        let held = Held::new(&world.disk);
        let batch = [put_request(b"a", b"1"), get(b"a"), scan()];
        let answers = now_or_never(submit(&store, &batch)).expect("it is ready at once");
        assert_eq!(answers.expect("storage works").len(), 3);
        assert!(now_or_never(store.feed().changed(0)).is_some());
        assert_eq!(
            store.feed().changes(0, usize::MAX).expect("nothing is forgotten").changes.len(),
            1
        );
        drop(held);
    }
}

#[test]
fn a_failed_disk_fails_everything_that_waits() {
    let world = World::new(4);
    let store = world.open();
    put(&store, b"old", b"1");
    world.disk.cut_after(world.disk.calls());
    assert!(wait(submit(&store, &[put_request(b"new", b"2")])).is_err());
    assert!(wait(store.feed().changed(1)).is_err());
    assert!(!wait(store.failed()).is_empty());
    assert!(matches!(store.standing(), tidekeep_log::Standing::Failed(_)));
    assert!(wait(submit(&store, &[get(b"new")])).is_err(), "its outcome is unknown");
    assert!(store.close().is_err());
}
