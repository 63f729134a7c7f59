//! What waits for its turn: calls of a connection, or a look at the state, with whom to tell.

use std::sync::Arc;

use tidekeep_log::{Answer, Replica};
use tidekeep_protocol::error::{Code, Refusal};
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

/// Who runs what waits for a group once others have its keys.
pub(crate) type Onward = Arc<dyn Fn(Piece) + Send + Sync>;

/// Calls that are run together.
pub(crate) struct Piece {
    pub(crate) calls: Calls,
    /// How many calls there were, and the places of those that are left among them, unless it is all.
    asked: usize,
    places: Option<Vec<usize>>,
    /// Whether another node passed them on to this one.
    pub(crate) passed_on: bool,
    /// Why it may have been run already.
    pub(crate) doubt: Option<String>,
    /// Whoever waited may have gone.
    done: oneshot::Sender<Result<Done, Failed>>,
}

impl Piece {
    /// Calls, and where their answers come out.
    pub(crate) fn new(
        calls: Calls,
        passed_on: bool,
    ) -> (Self, oneshot::Receiver<Result<Done, Failed>>) {
        let (done, outcome) = oneshot::channel();
        let asked = calls.count();
        (Self { calls, asked, places: None, passed_on, doubt: None, done }, outcome)
    }

    /// Runs the calls in these places alone, which ascend; the others are refused when these are answered.
    pub(crate) fn keep(&mut self, places: &[usize]) {
        if places.len() == self.calls.count() {
            return;
        }
        self.calls = self.calls.only(places);
        let before = self.places.take();
        let asked_at = |place: &usize| before.as_ref().map_or(*place, |before| before[*place]);
        self.places = Some(places.iter().map(asked_at).collect());
    }

    /// Tells the answers of the calls that were run.
    pub(crate) fn answer(self, done: Done) {
        let Done { index, answers } = done;
        let answers = match self.places {
            None => answers,
            Some(places) => {
                let mut all: Vec<Answer> = vec![Err(overtaken()); self.asked];
                places.into_iter().zip(answers).for_each(|(place, answer)| all[place] = answer);
                all
            }
        };
        // Nobody may be waiting any more.
        let _ = self.done.send(Ok(Done { index, answers }));
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

/// What a read is told that would show what was sent behind it.
fn overtaken() -> Refusal {
    let why = "the node that led has not answered, and may have done what came behind this read; read again";
    Refusal::new(Code::Unavailable, why)
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
