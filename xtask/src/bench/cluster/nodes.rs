//! The nodes of a cluster under measure, as processes on loopback with their data on the same disk:
//! started, killed, started again, and asked who leads.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::bench::cluster::{etcd, tidekeep};
use crate::bench::load::Target;
use crate::bench::plan::Plan;
use crate::bench::server::{self, Cores};
use crate::process;

const POLL: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(60);

/// Whose nodes they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Etcd,
    Tidekeep,
    /// Tidekeep with as many groups as a large cluster has.
    Sixteen,
    /// One Tidekeep by itself: what replication costs is told against it.
    Alone,
    /// The bare store: what this machine lets through at most.
    Bare,
}

impl Kind {
    /// In the names of series.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Tidekeep => "tidekeep",
            Self::Sixteen => "sixteen",
            Self::Alone => "alone",
            Self::Bare => "bare",
        }
    }

    /// What the generator speaks.
    pub(super) fn protocol(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Tidekeep | Self::Sixteen | Self::Alone => "numbered",
            Self::Bare => "native",
        }
    }

    fn nodes(self) -> usize {
        match self {
            Self::Etcd | Self::Tidekeep | Self::Sixteen => 3,
            Self::Alone | Self::Bare => 1,
        }
    }

    /// Groups that share the keys of Tidekeep's nodes.
    fn groups(self) -> u32 {
        match self {
            Self::Sixteen => 16,
            Self::Etcd | Self::Tidekeep | Self::Alone | Self::Bare => 1,
        }
    }
}

/// All nodes of one cluster.
pub(super) struct Cluster<'a> {
    plan: &'a Plan<'a>,
    kind: Kind,
    pub(super) nodes: Vec<Node>,
    places: Vec<Place>,
    /// Deleted when the nodes are gone; fields are dropped in the order in which they stand here.
    pub(super) data: TempDir,
    generation: u8,
}

/// One of them. Dropping it ends the process.
pub(super) struct Node {
    /// Starts it again on what it left.
    command: Command,
    child: Child,
    /// `HOST:PORT` for clients.
    pub(super) address: String,
}

/// Where a node listens.
pub(super) struct Place {
    /// Which of all nodes that the cluster ever had.
    pub(super) number: usize,
    /// For clients, and for the other nodes.
    pub(super) client: String,
    pub(super) peer: String,
}

impl<'a> Cluster<'a> {
    /// Starts all nodes and waits until one leads.
    pub(super) fn start(plan: &'a Plan<'a>, kind: Kind) -> Result<Self> {
        let parent = plan.workspace.target().join("bench/data");
        fs::create_dir_all(&parent)?;
        let data = tempfile::Builder::new().prefix("cluster-").tempdir_in(&parent)?;
        let places = (0..kind.nodes()).map(Place::free).collect::<Result<Vec<_>>>()?;
        let mut cluster = Self { plan, kind, nodes: Vec::new(), places, data, generation: 0 };
        for at in 0..kind.nodes() {
            cluster.begin(at, etcd::State::New)?;
        }
        cluster.wait_until_whole()?;
        Ok(cluster)
    }

    /// Loses a node for good: it ends without a warning, and is taken out of the cluster.
    pub(super) fn lose(&mut self, node: usize) -> Result<()> {
        let member =
            (self.kind == Kind::Etcd).then(|| etcd::member(&self.nodes[node])).transpose()?;
        let mut gone = self.nodes.remove(node);
        self.places.remove(node);
        gone.kill()?;
        match member {
            Some(member) => etcd::remove(&self.nodes[0], &member),
            None => tidekeep::remove(self.plan, &self.nodes[0], &gone),
        }
    }

    /// Lets an empty node join; does not wait until it has what it should.
    pub(super) fn grow(&mut self) -> Result<()> {
        let last = self.places.iter().map(|place| place.number).max().unwrap_or_default();
        let place = Place::free(last.max(self.kind.nodes() - 1) + 1)?;
        if self.kind == Kind::Etcd {
            etcd::add(&self.nodes[0], &place)?;
        }
        self.places.push(place);
        self.begin(self.places.len() - 1, etcd::State::Existing)
    }

