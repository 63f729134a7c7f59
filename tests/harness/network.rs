//! A network of its own for each node, as network namespaces on one bridge: ways between two nodes can be
//! cut in one direction, and a node can be given a slow and lossy line. Needs root, and a kernel that lets
//! it; where it may not be laid, tests say so and are skipped.
//!
//! ```text
//! node 0 ── veth ─┐
//! node 1 ── veth ─┼─ bridge ── veth ── this process
//! node 2 ── veth ─┘
//! ```

use std::ffi::OsStr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Begins the names of all namespaces.
const PREFIX: &str = "tide";
/// The rules that cut ways live in this table of each node.
const TABLE: [&str; 2] = ["inet", "tide"];
/// A line that an old modem would be ashamed of, and that still carries heartbeats.
const SLOW: [&str; 7] = ["tbf", "rate", "1mbit", "burst", "16kb", "latency", "400ms"];
/// Of a hundred packets that come by a slow line, those that are lost.
const LOST: &str = "3";

/// The network, gone when it is dropped.
pub struct Network {
    /// What its namespaces are called before their own part.
    name: String,
    /// The first three numbers of its addresses.
    subnet: String,
    nodes: usize,
}

impl Network {
    /// Lays ways between so many nodes and this process, or says why this machine does not let it.
    pub fn lay(nodes: usize) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        clear_up();
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // Private addresses that few use; two processes differ in their numbers.
        let mixed = pid.wrapping_mul(8).wrapping_add(count);
        let subnet = format!("10.{}.{}", 192 + (mixed >> 8) % 64, mixed % 256);
        let this = Self { name: format!("{PREFIX}-{pid}-{count}"), subnet, nodes };
        this.lay_hub()?;
        (0..nodes).try_for_each(|node| this.lay_node(node))?;
        Ok(this)
    }

    /// The address of a node.
    pub fn address(&self, node: usize) -> String {
        format!("{}.{}", self.subnet, node + 1)
    }

    /// A program, to be run as if on this node.
    pub fn command(&self, node: usize, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(node)]).arg(program);
        command
    }

    /// From now on nothing that `from` sends gets to `to`; the other direction is as it was.
    pub fn cut(&self, from: usize, to: usize) {
        self.rule(to, &["ip", "saddr", &self.address(from), "drop"]);
    }

    /// Cuts both directions.
    pub fn part(&self, one: usize, other: usize) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Makes the line of a node slow and lossy.
    pub fn slow(&self, node: usize) {
        let device = ["qdisc", "replace", "dev", "eth0", "root"];
        self.on(node, &[&["tc"], &device[..], &SLOW].concat()).expect("a line can be made slow");
        self.rule(node, &["numgen", "random", "mod", "100", "<", LOST, "drop"]);
    }

    /// All ways are there again, and as quick as at first.
    pub fn mend(&self) {
        for node in 0..self.nodes {
            self.on(node, &[&["nft", "flush", "table"], &TABLE[..]].concat()).expect("rules go");
            // There may be none.
            let _ = self.on(node, &["tc", "qdisc", "del", "dev", "eth0", "root"]);
        }
    }

    fn rule(&self, node: usize, rule: &[&str]) {
        let add = [&["nft", "add", "rule"], &TABLE[..], &["input"]].concat();
        self.on(node, &[&add, rule].concat()).expect("a way can be cut");
    }

    fn lay_hub(&self) -> Result<(), String> {
        let (hub, host) = (self.hub(), self.host_end());
        run(&["ip", "netns", "add", &hub])?;
        run(&["ip", "-n", &hub, "link", "add", "hub", "type", "bridge"])?;
        run(&["ip", "-n", &hub, "link", "set", "hub", "up"])?;
        let peer = ["type", "veth", "peer", "name", "host", "netns", &hub];
        run(&[&["ip", "link", "add", &host], &peer[..]].concat())?;
        run(&["ip", "-n", &hub, "link", "set", "host", "master", "hub", "up"])?;
        run(&["ip", "address", "add", &format!("{}.254/24", self.subnet), "dev", &host])?;
        run(&["ip", "link", "set", &host, "up"])
    }

    fn lay_node(&self, node: usize) -> Result<(), String> {
        let (hub, own) = (self.hub(), self.namespace(node));
        let end = format!("node{node}");
        run(&["ip", "netns", "add", &own])?;
        let peer = ["type", "veth", "peer", "name", &end, "netns", &hub];
        run(&[&["ip", "-n", &own, "link", "add", "eth0"], &peer[..]].concat())?;
        run(&["ip", "-n", &hub, "link", "set", &end, "master", "hub", "up"])?;
        let address = format!("{}/24", self.address(node));
        run(&["ip", "-n", &own, "address", "add", &address, "dev", "eth0"])?;
        run(&["ip", "-n", &own, "link", "set", "eth0", "up"])?;
        run(&["ip", "-n", &own, "link", "set", "lo", "up"])?;
        self.on(node, &[&["nft", "add", "table"], &TABLE[..]].concat())?;
        let chain = ["input", "{ type filter hook input priority 0; }"];
        self.on(node, &[&["nft", "add", "chain"], &TABLE[..], &chain].concat())
    }

    fn on(&self, node: usize, words: &[&str]) -> Result<(), String> {
        run(&[&["ip", "netns", "exec", &self.namespace(node)], words].concat())
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn namespace(&self, node: usize) -> String {
        format!("{}-{node}", self.name)
    }

    /// Names of devices are short.
    fn host_end(&self) -> String {
        format!("t{}", self.subnet.replace('.', ""))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in 0..self.nodes {
            let _ = run(&["ip", "netns", "del", &self.namespace(node)]);
        }
        // The host's end goes with its other one, a little later than this returns.
        let _ = run(&["ip", "link", "del", &self.host_end()]);
        let _ = run(&["ip", "netns", "del", &self.hub()]);
    }
}

/// Takes away what processes have left that were killed.
fn clear_up() {
    let listed = Command::new("ip").args(["netns", "list"]).output();
    let listed = listed.map(|output| output.stdout).unwrap_or_default();
    for name in String::from_utf8_lossy(&listed).lines().filter_map(|it| it.split(' ').next()) {
        let mut parts = name.split('-');
        let ours = parts.next() == Some(PREFIX);
        let pid = parts.next().and_then(|pid| pid.parse::<u32>().ok());
        let gone = |pid: u32| !std::path::Path::new("/proc").join(pid.to_string()).exists();
        if ours && pid.is_some_and(gone) {
            let _ = run(&["ip", "netns", "del", name]);
        }
    }
}

fn run(words: &[&str]) -> Result<(), String> {
    let line = words.join(" ");
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.map_err(|error| format!("`{line}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`{line}`: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
