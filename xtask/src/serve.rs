//! `cargo xtask serve`: prepares, builds the page and becomes the server, so that signals reach it
//! and its line `listening on http://HOST:PORT` is the last one printed.

use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::setup::{self, Need, Talk};
use crate::web::{self, Flavour, Size};
use crate::workspace::Workspace;

/// Builds what is needed and runs the server with `args`; returns only when that fails, or, where
/// a process cannot become another, when the server has ended.
pub(crate) fn run(workspace: &Workspace, dev: bool, args: &[String]) -> Result<()> {
    let profile = build(workspace, dev)?;
    let mut server = Command::new(workspace.program_in(profile, "tidekeep-server"));
    server.args(args);
    process::become_it(server)
}

/// Builds the page, the server with it, and the command line; in which profile they are.
pub(crate) fn build(workspace: &Workspace, dev: bool) -> Result<&'static str> {
    let tools = setup::run(workspace, Need::Page, Talk::Actions)?;
    web::run(workspace, &tools, Flavour::Release, Size::Shown)?;
    // Both at once, as the tests build them: the command line is what a user types next.
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--package", "tidekeep-server", "--package", "tidekeep-cli"]);
    cargo.arg("--manifest-path").arg(workspace.path("Cargo.toml"));
    let profile = if dev { "debug" } else { "release" };
    if !dev {
        cargo.arg("--release");
    }
    process::loud(&mut cargo)?;
    Ok(profile)
}
