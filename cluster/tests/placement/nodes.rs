//! Nodes and clusters for the tests, and what they hold.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use proptest::collection::vec;
use proptest::prelude::*;
use tidekeep_cluster::placement::{Candidate, Node, NodeId, Table, Target, shares};
use tidekeep_protocol::slot::GroupCount;

pub(crate) fn groups(count: u16) -> GroupCount {
    GroupCount::new(count).expect("1 to 256 groups are allowed")
}

pub(crate) fn node(id: u64, zone: &str, weight: u16) -> Node {
    let weight = NonZeroU16::new(weight).expect("a weight is not 0");
    Node { id: NodeId(id), zone: zone.to_owned(), weight }
}

/// Nodes of the same weight in zones of their own, with names from 1 on.
pub(crate) fn equal(count: u64) -> Vec<Node> {
    (1..=count).map(|id| node(id, &format!("z{id}"), 100)).collect()
}

/// Nodes that all answer.
pub(crate) fn up(nodes: &[Node]) -> Vec<Candidate> {
    nodes.iter().map(|node| Candidate { node: node.clone(), up: true }).collect()
}

/// 3 to 9 nodes of any weights in 1 to 4 zones, or each in its own.
pub(crate) fn any_nodes() -> impl Strategy<Value = Vec<Node>> {
    let weight = prop_oneof![Just(100_u16), 1_u16..400, Just(u16::MAX)];
    (vec((weight, any::<u8>(), any::<u64>()), 3..10), 1_u8..6).prop_map(|(nodes, zones)| {
        let of = |(index, (weight, zone, random)): (usize, (u16, u8, u64))| {
            let zone = if zones > 4 { index as u8 } else { zone % zones };
            // Names are random but not the same twice.
            node(random << 4 | index as u64, &format!("z{zone}"), weight)
        };
        nodes.into_iter().enumerate().map(of).collect()
    })
}

/// For each node how many groups it holds and leads.
pub(crate) fn loads(target: &Target) -> BTreeMap<NodeId, (usize, usize)> {
    let mut loads: BTreeMap<NodeId, (usize, usize)> = BTreeMap::new();
    for goal in target.goals() {
        for &replica in &goal.replicas {
            loads.entry(replica).or_default().0 += 1;
        }
        loads.entry(goal.leader).or_default().1 += 1;
    }
    loads
}

/// How many replicas of the target the table does not have.
pub(crate) fn moves(table: &Table, target: &Target) -> usize {
    let goals = table.rows().iter().zip(target.goals());
    goals.map(|(row, goal)| goal.replicas.iter().filter(|&&r| !row.has_voter(r)).count()).sum()
}

/// Every promise of a target: replicas on different known nodes, zones apart where they can be, each
/// node within its bounds and leading its part.
pub(crate) fn check(target: &Target, nodes: &[Node], groups: u16, replicas: usize) {
    let loads = loads(target);
    let refs: Vec<&Node> = nodes.iter().collect();
    let shares = shares(&refs, groups, replicas).expect("there are nodes enough");
    for (node, share) in nodes.iter().zip(shares) {
        let (held, led) = loads.get(&node.id).copied().unwrap_or_default();
        let off = (held as f64 - share.fair()).abs();
        assert!(off <= (share.fair() / 10.0).max(1.0) + 1e-9, "{node:?} holds {held} of {share:?}");
        assert!(
            (held / replicas..=held.div_ceil(replicas)).contains(&led),
            "{held} held, {led} led"
        );
    }
    assert_eq!(target.goals().len(), usize::from(groups));
    let zone_of: BTreeMap<NodeId, &str> = nodes.iter().map(|n| (n.id, &n.zone[..])).collect();
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    nodes.iter().for_each(|node| *zones.entry(&node.zone).or_default() += 1);
    let fits =
        |most: usize| zones.values().map(|&count| count.min(most)).sum::<usize>() >= replicas;
    let zone_most = (1..).find(|&most| fits(most)).expect("there are nodes enough");
    for goal in target.goals() {
        assert_eq!(goal.replicas.len(), replicas);
        assert!(goal.replicas.is_sorted_by(|a, b| a < b), "{goal:?}");
        assert!(goal.replicas.contains(&goal.leader), "{goal:?}");
        let mut used: BTreeMap<&str, usize> = BTreeMap::new();
        goal.replicas.iter().for_each(|replica| *used.entry(zone_of[replica]).or_default() += 1);
        assert!(used.values().all(|&count| count <= zone_most), "{used:?} of {zones:?}");
    }
}
