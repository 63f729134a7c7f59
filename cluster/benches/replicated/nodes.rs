//! Three nodes in one process, each with real files, that call each other as functions or over TLS.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use openraft_rt_tokio::TokioRuntime;
use parking_lot::Mutex;
use tidekeep_cluster::peer::{
    ClusterId, Identity as NodeIdentity, JoinGrant, JoinRefused, JoinRequest, ListenerOptions,
    NodeKey, PeerNetwork, PeerOptions, Serve, serve,
};
use tidekeep_cluster::{
    Config, FORWARD, Journal, JournalOptions, Lane, Link, LinkFuture, Member, NodeId, Opened,
    PeerAddress, Replicated, ReplicatedOptions, Unreachable,
};
use tidekeep_log::clock::SystemClock;
use tidekeep_log::disk::real::RealDisk;
use tidekeep_log::{Identity, ReplicaOptions, Upkeep};
use tidekeep_protocol::slot::GroupCount;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

const NODES: u64 = 3;

pub(crate) type Groups = BTreeMap<u32, Arc<Replicated<TokioRuntime>>>;

/// How nodes call each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Calls,
    Tls,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Tls => "tls",
        }
    }
}

/// The members of a node, by their groups.
#[derive(Clone, Default)]
struct Node(Arc<Mutex<Groups>>);

impl Node {
    fn serve(
        &self,
        from: NodeId,
        request: Vec<u8>,
    ) -> impl Future<Output = Option<Vec<u8>>> + Send + 'static {
        let group = u32::from_le_bytes(*request.first_chunk().expect("a request names its group"));
        let there = self.0.lock().get(&(group & !FORWARD)).cloned();
        async move {
            let there = there?;
            Some(match group & FORWARD {
                0 => there.member().serve(&request).await,
                _ => there.serve(from, &request).await,
            })
        }
    }
}

/// A node's calls to the others.
struct Calls {
    from: NodeId,
    nodes: Arc<[Node]>,
}

impl Link for Calls {
    fn call(
        &self,
        to: NodeId,
        _at: &PeerAddress,
        _lane: Lane,
        request: Vec<u8>,
        _limit: Duration,
    ) -> LinkFuture {
        let served = self.nodes[to.0 as usize - 1].serve(self.from, request);
        Box::pin(async move { served.await.ok_or_else(|| Unreachable("no such member".into())) })
    }
}

impl Serve for Node {
    fn serve(
        &self,
        from: NodeId,
        request: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send>> {
        let served = Self::serve(self, from, request);
        Box::pin(async move { served.await.unwrap_or_default() })
    }

    fn join(
        &self,
        _request: JoinRequest,
    ) -> Pin<Box<dyn Future<Output = Result<JoinGrant, JoinRefused>> + Send>> {
        Box::pin(std::future::ready(Err(JoinRefused::TokenUnknown)))
    }
}

/// The nodes, and what answers for them.
pub(crate) struct Running {
    pub(crate) nodes: Vec<Groups>,
    doors: Vec<JoinHandle<()>>,
}

/// Starts three nodes with so many groups, each founded by one of them in turn.
pub(crate) async fn start(directory: &Path, way: Way, groups: u32) -> Running {
    let nodes: Arc<[Node]> = (1..=NODES).map(|_| Node::default()).collect();
    let founder = NodeIdentity::found(ClusterId([1; 16]), GroupCount::ONE, PeerAddress::default())
        .expect("a cluster");
    let (mut addresses, mut doors, mut running) = (BTreeMap::new(), Vec::new(), Vec::new());
    for id in (1..=NODES).map(NodeId) {
        let node = &nodes[id.0 as usize - 1];
        let identity = if id == founder.node() { None } else { Some(member(&founder, id)) };
        let link: Arc<dyn Link> = match way {
            Way::Calls => Arc::new(Calls { from: id, nodes: Arc::clone(&nodes) }),
            Way::Tls => {
                let identity = identity.as_ref().unwrap_or(&founder);
                Arc::new(PeerNetwork::new(identity, PeerOptions::default(), Handle::current()))
            }
        };
        let opened = open(&directory.join(format!("{}-{groups}-{}", way.name(), id.0)), id);
        for group in 0..groups {
            let member = Member::start(Config::new(id, group), &opened, Arc::clone(&link), 0).await;
            let options = ReplicatedOptions {
                link: Arc::clone(&link),
                clock: Arc::new(SystemClock),
                identity: Identity { store_id: [1; 16], incarnation: 1 },
            };
            let replicated = Replicated::new(Arc::new(member.expect("a member")), options);
            node.0.lock().insert(group, Arc::new(replicated));
        }
        running.push(node.0.lock().clone());
        let (address, door) = answer(identity.as_ref().unwrap_or(&founder), node.clone()).await;
        addresses.insert(id, address);
        doors.push(door);
    }
    for group in 0..groups {
        let first = &running[(u64::from(group) % NODES) as usize][&group];
        first.member().found(addresses.clone()).await.expect("a new group");
        while first.member().leader().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Running { nodes: running, doors }
}

impl Running {
    pub(crate) async fn stop(self) {
        for store in self.nodes.iter().flat_map(BTreeMap::values) {
            store.member().stop().await;
        }
        for door in self.doors {
            door.abort();
        }
    }
}

fn open(path: &Path, id: NodeId) -> Opened {
    std::fs::create_dir_all(path).expect("a directory for the node");
    let mut random = fastrand::Rng::new();
    let opened = Journal::open(JournalOptions {
        disk: Arc::new(RealDisk::open(path).expect("the node's disk")),
        segment_bytes: 64 << 20,
        upkeep: Upkeep::Threads,
        appended: None,
        replica: ReplicaOptions::new(id.0),
        random: Box::new(move || random.u64(..)),
    });
    let opened = opened.expect("an empty log");
    opened.run::<TokioRuntime>();
    opened
}

fn member(of: &NodeIdentity, node: NodeId) -> NodeIdentity {
    let (key, authority) = (NodeKey::make().expect("a key"), of.authority());
    let request = key.request().expect("a request");
    let grant = JoinGrant {
        cluster: of.cluster(),
        node,
        certificate: authority.sign(node, &request).expect("a certificate"),
        authority: authority.certificate().to_vec(),
        authority_key: authority.key().to_vec(),
        peers: Vec::new(),
    };
    NodeIdentity::joined(key, PeerAddress::default(), &grant).expect("a member")
}

async fn answer(identity: &NodeIdentity, node: Node) -> (PeerAddress, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let never = std::future::pending();
    let answered = serve(listener, identity, Arc::new(node), ListenerOptions::default(), never);
    (PeerAddress { address }, tokio::spawn(answered))
}
