//! Mutations: writes that show at once in views, are stored in the offline file before they are sent,
//! and are applied once, also by a later process.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tidekeep_client_core::QueueInfo;
use tidekeep_protocol::codec;
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::op::{self, IncrementReply, Operation, WriteReply, WriteStatus};
use tokio::sync::{oneshot, watch};

use crate::client::Client;
use crate::entry::Entry;
use crate::error::Error;
use crate::options::{DeleteOptions, PutOptions};
use crate::shared::closed;

/// What became of a mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The mutation's id.
    pub mutation: u64,
    /// Its key.
    pub key: Bytes,
    /// What it did, or why it did nothing. `conflict` bears the server's entry as
    /// [`Error::current`].
    pub result: Result<Applied, Error>,
}

/// What a mutation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Its revision; of a delete that found nothing, the store's.
    pub revision: u64,
    /// Whether there was something to change: false for a delete of an absent key alone.
    pub found: bool,
    /// The number after an increment.
    pub number: Option<i64>,
}

/// A mutation of this process. Awaiting it gives its end. If it is dropped, its end comes from
/// [`Client::settlement`] instead; the mutation goes on.
#[must_use = "a mutation's end is told to whoever holds it"]
pub struct Mutation {
    id: u64,
    queued: Option<oneshot::Receiver<Result<(), Error>>>,
    settled: oneshot::Receiver<Settlement>,
}

/// Who waits for a mutation.
pub(crate) struct Waiter {
    pub(crate) queued: Option<oneshot::Sender<Result<(), Error>>>,
    pub(crate) settled: oneshot::Sender<Settlement>,
}

impl Mutation {
    /// A mutation and who is to be told of it.
    pub(crate) fn new(id: u64) -> (Self, Waiter) {
        let (tell_queued, queued) = oneshot::channel();
        let (tell_settled, settled) = oneshot::channel();
        let waiter = Waiter { queued: Some(tell_queued), settled: tell_settled };
        (Self { id, queued: Some(queued), settled }, waiter)
    }

    /// Its id, by which a later process names it too.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Waits until it is stored: from then on it outlives this process. Without an offline file,
    /// until it has settled.
    ///
    /// # Errors
    /// As it settled, if it did without being stored.
    pub async fn queued(&mut self) -> Result<(), Error> {
        match self.queued.take() {
            Some(queued) => queued.await.unwrap_or_else(|_| Err(closed())),
            None => Ok(()),
        }
    }
}

impl Future for Mutation {
    type Output = Settlement;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Settlement> {
        let mutation = self.id;
        Pin::new(&mut self.settled).poll(cx).map(|settled| {
            let lost = || Settlement { mutation, key: Bytes::new(), result: Err(closed()) };
            settled.unwrap_or_else(|_| lost())
        })
    }
}

impl fmt::Debug for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutation").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Client {
    /// Queues a put: see [`Mutation`]. It has no deadline.
    pub fn queue_put(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: PutOptions,
    ) -> Mutation {
        let (key, value) = (key.as_ref(), value.as_ref());
        let PutOptions { condition, expiry, previous } = &options;
        let condition = condition.as_request();
        self.enqueue(&op::Put { key, value, condition, expiry: *expiry, previous: *previous })
    }

    /// Queues a delete.
    pub fn queue_delete(&self, key: impl AsRef<[u8]>, options: DeleteOptions) -> Mutation {
        let condition = options.condition.as_request();
        let previous = options.previous;
        self.enqueue(&op::Delete { key: key.as_ref(), condition, previous })
    }

    /// Queues an increment.
    pub fn queue_increment(&self, key: impl AsRef<[u8]>, by: i64, expiry: Expiry) -> Mutation {
        self.enqueue(&op::Increment { key: key.as_ref(), by, expiry })
    }

    fn enqueue<O: Operation>(&self, request: &O) -> Mutation {
        let mut body = Vec::new();
        codec::encode(request, &mut body);
        self.shared().enqueue(O::SPEC.kind, &body)
    }

    /// Takes a mutation back that was not sent yet; whether it could be. It settles with `cancelled`.
    pub fn discard(&self, mutation: u64) -> bool {
        self.shared().discard(mutation)
    }

    /// The end of the next mutation that nobody in this process holds: those of earlier processes, and
    /// those whose [`Mutation`] was dropped. The last 16,384 are kept for whoever asks.
    pub async fn settlement(&self) -> Settlement {
        self.shared().settlement().await
    }

    /// How full the queue is, to be waited for.
    pub fn queue(&self) -> watch::Receiver<QueueInfo> {
        self.shared().queue()
    }
}

/// The end of a mutation as its reply says it.
pub(crate) fn read_reply(kind: u8, key: &Bytes, body: Vec<u8>) -> Result<Applied, Error> {
    if kind == op::Increment::SPEC.kind {
        let IncrementReply { revision, value } = codec::decode(&body)?;
        return Ok(Applied { revision, found: true, number: Some(value) });
    }
    let body = Bytes::from(body);
    let WriteReply { revision, status, entry } = codec::decode(&body)?;
    let found = match status {
        WriteStatus::Applied => true,
        WriteStatus::NotFound => false,
        WriteStatus::Refused => {
            let current = entry.map(|stored| Entry::of_stored(key.clone(), &body, stored));
            return Err(Error::conflict(current));
        }
    };
    Ok(Applied { revision, found, number: None })
}
