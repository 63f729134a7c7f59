//! etcd's nodes: how they are started (its defaults: every write synced), and what its JSON gateway says.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::bench::cluster::nodes::{Node, Place};
use crate::bench::plan::Plan;
use crate::bench::server::Cores;
use crate::setup;

/// So many entries are applied between two questions.
const ALIKE: u64 = 1_000;
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Starts the node that listens there, with so many threads that run at once.
pub(super) fn command(
    plan: &Plan<'_>,
    place: &Place,
    places: &[Place],
    data: &Path,
    threads: usize,
) -> Result<Command> {
    let name = name(place);
    let [client, peer] = [&place.client, &place.peer].map(|address| format!("http://{address}"));
    let members = places.iter().map(|it| format!("{}=http://{}", self::name(it), it.peer));
    let members: Vec<String> = members.collect();
    let mut command = plan.command(Cores::All, Path::new("env"));
    command.arg(format!("GOMAXPROCS={threads}")).arg(setup::etcd(plan.workspace)?);
    command.args(["--name", &name, "--data-dir"]).arg(data.join(&name));
    for (flag, value) in [
        ("--listen-client-urls", &client),
        ("--advertise-client-urls", &client),
        ("--listen-peer-urls", &peer),
        ("--initial-advertise-peer-urls", &peer),
        ("--initial-cluster", &members.join(",")),
    ] {
        command.args([flag, value]);
    }
    Ok(command)
}

/// Whether a node founds a cluster with the others, or joins one.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    New,
    Existing,
}

impl State {
    /// What a node's first start is told beside the rest.
    pub(super) fn words(self) -> Vec<String> {
        let state = match self {
            Self::New => "new",
            Self::Existing => "existing",
        };
        vec!["--initial-cluster-state".to_owned(), state.to_owned()]
    }
}

/// Makes room for a node that will listen there.
pub(super) fn add(through: &Node, place: &Place) -> Result<()> {
    let peers = json!({ "peerURLs": [format!("http://{}", place.peer)] });
    call(through, "/v3/cluster/member/add", &peers).map(drop)
}

/// Takes a member out.
pub(super) fn remove(through: &Node, member: &str) -> Result<()> {
    call(through, "/v3/cluster/member/remove", &json!({ "ID": member })).map(drop)
}

/// Which member a node is, as it says itself.
pub(super) fn member(node: &Node) -> Result<String> {
    Standing::of(node).map(|standing| standing.member)
}

fn name(place: &Place) -> String {
    format!("etcd-{}", place.number)
}

/// Which node leads, once all agree on it and have applied what it has, or nearly so under load.
pub(super) fn leader(nodes: &[Node]) -> Result<usize> {
    let standings = nodes.iter().map(Standing::of).collect::<Result<Vec<_>>>()?;
    let first = &standings[0];
    let alike =
        |it: &Standing| it.leader == first.leader && it.applied.abs_diff(first.applied) <= ALIKE;
    if !standings.iter().all(alike) {
        bail!("the nodes of etcd do not agree yet: {standings:?}");
    }
    let leads = |standing: &Standing| standing.member == first.leader;
    standings.iter().position(leads).context("no node of etcd leads")
}

/// Hands the leadership over.
pub(super) fn transfer(from: &Node, to: &Node) -> Result<()> {
    let target = Standing::of(to)?.member;
    call(from, "/v3/maintenance/transfer-leadership", &json!({ "targetID": target })).map(drop)
}

/// What a node says of itself.
#[derive(Debug)]
struct Standing {
    member: String,
    leader: String,
    applied: u64,
}

impl Standing {
    fn of(node: &Node) -> Result<Self> {
        let status = call(node, "/v3/maintenance/status", &json!({}))?;
        let member = status["header"]["member_id"].as_str().context("etcd does not name itself")?;
        // A number that is 0 is left away.
        let number = |name: &str| status[name].as_str().unwrap_or("0");
        let applied = number("raftAppliedIndex").parse()?;
        Ok(Self { member: member.to_owned(), leader: number("leader").to_owned(), applied })
    }
}

/// Posts to the gateway, which closes the connection behind its answer.
fn call(node: &Node, path: &str, body: &Value) -> Result<Value> {
    let mut stream = TcpStream::connect(&node.address)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let (host, body) = (&node.address, body.to_string());
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("etcd cut its answer off")?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("etcd refused {path}: {}", body.trim());
    }
    serde_json::from_str(body).with_context(|| format!("etcd's answer to {path} is no JSON"))
}
