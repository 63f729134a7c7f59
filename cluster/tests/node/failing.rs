//! Nodes that die: for a while, for good, in the middle of a step, all at once.

use openraft::Instant;
use openraft_rt_sim::SimInstant;
use tidekeep_cluster::NodeId;
use tidekeep_cluster::node::AdminError;
use tidekeep_protocol::slot::GroupId;

use crate::cluster::{Cluster, meta_voters, simulate, spread};
use crate::machine::GRACE;

#[test]
fn a_node_that_is_away_for_long_is_replaced() {
    simulate(21, async {
        let cluster = Cluster::of(4, 4).await;
        let before = cluster.rest().await;
        let dead = NodeId(2);
        let began = SimInstant::now();
        cluster.machine(dead).crash().await;
        cluster.until("it is down", |status| !status.nodes[1].up).await;
        let status = cluster.status().await;
        assert_eq!(status.nodes[1].replicas, before.nodes[1].replicas, "it is waited for");
        cluster.until("it is replaced", |status| status.nodes[1].replicas == 0).await;
        assert!(SimInstant::now() - began >= GRACE, "not before its time is over");
        cluster.rest().await;
        cluster.until("its vote has passed", |status| meta_voters(status) == [1, 3, 4]).await;
        // It comes back, keeps nothing of what it had, and gets its part.
        cluster.machine(dead).start().await;
        cluster.until("it holds a part again", |status| status.nodes[1].replicas >= 2).await;
        cluster.rest().await;
    });
}

#[test]
fn a_node_that_is_away_for_a_moment_keeps_what_it_has() {
    simulate(22, async {
        let cluster = Cluster::of(4, 4).await;
        let before = cluster.rest().await;
        cluster.machine(NodeId(3)).crash().await;
        cluster.until("it is down", |status| !status.nodes[2].up).await;
        cluster.machine(NodeId(3)).start().await;
        let after = cluster.rest().await;
        let held = |status: &tidekeep_cluster::node::ClusterStatus| -> Vec<Vec<NodeId>> {
            let groups = status.groups.iter();
            groups.map(|group| group.replicas.iter().map(|it| it.node).collect()).collect()
        };
        assert_eq!(held(&before), held(&after));
    });
}

#[test]
fn a_node_that_has_just_died_is_not_given_the_lead_back() {
    simulate(23, async {
        let cluster = Cluster::of(3, 4).await;
        let status = cluster.rest().await;
        let terms = |led: &[GroupId]| -> Vec<u64> {
            let nodes = cluster.machines().into_iter().filter_map(|machine| machine.node());
            let nodes: Vec<_> = nodes.collect();
            let term = |group: &GroupId| {
                let members = nodes.iter().filter_map(|node| node.member(*group));
                members.map(|member| member.standing().term).max().unwrap_or(0)
            };
            led.iter().map(term).collect()
        };
        for (place, node) in status.nodes.iter().enumerate() {
            let led = status.groups.iter().filter(|group| group.preferred == Some(node.node));
            let led: Vec<GroupId> = led.filter_map(|group| group.group).collect();
            assert!(!led.is_empty(), "{} leads nothing", node.node);
            cluster.machine(node.node).crash().await;
            for &group in &led {
                cluster.write(group, "without it").await;
            }
            let elected = terms(&led);
            cluster.until("it is down", |status| !status.nodes[place].up).await;
            assert_eq!(terms(&led), elected, "who took over from {} leads no more", node.node);
            cluster.machine(node.node).start().await;
            cluster.rest().await;
        }
    });
}

#[test]
fn a_coordinator_that_dies_in_the_middle_of_a_step_is_replaced() {
    for seed in 0..6 {
        simulate(100 + seed, async {
            let cluster = Cluster::of(4, 4).await;
            let fifth = cluster.join().await;
            // Each seed dies at another step.
            let steps = cluster.status().await.epoch + 1 + seed;
            let status = cluster.until("steps are taken", |status| status.epoch >= steps).await;
            let dead = status.coordinator;
            cluster.machine(dead).crash().await;
            cluster.until("another one coordinates", |status| status.coordinator != dead).await;
            cluster.machine(dead).start().await;
            cluster
                .until("the fifth holds its part", |status| {
                    let there = status.nodes.iter().find(|node| node.node == fifth);
                    there.is_some_and(|node| node.replicas >= 1)
                })
                .await;
            let status = cluster.rest().await;
            assert_eq!(spread(&status).iter().sum::<usize>(), 12);
        });
    }
}

#[test]
fn a_coordinator_that_is_cut_off_is_replaced() {
    simulate(23, async {
        let cluster = Cluster::of(5, 4).await;
        let cut = cluster.status().await.coordinator;
        for other in (1..=5).map(NodeId).filter(|&other| other != cut) {
            cluster.wire.cut(cut, other);
            cluster.wire.cut(other, cut);
        }
        cluster.until("another one coordinates", |status| status.coordinator != cut).await;
        cluster
            .until("it is down", |status| {
                status.nodes.iter().any(|node| node.node == cut && !node.up)
            })
            .await;
        cluster.wire.heal();
        cluster.until("it is back", |status| status.nodes.iter().all(|node| node.up)).await;
        cluster.rest().await;
    });
}

#[test]
fn all_nodes_come_back_with_all_they_had() {
    simulate(24, async {
        let cluster = Cluster::of(3, 4).await;
        for group in 0..4 {
            for at in 0..40 {
                cluster.write(GroupId(group), &format!("key {at}")).await;
            }
        }
        cluster.rest().await;
        cluster.machine(NodeId(1)).snapshot();
        for machine in cluster.machines() {
            machine.crash().await;
        }
        for machine in cluster.machines() {
            machine.start().await;
        }
        cluster.rest().await;
        for group in (0..4).map(GroupId) {
            assert_eq!(cluster.keys(group), 42, "{group}");
        }
    });
}

#[test]
fn who_would_take_a_majority_away_is_refused() {
    simulate(25, async {
        let cluster = Cluster::of(3, 1).await;
        cluster.machine(NodeId(3)).crash().await;
        cluster.until("it is down", |status| !status.nodes[2].up).await;
        let refused = cluster.any().remove(NodeId(2), true).await;
        let lost = AdminError::WouldLose { node: NodeId(2), what: "group 0".into() };
        assert_eq!(refused, Err(lost));
        // The dead one can go; the next one to join takes its place.
        cluster.any().remove(NodeId(3), true).await.expect("two of three answer");
        cluster.join().await;
        cluster
            .until("three of three again", |status| {
                status.groups[0].replicas.iter().map(|it| it.node.0).eq([1, 2, 4])
            })
            .await;
        cluster.rest().await;
    });
}
