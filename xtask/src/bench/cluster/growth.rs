//! A node of three that have a gibibyte is lost, and an empty one joins in its place: how long it takes until
//! that has all and votes, and what it does to reads and writes that go on meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::bench::background::{Background, now_ms};
use crate::bench::cluster::nodes::{Cluster, Kind};
use crate::bench::load::{Load, SLICE_MS};
use crate::bench::plan::Plan;
use crate::bench::results::Results;

/// Few large values, so that the fill is soon done.
const VALUE_BYTES: u32 = 16_000;
/// Keys that go on being read and written, behind the large ones.
const FIRST_KEY: u32 = 1 << 29;
const KEYS: u32 = 10_000;
const CONNECTIONS: u32 = 100;

/// Measures one join.
pub(super) fn measure(plan: &Plan<'_>, kind: Kind, results: &mut Results) -> Result<()> {
    let name = kind.name();
    let [time, before, during] =
        ["join", "join-before", "join-during"].map(|what| format!("cluster-{what}/{name}"));
    for series in [&time, &before, &during] {
        results.clear(series);
    }
    let mut cluster = Cluster::start(plan, kind)?;
    let keys = plan.scale.joined_bytes / VALUE_BYTES;
    let fill = |keys, bytes| Load {
        protocol: kind.protocol(),
        connections: CONNECTIONS,
        pipeline: 1,
        ..Load::sweep(plan, keys, bytes)
    };
    let mut target = cluster.target(&[cluster.leader()?]);
    fill(keys, VALUE_BYTES).run_on(plan, &target).context("cannot fill the cluster")?;
    // The small keys have a ledger of their own.
    target.ledger.set_extension("small");
    let small = Load { first: FIRST_KEY, ..fill(KEYS, 256) };
    small.run_on(plan, &target).context("cannot fill the cluster")?;

    let leader = cluster.leader()?;
    let mut followers = cluster.all().into_iter().filter(|&node| node != leader);
    cluster.lose(followers.next_back().context("nobody follows")?)?;
    let leader = cluster.wait_until_whole()?;
    let mut target = cluster.target(&[leader]);
    target.ledger.set_extension("small");
    let calm = plan.scale.calm_seconds;
    let paced = Load {
        operation: "mixed",
        rate: Some(plan.scale.cluster_rate),
        seconds: calm + 2.0 * plan.scale.disturbed_seconds,
        ..small
    };
    let load = Background::start(paced.command_on(plan, &target), cluster.data.path())?;
    let start = now_ms();
    thread::sleep(Duration::from_secs_f64(calm + plan.scale.warmup));
    let (began, since) = (now_ms(), Instant::now());
    cluster.grow()?;
    cluster.wait_until_whole()?;
    let ended = now_ms();
    results.add(&time, since.elapsed().as_secs_f64());
    let found = load.found()?;
    for (series, from, to) in [(before, start, began), (during, began, ended + SLICE_MS)] {
        let p99 = found.p99_between(from, to).context("no reply was timed")?;
        results.add(&series, p99 as f64);
    }
    Ok(())
}
