//! The feed of each group, as one node of several knows it: by its own replica, or by those of others.

use std::sync::Arc;

use tidekeep_log::{Changed, Changes, Feed, PendingView, TooOld};
use tidekeep_protocol::range::KeyRange;
use tidekeep_protocol::slot::GroupId;

use crate::raft::Runtime;
use crate::remote::Mirror;
use crate::replicated::Replicated;
use crate::store::doors::Doors;

/// The feed of a group, by the replica that this node has now, or by nodes that have one.
pub(super) struct Known<R: Runtime> {
    doors: Arc<Doors<R>>,
    group: GroupId,
}

impl<R: Runtime> Known<R> {
    pub(super) fn new(doors: Arc<Doors<R>>, group: GroupId) -> Self {
        Self { doors, group }
    }

    fn here(&self) -> Option<Arc<Replicated<R>>> {
        self.doors.here(self.group)
    }

    fn there(&self) -> &Arc<Mirror<R>> {
        self.doors.mirror(self.group)
    }
}

impl<R: Runtime> Feed for Known<R> {
    fn revision(&self) -> u64 {
        self.here().map_or_else(|| self.there().revision(), |here| here.feed().revision())
    }

    fn last_revision(&self) -> u64 {
        // Another node may have shown one that is still on its way here.
        u64::MAX
    }

    fn changes(&self, after: u64, bytes: usize) -> Result<Changes, TooOld> {
        match self.here() {
            Some(here) => here.feed().changes(after, bytes),
            None => self.there().changes(after, bytes),
        }
    }

    fn changed(&self, after: u64) -> Changed {
        match self.here() {
            Some(here) => here.feed().changed(after),
            None => self.there().changed(after),
        }
    }

    fn view(&self, range: &KeyRange) -> PendingView {
        match self.here() {
            Some(here) => here.feed().view(range),
            None => self.there().view(range),
        }
    }

    fn is_at_hand(&self) -> bool {
        self.here().is_some()
    }

    fn reach(&self, after: u64) -> Changed {
        match self.here() {
            Some(here) => here.feed().reach(after),
            None => self.there().reach(after),
        }
    }
}
