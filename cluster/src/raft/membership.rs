//! Who takes part in a group: nodes follow without a vote first, and get one when they have what the others
//! have.

use std::collections::{BTreeMap, BTreeSet};

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::type_config::AsyncRuntime;

use crate::link::PeerAddress;
use crate::placement::NodeId;
use crate::raft::member::{Member, Standing};
use crate::raft::reading::ReadPolicy;
use crate::raft::types::Membership;

/// A change of who takes part that was not made, or not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MembershipError(pub String);

impl<R: AsyncRuntime> Member<R> {
    /// Lets a node follow without a vote.
    ///
    /// # Errors
    /// The change was not made here, or not confirmed.
    pub async fn add_learner(&self, node: NodeId, at: PeerAddress) -> Result<(), MembershipError> {
        let added = self.raft.add_learner(node, at, false).await;
        added.map(drop).map_err(|error| MembershipError(error.to_string()))
    }

    /// Makes a learner a voter, if it has followed up to the last entry that is ordered by now.
    ///
    /// # Errors
    /// It lags behind, or the change was not made here, or not confirmed.
    pub async fn promote(&self, node: NodeId) -> Result<(), MembershipError> {
        let standing = self.standing();
        let followed = standing.followed.get(&node).copied();
        if followed.is_none() || followed < standing.applied {
            let applied = standing.applied.unwrap_or(0);
            return Err(MembershipError(format!(
                "{node} has followed up to entry {}, entry {applied} is ordered",
                followed.map_or_else(|| "none".into(), |followed| followed.to_string()),
            )));
        }
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([node]))).await
    }

    /// How this member stands as the leader, with members that are committed: what is seen of them cannot
    /// be taken back. A change that another leader left half done is brought to its end before.
    ///
    /// # Errors
    /// It does not lead, or a change is under way.
    pub async fn settled(&self) -> Result<Standing, MembershipError> {
        self.confirm_leading().await?;
        if self.committed().membership().get_joint_config().len() > 1 {
            self.change(ChangeMembers::AddVoterIds(BTreeSet::new())).await?;
        }
        let standing = self.standing();
        let committed = self.committed();
        let voters: BTreeSet<NodeId> = committed.voter_ids().collect();
        let nodes = committed.nodes().map(|(node, _)| *node);
        let learners: BTreeSet<NodeId> = nodes.filter(|node| !voters.contains(node)).collect();
        match (&standing.voters, &standing.learners) == (&voters, &learners) {
            true => Ok(standing),
            false => Err(MembershipError("a change of the group's members is under way".into())),
        }
    }

    async fn confirm_leading(&self) -> Result<(), MembershipError> {
        // A follower would ask the leader whether the leader leads.
        let leads = self.standing().leads && self.read(ReadPolicy::Index).await.is_ok();
        match leads && self.standing().leads {
            true => Ok(()),
            false => Err(MembershipError("this node does not lead the group".into())),
        }
    }

    /// The group's members, and where they were when they became that; none of a member that is empty.
    pub fn peers(&self) -> BTreeMap<NodeId, PeerAddress> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        membership.nodes().map(|(&node, at)| (node, at.clone())).collect()
    }

    fn committed(&self) -> Membership {
        self.store.installed.lock().membership.clone()
    }

    /// Takes a node out of the group.
    ///
    /// # Errors
    /// The change was not made here, or not confirmed.
    pub async fn remove(&self, node: NodeId) -> Result<(), MembershipError> {
        if self.standing().voters.contains(&node) {
            self.change(ChangeMembers::RemoveVoters(BTreeSet::from([node]))).await?;
        }
        self.change(ChangeMembers::RemoveNodes(BTreeSet::from([node]))).await
    }

    async fn change(
        &self,
        change: ChangeMembers<NodeId, PeerAddress>,
    ) -> Result<(), MembershipError> {
        let changed = self.raft.change_membership(change, true).await;
        changed.map(drop).map_err(|error| MembershipError(error.to_string()))
    }

    /// Whether a member that this one leads is so far behind that it takes long to lead: it needs more than `most`
    /// entries, or a state. None if it has not yet said how far it is.
    pub(crate) fn is_far_behind(&self, node: NodeId, most: u64) -> Option<bool> {
        let standing = self.standing();
        let followed = *standing.followed.get(&node)?;
        let lacks = standing.applied.unwrap_or(0).saturating_sub(followed);
        Some(lacks > most || followed + 1 < self.store.first_kept())
    }

    /// Asks another voter to lead instead of this one.
    ///
    /// # Errors
    /// This member has stopped.
    pub async fn transfer(&self, to: NodeId) -> Result<(), MembershipError> {
        let asked = self.raft.trigger().transfer_leader(to).await;
        asked.map_err(|error| MembershipError(error.to_string()))
    }
}
