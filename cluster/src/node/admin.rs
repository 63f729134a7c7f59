//! Changes of the cluster that somebody asks for. They are decided where the meta group is led; any node
//! takes them and passes them on. Each of them can be asked for twice with the same outcome, so
//! whoever hears nothing asks again.

use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use tidekeep_protocol::slot::{GroupCount, GroupId};

use crate::balance::{DrainRefused, check_drain};
use crate::meta::keys::SecretHash;
use crate::meta::rules::{Introduction, NotAdmitted};
use crate::meta::{Edit, EditError, NodeRecord, NodeState, TokenRecord, View, rules};
use crate::node::control::{ControlError, Reply, Request};
use crate::node::coordinator::ChangeError;
use crate::node::hearing::Picture;
use crate::node::joining::Admitted;
use crate::node::running::Node;
use crate::node::splitting::SplitRefused;
use crate::node::status::{ClusterStatus, status};
use crate::placement::{Change, NodeId, Step};
use crate::raft::{Instant, Runtime};

/// A change of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Command {
    Status,
    Introduce { node: NodeId, is: Introduction },
    Admit { newcomer: Introduction, secret: SecretHash },
    AddToken { secret: SecretHash, token: TokenRecord },
    Drain { node: NodeId },
    Keep { node: NodeId },
    Remove { node: NodeId, force: bool },
    Weigh { node: NodeId, weight: NonZeroU16 },
    Transfer { group: GroupId, to: NodeId },
    Split { groups: GroupCount },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Done {
    Changed,
    Status(Box<ClusterStatus>),
    Admitted(Admitted),
}

/// Why a change was not made, or is not known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AdminError {
    /// Nobody leads the meta group.
    #[error(
        "nobody leads the meta group now: more than half of the nodes that vote in it must answer"
    )]
    NoLeader,
    /// The coordinator has seen nothing yet.
    #[error("the coordinator has just begun and has not seen the nodes yet; try again")]
    NotReady,
    /// The change was under way when something broke.
    #[error("it is not known whether the cluster was changed: {0}; look at its status")]
    Unknown(String),
    /// There is no such node.
    #[error("{0} is not in the cluster")]
    NoNode(NodeId),
    /// There is no such group.
    #[error("there is no {0}")]
    NoGroup(GroupId),
    /// Too few nodes would be left.
    #[error(transparent)]
    Drain(DrainRefused),
    /// What it holds is to be moved away first.
    #[error(
        "{node} still holds replicas ({replicas}); drain it first, or force its removal if it is gone for good"
    )]
    Holds {
        /// The node.
        node: NodeId,
        /// Replicas of data groups on it.
        replicas: usize,
    },
    /// A group would have no majority.
    #[error("without {node}, {what} would have no majority of replicas that answer")]
    WouldLose {
        /// The node.
        node: NodeId,
        /// The group.
        what: String,
    },
    /// A newcomer is not let in.
    #[error(transparent)]
    NotAdmitted(NotAdmitted),
    /// The groups are being split.
    #[error("the store is being split into more groups; try again when that is done")]
    Splitting,
    /// The groups cannot be split so, or not now.
    #[error(transparent)]
    Split(SplitRefused),
    /// The group did not take the step.
    #[error("{0}")]
    Refused(String),
}

/// How often a change is decided anew when something else changed meanwhile.
const RACES_MAX: usize = 8;

impl AdminError {
    /// Whether the same command may soon succeed.
    fn passes(&self) -> bool {
        matches!(self, Self::NoLeader | Self::NotReady | Self::Unknown(_))
    }

    pub(super) fn unlike() -> Self {
        Self::Unknown(ControlError::Unlike.to_string())
    }
}

impl<R: Runtime> Node<R> {
    /// Lets the leader of the meta group execute a command, wherever it is, and waits for one if there is
    /// none.
    pub(super) async fn order(&self, command: Command) -> Result<Done, AdminError> {
        let timing = self.timing();
        let end = R::Instant::now() + timing.step;
        loop {
            let error = match self.meta().standing().leader {
                None => AdminError::NoLeader,
                Some(leader) => {
                    let request = Request::Admin(command.clone());
                    match self.ask(leader, request, timing.step).await {
                        Ok(Reply::Admin(Ok(done))) => return Ok(done),
                        Ok(Reply::Admin(Err(error))) if error.passes() => error,
                        Ok(Reply::Admin(Err(error))) => return Err(error),
                        Ok(_) => return Err(AdminError::unlike()),
                        Err(error) => AdminError::Unknown(error.to_string()),
                    }
                }
            };
            if R::Instant::now() >= end {
                return Err(error);
            }
            R::sleep(timing.follow).await;
        }
    }

