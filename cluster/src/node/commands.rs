//! What an operator may ask of any node of a cluster. All of it is decided by the leader of the meta group;
//! the errors say what to do.

use std::num::NonZeroU16;
use std::time::Duration;

use tidekeep_protocol::slot::{GroupCount, GroupId};

use crate::meta::TokenRecord;
use crate::meta::keys::SecretHash;
use crate::node::admin::{AdminError, Command, Done};
use crate::node::running::Node;
use crate::node::status::ClusterStatus;
use crate::placement::NodeId;
use crate::raft::Runtime;

impl<R: Runtime> Node<R> {
    /// How the cluster is, as its coordinator saw it at its last look.
    ///
    /// # Errors
    /// [`AdminError`]: nobody coordinates it now.
    pub async fn status(&self) -> Result<ClusterStatus, AdminError> {
        match self.order(Command::Status).await? {
            Done::Status(status) => Ok(*status),
            Done::Changed | Done::Admitted(_) => Err(AdminError::unlike()),
        }
    }

    /// Lets whoever knows a secret join, until the time is over or so many nodes have joined. The cluster
    /// keeps the secret's hash alone.
    ///
    /// # Errors
    /// [`AdminError`]: it may not be known to the cluster.
    pub async fn add_token(
        &self,
        name: &str,
        secret: SecretHash,
        lives: Duration,
        uses: u32,
    ) -> Result<(), AdminError> {
        let lives_ms = u64::try_from(lives.as_millis()).unwrap_or(u64::MAX);
        let expires_ms = self.now_ms().saturating_add(lives_ms);
        let token = TokenRecord { name: name.into(), expires_ms, uses_left: uses };
        self.changed(Command::AddToken { secret, token }).await
    }

    /// Moves everything away from a node. It stays in the cluster; [`Self::remove`] takes it out when it
    /// holds nothing any more.
    ///
    /// # Errors
    /// [`AdminError::Drain`]: too few others would be left.
    pub async fn drain(&self, node: NodeId) -> Result<(), AdminError> {
        self.changed(Command::Drain { node }).await
    }

    /// Takes a drain back.
    ///
    /// # Errors
    /// [`AdminError::NoNode`]: it was removed, or never there.
    pub async fn keep(&self, node: NodeId) -> Result<(), AdminError> {
        self.changed(Command::Keep { node }).await
    }

    /// Takes a node out of the cluster for good. One that still holds replicas is not taken out unless
    /// `force` says that it will not come back: then others are filled in its place.
    ///
    /// # Errors
    /// [`AdminError::Holds`]: it is to be drained first. [`AdminError::WouldLose`]: a group would have no
    /// majority, which `force` does not change.
    pub async fn remove(&self, node: NodeId, force: bool) -> Result<(), AdminError> {
        self.changed(Command::Remove { node, force }).await
    }

    /// Sets how much a node should hold beside the others.
    ///
    /// # Errors
    /// [`AdminError::NoNode`]: it was removed, or never there.
    pub async fn weigh(&self, node: NodeId, weight: NonZeroU16) -> Result<(), AdminError> {
        self.changed(Command::Weigh { node, weight }).await
    }

    /// Lets another replica lead a group. The balancer keeps it so, unless that node would lead more
    /// than its part.
    ///
    /// # Errors
    /// [`AdminError::Refused`]: it has no vote in the group, is far behind, or did not take over.
    pub async fn transfer(&self, group: GroupId, to: NodeId) -> Result<(), AdminError> {
        self.changed(Command::Transfer { group, to }).await
    }

    /// Splits the only group of the cluster into so many, each of which has the keys of its slots. Resolves when that
    /// is written down; it is done when the status shows the groups. Clients go on: their calls wait meanwhile.
    ///
    /// # Errors
    /// [`AdminError::Split`]: why not so, or not now.
    pub async fn split(&self, groups: GroupCount) -> Result<(), AdminError> {
        self.changed(Command::Split { groups }).await
    }

    async fn changed(&self, command: Command) -> Result<(), AdminError> {
        match self.order(command).await? {
            Done::Changed => Ok(()),
            Done::Status(_) | Done::Admitted(_) => Err(AdminError::unlike()),
        }
    }
}
