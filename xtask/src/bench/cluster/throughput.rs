//! Puts and linearizable gets each second of a hundred clients, each of which waits for its answer: once
//! with the clients spread over all nodes, once all at the leader. The better of the two ways counts. Once each of
//! them has a connection, and once ten share one, as the callers in a back end do.

use anyhow::{Context, Result};

use crate::bench::cluster::nodes::{Cluster, Kind};
use crate::bench::load::{Found, Load};
use crate::bench::plan::Plan;
use crate::bench::results::Results;

const CLIENTS: u32 = 100;
const VALUE_BYTES: u32 = 256;
/// One of the generator's operations, how many clients share a connection, and what the series are called.
type Operation = (&'static str, u32, &'static str);
/// Against others.
pub(super) const PEERS: [Operation; 4] = [
    ("set", 1, "cluster-put"),
    ("get", 1, "cluster-get"),
    ("set", 10, "cluster-put-shared"),
    ("get", 10, "cluster-get-shared"),
];
/// Many groups against one.
pub(super) const GROUPS: [Operation; 3] = [
    ("set", 1, "cluster-groups-put"),
    ("set", 10, "cluster-groups-put-shared"),
    ("get", 1, "cluster-groups-get"),
];
const WAYS: [Way; 2] = [Way::Spread, Way::Leader];
const FIGURES: [&str; 4] = ["per_second", "p50", "p99", "micros"];

/// Where the clients are.
#[derive(Debug, Clone, Copy)]
enum Way {
    Spread,
    Leader,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Leader => "leader",
        }
    }
}

/// Measures all clusters by turns.
pub(super) fn measure(
    plan: &Plan<'_>,
    clusters: &mut [Cluster<'_>],
    operations: &[Operation],
    results: &mut Results,
) -> Result<()> {
    for cluster in clusters.iter_mut() {
        forget(cluster.kind(), operations, results);
        let fill = load(plan, cluster.kind(), "fill", 1);
        run(plan, cluster, Way::Leader, fill).context("cannot fill the cluster")?;
    }
    for _ in 0..plan.scale.rounds {
        for (way, &operation) in WAYS.iter().flat_map(|way| operations.iter().map(|it| (*way, it)))
        {
            for cluster in clusters.iter_mut() {
                let (operation, share, id) = operation;
                let load = load(plan, cluster.kind(), operation, share);
                let found = run(plan, cluster, way, load)?;
                keep(&format!("{id}/{}-{}", cluster.kind().name(), way.name()), &found, results);
            }
        }
    }
    for cluster in clusters.iter_mut() {
        let check = load(plan, cluster.kind(), "check", 1);
        if let Err(error) = run(plan, cluster, Way::Spread, check) {
            // What was fast and wrong is no figure.
            forget(cluster.kind(), operations, results);
            return Err(error.context("the cluster does not hold what was written"));
        }
        choose(cluster.kind(), operations, results);
    }
    Ok(())
}

/// What the clients do, so many of them on each connection.
fn load(plan: &Plan<'_>, kind: Kind, operation: &'static str, share: u32) -> Load {
    Load {
        protocol: kind.protocol(),
        operation,
        connections: CLIENTS / share,
        pipeline: share,
        callers: share > 1,
        seconds: plan.scale.cluster_seconds,
        ..Load::sweep(plan, plan.scale.cluster_keys, VALUE_BYTES)
    }
}

fn run(plan: &Plan<'_>, cluster: &mut Cluster<'_>, way: Way, load: Load) -> Result<Found> {
    let nodes = match way {
        Way::Spread => cluster.all(),
        Way::Leader => vec![cluster.leader()?],
    };
    let target = cluster.target(&nodes);
    load.run_on(plan, &target).with_context(|| cluster.kind().name())
}

fn keep(series: &str, found: &Found, results: &mut Results) {
    let mut add = |figure: &str, value| results.add(&format!("{series}/{figure}"), value);
    add("per_second", found.ops_per_second);
    add("p50", found.latency_us.p50);
    add("p99", found.latency_us.p99);
    if let Some(micros) = found.server_micros() {
        add("micros", micros);
    }
}

/// Takes the way with more operations each second for the cluster's own figures.
fn choose(kind: Kind, operations: &[Operation], results: &mut Results) {
    for (_, _, id) in operations {
        let series = |way: Way| format!("{id}/{}-{}", kind.name(), way.name());
        let speed = |way: &Way| {
            results.spread(&format!("{}/per_second", series(*way))).map_or(0.0, |it| it.median)
        };
        let best = WAYS.into_iter().max_by(|one, other| speed(one).total_cmp(&speed(other)));
        for (figure, way) in FIGURES.iter().flat_map(|figure| best.map(|way| (figure, way))) {
            let from = format!("{}/{figure}", series(way));
            results.copy(&from, &format!("{id}/{}/{figure}", kind.name()));
        }
    }
}

/// Values of two runs do not mix, and a failed one has none.
fn forget(kind: Kind, operations: &[Operation], results: &mut Results) {
    for ((_, _, id), figure) in operations.iter().flat_map(|it| FIGURES.map(|figure| (it, figure)))
    {
        results.clear(&format!("{id}/{}/{figure}", kind.name()));
        for way in WAYS {
            results.clear(&format!("{id}/{}-{}/{figure}", kind.name(), way.name()));
        }
    }
}
