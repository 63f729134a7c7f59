//! What an operator asks, as it comes over the wire, run against a node and made into the reply: the way
//! from [`Cluster`] to [`Node`]'s commands, and from their errors to refusals that say what to do.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use tidekeep_log::Answer;
use tidekeep_protocol::codec;
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::cluster_status as wire;
use tidekeep_protocol::op::{Cluster, ClusterReply, Operation};
use tidekeep_protocol::slot::{GroupCount, GroupId};
use tidekeep_store::reply::{Encoded, Reply};

use crate::balance::DrainRefused;
use crate::meta::NodeState;
use crate::node::{AdminError, ClusterStatus, GroupStatus, Node, NodeStatus};
use crate::peer::{Fingerprint, JoinToken};
use crate::placement::{Change, NodeId};
use crate::raft::Runtime;

/// How long a look may take. Whoever looks wants to know soon that nobody coordinates the cluster; a change
/// waits for somebody who does.
const LOOK: Duration = Duration::from_secs(5);

/// A request that outlives the bytes it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnedRequest {
    /// See [`Cluster::Status`].
    Status,
    /// See [`Cluster::Token`].
    Token {
        /// What it is called.
        name: String,
        /// How long it lets nodes in.
        lives: Duration,
        /// How many nodes it lets in.
        uses: u32,
    },
    /// See [`Cluster::Drain`].
    Drain(NodeId),
    /// See [`Cluster::Keep`].
    Keep(NodeId),
    /// See [`Cluster::Remove`].
    Remove {
        /// The node.
        node: NodeId,
        /// Whether it goes with what it holds.
        force: bool,
    },
    /// See [`Cluster::Weigh`]; a weight of 0 counts as 1.
    Weigh {
        /// The node.
        node: NodeId,
        /// How much it should hold beside the others.
        weight: NonZeroU16,
    },
    /// See [`Cluster::Transfer`].
    Transfer {
        /// The group.
        group: GroupId,
        /// The node that is to lead it.
        to: NodeId,
    },
    /// See [`Cluster::Split`].
    Split(GroupCount),
}

impl From<&Cluster<'_>> for OwnedRequest {
    fn from(request: &Cluster<'_>) -> Self {
        match *request {
            Cluster::Status => Self::Status,
            Cluster::Token { name, lives_ms, uses } => {
                Self::Token { name: name.to_owned(), lives: Duration::from_millis(lives_ms), uses }
            }
            Cluster::Drain { node } => Self::Drain(NodeId(node)),
            Cluster::Keep { node } => Self::Keep(NodeId(node)),
            Cluster::Remove { node, force } => Self::Remove { node: NodeId(node), force },
            Cluster::Weigh { node, weight } => {
                let weight = NonZeroU16::new(weight).unwrap_or(NonZeroU16::MIN);
                Self::Weigh { node: NodeId(node), weight }
            }
            Cluster::Transfer { group, to } => {
                Self::Transfer { group: GroupId(group), to: NodeId(to) }
            }
            // Other numbers are refused before: one group is no more than there are.
            Cluster::Split { groups } => {
                Self::Split(GroupCount::new(groups).unwrap_or(GroupCount::ONE))
            }
        }
    }
}

/// Runs a request against a node of a cluster with this authority, wherever the cluster is coordinated.
///
/// # Errors
/// `unavailable`: nobody coordinates it now. `not-found`: there is no such node or group. `conflict`: the
/// cluster is not in a state for it, and the message says what to do first. `outcome-unknown`: something
/// broke on the way; to ask again is safe.
pub async fn operate<R: Runtime>(
    node: &Node<R>,
    authority: Fingerprint,
    request: OwnedRequest,
) -> Answer {
    let changed = match request {
        OwnedRequest::Status => return status(node).await,
        OwnedRequest::Token { name, lives, uses } => {
            return token(node, authority, &name, lives, uses).await;
        }
        OwnedRequest::Drain(id) => node.drain(id).await,
        OwnedRequest::Keep(id) => node.keep(id).await,
        OwnedRequest::Remove { node: id, force } => node.remove(id, force).await,
        OwnedRequest::Weigh { node: id, weight } => node.weigh(id, weight).await,
        OwnedRequest::Transfer { group, to } => node.transfer(group, to).await,
        OwnedRequest::Split(groups) => node.split(groups).await,
    };
    changed.map_err(|error| refusal(&error))?;
    Ok(reply(&ClusterReply::Changed))
}

async fn status<R: Runtime>(node: &Node<R>) -> Answer {
    let looked = R::timeout(LOOK, node.status()).await;
    match looked.unwrap_or(Err(AdminError::NoLeader)) {
        Ok(status) => {
            let name = status.cluster.to_string();
            Ok(reply(&ClusterReply::Status(Box::new(to_wire(&status, &name)))))
        }
        // Whoever only looked has changed nothing, whatever broke.
        Err(AdminError::Unknown(why)) => Err(Refusal::new(
            Code::Unavailable,
            format!("the node that coordinates the cluster did not answer: {why}; try again"),
        )),
        Err(error) => Err(refusal(&error)),
    }
}

