//! Where the groups should be: the placement within the bounds that moves the least of what there
//! is, and of all such the one that the groups' orders of preference like best.
//!
//! It is found as the cheapest flow of replicas from groups over zones to nodes:
//!
//! ```text
//!             zone's bound            1, cost          share's bounds
//!   group ─────────────────▶ (group, zone) ─────▶ node ─────────────────▶ sink
//! ```
//! Costs come in three orders of size, so that a lower one never outweighs a higher: a node that is left
//! under its least share; a replica that has to be moved; a node's place in the group's order (`score`).
//! A flow that fills every share to its fair number, rounded up or down, exists for any
//! weights and zones, since the fair numbers themselves are one in fractions; so the bounds are always kept.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;
use tidekeep_protocol::slot::{GroupCount, GroupId};

use super::flow::{EdgeId, Network};
use super::share::{Share, replicas_per_zone, shares};
use super::{Node, NodeId, REPLICAS_MAX, Table, score};

/// The most nodes that a target is worked out for.
pub const NODES_MAX: usize = 256;

/// Outweighs all places in orders of preference together: at most 256 groups · 7 replicas · 256 nodes.
const MOVE: i64 = 1 << 20;
/// A new replica on a node that is down cannot be filled until it is back.
const MOVE_TO_DOWN: i64 = 8 * MOVE;
/// Outweighs all moves together.
const UNDER_SHARE: i64 = 1 << 40;

/// A node that may hold replicas. Nodes that drain or that are given up are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: Node,
    /// Whether it answers. One that does not keeps what it holds and gets nothing new if that can be.
    pub up: bool,
}

/// Where every group should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    replicas: usize,
    goals: Vec<Goal>,
}

/// Where one group should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goal {
    /// The nodes that should hold it, ascending.
    pub replicas: Vec<NodeId>,
    /// Which of them should lead.
    pub leader: NodeId,
}

/// Why there is no target. The table stays as it is until the nodes are others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TargetRefused {
    /// Fewer nodes than a group should have replicas.
    #[error("{nodes} nodes are too few for {replicas} replicas of each group")]
    TooFewNodes {
        /// Nodes that may hold replicas.
        nodes: usize,
        /// Replicas that each group should have.
        replicas: usize,
    },
    /// More than [`NODES_MAX`] nodes.
    #[error("{nodes} nodes are more than {NODES_MAX}")]
    TooManyNodes {
        /// Nodes that may hold replicas.
        nodes: usize,
    },
    /// Two nodes have the same name.
    #[error("{node} is there twice")]
    Twice {
        /// The name.
        node: NodeId,
    },
    /// A group has 1 to [`REPLICAS_MAX`] replicas.
    #[error("a group has 1 to {REPLICAS_MAX} replicas")]
    Replicas,
}

impl Target {
    /// How many replicas each group has.
    pub fn replicas(&self) -> usize {
        self.replicas
    }

    /// The groups' goals, in order.
    pub fn goals(&self) -> &[Goal] {
        &self.goals
    }

    /// The target of a new cluster, in which no group holds anything yet. Each node gets its
    /// [share](super::shares), rounded up or down.
    pub fn first(
        groups: GroupCount,
        replicas: usize,
        candidates: &[Candidate],
    ) -> Result<Self, TargetRefused> {
        work_out(usize::from(groups.get()), replicas, None, candidates)
    }
}

/// Where `table`'s groups should be on these nodes. Each node's replicas are within a tenth of its
/// [share](super::shares), or within one where a tenth is less, and it leads its part of the groups that it
/// holds, rounded up or down. Within that, as few replicas move as can. The work grows
/// with groups times nodes: not for a thread that serves.
pub fn target(table: &Table, candidates: &[Candidate]) -> Result<Target, TargetRefused> {
    work_out(table.rows().len(), table.replicas(), Some(table), candidates)
}

