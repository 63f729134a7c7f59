//! A store without threads: nothing happens between steps, and the same steps give the same files.

use std::sync::Arc;

use tidekeep_log::disk::Disk;
use tidekeep_log::disk::faulty::{Crash, FaultyDisk, seeded};
use tidekeep_log::{Durability, Solo, SoloOptions, Upkeep};
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::op::{Put, Request};

use crate::clock::{ManualClock, START_MS};
use crate::world::{World, now_or_never, put_of, put_request, submit, text};

pub(crate) fn open(world: &World) -> Solo {
    Solo::open(SoloOptions {
        segment_bytes: 4096,
        upkeep: Upkeep::Steps,
        ..SoloOptions::new(
            Arc::new(world.disk.clone()),
            Arc::clone(&world.clock) as _,
            seeded(world.seed),
        )
    })
    .expect("the store opens")
}

/// Writes, steps, expires and snapshots by turns; what is on the disk after that.
fn life(seed: u64) -> (u64, Vec<(String, Vec<u8>)>) {
    let world = World { clock: ManualClock::new(), ..World::new(seed) };
    let store = open(&world);
    for number in 0..40_u8 {
        let expiry = Expiry::After(u64::from(number) * 10);
        let value = [number; 300];
        let put = Put { expiry, ..put_of(b"key", &value) };
        let pending = submit(&store, &[Request::Put(put)]);
        while store.step() {}
        now_or_never(pending).expect("a step makes it safe").expect("storage works");
        world.clock.advance(7);
        store.expire().expect("there is room");
        if number % 10 == 9 {
            let pending = submit(&store, &[put_request(b"other", b"value")]);
            store.snapshot().expect("a snapshot needs no thread");
            now_or_never(pending).expect("it comes after the log").expect("storage works");
        }
    }
    drop(store);
    let names = world.disk.list().expect("the power is on");
    let content = |name: String| (world.disk.content(&name).expect("it is listed"), name);
    let files = names.into_iter().map(content).map(|(content, name)| (name, content));
    (world.disk.calls(), files.collect())
}

#[test]
fn a_life_in_steps_leaves_the_same_bytes_every_time() {
    let (calls, files) = life(7);
    assert!(calls > 100 && files.len() > 3, "{calls} calls, {} files", files.len());
    assert_eq!(life(7), (calls, files));
}

#[test]
fn nothing_is_safe_before_the_step_that_syncs_it() {
    let world = World::new(3);
    let store = open(&world);
    let calls = world.disk.calls();
    let pending = submit(&store, &[put_request(b"a", b"1")]);
    assert_eq!((store.feed().revision(), world.disk.calls()), (0, calls));
    let lost: FaultyDisk = world.disk.crash(Crash::Keep);
    assert!(store.step());
    assert_eq!(store.feed().revision(), 1);
    now_or_never(pending).expect("it is safe now").expect("storage works");
    let kept = world.disk.crash(Crash::Drop);
    assert_eq!(text(&open(&world.on(lost)), b"a"), None);
    assert_eq!(text(&open(&world.on(kept)), b"a").as_deref(), Some("1"));
}

#[test]
fn what_ended_first_is_removed_first_wherever_it_lies() {
    let world = World { durability: Durability::None, ..World::new(9) };
    let store = open(&world);
    for end in 1..=4000_u64 {
        let key = end.to_be_bytes();
        let put = Put { expiry: Expiry::After(end), ..put_of(&key, b"") };
        let pending = submit(&store, &[Request::Put(put)]);
        while store.step() {}
        now_or_never(pending).expect("nothing is waited for").expect("storage works");
    }
    world.clock.advance(4000);
    let removed = store.expire().expect("there is room");
    assert!((16..=1024).contains(&removed), "a step is bounded: {removed}");
    while store.step() {}
    let told = store.feed().changes(4000, usize::MAX).expect("nothing is forgotten").changes;
    let ends = told.iter().flat_map(|change| &change.events).filter_map(|e| e.entry.expires_at());
    let latest = ends.max().expect("some have ended") - START_MS;
    assert!(latest <= 1000, "one that ended at {latest} went before others that ended sooner");
}
