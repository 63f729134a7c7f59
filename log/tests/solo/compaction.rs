//! Forgetting changes, wherever the edge falls, also at a delete: a watcher that comes back is given
//! every change since, the delete included, or is told that it is too late; never neither.

use std::collections::BTreeMap;

use tidekeep_log::disk::faulty::FaultyDisk;
use tidekeep_log::{Commit, EventKind, Solo};

use crate::world::{World, delete, put};

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
        let changes = match store.changes(after as u64, usize::MAX) {
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
                EventKind::Put => folded.insert(key, event.entry.value().to_vec()),
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
