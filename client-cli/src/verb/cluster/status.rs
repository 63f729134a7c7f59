//! `cluster status`: the nodes, the groups and what is under way, so that whoever looks sees at once
//! whether all is well.

use std::time::Duration;

use clap::Args;
use tidekeep_protocol::op::cluster_status::{
    ClusterStatus, GroupStatus, NodeState, NodeStatus, ReplicaStatus, StepChange,
};
use tidekeep_protocol::op::{Cluster, ClusterReply};

use super::{ask, unlike};
use crate::columns::{self, Cell};
use crate::escape::escape;
use crate::failure::Failure;
use crate::output::{Format, Out};
use crate::session::Session;

const EXAMPLES: &str = "\
The first line says whether all is well. Below it:
  heard     how long ago the coordinator had an answer of the node
  leads     groups in which the node orders the writes
  replicas  of a group, by node: how many entries each is behind the leader, if any

Examples:
  tidekeep cluster status
  watch tidekeep cluster status
  tidekeep cluster status -o json | jq '.nodes[] | select(.up | not)'   who is down";

/// Show nodes, groups and what is under way
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {}

/// Runs the verb.
pub(super) async fn run(_: StatusArgs, session: &mut Session) -> Result<(), Failure> {
    let reply = ask(session, Cluster::Status).await?;
    let ClusterReply::Status(status) = reply.decode()? else { return Err(unlike()) };
    let out = session.out();
    match out.format() {
        Format::Json => out.json(&status),
        Format::Text | Format::Raw => print(out, &status),
    }
}

fn print(out: &mut Out, status: &ClusterStatus<'_>) -> Result<(), Failure> {
    let amiss = amiss(status);
    let health = match amiss.is_empty() {
        true => Cell::well("healthy"),
        false => Cell::amiss(amiss.join("; ")),
    };
    let (name, coordinator) = (escape(status.cluster.as_bytes()), status.coordinator);
    let row = |name: &str, value: Cell| vec![Cell::heading(name), value];
    columns::print(
        out,
        &[
            row("health", health),
            row("cluster", Cell::plain(name)),
            row("coordinator", Cell::plain(format_args!("node {coordinator}"))),
            row("replicas", Cell::plain(replicas(status))),
        ],
    )?;
    out.line("")?;
    columns::print(out, &nodes(status))?;
    out.line("")?;
    columns::print(out, &groups(status))?;
    under_way(out, status)
}

/// What somebody should look at.
fn amiss(status: &ClusterStatus<'_>) -> Vec<String> {
    let mut amiss = Vec::new();
    let present = present(status);
    let down = present.clone().filter(|node| !node.up).count();
    if down > 0 {
        amiss.push(format!("{down} of {} nodes down", present.count()));
    }
    let groups = || std::iter::once(&status.meta).chain(&status.groups);
    let without = groups().filter(|group| group.leader.is_none()).count();
    if without > 0 {
        amiss.push(format!("{} without a leader", count(without, "group")));
    }
    let whole = usize::from(status.replicas);
    let short = status.groups.iter().filter(|group| group.leader.is_some());
    let short = short.filter(|group| answering(group) < whole).count();
    if short > 0 {
        amiss.push(format!("{} short of replicas", count(short, "group")));
    }
    let stopped = groups().flat_map(|group| &group.replicas).filter(|it| it.stopped.is_some());
    let stopped = stopped.count();
    if stopped > 0 {
        amiss.push(format!("{} stopped", count(stopped, "replica")));
    }
    amiss
}

fn present<'s>(status: &'s ClusterStatus<'_>) -> impl Iterator<Item = &'s NodeStatus<'s>> + Clone {
    status.nodes.iter().filter(|node| node.state != NodeState::Removed)
}

/// Replicas that vote and answer.
fn answering(group: &GroupStatus<'_>) -> usize {
    group.replicas.iter().filter(|it| it.votes && it.lag.is_some()).count()
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn replicas(status: &ClusterStatus<'_>) -> String {
    let ClusterStatus { replicas, replicas_wanted, .. } = status;
    match replicas == replicas_wanted {
        true => format!("{replicas} of each group"),
        false => format!("{replicas} of each group, {replicas_wanted} as soon as nodes are enough"),
    }
}

fn nodes(status: &ClusterStatus<'_>) -> Vec<Vec<Cell>> {
    let names = [
        "node", "state", "up", "clients", "nodes", "zone", "weight", "replicas", "leads", "heard",
        "version",
    ];
    let mut rows = vec![names.map(Cell::heading).to_vec()];
    rows.extend(present(status).map(|node| {
        let heard = node.heard_ms_ago.map_or_else(|| "never".to_owned(), ago);
        vec![
            Cell::plain(node.node),
            Cell::plain(state(node.state)),
            if node.up { Cell::well("up") } else { Cell::amiss("down") },
            Cell::plain(escape(node.client.as_bytes())),
            Cell::plain(escape(node.peer.as_bytes())),
            Cell::plain(escape(node.zone.as_bytes())),
            Cell::plain(node.weight),
            Cell::plain(node.replicas),
            Cell::plain(node.leads),
            Cell::plain(heard),
            Cell::plain(escape(node.version.as_bytes())),
        ]
    }));
    rows
}

fn state(state: NodeState) -> &'static str {
    match state {
        NodeState::Joining => "joining",
        NodeState::Active => "active",
        NodeState::Draining => "draining",
        NodeState::Removed => "removed",
    }
}

/// A time that has passed, in whole seconds: nodes are asked once a second.
fn ago(ms: u64) -> String {
    match ms / 1000 {
        0 => "now".to_owned(),
        seconds => format!("{} ago", humantime::format_duration(Duration::from_secs(seconds))),
    }
}

