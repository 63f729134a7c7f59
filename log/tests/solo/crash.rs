//! A power cut after every call that the disk gets: what was answered is there, what was not is
//! there whole or not at all, and watches lose nothing.

use tidekeep_log::disk::faulty::{Crash, seeded};
use tidekeep_log::{Answer, Solo};
use tidekeep_protocol::op::{Request, TxnOp};

use crate::world::{
    Content, Follower, World, add_request, ask_all, content, delete_request, figure, put_of,
    put_request, txn_request,
};

/// Batches between two snapshots: several in a run.
const SNAPSHOT_AFTER: u64 = 5;

/// What a store holds after each batch, and how many batches were answered.
#[derive(Default)]
struct Told {
    after: Vec<Content>,
    answered: usize,
}

/// The batch with this number; each is one record and changes something.
fn batch(number: u64, store: &Solo) -> Option<Vec<Answer>> {
    let mut random = seeded(number);
    let keys: Vec<_> = (0..3).map(|_| format!("key-{}", random() % 8).into_bytes()).collect();
    let value = vec![number as u8; (random() % 200) as usize];
    let mut requests: Vec<Request<'_>> = vec![add_request(b"batches", 1)];
    match number % 4 {
        0 => requests.push(put_request(&keys[0], &value)),
        1 => requests.push(delete_request(&keys[0])),
        2 => requests.push(txn_request(vec![
            TxnOp::Put(put_of(&keys[0], &value)),
            TxnOp::Put(put_of(&keys[1], &value)),
        ])),
        _ => requests.extend(keys.iter().map(|key| put_request(key, &value))),
    }
    let answers = ask_all(store, &requests).ok()?;
    // After the failure, writes are refused rather than lost.
    answers.iter().all(Result::is_ok).then_some(answers)
}

/// Runs batches until the disk fails or `batches` are done, and notes what they are to lead to.
fn run(store: &Solo, first: u64, batches: u64, told: &mut Told, model: &Solo) {
    for number in first..first + batches {
        batch(number, model).expect("the model's disk works");
        told.after.push(content(model).1);
        if batch(number, store).is_none() {
            return;
        }
        told.answered = told.after.len();
        if number % SNAPSHOT_AFTER == 4 {
            // Where the power fails in the middle of it, the next batch finds out.
            let _ = store.snapshot();
        }
    }
}

fn life(seed: u64) -> World {
    World { segment_bytes: 4096, ..World::new(seed) }
}

/// Checks a store against what was told, and that its history leads to its content.
fn check(store: &Solo, told: &Told, context: &str) -> usize {
    let (_, found) = content(store);
    let at = (told.answered..=told.after.len())
        .find(|&count| match count.checked_sub(1) {
            None => found.is_empty(),
            Some(last) => told.after[last] == found,
        })
        .unwrap_or_else(|| {
            panic!(
                "none of states {} to {}, revision {}: {context}\n{found:?}",
                told.answered,
                told.after.len(),
                store.feed().revision()
            )
        });
    let mut follower = Follower { at: 0, content: Content::new() };
    follower.follow(store);
    assert_eq!(follower.at, store.feed().revision(), "{context}");
    assert_eq!(follower.content, found, "{context}");
    at
}

#[test]
fn a_cut_after_every_disk_call_loses_nothing_that_was_answered() {
    let batches = 24;
    let calls = {
        let world = life(0);
        let store = world.open();
        let mut told = Told::default();
        run(&store, 0, batches, &mut told, &World::new(1).open());
        assert_eq!(told.answered, batches as usize);
        assert!(figure(&store, "snapshots") > 0, "the runs are to include snapshots");
        drop(store);
        world.disk.calls()
    };
    assert!(calls > 60, "the runs are to make many calls: {calls}");
    for call in 0..calls {
        let crash = Crash::ALL[call as usize % Crash::ALL.len()];
        let context = format!("cut after call {call} of {calls}, {crash:?}");
        let world = life(call);
        world.disk.cut_after(call);
        let mut told = Told::default();
        let model = World::new(1).open();
        if let Ok(store) = world.try_open() {
            run(&store, 0, batches, &mut told, &model);
        }
        let world = world.on(world.disk.crash(crash));
        let store = world.open();
        let at = check(&store, &told, &context);
        if at < told.after.len() {
            continue;
        }
        // It goes on as if nothing had happened, and survives being cut again.
        let next = told.after.len() as u64;
        told.answered = told.after.len();
        run(&store, next, 4, &mut told, &model);
        assert_eq!(told.answered, told.after.len(), "{context}");
        let world = world.on(world.disk.crash(crash));
        check(&world.open(), &told, &context);
    }
}
