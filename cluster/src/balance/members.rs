//! Which nodes may hold replicas: all that are in the cluster, but for those that drain and those that
//! have been away for too long. Time is an argument.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::placement::{Candidate, Node, NodeId};

/// A node of the cluster, and what is wanted and seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The node.
    pub node: Node,
    /// Whether its replicas are to be moved away, so that it can be taken out.
    pub draining: bool,
    /// Since when it does not answer, in milliseconds on the clock of `now_ms`.
    pub down_since_ms: Option<u64>,
}

/// Why a node cannot be drained. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum DrainRefused {
    /// The cluster has no such node.
    #[error("{node} is not in the cluster")]
    Unknown {
        /// The node.
        node: NodeId,
    },
    /// Too few nodes would be left to hold every group's replicas.
    #[error(
        "without {node}, {left} nodes that answer and do not drain are left for {replicas} replicas of \
         each group; add a node first"
    )]
    TooFewNodes {
        /// The node.
        node: NodeId,
        /// Other nodes that answer and do not drain.
        left: usize,
        /// Replicas that each group should have.
        replicas: usize,
    },
}

/// The nodes to work a target out for: those that neither drain nor have been down for `grace_ms` or more.
/// If they are fewer than `replicas`, a drain that was begun has become unsafe, and the draining nodes that
/// answer keep what they hold until there are nodes enough.
pub fn candidates(
    members: &[Member],
    replicas: usize,
    now_ms: u64,
    grace_ms: u64,
) -> Vec<Candidate> {
    let stays = |member: &&Member| {
        !member.draining
            && member.down_since_ms.is_none_or(|since| now_ms.saturating_sub(since) < grace_ms)
    };
    let wait = members.iter().filter(stays).count() < replicas;
    let waits = |member: &&Member| member.draining && member.down_since_ms.is_none() && wait;
    members
        .iter()
        .filter(|member| stays(member) || waits(member))
        .map(|member| Candidate { node: member.node.clone(), up: member.down_since_ms.is_none() })
        .collect()
}

/// Whether `node` may begin to drain: the other nodes that answer and do not drain themselves must be
/// enough for `replicas` replicas of each group.
pub fn check_drain(members: &[Member], node: NodeId, replicas: usize) -> Result<(), DrainRefused> {
    if !members.iter().any(|member| member.node.id == node) {
        return Err(DrainRefused::Unknown { node });
    }
    let left = members
        .iter()
        .filter(|member| member.node.id != node)
        .filter(|member| !member.draining && member.down_since_ms.is_none())
        .count();
    if left < replicas {
        return Err(DrainRefused::TooFewNodes { node, left, replicas });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;

    fn member(id: u64) -> Member {
        let node = Node { id: NodeId(id), zone: String::new(), weight: NonZeroU16::MIN };
        Member { node, draining: false, down_since_ms: None }
    }

    fn names(candidates: &[Candidate]) -> Vec<(u64, bool)> {
        candidates.iter().map(|candidate| (candidate.node.id.0, candidate.up)).collect()
    }

    #[test]
    fn a_node_counts_until_its_grace_is_over() {
        let mut members: Vec<Member> = (1..=4).map(member).collect();
        members[1].down_since_ms = Some(1_000);
        let at = |now_ms| names(&candidates(&members, 3, now_ms, 600));
        assert_eq!(at(1_599), [(1, true), (2, false), (3, true), (4, true)]);
        assert_eq!(at(1_600), [(1, true), (3, true), (4, true)]);
        // A clock that was set back gives it time, and takes nothing from it.
        assert_eq!(at(0).len(), 4);
    }

    #[test]
    fn a_drain_waits_while_too_few_others_are_left() {
        let mut members: Vec<Member> = (1..=4).map(member).collect();
        members[0].draining = true;
        assert_eq!(names(&candidates(&members, 3, 5_000, 600)), [(2, true), (3, true), (4, true)]);
        members[3].down_since_ms = Some(0);
        assert_eq!(names(&candidates(&members, 3, 5_000, 600)), [(1, true), (2, true), (3, true)]);
    }

    #[test]
    fn a_drain_that_would_leave_too_few_is_refused_with_the_reason() {
        let mut members: Vec<Member> = (1..=4).map(member).collect();
        let node = NodeId(1);
        assert_eq!(check_drain(&members, node, 3), Ok(()));
        members[2].down_since_ms = Some(7);
        let refused = DrainRefused::TooFewNodes { node, left: 2, replicas: 3 };
        assert_eq!(check_drain(&members, node, 3), Err(refused));
        members[2] = member(3);
        members[1].draining = true;
        assert_eq!(check_drain(&members, node, 3), Err(refused));
        let unknown = DrainRefused::Unknown { node: NodeId(9) };
        assert_eq!(check_drain(&members, NodeId(9), 3), Err(unknown));
    }
}
