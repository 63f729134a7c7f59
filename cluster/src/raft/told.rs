//! The time that other nodes have told with their records: whoever leads next goes on from it, and may have
//! applied none of the last ones yet.

use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use parking_lot::Mutex;
use tidekeep_store::record::Record;

use crate::placement::NodeId;
use crate::raft::types::{Entry, Payload};

/// The time of the newest record or state that came from another node since the start.
pub(crate) struct Told<R: AsyncRuntime> {
    node: NodeId,
    /// Where the group's time was at the start.
    begin_ms: u64,
    last: Mutex<Option<(u64, R::Instant)>>,
}

impl<R: AsyncRuntime> Told<R> {
    /// What others tell this node, whose group has come to a time.
    pub(crate) fn new(node: NodeId, ms: u64) -> Self {
        Self { node, begin_ms: ms, last: Mutex::new(None) }
    }

    /// Notes the time of an entry that has just come, if another node ordered it.
    pub(crate) fn note_entry(&self, entry: &Entry) {
        let Payload::Normal(proposal) = &entry.payload else { return };
        if entry.log_id.leader_id.node_id == self.node {
            return;
        }
        // One that cannot be read is refused when it is applied.
        if let Ok(record) = Record::decode(&proposal.record) {
            self.note(record.stamp.now_ms);
        }
    }

    /// Notes the time of what has just come. The group's never goes back: a lower one tells nothing of it.
    pub(crate) fn note(&self, ms: u64) {
        let mut last = self.last.lock();
        if ms > last.map_or(self.begin_ms, |(before, _)| before) {
            *last = Some((ms, R::Instant::now()));
        }
    }

    /// The time in milliseconds, and when it came.
    pub(crate) fn last(&self) -> Option<(u64, R::Instant)> {
        *self.last.lock()
    }
}
