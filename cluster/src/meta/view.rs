//! The meta group as it is at one moment, read from a replica of it as a whole: it is small, and whoever
//! decides wants to see all of one moment.

use std::collections::BTreeMap;

use tidekeep_log::{Answer, Call, Entry, Replica, Reply};
use tidekeep_protocol::op::{Order, Projection, Request, Scan};
use tidekeep_protocol::range::KeyRange;
use tidekeep_protocol::slot::GroupId;

use crate::link::PeerAddress;
use crate::meta::keys::{Key, SecretHash};
use crate::meta::numbering::Numbering;
use crate::meta::values::{
    BadValue, ClusterRecord, NodeRecord, NodeState, SplitRecord, TokenRecord, decode,
};
use crate::placement::{NodeId, Table};

/// What the meta group holds, and at which revision each value was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The group's revision at which all of it was read.
    pub revision: u64,
    /// The cluster; none before it is founded.
    pub cluster: Option<ClusterRecord>,
    /// The id of the next node.
    pub next_node: Option<NodeId>,
    /// The nodes, those that were removed included.
    pub nodes: BTreeMap<NodeId, NodeRecord>,
    /// Which node holds which group.
    pub table: Option<Table>,
    /// What the groups are split into, once that was asked for.
    pub split: Option<SplitRecord>,
    /// The join tokens.
    pub tokens: BTreeMap<SecretHash, TokenRecord>,
    /// The revision of each key's last write.
    written: BTreeMap<Vec<u8>, u64>,
}

/// The meta group cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// A value was written by a later version.
    #[error("the key {key:?}: {bad}")]
    Value {
        /// The key, with what is no text replaced.
        key: String,
        /// What is wrong.
        bad: BadValue,
    },
    /// The replica refused to be read.
    #[error("the meta group cannot be read: {0}")]
    Refused(String),
}

impl View {
    /// Reads what a replica of the meta group holds.
    ///
    /// # Errors
    /// [`ViewError`]: it was written by a later version.
    pub fn read(replica: &Replica) -> Result<Self, ViewError> {
        let mut view = Self::default();
        let mut from = Vec::new();
        // A change between two pages shows as another revision: then all is read anew.
        loop {
            let (revision, more, entries) = page(replica, &from)?;
            if !from.is_empty() && revision != view.revision {
                view = Self::default();
                from.clear();
                continue;
            }
            view.revision = revision;
            for entry in &entries {
                view.take(entry)?;
            }
            match entries.last() {
                Some(last) if more => from = [last.key(), &[0]].concat(),
                _ => return Ok(view),
            }
        }
    }

    fn take(&mut self, entry: &Entry) -> Result<(), ViewError> {
        let (key, value) = (entry.key(), entry.value());
        let named = |bad| ViewError::Value { key: String::from_utf8_lossy(key).into(), bad };
        match Key::from_bytes(key) {
            Some(Key::Cluster) => self.cluster = Some(decode(value).map_err(named)?),
            Some(Key::NextNode) => self.next_node = Some(decode(value).map_err(named)?),
            Some(Key::Table) => {
                let table = Table::from_bytes(value).map_err(|_| named(BadValue))?;
                self.table = Some(table);
            }
            Some(Key::Split) => self.split = Some(decode(value).map_err(named)?),
            Some(Key::Node(node)) => {
                self.nodes.insert(node, decode(value).map_err(named)?);
            }
            Some(Key::Token(hash)) => {
                self.tokens.insert(hash, decode(value).map_err(named)?);
            }
            // A later version knows what it is.
            None => {}
        }
        self.written.insert(key.to_vec(), entry.modified());
        Ok(())
    }

    /// The revision of a key's last write; none if it is not there.
    pub fn written(&self, key: &[u8]) -> Option<u64> {
        self.written.get(key).copied()
    }

    /// Whose the rows of the table are.
    pub fn numbering(&self) -> Numbering {
        match self.split {
            Some(SplitRecord { done: true, .. }) => Numbering::Split,
            _ => Numbering::Founded,
        }
    }

    /// The number of a group of the table.
    pub fn number(&self, group: GroupId) -> u32 {
        self.numbering().number(group)
    }

    /// How many groups the cluster was founded with, once it was.
    pub fn founded_groups(&self) -> Option<u16> {
        Some(self.split.map_or(self.cluster?.groups, |split| split.from))
    }

    /// Where other nodes find a node, unless it was removed.
    pub fn peer(&self, node: NodeId) -> Option<&PeerAddress> {
        let record = self.nodes.get(&node)?;
        (record.state != NodeState::Removed).then_some(&record.peer)
    }

    /// The nodes that were not removed.
    pub fn present(&self) -> impl Iterator<Item = (NodeId, &NodeRecord)> {
        let nodes = self.nodes.iter().map(|(&node, record)| (node, record));
        nodes.filter(|(_, record)| record.state != NodeState::Removed)
    }

    /// Whether a node was removed. One that is not known was not.
    pub fn is_removed(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|record| record.state == NodeState::Removed)
    }
}

fn page(replica: &Replica, from: &[u8]) -> Result<(u64, bool, Vec<Entry>), ViewError> {
    let range = KeyRange { start: from.to_vec(), end: None };
    let (order, projection) = (Order::Ascending, Projection::Full);
    let scan = Scan { range: range.as_range(), limit: 0, bytes: 0, order, projection };
    let mut answers: Vec<Answer> = Vec::new();
    let call = Call::new(Request::Scan(scan));
    replica.read(&[call], &mut answers);
    match answers.pop() {
        Some(Ok(Reply::Scan(page))) => Ok((page.revision, page.more, page.entries)),
        Some(Err(refusal)) => Err(ViewError::Refused(format!("{refusal:?}"))),
        _ => Err(ViewError::Refused("a scan was answered by something else".into())),
    }
}
