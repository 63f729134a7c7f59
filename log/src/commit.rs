//! The seam: how a batch of requests becomes order. What is above (sessions, metrics) knows this
//! trait alone; [`crate::Solo`] implements it by the local log. Object-safe and without a runtime:
//! every wait is a plain future.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::freshness::Freshness;
use tidekeep_protocol::op::{Cluster, Request};
use tidekeep_store::entry::Entry;
use tidekeep_store::reply::{Found, Reply};
use tidekeep_store::sessions::Numbered;

use crate::backup::Backup;
use crate::error::Failure;
use crate::feed::Feed;
use crate::group::Group;
use crate::ticket::Ticket;

/// One request, and its body.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The request; of a class that reads or writes.
    pub request: Request<'a>,
    /// The body that it was decoded from, which is what is logged; none if it came in another form:
    /// then the log encodes it.
    pub body: Option<&'a [u8]>,
    /// The number that makes it safe to send again, if it is a write that has one. All calls of a
    /// batch that have one are of the same session.
    pub number: Option<Numbered>,
    /// What it must have seen, if it only reads.
    pub freshness: Freshness,
}

impl<'a> Call<'a> {
    /// A request that came in another form than its body's, has no number and sees the newest.
    pub fn new(request: Request<'a>) -> Self {
        Self { request, body: None, number: None, freshness: Freshness::Linearizable }
    }
}

impl Call<'_> {
    /// At most how long the body is, in bytes.
    pub fn body_bytes(&self) -> usize {
        match (self.body, &self.request) {
            (Some(body), _) => body.len(),
            // Nearly every write; reckoning it to the byte takes longer than to put it.
            (None, Request::Put(put)) if put.is_plain() => {
                put.key.len() + put.value.len() + PLAIN_PUT_BYTES
            }
            (None, request) => request.encoded_bytes(),
        }
    }

    /// The body.
    pub fn encoded(&self) -> Cow<'_, [u8]> {
        self.body.map_or_else(
            || {
                let mut body = Vec::new();
                self.request.encode(&mut body);
                Cow::Owned(body)
            },
            Cow::Borrowed,
        )
    }
}

/// What the body of a plain put has beside key and value: two lengths and three marks.
const PLAIN_PUT_BYTES: usize = 13;

/// The answer to one call.
pub type Answer = Result<Reply, Refusal>;

/// Takes the answers to a batch: one for each call, in the order of the calls.
pub trait Answers {
    /// What a get found. It is lent while its shard is locked: copy what is needed, and return.
    fn got(&mut self, found: Found<'_>) {
        self.answer(Ok(Reply::Get(found.keep())));
    }

    /// The answer to any other call.
    fn answer(&mut self, answer: Answer);
}

impl Answers for Vec<Answer> {
    fn answer(&mut self, answer: Answer) {
        self.push(answer);
    }
}