fn work_out(
    groups: usize,
    replicas: usize,
    table: Option<&Table>,
    candidates: &[Candidate],
) -> Result<Target, TargetRefused> {
    check(replicas, candidates)?;
    // In one order, so that of two placements that are as good the same is taken everywhere.
    let mut candidates = candidates.to_vec();
    candidates.sort_unstable_by_key(|candidate| candidate.node.id);
    let nodes: Vec<&Node> = candidates.iter().map(|candidate| &candidate.node).collect();
    let too_few = TargetRefused::TooFewNodes { nodes: nodes.len(), replicas };
    let zone_most = replicas_per_zone(&nodes, replicas).ok_or(too_few)?;
    let shares = shares(&nodes, groups as u16, replicas).ok_or(too_few)?;
    let ranks = (0..groups).map(|group| score::ranks(GroupId(group as u16), &nodes)).collect();
    let held = Held { table, candidates: &candidates, ranks };
    let mut choice = Choice {
        replicas,
        zone_most,
        zones: zones(&nodes),
        bounds: shares.iter().map(|share| Bounds::of(share, table)).collect(),
        costs: (0..groups).map(|group| held.replica_costs(group, &nodes)).collect(),
    };
    for (node, candidate) in candidates.iter().enumerate() {
        if !candidate.up {
            let bounds = &mut choice.bounds[node];
            bounds.least = bounds.least.min(held.count(candidate.node.id));
        }
    }
    let chosen = choice.cheapest();
    let leaders = held.leaders(&chosen, &nodes, replicas);
    let goal = |(mut members, leader): (Vec<usize>, usize)| {
        members.sort_unstable_by_key(|&node| nodes[node].id);
        Goal {
            replicas: members.into_iter().map(|node| nodes[node].id).collect(),
            leader: nodes[leader].id,
        }
    };
    Ok(Target { replicas, goals: chosen.into_iter().zip(leaders).map(goal).collect() })
}

fn check(replicas: usize, candidates: &[Candidate]) -> Result<(), TargetRefused> {
    if !(1..=REPLICAS_MAX).contains(&replicas) {
        return Err(TargetRefused::Replicas);
    }
    if candidates.len() > NODES_MAX {
        return Err(TargetRefused::TooManyNodes { nodes: candidates.len() });
    }
    let mut names = BTreeSet::new();
    match candidates.iter().map(|candidate| candidate.node.id).find(|&id| !names.insert(id)) {
        Some(node) => Err(TargetRefused::Twice { node }),
        None => Ok(()),
    }
}

/// What there is, in terms of cost.
struct Held<'a> {
    table: Option<&'a Table>,
    candidates: &'a [Candidate],
    /// For each group its nodes' places in its order of preference.
    ranks: Vec<Vec<usize>>,
}

impl Held<'_> {
    /// For each node what a replica of `group` on it costs.
    fn replica_costs(&self, group: usize, nodes: &[&Node]) -> Vec<Option<i64>> {
        let row = self.table.map(|table| &table.rows()[group]);
        let costs = nodes.iter().zip(self.candidates).zip(&self.ranks[group]).map(
            |((node, candidate), rank)| {
                let moved = match row {
                    Some(row) if row.has_voter(node.id) => 0,
                    // A move that has begun is half done.
                    Some(row) if row.learner == Some(node.id) => MOVE / 2,
                    _ if candidate.up => MOVE,
                    _ => MOVE_TO_DOWN,
                };
                Some(moved + *rank as i64)
            },
        );
        costs.collect()
    }

    /// How many groups `node` has a vote in.
    fn count(&self, node: NodeId) -> usize {
        let rows = self.table.map(Table::rows).unwrap_or_default();
        rows.iter().filter(|row| row.has_voter(node)).count()
    }

    /// Who leads each group, of those that hold it: every node its part of what it holds. Giving each of a group's
    /// replicas an equal part of the leadership does so in fractions, so whole leaders can, too.
    fn leaders(&self, chosen: &[Vec<usize>], nodes: &[&Node], replicas: usize) -> Vec<usize> {
        let mut counts = vec![0_usize; nodes.len()];
        chosen.iter().flatten().for_each(|&node| counts[node] += 1);
        let bounds = counts.iter().zip(self.candidates).map(|(count, candidate)| Bounds {
            least: if candidate.up { count / replicas } else { 0 },
            most: count.div_ceil(replicas),
        });
        let costs = chosen.iter().enumerate().map(|(group, members)| {
            let leader = self.table.map(|table| table.rows()[group].leader);
            let ranks = &self.ranks[group];
            let mut costs = vec![None; nodes.len()];
            for &node in members {
                let stays = leader == Some(nodes[node].id);
                let moved = if stays {
                    0
                } else if self.candidates[node].up {
                    MOVE
                } else {
                    MOVE_TO_DOWN
                };
                costs[node] = Some(moved + ranks[node] as i64);
            }
            costs
        });
        let choice = Choice {
            replicas: 1,
            zone_most: 1,
            zones: zones(nodes),
            bounds: bounds.collect(),
            costs: costs.collect(),
        };
        choice.cheapest().into_iter().flatten().collect()
    }
}

