//! What members of a group say to each other, as bytes. Each request has one reply.
//!
//! ```text
//! request: | group u32 | postcard: Request |    reply: postcard: Result<Reply, Refused>
//! ```

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::raft::{TransferLeaderRequest, TransferLeaderResponse};
use openraft::type_config::AsyncRuntime;
use serde::{Deserialize, Serialize};

use crate::raft::item::{Installed, record_bytes};
use crate::raft::types::{Promise, Types};

/// What one member asks of another.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum Request<R: AsyncRuntime> {
    Append(AppendEntriesRequest<Types<R>>),
    Vote(VoteRequest<Types<R>>),
    /// Whether a vote would be given.
    PreVote(VoteRequest<Types<R>>),
    TransferLeader(TransferLeaderRequest<Types<R>>),
    /// Chunk number `number` of the state `transfer`.
    Chunk {
        transfer: u64,
        number: u32,
        #[serde(with = "serde_bytes")]
        chunk: Vec<u8>,
    },
    /// The state `transfer` has `chunks` chunks and is to be installed.
    Install {
        transfer: u64,
        chunks: u32,
        promise: Promise,
        installed: Installed,
    },
    /// Up to which entry a read that begins now must see.
    ReadIndex,
}

/// What the other one says.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum Reply<R: AsyncRuntime> {
    Append(AppendEntriesResponse<Types<R>>),
    Vote(VoteResponse<Types<R>>),
    TransferLeader(TransferLeaderResponse<Types<R>>),
    Chunk,
    Install(SnapshotResponse<Types<R>>),
    ReadIndex(u64),
}

/// Why there is no reply of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the node has no member of this group")]
    NoMember,
    #[error("the request cannot be read")]
    Unreadable,
    #[error("the state did not come whole")]
    Incomplete,
    #[error("the node does not lead the group")]
    NotLeader,
    #[error("the member has stopped: {0}")]
    Stopped(String),
    #[error("the node that asks was removed from the cluster")]
    Removed,
}

/// The bytes of a request to a group.
pub(crate) fn encode_request<R: AsyncRuntime>(group: u32, request: &Request<R>) -> Vec<u8> {
    let mut out = Vec::with_capacity(size_of::<u32>() + bytes_of(request));
    out.extend_from_slice(&group.to_le_bytes());
    postcard::to_extend(request, out).unwrap_or_else(|_| unreachable!("{MEMORY}"))
}

/// About how many bytes a request takes.
fn bytes_of<R: AsyncRuntime>(request: &Request<R>) -> usize {
    let body = match request {
        Request::Append(append) => {
            append.entries.iter().map(|entry| ENTRY_BYTES + record_bytes(entry)).sum()
        }
        Request::Chunk { chunk, .. } => chunk.len(),
        _ => 0,
    };
    HEAD_BYTES + body
}

/// What most requests take beside what they carry, and an entry beside its record.
const HEAD_BYTES: usize = 96;
const ENTRY_BYTES: usize = 48;

/// The bytes of a reply that refuses. They are the same whatever the runtime.
pub(crate) fn refusal(refused: Refused) -> Vec<u8> {
    let reply: Result<(), Refused> = Err(refused);
    postcard::to_extend(&reply, Vec::new()).unwrap_or_else(|_| unreachable!("{MEMORY}"))
}

/// The group that a request is for, if it names one.
pub(crate) fn group_of(request: &[u8]) -> Option<u32> {
    request.first_chunk().map(|group| u32::from_le_bytes(*group))
}

pub(crate) fn decode_request<R: AsyncRuntime>(request: &[u8]) -> Result<Request<R>, Refused> {
    let body = request.get(size_of::<u32>()..).ok_or(Refused::Unreadable)?;
    decode(body).ok_or(Refused::Unreadable)
}

pub(crate) fn encode_reply<R: AsyncRuntime>(reply: &Result<Reply<R>, Refused>) -> Vec<u8> {
    postcard::to_extend(reply, Vec::new()).unwrap_or_else(|_| unreachable!("{MEMORY}"))
}

pub(crate) fn decode_reply<R: AsyncRuntime>(reply: &[u8]) -> Option<Result<Reply<R>, Refused>> {
    decode(reply)
}

fn decode<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

const MEMORY: &str = "memory takes any message";