    /// Executes a command here, if this node leads the meta group.
    pub(super) async fn execute(&self, command: Command) -> Result<Done, AdminError> {
        for _ in 0..RACES_MAX {
            self.settled_meta().await.map_err(|_| AdminError::NoLeader)?;
            let view = self.read_meta().map_err(AdminError::Unknown)?;
            let (edit, done) = match &command {
                Command::Transfer { group, to } => return self.lead(*group, *to).await,
                command => self.decide(command, &view)?,
            };
            match self.change(&edit).await {
                Ok(()) => return Ok(done),
                Err(ChangeError::NotMade(EditError::LostRace)) => {}
                Err(ChangeError::NotMade(error)) => {
                    return Err(AdminError::Refused(error.to_string()));
                }
                Err(ChangeError::Unknown(error)) => return Err(AdminError::Unknown(error)),
            }
        }
        Err(AdminError::Unknown(EditError::LostRace.to_string()))
    }

    /// What a command changes, from what there is.
    fn decide(&self, command: &Command, view: &View) -> Result<(Edit, Done), AdminError> {
        let now_ms = self.now_ms();
        let edit = match command {
            Command::Status => {
                let picture = self.seen()?;
                let status = status(view, &picture, self.id()).ok_or(AdminError::NotReady)?;
                return Ok((Edit::default(), Done::Status(Box::new(status))));
            }
            Command::Introduce { node, is } => rules::introduce(view, *node, is, now_ms),
            Command::Admit { newcomer, secret } => {
                let admitted = rules::admit(view, newcomer.clone(), *secret, now_ms);
                let (node, edit) = admitted.map_err(AdminError::NotAdmitted)?;
                let there = view.present().map(|(id, record)| (id, record.peer.clone()));
                let mut peers: Vec<_> = there.filter(|(id, _)| *id != node).collect();
                peers.push((node, newcomer.peer.clone()));
                return Ok((edit, Done::Admitted(Admitted { node, peers })));
            }
            Command::AddToken { secret, token } => rules::add_token(view, *secret, token, now_ms),
            Command::Drain { node } => {
                let record = present(view, *node)?;
                let table = view.table.as_ref().ok_or(AdminError::NotReady)?;
                let members = self.seen()?.members(view);
                check_drain(&members, *node, table.replicas()).map_err(AdminError::Drain)?;
                set_state(view, *node, record, NodeState::Draining, now_ms)
            }
            Command::Keep { node } => match present(view, *node)? {
                record if record.state == NodeState::Draining => {
                    set_state(view, *node, record, NodeState::Active, now_ms)
                }
                _ => Edit::default(),
            },
            Command::Split { groups } => self.decide_split(view, *groups)?,
            Command::Remove { .. } if is_splitting(view) => return Err(AdminError::Splitting),
            Command::Remove { node, force } => self.decide_removal(view, *node, *force)?,
            Command::Weigh { node, weight } => {
                let record = present(view, *node)?;
                let record = NodeRecord { weight: *weight, ..record.clone() };
                Edit::default().node(view, *node, &record)
            }
            Command::Transfer { .. } => Edit::default(),
        };
        Ok((edit, Done::Changed))
    }

    fn decide_removal(&self, view: &View, node: NodeId, force: bool) -> Result<Edit, AdminError> {
        let record = view.nodes.get(&node).ok_or(AdminError::NoNode(node))?;
        if record.state == NodeState::Removed {
            return Ok(Edit::default());
        }
        let table = view.table.as_ref().ok_or(AdminError::NotReady)?;
        let replicas = table.held_by(node);
        if replicas > 0 && !force {
            return Err(AdminError::Holds { node, replicas });
        }
        match self.seen()?.lost_without(table, node) {
            Some(what) => Err(AdminError::WouldLose { node, what }),
            None => Ok(set_state(view, node, record, NodeState::Removed, self.now_ms())),
        }
    }

    /// What the coordinator saw last.
    pub(super) fn seen(&self) -> Result<std::sync::Arc<Picture>, AdminError> {
        self.picture().ok_or(AdminError::NotReady)
    }

    /// Lets another replica lead a group.
    async fn lead(&self, group: GroupId, to: NodeId) -> Result<Done, AdminError> {
        let view = self.read_meta().map_err(AdminError::Unknown)?;
        if is_splitting(&view) {
            return Err(AdminError::Splitting);
        }
        let row = view.table.as_ref().and_then(|table| table.row(group));
        let row = row.ok_or(AdminError::NoGroup(group))?;
        if !row.has_voter(to) {
            return Err(AdminError::Refused(format!("{to} has no replica of {group} that votes")));
        }
        let step = Step { group, change: Change::TransferLeader, node: to };
        let led = self.carry_out(step, &*self.seen()?).await;
        led.map(|_| Done::Changed).map_err(AdminError::Refused)
    }
}

/// Whether the groups are being split.
fn is_splitting(view: &View) -> bool {
    view.split.is_some_and(|split| !split.done)
}

fn present(view: &View, node: NodeId) -> Result<&NodeRecord, AdminError> {
    let record = view.nodes.get(&node).filter(|record| record.state != NodeState::Removed);
    record.ok_or(AdminError::NoNode(node))
}

fn set_state(
    view: &View,
    node: NodeId,
    record: &NodeRecord,
    state: NodeState,
    now_ms: u64,
) -> Edit {
    match record.state == state {
        true => Edit::default(),
        false => Edit::default().node(view, node, &record.in_state(state, now_ms)),
    }
}