/// How much of something a node should get.
struct Bounds {
    least: usize,
    most: usize,
}

impl Bounds {
    /// Where nothing is held yet nothing has to move, so the first placement is as even as it can be.
    fn of(share: &Share, table: Option<&Table>) -> Self {
        if table.is_some() {
            return Self { least: share.least, most: share.most };
        }
        let least = share.numerator / share.denominator;
        let most = share.numerator.div_ceil(share.denominator);
        Self { least: least as usize, most: most as usize }
    }
}

/// A choice of nodes for every group.
struct Choice {
    /// How many nodes each group gets.
    replicas: usize,
    /// The most of them in one zone.
    zone_most: usize,
    /// For each node its zone.
    zones: Vec<usize>,
    bounds: Vec<Bounds>,
    /// For each group and node what it costs; none where it cannot be.
    costs: Vec<Vec<Option<i64>>>,
}

impl Choice {
    /// For each group the nodes that it gets.
    fn cheapest(&self) -> Vec<Vec<usize>> {
        let (groups, nodes) = (self.costs.len(), self.zones.len());
        let zone_count = self.zones.iter().max().map_or(0, |last| last + 1);
        let sink = 0;
        let group_point = |group: usize| 1 + group * (1 + zone_count);
        let node_point = |node: usize| group_point(groups) + node;
        let mut network = Network::new(node_point(nodes));
        for (node, bounds) in self.bounds.iter().enumerate() {
            network.edge(node_point(node), sink, bounds.least, 0);
            network.edge(node_point(node), sink, bounds.most - bounds.least, UNDER_SHARE);
        }
        let mut chosen: Vec<Vec<(EdgeId, usize)>> = Vec::new();
        for (group, costs) in self.costs.iter().enumerate() {
            let point = group_point(group);
            for zone in 0..zone_count {
                network.edge(point, point + 1 + zone, self.zone_most, 0);
            }
            let mut edges = Vec::new();
            for (node, cost) in costs.iter().enumerate() {
                if let Some(cost) = *cost {
                    let zone = point + 1 + self.zones[node];
                    edges.push((network.edge(zone, node_point(node), 1, cost), node));
                }
            }
            chosen.push(edges);
        }
        for _ in 0..self.replicas {
            for group in 0..groups {
                let placed = network.send(group_point(group), sink);
                assert!(placed, "fair shares are one way to place all replicas");
            }
        }
        let used = |edges: Vec<(EdgeId, usize)>| {
            let edges = edges.into_iter().filter(|(edge, _)| network.units(*edge) > 0);
            edges.map(|(_, node)| node).collect()
        };
        chosen.into_iter().map(used).collect()
    }
}

/// For each node the number of its zone.
fn zones(nodes: &[&Node]) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    let mut zones = Vec::new();
    for node in nodes {
        let next = numbers.len();
        zones.push(*numbers.entry(&node.zone).or_insert(next));
    }
    zones
}
