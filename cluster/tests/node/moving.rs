//! Clients of every node while replicas move: nobody is refused, and nobody waits for what a node that has lost its
//! replica is never told.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::future::{join, join_all};
use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime};
use tidekeep_cluster::NodeId;
use tidekeep_log::{Call, Commit, Standing, collect};
use tidekeep_protocol::op::{Get, Request};
use tidekeep_protocol::slot::{GroupCount, GroupId, slot_of};

use crate::cluster::{Cluster, simulate};
use crate::seeds;
use crate::serving::put;

const NODES: u64 = 5;
pub(crate) const GROUPS: u16 = 4;

/// The longest that a call may take: the wire delays a message in two hundred by up to a fifth of a second, and a call
/// that a leader has refused while it gave way takes several of them.
pub(crate) const SOON: Duration = Duration::from_secs(1);

/// A key of a group.
pub(crate) fn key_of(group: GroupId) -> Vec<u8> {
    let groups = GroupCount::new(GROUPS).expect("so many");
    let keys = (0..).map(|number: u32| format!("key/{number}").into_bytes());
    let mut of_group = keys.filter(|key| groups.group_of(slot_of(key)) == group);
    of_group.next().expect("each group has some")
}

/// The call that took the longest, and how long. None is refused.
struct Longest(RefCell<(Duration, String)>);

impl Longest {
    /// Runs a call at a node.
    async fn note(&self, cluster: &Cluster, node: NodeId, request: Request<'_>) {
        let began = SimInstant::now();
        let store = cluster.store(node);
        let answers = collect(&*store, &[Call::new(request.clone())]).await;
        let took = SimInstant::now() - began;
        let answer = answers.expect("no disk fails").into_iter().next().expect("one answer");
        let at = began.elapsed_since_start();
        if let Err(refusal) = answer {
            panic!("{request:?} at {node}, after {at:?}: {refusal}");
        }
        let mut longest = self.0.borrow_mut();
        if took > longest.0 {
            *longest = (took, format!("{request:?} at {node}, after {at:?}"));
        }
    }
}

/// Whether a node has joined, and knows who has the keys.
pub(crate) fn is_ready(cluster: &Cluster, node: NodeId) -> Option<()> {
    let machine = cluster.machines().into_iter().find(|machine| machine.id == node)?;
    (machine.store()?.standing() == Standing::Ready).then_some(())
}

fn moves(seed: u64) -> (Duration, String) {
    let longest = Longest(RefCell::default());
    simulate(7_000 + seed, async {
        let cluster = Cluster::founded(GROUPS).await;
        let serve = |node| cluster.machine(node).serve(GroupCount::new(GROUPS).expect("so many"));
        serve(NodeId(1));
        let is_over = Cell::new(false);
        let client = async |node: NodeId, group: u16, writes: bool| {
            let key = key_of(GroupId(group));
            // The storm's seed alone says at which moments of a move they ask.
            let of = seed << 16 | node.0 << 8 | u64::from(group) << 1 | u64::from(writes);
            let mut random = fastrand::Rng::with_seed(of);
            cluster.eventually("the node is ready", || async { is_ready(&cluster, node) }).await;
            while !is_over.get() {
                let request =
                    if writes { put(&key, b"v") } else { Request::Get(Get { key: &key }) };
                longest.note(&cluster, node, request).await;
                SimRuntime::sleep(Duration::from_millis(random.u64(20..80))).await;
            }
        };
        let clients =
            (1..=NODES).map(NodeId).flat_map(|node| (0..GROUPS).map(move |group| (node, group)));
        let clients = clients.flat_map(|(node, group)| [(node, group, true), (node, group, false)]);
        let clients = join_all(clients.map(|(node, group, writes)| client(node, group, writes)));
        let grow = async {
            for _ in 1..NODES {
                serve(cluster.join().await);
            }
            cluster
                .until("all have come, and all is at rest", |status| {
                    status.nodes.iter().all(|node| node.up && node.replicas > 0)
                        && status.nodes.len() == NODES as usize
                })
                .await;
            cluster.rest().await;
            is_over.set(true);
        };
        join(clients, grow).await;
    });
    longest.0.into_inner()
}

#[test]
fn calls_are_answered_soon_while_replicas_move() {
    seeds::each(3, |seed, tells| {
        let (took, what) = moves(seed);
        if tells {
            println!("the longest took {took:?}: {what}");
        }
        assert!(took < SOON, "{took:?}: {what}");
    });
}
