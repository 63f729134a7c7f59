//! Weighted rendezvous hashing: in which order a group prefers the nodes. Whole numbers alone, so
//! that every machine finds the same order.

use std::cmp::Ordering;

use tidekeep_protocol::slot::{GroupId, hash64};

use super::Node;

/// The binary point of the logarithms.
const FRACTION_BITS: u32 = 32;

/// How much a group likes a node: weight / -log2(u), where u in (0, 1] is the hash of both. So each
/// node is the first choice of as large a part of the groups as its weight is of all weights, and a
/// new node takes first choices from the others without changing the order among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Score {
    weight: u64,
    /// -log2(u), in units of 2^-32; at least 1.
    distance: u64,
}

impl Score {
    fn new(group: GroupId, node: &Node) -> Self {
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&group.0.to_le_bytes());
        bytes[2..].copy_from_slice(&node.id.0.to_le_bytes());
        let distance = (64 << FRACTION_BITS) - log2(hash64(&bytes).max(1));
        Self { weight: u64::from(node.weight.get()), distance }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let product = |weight: u64, distance: u64| u128::from(weight) * u128::from(distance);
        product(self.weight, other.distance).cmp(&product(other.weight, self.distance))
    }
}

/// For each of `nodes` its place in `group`'s order of preference; 0 is the first choice.
pub(super) fn ranks(group: GroupId, nodes: &[&Node]) -> Vec<usize> {
    let scores: Vec<Score> = nodes.iter().map(|node| Score::new(group, node)).collect();
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by(|&a, &b| {
        scores[b].compare(&scores[a]).then_with(|| nodes[a].id.cmp(&nodes[b].id))
    });
    let mut ranks = vec![0; nodes.len()];
    for (rank, node) in order.into_iter().enumerate() {
        ranks[node] = rank;
    }
    ranks
}

/// The logarithm of `number`, which is not 0, rounded down to a multiple of 2^-32, in units of that. Each squaring
/// of the mantissa gives one more bit.
fn log2(number: u64) -> u64 {
    let whole = u64::from(number.ilog2());
    let mut mantissa = u128::from(number << number.leading_zeros());
    let mut log = whole;
    for _ in 0..FRACTION_BITS {
        mantissa = (mantissa * mantissa) >> 63;
        log <<= 1;
        if mantissa >> 64 != 0 {
            mantissa >>= 1;
            log |= 1;
        }
    }
    log
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::placement::NodeId;

    fn node(id: u64, weight: u16) -> Node {
        let weight = NonZeroU16::new(weight).unwrap();
        Node { id: NodeId(id), zone: String::new(), weight }
    }

    #[test]
    fn logarithms_are_those_of_the_library() {
        for number in [1, 2, 3, 10, 1 << 40, (1 << 53) - 1, u64::MAX] {
            let exact = (number as f64).log2();
            let ours = log2(number) as f64 / (1_u64 << FRACTION_BITS) as f64;
            assert!((exact - ours).abs() < 1e-8, "{number}: {exact} {ours}");
        }
        assert_eq!(log2(1 << 63), 63 << FRACTION_BITS);
    }

    #[test]
    fn first_choices_follow_the_weights() {
        let nodes: Vec<Node> =
            [(1, 100), (2, 100), (3, 200), (4, 400)].map(|(i, w)| node(i, w)).into();
        let nodes: Vec<&Node> = nodes.iter().collect();
        let mut first = [0_i32; 4];
        for group in 0..8_000 {
            let ranks = ranks(GroupId(group), &nodes);
            first[ranks.iter().position(|&rank| rank == 0).unwrap()] += 1;
        }
        // 3 deviations of a draw are under 135.
        for (count, fair) in first.into_iter().zip([1_000, 1_000, 2_000, 4_000]) {
            assert!((count - fair).abs() < 135, "{first:?}");
        }
    }

    #[test]
    fn a_new_node_leaves_the_order_of_the_others_alone() {
        let all: Vec<Node> = (1..=6).map(|id| node(id, 100 * id as u16)).collect();
        let all: Vec<&Node> = all.iter().collect();
        for group in (0..100).map(GroupId) {
            let order = |nodes: &[&Node]| {
                let ranks = ranks(group, nodes);
                let mut order: Vec<u64> = nodes.iter().map(|node| node.id.0).collect();
                order.sort_by_key(|id| ranks[(id - 1) as usize]);
                order
            };
            let mut with = order(&all);
            with.retain(|&id| id != 6);
            assert_eq!(with, order(&all[..5]));
        }
    }
}
