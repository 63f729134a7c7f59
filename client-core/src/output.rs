//! What goes into the core and what comes out of it.

use alloc::vec::Vec;

use crate::error::Error;

/// Names a call until it settles; never 0, not used again for a long time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId(pub u32);

/// Names a watch until it ends; never 0, not used again for a long time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WatchId(pub u32);

/// Names a mutation for good: never 0, below 2^53, and about the time at which it was made, in
/// milliseconds since the Unix epoch, times 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MutationId(pub u64);

/// How full the queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueInfo {
    /// Mutations that have not settled.
    pub waiting: usize,
    /// Bytes of their keys and requests.
    pub bytes: usize,
    /// They belong to another store than the server's: nothing is sent, and no more is taken.
    pub held: bool,
    /// What is to be stored cannot be at present.
    pub failing: bool,
}

/// What happens to the core from outside.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The transport that [`Output::Open`] asked for is open.
    Opened,
    /// Bytes arrived, cut anywhere.
    Bytes(&'a [u8]),
    /// The transport could not be opened, or ended; why, for people (may be empty).
    Closed(&'a str),
    /// The time that [`crate::Core::wait`] named has come.
    Tick,
    /// The batch of the last [`Output::Store`] is durable.
    Stored,
    /// It is not, nothing of it; why, for people.
    StoreFailed(&'a str),
    /// The machine woke up, the page became visible or the network came back: look now.
    Woke,
}

/// What the core wants done. Replies and watch messages borrow from what arrived.
#[derive(Debug)]
pub enum Output<'a> {
    /// Open a transport, and say [`Input::Opened`] or [`Input::Closed`].
    Open,
    /// Drop the transport, and say nothing more of it, not even its end.
    Close,
    /// The connection's state changed.
    State(State),
    /// An attempt to connect or a connection ended, and why.
    LinkDown(Error),
    /// A call succeeded; it is settled.
    Reply {
        /// The call.
        call: CallId,
        /// The reply frame's kind.
        kind: u8,
        /// The body of the operation's reply.
        body: &'a [u8],
    },
    /// A call failed; it is settled.
    Failed {
        /// The call.
        call: CallId,
        /// Why.
        error: Error,
    },
    /// Where a watch was can no longer be resumed, and what changed since cannot be told
    /// ([`crate::Resync`]): what it has shown is to be forgotten. The range's content follows, then a
    /// caught-up message.
    WatchReset {
        /// The watch.
        watch: WatchId,
    },
    /// The next message of a watch's stream; none is ever missing or repeated. Content may come again
    /// later, with what changed meanwhile: whoever sets what content and puts bear, and removes what
    /// deletes name, has what the range holds.
    Watch {
        /// The watch.
        watch: WatchId,
        /// The body of a [`tidekeep_protocol::op::WatchMessage`], never empty. Only its head was
        /// looked at: whoever cannot decode it has met a broken server and should end the watch.
        body: &'a [u8],
    },
    /// A watch has ended for good.
    WatchFailed {
        /// The watch.
        watch: WatchId,
        /// Why.
        error: Error,
    },
    /// The next patch of a view: docs/design-client.md says how it is read.
    View {
        /// The view.
        view: WatchId,
        /// The view's state, and what changed in it.
        body: &'a [u8],
    },
    /// Make these rows durable, all or none (docs/design-client.md says how they are read), then say
    /// [`Input::Stored`] or [`Input::StoreFailed`]. There is no other before that.
    Store {
        /// The rows.
        batch: &'a [u8],
    },
    /// A mutation's row is stored.
    Queued {
        /// The mutation.
        mutation: MutationId,
    },
    /// A mutation has settled.
    Settled {
        /// The mutation.
        mutation: MutationId,
        /// The kind of its request.
        kind: u8,
        /// Its key.
        key: Vec<u8>,
        /// The body of the operation's reply. A condition that did not hold is a reply.
        result: Result<Vec<u8>, Error>,
    },
    /// The queue's counts changed.
    Queue(QueueInfo),
    /// A lease that was kept is lost, or can be by now: what it protects may belong to another.
    LeaseLost {
        /// The lease.
        lease: u64,
        /// Why.
        error: Error,
    },
}

/// Outputs that wait, oldest first. They are all taken before new ones come, mostly, so that a list
/// from which taking begins at the front does as well as a ring, with less code.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    list: Vec<Output<'static>>,
    taken: usize,
}

impl Outputs {
    pub(crate) fn push_back(&mut self, output: Output<'static>) {
        self.list.push(output);
    }

    pub(crate) fn pop_front(&mut self) -> Option<Output<'static>> {
        let Some(place) = self.list.get_mut(self.taken) else {
            self.list.clear();
            self.taken = 0;
            return None;
        };
        self.taken += 1;
        Some(core::mem::replace(place, Output::Close))
    }
}

/// The state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing was asked for yet.
    Idle,
    /// The first connection is being made.
    Connecting,
    /// Connected and greeted.
    Ready,
    /// The connection was lost; another is being made.
    Reconnecting,
    /// Closed for good.
    Closed,
}

impl State {
    /// The state's name, as it is shown to people and scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::Reconnecting => "reconnecting",
            Self::Closed => "closed",
        }
    }
}
