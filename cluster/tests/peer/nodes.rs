//! Nodes of a cluster on loopback, and a service that does what a request says.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidekeep_cluster::peer::{
    ClusterId, Identity, JoinGrant, JoinRefused, JoinRequest, ListenerOptions, NodeKey,
    PeerNetwork, PeerOptions, Secret, Serve, serve,
};
use tidekeep_cluster::{Lane, Link, NodeId, PeerAddress, Unreachable};
use tidekeep_protocol::slot::GroupCount;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

/// Whatever takes longer will not happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const SECRET: Secret = Secret([9; 16]);

/// Runs a test on several threads, as nodes do.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE * 2, test).await.expect("in time") })
}

/// A new cluster's first node.
pub(crate) fn founded() -> Identity {
    Identity::found(
        ClusterId::random().expect("chance"),
        GroupCount::ONE,
        PeerAddress { address: "127.0.0.1:0".into() },
    )
    .expect("a cluster")
}

/// What a node is given that joins with a key.
pub(crate) fn grant(by: &Identity, node: NodeId, request: &[u8]) -> JoinGrant {
    let authority = by.authority();
    JoinGrant {
        cluster: by.cluster(),
        node,
        certificate: authority.sign(node, request).expect("a certificate"),
        authority: authority.certificate().to_vec(),
        authority_key: authority.key().to_vec(),
        peers: vec![(by.node(), by.address().clone())],
    }
}

/// Another node of the cluster.
pub(crate) fn member(of: &Identity, node: u64) -> Identity {
    let key = NodeKey::make().expect("a key");
    let grant = grant(of, NodeId(node), &key.request().expect("a request"));
    Identity::joined(key, PeerAddress::default(), &grant).expect("a member")
}

/// Echoes requests behind the number of who asked. Those that begin with `wait` are answered when they are
/// let through.
#[derive(Clone)]
pub(crate) struct Desk(Arc<State>);

struct State {
    gate: Semaphore,
    begun: watch::Sender<Vec<Vec<u8>>>,
    done: watch::Sender<usize>,
    /// Who lets new nodes in.
    identity: Mutex<Option<Arc<Identity>>>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let (gate, identity) = (Semaphore::new(0), Mutex::new(None));
        let (begun, done) = (watch::Sender::new(Vec::new()), watch::Sender::new(0));
        Self(Arc::new(State { gate, begun, done, identity }))
    }

    /// Lets so many waiting requests through.
    pub(crate) fn let_through(&self, requests: usize) {
        self.0.gate.add_permits(requests);
    }

    /// The requests in the order in which they were begun, once there are so many.
    pub(crate) async fn begun(&self, requests: usize) -> Vec<Vec<u8>> {
        let mut begun = self.0.begun.subscribe();
        let begun = begun.wait_for(|begun| begun.len() >= requests);
        tokio::time::timeout(PATIENCE, begun).await.expect("in time").expect("a desk").clone()
    }

    /// Waits until so many requests were answered.
    pub(crate) async fn done(&self, requests: usize) {
        let mut done = self.0.done.subscribe();
        let done = done.wait_for(|done| *done >= requests);
        tokio::time::timeout(PATIENCE, done).await.expect("in time").expect("a desk");
    }
}

impl Serve for Desk {
    fn serve(
        &self,
        from: NodeId,
        request: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send>> {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            let kept = request[..request.len().min(100)].to_vec();
            state.begun.send_modify(|begun| begun.push(kept));
            if request.starts_with(b"wait") {
                state.gate.acquire().await.expect("an open gate").forget();
            }
            state.done.send_modify(|done| *done += 1);
            [&from.0.to_be_bytes(), request.as_slice()].concat()
        })
    }

    fn join(
        &self,
        request: JoinRequest,
    ) -> Pin<Box<dyn Future<Output = Result<JoinGrant, JoinRefused>> + Send>> {
        let identity = self.0.identity.lock().clone();
        Box::pin(async move {
            let identity = identity.ok_or_else(|| JoinRefused::NotNow("no leader".into()))?;
            if request.secret != SECRET {
                return Err(JoinRefused::TokenUnknown);
            }
            if request.peer_address == *identity.address() {
                return Err(JoinRefused::AddressUsed(request.peer_address.address));
            }
            Ok(grant(&identity, NodeId(7), &request.signing_request))
        })
    }
}

/// A node that answers.
pub(crate) struct Running {
    pub(crate) at: PeerAddress,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(identity: Identity, desk: &Desk) -> Self {
        Self::start_at("127.0.0.1:0", Arc::new(identity), desk, ListenerOptions::default()).await
    }

    pub(crate) async fn start_at(
        address: &str,
        identity: Arc<Identity>,
        desk: &Desk,
        options: ListenerOptions,
    ) -> Self {
        *desk.0.identity.lock() = Some(Arc::clone(&identity));
        Self::serving(address, identity, Arc::new(desk.clone()), options).await
    }

    pub(crate) async fn serving(
        address: &str,
        identity: Arc<Identity>,
        service: Arc<dyn Serve>,
        options: ListenerOptions,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or(()) };
            serve(listener, &identity, service, options, stopped).await;
        });
        Self { at: PeerAddress { address }, stop, task }
    }

    /// Ends it; its connections are closed.
    pub(crate) async fn kill(self) {
        // It may have ended by itself.
        let _ = self.stop.send(());
        self.task.await.expect("an end without a panic");
    }
}

/// Short times, so that tests need not wait for long ones.
pub(crate) fn quick() -> PeerOptions {
    PeerOptions {
        silence: Duration::from_millis(500),
        connect: Duration::from_secs(2),
        backoff_most: Duration::from_millis(50),
        ..PeerOptions::default()
    }
}

pub(crate) fn network(of: &Identity) -> PeerNetwork {
    PeerNetwork::new(of, quick(), Handle::current())
}

/// A call on the lane of entries that has time enough.
pub(crate) async fn call(
    network: &PeerNetwork,
    to: u64,
    at: &PeerAddress,
    request: impl Into<Vec<u8>>,
) -> Result<Vec<u8>, Unreachable> {
    network.call(NodeId(to), at, Lane::Entries, request.into(), PATIENCE).await
}

/// The reply of a [`Desk`] to a node's request.
pub(crate) fn echo(from: u64, request: impl AsRef<[u8]>) -> Vec<u8> {
    [&from.to_be_bytes(), request.as_ref()].concat()
}
