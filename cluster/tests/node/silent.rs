//! A node that vanishes without a word: nothing that is sent to it comes back, not even that it is not there.

use std::time::Duration;

use openraft::Instant;
use openraft_rt_sim::SimInstant;
use tidekeep_cluster::NodeId;
use tidekeep_protocol::op::{Get, Request};
use tidekeep_protocol::slot::{GroupCount, GroupId, slot_of};

use crate::cluster::{Cluster, simulate};
use crate::serving::{Served, ask};

const GROUPS: u16 = 16;

/// A key of a group.
fn key_of(group: GroupId) -> Vec<u8> {
    let groups = GroupCount::new(GROUPS).expect("so many");
    let keys = (0..).map(|number: u32| format!("key/{number}").into_bytes());
    let mut of_group = keys.filter(|key| groups.group_of(slot_of(key)) == group);
    of_group.next().expect("each group has some")
}

/// How long a get takes.
async fn took(store: &Served, key: &[u8]) -> Duration {
    let began = SimInstant::now();
    ask(store, Request::Get(Get { key })).await;
    SimInstant::now() - began
}

#[test]
fn who_has_vanished_is_waited_for_once_and_for_a_second() {
    simulate(61, async {
        let cluster = Cluster::serving(5, GROUPS).await;
        let status = cluster.rest().await;
        let others = |node| (1..=5).map(NodeId).filter(move |&other| other != node);
        // Somebody else coordinates, so that what follows is none of the coordinator's doing.
        let gone = others(status.coordinator).next().expect("there are five");
        let led = status.groups.iter().filter(|group| group.preferred == Some(gone));
        let led: Vec<GroupId> = led.filter_map(|group| group.group).collect();
        // One that has no replica of a group, and one that follows there.
        let holds = |node, group| cluster.node(node).member(group).is_some();
        let first = led[0];
        let without = others(gone).find(|&node| !holds(node, first)).expect("two have none");
        let with = others(gone).find(|&node| holds(node, first)).expect("two follow");
        for other in others(gone) {
            cluster.wire.cut(gone, other);
            cluster.wire.cut(other, gone);
        }
        // A second, and the time in which the others elect somebody.
        let most = Duration::from_millis(3_500);
        let (without, with) = (cluster.store(without), cluster.store(with));
        let key = key_of(first);
        let (there, elsewhere) =
            futures_util::future::join(took(&with, &key), took(&without, &key)).await;
        assert!(there < most && elsewhere < most, "{there:?} {elsewhere:?}");
        // From then on others are asked first, whatever the table says.
        for &group in &led {
            let key = key_of(group);
            for store in [&without, &with] {
                let again = took(store, &key).await;
                assert!(again < Duration::from_secs(1), "{group} takes {again:?}");
            }
        }
    });
}
