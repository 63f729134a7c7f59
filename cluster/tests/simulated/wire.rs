//! The network between the nodes: each way between two of them can be cut by itself; what is sent takes a
//! while, and some of it is lost, be it the request or its reply.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;
use tidekeep_cluster::{Lane, Link, LinkFuture, NodeId, PeerAddress, Unreachable};

/// Who answers what arrives at a node: from whom it is, and what.
pub(crate) type Door = Arc<dyn Fn(NodeId, Vec<u8>) -> Answer + Send + Sync>;

/// An answer, once it is there.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;

/// The network.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Mutex<State>>);

struct State {
    doors: BTreeMap<NodeId, Door>,
    /// Ways that nothing comes through.
    cut: BTreeSet<(NodeId, NodeId)>,
    random: fastrand::Rng,
    /// Of a thousand messages, how many are lost.
    lost: u32,
    /// Nodes that were sent something of a state.
    sent_states: BTreeSet<NodeId>,
}

impl Wire {
    pub(crate) fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let (doors, cut, sent_states) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self(Arc::new(Mutex::new(State { doors, cut, random, lost: 0, sent_states })))
    }

    pub(crate) fn plug(&self, node: NodeId, door: Door) {
        self.0.lock().doors.insert(node, door);
    }

    pub(crate) fn unplug(&self, node: NodeId) {
        self.0.lock().doors.remove(&node);
    }

    pub(crate) fn cut(&self, from: NodeId, to: NodeId) {
        self.0.lock().cut.insert((from, to));
    }

    /// Sets of how many messages of a thousand are lost.
    pub(crate) fn lose(&self, lost: u32) {
        self.0.lock().lost = lost;
    }

    pub(crate) fn heal(&self) {
        self.0.lock().cut.clear();
    }

    /// Whether a node was ever sent something of a state.
    pub(crate) fn was_sent_a_state(&self, node: NodeId) -> bool {
        self.0.lock().sent_states.contains(&node)
    }

    /// How long a message takes, or none if it does not arrive.
    fn passes(&self, from: NodeId, to: NodeId) -> Option<Duration> {
        let mut state = self.0.lock();
        let (delay, lost) = (state.random.u64(50..1_500), state.random.u32(0..1_000) < state.lost);
        // Now and then one is late.
        let late = if state.random.u32(0..200) == 0 { state.random.u64(0..200_000) } else { 0 };
        let is_cut = state.cut.contains(&(from, to));
        (!lost && !is_cut).then(|| Duration::from_micros(delay + late))
    }

    fn door(&self, node: NodeId) -> Option<Door> {
        self.0.lock().doors.get(&node).cloned()
    }
}

/// A node's end of the network.
pub(crate) struct Plug {
    pub(crate) node: NodeId,
    pub(crate) wire: Wire,
}

impl Link for Plug {
    fn call(
        &self,
        to: NodeId,
        _at: &PeerAddress,
        lane: Lane,
        request: Vec<u8>,
        limit: Duration,
    ) -> LinkFuture {
        let (wire, from) = (self.wire.clone(), self.node);
        if lane == Lane::Snapshots {
            wire.0.lock().sent_states.insert(to);
        }
        let exchange = async move {
            let there = wire.passes(from, to)?;
            SimRuntime::sleep(there).await;
            let door = wire.door(to)?;
            // Whoever asked may have given up: what arrived is done all the same.
            let served = SimRuntime::spawn(async move { door(from, request).await });
            let reply = served.await.ok()?;
            SimRuntime::sleep(wire.passes(to, from)?).await;
            Some(reply)
        };
        Box::pin(async move {
            let answer = SimRuntime::timeout(limit, async {
                match exchange.await {
                    Some(reply) => reply,
                    None => std::future::pending().await,
                }
            });
            answer.await.map_err(|_| Unreachable(format!("{to} did not answer {from}")))
        })
    }
}
