//! Ways between the nodes of a real cluster break: whoever has a majority goes on, whoever has none says
//! nothing that is not so, and all is one again once the ways are.

use std::time::Duration;

use tidekeep_client::{Client, Freshness, Options};
use tidekeep_tests::Cluster;
use tidekeep_tests::cluster::Shape;

use crate::cluster_load::{Load, verify};
use crate::cluster_network::lay;

const CLIENTS: usize = 4;

fn form() -> Option<Cluster> {
    lay(3).map(|network| Cluster::form_on(Some(network), Shape::default()))
}

/// Breaks something about the leader, sees that clients at the other nodes go on, mends it, and holds
/// what every node has against what was acknowledged.
async fn goes_on_without(breaks: impl Fn(&Cluster, usize)) {
    let Some(cluster) = form() else { return };
    let mut load = Load::start(&cluster, CLIENTS).await;
    for _ in 0..2 {
        load.progress(10).await;
        let leader = cluster.leader();
        breaks(&cluster, leader);
        load.lead_away(&cluster, leader);
        load.progress(10).await;
        cluster.network().mend();
        cluster.wait_until_whole();
    }
    let told = load.end().await;
    for node in 0..3 {
        verify(&cluster, node, &told).await;
    }
}

fn others(node: usize) -> [usize; 2] {
    [(node + 1) % 3, (node + 2) % 3]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_is_replaced() {
    goes_on_without(|cluster, leader| {
        others(leader).iter().for_each(|other| cluster.network().part(leader, *other));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hears_nobody_is_replaced() {
    goes_on_without(|cluster, leader| {
        others(leader).iter().for_each(|other| cluster.network().cut(*other, leader));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_nobody_hears_is_replaced() {
    goes_on_without(|cluster, leader| {
        others(leader).iter().for_each(|other| cluster.network().cut(leader, *other));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_a_third_one_joins_go_on() {
    goes_on_without(|cluster, leader| cluster.network().part(leader, others(leader)[0])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_leader_holds_up_nothing_for_good() {
    goes_on_without(|cluster, leader| cluster.network().slow(leader)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_cut_off_answers_with_nothing_older_than_is_asked_for() {
    let Some(cluster) = form() else { return };
    let leader = cluster.leader();
    let options = || Options::default().timeout(Duration::from_secs(3));
    let old = Client::connect(cluster.address(leader), options()).await.unwrap();
    let [one, _] = others(leader);
    let new = Client::connect(cluster.address(one), Options::default()).await.unwrap();
    old.put("key", "old", Default::default()).await.unwrap();
    old.get("key").await.unwrap();
    others(leader).iter().for_each(|other| cluster.network().part(leader, *other));
    // Until the others have elected one of them, this waits.
    new.put("key", "new", Default::default()).await.unwrap();
    for freshness in [Freshness::Linearizable, Freshness::Lease, Freshness::Within(0)] {
        let read = old.with_reads(freshness).get("key").await;
        assert!(read.is_err(), "a leader that is cut off has answered {read:?} to {freshness:?}");
    }
    let read = old.with_reads(Freshness::Within(600_000)).get("key").await.unwrap();
    assert_eq!(&read.expect("it was there").value[..], b"old");
    cluster.network().mend();
    cluster.wait_until_whole();
    let read = old.get("key").await.unwrap().expect("the key is there");
    assert_eq!(&read.value[..], b"new");
}
