//! What nodes say to each other beside what the members of their groups do: requests to a node itself, as
//! bytes.
//!
//! ```text
//! request: | 0xFFFF_FFFE u32 | postcard: Request |    reply: postcard: Result<Reply, ControlError>
//! ```

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidekeep_protocol::slot::GroupCount;

use crate::link::{Lane, Link, PeerAddress};
use crate::meta::rules::Introduction;
use crate::node::admin::{AdminError, Command, Done};
use crate::node::running::Node;
use crate::placement::{NodeId, Row, Step};
use crate::raft::{Runtime, Standing};

/// Whom a request is for that is for the node itself.
pub(super) const CONTROL: u32 = u32::MAX - 1;

/// What a node asks of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Request {
    /// Whether whoever asks is still of the cluster; one that was removed is told so.
    AmIPresent,
    /// What it is and how its groups stand, for the coordinator.
    Report,
    /// Whether it keeps nothing of a group, so that it may be filled anew.
    IsVacant { group: u32 },
    /// How a group that it leads stands, with members that are committed.
    Settled { group: u32 },
    /// To take a step of a group that it leads, if the group's members are those of the row.
    Take { step: Step, group: u32, row: Row, at: PeerAddress },
    /// To split the only group, which it leads, into so many.
    Split { groups: GroupCount },
    /// Whether the groups that the only one was split into are on its disk.
    IsSplit { groups: GroupCount },
    /// A change of the cluster, for the leader of the meta group.
    Admin(Command),
}

/// What the other one says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    YouArePresent,
    Report(Report),
    IsVacant(bool),
    Settled(Standing),
    Taken,
    Split,
    IsSplit(bool),
    Admin(Result<Done, AdminError>),
}

/// A node, and how its groups stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) is: Introduction,
    /// Whether its disk hangs.
    pub(super) hangs: bool,
    pub(super) groups: Vec<GroupReport>,
}

/// How a member stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GroupReport {
    pub(super) group: u32,
    pub(super) standing: Standing,
    pub(super) revision: u64,
    pub(super) keys: u64,
}

/// Why there is no reply of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(super) enum ControlError {
    #[error("the node that asks was removed from the cluster")]
    Removed,
    #[error("the request cannot be read")]
    Unreadable,
    #[error("the node has no member of this group")]
    NoMember,
    #[error("{0}")]
    Refused(String),
    #[error("no reply: {0}")]
    Unreachable(String),
    #[error("the reply is of another kind than the request")]
    Unlike,
}

pub(super) fn encode_request(request: &Request) -> Vec<u8> {
    let out = CONTROL.to_le_bytes().to_vec();
    postcard::to_extend(request, out).unwrap_or_else(|_| unreachable!("{MEMORY}"))
}

pub(super) fn decode_request(request: &[u8]) -> Result<Request, ControlError> {
    let body = request.get(size_of::<u32>()..).ok_or(ControlError::Unreadable)?;
    match postcard::take_from_bytes(body) {
        Ok((request, [])) => Ok(request),
        _ => Err(ControlError::Unreadable),
    }
}

pub(super) fn encode_reply(reply: &Result<Reply, ControlError>) -> Vec<u8> {
    postcard::to_extend(reply, Vec::new()).unwrap_or_else(|_| unreachable!("{MEMORY}"))
}

fn decode_reply(reply: &[u8]) -> Result<Reply, ControlError> {
    match postcard::take_from_bytes(reply) {
        Ok((reply, [])) => reply,
        _ => Err(ControlError::Unlike),
    }
}

const MEMORY: &str = "memory takes any message";

impl<R: Runtime> Node<R> {
    /// Asks a node, be it this one, and waits at most so long.
    pub(super) async fn ask(
        &self,
        to: NodeId,
        request: Request,
        limit: Duration,
    ) -> Result<Reply, ControlError> {
        if to == self.id() {
            let answered = R::timeout(limit, self.answer_itself(request)).await;
            let late = || ControlError::Unreachable("it took too long".into());
            return answered.unwrap_or_else(|_| Err(late()));
        }
        let at = self.address(to).unwrap_or_default();
        let reply = self.directory().call(to, &at, Lane::Control, encode_request(&request), limit);
        let reply = reply.await.map_err(|error| ControlError::Unreachable(error.0))?;
        decode_reply(&reply)
    }

    /// An answer may ask in turn: the type of the future must not contain itself.
    fn answer_itself(&self, request: Request) -> Answering<'_> {
        Box::pin(self.answer(request))
    }
}

type Answering<'n> = Pin<Box<dyn Future<Output = Result<Reply, ControlError>> + Send + 'n>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_bring_messages_back() {
        let request = Request::IsVacant { group: 7 };
        let bytes = encode_request(&request);
        assert_eq!(bytes[..4], CONTROL.to_le_bytes());
        assert_eq!(decode_request(&bytes), Ok(request));
        for end in 0..bytes.len() {
            assert_eq!(decode_request(&bytes[..end]), Err(ControlError::Unreadable));
        }
        let reply = Err(ControlError::Removed);
        assert_eq!(decode_reply(&encode_reply(&reply)), reply);
        assert_eq!(decode_reply(&[]), Err(ControlError::Unlike));
    }
}
