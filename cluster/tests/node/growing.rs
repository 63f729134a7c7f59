//! Clusters that are founded and grow.

use tidekeep_cluster::NodeId;
use tidekeep_cluster::meta::NodeState;
use tidekeep_protocol::slot::{GroupCount, GroupId};

use crate::cluster::{Cluster, led, meta_voters, simulate, spread};
use crate::machine::introduction;

#[test]
fn a_cluster_of_one_serves_at_once_and_is_founded_once() {
    simulate(1, async {
        let cluster = Cluster::of(1, 4).await;
        let node = cluster.node(NodeId(1));
        let four = GroupCount::new(4).expect("four");
        node.found(four, 3).await.expect("what was done is not done again");
        let other = node.found(GroupCount::ONE, 3).await.expect_err("it has four groups");
        assert!(other.to_string().contains("4 groups"), "{other}");
        let status = cluster.rest().await;
        assert_eq!((status.replicas, status.replicas_wanted), (1, 3));
        assert_eq!(status.nodes[0].state, NodeState::Active);
    });
}

#[test]
fn two_joins_make_three_of_three() {
    simulate(2, async {
        let cluster = Cluster::founded(1).await;
        cluster.join().await;
        let two = cluster.until("the second is active", |status| {
            status.nodes.len() == 2 && status.nodes[1].state == NodeState::Active
        });
        assert_eq!(two.await.replicas, 1, "two of two would be lost with either");
        cluster.join().await;
        cluster.until("groups get three replicas", |status| status.replicas == 3).await;
        let status = cluster.rest().await;
        assert_eq!(spread(&status), [1, 1, 1]);
        let three = cluster.until("three vote", |status| meta_voters(status) == [1, 2, 3]);
        assert_eq!(three.await.nodes[2].client, "node-3:8081");
    });
}

#[test]
fn four_groups_are_balanced_over_three_to_five_nodes() {
    simulate(3, async {
        let cluster = Cluster::of(3, 4).await;
        let status = cluster.rest().await;
        assert_eq!((spread(&status), led(&status)), (vec![4, 4, 4], vec![1, 1, 2]));
        for node in 4..=5 {
            cluster.join().await;
            cluster
                .until("it holds something", |status| {
                    status.nodes.len() == node && status.nodes[node - 1].replicas > 0
                })
                .await;
            let status = cluster.rest().await;
            assert_eq!(spread(&status).iter().sum::<usize>(), 12);
            assert!(spread(&status)[0] >= 1, "{status:#?}");
        }
        cluster.until("five vote", |status| meta_voters(status) == [1, 2, 3, 4, 5]).await;
    });
}

#[test]
fn sixteen_groups_are_balanced_over_five_nodes() {
    simulate(4, async {
        let cluster = Cluster::of(5, 16).await;
        cluster
            .until("everybody holds a part", |status| spread(status).iter().all(|&held| held >= 8))
            .await;
        let status = cluster.rest().await;
        let (held, led) = (spread(&status), led(&status));
        assert_eq!((held.iter().sum::<usize>(), led.iter().sum::<usize>()), (48, 16));
        assert!(held[4] <= 11 && led[0] >= 2 && led[4] <= 4, "{held:?} {led:?}");
    });
}

#[test]
fn who_joins_needs_a_token_and_an_address_of_its_own() {
    simulate(5, async {
        let cluster = Cluster::of(3, 1).await;
        let node = cluster.node(NodeId(2));
        let unknown = node.admit(introduction("node-4"), [9; 32]).await;
        let unknown = unknown.expect_err("nobody made this token").to_string();
        assert!(unknown.contains("the token is not known"), "{unknown}");
        let secret = crate::cluster::SECRET;
        let taken = node.admit(introduction("node-1"), secret).await;
        let taken = taken.expect_err("the first node has it").to_string();
        assert!(taken.contains("node-1:9081 is the address of"), "{taken}");
    });
}

#[test]
fn a_node_that_fills_takes_over_all_there_is() {
    simulate(6, async {
        let cluster = Cluster::founded(1).await;
        for at in 0..300 {
            cluster.write(GroupId(0), &format!("key {at}")).await;
        }
        cluster.join().await;
        cluster.join().await;
        cluster.until("groups get three replicas", |status| status.replicas == 3).await;
        cluster.rest().await;
        assert_eq!(cluster.keys(GroupId(0)), 302);
        let last = cluster.node(NodeId(3)).member(GroupId(0)).expect("it holds the group");
        assert_eq!(last.replica().keys(), 302);
    });
}
