//! A server as a node of a cluster: who it is, its log, the other nodes, and the store that they keep.
//!
//! ```text
//! data directory ─▶ identity (or: found, join) ─▶ log ─▶ node ─┬─▶ door for other nodes
//!                                                             └─▶ store, which clients are served
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidekeep_cluster::meta::rules::Introduction;
use tidekeep_cluster::node::{FoundingError, Gate, Life, Node, NodeOptions, Timing};
use tidekeep_cluster::peer::{
    Authority, CertificateError, ClusterId, FolderError, Identity, JoinError, JoinRequest,
    JoinToken, ListenerOptions, NodeKey, PeerNetwork, PeerOptions, TokenError, join, serve,
};
use tidekeep_cluster::{
    Config as MemberConfig, Journal, JournalOptions, Link, NodeId, Opened, PeerAddress, Store,
    TokioRuntime,
};
use tidekeep_log::clock::SystemClock;
use tidekeep_log::disk::real::RealDisk;
use tidekeep_log::{OpenError, ReplicaOptions, Upkeep, giving_way};
use tidekeep_protocol::slot::GroupCount;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::config::args::Cluster;
use crate::config::{Config, REPLICAS};
use crate::server::StartError;

/// Bytes of entries in memory for nodes that lag behind: what some seconds of many writes take, so that a node
/// that is started again is not sent everything anew.
const ENTRIES_BYTES: usize = 64 << 20;

/// Between two looks at the length of the log.
const SNAPSHOT_LOOK: Duration = Duration::from_secs(1);

/// Before a snapshot that could not be written is tried again.
const SNAPSHOT_PAUSE: Duration = Duration::from_secs(10);

/// Between two looks whether a node that has just joined knows its cluster.
const JOINED_LOOK: Duration = Duration::from_millis(20);

/// Why a server is no node of a cluster.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// What makes it a node cannot be read or written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A key or certificate cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The token is none.
    #[error("--token: {0}")]
    Token(#[from] TokenError),
    /// The cluster does not take it.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// There are data already.
    #[error(
        "the data directory holds a store already, and a node joins with an empty one: give another --data"
    )]
    NotEmpty,
    /// The cluster was not founded.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// Others would look for it at an address that stands for all.
    #[error(
        "{flag} {address} is no address that others can reach: say where they find this node by {say}"
    )]
    Unspecific {
        /// What was given.
        flag: &'static str,
        /// The address.
        address: String,
        /// What is to be given beside it.
        say: &'static str,
    },
    /// Its part in the cluster cannot begin.
    #[error("the node cannot start: {0}")]
    Start(io::Error),
}

impl NodeError {
    /// Whether what is there cannot be trusted.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Folder(FolderError::Damaged { .. }))
    }

    /// Whether the cluster does not take the node.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Token(_) | Self::Join(_) | Self::NotEmpty)
    }
}

/// A node that runs.
pub(crate) struct Member {
    pub(crate) store: Arc<Store<TokioRuntime>>,
    /// Closes the door for other nodes when it is dropped.
    door: watch::Sender<()>,
}

/// Where a node is found.
struct Addresses {
    peer: PeerAddress,
    client: String,
}

impl Member {
    /// Starts the node that the data directory is of, or that it becomes; none if it is neither. Clients are
    /// listened for at `clients`.
    pub(crate) async fn start(
        config: &Config,
        clients: SocketAddr,
    ) -> Result<Option<Self>, StartError> {
        let known = Identity::load(&config.data).map_err(NodeError::from)?;
        let Some(listen) = listen_for_nodes(config, known.as_ref()) else { return Ok(None) };
        config.fits_a_cluster()?;
        let failed = |source| StartError::Listen { address: listen.clone(), source };
        let door = TcpListener::bind(&listen).await.map_err(failed)?;
        let addresses = Addresses::of(config, door.local_addr().map_err(failed)?, clients)?;
        let opened = open(config).await?;
        let identity = match (known, &config.node.becomes) {
            (Some(identity), _) => identity,
            (None, Some(Cluster::Join { nodes, token })) => {
                let grant = become_member(config, &addresses, &opened, nodes, token).await;
                grant.map_err(StartError::Node)?
            }
            (None, becomes) => {
                let groups = becomes.as_ref().map_or(GroupCount::ONE, groups_of);
                let cluster = ClusterId(opened.journal.identity().store_id);
                let identity = Identity::found(cluster, groups, addresses.peer.clone());
                let identity = identity.map_err(NodeError::from)?;
                identity.store(&config.data).map_err(NodeError::from)?;
                identity
            }
        };
        if identity.node() == NodeId(1) {
            // Behind the identity: from here on every start goes on with that, to the end.
            let groups = identity.groups().unwrap_or(GroupCount::ONE);
            opened.adopt(identity.node(), addresses.peer.clone(), groups)?;
        }
        let member = Self::run(config, identity, opened, door, addresses).await;
        member.map(Some).map_err(StartError::Node)
    }

