//! A server as a whole: opens the store, listens, serves, drains. `main` and tests use it alike.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidekeep_log::clock::SystemClock;
use tidekeep_log::disk::Disk;
use tidekeep_log::disk::memory::MemoryDisk;
use tidekeep_log::disk::real::RealDisk;
use tidekeep_log::{Commit, Durability, OpenError, Solo, SoloOptions};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{info, warn};

use crate::clock::{Clock, Moment, Wall};
use crate::config::{Config, ConfigError};
use crate::drain::Drain;
use crate::edge::{self, Folder, Gate, Hosts};
use crate::member::{Member, NodeError};
use crate::observe::Metrics;
use crate::service::{Facts, Owners, Service, Status};
use crate::session::{House, Settings};

/// Name and version, as told in the welcome and by `status`.
const SOFTWARE: &str = concat!("tidekeep-server ", env!("CARGO_PKG_VERSION"));

/// Descriptors that a server needs beside its connections: the log, snapshots, the listener.
const SPARE_DESCRIPTORS: u64 = 64;

/// What every connection of a server shares.
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) service: Service,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) hosts: Hosts,
    /// The folder that is served in place of the built-in page.
    pub(crate) folder: Option<Folder>,
    pub(crate) drain: Drain,
    /// Whether Redis clients are served.
    pub(crate) resp: bool,
    pub(crate) clock: Clock,
    pub(crate) wall: Wall,
}

impl Shared {
    /// The server at a moment, as a RESP session sees it.
    pub(crate) fn house(&self, moment: &Moment) -> House<'_> {
        let unix_us = self.wall.unix_us(moment);
        self.service.house(&self.metrics, moment.now, unix_us, &|| fastrand::u64(..))
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used, or the data in it are damaged.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was asked for does not go with a node of a cluster.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It cannot be a node of its cluster.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

/// How a server ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It was told to, and everything is on disk.
    Drained,
    /// Storage failed; what was not acknowledged may be lost.
    StorageFailed(String),
    /// It is no node of its cluster any more.
    Removed,
}

/// Tells a server to stop, from wherever it is needed.
#[derive(Clone)]
pub struct Stopper(Arc<Shared>);

impl Stopper {
    /// Begins the drain.
    pub fn stop(&self) {
        self.0.drain.begin();
    }
}

/// Starts servers.
#[derive(Debug)]
pub struct Server;

/// A server that serves.
pub struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<JoinSet<()>>,
    drain_time: Duration,
    /// Its part in a cluster, if it has one.
    member: Option<Member>,
}

impl Server {
    /// Opens the data directory, listens and begins to serve, on the runtime that this is called in.
    ///
    /// # Errors
    /// When the directory or the address cannot be used.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        // The address first: it is quickly told, while a large store takes a while to load.
        let listener = listen(&config.listen).await?;
        let address = address_of(&listener, &config)?;
        if let Some(member) = Member::start(&config, address).await? {
            let store = Arc::clone(&member.store);
            let running = Self::start_with(config, listener, store)?;
            return Ok(Running { member: Some(member), ..running });
        }
        let store = config.clone();
        let open = tokio::task::spawn_blocking(move || open_store(&store));
        let commit = match open.await {
            Ok(opened) => Arc::new(opened?),
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        };
        Self::start_with(config, listener, commit)
    }

    /// Serves another store than the one in the data directory.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn start_with(
        config: Config,
        listener: TcpListener,
        commit: Arc<dyn Commit>,
    ) -> Result<Running, StartError> {
        let address = address_of(&listener, &config)?;
        let drain_time = Duration::from_millis(config.drain_ms);
        let shared = Arc::new(share(config, commit, address.port()));
        let serving = tokio::spawn(edge::serve(listener, Arc::clone(&shared)));
        Ok(Running { address, shared, serving, drain_time, member: None })
    }
}

impl Running {
    /// Where it listens; with port 0 in the configuration, the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins the drain: [`Self::wait`] returns when it is done.
    pub fn shutdown(&self) {
        self.shared.drain.begin();
    }

    /// A handle that begins the drain while somebody waits.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared))
    }

    /// Waits until the server was drained or storage has failed; either way it is closed then.
    pub async fn wait(mut self) -> Stopped {
        let commit = Arc::clone(&self.shared.service.commit);
        let failed = tokio::select! {
            () = self.shared.drain.begun() => None,
            reason = commit.failed() => Some(reason),
        };
        let removed = self.member.as_ref().is_some_and(Member::is_removed);
        match &failed {
            Some(_) if removed => info!("this node was removed from its cluster"),
            Some(reason) => warn!(reason, "storage failed"),
            None => {}
        }
        self.shared.drain.begin();
        let member = self.member.take();
        if let (Some(member), None) = (&member, &failed) {
            member.hand_over().await;
        }
        self.finish_connections().await;
        if let Some(member) = member {
            member.stop().await;
        }
        let closed = tokio::task::spawn_blocking(move || commit.close()).await;
        match (failed, closed) {
            _ if removed => Stopped::Removed,
            (Some(reason), _) | (None, Ok(Err(reason))) => Stopped::StorageFailed(reason),
            (None, Ok(Ok(()))) => Stopped::Drained,
            (None, Err(panicked)) => Stopped::StorageFailed(panicked.to_string()),
        }
    }

    async fn finish_connections(self) {
        info!(connections = self.shared.gate.native(), "draining");
        let Ok(mut tasks) = self.serving.await else { return };
        let finished = tokio::time::timeout(self.drain_time, self.shared.gate.emptied()).await;
        if finished.is_err() {
            warn!(connections = self.shared.gate.native(), "connections were cut");
        }
        tasks.shutdown().await;
    }
}

