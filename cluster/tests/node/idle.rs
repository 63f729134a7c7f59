//! What nodes do when there is nothing to do: as little as can be, however many groups they have.

use std::time::Duration;

use openraft::type_config::AsyncRuntime;
use openraft_rt_sim::SimRuntime;

use crate::cluster::Cluster;

/// How often tasks of three nodes run each second, and how many of their timers go off, those of messages on
/// their way included.
fn work(groups: u16) -> (usize, usize) {
    const SECONDS: usize = 10;
    let mut runtime = SimRuntime::with_seed(31);
    let _cluster = runtime.block_on(async {
        let cluster = Cluster::serving(3, groups).await;
        SimRuntime::sleep(Duration::from_secs(5)).await;
        cluster
    });
    runtime.record_trace(true);
    runtime.block_on(async { SimRuntime::sleep(Duration::from_secs(SECONDS as u64)).await });
    let trace = runtime.take_trace();
    let count = |what: &str| trace.iter().filter(|event| event.starts_with(what)).count() / SECONDS;
    (count("poll "), count("fire "))
}

/// A group that nobody asks anything costs its leader's heartbeats, 13 messages a second with their replies,
/// and no timer of its own.
#[test]
fn a_group_at_rest_costs_its_heartbeats_alone() {
    let (few, many) = (work(1), work(16));
    let each = ((many.0 - few.0) / 15, (many.1 - few.1) / 15);
    assert!(each.0 < 130 && each.1 < 30, "{few:?} of one group, {many:?} of 16");
}
