//! Forgetting changes, wherever the edge falls, also at a delete: a watcher that comes back is given
//! every change since, the delete included, or is told that it is too late; never neither.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use tidekeep_log::disk::faulty::FaultyDisk;
use tidekeep_log::{Commit, EventKind, SnapshotError, Solo};
use tidekeep_protocol::condition::Condition;
use tidekeep_protocol::op::{Delete, DeleteRange, Request, TxnOp};
use tidekeep_protocol::range::Range;

use crate::world::{
    World, ask, content, delete, delete_request, put, put_of, put_request, txn_request,
};

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

/// Puts and deletes by turns; what there is after each revision, the first being none.
fn live(store: &Solo) -> Vec<Content> {
    let mut states = vec![Content::new()];
    for number in 0..12_u8 {
        let (key, value) = ([b'k', number % 3], [number; 20]);
        let mut state = states.last().cloned().unwrap_or_default();
        // Every second one takes away what the one before has put, so that each edge is tried.
        if number % 2 == 1 {
            let gone = [b'k', (number - 1) % 3];
            assert_eq!(delete(store, &gone), Some(u64::from(number) + 1));
            state.remove(&gone[..]);
        } else {
            assert_eq!(put(store, &key, &value), u64::from(number) + 1);
            state.insert(key.to_vec(), value.to_vec());
        }
        states.push(state);
    }
    states
}

/// Whether each watcher who knew an earlier state gets to the last one; how many were too late.
fn come_back(store: &Solo, states: &[Content]) -> usize {
    let mut too_late = 0;
    for (after, known) in states.iter().enumerate() {
        let changes = match store.feed().changes(after as u64, usize::MAX) {
            Ok(read) => read.changes,
            Err(old) => {
                assert!((after as u64) < old.oldest, "it was known until {}", old.oldest);
                too_late += 1;
                continue;
            }
        };
        let revisions: Vec<u64> = changes.iter().map(|change| change.revision).collect();
        assert_eq!(revisions, (after as u64 + 1..states.len() as u64).collect::<Vec<_>>());
        let mut folded = known.clone();
        for event in changes.iter().flat_map(|change| &change.events) {
            let key = event.entry.key().to_vec();
            match event.kind {
                EventKind::Put | EventKind::Touch => {
                    folded.insert(key, event.entry.value().to_vec())
                }
                _ => folded.remove(&key),
            };
        }
        assert_eq!(Some(&folded), states.last(), "from revision {after}");
    }
    too_late
}

#[test]
fn whatever_is_forgotten_a_watcher_gets_all_changes_or_hears_that_it_cannot() {
    let mut seen = Vec::new();
    for history_bytes in (0..4_000).step_by(40) {
        let world = World { history_bytes, disk: FaultyDisk::new(1), ..World::new(1) };
        let store = world.open();
        let states = live(&store);
        let too_late = come_back(&store, &states);
        store.close().expect("the disk works");
        // And after a restart, which reads the changes from the log.
        let again = world.on(world.disk.copy()).open();
        come_back(&again, &states);
        seen.push(too_late);
    }
    seen.dedup();
    assert!(seen.len() > 6 && seen.contains(&0), "edges at few places: {seen:?}");
}

/// What a store goes through between two looks of its watchers.
#[derive(Debug, Clone)]
enum Step {
    Put(u8, usize),
    Delete(u8),
    DeleteRange(u8, u8),
    PutAndDelete(u8, u8),
    Snapshot,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0_u8..4;
    prop_oneof![
        4 => (key.clone(), 0_usize..200).prop_map(|(key, length)| Step::Put(key, length)),
        4 => key.clone().prop_map(Step::Delete),
        1 => (key.clone(), key.clone()).prop_map(|(start, end)| Step::DeleteRange(start, end)),
        2 => (key.clone(), key).prop_map(|(put, gone)| Step::PutAndDelete(put, gone)),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Restart),
    ]
}

fn apply(store: &Solo, step: &Step) {
    let answer = match *step {
        Step::Put(key, length) => ask(store, put_request(&[key], &vec![key; length])),
        Step::Delete(key) => ask(store, delete_request(&[key])),
        Step::DeleteRange(start, end) => {
            let range = Range { start: &[start], end: Some(&[end]) };
            ask(store, Request::DeleteRange(DeleteRange { range, limit: 0 }))
        }
        Step::PutAndDelete(key, gone) => {
            let condition = Condition::Always;
            let delete = Delete { key: &[gone], condition, previous: false };
            ask(
                store,
                txn_request(vec![TxnOp::Put(put_of(&[key], b"both")), TxnOp::Delete(delete)]),
            )
        }
        Step::Snapshot => {
            // There may be one of this state already.
            let written = store.snapshot();
            assert!(matches!(written, Ok(()) | Err(SnapshotError::Index { .. })), "{written:?}");
            return;
        }
        Step::Restart => return,
    };
    answer.expect("nothing is refused");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn in_any_history_a_watcher_gets_all_changes_or_hears_that_it_cannot(
        steps in vec(step(), 1..40),
        history_bytes in 0_usize..4_000,
    ) {
        let mut world = World { history_bytes, disk: FaultyDisk::new(1), ..World::new(1) };
        let mut store = world.open();
        let mut states = vec![Content::new()];
        for step in &steps {
            apply(&store, step);
            if matches!(step, Step::Restart) {
                store.close().expect("the disk works");
                world = world.on(world.disk.copy());
                store = world.open();
            }
            let (revision, entries) = content(&store);
            let entries = entries.into_iter().map(|(key, entry)| (key, entry.value().to_vec()));
            let now: Content = entries.collect();
            if revision == states.len() as u64 {
                states.push(now);
            } else {
                prop_assert_eq!(revision + 1, states.len() as u64);
                prop_assert_eq!(Some(&now), states.last());
            }
            come_back(&store, &states);
        }
    }
}
