//! Calls to other nodes: for each node and lane one connection, made when it is first needed and remade when
//! it broke. A call to a node that is down fails at once, and does not wait for its time to be over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::certificates::ClusterId;
use super::identity::Identity;
use super::way::{Target, Way};
use crate::link::{Lane, Link, LinkFuture, PeerAddress, Unreachable};
use crate::placement::NodeId;

/// Limits of the calls to other nodes.
#[derive(Debug, Clone)]
pub struct PeerOptions {
    /// Time for a connection to be made, from the first packet until the other side has said welcome. A few
    /// round trips of the longest way between nodes.
    pub connect: Duration,
    /// A connection on which something is awaited and nothing heard for so long is given up, and made anew
    /// by the next call. Longer than a node may hang without its connections being worth losing.
    pub silence: Duration,
    /// A connection that nobody used for so long is closed. Longer than the pauses between calls.
    pub idle: Duration,
    /// Time until a node that could not be reached is tried again, at first; it doubles up to the most.
    pub backoff_least: Duration,
    /// The most of it. How long a node that has come back may stay unnoticed.
    pub backoff_most: Duration,
    /// The longest request and reply. More than a member's longest record, and than a chunk of a state.
    pub frame_bytes: usize,
    /// Bytes that may wait on a connection until they are sent; more calls wait for room. At least the
    /// longest request. Each node and lane may take as much memory.
    pub queue_bytes: usize,
}

impl Default for PeerOptions {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            silence: Duration::from_secs(2),
            idle: Duration::from_secs(120),
            backoff_least: Duration::from_millis(20),
            backoff_most: Duration::from_secs(1),
            frame_bytes: 64 << 20,
            queue_bytes: 64 << 20,
        }
    }
}

impl PeerOptions {
    /// Room for at least one request of any allowed length.
    pub(crate) fn queue_bytes(&self) -> usize {
        self.queue_bytes.max(self.frame_bytes + 64)
    }
}

/// Carries requests to other nodes of the cluster.
#[derive(Clone)]
pub struct PeerNetwork(Arc<Inner>);

struct Inner {
    cluster: ClusterId,
    tls: TlsConnector,
    runtime: Handle,
    options: Arc<PeerOptions>,
    /// By node and lane. While a node's address changes, callers may know it by several.
    ways: Mutex<HashMap<(NodeId, Lane), Known>>,
}

type Known = Vec<Arc<Way>>;

impl PeerNetwork {
    /// The network as this node sees it. Its connections live on `runtime`, which needs I/O and time, for
    /// as long as any clone of it.
    pub fn new(identity: &Identity, options: PeerOptions, runtime: Handle) -> Self {
        Self(Arc::new(Inner {
            cluster: identity.cluster(),
            tls: TlsConnector::from(Arc::clone(identity.client())),
            runtime,
            options: Arc::new(options),
            ways: Mutex::default(),
        }))
    }

    /// The way to a node, by which its connection is found or made.
    fn way(&self, to: NodeId, at: &PeerAddress, lane: Lane) -> Arc<Way> {
        let mut ways = self.0.ways.lock();
        let known = ways.entry((to, lane)).or_default();
        if let Some(way) = known.iter().find(|way| way.address() == at.address) {
            return Arc::clone(way);
        }
        known.retain(|way| way.is_used());
        let target = Target {
            cluster: self.0.cluster,
            node: to,
            address: at.address.clone(),
            tls: self.0.tls.clone(),
            options: Arc::clone(&self.0.options),
        };
        let way = Arc::new(Way::new(target));
        known.push(Arc::clone(&way));
        way
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for way in self.ways.lock().values().flatten() {
            way.close();
        }
    }
}

impl Link for PeerNetwork {
    fn call(
        &self,
        to: NodeId,
        at: &PeerAddress,
        lane: Lane,
        request: Vec<u8>,
        limit: Duration,
    ) -> LinkFuture {
        let (bytes, most) = (request.len(), self.0.options.frame_bytes);
        if bytes > most {
            let why = format!("a request of {bytes} bytes is too long: {most} are allowed");
            return Box::pin(std::future::ready(Err(Unreachable(why))));
        }
        let way = self.way(to, at, lane);
        let runtime = self.0.runtime.clone();
        Box::pin(async move {
            match timeout(limit, way.call(request, &runtime)).await {
                Ok(Ok(reply)) => Ok(reply),
                Ok(Err(why)) => Err(Unreachable(format!("{to} at {}: {why}", way.address()))),
                Err(_) => {
                    let at = way.address();
                    Err(Unreachable(format!("{to} at {at} did not answer within {limit:?}")))
                }
            }
        })
    }
}
