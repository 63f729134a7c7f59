//! What makes the ways between nodes narrower than the network of the simulation: states that take long, and calls
//! that nodes pass on which come late.

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
    /// The longest that calls which a node passes on take more than others, and what draws each time.
    forwards: Option<(Duration, fastrand::Rng)>,
}

impl Narrow {
    /// Lets no more bytes of each state through in a second.
    pub(crate) fn slow_states(&self, rate: u32) {
        self.0.lock().states_rate = Some(rate);
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
        match (lane, state.states_rate, &mut state.forwards) {
            (Lane::Snapshots, Some(rate), _) => {
                Duration::from_secs(1) * request.len() as u32 / rate
            }
            (Lane::Entries, _, Some((late, random))) if is_forward(request) => {
                late.mul_f64(random.f64())
            }
            _ => Duration::ZERO,
        }
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
