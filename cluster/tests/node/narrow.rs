//! What makes the ways between nodes narrower than the network of the simulation: states and entries that take long,
//! and calls that nodes pass on which come late.

use std::sync::Arc;
use std::time::Duration;

use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;
use tidekeep_cluster::{FORWARD, Lane, Link, LinkFuture, NodeId, PeerAddress};

use crate::simulated::wire::Plug;

/// How narrow all ways are.
#[derive(Clone, Default)]
pub(crate) struct Narrow(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Bytes of a state that get through in a second.
    states_rate: Option<u32>,
    /// Bytes of entries that get through in a second.
    entries_rate: Option<u32>,
    /// The longest that calls which a node passes on take more than others, and what draws each time.
    forwards: Option<(Duration, fastrand::Rng)>,
}

impl Narrow {
    /// Lets no more bytes of each state through in a second.
    pub(crate) fn slow_states(&self, rate: u32) {
        self.0.lock().states_rate = Some(rate);
    }

    /// Lets no more bytes of each request with entries through in a second.
    pub(crate) fn slow_entries(&self, rate: u32) {
        self.0.lock().entries_rate = Some(rate);
    }

    /// Lets entries through as before.
    pub(crate) fn widen_entries(&self) {
        self.0.lock().entries_rate = None;
    }

    /// Lets calls that a node passes on take up to so much longer than others, each another time.
    pub(crate) fn delay_forwards(&self, late: Duration, seed: u64) {
        self.0.lock().forwards = Some((late, fastrand::Rng::with_seed(seed)));
    }

    /// A node's end of the network behind it.
    pub(crate) fn before(&self, plug: Plug) -> Arc<dyn Link> {
        Arc::new(Way { narrow: self.clone(), plug: Arc::new(plug) })
    }

    /// How much longer than others a request takes.
    fn extra(&self, lane: Lane, request: &[u8]) -> Duration {
        let mut state = self.0.lock();
        if let (Lane::Entries, true, Some((late, random))) =
            (lane, is_forward(request), &mut state.forwards)
        {
            return late.mul_f64(random.f64());
        }
        let rate = match lane {
            Lane::Snapshots => state.states_rate,
            Lane::Entries => state.entries_rate,
            Lane::Control => None,
        };
        rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) * request.len() as u32 / rate)
    }
}

/// Whether a request has calls that a node passes on.
fn is_forward(request: &[u8]) -> bool {
    let to = request.first_chunk().map_or(0, |to| u32::from_le_bytes(*to));
    // The numbers of groups are far below.
    (FORWARD..FORWARD | 1 << 24).contains(&to)
}

struct Way {
    narrow: Narrow,
    plug: Arc<Plug>,
}

impl Link for Way {
    fn call(
        &self,
        to: NodeId,
        at: &PeerAddress,
        lane: Lane,
        request: Vec<u8>,
        limit: Duration,
    ) -> LinkFuture {
        let extra = self.narrow.extra(lane, &request);
        let (plug, at) = (Arc::clone(&self.plug), at.clone());
        Box::pin(async move {
            SimRuntime::sleep(extra).await;
            plug.call(to, &at, lane, request, limit).await
        })
    }
}
