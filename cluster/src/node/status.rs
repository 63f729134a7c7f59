//! What an operator is shown of a cluster, as its coordinator saw it at its last look.

use serde::{Deserialize, Serialize};
use tidekeep_protocol::slot::GroupId;

use crate::meta::{META_GROUP, NodeState, View};
use crate::node::hearing::Picture;
use crate::peer::ClusterId;
use crate::placement::{NodeId, Row, Step};

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Its name.
    pub cluster: ClusterId,
    /// The node that coordinates it: the leader of the meta group.
    pub coordinator: NodeId,
    /// How many replicas each group should have now; fewer than asked for while there are too few nodes.
    pub replicas: usize,
    /// How many replicas were asked for.
    pub replicas_wanted: usize,
    /// The epoch of the table.
    pub epoch: u64,
    /// The nodes, those that were removed included.
    pub nodes: Vec<NodeStatus>,
    /// The meta group.
    pub meta: GroupStatus,
    /// The data groups, in order.
    pub groups: Vec<GroupStatus>,
    /// The steps that are under way.
    pub under_way: Vec<Step>,
    /// Why no replicas can be moved, if none can.
    pub waits_for: Option<String>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its id.
    pub node: NodeId,
    /// Where other nodes find it: host and port.
    pub peer: String,
    /// Where clients find it: host and port.
    pub client: String,
    /// What fails together with it.
    pub zone: String,
    /// How much it should hold beside the others.
    pub weight: u16,
    /// Where it stands.
    pub state: NodeState,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// The version of its software.
    pub version: String,
    /// Whether it answers.
    pub up: bool,
    /// How long ago it answered last, in milliseconds, as far as the coordinator knows.
    pub heard_ms_ago: Option<u64>,
    /// How many replicas of data groups it holds.
    pub replicas: usize,
    /// How many data groups it leads.
    pub leads: usize,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Which one; none of the meta group.
    pub group: Option<GroupId>,
    /// Who leads it, if anybody says so.
    pub leader: Option<NodeId>,
    /// Who should lead it.
    pub preferred: Option<NodeId>,
    /// The leader's term.
    pub term: u64,
    /// The last entry that the leader has applied.
    pub applied: Option<u64>,
    /// Keys in it.
    pub keys: u64,
    /// Its replicas, ascending by node.
    pub replicas: Vec<ReplicaStatus>,
}

/// A replica of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// Where it is.
    pub node: NodeId,
    /// Whether it votes.
    pub votes: bool,
    /// Entries that it has applied less than the leader; none if that is not known.
    pub lag: Option<u64>,
    /// Why it has stopped, if it has.
    pub stopped: Option<String>,
}

/// Puts together what the meta group says and what was seen.
pub(super) fn status(view: &View, picture: &Picture, coordinator: NodeId) -> Option<ClusterStatus> {
    let (cluster, table) = (view.cluster?, view.table.as_ref()?);
    let groups = table.groups().map(|(group, row)| of_group(view, Some((group, row)), picture));
    let groups: Vec<GroupStatus> = groups.collect();
    let leads = |node| groups.iter().filter(|group| group.leader == Some(node)).count();
    let nodes = view.nodes.iter().map(|(&node, record)| NodeStatus {
        node,
        peer: record.peer.address.clone(),
        client: record.client.clone(),
        zone: record.zone.clone(),
        weight: record.weight.get(),
        state: record.state,
        since_ms: record.since_ms,
        version: record.version.clone(),
        up: picture.is_up(node),
        heard_ms_ago: picture.heard_ms.get(&node).map(|heard| picture.now_ms - heard),
        replicas: table.held_by(node),
        leads: leads(node),
    });
    Some(ClusterStatus {
        cluster: cluster.id,
        coordinator,
        replicas: table.replicas(),
        replicas_wanted: usize::from(cluster.replicas),
        epoch: table.epoch(),
        nodes: nodes.collect(),
        meta: of_group(view, None, picture),
        groups,
        under_way: picture.steps.clone(),
        waits_for: picture.waits_for.clone(),
    })
}

fn of_group(view: &View, row: Option<(GroupId, &Row)>, picture: &Picture) -> GroupStatus {
    let number = row.map_or(META_GROUP, |(group, _)| view.number(group));
    let led = picture.leader(number);
    let standing = led.map(|(_, report)| &report.standing);
    let applied = standing.and_then(|standing| standing.applied);
    let mut members: Vec<(NodeId, bool)> = match (row, standing) {
        (Some((_, row)), _) => {
            let voters = row.voters.iter().map(|&node| (node, true));
            voters.chain(row.learner.map(|node| (node, false))).collect()
        }
        (None, Some(standing)) => {
            let voters = standing.voters.iter().map(|&node| (node, true));
            voters.chain(standing.learners.iter().map(|&node| (node, false))).collect()
        }
        (None, None) => Vec::new(),
    };
    members.sort_unstable();
    let replicas = members.into_iter().map(|(node, votes)| {
        let there = picture.member(node, number).map(|report| &report.standing);
        let behind = there.map(|there| there.applied.unwrap_or(0));
        ReplicaStatus {
            node,
            votes,
            lag: applied.zip(behind).map(|(applied, behind)| applied.saturating_sub(behind)),
            stopped: there.and_then(|there| there.stopped.clone()),
        }
    });
    GroupStatus {
        group: row.map(|(group, _)| group),
        leader: led.map(|(leader, _)| leader),
        preferred: row.map(|(_, row)| row.leader),
        term: standing.map_or(0, |standing| standing.term),
        applied,
        keys: led.map_or(0, |(_, report)| report.keys),
        replicas: replicas.collect(),
    }
}
