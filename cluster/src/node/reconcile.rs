//! The table says what the groups' members are, but a group is changed first: a coordinator that dies in
//! between leaves them a step apart. The next one finds that out here. What a group's committed members
//! are is right, so the table follows; only what was left half done is brought to its end.

use crate::placement::{Change, Row, Step};
use crate::raft::Standing;
use tidekeep_protocol::slot::GroupId;

/// What brings a group and its row together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repair {
    /// The step was taken by the group, and the table is to know it.
    Note(Step),
    /// The step was begun by the group, and is to be taken once more.
    Finish(Step),
}

/// What is next for a group whose members are not those of its row; none if they are.
pub(super) fn next(group: GroupId, row: &Row, standing: &Standing) -> Option<Repair> {
    let to = |change, node| Step { group, change, node };
    let (voters, learners) = (&standing.voters, &standing.learners);
    if let Some(learner) = row.learner {
        if voters.contains(&learner) {
            return Some(Repair::Note(to(Change::Promote, learner)));
        }
        if !learners.contains(&learner) {
            return Some(Repair::Note(to(Change::RemoveReplica, learner)));
        }
    }
    if let Some(&gone) = row.voters.iter().find(|voter| !voters.contains(voter)) {
        if learners.contains(&gone) {
            return Some(Repair::Finish(to(Change::RemoveReplica, gone)));
        }
        if row.leader == gone {
            let next = standing.leader.filter(|&leader| row.has_voter(leader));
            let next = next.or_else(|| row.voters.iter().copied().find(|it| voters.contains(it)));
            return Some(Repair::Note(to(Change::TransferLeader, next?)));
        }
        return Some(Repair::Note(to(Change::RemoveReplica, gone)));
    }
    let known = |node| row.has_voter(node) || row.learner == Some(node);
    let new = voters.iter().chain(learners).copied().find(|&node| !known(node))?;
    Some(Repair::Note(to(Change::AddLearner, new)))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::placement::NodeId;

    const GROUP: GroupId = GroupId(3);

    fn row(voters: &[u64], learner: Option<u64>) -> Row {
        let voters: Vec<_> = voters.iter().copied().map(NodeId).collect();
        Row { leader: voters[0], voters, learner: learner.map(NodeId), epoch: 1 }
    }

    fn standing(voters: &[u64], learners: &[u64]) -> Standing {
        let set = |nodes: &[u64]| nodes.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        Standing {
            leads: true,
            leader: Some(NodeId(2)),
            term: 1,
            last: None,
            applied: None,
            voters: set(voters),
            learners: set(learners),
            followed: BTreeMap::new(),
            stopped: None,
        }
    }

    fn note(change: Change, node: u64) -> Option<Repair> {
        Some(Repair::Note(Step { group: GROUP, change, node: NodeId(node) }))
    }

    #[test]
    fn the_table_follows_what_a_group_has_done() {
        let three = row(&[1, 2, 3], None);
        let filling = row(&[1, 2, 3], Some(4));
        let four = row(&[1, 2, 3, 4], None);
        let cases = [
            (&three, standing(&[1, 2, 3], &[]), None),
            (&three, standing(&[1, 2, 3], &[4]), note(Change::AddLearner, 4)),
            (&three, standing(&[1, 2, 3, 4], &[]), note(Change::AddLearner, 4)),
            (&filling, standing(&[1, 2, 3], &[4]), None),
            (&filling, standing(&[1, 2, 3, 4], &[]), note(Change::Promote, 4)),
            (&filling, standing(&[1, 2, 3], &[]), note(Change::RemoveReplica, 4)),
            (&four, standing(&[1, 2, 4], &[]), note(Change::RemoveReplica, 3)),
            (&four, standing(&[2, 3, 4], &[]), note(Change::TransferLeader, 2)),
        ];
        for (row, standing, repair) in cases {
            assert_eq!(next(GROUP, row, &standing), repair, "{row:?} {standing:?}");
        }
    }

    #[test]
    fn a_removal_that_took_the_vote_alone_is_finished() {
        let step = Step { group: GROUP, change: Change::RemoveReplica, node: NodeId(4) };
        let found = next(GROUP, &row(&[1, 2, 3, 4], None), &standing(&[1, 2, 3], &[4]));
        assert_eq!(found, Some(Repair::Finish(step)));
    }
}
