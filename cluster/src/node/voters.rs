//! Who votes in the meta group: every node is a member of it, and an odd number of them votes, five at the
//! most. The next step towards that, from what is seen.

use std::collections::BTreeSet;

use crate::placement::NodeId;
use crate::raft::Standing;

/// More voters make each change of the cluster slower and are no safer.
const VOTERS_MAX: usize = 5;

/// A node, as far as its vote is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Voter {
    pub(super) node: NodeId,
    pub(super) zone: String,
    /// Whether it answers.
    pub(super) up: bool,
    /// Whether its vote is to pass to another: it drains, or has been down for too long.
    pub(super) leaving: bool,
}

/// A change of the meta group's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VoterStep {
    AddLearner(NodeId),
    Promote(NodeId),
    /// Another one is to lead, since the leader is leaving.
    Transfer(NodeId),
    Remove(NodeId),
}

/// What is next, as the leader of the group has it; `nodes` are those that were not removed.
pub(super) fn next(leader: NodeId, standing: &Standing, nodes: &[Voter]) -> Option<VoterStep> {
    let (voters, learners) = (&standing.voters, &standing.learners);
    let node = |id: NodeId| nodes.iter().find(|node| node.node == id);
    if let Some(&gone) = learners.iter().find(|&&learner| node(learner).is_none()) {
        return Some(VoterStep::Remove(gone));
    }
    let is_member = |id: NodeId| voters.contains(&id) || learners.contains(&id);
    if let Some(new) = nodes.iter().find(|node| node.up && !is_member(node.node)) {
        return Some(VoterStep::AddLearner(new.node));
    }
    let stays = |id: NodeId| node(id).is_some_and(|node| !node.leaving);
    let wanted = odd(nodes.len().min(VOTERS_MAX));
    if voters.iter().filter(|&&voter| stays(voter)).count() < wanted
        && let Some(next) = best_learner(standing, nodes)
    {
        return Some(VoterStep::Promote(next));
    }
    let surplus = voters.len() > wanted || voters.iter().any(|&voter| node(voter).is_none());
    if !surplus {
        return None;
    }
    // First who was removed, then who is leaving, then who came last; who leads goes last of all.
    let out = voters.iter().copied().min_by_key(|&voter| {
        let rank = (node(voter).is_some(), stays(voter), std::cmp::Reverse(voter));
        (stays(voter) && voter == leader, rank)
    })?;
    if stays(out) && voters.iter().any(|&voter| !node(voter).is_some_and(|node| node.up)) {
        // A vote is not taken from one that answers while another one does not.
        return None;
    }
    let live = |voter: &&NodeId| **voter != out && node(**voter).is_some_and(|node| node.up);
    let left = voters.iter().filter(live).count();
    if out == leader {
        let next = voters.iter().filter(live).find(|&&voter| stays(voter));
        return next.map(|&next| VoterStep::Transfer(next));
    }
    (2 * left > voters.len() - 1).then_some(VoterStep::Remove(out))
}

/// The largest odd number that is not larger.
pub(super) fn odd(number: usize) -> usize {
    number.saturating_sub(1) | 1
}

