//! The step `threads`: the models in `log/src/interleavings.rs`, in which loom tries every order that
//! threads can meet in. The crate is compiled for that in a folder of its own.

use std::process::Command;

use anyhow::Result;

use crate::test::tally::Tally;
use crate::test::{Run, cargo};
use crate::workspace::Workspace;

/// What a model spends its time in.
const OPTIMISED: [&str; 5] =
    ["loom", "generator", "tidekeep-protocol", "tidekeep-store", "tidekeep-log"];

/// Compiles the log on loom's locks and atomics, and runs its models.
pub(super) fn run(run: &Run<'_>) -> Result<Tally> {
    let mut tests = testing(run.workspace);
    run.counted("threads", tests.args(["interleavings::", "--", "--show-output"]))
}

/// The command that compiles the log on loom's locks; what follows says what to run.
pub(super) fn testing(workspace: &Workspace) -> Command {
    let mut cargo = cargo(&["test", "--locked", "--package", "tidekeep-log", "--lib"]);
    cargo.arg("--target-dir").arg(workspace.target().join("loom"));
    cargo.env("RUSTFLAGS", "--cfg loom");
    // Millions of switches, which no debugger is to look at. What else is built is hardly run.
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "none");
    for package in OPTIMISED {
        cargo.args(["--config", &format!("profile.dev.package.{package}.opt-level=1")]);
    }
    cargo
}
