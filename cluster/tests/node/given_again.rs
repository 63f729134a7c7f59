//! A node that founded a group, lost its replica, and is given one again, crashes while that is filled: its log ends
//! where the group was its own alone, and whatever its own copy of the table says, it neither leads the group by that
//! nor helps anybody else to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use tidekeep_cluster::NodeId;
use tidekeep_cluster::node::ClusterStatus;
use tidekeep_log::disk::faulty::FaultyDisk;
use tidekeep_log::{Call, collect};
use tidekeep_protocol::freshness::Freshness;
use tidekeep_protocol::op::{Get, Request};
use tidekeep_protocol::slot::{GroupCount, GroupId};

use crate::cluster::{Cluster, is_at_rest, simulate};
use crate::moving::is_ready;
use crate::serving::{ask, put, value_of};

const GROUP: GroupId = GroupId(0);
const FOUNDER: NodeId = NodeId(1);

/// All entries are kept, so that a replica is filled by them from the first one on.
const ENTRIES_BYTES: usize = 64 << 20;

/// More than one request takes, so that the first one ends where the group is its founder's alone.
const VALUES: usize = 200;
const VALUE_BYTES: usize = 16 << 10;

/// Bytes of entries that get through in a second: a request is on its way for a tenth of that.
const RATE: u32 = 10 << 20;

/// Many times what an election takes.
const CUT: Duration = Duration::from_secs(20);

/// Between two looks at who leads.
const LOOK: Duration = Duration::from_millis(20);

/// A cluster whose founder has written more than one request takes before any other node came.
async fn founded() -> Cluster {
    let cluster = Cluster::founded_keeping(FaultyDisk::new(11), 1, ENTRIES_BYTES).await;
    serve(&cluster, FOUNDER).await;
    let store = cluster.store(FOUNDER);
    for number in 0..VALUES {
        let key = format!("large/{number:03}").into_bytes();
        ask(&store, put(&key, &[b'v'; VALUE_BYTES])).await;
    }
    cluster
}

async fn serve(cluster: &Cluster, node: NodeId) {
    cluster.machine(node).serve(GroupCount::ONE);
    cluster.eventually("the node is ready", || async { is_ready(cluster, node) }).await;
}

fn holders(status: &ClusterStatus) -> BTreeSet<u64> {
    status.groups[0].replicas.iter().map(|replica| replica.node.0).collect()
}

/// Moves the group's replica away from a node.
async fn empty(cluster: &Cluster, node: NodeId) {
    cluster.any().drain(node).await.expect("enough others are left");
    let is_empty =
        |status: &ClusterStatus| is_at_rest(status) && !holders(status).contains(&node.0);
    cluster.until("a node is empty", is_empty).await;
}

/// Has the founder be given the group again in place of another node, and crash when it has the first entries alone.
async fn crash_while_filling(cluster: &Cluster, in_place_of: NodeId) {
    assert!(cluster.node(FOUNDER).member(GROUP).is_none(), "it has forgotten its replica");
    cluster.keep(FOUNDER).await;
    cluster.narrow.slow_entries(RATE);
    cluster.any().drain(in_place_of).await.expect("enough others are left");
    let node = cluster.node(FOUNDER);
    let last = || node.member(GROUP).and_then(|member| member.standing().last);
    let ended = loop {
        match last() {
            Some(last) => break last,
            None => SimRuntime::sleep(Duration::from_millis(1)).await,
        }
    };
    cut(cluster, &[FOUNDER]);
    // What it has taken is on its disk by then.
    SimRuntime::sleep(Duration::from_millis(100)).await;
    assert!(last().expect("it has some") < VALUES as u64, "{ended}: others came later");
    let standing = node.member(GROUP).expect("it is being filled").standing();
    assert_eq!(standing.voters, BTreeSet::from([FOUNDER]), "{standing:?}");
    cluster.machine(FOUNDER).crash().await;
    cluster.narrow.widen_entries();
    cluster.wire.heal();
}

/// Cuts some nodes off from all others, but not from each other.
fn cut(cluster: &Cluster, off: &[NodeId]) {
    let all: Vec<NodeId> = cluster.machines().iter().map(|machine| machine.id).collect();
    for &node in off {
        for &other in all.iter().filter(|other| !off.contains(other)) {
            cluster.wire.cut(node, other);
            cluster.wire.cut(other, node);
        }
    }
}

