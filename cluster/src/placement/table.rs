//! The table that says which nodes hold which group, and the steps that change it. It lives in a replicated
//! group, so steps are applied to it in one order everywhere, and its bytes are a format.
//!
//! ```text
//! | format 1 | epoch | replicas u8 | number of rows | rows, one for each group in order |
//! row:      | number of voters | voters, ascending | 0, or 1 and the learner | leader | epoch |
//! ```
//! Behind the first byte it is postcard: numbers are varints, nodes are numbers of 64 bits. The table's
//! epoch grows by one with each change, and a row's is the table's at the row's last change. So of two
//! answers about a group the one with the higher epoch is right.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tidekeep_protocol::codec;
use tidekeep_protocol::cursor::GROUPS_MAX;
use tidekeep_protocol::slot::{GroupCount, GroupId};

use super::{NodeId, Target};

/// The most replicas that a group can be asked to have.
pub const REPLICAS_MAX: usize = 7;

/// The longest bytes of a table.
pub const TABLE_BYTES_MAX: usize =
    1 + 10 + 1 + 2 + GROUPS_MAX * (1 + 10 * (REPLICAS_MAX + 1) + 11 + 10 + 10);

const FORMAT: u8 = 1;

/// Who holds which group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    epoch: u64,
    replicas: u8,
    rows: Vec<Row>,
}

/// Who holds one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The replicas that vote, ascending. One more than the table's count in the middle of a move,
    /// fewer only before the group has ever had so many.
    pub voters: Vec<NodeId>,
    /// The replica that is being filled and has no vote yet.
    pub learner: Option<NodeId>,
    /// The voter that should lead; who does lead is the group's own business.
    pub leader: NodeId,
    /// The table's epoch at the last change of this row.
    pub epoch: u64,
}

/// One change of one group's row. Whoever carries it out does it to the group first, then applies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// The group.
    pub group: GroupId,
    /// What is done.
    pub change: Change,
    /// The node to which it is done.
    pub node: NodeId,
}

/// What a step does to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Change {
    /// It begins to be filled.
    AddLearner,
    /// The learner gets its vote.
    Promote,
    /// It should lead from now on.
    TransferLeader,
    /// It holds the group no longer, whether it had a vote or not.
    RemoveReplica,
}

/// Why a step does not fit the table. The table is as it was; choose steps anew from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StepRefused {
    /// There is no such group.
    #[error("there is no such group")]
    NoGroup,
    /// The group has a learner or more voters than it should already.
    #[error("the group is in the middle of another move")]
    Moving,
    /// The new replica is one already.
    #[error("the node holds the group already")]
    Holds,
    /// What is to be promoted is not the learner.
    #[error("the node is not the group's learner")]
    NotLearner,
    /// What is to lead or to go is no voter.
    #[error("the node is no voter of the group")]
    NotVoter,
    /// Without the node the group would have too few replicas.
    #[error("the group would be left with too few replicas")]
    TooFew,
    /// The node should lead the group; let another one lead first.
    #[error("the node leads the group")]
    Leads,
}

/// Why there is no such table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TableRefused {
    /// A group has 1 to [`REPLICAS_MAX`] replicas.
    #[error("a group has 1 to {REPLICAS_MAX} replicas")]
    Replicas,
}

/// Bytes that are no table, or one of a later format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the bytes are no placement table of format {FORMAT}")]
pub struct MalformedTable;

impl Table {
    /// The table of a new cluster whose groups are empty: every group is at once where `target` says.
    pub fn new(target: &Target) -> Self {
        let row = |goal: &super::Goal| Row {
            voters: goal.replicas.clone(),
            learner: None,
            leader: goal.leader,
            epoch: Row::FIRST_EPOCH,
        };
        let rows = target.goals().iter().map(row).collect();
        Self { epoch: Row::FIRST_EPOCH, replicas: target.replicas() as u8, rows }
    }

    /// The table of a store on one node that is to become a cluster.
    pub fn solo(groups: GroupCount, node: NodeId) -> Self {
        let epoch = Row::FIRST_EPOCH;
        let row = Row { voters: vec![node], learner: None, leader: node, epoch };
        Self { epoch, replicas: 1, rows: vec![row; usize::from(groups.get())] }
    }

    /// The table of so many groups into which the only one was split, each of them where that is; none if it has
    /// several.
    pub fn split(&self, groups: GroupCount) -> Option<Self> {
        let [row] = &self.rows[..] else { return None };
        let epoch = self.epoch + 1;
        let row = Row { epoch, ..row.clone() };
        Some(Self { epoch, rows: vec![row; usize::from(groups.get())], ..*self })
    }

