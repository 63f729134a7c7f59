//! What waits for its turn: calls of a connection, or a look at the state, with whom to tell.

use tidekeep_log::{Answer, Replica};
use tidekeep_protocol::freshness::Freshness;
use tokio::sync::oneshot;

use crate::replicated::calls::Calls;

/// What became of calls that were run.
#[derive(Debug)]
pub(crate) struct Done {
    /// The entry that they were run with, or the last one before.
    pub(crate) index: u64,
    /// One for each call.
    pub(crate) answers: Vec<Answer>,
}

/// Why calls were not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Nothing was ordered: nobody led for too long, or who was asked does not.
    NotLeader,
    /// The writes may have been ordered or not.
    Unknown(String),
}

/// Calls that are run together.
pub(crate) struct Piece {
    pub(crate) calls: Calls,
    /// Whether another node passed them on to this one.
    pub(crate) passed_on: bool,
    /// Why it may have been run already.
    pub(crate) doubt: Option<String>,
    /// Whoever waited may have gone.
    pub(crate) done: oneshot::Sender<Result<Done, Failed>>,
}

impl Piece {
    /// Calls, and where their answers come out.
    pub(crate) fn new(
        calls: Calls,
        passed_on: bool,
    ) -> (Self, oneshot::Receiver<Result<Done, Failed>>) {
        let (done, outcome) = oneshot::channel();
        (Self { calls, passed_on, doubt: None, done }, outcome)
    }

    /// Ends the tries.
    pub(crate) fn give_up(mut self) {
        let why = self.doubt.take().map_or(Failed::NotLeader, Failed::Unknown);
        self.fail(why);
    }

    pub(crate) fn fail(self, why: Failed) {
        // Nobody may be waiting any more.
        let _ = self.done.send(Err(why));
    }
}

/// A look at the state as it is when all that was confirmed is in it; or at none, when that cannot be told.
pub(crate) type Look = Box<dyn FnOnce(Option<&Replica>) + Send>;

/// A read.
pub(crate) enum Read {
    Calls(Piece),
    Look(Look),
}

impl Read {
    /// What it must have seen.
    pub(crate) fn freshness(&self) -> Freshness {
        match self {
            Self::Calls(piece) => piece.calls.freshness(),
            Self::Look(_) => Freshness::Linearizable,
        }
    }
}
