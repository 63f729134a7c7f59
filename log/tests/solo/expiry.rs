//! Keys that end: unreadable from that moment on, removed and announced soon after, and not given
//! new time by a restart.

use std::fs;

use tidekeep_log::disk::faulty::{Crash, seeded};
use tidekeep_log::{Commit, Durability, EventKind, Solo};
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::op::{self, Put};

use crate::clock::START_MS;
use crate::world::{Follower, World, content, figure, get, put, put_of, put_with, until, wait};

fn brief<'a>(key: &'a [u8], value: &'a [u8], after_ms: u64) -> Put<'a> {
    op::Put { expiry: Expiry::After(after_ms), ..put_of(key, value) }
}

/// The kinds of the events of a key.
fn history(store: &Solo, key: &[u8]) -> Vec<EventKind> {
    let found = store.feed().changes(0, usize::MAX).expect("nothing is forgotten");
    let events = found.changes.iter().flat_map(|change| &change.events);
    events.filter(|event| event.key() == key).map(|event| event.kind).collect()
}

#[test]
fn a_key_is_gone_at_its_time_and_its_end_is_announced() {
    let world = World::new(1);
    let store = world.open();
    put_with(&store, brief(b"key", b"value", 1000));
    put(&store, b"other", b"stays");
    world.clock.advance(999);
    assert_eq!(get(&store, b"key").expect("it is there").expires_at(), Some(START_MS + 1000));
    world.clock.advance(1);
    assert_eq!(get(&store, b"key"), None);
    wait(store.feed().changed(2)).expect("storage works");
    assert_eq!(history(&store, b"key"), [EventKind::Put, EventKind::Expire]);
    assert_eq!(figure(&store, "keys"), 1);
    until("it is counted", || figure(&store, "expired") == 1);
}

#[test]
fn a_key_that_ends_at_once_is_never_seen() {
    let store = World::new(2).open();
    put_with(&store, brief(b"key", b"value", 0));
    assert_eq!(get(&store, b"key"), None);
    until("it is removed", || history(&store, b"key") == [EventKind::Put, EventKind::Expire]);
}

/// Whether the thread of this process with this name sleeps, as Linux tells it.
fn sleeps(name: &str) -> bool {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux tells of threads");
    tasks.flatten().any(|task| {
        let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        read("comm").trim_end() == name && read("stat").contains(") S ")
    })
}

#[test]
fn a_key_wakes_the_thread_that_ends_keys_if_nothing_else_is_to_end() {
    let store = World::new(8).open();
    until("the thread has found nothing to wait for", || sleeps("tidekeep-expiry"));
    put_with(&store, brief(b"key", b"value", 0));
    until("it is removed", || history(&store, b"key") == [EventKind::Put, EventKind::Expire]);
}

#[test]
fn a_thousand_ends_come_in_bounded_steps() {
    // A segment that takes no record of all keys.
    let world = World { segment_bytes: 4096, ..World::new(3) };
    let store = world.open();
    for i in 0..1000 {
        put_with(&store, brief(format!("key-{i}").as_bytes(), b"", 10));
    }
    world.clock.advance(10);
    until("all are removed", || figure(&store, "keys") == 0);
    until("all are announced", || {
        let found = store.feed().changes(1000, usize::MAX).expect("nothing is forgotten");
        found.changes.iter().map(|change| change.events.len()).sum::<usize>() == 1000
    });
}

#[test]
fn ends_outlast_a_restart_and_time_never_goes_back() {
    let world = World::new(4);
    let store = world.open();
    put_with(&store, brief(b"soon", b"", 1000));
    put_with(&store, brief(b"late", b"", 5000));
    store.close().expect("it closes");
    drop(store);

    let world = world.on(world.disk.crash(Crash::Drop));
    world.clock.advance(1000);
    let store = world.open();
    assert_eq!(get(&store, b"soon"), None);
    assert_eq!(get(&store, b"late").expect("it is there").expires_at(), Some(START_MS + 5000));
    until("it is removed", || figure(&store, "keys") == 1);
    wait(store.feed().changed(2)).expect("storage works");
    let written_at =
        store.feed().changes(2, usize::MAX).expect("nothing is forgotten").changes[0].at_ms;
    store.close().expect("it closes");
    drop(store);

    let world = world.on(world.disk.crash(Crash::Drop));
    world.clock.set(START_MS - 1_000_000);
    let store = world.open();
    put(&store, b"new", b"");
    let last = store.feed().changes(3, usize::MAX).expect("nothing is forgotten").changes[0].at_ms;
    assert!(last >= written_at, "the clock was set back, the order's time was not");
    assert_eq!(get(&store, b"soon"), None);
}

#[test]
fn what_comes_in_the_place_of_what_is_over_comes_after_its_end() {
    let world = World::new(5);
    let store = world.open();
    for round in 1..=200_u64 {
        let key = format!("key-{round}");
        put_with(&store, brief(key.as_bytes(), b"old", 1000));
        world.clock.advance(1000);
        // Sometimes the expire command is sooner, sometimes this.
        put(&store, key.as_bytes(), b"new");
        let told = history(&store, key.as_bytes());
        assert_eq!(told, [EventKind::Put, EventKind::Expire, EventKind::Put], "{key}");
        let entry = get(&store, key.as_bytes()).expect("it is there");
        assert_eq!((entry.version(), entry.created()), (1, entry.modified()));
    }
}

#[test]
fn a_clock_that_jumps_by_hours_either_way_breaks_nothing() {
    const HOURS: u64 = 3 * 3_600_000;
    let mut world = World { durability: Durability::None, ..World::new(6) };
    let mut store = world.open();
    let mut follower = Follower { at: 0, content: Default::default() };
    let mut random = seeded(6);
    for round in 0..40_u64 {
        let offset = [0, HOURS, 2 * HOURS][random() as usize % 3];
        let passed = random() % 5_000;
        world.clock.advance(passed);
        world.clock.set(START_MS + offset + random() % 10_000);
        let key = format!("key-{round}");
        put_with(&store, brief(key.as_bytes(), b"", 60_000));
        put(&store, b"lasting", key.as_bytes());
        assert!(get(&store, key.as_bytes()).is_some(), "a new key has its time before it");
        // In real time it lives for at least as long as it was given, and not much longer.
        world.clock.advance(53_000);
        assert!(get(&store, key.as_bytes()).is_some(), "round {round}");
        if round % 8 == 7 {
            store.close().expect("it closes");
            drop(store);
            world = world.on(world.disk.crash(Crash::Drop));
            store = world.open();
            // A clock that is behind does not tell what passed since the last record.
            world.clock.advance(60_000);
        }
        world.clock.advance(15_000);
        assert_eq!(get(&store, key.as_bytes()), None, "round {round}");
        until("its end is told", || history_has_end(&store, key.as_bytes()));
        follower.follow(&store);
    }
    follower.follow(&store);
    assert_eq!(follower.content, content(&store).1);
    let changes =
        store.feed().changes(follower.at - 50, usize::MAX).expect("it is remembered").changes;
    assert!(changes.is_sorted_by_key(|change| change.at_ms), "stamps never go back");
}

fn history_has_end(store: &Solo, key: &[u8]) -> bool {
    history(store, key).ends_with(&[EventKind::Expire])
}