/// A learner that answers and has nearly everything, of a zone that votes the least.
fn best_learner(standing: &Standing, nodes: &[Voter]) -> Option<NodeId> {
    let voters: BTreeSet<NodeId> = standing.voters.clone();
    let votes =
        |zone: &str| nodes.iter().filter(|it| voters.contains(&it.node) && it.zone == zone).count();
    let learners = nodes.iter().filter(|node| {
        standing.learners.contains(&node.node)
            && node.up
            && !node.leaving
            && standing.followed.get(&node.node).copied() >= standing.applied
    });
    learners.min_by_key(|node| (votes(&node.zone), node.node)).map(|node| node.node)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const LEADER: NodeId = NodeId(1);

    fn nodes(count: u64) -> Vec<Voter> {
        let node = |id| Voter { node: NodeId(id), zone: String::new(), up: true, leaving: false };
        (1..=count).map(node).collect()
    }

    fn standing(voters: &[u64], learners: &[u64]) -> Standing {
        let set = |nodes: &[u64]| nodes.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        Standing {
            leads: true,
            leader: Some(LEADER),
            term: 1,
            last: Some(9),
            applied: Some(9),
            voters: set(voters),
            learners: set(learners),
            followed: set(learners).into_iter().map(|node| (node, 9)).collect::<BTreeMap<_, _>>(),
            stopped: None,
        }
    }

    fn step(voters: &[u64], learners: &[u64], nodes: &[Voter]) -> Option<VoterStep> {
        next(LEADER, &standing(voters, learners), nodes)
    }

    #[test]
    fn an_odd_number_votes() {
        let steps = [
            (step(&[1], &[], &nodes(1)), None),
            (step(&[1], &[], &nodes(2)), Some(VoterStep::AddLearner(NodeId(2)))),
            (step(&[1], &[2], &nodes(2)), None),
            (step(&[1], &[2], &nodes(3)), Some(VoterStep::AddLearner(NodeId(3)))),
            (step(&[1], &[2, 3], &nodes(3)), Some(VoterStep::Promote(NodeId(2)))),
            (step(&[1, 2], &[3], &nodes(3)), Some(VoterStep::Promote(NodeId(3)))),
            (step(&[1, 2, 3], &[4], &nodes(4)), None),
            (step(&[1, 2, 3, 4, 5], &[6, 7], &nodes(7)), None),
        ];
        for (number, (step, expected)) in steps.into_iter().enumerate() {
            assert_eq!(step, expected, "case {number}");
        }
    }

    #[test]
    fn a_learner_that_lags_behind_gets_no_vote() {
        let mut standing = standing(&[1], &[2, 3]);
        standing.followed.insert(NodeId(2), 8);
        assert_eq!(next(LEADER, &standing, &nodes(3)), Some(VoterStep::Promote(NodeId(3))));
    }

    #[test]
    fn the_vote_of_a_dead_node_passes_to_one_that_answers() {
        let mut all = nodes(4);
        (all[2].up, all[2].leaving) = (false, true);
        assert_eq!(step(&[1, 2, 3], &[4], &all), Some(VoterStep::Promote(NodeId(4))));
        assert_eq!(step(&[1, 2, 3, 4], &[], &all), Some(VoterStep::Remove(NodeId(3))));
        assert_eq!(step(&[1, 2, 4], &[], &all), None, "it is asked to follow when it is back");
        // Three of three: it is waited for.
        let mut three = nodes(3);
        (three[2].up, three[2].leaving) = (false, true);
        assert_eq!(step(&[1, 2, 3], &[], &three), None);
    }

    #[test]
    fn a_leader_that_is_leaving_lets_another_lead() {
        let mut all = nodes(4);
        all[0].leaving = true;
        assert_eq!(step(&[1, 2, 3, 4], &[], &all), Some(VoterStep::Transfer(NodeId(2))));
    }

    #[test]
    fn removed_nodes_go() {
        let all = nodes(3);
        assert_eq!(step(&[1, 2, 3], &[4], &all), Some(VoterStep::Remove(NodeId(4))));
        assert_eq!(step(&[1, 2, 3, 4], &[], &all), Some(VoterStep::Remove(NodeId(4))));
        // Two are left: one votes, so that the other one may be away.
        assert_eq!(step(&[1, 2, 3], &[], &nodes(2)), Some(VoterStep::Remove(NodeId(3))));
        assert_eq!(step(&[1, 2], &[], &nodes(2)), Some(VoterStep::Remove(NodeId(2))));
    }

    #[test]
    fn no_vote_is_taken_that_leaves_no_majority() {
        let mut all = nodes(3);
        all[1].up = false;
        assert_eq!(step(&[1, 2, 3, 4], &[], &all), Some(VoterStep::Remove(NodeId(4))));
        all[2].up = false;
        assert_eq!(step(&[1, 2, 3, 4], &[], &all), None);
    }
}
