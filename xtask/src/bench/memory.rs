//! Resident memory of a server with a million entries.

use anyhow::{Error, Result};

use crate::bench::load::Load;
use crate::bench::plan::Plan;
use crate::bench::results::Results;
use crate::bench::server::{self, Cores, Durability, Kind, Server};
use crate::bench::throughput::CORE;

pub(super) fn measure(plan: &Plan<'_>, results: &mut Results) -> Vec<Error> {
    let mut failures = Vec::new();
    let sides = [
        ("memory/redis", Kind::Redis, Durability::None),
        ("memory/tidekeep", Kind::Tidekeep, Durability::None),
        ("memory/logging", Kind::Tidekeep, Durability::Always),
    ];
    for (name, kind, durability) in sides {
        results.clear(name);
        if kind == Kind::Redis && !plan.with_peers() {
            continue;
        }
        for _ in 0..plan.scale.rounds {
            match filled(plan, kind, durability) {
                Ok(bytes) => results.add(name, bytes),
                Err(error) => failures.push(error.context(name)),
            }
        }
    }
    failures
}

fn filled(plan: &Plan<'_>, kind: Kind, durability: Durability) -> Result<f64> {
    let flags = server::flags(kind, durability);
    let mut server = Server::start(plan, kind, flags, Cores::One(CORE))?;
    let load = Load::sweep(plan, plan.scale.keys, 64);
    load.fill(plan, &mut server)?;
    server.wait_until_quiet()?;
    let bytes = server.resident_bytes()?;
    load.check(plan, &mut server)?;
    Ok(bytes)
}
