//! Proves that the dry crates need no std: they are compiled for a machine that has none.
//! A control crate that does ask for std must fail there, or the proof would prove nothing.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::setup::{BARE_TARGET, CrossRust};
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const DRY: [&str; 3] = ["tidekeep-protocol", "tidekeep-store", "tidekeep-client-core"];
const LIMIT: Duration = Duration::from_secs(600);
/// What rustc says when a crate asks for std in vain.
const NO_STD: &str = "can't find crate for `std`";

/// Compiles each dry crate by itself, then the control.
pub(super) fn check(workspace: &Workspace, rust: &CrossRust) -> Result<Tally> {
    let log = workspace.scratch("log/test-no_std.log");
    let mut passed = 0;
    for (name, mut cargo) in DRY.iter().zip(compiling(workspace, rust)) {
        process::quiet(cargo.current_dir(workspace.root()), &log, LIMIT)
            .with_context(|| format!("{name} does not build for {BARE_TARGET}"))?;
        passed += 1;
    }
    control(workspace, rust, &log)?;
    Ok(Tally { passed: passed + 1, failed: 0 })
}

/// The commands that compile the dry crates, each by itself: together, one could lend another a feature.
pub(super) fn compiling(workspace: &Workspace, rust: &CrossRust) -> Vec<Command> {
    let commands = DRY.iter().map(|name| {
        let mut cargo = build(workspace, rust);
        cargo.args(["--package", name]);
        cargo
    });
    commands.collect()
}

fn control(workspace: &Workspace, rust: &CrossRust, log: &Path) -> Result<()> {
    let folder = workspace.scratch("no-std-control");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let manifest = "[package]\nname = \"no-std-control\"\nedition = \"2024\"\n\n\
                    [lib]\npath = \"lib.rs\"\n\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest).context("cannot write the control crate")?;
    fs::write(folder.join("lib.rs"), "#![no_std]\nextern crate std;\n")
        .context("cannot write the control crate")?;
    let mut cargo = build(workspace, rust);
    let built = process::quiet(cargo.current_dir(&folder), log, LIMIT);
    let said = fs::read_to_string(log).unwrap_or_default();
    match built {
        Ok(()) => bail!("{BARE_TARGET} has a std after all: the check proves nothing"),
        Err(_) if said.contains(NO_STD) => Ok(()),
        Err(error) => Err(error.context("the control crate failed for another reason than std")),
    }
}

fn build(workspace: &Workspace, rust: &CrossRust) -> Command {
    let mut cargo = rust.bare_cargo();
    cargo
        .args(["build", "--target", BARE_TARGET])
        .env("CARGO_TARGET_DIR", workspace.target().join("bare"))
        // Alike for the workspace and the control, which then share the compiled core.
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    cargo
}
