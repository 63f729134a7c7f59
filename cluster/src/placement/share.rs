//! How much each node should hold: shares by weight, as far as zones and "one replica of a group a
//! node" allow, and the bounds around them.

use std::collections::BTreeMap;

use super::Node;

/// What one node should hold of some replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The fair number of replicas is `numerator / denominator`.
    pub numerator: u64,
    /// Not 0.
    pub denominator: u64,
    /// The fewest replicas within a tenth of the fair number, or within one where a tenth is less.
    pub least: usize,
    /// The most replicas likewise; never more than there are groups.
    pub most: usize,
}

impl Share {
    /// Fair is `groups * numerator / denominator`.
    fn new(groups: u64, numerator: u64, denominator: u64) -> Self {
        let numerator = groups * numerator;
        let (least, most) = if numerator >= 10 * denominator {
            ((9 * numerator).div_ceil(10 * denominator), 11 * numerator / (10 * denominator))
        } else {
            (
                numerator.saturating_sub(denominator).div_ceil(denominator),
                numerator / denominator + 1,
            )
        };
        Self { numerator, denominator, least: least as usize, most: most.min(groups) as usize }
    }

    /// The fair number of replicas.
    pub fn fair(&self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

/// The most replicas of one group that a zone has to take: as few as the zones' sizes allow, so 1 where
/// there are zones enough. None if `replicas` exceed the nodes.
pub(super) fn replicas_per_zone(nodes: &[&Node], replicas: usize) -> Option<usize> {
    let zones = by_zone(nodes);
    (1..=replicas).find(|&most| {
        zones.values().map(|members| members.len().min(most)).sum::<usize>() >= replicas
    })
}

/// The share of each of `nodes` in `replicas` replicas of `groups` groups. Nobody holds a group twice, no
/// zone holds more of a group than it has to; what is over a node's or a zone's bound by this
/// is shared by the others, by weight. None if `replicas` exceed the nodes.
pub fn shares(nodes: &[&Node], groups: u16, replicas: usize) -> Option<Vec<Share>> {
    let zone_most = replicas_per_zone(nodes, replicas)? as u64;
    let mut open = by_zone(nodes);
    let mut parts = vec![Part::WHOLE; nodes.len()];
    let mut rest = replicas as u64;
    loop {
        let members: Vec<usize> = open.values().flatten().copied().collect();
        fill(nodes, &members, rest, &mut parts);
        let full: Vec<&str> = open
            .iter()
            .filter(|(_, members)| Part::sum_exceeds(members.iter().map(|&i| parts[i]), zone_most))
            .map(|(zone, _)| *zone)
            .collect();
        if full.is_empty() {
            let share =
                |part: Part| Share::new(u64::from(groups), part.numerator, part.denominator);
            return Some(parts.into_iter().map(share).collect());
        }
        for zone in full {
            let members = open.remove(zone).unwrap_or_default();
            fill(nodes, &members, zone_most, &mut parts);
            rest -= zone_most;
        }
    }
}

/// The part of one group that a node holds, on average: at most the whole.
#[derive(Clone, Copy)]
struct Part {
    numerator: u64,
    denominator: u64,
}

impl Part {
    const WHOLE: Self = Self { numerator: 1, denominator: 1 };

    /// Whether the parts, which [`fill`] has worked out together, are more than `bound`.
    fn sum_exceeds(parts: impl Iterator<Item = Self>, bound: u64) -> bool {
        let (mut wholes, mut numerator, mut denominator) = (0, 0, 1);
        for part in parts {
            if part.numerator == part.denominator {
                wholes += 1;
            } else {
                numerator += part.numerator;
                denominator = part.denominator;
            }
        }
        wholes * denominator + numerator > bound * denominator
    }
}

/// Shares `units` among `members` by weight; whoever would get more than one gets one.
fn fill(nodes: &[&Node], members: &[usize], units: u64, parts: &mut [Part]) {
    let weight = |node: usize| u64::from(nodes[node].weight.get());
    let mut open = members.to_vec();
    let mut rest = units;
    loop {
        let total: u64 = open.iter().map(|&node| weight(node)).sum();
        let before = open.len();
        let units = rest;
        open.retain(|&node| {
            let whole = weight(node) * units >= total;
            if whole {
                parts[node] = Part::WHOLE;
                rest -= 1;
            }
            !whole
        });
        if open.len() == before {
            for node in open {
                parts[node] = Part { numerator: weight(node) * rest, denominator: total };
            }
            return;
        }
    }
}

fn by_zone<'a>(nodes: &[&'a Node]) -> BTreeMap<&'a str, Vec<usize>> {
    let mut zones: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        zones.entry(&node.zone).or_default().push(index);
    }
    zones
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::placement::NodeId;

    fn fair(nodes: &[(&str, u16)], groups: u16, replicas: usize) -> Vec<f64> {
        let nodes: Vec<Node> = (0..)
            .zip(nodes)
            .map(|(id, (zone, weight))| Node {
                id: NodeId(id),
                zone: (*zone).to_owned(),
                weight: NonZeroU16::new(*weight).unwrap(),
            })
            .collect();
        let nodes: Vec<&Node> = nodes.iter().collect();
        shares(&nodes, groups, replicas).unwrap().iter().map(Share::fair).collect()
    }

    #[test]
    fn shares_follow_the_weights() {
        assert_eq!(fair(&[("a", 1), ("b", 1), ("c", 2), ("d", 4)], 64, 1), [8.0, 8.0, 16.0, 32.0]);
    }

    #[test]
    fn nobody_holds_a_group_twice() {
        assert_eq!(fair(&[("a", 9), ("b", 1), ("c", 1)], 64, 2), [64.0, 32.0, 32.0]);
        assert_eq!(fair(&[("a", 9), ("b", 5), ("c", 1)], 64, 3), [64.0, 64.0, 64.0]);
    }

    #[test]
    fn a_small_zone_takes_one_of_each_group_where_zones_are_as_many_as_replicas() {
        let zones = [("a", 1), ("b", 1), ("b", 1), ("c", 1), ("c", 3)];
        assert_eq!(fair(&zones, 60, 3), [60.0, 30.0, 30.0, 15.0, 45.0]);
    }

    #[test]
    fn two_zones_share_three_replicas_as_evenly_as_they_can() {
        let zones = [("a", 1), ("a", 1), ("a", 1), ("a", 1), ("b", 1), ("b", 1)];
        assert_eq!(fair(&zones, 60, 3), [30.0; 6]);
        let lopsided = [("a", 1), ("a", 1), ("a", 1), ("a", 1), ("a", 1), ("b", 1)];
        assert_eq!(fair(&lopsided, 60, 3), [24.0, 24.0, 24.0, 24.0, 24.0, 60.0]);
    }

    #[test]
    fn bounds_are_a_tenth_or_one() {
        let bounds = |groups, numerator, denominator| {
            let share = Share::new(groups, numerator, denominator);
            (share.least, share.most)
        };
        assert_eq!(bounds(64, 1, 3), (20, 23));
        assert_eq!(bounds(16, 1, 3), (5, 6));
        assert_eq!(bounds(64, 1, 1), (58, 64));
        assert_eq!(bounds(4, 1, 2), (1, 3));
        assert_eq!(bounds(1, 1, 3), (0, 1));
    }

    #[test]
    fn more_replicas_than_nodes_have_no_shares() {
        assert_eq!(replicas_per_zone(&[], 1), None);
        assert_eq!(shares(&[], 1, 1), None);
    }
}