async fn token<R: Runtime>(
    node: &Node<R>,
    authority: Fingerprint,
    name: &str,
    lives: Duration,
    uses: u32,
) -> Answer {
    let token = JoinToken::make(authority)
        .map_err(|error| Refusal::new(Code::Internal, error.to_string()))?;
    let added = node.add_token(name, token.secret.hash(), lives, uses).await;
    added.map_err(|error| refusal(&error))?;
    Ok(reply(&ClusterReply::Token(&token.to_string())))
}

fn reply(reply: &ClusterReply<'_>) -> Reply {
    let mut body = Vec::new();
    codec::encode(reply, &mut body);
    // It shows nothing of what clients wrote.
    Reply::Encoded(Encoded { shows: 0, kind: Cluster::SPEC.kind, body: Arc::from(body) })
}

fn refusal(error: &AdminError) -> Refusal {
    let code = match error {
        AdminError::NoLeader | AdminError::NotReady => Code::Unavailable,
        AdminError::Unknown(_) => Code::OutcomeUnknown,
        AdminError::NoNode(_)
        | AdminError::NoGroup(_)
        | AdminError::Drain(DrainRefused::Unknown { .. }) => Code::NotFound,
        AdminError::Drain(DrainRefused::TooFewNodes { .. })
        | AdminError::Holds { .. }
        | AdminError::WouldLose { .. }
        | AdminError::NotAdmitted(_)
        | AdminError::Splitting
        | AdminError::Split(_)
        | AdminError::Refused(_) => Code::Conflict,
    };
    Refusal::new(code, error.to_string())
}

fn to_wire<'a>(status: &'a ClusterStatus, cluster: &'a str) -> wire::ClusterStatus<'a> {
    let step = |step: &crate::placement::Step| wire::StepStatus {
        group: step.group.0,
        change: change(step.change),
        node: step.node.0,
    };
    wire::ClusterStatus {
        cluster,
        coordinator: status.coordinator.0,
        replicas: status.replicas as u16,
        replicas_wanted: status.replicas_wanted as u16,
        epoch: status.epoch,
        nodes: status.nodes.iter().map(of_node).collect(),
        meta: of_group(&status.meta),
        groups: status.groups.iter().map(of_group).collect(),
        under_way: status.under_way.iter().map(step).collect(),
        waits_for: status.waits_for.as_deref(),
    }
}

fn of_node(node: &NodeStatus) -> wire::NodeStatus<'_> {
    wire::NodeStatus {
        node: node.node.0,
        state: match node.state {
            NodeState::Joining => wire::NodeState::Joining,
            NodeState::Active => wire::NodeState::Active,
            NodeState::Draining => wire::NodeState::Draining,
            NodeState::Removed => wire::NodeState::Removed,
        },
        since_ms: node.since_ms,
        up: node.up,
        heard_ms_ago: node.heard_ms_ago,
        client: &node.client,
        peer: &node.peer,
        zone: &node.zone,
        weight: node.weight,
        version: &node.version,
        replicas: node.replicas as u32,
        leads: node.leads as u32,
    }
}

fn of_group(group: &GroupStatus) -> wire::GroupStatus<'_> {
    let replicas = group.replicas.iter().map(|replica| wire::ReplicaStatus {
        node: replica.node.0,
        votes: replica.votes,
        lag: replica.lag,
        stopped: replica.stopped.as_deref(),
    });
    wire::GroupStatus {
        group: group.group.map(|group| group.0),
        leader: group.leader.map(|node| node.0),
        preferred: group.preferred.map(|node| node.0),
        term: group.term,
        applied: group.applied,
        keys: group.keys,
        replicas: replicas.collect(),
    }
}

fn change(change: Change) -> wire::StepChange {
    match change {
        Change::AddLearner => wire::StepChange::AddLearner,
        Change::Promote => wire::StepChange::Promote,
        Change::TransferLeader => wire::StepChange::TransferLeader,
        Change::RemoveReplica => wire::StepChange::RemoveReplica,
    }
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::error::Outcome;

    use super::*;

    #[test]
    fn a_request_keeps_what_it_asks_for() {
        let token = Cluster::Token { name: "rack 7", lives_ms: 1_500, uses: 3 };
        let (name, lives) = ("rack 7".to_owned(), Duration::from_millis(1_500));
        assert_eq!(OwnedRequest::from(&token), OwnedRequest::Token { name, lives, uses: 3 });
        let transfer = OwnedRequest::from(&Cluster::Transfer { group: 4, to: 2 });
        assert_eq!(transfer, OwnedRequest::Transfer { group: GroupId(4), to: NodeId(2) });
    }

    #[test]
    fn what_is_not_known_to_be_done_is_told_apart_from_what_is_not_done() {
        let outcome = |error: AdminError| refusal(&error).body().outcome;
        assert_eq!(outcome(AdminError::Unknown("it broke".into())), Outcome::Unknown);
        assert_eq!(outcome(AdminError::NoLeader), Outcome::NotApplied);
        assert_eq!(outcome(AdminError::Refused("no vote".into())), Outcome::NotApplied);
        let refused = refusal(&AdminError::NoNode(NodeId(9)));
        assert_eq!(refused, Refusal::new(Code::NotFound, "node 9 is not in the cluster"));
    }
}
