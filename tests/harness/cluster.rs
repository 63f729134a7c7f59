//! Several real servers that keep one store: formed as an operator forms them, each on a directory and
//! on ports that outlive its process, so that it can be killed, stopped and started again by its number.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::server::with_slow_syncs;
use crate::standing::Standing;
use crate::{Network, ServerProcess, WallClock, eventually, port, tidekeep};

/// How long forming, or coming to rest after a fault, may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// The ports of nodes that have networks of their own.
const CLIENT_PORT: u16 = 8_081;
const PEER_PORT: u16 = 9_081;

/// How a cluster is formed.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// Nodes, the first of which founds it.
    pub nodes: usize,
    /// Groups that share the keys.
    pub groups: usize,
    /// More flags of every server.
    pub arguments: &'a [&'a str],
    /// Where the nodes' data is; without that all of it is in one temporary folder.
    pub folders: &'a [PathBuf],
    /// What the nodes take for the machine's clock; without that it is the machine's.
    pub clocks: &'a [WallClock],
}

impl Default for Shape<'_> {
    fn default() -> Self {
        Self { nodes: 3, groups: 1, arguments: &[], folders: &[], clocks: &[] }
    }
}

/// The cluster. Dropping it kills the processes.
pub struct Cluster {
    members: Vec<Member>,
    arguments: Vec<String>,
    _folder: tempfile::TempDir,
    network: Option<Network>,
}

/// A node, whether it runs or not.
struct Member {
    data: PathBuf,
    /// `HOST:PORT` for clients, and for the other nodes.
    client: String,
    peer: String,
    clock: Option<WallClock>,
    process: Option<ServerProcess>,
    /// Whether it was sent `STOP`.
    stopped: bool,
}

impl Cluster {
    /// Forms a cluster on loopback and waits until all replicas are where they belong.
    pub fn form(shape: Shape<'_>) -> Self {
        Self::form_on(None, shape)
    }

    /// The same with a network of its own for each node.
    pub fn form_on(network: Option<Network>, shape: Shape<'_>) -> Self {
        let mut this = Self::of(network, shape);
        this.run(0, &["cluster", "init", "--groups", &shape.groups.to_string()]);
        this.join_all();
        this
    }

    /// A server by itself, which [`Cluster::found`] makes the first of several.
    pub fn alone() -> Self {
        let mut this = Self::of(None, Shape::default());
        let member = &this.members[0];
        let server = ServerProcess::command(&member.data, &member.client, &[]);
        this.members[0].process = Some(ServerProcess::spawn(server));
        this
    }

    /// Restarts the server that is alone as the founder of a cluster, which the others then join.
    pub fn found(&mut self) {
        self.terminate(0);
        self.run(0, &["cluster", "init"]);
        self.join_all();
    }

    fn of(network: Option<Network>, shape: Shape<'_>) -> Self {
        let folder = tempfile::tempdir().expect("there is room for data");
        let member = |number: usize| {
            let (client, peer) = match &network {
                Some(network) => {
                    let host = network.address(number);
                    (format!("{host}:{CLIENT_PORT}"), format!("{host}:{PEER_PORT}"))
                }
                None => {
                    (format!("127.0.0.1:{}", port::kept()), format!("127.0.0.1:{}", port::kept()))
                }
            };
            let own = || folder.path().join(number.to_string());
            let data = shape.folders.get(number).cloned().unwrap_or_else(own);
            let clock = shape.clocks.get(number).cloned();
            Member { data, client, peer, clock, process: None, stopped: false }
        };
        let members = (0..shape.nodes).map(member).collect();
        let arguments = shape.arguments.iter().map(|word| (*word).to_owned()).collect();
        Self { members, arguments, _folder: folder, network }
    }

    fn join_all(&mut self) {
        for number in 1..self.nodes() {
            self.join(number);
        }
        self.wait_until_whole();
    }

    /// Lets an empty node join by a token that was made for it.
    fn join(&mut self, number: usize) {
        let run = tidekeep(self.address(0), &["cluster", "token"], b"");
        assert_eq!(run.code, 0, "no token: {}", run.stderr);
        let (token, first) = (run.text().trim().to_owned(), self.members[0].peer.clone());
        self.run(number, &["cluster", "join", &first, "--token", &token]);
    }

