//! Tidekeep's build tool, run as `cargo xtask <command>`: everything that cargo alone cannot do.
//! Each command is one file; every command first calls `setup` for the tools it needs.

mod bench;
mod cluster;
mod dist;
mod fingerprint;
mod process;
mod running;
mod serve;
mod setup;
mod test;
mod tidy;
mod web;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::setup::{Need, NeedsYou, Talk};
use crate::test::Length;
use crate::web::{Flavour, Size};
use crate::workspace::Workspace;

/// Builds, runs, tests and measures Tidekeep.
#[derive(Parser)]
#[command(
    bin_name = "cargo xtask",
    after_help = "Exit codes: 0 done, 1 a step failed, 2 wrong usage, 3 something has to be \
                  installed by hand (the exact command is printed)."
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install whatever the other commands need and this machine lacks
    Setup {
        /// Leave out the tools that only the tests need (chromium, no_std target, …)
        #[arg(long)]
        no_tests: bool,
    },
    /// Build the npm package and the page, and print the client's size
    Web {
        /// Keep panic messages and readable JavaScript
        #[arg(long)]
        debug: bool,
    },
    /// Build everything and run the server with the page in it
    Serve {
        /// Compile the server quickly rather than make it fast
        #[arg(long)]
        dev: bool,
        /// Passed on to tidekeep-server (see `cargo xtask serve -- --help`)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Build everything and run a cluster of servers on this machine
    Cluster(cluster::Options),
    /// Run every check: format, lints, tests, no_std, size, end to end, browser
    Test {
        /// Run one step instead of all (repeatable)
        #[arg(long, value_name = "STEP")]
        only: Vec<String>,
        /// Run every suite at the size that a release is held to: hours
        #[arg(long)]
        long: bool,
        /// Name the steps and the sizes of their suites, and run none
        #[arg(long)]
        list: bool,
    },
    /// Check the house rules that no compiler checks
    Tidy,
    /// Measure Tidekeep beside Redis, etcd and a bare store on this machine
    Bench(bench::Options),
    /// Put server, CLI, npm package and checksums into dist/
    Dist,
}

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            if error.is::<NeedsYou>() { ExitCode::from(3) } else { ExitCode::FAILURE }
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Setup { no_tests } => {
            let need = if no_tests { Need::Page } else { Need::Tests };
            setup::run(&workspace, need, Talk::Everything)?;
        }
        Command::Web { debug } => {
            let flavour = if debug { Flavour::Debug } else { Flavour::Release };
            let tools = setup::run(&workspace, Need::Page, Talk::Actions)?;
            web::run(&workspace, &tools, flavour, Size::Checked)?;
        }
        Command::Test { list: true, .. } => test::list(),
        Command::Test { only, long, list: false } => {
            let length = if long { Length::Long } else { Length::Everyday };
            // The count of tests is the last line; the exit code alone says the rest.
            let held = test::run(&workspace, &only, length)?;
            return Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Bench(options) => {
            let held = bench::run(&workspace, &options)?;
            return Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Cluster(options) => cluster::run(&workspace, &options)?,
        Command::Dist => dist::run(&workspace)?,
        Command::Tidy => tidy::run(&workspace)?,
        Command::Serve { dev, args } => serve::run(&workspace, dev, &args)?,
    }
    Ok(ExitCode::SUCCESS)
}
