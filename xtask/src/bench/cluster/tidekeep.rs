//! Tidekeep's nodes: how they are started, by their defaults (every write synced), formed into a cluster
//! as an operator does it, and what `tidekeep cluster status` says.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bench::cluster::nodes::{Node, Place};
use crate::bench::plan::Plan;
use crate::bench::server::Cores;

/// Entries that a replica may be behind under load.
const LAG: u64 = 1_000;

/// Starts a server by itself.
pub(super) fn alone(plan: &Plan<'_>, place: &Place, data: &Path) -> Command {
    let mut command = plan.command(Cores::All, &plan.program("tidekeep-server"));
    command.args(["--listen", &place.client, "--data"]).arg(data.join("alone"));
    command
}

/// Starts the bare store.
pub(super) fn bare(plan: &Plan<'_>, place: &Place) -> Command {
    let mut command = plan.command(Cores::All, &plan.program("tidekeep-bare"));
    command.arg(&place.client);
    command
}

/// Starts a node again as the member that it is, with as many threads.
pub(super) fn member(plan: &Plan<'_>, place: &Place, data: &Path, threads: usize) -> Command {
    let mut command = plan.command(Cores::All, &plan.program("tidekeep-server"));
    command.args(["--listen", &place.client, "--node-listen", &place.peer]);
    command.args(["--threads", &threads.to_string()]);
    command.arg("--data").arg(data.join(format!("node-{}", place.number)));
    command
}

/// Words behind the command of the first node, which founds the cluster.
pub(super) fn founding(groups: u32) -> Vec<String> {
    ["cluster", "init", "--groups", &groups.to_string()].map(str::to_owned).to_vec()
}

/// Words behind that of each other one, which joins by a new token.
pub(super) fn joining(plan: &Plan<'_>, first: &Node, at: &Place) -> Result<Vec<String>> {
    let token = ask(plan, first, &["cluster", "token"])?;
    Ok(["cluster", "join", &at.peer, "--token", token.trim()].map(str::to_owned).to_vec())
}

/// It listens once it can answer.
pub(super) fn serves(node: &Node) -> Result<()> {
    TcpStream::connect(&node.address)?;
    Ok(())
}

/// Which node leads the first group, once every group has a leader and its voters have nearly all that it
/// has.
pub(super) fn leader(plan: &Plan<'_>, nodes: &[Node]) -> Result<usize> {
    let json = ask(plan, &nodes[0], &["cluster", "status", "--output", "json"])?;
    let status: Value = serde_json::from_str(&json).context("the cluster's status is no JSON")?;
    let groups = status["groups"].as_array().context("the cluster has no groups")?;
    let voters = |group: &Value| {
        let replicas = group["replicas"].as_array().map_or(&[][..], Vec::as_slice).iter();
        let near = |it: &&Value| it["lag"].as_u64().is_some_and(|lag| lag <= LAG);
        replicas.filter(|it| it["votes"] == true).filter(near).count()
    };
    let whole = |group: &Value| !group["leader"].is_null() && voters(group) == nodes.len();
    if groups.is_empty() || !groups.iter().all(whole) {
        bail!("not all replicas are there yet");
    }
    let known = status["nodes"].as_array().context("the cluster has no nodes")?;
    let leads = |node: &&Value| node["node"] == groups[0]["leader"];
    let address = known.iter().find(leads).and_then(|node| node["client"].as_str());
    let leader = nodes.iter().position(|node| Some(node.address.as_str()) == address);
    let leader = leader.context("nobody leads")?;
    // What the status says may be a second old.
    if led(&metrics(&nodes[leader])?) == 0 {
        bail!("another node leads by now");
    }
    Ok(leader)
}

/// How many groups a node leads, by what it says of itself.
fn led(metrics: &str) -> u64 {
    let value = metrics.lines().find_map(|it| it.strip_prefix("tidekeep_store_cluster_leads "));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// What a node says of itself.
fn metrics(node: &Node) -> Result<String> {
    let mut stream = TcpStream::connect(&node.address)?;
    let host = &node.address;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Hands the first group over to the node that listens there.
pub(super) fn transfer(plan: &Plan<'_>, through: &Node, to: &Node) -> Result<()> {
    let number = number(plan, through, to)?;
    ask(plan, through, &["cluster", "transfer", "0", &number]).map(drop)
}

/// Takes a node out that will not come back.
pub(super) fn remove(plan: &Plan<'_>, through: &Node, gone: &Node) -> Result<()> {
    let number = number(plan, through, gone)?;
    ask(plan, through, &["cluster", "remove", &number, "--force"]).map(drop)
}

/// The number that a node has in its cluster.
fn number(plan: &Plan<'_>, through: &Node, node: &Node) -> Result<String> {
    let json = ask(plan, through, &["cluster", "status", "--output", "json"])?;
    let status: Value = serde_json::from_str(&json).context("the cluster's status is no JSON")?;
    let known = status["nodes"].as_array().context("the cluster has no nodes")?;
    let known = known.iter().find(|known| known["client"] == *node.address);
    let number = known.and_then(|known| known["node"].as_u64()).context("that is no node")?;
    Ok(number.to_string())
}

/// Runs `tidekeep` at a node; what it printed.
fn ask(plan: &Plan<'_>, node: &Node, words: &[&str]) -> Result<String> {
    let mut command = Command::new(plan.program("tidekeep"));
    command.env("TIDEKEEP_SERVER", &node.address).args(words);
    let output = command.output().context("cannot start tidekeep")?;
    if !output.status.success() {
        bail!("`tidekeep {}`: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
