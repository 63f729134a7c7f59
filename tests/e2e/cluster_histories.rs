//! Clients do what they like on a few keys of a real cluster while its nodes are killed, stopped and cut
//! off; afterwards the checker looks for an order in which a plain map would have given the same answers.
//! Most clusters have several groups, and transactions go over them.
//!
//! `TIDEKEEP_CLUSTER_HISTORIES` says how many histories, 5 unless it does; `TIDEKEEP_HISTORY_SEED` makes
//! one again, as far as real processes let it.

mod nemesis;

use std::sync::Arc;
use std::time::Duration;

use tidekeep_tests::checker::{Call, Recorder};
use tidekeep_tests::cluster::Shape;
use tidekeep_tests::{Cluster, Network, Proxy, within};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::block_in_place;

use self::nemesis::Nemesis;
use crate::cluster_network::lay;
use crate::histories::clients::{Doubt, Worker, groups_of};
use crate::histories::make;
use crate::histories::sum::Sum;

const HISTORIES: u64 = 5;
/// Histories that are made side by side: most of their time is waiting.
const AT_ONCE: usize = 2;
const CLIENTS: u32 = 6;
/// Groups of a cluster that has several.
const GROUPS: u16 = 4;
const LIMIT: Duration = Duration::from_secs(60);
const FLAGS: [&str; 2] = ["--segment-bytes", "5242880"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn histories_of_real_clusters_have_an_order() {
    make("cluster ", "TIDEKEEP_CLUSTER_HISTORIES", HISTORIES, AT_ONCE, history).await;
}

/// Makes a history and checks it: every other one on a network whose ways between the nodes break, too, two
/// of three with several groups.
async fn history(seed: u64) -> Sum {
    // Laying it, forming a cluster and breaking it wait for processes; clients of the other history are not to
    // wait behind that.
    let network = block_in_place(|| if seed % 2 == 1 { lay(3) } else { None });
    let groups = if seed.is_multiple_of(3) { 1 } else { GROUPS };
    let (history, faults) = record(seed, groups, network).await;
    let sum = Sum::of(seed, groups_of(groups), history, faults).await;
    assert!(groups == 1 || sum.over_groups > 0, "nothing was done over groups: {sum}");
    sum
}

/// Lets clients and nemesis loose on a new cluster, and collects what the clients were told.
async fn record(seed: u64, groups: u16, network: Option<Network>) -> (Vec<Call>, u64) {
    let parts = network.is_some();
    let shape = Shape { groups: usize::from(groups), arguments: &FLAGS, ..Shape::default() };
    let cluster = block_in_place(|| Cluster::form_on(network, shape));
    let recorder = Arc::new(Recorder::default());
    let (stop, stopped) = watch::channel(false);
    let (mut running, mut ways) = (Vec::new(), Vec::new());
    for name in 0..CLIENTS {
        let node = name as usize % cluster.nodes();
        let way = Proxy::start(cluster.address(node), 10 * seed + u64::from(name)).await;
        let scheme = if name < 4 { "tcp" } else { "ws" };
        let address = format!("{scheme}://{}", way.address());
        let recorder = Arc::clone(&recorder);
        let (doubt, groups) = (Doubt::AtDeadline, groups_of(groups));
        let worker = Worker::new(name, seed, &address, recorder, doubt, groups);
        running.push(tokio::spawn(worker.work_until(stopped.clone())));
        ways.push(way);
    }
    let nemesis = Nemesis::new(seed, cluster, &ways, parts);
    let rage = if groups > 1 { nemesis.calmer() } else { nemesis }.rage();
    let faults = block_in_place(|| Handle::current().block_on(rage));
    stop.send_replace(true);
    for worker in running {
        within("a client to come to its end", LIMIT, worker).await.unwrap();
    }
    let recorder = Arc::into_inner(recorder).expect("the clients are gone");
    (recorder.into_history(), faults)
}