fn address_of(listener: &TcpListener, config: &Config) -> Result<SocketAddr, StartError> {
    let failed = |source| StartError::Listen { address: config.listen.clone(), source };
    listener.local_addr().map_err(failed)
}

async fn listen(address: &str) -> Result<TcpListener, StartError> {
    let failed = |source| StartError::Listen { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    if listener.local_addr().is_ok_and(|address| !address.ip().is_loopback()) {
        warn!(address, "everybody who can reach this address can read and write everything");
    }
    Ok(listener)
}

fn open_store(config: &Config) -> Result<Solo, OpenError> {
    let disk: Arc<dyn Disk> = match config.durability {
        Durability::Memory => Arc::new(MemoryDisk::new()),
        Durability::Always | Durability::Interval(_) | Durability::None => {
            Arc::new(RealDisk::open(&config.data)?)
        }
    };
    let options = SoloOptions::new(disk, Arc::new(SystemClock), || fastrand::u64(..));
    Solo::open(SoloOptions {
        durability: config.durability,
        limits: config.limits,
        segment_bytes: config.segment_bytes,
        snapshot_log_bytes: config.snapshot_log_bytes,
        history_bytes: config.history_bytes,
        memory: config.memory.clone(),
        ..options
    })
}

fn share(config: Config, commit: Arc<dyn Commit>, port: u16) -> Shared {
    let buffers = Arc::clone(&config.memory.outside);
    let (metrics, clock) = (Arc::new(Metrics::counting(buffers)), Clock::start());
    let settings = settings(&config, &*commit, fastrand::u128(..).to_le_bytes());
    let service = service(&config, commit, &metrics, clock, Owners::new(secret_names()), port);
    let limit = connection_limit(config.max_connections);
    let resp = config.resp;
    Shared {
        settings: Arc::new(settings),
        service,
        gate: Arc::new(Gate::new(limit, Arc::clone(&metrics))),
        hosts: Hosts::new(&config.listen, config.allow_origins),
        folder: config.www.map(Folder::new),
        drain: Drain::default(),
        resp,
        metrics,
        clock,
        wall: Wall::default(),
    }
}

/// What sessions are held to and say of the server.
pub(crate) fn settings(config: &Config, commit: &dyn Commit, server_id: [u8; 16]) -> Settings {
    let identity = commit.identity();
    Settings {
        limits: config.limits,
        handshake_ms: config.handshake_ms,
        frame_ms: config.frame_ms,
        heartbeat_ms: config.heartbeat_ms,
        slow_reader_ms: config.slow_reader_ms,
        output_bytes: config.output_bytes,
        budgets: config.budgets,
        server_id,
        store_id: identity.store_id,
        incarnation: identity.incarnation,
        software: SOFTWARE.to_owned(),
    }
}

/// Names of sessions that nobody can guess from others: SipHash under keys that the system's random
/// source made.
fn secret_names() -> impl Fn(u64) -> u128 {
    let halves = [RandomState::new(), RandomState::new()];
    move |number| {
        let [high, low] = halves.each_ref().map(|keys| u128::from(keys.hash_one(number)));
        high << 64 | low
    }
}

/// What runs requests.
pub(crate) fn service(
    config: &Config,
    commit: Arc<dyn Commit>,
    metrics: &Arc<Metrics>,
    clock: Clock,
    owners: Owners,
    port: u16,
) -> Service {
    let status = Status {
        software: SOFTWARE.to_owned(),
        durability: config.durability,
        metrics: Arc::clone(metrics),
        clock,
    };
    let facts = Facts::of(config, port, [owners.name(), owners.name()]);
    Service {
        commit,
        status,
        owners,
        roster: Arc::default(),
        clients: Arc::default(),
        facts,
        hub: Arc::default(),
    }
}

/// Asks the system for as many descriptors as connections may need, and takes fewer connections if
/// there are not so many.
fn connection_limit(wanted: usize) -> usize {
    let needed = (wanted as u64).saturating_add(SPARE_DESCRIPTORS);
    match rlimit::increase_nofile_limit(needed) {
        Ok(allowed) if allowed < needed => {
            let limit = allowed.saturating_sub(SPARE_DESCRIPTORS).max(1) as usize;
            warn!(wanted, limit, "the system allows fewer open files than connections need");
            limit
        }
        Ok(_) => wanted,
        Err(error) => {
            warn!(%error, "the limit of open files is not known");
            wanted
        }
    }
}
