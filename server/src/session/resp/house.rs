//! What a RESP connection sees of the server around it, and what it waits for.

use std::sync::Arc;

use tidekeep_log::{Answer, Commit, Counted, Lost, Pending, PendingViews, Sampled, View};
use tidekeep_protocol::error::Refusal;

use super::plan::At;
use crate::observe::Metrics;
use crate::service::{Clients, Facts, Hub};
use crate::session::Millis;

/// The server, at one moment.
#[derive(Clone, Copy)]
pub(crate) struct House<'a> {
    pub(crate) commit: &'a dyn Commit,
    pub(crate) metrics: &'a Metrics,
    pub(crate) clients: &'a Clients,
    pub(crate) facts: &'a Facts,
    pub(crate) hub: &'a Arc<Hub>,
    /// On the clock of the process.
    pub(crate) now: Millis,
    /// In microseconds since the Unix epoch.
    pub(crate) unix_us: u64,
    /// In milliseconds since the Unix epoch, on the store's clock, by which keys end.
    pub(crate) store_ms: u64,
    /// Draws a random number.
    pub(crate) random: &'a dyn Fn() -> u64,
}

impl House<'_> {
    /// The moment, as keys end by it.
    pub(crate) fn at(&self) -> At {
        At(self.store_ms)
    }
}

/// What a connection waits for before it goes on.
pub(crate) enum Wait {
    /// The answers to what it asked.
    Answers(Pending),
    /// A frozen cut of each group.
    Views(Box<PendingViews>),
    /// How many keys there are.
    Count(Counted),
    /// Some key.
    Sample(Sampled),
}

/// What came of it.
pub(crate) enum Came {
    /// The answers that could not be given at once.
    Answers(Result<Vec<Answer>, Lost>),
    Views(Result<Vec<View>, Lost>),
    Count(Result<u64, Refusal>),
    Sample(Result<Option<Vec<u8>>, Refusal>),
}
