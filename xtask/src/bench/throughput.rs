//! Operations per second of one load, several servers by turns: A B C, A B C, … so that whatever
//! the machine does beside it meets all of them alike.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Error, Result};

use crate::bench::load::{Found, Load};
use crate::bench::plan::Plan;
use crate::bench::results::Results;
use crate::bench::scene::Workload;
use crate::bench::server::{self, Cores, Durability, Kind, Server};

/// The servers' core; the generator has the one behind it.
pub(super) const CORE: usize = 0;

/// A way to ask a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Arm {
    /// Redis by RESP.
    Redis,
    /// Tidekeep by RESP.
    Resp,
    /// The same, with a log that no reply waits for.
    Logging,
    /// Tidekeep by native frames over TCP.
    Native,
    /// Tidekeep by native frames over WebSocket.
    WebSocket,
    /// The bare store by native frames over TCP.
    Bare,
}

impl Arm {
    /// In the names of series.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Resp => "resp",
            Self::Logging => "logging",
            Self::Native => "native",
            Self::WebSocket => "websocket",
            Self::Bare => "bare",
        }
    }

    /// In the table.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::Resp => "RESP",
            Self::Logging => "RESP with a log",
            Self::Native => "native TCP",
            Self::WebSocket => "native WebSocket",
            Self::Bare => "bare store",
        }
    }

    /// In the plots, where no column says whose it is.
    pub(super) fn long_title(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::Resp => "Tidekeep, RESP",
            Self::Logging => "the same with a log",
            Self::Native => "Tidekeep, native TCP",
            Self::WebSocket => "Tidekeep, WebSocket",
            Self::Bare => "bare store",
        }
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Redis => Kind::Redis,
            Self::Resp | Self::Native | Self::WebSocket => Kind::Tidekeep,
            Self::Logging => Kind::Logging,
            Self::Bare => Kind::Bare,
        }
    }

    pub(super) fn protocol(self) -> &'static str {
        match self {
            Self::Redis | Self::Resp | Self::Logging => "resp",
            Self::Native | Self::Bare => "native",
            Self::WebSocket => "websocket",
        }
    }
}

/// What is measured of each arm in each round.
const FIGURES: [&str; 6] = ["per_second", "per_core", "micros", "p50_us", "p99_us", "generator"];

/// Measures `arms` under loads that share a store with so many keys; what failed is returned and
/// the other arms go on.
pub(super) fn measure(
    plan: &Plan<'_>,
    workloads: &[&Workload],
    (keys, rounds): (u32, u32),
    arms: &[Arm],
    results: &mut Results,
) -> Vec<Error> {
    let wanted = |arm: &&Arm| plan.with_peers() || **arm != Arm::Redis;
    let arms: Vec<Arm> = arms.iter().filter(wanted).copied().collect();
    let Some(first) = workloads.first() else { return Vec::new() };
    let fill = Load::sweep(plan, keys, first.value_bytes);
    forget(workloads, &arms, results);
    let mut failures = Vec::new();
    let mut servers = BTreeMap::new();
    for kind in arms.iter().map(|arm| arm.kind()).collect::<BTreeSet<_>>() {
        match begin(plan, kind, first.durability, fill) {
            Ok(server) => drop(servers.insert(kind, server)),
            Err(error) => failures.push(error.context(format!("{kind:?}"))),
        }
    }
    let mut lost = Vec::new();
    for workload in workloads {
        for arm in (0..rounds).flat_map(|_| &arms) {
            let Some(server) = servers.get_mut(&arm.kind()) else { continue };
            if lost.contains(arm) {
                continue;
            }
            let (operation, pipeline) = (workload.operation, workload.pipeline);
            let load = Load { protocol: arm.protocol(), operation, pipeline, ..fill };
            match run(plan, server, load) {
                Ok(found) => keep(workload.id, *arm, &found, results),
                Err(error) => {
                    failures.push(error.context(arm.name()));
                    lost.push(*arm);
                }
            }
        }
    }
    for (kind, mut server) in servers {
        if let Err(error) = verify(plan, &mut server, first.durability, fill) {
            failures.push(error.context(format!("{kind:?} afterwards")));
            // What was fast and wrong is no figure.
            lost.extend(arms.iter().filter(|arm| arm.kind() == kind));
        }
    }
    forget(workloads, &lost, results);
    failures
}

/// Values of two runs do not mix, and a failed one has none.
fn forget(workloads: &[&Workload], arms: &[Arm], results: &mut Results) {
    for (workload, arm) in workloads.iter().flat_map(|w| arms.iter().map(move |arm| (w, arm))) {
        for figure in FIGURES {
            results.clear(&format!("{}/{}/{figure}", workload.id, arm.name()));
        }
    }
}

/// A server with every key in it.
fn begin(plan: &Plan<'_>, kind: Kind, durability: Durability, load: Load) -> Result<Server> {
    let flags = server::flags(kind, durability);
    let mut server = Server::start(plan, kind, flags, Cores::One(CORE))?;
    load.fill(plan, &mut server)?;
    Ok(server)
}

fn run(plan: &Plan<'_>, server: &mut Server, load: Load) -> Result<Found> {
    server.wait_until_quiet()?;
    load.run(plan, server)
}

fn keep(id: &str, arm: Arm, found: &Found, results: &mut Results) {
    let mut add =
        |figure: &str, value| results.add(&format!("{id}/{}/{figure}", arm.name()), value);
    add("per_second", found.ops_per_second);
    add("p50_us", found.latency_us.p50);
    add("p99_us", found.latency_us.p99);
    add("generator", found.own_utilisation);
    if let Some(micros) = found.server_micros() {
        add("micros", micros);
        add("per_core", 1e6 / micros);
    }
}

/// Every acknowledged write must be there; after a crash, too, if that was promised.
fn verify(plan: &Plan<'_>, server: &mut Server, durability: Durability, load: Load) -> Result<()> {
    load.check(plan, server)?;
    if durability == Durability::Always {
        server.kill()?;
        server.serve_again()?;
        load.check(plan, server).context("after a crash")?;
    }
    Ok(())
}