/// Asks nodes that are cut off for as long as they are: nobody leads the group there, and nothing is answered.
async fn nobody_answers(cluster: &Cluster, off: &[NodeId]) {
    let asked = off.iter().flat_map(|&node| {
        let get = || Call::new(Request::Get(Get { key: b"key" }));
        let calls = [
            Call::new(put(b"key", b"of nobody")),
            Call { freshness: Freshness::Linearizable, ..get() },
            Call { freshness: Freshness::Lease, ..get() },
        ];
        let store = cluster.store(node);
        calls.map(|call| {
            let store = Arc::clone(&store);
            SimRuntime::spawn(async move {
                let answers = collect(&*store, &[call]).await.expect("no disk fails");
                assert!(answers.iter().all(Result::is_err), "{node} answers alone: {answers:?}");
            })
        })
    });
    let asked: Vec<_> = asked.collect();
    for _ in 0..CUT.as_millis() / LOOK.as_millis() {
        for &node in off {
            let member = cluster.node(node).member(GROUP);
            let leads = member.is_some_and(|member| member.standing().leads);
            assert!(!leads, "{node} leads without the others");
        }
        SimRuntime::sleep(LOOK).await;
    }
    cluster.wire.heal();
    for asked in asked {
        asked.await.expect("nothing was answered");
    }
}

/// A write that the group has confirmed meanwhile is there for everybody.
async fn all_have(cluster: &Cluster, nodes: &[NodeId]) {
    cluster.rest().await;
    for &node in nodes {
        let store = cluster.store(node);
        let got = ask(&store, Request::Get(Get { key: b"key" })).await;
        assert_eq!(value_of(&got), Some(&b"confirmed"[..]), "at {node}");
    }
}

/// Whether the newest copy of the table on the founder's disk is of a time when it had a vote.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Old,
    Unknown,
}

fn founder_alone(table: Table) {
    simulate(9_500, async {
        let cluster = founded().await;
        for _ in 0..3 {
            let node = cluster.join().await;
            serve(&cluster, node).await;
        }
        cluster.rest().await;
        if table == Table::Old {
            cluster.machine(FOUNDER).snapshot();
        }
        empty(&cluster, FOUNDER).await;
        crash_while_filling(&cluster, NodeId(2)).await;
        cut(&cluster, &[FOUNDER]);
        cluster.machine(FOUNDER).start().await;
        ask(&cluster.store(NodeId(3)), put(b"key", b"confirmed")).await;
        nobody_answers(&cluster, &[FOUNDER]).await;
        cluster.keep(NodeId(2)).await;
        all_have(&cluster, &[FOUNDER, NodeId(2), NodeId(3), NodeId(4)]).await;
    });
}

#[test]
fn a_founder_that_crashes_while_it_is_filled_does_not_lead_by_an_old_table() {
    founder_alone(Table::Old);
}

#[test]
fn a_founder_that_crashes_while_it_is_filled_does_not_lead_without_a_table() {
    founder_alone(Table::Unknown);
}

/// Node 3 was away while it lost its vote, and still knows the group as that of nodes 1, 2 and 3.
#[test]
fn a_replica_that_is_yet_to_be_filled_votes_for_nobody() {
    simulate(9_501, async {
        let (stale, off) = (NodeId(3), [FOUNDER, NodeId(3)]);
        let cluster = founded().await;
        for _ in 0..2 {
            let node = cluster.join().await;
            serve(&cluster, node).await;
        }
        cluster.rest().await;
        cluster.machine(stale).crash().await;
        for _ in 0..2 {
            let node = cluster.join().await;
            serve(&cluster, node).await;
        }
        let is_replaced =
            |status: &ClusterStatus| is_at_rest(status) && !holders(status).contains(&stale.0);
        cluster.until("a node that is down is replaced", is_replaced).await;
        empty(&cluster, FOUNDER).await;
        crash_while_filling(&cluster, NodeId(2)).await;
        cut(&cluster, &off);
        cluster.machine(FOUNDER).start().await;
        cluster.machine(stale).start().await;
        ask(&cluster.store(NodeId(4)), put(b"key", b"confirmed")).await;
        nobody_answers(&cluster, &off).await;
        cluster.keep(NodeId(2)).await;
        all_have(&cluster, &[FOUNDER, NodeId(2), stale, NodeId(4), NodeId(5)]).await;
    });
}