    /// Grows by one with each change.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many replicas each group should have.
    pub fn replicas(&self) -> usize {
        usize::from(self.replicas)
    }

    /// The groups' rows, in order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows with their groups.
    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &Row)> {
        (0..).map(GroupId).zip(&self.rows)
    }

    /// One group's row.
    pub fn row(&self, group: GroupId) -> Option<&Row> {
        self.rows.get(usize::from(group.0))
    }

    /// How many groups `node` holds, with a vote or without. A node that holds none can be taken out.
    pub fn held_by(&self, node: NodeId) -> usize {
        self.rows.iter().filter(|row| row.has_voter(node) || row.learner == Some(node)).count()
    }

    /// Asks for another number of replicas from now on; steps bring them about.
    pub fn set_replicas(&mut self, replicas: usize) -> Result<(), TableRefused> {
        if !(1..=REPLICAS_MAX).contains(&replicas) {
            return Err(TableRefused::Replicas);
        }
        self.replicas = replicas as u8;
        self.epoch += 1;
        Ok(())
    }

    /// Changes one row. That a learner has caught up before it is promoted cannot be seen here: whoever
    /// carries the step out makes sure of it.
    pub fn apply(&mut self, step: Step) -> Result<(), StepRefused> {
        let replicas = self.replicas();
        let row = self.rows.get_mut(usize::from(step.group.0)).ok_or(StepRefused::NoGroup)?;
        row.change(step.change, step.node, replicas)?;
        self.epoch += 1;
        row.epoch = self.epoch;
        Ok(())
    }

    /// The table's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        codec::encode(self, &mut bytes);
        bytes
    }

    /// Reads a table.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MalformedTable> {
        let (&FORMAT, body) = bytes.split_first().ok_or(MalformedTable)? else {
            return Err(MalformedTable);
        };
        if bytes.len() > TABLE_BYTES_MAX {
            return Err(MalformedTable);
        }
        let table: Self = codec::decode(body).map_err(|_| MalformedTable)?;
        let sound = (1..=GROUPS_MAX).contains(&table.rows.len())
            && (1..=REPLICAS_MAX).contains(&table.replicas())
            && table.rows.iter().all(|row| row.is_sound() && row.epoch <= table.epoch);
        if sound { Ok(table) } else { Err(MalformedTable) }
    }
}

impl Row {
    /// The epoch of a row that has not changed since the table was made.
    pub const FIRST_EPOCH: u64 = 1;

    /// Whether `node` votes in the group.
    pub fn has_voter(&self, node: NodeId) -> bool {
        self.voters.binary_search(&node).is_ok()
    }

    /// Whether the group is in the middle of a move: a replica is being filled, or one is too many.
    pub fn is_moving(&self, replicas: usize) -> bool {
        self.learner.is_some() || self.voters.len() > replicas
    }

    fn change(&mut self, change: Change, node: NodeId, replicas: usize) -> Result<(), StepRefused> {
        match change {
            Change::AddLearner if self.is_moving(replicas) => return Err(StepRefused::Moving),
            Change::AddLearner if self.has_voter(node) => return Err(StepRefused::Holds),
            Change::AddLearner => self.learner = Some(node),
            Change::Promote if self.learner != Some(node) => return Err(StepRefused::NotLearner),
            Change::Promote => {
                self.learner = None;
                self.voters.push(node);
                self.voters.sort_unstable();
            }
            Change::RemoveReplica if self.learner == Some(node) => self.learner = None,
            Change::TransferLeader | Change::RemoveReplica if !self.has_voter(node) => {
                return Err(StepRefused::NotVoter);
            }
            Change::TransferLeader => self.leader = node,
            Change::RemoveReplica if self.voters.len() <= replicas => {
                return Err(StepRefused::TooFew);
            }
            Change::RemoveReplica if self.leader == node => return Err(StepRefused::Leads),
            Change::RemoveReplica => self.voters.retain(|&voter| voter != node),
        }
        Ok(())
    }

    fn is_sound(&self) -> bool {
        self.voters.len() <= REPLICAS_MAX + 1
            && self.voters.is_sorted_by(|a, b| a < b)
            && self.has_voter(self.leader)
            && !self.learner.is_some_and(|learner| self.has_voter(learner))
    }
}
