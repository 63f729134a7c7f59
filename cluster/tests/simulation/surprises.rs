//! What others met with this engine, or what was met here: each is a test, so that no version brings it
//! back.

use std::sync::Arc;
use std::time::Duration;

use openraft::Instant;
use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::{SimInstant, SimRuntime};
use tidekeep_cluster::{NodeId, PeerAddress, WriteError};
use tidekeep_log::disk::faulty::Crash;

use crate::node::{ENTRIES_BYTES, Node};
use crate::run::{found, settle};
use crate::simulated::records::put_of;
use crate::simulated::wire::Wire;

const NEWCOMER: NodeId = NodeId(4);

/// Nodes that have founded a group, with a leader.
struct Cluster {
    nodes: Vec<Arc<Node>>,
    wire: Wire,
}

impl Cluster {
    async fn of(count: u64) -> Self {
        let wire = Wire::new(7);
        let nodes = found(count, &wire, &mut fastrand::Rng::with_seed(11)).await;
        let cluster = Self { nodes, wire };
        cluster.write(cluster.leader().await, "first").await;
        cluster
    }

    fn node(&self, id: NodeId) -> &Arc<Node> {
        self.nodes.iter().find(|node| node.id == id).expect("a node of the cluster")
    }

    async fn leader(&self) -> NodeId {
        loop {
            let leads = |node: &&Arc<Node>| node.member().is_some_and(|it| it.standing().leads);
            if let Some(leader) = self.nodes.iter().find(leads) {
                return leader.id;
            }
            SimRuntime::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Writes until it is confirmed, beginning with a node; how long that took.
    async fn write(&self, mut at: NodeId, key: &str) -> Duration {
        let began = SimInstant::now();
        loop {
            let member = self.node(at).member();
            let written = match member {
                Some(member) => {
                    let write = member.write(plain_put(key));
                    SimRuntime::timeout(Duration::from_secs(1), write).await
                }
                None => Ok(Err(WriteError::NotLeader(None))),
            };
            match written {
                Ok(Ok(_)) => return SimInstant::now() - began,
                Ok(Err(WriteError::NotLeader(Some((leader, _))))) => at = leader,
                _ => at = NodeId(at.0 % self.nodes.len() as u64 + 1),
            }
            assert!(SimInstant::now() - began < Duration::from_secs(20), "{key} is not confirmed");
            SimRuntime::sleep(Duration::from_millis(20)).await;
        }
    }

    fn others(&self, one: NodeId) -> Vec<NodeId> {
        self.nodes.iter().map(|node| node.id).filter(|&id| id != one).collect()
    }
}

/// The record of a put of some value.
fn plain_put(key: &str) -> Vec<u8> {
    put_of(key, b"value")
}

fn simulate(test: impl Future<Output = ()>) {
    SimRuntime::with_seed(5).block_on(test);
}

/// Nodes at rest leave the engine's timers alone; one that hears no leader any more has them back in time.
#[test]
fn a_leader_that_dies_at_rest_is_replaced_in_time() {
    simulate(async {
        let cluster = Cluster::of(3).await;
        for round in 0..20 {
            SimRuntime::sleep(Duration::from_secs(3)).await;
            let leader = cluster.leader().await;
            let next = cluster.others(leader)[0];
            cluster.node(leader).crash(Crash::Drop).await;
            let took = cluster.write(next, &format!("without the leader {round}")).await;
            let (least, most) = (Duration::from_millis(600), Duration::from_millis(1_500));
            assert!(least < took && took < most, "it took {took:?}");
            cluster.node(leader).start().await;
        }
    });
}

/// A leader that one node alone still hears does not keep the others, who hear each other, from
/// electing one (databendlabs/openraft#2080).
#[test]
fn a_leader_behind_a_bridge_stops_nobody() {
    simulate(async {
        let cluster = Cluster::of(5).await;
        let leader = cluster.leader().await;
        let others = cluster.others(leader);
        for &other in &others[1..] {
            cluster.wire.cut(leader, other);
            cluster.wire.cut(other, leader);
        }
        let took = cluster.write(others[1], "beyond the bridge").await;
        assert!(took < Duration::from_secs(8), "it took {took:?}");
    });
}

/// "Caught up" is within thousands of entries for the engine: a learner that has nothing could become a
/// voter, and a quorum with it could forget.
#[test]
fn an_empty_learner_is_not_promoted() {
    simulate(async {
        let cluster = Cluster::of(3).await;
        let leader = cluster.leader().await;
        for at in 0..200 {
            cluster.write(leader, &format!("key {at}")).await;
        }
        let newcomer = Node::new(NEWCOMER, 99, 0, cluster.wire.clone());
        newcomer.start().await;
        cluster.wire.cut(leader, NEWCOMER);
        let member = cluster.node(leader).member().expect("it leads");
        member
            .add_learner(NEWCOMER, PeerAddress::default())
            .await
            .expect("a learner changes no quorum");
        let refused = member.promote(NEWCOMER).await.expect_err("it has nothing yet");
        assert!(refused.to_string().contains("has followed up to entry"), "{refused}");
        cluster.wire.heal();
        let end = SimInstant::now() + Duration::from_secs(10);
        while let Err(refused) = member.promote(NEWCOMER).await {
            assert!(SimInstant::now() < end, "{refused}");
            SimRuntime::sleep(Duration::from_millis(20)).await;
        }
        let mut nodes = cluster.nodes.clone();
        nodes.push(newcomer);
        settle(&nodes).await;
    });
}

/// What is kept for who lags behind is counted in bytes: by entries, large ones fill the memory, and with many
/// small ones a node that was away for a moment is sent everything anew.
#[test]
fn who_lags_behind_is_sent_entries_as_far_as_they_are_kept_and_a_state_beyond() {
    simulate(async {
        let cluster = Cluster::of(3).await;
        let leader = cluster.leader().await;
        let away = cluster.others(leader)[0];
        for (bytes, is_state) in [(ENTRIES_BYTES / 2, false), (ENTRIES_BYTES * 4, true)] {
            cluster.node(away).crash(Crash::Drop).await;
            for at in 0..bytes / plain_put("a key of some length: 000").len() {
                cluster.write(leader, &format!("a key of some length: {at:03}")).await;
            }
            // Entries beyond what is kept are forgotten on the next beat.
            SimRuntime::sleep(Duration::from_secs(1)).await;
            cluster.node(away).start().await;
            settle(&cluster.nodes).await;
            assert_eq!(cluster.wire.was_sent_a_state(away), is_state, "{bytes} bytes behind");
        }
    });
}

/// A leader that was just elected refuses writes until it has heard from a quorum: whoever asks it waits
/// for that and is not sent away.
#[test]
fn a_fresh_leader_answers() {
    simulate(async {
        let cluster = Cluster::of(3).await;
        for _ in 0..10 {
            let leader = cluster.leader().await;
            let next = cluster.others(leader)[0];
            let member = cluster.node(leader).member().expect("it leads");
            member.transfer(next).await.expect("it runs");
            while !cluster.node(next).member().expect("it runs").standing().leads {
                SimRuntime::sleep(Duration::from_micros(100)).await;
            }
            let member = cluster.node(next).member().expect("it runs");
            member.write(plain_put("at once")).await.expect("it leads");
        }
    });
}

/// A follower that swallows all it is sent slows nobody down.
#[test]
fn a_black_hole_delays_nobody() {
    simulate(async {
        let cluster = Cluster::of(3).await;
        let leader = cluster.leader().await;
        cluster.wire.cut(leader, cluster.others(leader)[0]);
        for at in 0..200 {
            let took = cluster.write(leader, &format!("key {at}")).await;
            assert!(took < Duration::from_millis(400), "write {at} took {took:?}");
        }
    });
}

/// A leader sends entries before they are on its own disk, and others may confirm them. If it dies in
/// between, it must not lead on in the same term, or it would give their places to other entries.
#[test]
fn a_leader_that_lost_what_it_sent_does_not_lead_on() {
    simulate(async {
        let cluster = Cluster::of(3).await;
        let leader = cluster.leader().await;
        let node = cluster.node(leader);
        node.hold_disk(true);
        let member = node.member().expect("it leads");
        member.write(plain_put("on two of three disks")).await.expect("two are a quorum");
        node.crash(Crash::Drop).await;
        node.start().await;
        for at in 0..20 {
            cluster.write(leader, &format!("key {at}")).await;
        }
        settle(&cluster.nodes).await;
        let member = cluster.node(cluster.leader().await).member().expect("it leads");
        assert_eq!(member.replica().keys(), 22, "all that was confirmed is there");
    });
}

/// What a log cannot take would end every node that it is sent to: it is refused before it is ordered.
#[test]
fn a_record_that_no_log_takes_is_refused() {
    simulate(async {
        let cluster = Cluster::of(3).await;
        let leader = cluster.leader().await;
        let member = cluster.node(leader).member().expect("it leads");
        let mut bytes = 1;
        let most = loop {
            match member.write(put_of("long", &vec![b'x'; bytes])).await {
                Ok(_) => bytes += 500,
                Err(WriteError::TooLong { most, .. }) => break most,
                Err(error) => panic!("{bytes} bytes: {error}"),
            }
        };
        assert!((bytes - 500..=bytes + 100).contains(&most), "{bytes} bytes, at most {most}");
        cluster.write(leader, "short").await;
        settle(&cluster.nodes).await;
    });
}