/// One store: the data of all its groups, and their order.
pub trait Commit: Send + Sync {
    /// Runs the calls in order, reads and writes mixed; never blocks on the disk. Gives their answers
    /// as they are made, **none of which may be shown before the promise resolves**: it does once all
    /// that they show is safe. What ran counts from the moment of this call on, whether or not the
    /// promise is awaited. Calls that cannot run yet, because the log is busy, run when the promise
    /// is polled, and it resolves with their answers.
    fn submit(&self, calls: &[Call<'_>], answers: &mut dyn Answers) -> Pending;

    /// The entry of a key as it is now, unless its time is over. It is not safe to show: what is made
    /// of it is to be written under the condition that it is still so, and the answer to that waits
    /// until all of it is safe.
    ///
    /// # Errors
    /// [`Elsewhere`]: a get tells it.
    fn peek(&self, key: &[u8]) -> Result<Option<Entry>, Elsewhere>;

    /// Some key, chosen by `random`, that may be there; none of an empty store. It is not safe to show
    /// either. Where all keys are here, the promise is ready.
    fn sample(&self, random: u64) -> Sampled;

    /// A number for a key, below 2^53, by which [`Self::with_fingerprint`] finds it again. It is the same
    /// as long as the process lives.
    fn fingerprint(&self, key: &[u8]) -> u64;

    /// The entries of keys with a fingerprint, their time over or not: one nearly always, if its key is
    /// there. Those that others keep are not among them. They are not safe to show either.
    fn with_fingerprint(&self, fingerprint: u64) -> Vec<Entry>;

    /// How many keys are kept, those included whose time is over and that are yet to be removed. Where all
    /// keys are here, the promise is ready.
    fn keys(&self) -> Counted;

    /// What each group makes known, in the order of the groups; there is at least one, and their number
    /// never changes.
    fn feeds(&self) -> &[Arc<dyn Feed>];

    /// A consistent cut of everything, to be kept as a file elsewhere. It is safe to show when it
    /// resolves. What it holds takes memory until it is dropped, as far as it is overwritten.
    fn backup(&self) -> PendingBackup;

    /// The store's time when the machine's clock shows `unix_ms`, in milliseconds since the Unix epoch: the
    /// same, but while the store's runs after a clock that was set.
    fn time_at(&self, unix_ms: u64) -> u64;

    /// Which store this is.
    fn identity(&self) -> Identity;

    /// Whether its only group may be split, or be split elsewhere already: then [`Self::feeds`] are of several one day.
    fn may_split(&self) -> bool {
        false
    }

    /// What can be asked of it now.
    fn standing(&self) -> Standing;

    /// Does what an operator asks of the cluster that this store is part of. The one answer has the
    /// reply as [`Reply::Encoded`].
    fn operate(&self, request: &Cluster<'_>) -> Pending {
        let _ = request;
        Promise::ready(Ok(vec![Err(Refusal::new(Code::Unsupported, ALONE))]))
    }

    /// What is wrong although everything is served, in words for who runs it.
    fn warning(&self) -> Option<String> {
        None
    }

    /// Gives each figure by name, with its unit last.
    fn figures(&self, each: &mut dyn FnMut(&'static str, u64));

    /// Resolves with the reason, once storage has failed for good.
    fn failed(&self) -> Failed;

    /// Writes everything to disk and stops the threads. Blocks until that is done. Writes are
    /// refused from now on.
    ///
    /// # Errors
    /// Why not everything is on disk.
    fn close(&self) -> Result<(), String>;
}

/// What an operator is told who takes a server that runs alone for a cluster.
const ALONE: &str =
    "this server runs alone; `tidekeep-server cluster init` makes it the first node of a cluster";

/// That the answers given may be shown, with those to the calls behind, if there are any.
pub type Pending = Promise<Result<Vec<Answer>, Lost>>;

/// Submits a batch for whoever wants its answers as a list: all of them, once they may be shown.
pub fn collect(commit: &dyn Commit, calls: &[Call<'_>]) -> Pending {
    let mut answers = Vec::with_capacity(calls.len());
    match commit.submit(calls, &mut answers).into_ready() {
        Ok(rest) => Promise::ready(rest.map(|rest| {
            answers.extend(rest);
            answers
        })),
        Err(pending) => Promise::later(async move {
            answers.extend(pending.await?);
            Ok(answers)
        }),
    }
}

/// That a key is not kept here, but by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elsewhere;

/// Some key, or why there is no telling.
pub type Sampled = Promise<Result<Option<Vec<u8>>, Refusal>>;

/// A number of keys, or why there is no telling.
pub type Counted = Promise<Result<u64, Refusal>>;

/// A backup, once it may be shown.
pub type PendingBackup = Promise<Result<Backup, Lost>>;

/// That storage has failed, and how.
pub type Failed = Promise<String>;

/// A value that is there, or will be. A plain future: whoever polls it need not know who makes it.
#[must_use = "a promise does nothing unless it is awaited"]
pub struct Promise<T>(State<T>);

enum State<T> {
    Ready(Option<T>),
    /// The way of nearly every write, which is worth no allocation.
    Safe(Safe<T>),
    Later(Pin<Box<dyn Future<Output = T> + Send>>),
}

/// A value that is there, once it may be shown.
struct Safe<T> {
    ticket: Ticket,
    /// The newest revision that it shows something of.
    shows: u64,
    group: Arc<Group>,
    value: Option<T>,
    lost: fn(Failure) -> T,
}

impl<T> Promise<Result<T, Lost>> {
    /// A value that is there and shows something of revisions up to `shows`, once `ticket` resolves.
    pub(crate) fn safe(ticket: Ticket, shows: u64, group: Arc<Group>, value: T) -> Self {
        let lost = |failure: Failure| Err(failure.into());
        Self(State::Safe(Safe { ticket, shows, group, value: Some(Ok(value)), lost }))
    }
}

impl<T: Unpin> Future for Safe<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let outcome = ready!(Pin::new(&mut self.ticket).poll(context));
        Poll::Ready(match outcome {
            Err(failure) => (self.lost)(failure),
            Ok(()) => {
                self.group.positions.reach(self.shows);
                self.value.take().expect(TAKEN)
            }
        })
    }
}

const TAKEN: &str = "a future is not polled after it was ready";

impl<T> Promise<T> {
    /// A value that is there.
    pub fn ready(value: T) -> Self {
        Self(State::Ready(Some(value)))
    }

    /// A value that `future` will make.
    pub fn later(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(State::Later(Box::pin(future)))
    }

    /// The value, if it is there without waiting; else the promise.
    pub fn into_ready(self) -> Result<T, Self> {
        match self.0 {
            State::Ready(Some(value)) => Ok(value),
            state => Err(Self(state)),
        }
    }
}

impl<T: Unpin> Future for Promise<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match &mut self.get_mut().0 {
            State::Ready(value) => Poll::Ready(value.take().expect(TAKEN)),
            State::Safe(safe) => Pin::new(safe).poll(context),
            State::Later(future) => future.as_mut().poll(context),
        }
    }
}

/// Storage failed while this was waited for: what it wrote may or may not be there after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost(Arc<str>);

impl Lost {
    /// A loss with its cause, for people.
    pub fn new(cause: &str) -> Self {
        Self(cause.into())
    }
}

impl From<Failure> for Lost {
    fn from(failure: Failure) -> Self {
        Self::new(&failure.to_string())
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Lost {}

/// Which store, and which history of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Tells this store from any other.
    pub store_id: [u8; 16],
    /// Tells this history from any other with the same positions.
    pub incarnation: u64,
}

/// What can be asked of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Reads and writes.
    Ready,
    /// Reads, and writes that free space; the refusal that others get.
    ReadOnly(Refusal),
    /// Nothing any more: why.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::condition::{Condition, Expiry};
    use tidekeep_protocol::op::Put;

    use super::*;

    #[test]
    fn a_plain_put_takes_no_more_than_is_said() {
        for len in [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let bytes = vec![7; len];
            let (condition, expiry) = (Condition::Always, Expiry::Never);
            let put = Put { key: &bytes, value: &bytes, condition, expiry, previous: false };
            let call = Call::new(Request::Put(put));
            let encoded = call.encoded().len();
            assert!((encoded..encoded + PLAIN_PUT_BYTES).contains(&call.body_bytes()), "{len}");
        }
    }
}
