//! Runs the load generator on its core and reads what it found.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::bench::figures::quantile;
use crate::bench::plan::{Plan, Scale};
use crate::bench::server::{Cores, Kind, Server};
use crate::process;

/// The core of the generator; the servers have the one before it.
const CORE: usize = 1;

/// Those of a load that asks again as soon as it is answered.
const CONNECTIONS: u32 = 50;

/// How long a slice of a load with a fixed rate is.
pub(super) const SLICE_MS: u64 = 100;

/// Whom a run goes to.
pub(super) struct Target {
    /// `HOST:PORT`, one or several, which connections take in turn.
    pub(super) addresses: Vec<String>,
    pub(super) pids: Vec<u32>,
    pub(super) ledger: PathBuf,
    /// What the run's writes bear.
    pub(super) generation: u8,
    /// The generator's. It sleeps while it waits, unless it has a core of its own.
    pub(super) cores: Cores,
}

/// What a run asks for; see `tidekeep-load --help`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) protocol: &'static str,
    pub(super) operation: &'static str,
    pub(super) connections: u32,
    pub(super) pipeline: u32,
    /// Each request in flight is a caller's of its own, who waits for no other.
    pub(super) callers: bool,
    pub(super) value_bytes: u32,
    pub(super) keys: u32,
    pub(super) first: u32,
    pub(super) ttl_ms: Option<u64>,
    /// As many as this and no more, where not the time counts.
    pub(super) requests: Option<u32>,
    pub(super) rate: Option<u32>,
    pub(super) seconds: f64,
    pub(super) warmup: f64,
}

/// What it found; every reply was right.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    operations: f64,
    pub(super) ops_per_second: f64,
    pub(super) latency_us: Latency,
    errors: u64,
    first_error: Option<String>,
    pub(super) own_utilisation: f64,
    server_cpu_seconds: Option<f64>,
    keys_written: Option<u64>,
    #[serde(default)]
    pub(super) slices: Vec<Slice>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// The latencies of a slice of time: microseconds, and how many replies took so long.
#[derive(Debug, Deserialize)]
pub(super) struct Slice {
    pub(super) ended_ms: u64,
    pub(super) counts: Vec<(u64, u64)>,
}

impl Found {
    /// CPU time of the server for each operation, in microseconds.
    pub(super) fn server_micros(&self) -> Option<f64> {
        let seconds = self.server_cpu_seconds.filter(|seconds| *seconds > 0.0)?;
        (self.operations > 0.0).then(|| seconds * 1e6 / self.operations)
    }
}

impl Found {
    /// The p99 of what was answered in this time, in microseconds; both ends since the Unix epoch.
    pub(super) fn p99_between(&self, from_ms: u64, to_ms: u64) -> Option<u64> {
        let within = |slice: &&Slice| (from_ms..to_ms).contains(&slice.ended_ms);
        let slices = self.slices.iter().filter(within);
        quantile(slices.flat_map(|slice| slice.counts.iter().copied()), 0.99)
    }
}

impl Load {
    /// Runs it to the end.
    pub(super) fn run(&self, plan: &Plan<'_>, server: &mut Server) -> Result<Found> {
        self.run_on(plan, &target(server))
    }

    /// The same, on whatever is to be loaded.
    pub(super) fn run_on(&self, plan: &Plan<'_>, target: &Target) -> Result<Found> {
        let mut command = self.command_on(plan, target);
        let line = process::shown(&command);
        let output = command.output().with_context(|| format!("cannot start `{line}`"))?;
        found(&output.stdout).with_context(|| {
            format!("`{line}`\n{}", String::from_utf8_lossy(&output.stderr).trim())
        })
    }

    /// The generator, ready to start.
    pub(super) fn command(&self, plan: &Plan<'_>, server: &mut Server) -> Command {
        self.command_on(plan, &target(server))
    }

