//! Where the other nodes are, by what the meta group says now. A group's members were written down with the
//! address that a node had then; what goes to it goes to the one that it has. Who did not answer the last call is
//! noted, so that others are asked first.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Nodes that have said nothing since a call to them was given up.
    silent: Arc<Mutex<BTreeSet<NodeId>>>,
}

impl Directory {
    pub(super) fn new(link: Arc<dyn Link>) -> Arc<Self> {
        Arc::new(Self { link, known: Mutex::default(), silent: Arc::default() })
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

    /// Whether a node has said nothing since a call to it was given up.
    pub(super) fn is_silent(&self, node: NodeId) -> bool {
        self.silent.lock().contains(&node)
    }

    /// Notes that a node has said something.
    pub(super) fn note_heard(&self, node: NodeId) {
        self.silent.lock().remove(&node);
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
        let reply = self.link.call(to, known.as_ref().unwrap_or(at), lane, request, limit);
        let silent = Arc::clone(&self.silent);
        Box::pin(async move {
            let reply = reply.await;
            match &reply {
                Ok(_) => silent.lock().remove(&to),
                Err(_) => silent.lock().insert(to),
            };
            reply
        })
    }
}
