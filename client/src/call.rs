//! Futures of calls. A call is on its way before its future is polled; a future that is dropped
//! gives its call up.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tidekeep_client_core::CallId;
use tidekeep_protocol::codec;
use tidekeep_protocol::op::Operation;
use tokio::sync::oneshot;

use crate::client::Handle;
use crate::error::Error;
use crate::shared::{Settled, closed};

/// The body of a reply that is on its way.
pub(crate) struct Answer {
    handle: Arc<Handle>,
    id: CallId,
    settled: oneshot::Receiver<Settled>,
    done: bool,
}

impl Answer {
    pub(crate) fn new(
        handle: Arc<Handle>,
        (id, settled): (CallId, oneshot::Receiver<Settled>),
    ) -> Self {
        Self { handle, id, settled, done: false }
    }
}

impl Future for Answer {
    type Output = Settled;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Settled> {
        let settled = ready!(Pin::new(&mut self.settled).poll(cx));
        self.done = true;
        Poll::Ready(settled.unwrap_or_else(|_| Err(closed())))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.done {
            self.handle.shared().cancel(self.id);
        }
    }
}

/// What an operation returns, on its way. Owns everything it needs, so it can be spawned or joined
/// with others. Dropping it gives the call up.
#[must_use = "dropping a call's future gives the call up"]
pub struct Pending<T> {
    answer: Answer,
    key: Bytes,
    finish: fn(Bytes, Bytes) -> Result<T, Error>,
}

impl<T> Pending<T> {
    /// `finish` makes the result of the key and the reply's body.
    pub(crate) fn new(
        answer: Answer,
        key: Bytes,
        finish: fn(Bytes, Bytes) -> Result<T, Error>,
    ) -> Self {
        Self { answer, key, finish }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let body = ready!(Pin::new(&mut self.answer).poll(cx))?;
        let key = std::mem::take(&mut self.key);
        Poll::Ready((self.finish)(key, body))
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("call", &self.answer.id.0).finish_non_exhaustive()
    }
}

/// The reply of any operation, on its way; see [`crate::Client::call`].
#[must_use = "dropping a call's future gives the call up"]
pub struct Call<O> {
    answer: Answer,
    operation: PhantomData<fn() -> O>,
}

impl<O> Call<O> {
    pub(crate) fn new(answer: Answer) -> Self {
        Self { answer, operation: PhantomData }
    }
}

impl<O> Future for Call<O> {
    type Output = Result<Reply<O>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let body = ready!(Pin::new(&mut self.answer).poll(cx))?;
        Poll::Ready(Ok(Reply { body, operation: PhantomData }))
    }
}

impl<O> fmt::Debug for Call<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("call", &self.answer.id.0).finish_non_exhaustive()
    }
}

/// The reply of an operation, as it came.
pub struct Reply<O> {
    body: Bytes,
    operation: PhantomData<fn() -> O>,
}

impl<O: Operation> Reply<O> {
    /// The reply; keys and values are borrowed from it.
    pub fn decode(&self) -> Result<O::Reply<'_>, Error> {
        Ok(codec::decode(&self.body)?)
    }
}

impl<O> Reply<O> {
    /// The reply's body on the wire.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

impl<O> fmt::Debug for Reply<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}