fn groups(status: &ClusterStatus<'_>) -> Vec<Vec<Cell>> {
    let names = ["group", "leader", "term", "keys", "replicas"];
    let mut rows = vec![names.map(Cell::heading).to_vec()];
    rows.extend(std::iter::once(&status.meta).chain(&status.groups).map(|group| {
        let leader = match (group.leader, group.preferred) {
            (None, _) => Cell::amiss("nobody"),
            (Some(leader), Some(other)) if leader != other => {
                Cell::plain(format_args!("{leader}, to be {other}"))
            }
            (Some(leader), _) => Cell::plain(leader),
        };
        let replicas: Vec<String> = group.replicas.iter().map(replica).collect();
        vec![
            group.group.map_or_else(|| Cell::plain("meta"), Cell::plain),
            leader,
            Cell::plain(group.term),
            Cell::plain(group.keys),
            Cell::plain(replicas.join("  ")),
        ]
    }));
    rows
}

/// A replica by its node, and what is to be known of it.
fn replica(replica: &ReplicaStatus<'_>) -> String {
    let mut notes = Vec::new();
    if let Some(why) = replica.stopped {
        notes.push(format!("stopped: {}", escape(why.as_bytes())));
    }
    if !replica.votes {
        notes.push("no vote yet".to_owned());
    }
    match replica.lag {
        Some(0) => {}
        Some(lag) => notes.push(format!("{lag} behind")),
        None => notes.push("no answer".to_owned()),
    }
    match notes.is_empty() {
        true => replica.node.to_string(),
        false => format!("{} ({})", replica.node, notes.join(", ")),
    }
}

fn under_way(out: &mut Out, status: &ClusterStatus<'_>) -> Result<(), Failure> {
    if status.under_way.is_empty() && status.waits_for.is_none() {
        return Ok(());
    }
    out.line("")?;
    for step in &status.under_way {
        let (group, node) = (step.group, step.node);
        out.line(match step.change {
            StepChange::AddLearner => format!("group {group}: a replica begins on node {node}"),
            StepChange::Promote => format!("group {group}: node {node} gets a vote"),
            StepChange::TransferLeader => format!("group {group}: node {node} is to lead"),
            StepChange::RemoveReplica => format!("group {group}: node {node} gives it up"),
        })?;
    }
    match status.waits_for {
        Some(why) => out.line(format_args!("waits: {}", escape(why.as_bytes()))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(
        group: Option<u16>,
        leader: Option<u64>,
        lags: &[Option<u64>],
    ) -> GroupStatus<'static> {
        let replica = |(node, &lag)| ReplicaStatus { node, votes: true, lag, stopped: None };
        let replicas = (1..).zip(lags).map(replica).collect();
        let preferred = group.and(Some(1));
        GroupStatus { group, leader, preferred, term: 4, applied: Some(9), keys: 2, replicas }
    }

    fn node(node: u64, state: NodeState, up: bool) -> NodeStatus<'static> {
        NodeStatus {
            node,
            state,
            since_ms: 0,
            up,
            heard_ms_ago: up.then_some(400),
            client: "h:1",
            peer: "h:2",
            zone: "z",
            weight: 100,
            version: "0.1.0",
            replicas: 1,
            leads: 0,
        }
    }

    fn cluster(
        groups: Vec<GroupStatus<'static>>,
        last: NodeStatus<'static>,
    ) -> ClusterStatus<'static> {
        ClusterStatus {
            cluster: "0f",
            coordinator: 1,
            replicas: 3,
            replicas_wanted: 3,
            epoch: 1,
            nodes: vec![node(1, NodeState::Active, true), node(2, NodeState::Active, true), last],
            meta: group(None, Some(1), &[Some(0); 3]),
            groups,
            under_way: Vec::new(),
            waits_for: None,
        }
    }

    #[test]
    fn what_is_amiss_is_counted_and_what_was_removed_is_not() {
        let well = group(Some(0), Some(1), &[Some(0), Some(3), Some(0)]);
        let status = cluster(vec![well.clone()], node(3, NodeState::Draining, true));
        assert!(amiss(&status).is_empty());
        let short = group(Some(1), Some(1), &[Some(0), Some(0), None]);
        let unled = group(Some(2), None, &[None; 3]);
        let status = cluster(vec![well.clone(), short, unled], node(3, NodeState::Active, false));
        let all = ["1 of 3 nodes down", "1 group without a leader", "1 group short of replicas"];
        assert_eq!(amiss(&status), all);
        let status = cluster(vec![well], node(3, NodeState::Removed, false));
        assert!(amiss(&status).is_empty());
        assert_eq!(nodes(&status).len(), 3, "the heading and two nodes");
    }

    #[test]
    fn a_replica_says_only_what_is_to_be_known() {
        let one = ReplicaStatus { node: 2, votes: true, lag: Some(0), stopped: None };
        assert_eq!(replica(&one), "2");
        let filling = ReplicaStatus { votes: false, lag: Some(40), ..one.clone() };
        assert_eq!(replica(&filling), "2 (no vote yet, 40 behind)");
        assert_eq!(replica(&ReplicaStatus { lag: None, ..one.clone() }), "2 (no answer)");
        let stopped = ReplicaStatus { stopped: Some("no\nroom"), ..one };
        assert_eq!(replica(&stopped), "2 (stopped: no\\nroom)");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(ago(400), "now");
        assert_eq!(ago(6_040), "6s ago");
        assert_eq!(ago(75_400), "1m 15s ago");
    }
}
