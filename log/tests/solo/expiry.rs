//! Keys that end: unreadable from that moment on, removed and announced soon after, and not given
//! new time by a restart.

use tidekeep_log::disk::faulty::Crash;
use tidekeep_log::{Commit, EventKind, Solo};
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::op::{self, Put};

use crate::clock::START_MS;
use crate::world::{World, figure, get, put, put_of, put_with, until, wait};

fn brief<'a>(key: &'a [u8], value: &'a [u8], after_ms: u64) -> Put<'a> {
    op::Put { expiry: Expiry::After(after_ms), ..put_of(key, value) }
}

/// The kinds of the events of a key.
fn history(store: &Solo, key: &[u8]) -> Vec<EventKind> {
    let found = store.changes(0, usize::MAX).expect("nothing is forgotten");
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
    wait(store.changed(2)).expect("storage works");
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
        let found = store.changes(1000, usize::MAX).expect("nothing is forgotten");
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
    wait(store.changed(2)).expect("storage works");
    let written_at = store.changes(2, usize::MAX).expect("nothing is forgotten").changes[0].at_ms;
    store.close().expect("it closes");
    drop(store);

    let world = world.on(world.disk.crash(Crash::Drop));
    world.clock.set(START_MS - 1_000_000);
    let store = world.open();
    put(&store, b"new", b"");
    let last = store.changes(3, usize::MAX).expect("nothing is forgotten").changes[0].at_ms;
    assert!(last >= written_at, "the clock was set back, the order's time was not");
    assert_eq!(get(&store, b"soon"), None);
}
