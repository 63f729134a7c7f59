//! How a cluster stands, as its coordinator saw it at its last look: the view that
//! [`super::cluster`] answers with. Its names are those of the JSON that scripts read, too.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus<'a> {
    /// Its name, 32 hexadecimal digits.
    pub cluster: &'a str,
    /// The node that coordinates it.
    pub coordinator: u64,
    /// How many replicas each group should have now: fewer than wanted while nodes are too few.
    pub replicas: u16,
    /// How many replicas each group is to have.
    pub replicas_wanted: u16,
    /// The epoch of the table that says who holds what; grows by one with each change.
    pub epoch: u64,
    /// The nodes, ascending, those that were removed included.
    #[serde(borrow)]
    pub nodes: Vec<NodeStatus<'a>>,
    /// The meta group, which keeps what the cluster knows of itself.
    pub meta: GroupStatus<'a>,
    /// The groups that hold keys, in order.
    pub groups: Vec<GroupStatus<'a>>,
    /// The steps that are under way.
    pub under_way: Vec<StepStatus>,
    /// Why no replicas can be moved; none if they can.
    pub waits_for: Option<&'a str>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus<'a> {
    /// Its id.
    pub node: u64,
    /// Where it stands.
    pub state: NodeState,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Whether it answers.
    pub up: bool,
    /// How long ago it answered last, in milliseconds; none if the coordinator has not heard of it.
    pub heard_ms_ago: Option<u64>,
    /// Where clients find it: host and port.
    pub client: &'a str,
    /// Where other nodes find it: host and port.
    pub peer: &'a str,
    /// What fails together with it.
    pub zone: &'a str,
    /// How much it should hold beside the others.
    pub weight: u16,
    /// The version of its software.
    pub version: &'a str,
    /// How many replicas it holds.
    pub replicas: u32,
    /// How many groups it leads.
    pub leads: u32,
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It was let in and has not been heard of since.
    Joining,
    /// It may hold replicas.
    Active,
    /// Its replicas are being moved away.
    Draining,
    /// It is no part of the cluster any more.
    Removed,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus<'a> {
    /// Which one; none of the meta group.
    pub group: Option<u16>,
    /// Who leads it; none if nobody says so.
    pub leader: Option<u64>,
    /// Who should lead it.
    pub preferred: Option<u64>,
    /// The leader's term.
    pub term: u64,
    /// The last entry that the leader has applied.
    pub applied: Option<u64>,
    /// Keys in it.
    pub keys: u64,
    /// Its replicas, ascending by node.
    #[serde(borrow)]
    pub replicas: Vec<ReplicaStatus<'a>>,
}

/// A replica of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus<'a> {
    /// Where it is.
    pub node: u64,
    /// Whether it votes; else it is being filled.
    pub votes: bool,
    /// Entries that it has applied less than the leader; none if that is not known.
    pub lag: Option<u64>,
    /// Why it has stopped; none if it has not.
    pub stopped: Option<&'a str>,
}

/// A step that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatus {
    /// The group.
    pub group: u16,
    /// What is done.
    pub change: StepChange,
    /// The node to which it is done.
    pub node: u64,
}

/// What a step does to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepChange {
    /// It begins to be filled.
    AddLearner,
    /// What is filled gets its vote.
    Promote,
    /// It is to lead.
    TransferLeader,
    /// It holds the group no longer.
    RemoveReplica,
}
