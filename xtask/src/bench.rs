//! `cargo xtask bench`: measures Tidekeep beside its peers on this machine, row by row, and says of
//! each row whether it reaches its target. What was measured is kept below the target directory, so
//! that rows can be measured one at a time; `--write` renders all of it into docs/.

mod background;
mod cluster;
mod connections;
mod curve;
mod figures;
mod load;
mod many;
mod memory;
mod page;
mod peers;
mod plan;
mod plot;
mod results;
mod row;
mod rows;
mod scene;
mod server;
mod throughput;
mod web;

use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::bench::plan::{Plan, Priority, Scale};
use crate::bench::results::Results;
use crate::bench::row::Row;
use crate::bench::rows::every_row;
use crate::bench::scene::Scene;
use crate::process;
use crate::workspace::Workspace;

/// What is measured and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Measure these rows only (comma-separated), by name or by a part of several names, as
    /// `get-16` or `native`
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds; each measures every server once, and the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Measured seconds of each run of the load generator
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Render everything measured so far into docs/benchmarks.md and docs/benchmarks/
    #[arg(long)]
    write: bool,
    /// Measure nothing; with --write, render what earlier runs measured
    #[arg(long)]
    stored: bool,
    /// Try the bench itself: small stores, a fraction of a second each, no Redis or etcd, nothing kept
    #[arg(long)]
    quick: bool,
    /// Run servers and load before all other work of this machine (root). For a look while other work
    /// goes on: real-time threads of one server do not share their core as they usually would
    #[arg(long)]
    ahead: bool,
    /// Let the load generator sleep while it waits for replies, so that servers also pay for waking
    /// it up, which clients on other machines would not make them do
    #[arg(long)]
    sleeping: bool,
    /// Name the rows and what they must reach
    #[arg(long)]
    list: bool,
}

/// What the bench is tried with: each kind of scene, and every protocol.
const SMOKE: [&str; 7] =
    ["get-16", "set-16-always", "idle", "start", "snapshot", "expiry", "cluster-put"];

/// Measures the rows that were asked for; says whether all of them could be measured.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let rows = selected(&options.only)?;
    if options.list {
        for row in &rows {
            println!("{:<20} {:<74} {}", row.id, row.what, row.target());
        }
        return Ok(true);
    }
    let mut results = if options.quick { Results::unkept() } else { Results::load(workspace)? };
    let mut failures = Vec::new();
    if !options.stored {
        let scale = match options.quick {
            true => Scale::small(),
            false => Scale::full(options.rounds, options.seconds),
        };
        let (quick, spin) = (options.quick, !options.sleeping && !options.quick);
        let priority = if options.ahead { Priority::RealTime } else { Priority::Usual };
        let plan = Plan { workspace, scale, quick, priority, spin };
        // What is weighed needs neither servers nor peers.
        if rows.iter().any(|row| !matches!(row.scene(), Scene::Sizes)) {
            build(workspace)?;
            peers::prepare(workspace, &plan)?;
        }
        failures = plan.measure(&rows, &mut results)?;
    }
    print!("{}", page::table(&rows, &results));
    for failure in &failures {
        println!("bench: {failure}");
    }
    if options.write {
        page::write(workspace, &results)?;
    }
    Ok(failures.is_empty())
}

/// Tries the bench itself on small stores; fails where a figure could not be had or a reply was wrong.
/// How many scenes were tried.
pub(crate) fn smoke(workspace: &Workspace) -> Result<usize> {
    let scale = Scale::small();
    let plan = Plan { workspace, scale, quick: true, priority: Priority::Usual, spin: false };
    build(workspace)?;
    let failures = plan.measure(&selected(&SMOKE.map(str::to_owned))?, &mut Results::unkept())?;
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(SMOKE.len())
}

/// Rows by their names, or by a part that several share.
fn selected(only: &[String]) -> Result<Vec<&'static Row>> {
    for name in only {
        if !every_row().any(|row| row.is_called(name)) {
            bail!("there is no row `{name}`; `cargo xtask bench --list` names them");
        }
    }
    let wanted = |row: &&Row| only.is_empty() || only.iter().any(|name| row.is_called(name));
    Ok(every_row().filter(wanted).collect())
}

/// One profile for all that is measured.
fn build(workspace: &Workspace) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--release"]);
    cargo.args(["--package", "tidekeep-server", "--package", "tidekeep-cli"]);
    cargo.args(["--package", "tidekeep-bench"]);
    process::loud(cargo.current_dir(workspace.root()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_name_or_by_what_they_share() {
        let ids = |only: &str| -> Vec<&str> {
            selected(&[only.to_owned()]).unwrap().iter().map(|row| row.id).collect()
        };
        assert_eq!(ids("native-get-16"), ["native-get-16"]);
        assert!(ids("get-16").contains(&"resp-get-16") && ids("get-16").contains(&"ws-get-16"));
        assert!(!ids("get-16").contains(&"resp-get-128"));
        assert!(ids("native").len() >= 6);
        assert!(selected(&["tea".to_owned()]).is_err());
    }
}
