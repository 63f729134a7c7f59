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
    last: Mutex<Option<(u64, R::Instant)>>,
}

impl<R: AsyncRuntime> Told<R> {
    /// What others tell this node.
    pub(crate) fn new(node: NodeId) -> Self {
        Self { node, last: Mutex::new(None) }
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

    /// Notes the time of what has just come.
    pub(crate) fn note(&self, ms: u64) {
        *self.last.lock() = Some((ms, R::Instant::now()));
    }

    /// The time in milliseconds, and when it came.
    pub(crate) fn last(&self) -> Option<(u64, R::Instant)> {
        *self.last.lock()
    }
}