    /// Starts a node for the first time.
    fn begin(&mut self, at: usize, state: etcd::State) -> Result<()> {
        let (plan, data, place) = (self.plan, self.data.path(), &self.places[at]);
        let threads = process::threads_for_each(self.kind.nodes());
        let (mut command, first) = match self.kind {
            Kind::Etcd => (etcd::command(plan, place, &self.places, data, threads)?, state.words()),
            Kind::Alone => (tidekeep::alone(plan, place, data), Vec::new()),
            Kind::Bare => (tidekeep::bare(plan, place), Vec::new()),
            Kind::Tidekeep | Kind::Sixteen => {
                let words = match self.nodes.first() {
                    None => tidekeep::founding(self.kind.groups()),
                    Some(node) => {
                        wait(|| tidekeep::serves(node))?;
                        tidekeep::joining(plan, node, &self.places[0])?
                    }
                };
                (tidekeep::member(plan, place, data, threads), words)
            }
        };
        let log = data.join(format!("{}.log", place.number));
        let mut begin = Command::new(command.get_program());
        begin.args(command.get_args()).args(first);
        let child = spawn(&mut begin, &log)?;
        let log = File::options().append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.nodes.push(Node { command, child, address: place.client.clone() });
        Ok(())
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Which node leads.
    pub(super) fn leader(&self) -> Result<usize> {
        match self.kind {
            Kind::Etcd => etcd::leader(&self.nodes),
            Kind::Alone | Kind::Bare => tidekeep::serves(&self.nodes[0]).map(|()| 0),
            Kind::Tidekeep | Kind::Sixteen => tidekeep::leader(self.plan, &self.nodes),
        }
    }

    /// Waits until all nodes answer, follow one leader and have what it has.
    pub(super) fn wait_until_whole(&mut self) -> Result<usize> {
        let deadline = Instant::now() + LIMIT;
        loop {
            for node in &mut self.nodes {
                if let Some(status) = node.child.try_wait()? {
                    bail!("a node of {} ended by itself ({status})", self.kind.name());
                }
            }
            match self.leader() {
                Ok(leader) => return Ok(leader),
                Err(why) if Instant::now() > deadline => {
                    let log = fs::read_to_string(self.data.path().join("0.log"));
                    let log = log.unwrap_or_default();
                    let last = log.lines().last().unwrap_or_default();
                    return Err(why.context(format!("{} does not form: {last}", self.kind.name())));
                }
                Err(_) => thread::sleep(POLL),
            }
        }
    }

    /// Hands the leadership from one node to another.
    pub(super) fn transfer(&self, from: usize, to: usize) -> Result<()> {
        match self.kind {
            Kind::Etcd => etcd::transfer(&self.nodes[from], &self.nodes[to]),
            Kind::Tidekeep | Kind::Sixteen => {
                tidekeep::transfer(self.plan, &self.nodes[from], &self.nodes[to])
            }
            Kind::Alone | Kind::Bare => bail!("one node has nobody to hand over to"),
        }
    }

    /// A run of the generator on these nodes, beside them on all cores.
    pub(super) fn target(&mut self, nodes: &[usize]) -> Target {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        Target {
            addresses: nodes.iter().map(|node| self.nodes[*node].address.clone()).collect(),
            pids: self.nodes.iter().map(|node| node.child.id()).collect(),
            ledger: self.data.path().join("bench.ledger"),
            generation: self.generation,
            cores: Cores::All,
        }
    }

    /// The numbers of all nodes.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }

    /// Seconds of CPU time that the nodes took so far.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        let ticks = self.nodes.iter().map(|node| server::cpu_ticks_of(node.child.id()));
        Ok(ticks.sum::<Result<u64>>()? as f64 / 100.0)
    }
}

impl Node {
    /// Ends it without a warning, as a crash would.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Begins it again on what it left; does not wait for it.
    pub(super) fn start_again(&mut self) -> Result<()> {
        let line = process::shown(&self.command);
        self.child = self.command.spawn().with_context(|| format!("cannot start `{line}`"))?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to save in its data.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Place {
    /// Two loopback ports that were free a moment ago.
    fn free(number: usize) -> Result<Self> {
        let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let [client, peer] = listeners.map(|listener| listener.local_addr());
        Ok(Self { number, client: client?.to_string(), peer: peer?.to_string() })
    }
}

/// Starts a node whose output goes into a new file.
fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let (log, line) = (File::create(log)?, process::shown(command));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("cannot start `{line}`"))
}

/// Asks until it is so.
fn wait(mut ask: impl FnMut() -> Result<()>) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while let Err(why) = ask() {
        if Instant::now() > deadline {
            return Err(why);
        }
        thread::sleep(POLL);
    }
    Ok(())
}
