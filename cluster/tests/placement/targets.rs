//! Targets: within their bounds, stable when nodes join and leave, the same everywhere.

use std::num::NonZeroU16;

use proptest::prelude::*;
use tidekeep_cluster::placement::{
    Candidate, NODES_MAX, Node, NodeId, Table, Target, TargetRefused, shares, target,
};

use crate::nodes::{any_nodes, check, equal, groups, loads, moves, node, up};

const COUNTS: [u16; 4] = [1, 4, 16, 64];

fn first(count: u16, nodes: &[Node]) -> Target {
    Target::first(groups(count), 3, &up(nodes)).expect("there are nodes enough")
}

/// The target on these nodes for groups that are where `before` says.
fn next(before: &Target, nodes: &[Node]) -> Target {
    target(&Table::new(before), &up(nodes)).expect("there are nodes enough")
}

#[test]
fn what_cannot_be_is_refused() {
    let of = |replicas, nodes: &[Node]| Target::first(groups(4), replicas, &up(nodes));
    let too_few = TargetRefused::TooFewNodes { nodes: 2, replicas: 3 };
    assert_eq!(of(3, &equal(2)), Err(too_few));
    assert_eq!(of(0, &equal(3)), Err(TargetRefused::Replicas));
    assert_eq!(of(8, &equal(9)), Err(TargetRefused::Replicas));
    let many = NODES_MAX as u64 + 1;
    assert_eq!(of(3, &equal(many)), Err(TargetRefused::TooManyNodes { nodes: NODES_MAX + 1 }));
    let twice = [equal(3), equal(1)].concat();
    assert_eq!(of(3, &twice), Err(TargetRefused::Twice { node: NodeId(1) }));
}

#[test]
fn a_node_that_is_down_keeps_its_replicas_and_gets_no_other() {
    let nodes = equal(5);
    let before = first(64, &nodes);
    let mut candidates = up(&nodes);
    candidates[0].up = false;
    // Node 2 is gone for good, and node 1 away for a moment.
    candidates.remove(1);
    let after = target(&Table::new(&before), &candidates).expect("there are nodes enough");
    for (old, new) in before.goals().iter().zip(after.goals()) {
        assert_eq!(old.replicas.contains(&NodeId(1)), new.replicas.contains(&NodeId(1)));
    }
    assert_eq!(moves(&Table::new(&before), &after), loads(&before)[&NodeId(2)].0);
}

#[test]
fn a_node_that_becomes_heavier_gets_more_and_nothing_else_moves() {
    let mut nodes = equal(5);
    let before = first(64, &nodes);
    nodes[0].weight = NonZeroU16::new(200).expect("not 0");
    let after = next(&before, &nodes);
    check(&after, &nodes, 64, 3);
    // Fair is 64 now; 58 is the least that is within a tenth.
    let gained = 58 - loads(&before)[&NodeId(1)].0;
    assert_eq!(moves(&Table::new(&before), &after), gained);
}

#[test]
fn zones_that_were_merged_are_parted_again() {
    let apart = equal(6);
    let before = first(16, &apart);
    let paired: Vec<Node> = (1..=6).map(|id| node(id, &format!("z{}", id % 3), 100)).collect();
    let after = next(&before, &paired);
    check(&after, &paired, 16, 3);
    assert!(moves(&Table::new(&before), &after) > 0, "some group had two replicas in one zone");
}

