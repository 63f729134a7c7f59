//! A member's answers to the other members of its group.

use openraft::raft::VoteRequest;
use openraft::type_config::AsyncRuntime;
use openraft::type_config::alias::SnapshotOf;
use openraft::{Instant, ReadPolicy};

use crate::raft::machine::State;
use crate::raft::member::Member;
use crate::raft::message::{Refused, Reply, Request, decode_request, encode_reply, group_of};
use crate::raft::types::{Promise, Types};

/// A state on its way here.
#[derive(Default)]
pub(crate) struct Coming {
    transfer: u64,
    chunks: Vec<Vec<u8>>,
}

impl<R: AsyncRuntime> Member<R> {
    /// Answers a request of another member, if it is of this group.
    pub async fn serve(&self, request: &[u8]) -> Vec<u8> {
        let reply = match group_of(request) {
            Some(group) if group == self.config.group => self.reply(request).await,
            Some(_) => Err(Refused::NoMember),
            None => Err(Refused::Unreadable),
        };
        encode_reply(&reply)
    }

    async fn reply(&self, request: &[u8]) -> Result<Reply<R>, Refused> {
        let stopped = |error: String| Refused::Stopped(error);
        match decode_request::<R>(request)? {
            // What it had promised and acknowledged before may count for somebody who knows nothing newer.
            Request::Vote(_) | Request::PreVote(_) | Request::TransferLeader(_)
                if self.is_partial() =>
            {
                Err(Refused::NoMember)
            }
            Request::Append(request) => {
                let heard = R::Instant::now();
                let reply = self.raft.append_entries(request).await;
                let reply = reply.map_err(|error| stopped(error.to_string()))?;
                self.note_heard(heard, &reply);
                Ok(Reply::Append(reply))
            }
            Request::Vote(request) => self.vote(request).await,
            Request::PreVote(request) => {
                let reply = self.raft.pre_vote(request).await;
                reply.map(Reply::Vote).map_err(|error| stopped(error.to_string()))
            }
            Request::TransferLeader(request) => {
                let reply = self.raft.handle_transfer_leader(request).await;
                reply.map(Reply::TransferLeader).map_err(|error| stopped(error.to_string()))
            }
            Request::Chunk { transfer, number, chunk } => self.take_chunk(transfer, number, chunk),
            Request::Install { transfer, chunks, promise, installed } => {
                let state = self.coming_state(transfer, chunks)?;
                let meta = openraft::SnapshotMeta {
                    last_log_id: installed.applied,
                    last_membership: installed.membership,
                };
                let snapshot = openraft::Snapshot { meta, snapshot: state };
                self.install(promise, snapshot).await
            }
            Request::ReadIndex => {
                let index = self.raft.get_read_log_id(ReadPolicy::ReadIndex).await;
                let (index, _) = index.map_err(|_| Refused::NotLeader)?;
                Ok(Reply::ReadIndex(index.log_id().index))
            }
        }
    }

    async fn vote(&self, request: VoteRequest<Types<R>>) -> Result<Reply<R>, Refused> {
        let reply = self.raft.vote(request).await;
        reply.map(Reply::Vote).map_err(|error| Refused::Stopped(error.to_string()))
    }

    fn take_chunk(&self, transfer: u64, number: u32, chunk: Vec<u8>) -> Result<Reply<R>, Refused> {
        let mut coming = self.coming.lock();
        if number == 0 {
            *coming = Coming { transfer, chunks: Vec::new() };
            self.note_lagging();
        }
        // The one before may have come while its reply was lost.
        let next = coming.chunks.len() as u32;
        if coming.transfer != transfer || number > next {
            return Err(Refused::Incomplete);
        }
        if number == next {
            coming.chunks.push(chunk);
        }
        Ok(Reply::Chunk)
    }

    fn coming_state(&self, transfer: u64, chunks: u32) -> Result<State, Refused> {
        let coming = std::mem::take(&mut *self.coming.lock());
        match coming.transfer == transfer && coming.chunks.len() as u32 == chunks {
            true => Ok(State::Received(coming.chunks)),
            false => Err(Refused::Incomplete),
        }
    }

    async fn install(
        &self,
        promise: Promise,
        snapshot: SnapshotOf<Types<R>, State>,
    ) -> Result<Reply<R>, Refused> {
        let reply = self.raft.install_full_snapshot(promise, snapshot).await;
        reply.map(Reply::Install).map_err(|error| Refused::Stopped(error.to_string()))
    }
}
