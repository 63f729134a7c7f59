//! A cluster of real servers as clients have it: one store, whichever node is asked, and none of it is
//! lost when nodes stand still or are restarted one after the other.

use tidekeep_tests::cluster::Shape;
use tidekeep_tests::{Cluster, tidekeep};

use crate::cluster_load::{Load, verify};

const CLIENTS: usize = 6;

fn put(cluster: &Cluster, node: usize, key: &str, value: &str) {
    let run = tidekeep(cluster.address(node), &["put", key, value], b"");
    assert_eq!(run.code, 0, "{}", run.stderr);
}

fn get(cluster: &Cluster, node: usize, key: &str) -> String {
    let run = tidekeep(cluster.address(node), &["get", key, "--output", "raw"], b"");
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.text().trim().to_owned()
}

#[test]
fn what_is_written_at_one_node_is_read_at_every_other() {
    let cluster = Cluster::form(Shape::default());
    for round in 0..5 {
        for writer in 0..3 {
            let value = format!("{round} {writer}");
            put(&cluster, writer, "key", &value);
            for reader in 0..3 {
                assert_eq!(get(&cluster, reader, "key"), value, "{writer} to {reader}");
            }
        }
    }
}

#[test]
fn a_store_alone_becomes_the_first_member_with_all_that_it_has() {
    let mut cluster = Cluster::alone();
    put(&cluster, 0, "before", "there");
    cluster.found();
    for node in 0..3 {
        assert_eq!(get(&cluster, node, "before"), "there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stands_still_is_replaced_and_comes_back_as_a_follower() {
    let mut cluster = Cluster::form(Shape::default());
    let mut load = Load::start(&cluster, CLIENTS).await;
    load.progress(20).await;
    for _ in 0..3 {
        let leader = cluster.leader();
        cluster.stop(leader);
        load.lead_away(&cluster, leader);
        load.progress(20).await;
        assert_ne!(cluster.leader(), leader);
        cluster.go_on(leader);
        cluster.wait_until_whole();
    }
    let told = load.end().await;
    for node in 0..3 {
        verify(&cluster, node, &told).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_restarted_one_after_the_other_and_nothing_is_lost() {
    let mut cluster = Cluster::form(Shape::default());
    let mut load = Load::start(&cluster, CLIENTS).await;
    for node in 0..3 {
        load.progress(20).await;
        let status = cluster.terminate(node);
        assert!(status.is_some_and(|status| status.success()), "node {node} ended: {status:?}");
        load.lead_away(&cluster, node);
        load.progress(20).await;
        cluster.start(node);
        cluster.wait_until_whole();
    }
    let told = load.end().await;
    for node in 0..3 {
        verify(&cluster, node, &told).await;
    }
}
