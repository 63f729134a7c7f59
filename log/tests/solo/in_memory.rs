//! A store that is written nowhere: it answers at once, keeps nothing but its entries, and ends with
//! its process.

use std::sync::Arc;

use tidekeep_log::disk::faulty::seeded;
use tidekeep_log::disk::memory::MemoryDisk;
use tidekeep_log::{Commit, Durability, Solo, SoloOptions};

use crate::clock::ManualClock;
use crate::world::{content, figure, get, put, put_request, submit, wait};

fn open(seed: u64) -> Solo {
    let clock = ManualClock::new();
    let options = SoloOptions::new(Arc::new(MemoryDisk::new()), clock, seeded(seed));
    let durability = Durability::Memory;
    let store = Solo::open(SoloOptions { durability, segment_bytes: 64 << 10, ..options });
    store.expect("memory does not fail")
}

#[test]
fn writes_are_answered_at_once_and_leave_no_log() {
    let store = open(1);
    let value = [7; 1000];
    // Many times what a segment and the buffer of the log hold.
    for number in 0..2_000_u32 {
        let key = (number % 10).to_be_bytes();
        let written = submit(&store, &[put_request(&key, &value)]).into_ready();
        assert!(written.is_ok_and(|answers| answers.is_ok_and(|all| all[0].is_ok())));
    }
    assert_eq!(figure(&store, "keys"), 10);
    assert_eq!(figure(&store, "durable_revision"), 2_000);
    assert_eq!(figure(&store, "log_bytes"), 0);
    assert_eq!(figure(&store, "snapshots"), 0);
}

#[test]
fn watchers_are_told_and_a_view_is_ready() {
    let store = open(2);
    put(&store, b"a", b"1");
    wait(store.feed().changed(0)).expect("there is a change");
    assert_eq!(store.feed().changes(0, usize::MAX).expect("nothing is forgotten").changes.len(), 1);
    assert_eq!(content(&store).1.len(), 1);
}

#[test]
fn the_next_store_is_empty_and_another_one() {
    let first = open(3);
    put(&first, b"key", b"value");
    let identity = first.identity();
    first.close().expect("memory does not fail");
    let second = open(4);
    assert!(get(&second, b"key").is_none());
    assert_ne!(second.identity(), identity, "no cursor of the first is taken");
}