    fn run(&mut self, number: usize, action: &[&str]) {
        let process = ServerProcess::spawn(self.command(number, action));
        self.members[number].process = Some(process);
    }

    fn command(&self, number: usize, action: &[&str]) -> Command {
        let member = &self.members[number];
        let mut words: Vec<&str> = vec!["--node-listen", &member.peer];
        words.extend(self.arguments.iter().map(String::as_str));
        words.extend(action);
        let mut command = ServerProcess::command(&member.data, &member.client, &words);
        if let Some(network) = &self.network {
            let mut there = network.command(number, command.get_program());
            there.args(command.get_args());
            command = there;
        }
        if let Some(clock) = &member.clock {
            clock.give(&mut command);
        }
        command
    }

    /// How many nodes there are, running or not.
    pub fn nodes(&self) -> usize {
        self.members.len()
    }

    /// Where clients find a node, `HOST:PORT`, whether it runs or not.
    pub fn address(&self, number: usize) -> &str {
        &self.members[number].client
    }

    /// The ways between the nodes, if they have networks of their own.
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("this cluster was formed on a network of its own")
    }

    /// Whether a node runs and is not stopped.
    pub fn runs(&self, number: usize) -> bool {
        let member = &self.members[number];
        member.process.is_some() && !member.stopped
    }

    /// What a node that runs says of the cluster; none while it cannot say.
    pub fn standing(&self, through: usize) -> Option<Standing> {
        let words = ["cluster", "status", "--output", "json", "--timeout", "2s"];
        let run = tidekeep(self.address(through), &words, b"");
        (run.code == 0).then(|| Standing::read(run.text())).flatten()
    }

    /// Which node leads the first group, as soon as one that runs does.
    pub fn leader(&self) -> usize {
        eventually("a leader", LIMIT, || self.leader_now())
    }

    fn leader_now(&self) -> Option<usize> {
        let mut running = (0..self.nodes()).filter(|number| self.runs(*number));
        // One that is cut off, or whose disk is full, may know of none.
        let address = running.find_map(|number| self.standing(number)?.leader)?;
        let leader = self.members.iter().position(|member| member.client == address)?;
        self.runs(leader).then_some(leader)
    }

    /// Waits until every group is led where it should be, and no node leads two groups more than another.
    pub fn wait_until_led_evenly(&self) {
        eventually("groups led by all nodes alike", LIMIT, || {
            let standing = self.standing(0)?;
            let led = standing.led_as_preferred()?;
            let by = |member: &Member| led.iter().filter(|it| **it == member.client).count();
            let (most, least) =
                (self.members.iter().map(by).max()?, self.members.iter().map(by).min()?);
            (most <= least + 1).then_some(())
        });
    }

    /// Waits until every node runs and holds what it should, and every group has a leader.
    pub fn wait_until_whole(&self) {
        let whole = || self.standing(0)?.is_whole(self.nodes()).then_some(());
        eventually("a cluster that is whole", LIMIT, whole);
    }

    /// `kill -9`.
    pub fn kill(&mut self, number: usize) {
        self.members[number].stopped = false;
        self.members[number].process.take().into_iter().for_each(ServerProcess::kill);
    }

    /// Asks a node to end as an operator does, and waits for it.
    pub fn terminate(&mut self, number: usize) -> Option<ExitStatus> {
        self.members[number].process.take().map(ServerProcess::terminate)
    }

    /// Starts a node again on what it left, as the member that it is. It may serve only once others do.
    pub fn start(&mut self, number: usize) {
        let process = ServerProcess::begin(self.command(number, &[]), self.address(number));
        self.members[number].process = Some(process);
    }

    /// The same on a disk of which each sync takes this much longer.
    pub fn start_with_slow_syncs(&mut self, number: usize, delay: Duration) {
        let server = with_slow_syncs(&self.command(number, &[]), delay);
        let process = ServerProcess::begin(server, self.address(number));
        self.members[number].process = Some(process);
    }

    /// The process stands still.
    pub fn stop(&mut self, number: usize) {
        self.signal(number, "STOP");
        self.members[number].stopped = true;
    }

    /// It goes on as if nothing had been.
    pub fn go_on(&mut self, number: usize) {
        self.signal(number, "CONT");
        self.members[number].stopped = false;
    }

    fn signal(&self, number: usize, name: &str) {
        self.members[number].process.iter().for_each(|process| process.signal(name));
    }
}
