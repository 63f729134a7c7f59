//! A machine: its disk, which outlives what runs on it, and the node while it runs.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use openraft_rt_sim::{SimInstant, SimRuntime};
use parking_lot::Mutex;
use tidekeep_cluster::meta::rules::Introduction;
use tidekeep_cluster::node::{Node, NodeOptions, Timing};
use tidekeep_cluster::peer::{ClusterId, Fingerprint};
use tidekeep_cluster::{Config, Instant, NodeId, PeerAddress, Store};
use tidekeep_log::clock::Clock;
use tidekeep_log::disk::faulty::{Crash, FaultyDisk};
use tidekeep_protocol::slot::GroupCount;

use crate::narrow::Narrow;
use crate::simulated::disk::{open, turn};
use crate::simulated::wire::{Door, Plug, Wire};

pub(crate) const SEGMENT_BYTES: u64 = 64 << 10;
const CLUSTER: ClusterId = ClusterId([7; 16]);

/// Little, so that nodes which come back are sent states.
pub(crate) const ENTRIES_BYTES: usize = 32 << 10;

/// A node that is down for so long is given up.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

pub(crate) struct Machine {
    pub(crate) id: NodeId,
    wire: Wire,
    narrow: Narrow,
    entries_bytes: usize,
    state: Mutex<State>,
}

struct State {
    disk: FaultyDisk,
    starts: u64,
    seed: u64,
    running: Option<Node<SimRuntime>>,
    /// What it makes of a store that ran alone on its disk.
    divides: GroupCount,
    /// The cluster's groups, if it serves clients.
    serves: Option<GroupCount>,
    store: Option<Arc<Store<SimRuntime>>>,
}

impl State {
    fn open_store(&mut self) {
        if let (Some(node), Some(groups), None) = (&self.running, self.serves, &self.store) {
            let clock = Arc::new(TimeOfDay);
            self.store = Some(Store::new(node.clone(), Fingerprint([5; 32]), clock, 1, groups));
        }
    }
}

/// The time of day, which is the same everywhere, and goes on while a machine is down.
struct TimeOfDay;

impl Clock for TimeOfDay {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000 + SimInstant::now().elapsed_since_start().as_millis() as u64
    }

    fn elapsed_ms(&self) -> Option<u64> {
        Some(SimInstant::now().elapsed_since_start().as_millis() as u64)
    }
}

/// What a node says of itself.
pub(crate) fn introduction(name: &str) -> Introduction {
    Introduction {
        peer: PeerAddress { address: format!("{name}:9081") },
        client: format!("{name}:8081"),
        zone: name.into(),
        weight: NonZeroU16::MIN,
        version: "1.0.0".into(),
    }
}

impl Machine {
    pub(crate) fn new(
        id: NodeId,
        seed: u64,
        net: (Wire, Narrow),
        entries_bytes: usize,
    ) -> Arc<Self> {
        Self::on(FaultyDisk::new(seed), GroupCount::ONE, id, seed, net, entries_bytes)
    }

    /// One whose disk holds something already: a store that ran alone, of which it makes so many groups.
    pub(crate) fn on(
        disk: FaultyDisk,
        divides: GroupCount,
        id: NodeId,
        seed: u64,
        (wire, narrow): (Wire, Narrow),
        entries_bytes: usize,
    ) -> Arc<Self> {
        let state =
            State { disk, divides, starts: 0, seed, running: None, serves: None, store: None };
        Arc::new(Self { id, wire, narrow, entries_bytes, state: Mutex::new(state) })
    }

    /// Its name, which its addresses and its zone begin with.
    pub(crate) fn name(&self) -> String {
        format!("node-{}", self.id.0)
    }

    /// What runs on it.
    pub(crate) fn node(&self) -> Option<Node<SimRuntime>> {
        self.state.lock().running.clone()
    }

    /// Serves clients whenever it runs, from now on. `groups` is the cluster's.
    pub(crate) fn serve(&self, groups: GroupCount) {
        let mut state = self.state.lock();
        state.serves = Some(groups);
        state.open_store();
    }

    /// What serves clients on it, if it runs.
    pub(crate) fn store(&self) -> Option<Arc<Store<SimRuntime>>> {
        self.state.lock().store.clone()
    }

    /// Starts the node on what is on the disk.
    pub(crate) async fn start(&self) -> Node<SimRuntime> {
        let (disk, divides, seed) = {
            let mut state = self.state.lock();
            assert!(state.running.is_none(), "{} runs", self.id);
            state.starts += 1;
            (state.disk.clone(), state.divides, state.seed ^ (state.starts << 32))
        };
        let (opened, appended) = open(disk, SEGMENT_BYTES, seed);
        if self.id == NodeId(1) {
            let at = introduction(&self.name()).peer;
            opened.adopt(self.id, at, divides).expect("there is memory");
        }
        turn(&opened.journal, Arc::default(), appended, seed);
        let options = NodeOptions {
            id: self.id,
            cluster: CLUSTER,
            is: introduction(&self.name()),
            opened,
            link: self.narrow.before(Plug { node: self.id, wire: self.wire.clone() }),
            transfers: seed,
            clock: Arc::new(TimeOfDay),
            member: Config { install: Duration::from_secs(5), ..Config::new(self.id, 0) },
            entries_bytes: self.entries_bytes,
            timing: Timing { grace: GRACE, ..Timing::default() },
        };
        let node = Node::start(options).await;
        let node = node.unwrap_or_else(|why| panic!("{} cannot start: {why}", self.id));
        self.wire.plug(self.id, door(&node));
        let mut state = self.state.lock();
        state.running = Some(node.clone());
        state.open_store();
        node
    }

    /// Ends without a word; what was not synced is lost.
    pub(crate) async fn crash(&self) {
        let node = {
            let mut state = self.state.lock();
            let Some(node) = state.running.take() else { return };
            state.store = None;
            let left = state.disk.crash(Crash::Drop);
            // Whatever the dead still does is done to no disk.
            state.disk.cut_after(state.disk.calls());
            state.disk = left;
            node
        };
        self.wire.unplug(self.id);
        node.stop().await;
    }

    /// Writes a snapshot of its log.
    pub(crate) fn snapshot(&self) {
        let node = self.node().expect("it runs");
        // There may be nothing new for one.
        let _ = node.journal().snapshot();
    }
}

/// Lets a node answer what arrives.
fn door(node: &Node<SimRuntime>) -> Door {
    let node = node.clone();
    Arc::new(move |from, request| {
        let node = node.clone();
        Box::pin(async move { node.serve(from, request).await })
    })
}