    /// The same, for whatever is to be loaded.
    pub(super) fn command_on(&self, plan: &Plan<'_>, target: &Target) -> Command {
        let mut command = plan.command(target.cores, &plan.program("tidekeep-load"));
        command.args(["--address", &target.addresses.join(","), "--protocol", self.protocol]);
        command.args(["--op", self.operation]);
        // Keys that end by themselves are held against no ledger.
        if self.ttl_ms.is_none() {
            command.arg("--ledger").arg(&target.ledger);
        }
        let run = target.generation.to_string();
        command.args(["--seed", &run, "--generation", &run]);
        for (flag, value) in [
            ("--connections", u64::from(self.connections)),
            ("--pipeline", u64::from(self.pipeline)),
            ("--value-bytes", u64::from(self.value_bytes)),
            ("--keys", u64::from(self.keys)),
            ("--first", u64::from(self.first)),
        ] {
            command.args([flag, &value.to_string()]);
        }
        let pids: Vec<String> = target.pids.iter().map(u32::to_string).collect();
        command.args(["--server-pid", &pids.join(",")]);
        if let Some(ttl_ms) = self.ttl_ms {
            command.args(["--ttl-ms", &ttl_ms.to_string()]);
        }
        let own_core = matches!(target.cores, Cores::One(_));
        if plan.spin && own_core && ["get", "set"].contains(&self.operation) {
            command.arg("--spin");
        }
        if self.callers {
            command.arg("--callers");
        }
        if let Some(requests) = self.requests {
            command.args(["--requests", &requests.to_string()]);
        }
        if let Some(rate) = self.rate {
            command.args(["--rate", &rate.to_string(), "--slice-ms", &SLICE_MS.to_string()]);
        }
        command.args(["--seconds", &self.seconds.to_string()]);
        command.args(["--warmup", &self.warmup.to_string()]);
        command.stdin(Stdio::null());
        command
    }

    /// Asks for every key of a store once.
    pub(super) fn sweep(plan: &Plan<'_>, keys: u32, value_bytes: u32) -> Self {
        let Scale { seconds, warmup, .. } = plan.scale;
        Self {
            protocol: "native",
            operation: "fill",
            connections: CONNECTIONS,
            pipeline: 128,
            callers: false,
            value_bytes,
            keys,
            first: 0,
            ttl_ms: None,
            requests: None,
            rate: None,
            seconds,
            warmup,
        }
    }

    /// Writes every key once.
    pub(super) fn fill(self, plan: &Plan<'_>, server: &mut Server) -> Result<()> {
        let protocol = own_protocol(server);
        let fill = Self { protocol, operation: "fill", ..self };
        fill.run(plan, server).map(drop).context("cannot fill the store")
    }

    /// Reads every key once and holds its value and their number against what was acknowledged.
    pub(super) fn check(self, plan: &Plan<'_>, server: &mut Server) -> Result<()> {
        let protocol = own_protocol(server);
        let check = Self { protocol, operation: "check", ..self };
        let found =
            check.run(plan, server).context("the store's content is not what was written")?;
        let (known, told) = (found.keys_written, server.keys()?);
        if told.is_some() && told != known {
            bail!("the store has {told:?} keys, {known:?} were written");
        }
        Ok(())
    }
}

/// A server by itself, loaded from the core beside its own.
fn target(server: &mut Server) -> Target {
    Target {
        addresses: vec![server.address.clone()],
        pids: vec![server.pid()],
        ledger: server.ledger(),
        generation: server.next_generation(),
        cores: Cores::One(CORE),
    }
}

/// The protocol that a server certainly speaks.
fn own_protocol(server: &Server) -> &'static str {
    if server.kind() == Kind::Redis { "resp" } else { "native" }
}

/// Reads the generator's line; a run with a wrong reply gives no figures.
pub(super) fn found(stdout: &[u8]) -> Result<Found> {
    let text = String::from_utf8_lossy(stdout);
    let line = text.lines().last().context("it printed nothing")?;
    let found: Found = serde_json::from_str(line).context("it printed something unexpected")?;
    if found.errors > 0 {
        let first = found.first_error.as_deref().unwrap_or_default();
        bail!("{} replies were wrong; the first: {first}", found.errors);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(errors: u32) -> String {
        format!(
            r#"{{"operations":1000,"seconds":2.0,"ops_per_second":500.0,
               "latency_us":{{"p50":1.0,"p99":2.0,"p99_9":3.0,"max":4.0}},"errors":{errors},
               "first_error":null,"own_utilisation":0.5,"server_cpu_seconds":0.002,
               "keys_written":7}}"#
        )
        .replace('\n', "")
    }

    #[test]
    fn a_run_with_a_wrong_reply_gives_no_figures() {
        assert_eq!(found(line(0).as_bytes()).unwrap().server_micros(), Some(2.0));
        assert!(found(line(1).as_bytes()).is_err());
        assert!(found(b"").is_err());
    }
}
