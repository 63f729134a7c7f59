//! What a store says of all its keys at nodes that keep a part of them: how many there are, some key, and the
//! numbers by which scans go on.

use std::collections::BTreeSet;

use tidekeep_cluster::NodeId;
use tidekeep_log::Commit;
use tidekeep_protocol::error::Code;
use tidekeep_protocol::slot::{GroupCount, GroupId, slot_of};

use crate::cluster::{Cluster, simulate};
use crate::serving::{ask, put};

const GROUPS: u16 = 16;
const KEYS: usize = 200;

fn key(number: usize) -> Vec<u8> {
    format!("key/{number:03}").into_bytes()
}

fn groups_of<'k>(keys: impl Iterator<Item = &'k [u8]>) -> BTreeSet<GroupId> {
    let groups = GroupCount::new(GROUPS).expect("so many");
    keys.map(|key| groups.group_of(slot_of(key))).collect()
}

#[test]
fn any_node_tells_how_many_keys_there_are_and_some_key_of_any_group() {
    simulate(71, async {
        let cluster = Cluster::serving(5, GROUPS).await;
        cluster.sweep().await;
        let stores: Vec<_> = (1..=5).map(|id| cluster.store(NodeId(id))).collect();
        for store in &stores {
            let none = || async { (store.keys().await == Ok(0)).then_some(()) };
            cluster.eventually("replicas have applied all", none).await;
            assert_eq!(store.sample(7).await, Ok(None), "there is none");
        }
        let all: Vec<_> = (0..KEYS).map(key).collect();
        for (number, key) in all.iter().enumerate() {
            ask(&stores[number % 5], put(key, b"v")).await;
        }
        assert_eq!(groups_of(all.iter().map(|key| &key[..])).len(), usize::from(GROUPS));
        for store in &stores {
            let all_there = || async { (store.keys().await == Ok(KEYS as u64)).then_some(()) };
            cluster.eventually("replicas have applied all", all_there).await;
            let mut found = BTreeSet::new();
            for random in 0..100 * u64::from(GROUPS) {
                let key = store.sample(random * 0x9E37_79B9).await.expect("holders answer");
                found.insert(key.expect("there are keys"));
            }
            assert_eq!(groups_of(found.iter().map(|key| &key[..])).len(), usize::from(GROUPS));
            let numbers: BTreeSet<_> = all.iter().map(|key| store.fingerprint(key)).collect();
            assert_eq!(numbers.len(), KEYS, "each key has its own number");
            for key in &all {
                let there = store.with_fingerprint(store.fingerprint(key));
                assert!(there.iter().all(|entry| entry.key() == &key[..]));
            }
        }
    });
}

#[test]
fn a_count_is_refused_when_nobody_has_a_part_of_it() {
    simulate(72, async {
        let cluster = Cluster::serving(5, GROUPS).await;
        let store = cluster.store(NodeId(5));
        for id in 1..=4 {
            cluster.machine(NodeId(id)).crash().await;
        }
        let counted = store.keys().await;
        assert_eq!(counted.map_err(|refusal| refusal.code), Err(Code::Unavailable));
    });
}
