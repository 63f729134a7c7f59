//! The feed of each group, as one node of several knows it.

use std::sync::Arc;

use tidekeep_log::{Changed, Changes, Feed, Lost, PendingView, Promise, TooOld};
use tidekeep_protocol::range::KeyRange;
use tidekeep_protocol::slot::GroupId;

use crate::raft::Runtime;
use crate::replicated::Replicated;
use crate::store::doors::Doors;

/// What is told where the state itself is asked for, which this node has not.
pub(super) fn no_replica() -> Lost {
    Lost::new(
        "this node holds no replica of the store; ask one that `tidekeep cluster status` names",
    )
}

/// The feed of a group, by the replica that this node has now.
pub(super) struct Known<R: Runtime> {
    pub(super) doors: Arc<Doors<R>>,
    pub(super) group: GroupId,
}

impl<R: Runtime> Known<R> {
    fn here(&self) -> Option<Arc<Replicated<R>>> {
        self.doors.here(self.group)
    }
}

impl<R: Runtime> Feed for Known<R> {
    fn revision(&self) -> u64 {
        self.here().map_or(0, |here| here.feed().revision())
    }

    fn last_revision(&self) -> u64 {
        self.here().map_or(u64::MAX, |here| here.feed().last_revision())
    }

    fn changes(&self, after: u64, bytes: usize) -> Result<Changes, TooOld> {
        match self.here() {
            Some(here) => here.feed().changes(after, bytes),
            None => Err(TooOld { oldest: u64::MAX }),
        }
    }

    fn changed(&self, after: u64) -> Changed {
        match self.here() {
            Some(here) => here.feed().changed(after),
            None => Promise::ready(Err(no_replica())),
        }
    }

    fn view(&self, range: &KeyRange) -> PendingView {
        match self.here() {
            Some(here) => here.feed().view(range),
            None => Promise::ready(Err(no_replica())),
        }
    }
}