    async fn run(
        config: &Config,
        identity: Identity,
        opened: Opened,
        listener: TcpListener,
        addresses: Addresses,
    ) -> Result<Self, NodeError> {
        let (id, peer) = (identity.node(), addresses.peer.clone());
        let authority = identity.authority().fingerprint();
        let known = identity.incarnation().zip(identity.groups());
        let founds = identity.groups().unwrap_or(GroupCount::ONE);
        let network = PeerNetwork::new(&identity, PeerOptions::default(), Handle::current());
        let clock = Arc::new(SystemClock);
        let node = Node::<TokioRuntime>::start(NodeOptions {
            id,
            cluster: identity.cluster(),
            is: Introduction {
                peer,
                client: addresses.client,
                zone: config.node.zone.clone(),
                weight: config.node.weight,
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            opened,
            link: Arc::new(network) as Arc<dyn Link>,
            transfers: fastrand::u64(..),
            clock: Arc::clone(&clock) as _,
            member: MemberConfig::new(id, 0),
            entries_bytes: ENTRIES_BYTES,
            timing: Timing { grace: config.node.replace_after, ..Timing::default() },
        });
        let node = node.await.map_err(NodeError::Start)?;
        let (door, mut closed) = watch::channel(());
        tokio::spawn(open_door(listener, identity, node.clone(), async move {
            // The sender says nothing: it goes.
            while closed.changed().await.is_ok() {}
        }));
        if let Some(Cluster::Init { groups, replicas }) = &config.node.becomes {
            node.found(*groups, *replicas).await?;
        } else if id == NodeId(1) {
            // The process may have ended in the middle of that.
            found_again(&node, founds).await?;
        }
        let (incarnation, groups) = match known {
            Some(known) => known,
            None => learn(config, &node).await?,
        };
        info!(node = %id, cluster = %node.cluster(), "this server is a node of a cluster");
        tokio::spawn(write_snapshots(Arc::clone(node.journal()), config.snapshot_log_bytes));
        let store = Store::new(node, authority, clock, incarnation, groups);
        Ok(Self { store, door })
    }

    /// Lets other nodes lead instead of this one.
    pub(crate) async fn hand_over(&self) {
        self.store.node().retire().await;
    }

    /// Whether it is a node of its cluster no longer.
    pub(crate) fn is_removed(&self) -> bool {
        self.store.node().life() == Life::Removed
    }

    /// Ends its part in the cluster.
    pub(crate) async fn stop(self) {
        drop(self.door);
        self.store.node().stop().await;
    }
}

/// Where to listen for other nodes; none if the server is no node and does not become one.
fn listen_for_nodes(config: &Config, known: Option<&Identity>) -> Option<String> {
    let known = known.map(|identity| identity.address().address.clone());
    let is_node = known.is_some() || config.node.becomes.is_some();
    config.node.listen.clone().or(known).filter(|_| is_node)
}

impl Addresses {
    fn of(config: &Config, nodes: SocketAddr, clients: SocketAddr) -> Result<Self, NodeError> {
        let told = |told: &Option<String>, bound: SocketAddr, flag, say| match told {
            Some(address) => Ok(address.clone()),
            None if bound.ip().is_unspecified() => {
                Err(NodeError::Unspecific { flag, address: bound.to_string(), say })
            }
            None => Ok(bound.to_string()),
        };
        let node = &config.node;
        Ok(Self {
            peer: PeerAddress {
                address: told(&node.address, nodes, "--node-listen", "--node-address")?,
            },
            client: told(&node.client_address, clients, "--listen", "--client-address")?,
        })
    }
}

async fn open(config: &Config) -> Result<Opened, OpenError> {
    let (data, segment_bytes) = (config.data.clone(), config.segment_bytes);
    let replica = ReplicaOptions {
        limits: config.limits,
        history_bytes: config.history_bytes,
        ..ReplicaOptions::new(0)
    };
    let open = tokio::task::spawn_blocking(move || {
        Journal::open(JournalOptions {
            disk: Arc::new(RealDisk::open(&data)?),
            segment_bytes,
            upkeep: Upkeep::Threads,
            appended: None,
            replica,
            random: Box::new(|| fastrand::u64(..)),
        })
    });
    match open.await {
        Ok(opened) => opened,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

/// Asks nodes of a cluster to be let in; what this node is then is kept in its data directory.
async fn become_member(
    config: &Config,
    addresses: &Addresses,
    opened: &Opened,
    nodes: &[String],
    token: &str,
) -> Result<Identity, NodeError> {
    if opened.is_alone() || !opened.groups().is_empty() {
        return Err(NodeError::NotEmpty);
    }
    let token: JoinToken = token.parse()?;
    let key = NodeKey::kept_in(&config.data)?;
    let request = JoinRequest {
        secret: token.secret,
        signing_request: key.request()?,
        peer_address: addresses.peer.clone(),
        client_address: addresses.client.clone(),
        zone: config.node.zone.clone(),
        weight: u32::from(config.node.weight.get()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let grant = join(nodes, &token, &request).await?;
    let identity = Identity::joined(key, addresses.peer.clone(), &grant)?;
    identity.store(&config.data)?;
    Ok(identity)
}

async fn open_door(
    listener: TcpListener,
    identity: Identity,
    node: Node<TokioRuntime>,
    closed: impl Future<Output = ()> + Send,
) {
    let authority = Authority::from_der(
        identity.cluster(),
        identity.authority().certificate(),
        identity.authority().key(),
    );
    let Ok(authority) = authority else { return warn!("the cluster's authority cannot be used") };
    let gate = Arc::new(Gate::new(node, Arc::new(authority)));
    serve(listener, &identity, gate, ListenerOptions::default(), closed).await;
}

/// Waits until a node that has just joined knows its cluster, and keeps what it then knows.
async fn learn(config: &Config, node: &Node<TokioRuntime>) -> Result<(u64, GroupCount), NodeError> {
    let (incarnation, groups) = loop {
        let view = node.view();
        // Those that a split has made of them are served as soon as the node sees that there was one.
        let groups = view.founded_groups().and_then(GroupCount::new);
        match view.cluster.zip(groups) {
            Some((cluster, groups)) => break (cluster.incarnation, groups),
            None => tokio::time::sleep(JOINED_LOOK).await,
        }
    };
    if let Some(mut identity) = Identity::load(&config.data)? {
        identity.learn(incarnation, groups, &config.data)?;
    }
    Ok((incarnation, groups))
}

/// How many groups a new cluster is to have.
fn groups_of(becomes: &Cluster) -> GroupCount {
    match becomes {
        Cluster::Init { groups, .. } => *groups,
        Cluster::Join { .. } => GroupCount::ONE,
    }
}

/// Goes on where a founding ended in the middle.
async fn found_again(node: &Node<TokioRuntime>, groups: GroupCount) -> Result<(), NodeError> {
    if node.has_voting_peers() {
        return Ok(());
    }
    match node.found(groups, REPLICAS).await {
        // It was founded, with groups of its own.
        Ok(()) | Err(FoundingError::Another { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes a snapshot of the log whenever it has become so long, until the log is gone.
async fn write_snapshots(journal: Arc<Journal>, log_bytes: u64) {
    let journal = Arc::downgrade(&journal);
    loop {
        tokio::time::sleep(SNAPSHOT_LOOK).await;
        let Some(journal) = journal.upgrade() else { return };
        if !journal.wants_snapshot(log_bytes) {
            continue;
        }
        let written = tokio::task::spawn_blocking(move || {
            // Only the cut is made by this thread: who waits for the locks that it takes must not wait
            // for a core.
            let cut = journal.cut();
            giving_way(|| cut.write())
        });
        if let Ok(Err(why)) = written.await {
            warn!(%why, "no snapshot could be written; the log grows on");
            tokio::time::sleep(SNAPSHOT_PAUSE).await;
        }
    }
}
