//! Nodes that are drained, removed, or come back.

use tidekeep_cluster::NodeId;
use tidekeep_cluster::meta::NodeState;
use tidekeep_cluster::node::{AdminError, Life};
use tidekeep_protocol::slot::GroupId;

use crate::cluster::{Cluster, meta_voters, simulate};

#[test]
fn a_drained_node_holds_nothing_and_can_be_taken_out() {
    simulate(11, async {
        let cluster = Cluster::of(4, 4).await;
        let last = NodeId(2);
        let held = cluster.status().await.nodes[1].replicas;
        let refused = cluster.any().remove(last, false).await;
        assert_eq!(refused, Err(AdminError::Holds { node: last, replicas: held }));
        cluster.any().drain(last).await.expect("three others are left");
        cluster.until("it is empty", |status| status.nodes[1].replicas == 0).await;
        let status = cluster.rest().await;
        assert_eq!(status.nodes[1].state, NodeState::Draining);
        assert_eq!(cluster.node(last).member(GroupId(0)).map(|_| ()), None);
        cluster.until("its vote has passed", |status| meta_voters(status) == [1, 3, 4]).await;

        let node = cluster.node(last);
        cluster.any().remove(last, false).await.expect("it holds nothing");
        assert_eq!(node.ended().await, Life::Removed);
        cluster
            .until("it is no member", |status| {
                status.nodes[1].state == NodeState::Removed && status.meta.replicas.len() == 3
            })
            .await;
        cluster.rest().await;
    });
}

#[test]
fn a_node_that_was_removed_while_it_was_away_learns_it_when_it_is_back() {
    simulate(12, async {
        let cluster = Cluster::of(4, 1).await;
        let away = NodeId(4);
        cluster.machine(away).crash().await;
        cluster.until("it is down", |status| !status.nodes[3].up).await;
        cluster.any().remove(away, true).await.expect("three others are left");
        let status = cluster.until("it is no member", |status| status.meta.replicas.len() == 3);
        status.await;
        cluster.rest().await;
        let node = cluster.machine(away).start().await;
        assert_eq!(node.ended().await, Life::Removed);
    });
}

#[test]
fn a_drain_can_be_taken_back_and_is_refused_where_too_few_are_left() {
    simulate(13, async {
        let cluster = Cluster::of(4, 4).await;
        cluster.any().drain(NodeId(4)).await.expect("three others are left");
        let refused = cluster.any().drain(NodeId(3)).await.expect_err("two would be left");
        assert!(matches!(refused, AdminError::Drain(_)), "{refused}");
        cluster.any().keep(NodeId(4)).await.expect("it is there");
        cluster
            .until("it holds its part", |status| {
                status.nodes[3].state == NodeState::Active && status.nodes[3].replicas >= 2
            })
            .await;
        cluster.rest().await;
    });
}

#[test]
fn nothing_of_a_group_comes_back_that_was_taken_away() {
    simulate(14, async {
        let cluster = Cluster::of(4, 4).await;
        let machine = cluster.machine(NodeId(4));
        machine.snapshot();
        cluster.any().drain(NodeId(4)).await.expect("three others are left");
        cluster.until("it is empty", |status| status.nodes[3].replicas == 0).await;
        cluster.rest().await;
        for with_snapshot in [false, true] {
            if with_snapshot {
                machine.snapshot();
            }
            machine.crash().await;
            let node = machine.start().await;
            for group in 0..4 {
                assert!(node.member(GroupId(group)).is_none(), "group {group} came back");
            }
            cluster.until("it is up", |status| status.nodes[3].up).await;
        }
        // What it once had does not hinder it from being filled anew.
        cluster.any().keep(NodeId(4)).await.expect("it is there");
        cluster.until("it holds its part", |status| status.nodes[3].replicas >= 2).await;
        cluster.rest().await;
        machine.crash().await;
        machine.start().await;
        cluster.rest().await;
    });
}
