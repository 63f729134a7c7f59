//! A node: its disk and its clock, which outlive it, and its part in the group while it runs.

use std::sync::Arc;
use std::time::Duration;

use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::SimInstant;
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;
use tidekeep_cluster::{
    Config, FORWARD, Journal, Member, NodeId, PeerAddress, Replicated, ReplicatedOptions,
};
use tidekeep_log::Identity;
use tidekeep_log::clock::Clock;
use tidekeep_log::disk::faulty::{Crash, Fault, FaultyDisk};
use tidekeep_protocol::slot::GroupCount;

use crate::simulated::disk::{open, turn};
use crate::simulated::wire::{Door, Plug, Wire};

/// Small, so that segments follow each other.
const SEGMENT_BYTES: u64 = 32 << 10;
/// Little, so that members which come back are sent states.
pub(crate) const ENTRIES_BYTES: usize = 2 << 10;

/// The time of day when a run begins, in ms since 1970.
pub(crate) const BEGAN_MS: u64 = 1_700_000_000_000;

pub(crate) struct Node {
    pub(crate) id: NodeId,
    clock: NodeClock,
    wire: Wire,
    state: Mutex<State>,
}

/// A clock that is ahead of the true time by some milliseconds.
#[derive(Clone, Copy)]
struct NodeClock {
    began: SimInstant,
    skew_ms: i64,
}

impl Clock for NodeClock {
    fn now_ms(&self) -> u64 {
        let passed = SimInstant::now() - self.began;
        (BEGAN_MS + passed.as_millis() as u64).saturating_add_signed(self.skew_ms)
    }

    fn elapsed_ms(&self) -> Option<u64> {
        Some((SimInstant::now() - self.began).as_millis() as u64)
    }
}

struct State {
    disk: FaultyDisk,
    starts: u64,
    seed: u64,
    running: Option<Running>,
}

#[derive(Clone)]
struct Running {
    store: Arc<Replicated<SimRuntime>>,
    journal: Arc<Journal>,
    /// While it is set, no disk call returns.
    stuck: Arc<Mutex<bool>>,
}

impl Node {
    pub(crate) fn new(id: NodeId, seed: u64, skew_ms: i64, wire: Wire) -> Arc<Self> {
        Self::on(FaultyDisk::new(seed), id, seed, skew_ms, wire)
    }

    /// One whose disk has something already.
    pub(crate) fn on(
        disk: FaultyDisk,
        id: NodeId,
        seed: u64,
        skew_ms: i64,
        wire: Wire,
    ) -> Arc<Self> {
        let state = State { disk, starts: 0, seed, running: None };
        let clock = NodeClock { began: SimInstant::now(), skew_ms };
        Arc::new(Self { id, clock, wire, state: Mutex::new(state) })
    }

    pub(crate) fn member(&self) -> Option<Arc<Member<SimRuntime>>> {
        self.store().map(|store| Arc::clone(store.member()))
    }

    /// The group's store, as this node serves it while it runs.
    pub(crate) fn store(&self) -> Option<Arc<Replicated<SimRuntime>>> {
        self.state.lock().running.as_ref().map(|running| Arc::clone(&running.store))
    }

    /// Starts on what is on the disk.
    pub(crate) async fn start(&self) {
        let (disk, seed) = {
            let mut state = self.state.lock();
            assert!(state.running.is_none(), "{} runs", self.id);
            state.starts += 1;
            (state.disk.clone(), state.seed ^ (state.starts << 32))
        };
        let (opened, appended) = open(disk, SEGMENT_BYTES, seed);
        let adopted = opened.adopt(self.id, PeerAddress::default(), GroupCount::ONE);
        adopted.expect("nothing is divided");
        opened.run::<SimRuntime>();
        let journal = Arc::clone(&opened.journal);
        let stuck = Arc::new(Mutex::new(false));
        turn(&journal, Arc::clone(&stuck), appended, seed);
        let config = Config { install: Duration::from_secs(5), ..Config::new(self.id, 0) };
        let plug = Arc::new(Plug { node: self.id, wire: self.wire.clone() });
        let member = Member::start(config, &opened, Arc::clone(&plug) as _, seed).await;
        let member = member.unwrap_or_else(|why| panic!("{} cannot join: {why}", self.id));
        let options = ReplicatedOptions {
            link: plug,
            clock: Arc::new(self.clock),
            identity: Identity { store_id: [1; 16], incarnation: 1 },
        };
        let store = Arc::new(Replicated::new(Arc::new(member), options));
        self.wire.plug(self.id, door(&store));
        beat(&store);
        self.state.lock().running = Some(Running { store, journal, stuck });
    }

    /// Ends without a word; what was not synced is lost as `crash` says.
    pub(crate) async fn crash(&self, crash: Crash) {
        let running = {
            let mut state = self.state.lock();
            let Some(running) = state.running.take() else { return };
            let left = state.disk.crash(crash);
            // Whatever the dead still does is done to no disk.
            state.disk.cut_after(state.disk.calls());
            state.disk = left;
            running
        };
        self.wire.unplug(self.id);
        *running.stuck.lock() = false;
        running.store.member().stop().await;
    }

    /// Writes a snapshot of the log.
    pub(crate) fn snapshot(&self) {
        let running = self.state.lock().running.clone();
        if let Some(running) = running.filter(|running| !*running.stuck.lock()) {
            // There may be nothing new for one, and the disk may have failed.
            let _ = running.journal.snapshot();
        }
    }

    /// Makes every disk call from now on wait, or go on.
    pub(crate) fn hold_disk(&self, hold: bool) {
        if let Some(running) = &self.state.lock().running {
            *running.stuck.lock() = hold;
        }
    }

    /// Lets every disk call from now on return, and succeed.
    pub(crate) fn mend_disk(&self) {
        self.hold_disk(false);
        self.state.lock().disk.fail_call(u64::MAX, Fault::Io);
    }

    /// Whether it has stopped by itself, since its disk failed.
    pub(crate) fn has_stopped(&self) -> bool {
        self.member().is_some_and(|member| member.standing().stopped.is_some())
    }

    /// Lets the disk call after some more fail.
    pub(crate) fn fail_disk(&self, calls: u64) {
        let state = self.state.lock();
        state.disk.fail_call(state.disk.calls() + calls, Fault::Io);
    }
}

/// Lets a store answer what arrives: what its member is asked, and calls that are passed on.
fn door(store: &Arc<Replicated<SimRuntime>>) -> Door {
    let store = Arc::clone(store);
    Arc::new(move |from, request| {
        let store = Arc::clone(&store);
        Box::pin(async move {
            let head = request.first_chunk().map_or(0, |head| u32::from_le_bytes(*head));
            match FORWARD & head {
                0 => store.member().serve(&request).await,
                _ => store.serve(from, &request).await,
            }
        })
    })
}

/// Has a store's member beat for as long as the store is there, as a node has all its members.
fn beat(store: &Arc<Replicated<SimRuntime>>) {
    let store = Arc::downgrade(store);
    let _ends_by_itself = SimRuntime::spawn(async move {
        while let Some(member) = store.upgrade().map(|store| Arc::clone(store.member())) {
            let next = SimRuntime::sleep(member.beats_every());
            member.beat().await;
            member.keep(ENTRIES_BYTES).await;
            drop(member);
            next.await;
        }
    });
}
