//! How a cluster begins: one node founds the meta group with itself alone, writes down that there is a
//! cluster, and holds all groups until others join.

use std::collections::BTreeMap;
use std::time::Duration;

use tidekeep_protocol::slot::GroupCount;

use crate::meta::{ClusterRecord, META_GROUP, rules};
use crate::node::running::Node;
use crate::placement::REPLICAS_MAX;
use crate::raft::{Instant, Member, Runtime};

/// Time between two looks whether a group has a leader.
const RETRY: Duration = Duration::from_millis(10);

/// Why a cluster was not founded. To try again goes on where it ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoundingError {
    /// The first node has the first id.
    #[error("a cluster is founded by the node with the id 1; other nodes join")]
    NotFirst,
    /// A group has 1 to [`REPLICAS_MAX`] replicas.
    #[error("a group has 1 to {REPLICAS_MAX} replicas")]
    Replicas,
    /// The node's log holds another cluster.
    #[error(
        "this node belongs to a cluster with {groups} groups already; use an empty data directory"
    )]
    Another {
        /// Its groups.
        groups: u16,
    },
    /// It did not come to an end.
    #[error("the cluster is not ready: {0}; try again")]
    NotReady(String),
}

impl<R: Runtime> Node<R> {
    /// Founds a cluster of so many groups, each of which is to have so many replicas once there are nodes
    /// for them. Resolves when all groups can be written to. Where it was done before, nothing is done.
    ///
    /// # Errors
    /// [`FoundingError`] says what to do.
    pub async fn found(&self, groups: GroupCount, replicas: usize) -> Result<(), FoundingError> {
        if self.id() != rules::FIRST_NODE {
            return Err(FoundingError::NotFirst);
        }
        let replicas = u8::try_from(replicas).map_err(|_| FoundingError::Replicas)?;
        if !(1..=REPLICAS_MAX).contains(&usize::from(replicas)) {
            return Err(FoundingError::Replicas);
        }
        self.found_alone(self.meta()).await;
        let end = R::Instant::now() + self.timing().step;
        while !self.meta().standing().leads || self.settled_meta().await.is_err() {
            // Others joined, so it was founded before. What it was founded as may be known only once one of
            // them leads.
            if self.meta().standing().voters.len() > 1 {
                return self.founded_before(groups);
            }
            self.wait_until(end, META_GROUP).await?;
        }
        let not_ready = FoundingError::NotReady;
        let view = self.read_meta().map_err(not_ready)?;
        match view.cluster {
            Some(there) if view.founded_groups() != Some(groups.get()) => {
                return Err(FoundingError::Another { groups: there.groups });
            }
            Some(_) => {}
            None => {
                // Nothing is in a group before there is a table, but what was there before there was a cluster,
                // and that was divided among all of them.
                let begun = self.members().len();
                if begun != 0 && begun != usize::from(groups.get()) {
                    return Err(FoundingError::Another { groups: begun as u16 });
                }
                let id = self.cluster();
                let incarnation = self.journal().identity().incarnation;
                let cluster = ClusterRecord { id, groups: groups.get(), replicas, incarnation };
                let first = self.introduction().clone();
                let edit = rules::found(&view, &cluster, groups, first, self.now_ms());
                let changed = self.change(&edit).await;
                changed.map_err(|error| not_ready(error.to_string()))?;
            }
        }
        for group in groups.groups() {
            let knows_leader = || {
                let member = self.member(group);
                member.is_none_or(|member| member.standing().leader.is_some())
            };
            while self.view().table.is_none() || self.must_start(group) || !knows_leader() {
                self.wait_until(end, u32::from(group.0)).await?;
            }
        }
        Ok(())
    }

    fn founded_before(&self, groups: GroupCount) -> Result<(), FoundingError> {
        let view = self.read_meta().map_err(FoundingError::NotReady)?;
        match view.cluster {
            Some(there) if view.founded_groups() != Some(groups.get()) => {
                Err(FoundingError::Another { groups: there.groups })
            }
            _ => Ok(()),
        }
    }

    async fn wait_until(&self, end: R::Instant, group: u32) -> Result<(), FoundingError> {
        if R::Instant::now() >= end {
            let name =
                if group == META_GROUP { "the meta group".into() } else { group.to_string() };
            return Err(FoundingError::NotReady(format!("{name} has no leader")));
        }
        R::sleep(RETRY).await;
        Ok(())
    }

    /// Makes this node the first of a group, unless it has members already.
    pub(super) async fn found_alone(&self, member: &Member<R>) {
        if member.standing().voters.is_empty() {
            let alone = BTreeMap::from([(self.id(), self.introduction().peer.clone())]);
            if let Err(error) = member.found(alone).await {
                tracing::debug!(%error, "the group was founded before");
            }
        }
    }
}
