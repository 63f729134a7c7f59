//! A watcher sees every change once, in order, whatever runs beside it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tidekeep_log::disk::faulty::seeded;
use tidekeep_log::{Durability, Solo};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{self, DeleteRange, Request, TxnOp};
use tidekeep_protocol::range::{KeyRange, Range};

use crate::world::{
    Content, Follower, World, add_request, ask_all, content, delete_request, put, put_of,
    put_request, txn_request, wait,
};

/// Writes of every kind to a few keys, by chance.
pub(crate) fn churn(store: &Solo, seed: u64, rounds: usize) {
    let mut random = seeded(seed);
    for _ in 0..rounds {
        let keys: Vec<Vec<u8>> =
            (0..4).map(|_| format!("key-{:02}", random() % 40).into_bytes()).collect();
        let value = format!("{:x}", random()).into_bytes();
        let brief = op::Put { expiry: Expiry::After(random() % 3), ..put_of(&keys[0], &value) };
        let range = Range { start: &keys[1], end: Some(&keys[2]) };
        let fresh = op::Put { condition: Condition::Absent, ..put_of(&keys[3], b"7") };
        let request = match random() % 8 {
            0 | 1 => put_request(&keys[0], &value),
            2 => delete_request(&keys[0]),
            3 => Request::Put(brief),
            4 => Request::DeleteRange(DeleteRange { range, limit: 3 }),
            5 => Request::Put(fresh),
            6 => txn_request(vec![
                TxnOp::Put(put_of(&keys[0], &value)),
                TxnOp::Put(fresh),
                TxnOp::Delete(op::Delete {
                    key: &keys[0],
                    condition: Condition::Always,
                    previous: false,
                }),
            ]),
            _ => add_request(b"counter", 1),
        };
        let batch = [request, add_request(b"total", 1)];
        ask_all(store, &batch).expect("storage works");
    }
}

#[test]
fn the_fold_of_all_changes_is_the_content_while_many_write() {
    for durability in [Durability::Always, Durability::None] {
        let world = World { durability, ..World::new(1) };
        let store = world.open();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|seed| {
                    scope.spawn({
                        let s = &store;
                        move || churn(s, seed, 200)
                    })
                })
                .collect();
            let ticker = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    world.clock.advance(1);
                    thread::yield_now();
                }
            });
            let watcher = scope.spawn(|| {
                let mut follower = Follower { at: 0, content: Content::new() };
                while !done.load(Ordering::Relaxed) {
                    wait(store.feed().changed(follower.at)).expect("storage works");
                    follower.follow(&store);
                }
                follower
            });
            for writer in writers {
                writer.join().expect("the writer ends well");
            }
            done.store(true, Ordering::Relaxed);
            ticker.join().expect("the clock ends well");
            put(&store, b"last", b"wakes the watcher");
            let mut follower = watcher.join().expect("the watcher ends well");
            // What has ended by now is no longer read, and leaves the fold with its event.
            let settled = || content(&store).1.values().all(|entry| entry.expires_at().is_none());
            crate::world::until("no entry is about to end", || {
                world.clock.advance(1);
                settled()
            });
            crate::world::until("the fold is the content", || {
                follower.follow(&store);
                follower.content == content(&store).1
            });
        });
    }
}

#[test]
fn a_view_and_the_changes_after_it_make_the_content() {
    let store = World::new(2).open();
    thread::scope(|scope| {
        let writer = scope.spawn(|| churn(&store, 7, 300));
        let mut followers = Vec::new();
        while !writer.is_finished() {
            let view = wait(store.feed().view(&KeyRange::all())).expect("storage works");
            let mut found = Content::new();
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = view.page(after.as_deref(), 7, 500);
                let Some(last) = page.last() else { break };
                after = Some(last.key().to_vec());
                found.extend(page.iter().map(|entry| (entry.key().to_vec(), entry.clone())));
            }
            followers.push(Follower { at: view.revision(), content: found });
        }
        writer.join().expect("the writer ends well");
        let last = put(&store, b"last", b"");
        assert!(!followers.is_empty());
        for mut follower in followers {
            // The clock stands still, so what ends at once is the one thing a view leaves out.
            follower.content.retain(|_, entry| !entry.expired(crate::clock::START_MS));
            follower_through(&mut follower, &store, last);
        }
    });
}

fn follower_through(follower: &mut Follower, store: &Solo, last: u64) {
    follower.follow_through(store, last);
    let (_, mut now) = content(store);
    now.retain(|_, entry| entry.modified() <= follower.at);
    follower.content.retain(|_, entry| !entry.expired(crate::clock::START_MS));
    assert_eq!(follower.content, now);
}

#[test]
fn forgotten_changes_are_owned_up_to() {
    let world = World { history_bytes: 4096, ..World::new(3) };
    let store = world.open();
    for _ in 0..200 {
        put(&store, b"key", &[0; 64]);
    }
    let error = store.feed().changes(0, usize::MAX).expect_err("the first changes are forgotten");
    assert!(
        wait(store.feed().changed(0)).is_ok(),
        "who waits for forgotten changes is told at once"
    );
    assert!(store.feed().changes(error.oldest - 1, usize::MAX).is_err());
    let rest = store.feed().changes(error.oldest, usize::MAX).expect("these are known");
    assert_eq!(rest.through, 200);
    assert_eq!(rest.changes.len() as u64, 200 - error.oldest);
    assert_eq!(rest.changes.first().expect("some are left").revision, error.oldest + 1);
}

#[test]
fn pages_of_changes_are_bounded_and_say_how_far_they_reach() {
    let store = World::new(4).open();
    for _ in 0..20 {
        put(&store, b"key", &[0; 100]);
    }
    let first = store.feed().changes(0, 1).expect("nothing is forgotten");
    assert_eq!((first.changes.len(), first.through), (1, 1));
    let some = store.feed().changes(3, 1000).expect("nothing is forgotten");
    assert!((1..17).contains(&some.changes.len()));
    assert_eq!(some.through, 3 + some.changes.len() as u64);
    let all = store.feed().changes(3, usize::MAX).expect("nothing is forgotten");
    assert_eq!((all.changes.len(), all.through), (17, 20));
    let none = store.feed().changes(20, usize::MAX).expect("nothing is forgotten");
    assert_eq!((none.changes.len(), none.through), (0, 20));
}
