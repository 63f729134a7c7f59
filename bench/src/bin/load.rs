//! The load generator's program; see `tidekeep-load --help`.

use std::process::ExitCode;

use clap::Parser as _;
use tidekeep_bench::load;

fn main() -> ExitCode {
    load::run(&load::args::Args::parse())
}
