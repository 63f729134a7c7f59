//! Several nodes on this machine that keep one store: Tidekeep beside etcd, under the same load and the
//! same faults. `nodes` are the processes; each other file is something that is measured.

mod etcd;
mod growth;
mod idle;
mod nodes;
mod outage;
mod throughput;
mod tidekeep;

use anyhow::{Context, Error, Result};

use crate::bench::cluster::nodes::{Cluster, Kind};
use crate::bench::plan::Plan;
use crate::bench::results::Results;
use crate::setup;

/// What is measured of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Puts and gets each second.
    Load,
    /// The same of many groups.
    Groups,
    /// Leaders that are killed, or hand over.
    Outage,
    /// An empty node that joins.
    Growth,
    /// Nothing to do.
    Idle,
}

/// Measures each part; one that fails does not end the others.
pub(super) fn measure(plan: &Plan<'_>, parts: &[Part], results: &mut Results) -> Vec<Error> {
    let mut failures = Vec::new();
    for part in [Part::Load, Part::Groups, Part::Outage, Part::Growth, Part::Idle] {
        if parts.contains(&part) {
            let measured = measure_part(plan, part, results);
            failures.extend(measured.err().map(|error| error.context(format!("{part:?}"))));
        }
    }
    failures
}

/// Whose nodes Tidekeep's are held against, and their version.
pub(super) fn peer(plan: &Plan<'_>) -> String {
    let program = plan.with_peers().then(|| setup::etcd(plan.workspace).ok()).flatten();
    let version = program.and_then(|program| setup::etcd_version(&program));
    format!("etcd {}", version.as_deref().unwrap_or("absent"))
}

fn measure_part(plan: &Plan<'_>, part: Part, results: &mut Results) -> Result<()> {
    match part {
        Part::Load => {
            let kinds = [Kind::Etcd, Kind::Tidekeep, Kind::Alone, Kind::Bare];
            throughput::measure(plan, &mut start(plan, &kinds)?, &throughput::PEERS, results)
        }
        Part::Groups => {
            let kinds = [Kind::Tidekeep, Kind::Sixteen];
            throughput::measure(plan, &mut start(plan, &kinds)?, &throughput::GROUPS, results)
        }
        Part::Outage => each(plan, &[Kind::Etcd, Kind::Tidekeep], |kind| {
            outage::measure(plan, &mut Cluster::start(plan, kind)?, results)
        }),
        Part::Growth => {
            each(plan, &[Kind::Etcd, Kind::Tidekeep], |kind| growth::measure(plan, kind, results))
        }
        Part::Idle => each(plan, &[Kind::Etcd, Kind::Tidekeep, Kind::Sixteen], |kind| {
            idle::measure(plan, &mut Cluster::start(plan, kind)?, results)
        }),
    }
}

/// All at once, to be measured by turns.
fn start<'a>(plan: &'a Plan<'a>, kinds: &[Kind]) -> Result<Vec<Cluster<'a>>> {
    present(plan, kinds).map(|kind| Cluster::start(plan, kind)).collect()
}

/// One cluster after the other, so that none shares the machine.
fn each(
    plan: &Plan<'_>,
    kinds: &[Kind],
    mut measure: impl FnMut(Kind) -> Result<()>,
) -> Result<()> {
    present(plan, kinds).try_for_each(|kind| measure(kind).context(kind.name()))
}

/// Those that can be started here.
fn present(plan: &Plan<'_>, kinds: &[Kind]) -> impl Iterator<Item = Kind> {
    let peers = plan.with_peers();
    kinds.iter().copied().filter(move |kind| peers || *kind != Kind::Etcd)
}
