//! A change of the meta group: some values, all written at once if everything that the change was made
//! from is still as it was read, else none of them.

use serde::Serialize;
use tidekeep_log::{Answer, Reply};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{Compare, Delete, Put, Request, Txn, TxnOp};
use tidekeep_store::apply::Stamp;
use tidekeep_store::record;

use crate::meta::keys::Key;
use crate::meta::values::{ClusterRecord, NodeRecord, SplitRecord, TokenRecord, encode};
use crate::meta::view::View;
use crate::placement::{NodeId, Table};

/// A change that is yet to be ordered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Each key, the revision that it must still have (none: it must not be there), and its new value
    /// (none: it goes).
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    key: Vec<u8>,
    read: Option<u64>,
    write: Option<Vec<u8>>,
}

/// Why a change was not made. The meta group is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Somebody else changed what this change was made from. Read again, and decide again.
    #[error("the cluster was changed by somebody else at the same time; try again")]
    LostRace,
    /// The store did not take it.
    #[error("the meta group refused the change: {0}")]
    Refused(String),
}

impl Edit {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Writes what the cluster is.
    #[must_use]
    pub fn cluster(self, view: &View, record: &ClusterRecord) -> Self {
        self.value(view, Key::Cluster, record)
    }

    /// Writes the id of the next node.
    #[must_use]
    pub fn next_node(self, view: &View, next: NodeId) -> Self {
        self.value(view, Key::NextNode, &next)
    }

    /// Writes a node.
    #[must_use]
    pub fn node(self, view: &View, node: NodeId, record: &NodeRecord) -> Self {
        self.value(view, Key::Node(node), record)
    }

    /// Writes the table.
    #[must_use]
    pub fn table(self, view: &View, table: &Table) -> Self {
        self.line(view, Key::Table, Some(table.to_bytes()))
    }

    /// Writes what becomes of the groups.
    #[must_use]
    pub fn split(self, view: &View, record: &SplitRecord) -> Self {
        self.value(view, Key::Split, record)
    }

    /// Writes a join token; one without uses goes.
    #[must_use]
    pub fn token(self, view: &View, hash: [u8; 32], record: &TokenRecord) -> Self {
        match record.uses_left {
            0 => self.line(view, Key::Token(hash), None),
            _ => self.value(view, Key::Token(hash), record),
        }
    }

    fn value(self, view: &View, key: Key, value: &impl Serialize) -> Self {
        self.line(view, key, Some(encode(value)))
    }

    fn line(mut self, view: &View, key: Key, write: Option<Vec<u8>>) -> Self {
        let key = key.to_bytes();
        let read = view.written(&key);
        self.lines.push(Line { key, read, write });
        self
    }

    /// The record that makes the change, ordered at a time in milliseconds since 1970.
    pub fn record(&self, now_ms: u64) -> Vec<u8> {
        let compare = |line: &Line| line.read.map_or(Condition::Absent, Condition::Revision);
        let compares =
            self.lines.iter().map(|line| Compare { key: &line.key, condition: compare(line) });
        let then = self.lines.iter().map(|line| match &line.write {
            Some(value) => TxnOp::Put(Put {
                key: &line.key,
                value,
                condition: Condition::Always,
                expiry: Expiry::Never,
                previous: false,
            }),
            None => TxnOp::Delete(Delete {
                key: &line.key,
                condition: Condition::Always,
                previous: false,
            }),
        });
        let txn = Txn { compares: compares.collect(), then: then.collect(), otherwise: Vec::new() };
        let mut out = Vec::new();
        record::begin(Stamp { now_ms, revision: 0 }, &mut out);
        record::push_decoded(&Request::Txn(txn), &mut out);
        out
    }

    /// What became of the record's change, from the answers to it.
    ///
    /// # Errors
    /// [`EditError`]: nothing was changed.
    pub fn outcome(answers: &[Answer]) -> Result<(), EditError> {
        match answers {
            [Ok(Reply::Txn(done))] if done.succeeded => Ok(()),
            [Ok(Reply::Txn(_))] => Err(EditError::LostRace),
            [Err(refusal)] => Err(EditError::Refused(refusal.to_string())),
            _ => Err(EditError::Refused("it was answered by something else".into())),
        }
    }
}
