//! What a cluster takes that nobody asks anything: CPU time of all nodes together, each second.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::bench::cluster::nodes::Cluster;
use crate::bench::plan::Plan;
use crate::bench::results::Results;

/// Measures it for a while, after the cluster has come to rest.
pub(super) fn measure(
    plan: &Plan<'_>,
    cluster: &mut Cluster<'_>,
    results: &mut Results,
) -> Result<()> {
    let series = format!("cluster-idle/{}", cluster.kind().name());
    results.clear(&series);
    cluster.wait_until_whole()?;
    for _ in 0..plan.scale.rounds {
        let (before, since) = (cluster.cpu_seconds()?, Instant::now());
        thread::sleep(Duration::from_secs_f64(plan.scale.calm_seconds));
        let taken = cluster.cpu_seconds()? - before;
        results.add(&series, 1e6 * taken / since.elapsed().as_secs_f64());
    }
    Ok(())
}