proptest! {
    #[test]
    fn a_first_target_keeps_every_bound(nodes in any_nodes(), pick in 0_usize..4, replicas in 1_usize..4) {
        let target = Target::first(groups(COUNTS[pick]), replicas, &up(&nodes));
        let target = target.expect("there are nodes enough");
        check(&target, &nodes, COUNTS[pick], replicas);
        let refs: Vec<&Node> = nodes.iter().collect();
        let shares = shares(&refs, COUNTS[pick], replicas).expect("there are nodes enough");
        let held = loads(&target);
        for (node, share) in nodes.iter().zip(shares) {
            let held = held.get(&node.id).map_or(0, |load| load.0);
            prop_assert!((held as f64 - share.fair()).abs() < 1.0, "{held} of {share:?}");
        }
    }

    #[test]
    fn the_order_in_which_nodes_are_told_does_not_matter(
        nodes in any_nodes(), pick in 0_usize..4, seed in any::<u64>(),
    ) {
        let mut shuffled = nodes.clone();
        shuffled.sort_by_key(|node| tidekeep_protocol::slot::hash64(&(node.id.0 ^ seed).to_le_bytes()));
        let (one, other) = (first(COUNTS[pick], &nodes), first(COUNTS[pick], &shuffled));
        prop_assert_eq!(moves(&Table::new(&one), &other), 0);
        // From what there is, the same nodes want nothing else, in whatever order.
        prop_assert_eq!(next(&one, &shuffled), one);
    }

    /// A join moves the joining node's least share, or what the others have over their most by then,
    /// whichever is more.
    #[test]
    fn a_join_moves_what_the_bounds_ask_for_and_no_more(
        nodes in any_nodes(), pick in 0_usize..4, weight in 1_u16..400,
    ) {
        // Every node in its own zone: zones are in the way of nothing.
        let mut nodes: Vec<Node> = nodes;
        nodes.iter_mut().enumerate().for_each(|(index, node)| node.zone = format!("z{index}"));
        let before = first(COUNTS[pick], &nodes);
        nodes.push(node(u64::MAX, "new", weight));
        let after = next(&before, &nodes);
        check(&after, &nodes, COUNTS[pick], 3);
        let refs: Vec<&Node> = nodes.iter().collect();
        let shares = shares(&refs, COUNTS[pick], 3).expect("there are nodes enough");
        let held = loads(&before);
        let over = nodes.iter().zip(&shares).map(|(node, share)| {
            held.get(&node.id).map_or(0, |load| load.0.saturating_sub(share.most))
        });
        let least = shares[nodes.len() - 1].least;
        prop_assert_eq!(moves(&Table::new(&before), &after), least.max(over.sum()));
    }

    #[test]
    fn a_join_keeps_every_bound_in_any_zones(
        nodes in any_nodes(), pick in 0_usize..4, weight in 1_u16..400, zone in 0_u8..5,
    ) {
        let before = first(COUNTS[pick], &nodes);
        let mut more = nodes.clone();
        more.push(node(u64::MAX, &format!("z{zone}"), weight));
        let after = next(&before, &more);
        check(&after, &more, COUNTS[pick], 3);
    }

    /// Where shares round to another number, or zones leave no other way, a replica more may move for each
    /// node that stays.
    #[test]
    fn a_leave_moves_what_the_leaving_node_held(
        nodes in any_nodes(), pick in 0_usize..4, leaver in any::<prop::sample::Index>(),
    ) {
        prop_assume!(nodes.len() > 3);
        let before = first(COUNTS[pick], &nodes);
        let mut fewer = nodes.clone();
        let gone = fewer.remove(leaver.index(nodes.len()));
        let after = next(&before, &fewer);
        check(&after, &fewer, COUNTS[pick], 3);
        let held = loads(&before).get(&gone.id).map_or(0, |load| load.0);
        let moved = moves(&Table::new(&before), &after);
        prop_assert!((held..=held + fewer.len()).contains(&moved), "{moved} moved, {held} held");
    }
}

#[test]
fn a_join_among_equals_moves_at_most_its_fair_share_rounded_up() {
    for count in [1_u16, 4, 16, 64, 256] {
        for size in 3..12 {
            let before = first(count, &equal(size));
            let moved = moves(&Table::new(&before), &next(&before, &equal(size + 1)));
            let share = (3 * u64::from(count)).div_ceil(size + 1);
            assert!(moved as u64 <= share, "{count} groups, {size} nodes: {moved} of {share}");
        }
    }
}

#[test]
fn a_target_for_a_cluster_at_its_limits_is_found() {
    let nodes: Vec<Node> =
        (1..=40).map(|id| node(id, &format!("z{}", id % 5), 50 + id as u16)).collect();
    let target = Target::first(groups(256), 5, &up(&nodes)).expect("there are nodes enough");
    check(&target, &nodes, 256, 5);
    let candidates: Vec<Candidate> = up(&nodes);
    assert_eq!(tidekeep_cluster::placement::target(&Table::new(&target), &candidates), Ok(target));
}
