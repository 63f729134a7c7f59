//! Reads of a group at any of its members: who leads says up to which entry everything is confirmed, and the member waits
//! until it has applied that.

use openraft::errors::{LinearizableReadError, RaftError};
use openraft::type_config::AsyncRuntime;

use crate::link::{Lane, PeerAddress};
use crate::placement::NodeId;
use crate::raft::member::{Member, WriteError, leader_of};
use crate::raft::message::{Reply, Request, decode_reply, encode_request};

/// How a read makes sure that it sees all that anybody was told of before it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadPolicy {
    /// A quorum is asked who leads, whatever fails. A follower asks the leader to do so.
    Index,
    /// The leader trusts its lease, which holds as long as no clock runs faster than others by a third.
    Lease,
}

impl<R: AsyncRuntime> Member<R> {
    /// Resolves once [`Self::replica`] may be read.
    ///
    /// # Errors
    /// [`WriteError::NotLeader`]: another node must be asked, or this one later.
    pub async fn read(&self, policy: ReadPolicy) -> Result<(), WriteError> {
        let engine_policy = match policy {
            ReadPolicy::Index => openraft::ReadPolicy::ReadIndex,
            ReadPolicy::Lease => openraft::ReadPolicy::LeaseRead,
        };
        match self.raft.ensure_linearizable(engine_policy).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(to))) => {
                let leader = leader_of(to);
                if let (ReadPolicy::Index, Some((node, at))) = (policy, &leader)
                    && *node != self.config.node
                {
                    return self.read_behind(*node, at).await;
                }
                Err(WriteError::NotLeader(leader))
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                Err(WriteError::NotLeader(None))
            }
            Err(RaftError::Fatal(fatal)) => Err(WriteError::Unknown(fatal.to_string())),
        }
    }

    /// Asks the leader up to which entry a read must see, and waits until this member has applied it.
    async fn read_behind(&self, leader: NodeId, at: &PeerAddress) -> Result<(), WriteError> {
        let limit = self.config.election;
        match self.confirmed_by(leader, at).await {
            Some(index) if self.applied(index, limit).await => Ok(()),
            _ => Err(WriteError::NotLeader(Some((leader, at.clone())))),
        }
    }

    /// Asks the leader up to which entry everything is confirmed by now.
    async fn confirmed_by(&self, leader: NodeId, at: &PeerAddress) -> Option<u64> {
        let request = encode_request::<R>(self.config.group, &Request::ReadIndex);
        let reply = self.link.call(leader, at, Lane::Control, request, self.config.election).await;
        match decode_reply::<R>(&reply.ok()?)? {
            Ok(Reply::ReadIndex(index)) => Some(index),
            _ => None,
        }
    }

    /// Whether all that is confirmed by now is here, or comes within an election's time; none if nobody says how far that
    /// is.
    pub(crate) async fn has_confirmed(&self) -> Option<bool> {
        match self.read(ReadPolicy::Index).await {
            Ok(()) => Some(true),
            Err(WriteError::NotLeader(Some((leader, at)))) if leader != self.config.node => {
                let index = self.confirmed_by(leader, &at).await?;
                Some(self.last_applied() >= Some(index))
            }
            Err(_) => None,
        }
    }
}
