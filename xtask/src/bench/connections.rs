//! Resident memory of connections that have asked once and only are there since.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context, Error, Result, bail};

use crate::bench::load::Load;
use crate::bench::plan::Plan;
use crate::bench::results::Results;
use crate::bench::server::{Cores, Kind, Server};
use crate::bench::throughput::CORE;

/// What they speak, and room for the bench's own connections.
const FLAGS: [&str; 2] = ["--max-connections", "20000"];

pub(super) fn measure(plan: &Plan<'_>, results: &mut Results) -> Vec<Error> {
    let mut failures = Vec::new();
    for protocol in ["native", "websocket", "resp"] {
        let name = format!("idle/{protocol}");
        results.clear(&name);
        match held(plan, protocol) {
            Ok(bytes) => results.add(&name, bytes),
            Err(error) => failures.push(error.context(name)),
        }
    }
    failures
}

/// What each connection adds, in bytes.
fn held(plan: &Plan<'_>, protocol: &'static str) -> Result<f64> {
    let connections = plan.scale.idle_connections;
    let mut server = Server::start(plan, Kind::Tidekeep, &FLAGS, Cores::One(CORE))?;
    server.wait_until_quiet()?;
    let before = server.resident_bytes()?;
    let load = Load { protocol, operation: "idle", connections, ..Load::sweep(plan, 1, 64) };
    let mut command = load.command(plan, &mut server);
    let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdout = BufReader::new(holder.stdout.take().context("the holder has no output")?);
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    if line.trim() != format!("holding {connections}") {
        // It has ended by itself, and said why.
        holder.wait()?;
        bail!("the connections could not be opened");
    }
    server.wait_until_quiet()?;
    let after = server.resident_bytes()?;
    // The end of its standard input ends it; it fails if the server closed a connection.
    drop(holder.stdin.take());
    if !holder.wait()?.success() {
        bail!("the connections could not be held");
    }
    Ok((after - before) / f64::from(connections))
}
