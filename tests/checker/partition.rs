//! Which keys must be checked together: those that transactions join, directly or by way of others.

use super::evidence::Evidence;
use super::groups::Groups;
use super::history::{Call, End, Key, Operation};
use super::holes::Holes;

/// Calls that share no key with those of any other partition, in the order of their beginnings.
pub(super) struct Partition {
    pub(super) keys: Vec<Key>,
    pub(super) calls: Vec<Call>,
}

/// Splits a history.
pub(super) fn split(history: &[Call]) -> Vec<Partition> {
    let mut joined: Vec<u64> = Vec::new();
    for call in history {
        join(&mut joined, &call.operation);
    }
    let mut partitions: Vec<Partition> = joined
        .iter()
        .map(|set| Partition {
            keys: (0..64).filter(|key| set & (1 << key) != 0).collect(),
            calls: Vec::new(),
        })
        .collect();
    // Transactions of nothing have answers too.
    partitions.push(Partition { keys: Vec::new(), calls: Vec::new() });
    for call in history {
        let keys = call.operation.keys();
        let found = joined.iter().position(|set| set & keys != 0);
        partitions[found.unwrap_or(joined.len())].calls.push(call.clone());
    }
    for partition in &mut partitions {
        partition.calls.sort_by_key(|call| call.invoked);
    }
    partitions
}

/// The revisions that writes without an answer can have, over all partitions.
pub(super) fn holes(groups: &Groups, partitions: &[Partition]) -> Holes {
    let mut proven = Vec::new();
    for Partition { calls, .. } in partitions {
        let evidence = Evidence::of(calls);
        for call in calls.iter().filter(|call| call.end == End::Unknown) {
            let proofs = evidence.all_of_call(&call.operation);
            proven.extend(proofs.map(|(key, revision, _)| (groups.of(key), revision)));
        }
    }
    Holes::of(groups, partitions.iter().flat_map(|it| &it.calls), proven)
}

fn join(joined: &mut Vec<u64>, operation: &Operation) {
    let mut keys = operation.keys();
    if keys == 0 || joined.iter().any(|set| set & keys == keys) {
        return;
    }
    joined.retain(|set| {
        let meets = set & keys != 0;
        if meets {
            keys |= set;
        }
        !meets
    });
    joined.push(keys);
}
