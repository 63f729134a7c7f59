//! openraft's requests to the other members, over whatever [`Link`] carries bytes. Every one is bounded
//! by the time that openraft gives it.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::AsyncRuntime;
use openraft::type_config::alias::SnapshotOf;
use openraft::{AnyError, Instant, OptionalSend};

use crate::link::{Lane, Link, PeerAddress};
use crate::placement::NodeId;
use crate::raft::aside::aside;
use crate::raft::item::Installed;
use crate::raft::machine::State;
use crate::raft::message::{Reply, Request, decode_reply, encode_request};
use crate::raft::types::{Promise, Types};

/// Time for a chunk of a state to be taken.
const CHUNK_LIMIT: Duration = Duration::from_secs(10);

/// Makes the ways to the other members.
pub(crate) struct Network<R> {
    group: u32,
    link: Arc<dyn Link>,
    /// Tells one transfer of a state from another.
    transfers: Arc<AtomicU64>,
    /// Time for a state that has come whole to be taken over.
    install: Duration,
    runtime: PhantomData<fn() -> R>,
}

impl<R> Network<R> {
    /// `transfers` is where the numbers of transfers begin; they must not repeat after a restart.
    pub(crate) fn new(group: u32, link: Arc<dyn Link>, transfers: u64, install: Duration) -> Self {
        let transfers = Arc::new(AtomicU64::new(transfers));
        Self { group, link, transfers, install, runtime: PhantomData }
    }

    fn way(&self, to: NodeId, at: &PeerAddress, lane: Lane) -> Way<R> {
        let (link, transfers) = (Arc::clone(&self.link), Arc::clone(&self.transfers));
        Way {
            group: self.group,
            link,
            transfers,
            install: self.install,
            to,
            at: at.clone(),
            lane,
            runtime: PhantomData,
        }
    }
}

impl<R: AsyncRuntime> RaftNetworkFactory<Types<R>> for Network<R> {
    type Network = Way<R>;

    async fn new_client(&mut self, to: NodeId, at: &PeerAddress) -> Way<R> {
        self.way(to, at, Lane::Entries)
    }

    async fn new_heartbeat_client(&mut self, to: NodeId, at: &PeerAddress) -> Way<R> {
        self.way(to, at, Lane::Control)
    }

    async fn new_snapshot_client(&mut self, to: NodeId, at: &PeerAddress) -> Way<R> {
        self.way(to, at, Lane::Snapshots)
    }
}

/// The way to one member.
pub(crate) struct Way<R> {
    group: u32,
    link: Arc<dyn Link>,
    transfers: Arc<AtomicU64>,
    install: Duration,
    to: NodeId,
    at: PeerAddress,
    lane: Lane,
    runtime: PhantomData<fn() -> R>,
}

impl<R: AsyncRuntime> Way<R> {
    async fn call(
        &self,
        lane: Lane,
        request: &Request<R>,
        limit: Duration,
    ) -> Result<Reply<R>, Unreachable<Types<R>>> {
        let request = encode_request(self.group, request);
        let reply = self.link.call(self.to, &self.at, lane, request, limit).await;
        let reply = reply.map_err(|error| Unreachable::new(&error))?;
        match decode_reply(&reply) {
            Some(Ok(reply)) => Ok(reply),
            Some(Err(refused)) => Err(Unreachable::new(&refused)),
            None => Err(unlike()),
        }
    }
}

/// A reply that is none to what was asked.
fn unlike<R: AsyncRuntime>() -> Unreachable<Types<R>> {
    Unreachable::new(&AnyError::error("the reply is of another kind than the request"))
}

impl<R: AsyncRuntime> RaftNetworkV2<Types<R>> for Way<R> {
    type SnapshotData = State;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<R>>, RPCError<Types<R>>> {
        match self.call(self.lane, &Request::Append(request), option.soft_ttl()).await? {
            Reply::Append(response) => Ok(response),
            _ => Err(unlike().into()),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        match self.call(Lane::Control, &Request::Vote(request), option.soft_ttl()).await? {
            Reply::Vote(response) => Ok(response),
            _ => Err(unlike().into()),
        }
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        match self.call(Lane::Control, &Request::PreVote(request), option.soft_ttl()).await? {
            Reply::Vote(response) => Ok(response),
            _ => Err(unlike().into()),
        }
    }

    async fn full_snapshot(
        &mut self,
        promise: Promise,
        snapshot: SnapshotOf<Types<R>, State>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types<R>>, StreamingError<Types<R>>> {
        let sending = std::pin::pin!(self.send_state(promise, snapshot));
        match select(sending, std::pin::pin!(cancel)).await {
            Either::Left((outcome, _)) => outcome.map_err(StreamingError::Unreachable),
            Either::Right((closed, _)) => Err(closed.into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types<R>>, RPCError<Types<R>>> {
        let request = Request::TransferLeader(request);
        match self.call(Lane::Control, &request, option.soft_ttl()).await? {
            Reply::TransferLeader(response) => Ok(response),
            _ => Err(unlike().into()),
        }
    }
}

impl<R: AsyncRuntime> Way<R> {
    /// Sends a state chunk by chunk, each when the one before it has arrived and as long a rest has passed: who
    /// is asked for something meanwhile finds cores and disks free.
    async fn send_state(
        &self,
        promise: Promise,
        snapshot: SnapshotOf<Types<R>, State>,
    ) -> Result<SnapshotResponse<Types<R>>, Unreachable<Types<R>>> {
        let chunks = aside(|| chunks_of(snapshot.snapshot));
        let transfer = self.transfers.fetch_add(1, Ordering::Relaxed);
        let mut count = 0;
        for chunk in chunks {
            let request = Request::Chunk { transfer, number: count, chunk };
            let began = R::Instant::now();
            match self.call(Lane::Snapshots, &request, CHUNK_LIMIT).await? {
                Reply::Chunk => count += 1,
                _ => return Err(unlike()),
            }
            R::sleep(R::Instant::now() - began).await;
        }
        let meta = snapshot.meta;
        let installed = Installed { applied: meta.last_log_id, membership: meta.last_membership };
        let request = Request::Install { transfer, chunks: count, promise, installed };
        match self.call(Lane::Snapshots, &request, self.install).await? {
            Reply::Install(response) => Ok(response),
            _ => Err(unlike()),
        }
    }
}

fn chunks_of(state: State) -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
    match state {
        State::Frozen(frozen) => Box::new(frozen.into_chunks()),
        State::Received(chunks) => Box::new(chunks.into_iter()),
        State::Unfrozen => Box::new(std::iter::empty()),
    }
}
