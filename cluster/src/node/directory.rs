//! Where the other nodes are, by what the meta group says now. A group's members were written down with the
//! address that a node had then; what goes to it goes to the one that it has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::link::{Lane, Link, LinkFuture, PeerAddress};
use crate::meta::View;
use crate::placement::NodeId;

/// A link that knows the nodes' addresses.
pub(super) struct Directory {
    link: Arc<dyn Link>,
    known: Mutex<BTreeMap<NodeId, PeerAddress>>,
}

impl Directory {
    pub(super) fn new(link: Arc<dyn Link>) -> Arc<Self> {
        Arc::new(Self { link, known: Mutex::default() })
    }

    /// Takes in what the meta group says.
    pub(super) fn learn(&self, view: &View) {
        let known = view.present().map(|(node, record)| (node, record.peer.clone()));
        *self.known.lock() = known.collect();
    }

    /// The address of a node.
    pub(super) fn address(&self, node: NodeId) -> Option<PeerAddress> {
        self.known.lock().get(&node).cloned()
    }
}

impl Link for Directory {
    fn call(
        &self,
        to: NodeId,
        at: &PeerAddress,
        lane: Lane,
        request: Vec<u8>,
        limit: Duration,
    ) -> LinkFuture {
        let known = self.address(to);
        self.link.call(to, known.as_ref().unwrap_or(at), lane, request, limit)
    }
}
