//! What operators ask for beside joins and leaves: any node takes it.

use std::num::NonZeroU16;

use tidekeep_cluster::NodeId;
use tidekeep_cluster::node::AdminError;
use tidekeep_protocol::slot::GroupId;

use crate::cluster::{Cluster, simulate};

#[test]
fn a_leader_is_chosen_and_stays() {
    simulate(31, async {
        let cluster = Cluster::of(3, 1).await;
        for to in [2, 3, 1].map(NodeId) {
            cluster.node(NodeId(3)).transfer(GroupId(0), to).await.expect("it has a vote");
            let status = cluster.rest().await;
            assert_eq!(status.groups[0].leader, Some(to));
        }
        let unknown = cluster.any().transfer(GroupId(1), NodeId(1)).await;
        assert_eq!(unknown, Err(AdminError::NoGroup(GroupId(1))));
        let refused = cluster.any().transfer(GroupId(0), NodeId(9)).await;
        assert!(matches!(refused, Err(AdminError::Refused(_))), "{refused:?}");
    });
}

#[test]
fn who_weighs_more_holds_more() {
    simulate(32, async {
        let cluster = Cluster::of(5, 16).await;
        let heavy = NodeId(4);
        let weight = NonZeroU16::new(3).expect("three");
        cluster.node(NodeId(2)).weigh(heavy, weight).await.expect("it is there");
        cluster.until("it holds more", |status| status.nodes[3].replicas >= 14).await;
        let status = cluster.rest().await;
        assert_eq!(status.nodes[3].weight, 3);
        let unknown = cluster.any().weigh(NodeId(9), weight).await;
        assert_eq!(unknown, Err(AdminError::NoNode(NodeId(9))));
    });
}
