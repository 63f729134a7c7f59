//! All nodes of a real cluster are killed at once under load: once they are back, all that was
//! acknowledged is there, and no increment was applied twice.

use tidekeep_tests::Cluster;
use tidekeep_tests::cluster::Shape;

use crate::cluster_load::{Load, verify};

const CLIENTS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_are_killed_at_once_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::form(Shape::default());
    let load = Load::start(&cluster, CLIENTS).await;
    for _ in 0..3 {
        load.progress(20).await;
        (0..3).for_each(|node| cluster.kill(node));
        (0..3).for_each(|node| cluster.start(node));
        cluster.wait_until_whole();
    }
    let told = load.end().await;
    for node in 0..3 {
        verify(&cluster, node, &told).await;
    }
}
