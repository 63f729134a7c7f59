//! Connections that send one call after the other without waiting for answers, at nodes that replicas come to and
//! leave: each sees its calls take effect in the order in which it sent them.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::{join, join_all};
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use tidekeep_cluster::NodeId;
use tidekeep_cluster::node::ClusterStatus;
use tidekeep_log::disk::faulty::FaultyDisk;
use tidekeep_log::{Call, Reply, collect};
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::op::{Get, Increment, Request};
use tidekeep_protocol::slot::{GroupCount, GroupId, slot_of};

use crate::cluster::{Cluster, is_at_rest, simulate};
use crate::moving::is_ready;
use crate::seeds;
use crate::serving::value_of;

const NODES: u64 = 5;
const GROUPS: u16 = 4;

/// So that what is written meanwhile is not too much to catch up with.
const ENTRIES_BYTES: usize = 1 << 20;

/// Calls that a node passes on may come later by this than those that it passes on in another way.
const LATE: Duration = Duration::from_millis(200);

/// Calls that a connection sends before it looks at their answers.
const SENT: usize = 24;

/// What a key holds, which only one connection writes.
fn number_of(reply: &Reply) -> i64 {
    match reply {
        Reply::Increment(done) => done.value,
        got => {
            let value = value_of(got).expect("it was written");
            std::str::from_utf8(value).ok().and_then(|it| it.parse().ok()).expect("a number")
        }
    }
}

/// Sends calls of one group to a node until it is over; how many.
async fn connect(cluster: &Cluster, node: NodeId, group: GroupId, is_over: &Cell<bool>) -> i64 {
    let groups = GroupCount::new(GROUPS).expect("so many");
    let keys = (0..).map(|number: u32| format!("{node}/{number}").into_bytes());
    let mut of_group = keys.filter(|key| groups.group_of(slot_of(key)) == group);
    let key = of_group.next().expect("each group has some");
    let mut random = fastrand::Rng::with_seed(node.0 << 16 | u64::from(group.0));
    cluster.eventually("the node is ready", || async { is_ready(cluster, node) }).await;
    let store = cluster.store(node);
    let mut written = 0;
    while !is_over.get() {
        let mut sent = Vec::new();
        for place in 0..SENT {
            let reads = place > 0 && random.u8(0..3) == 0;
            let request = match reads {
                true => Request::Get(Get { key: &key }),
                false => Request::Increment(Increment { key: &key, by: 1, expiry: Expiry::Keep }),
            };
            written += i64::from(!reads);
            sent.push((written, collect(&*store, &[Call::new(request)])));
            SimRuntime::sleep(Duration::from_micros(random.u64(200..3_000))).await;
        }
        for (expected, pending) in sent {
            let answers = pending.await.expect("no disk fails");
            let [Ok(reply)] = &answers[..] else { panic!("at {node}, of {group}: {answers:?}") };
            assert_eq!(number_of(reply), expected, "at {node}, of {group}: {reply:?}");
        }
    }
    written
}

fn stay_in_order(seed: u64) -> i64 {
    let calls = Cell::new(0);
    simulate(9_000 + seed, async {
        let disk = FaultyDisk::new(11);
        let cluster = Cluster::founded_keeping(disk, GROUPS, ENTRIES_BYTES).await;
        cluster.narrow.delay_forwards(LATE, seed);
        let serve = |node| cluster.machine(node).serve(GroupCount::new(GROUPS).expect("so many"));
        serve(NodeId(1));
        let is_over = Cell::new(false);
        let nodes = (2..=NODES).map(NodeId);
        let all = nodes.flat_map(|node| (0..GROUPS).map(move |group| (node, GroupId(group))));
        let connections = all.map(|(node, group)| connect(&cluster, node, group, &is_over));
        let moves = async {
            for _ in 1..NODES {
                serve(cluster.join().await);
            }
            let all_hold = |status: &ClusterStatus| {
                let holding = status.nodes.iter().filter(|node| node.up && node.replicas > 0);
                holding.count() as u64 == NODES && is_at_rest(status)
            };
            cluster.until("all have come", all_hold).await;
            let drained = NodeId(2 + seed % (NODES - 1));
            cluster.any().drain(drained).await.expect("four others are left");
            let is_empty = |status: &ClusterStatus| {
                let of_drained = status.nodes.iter().find(|node| node.node == drained);
                of_drained.is_some_and(|node| node.replicas == 0) && is_at_rest(status)
            };
            cluster.until("a node is empty", is_empty).await;
            cluster.keep(drained).await;
            cluster.until("all have some again", all_hold).await;
            is_over.set(true);
        };
        let (written, ()) = join(join_all(connections), moves).await;
        calls.set(written.into_iter().sum());
    });
    calls.get()
}

#[test]
fn calls_of_a_connection_stay_in_order_while_replicas_come_and_go() {
    seeds::each(2, |seed, tells| {
        let written = stay_in_order(seed);
        if tells {
            println!("{written} increments");
        }
    });
}

/// Node 1 founded the groups alone, and is given one again that it has lost meanwhile. Under this seed it is not told of
/// its entries for a while once it has those of the beginning, by which the group is its own.
#[test]
fn a_node_that_is_given_a_group_again_does_not_elect_itself() {
    assert!(stay_in_order(60) > 1_000);
}
