//! Finds the tools a command needs and installs those that are missing, one line for each action.
//! When nothing is missing it only probes, in well under a second.

mod apt;
mod etcd;
mod node;
mod peers;
mod redis_clients;
mod rust;
mod testing;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

pub(crate) use crate::setup::node::Node;
pub(crate) use crate::setup::rust::{BARE_TARGET, CrossRust, WASM_TARGET};
pub(crate) use crate::setup::testing::TestTools;
use crate::workspace::Workspace;

/// What the calling command is about to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Build the npm package and the page.
    Page,
    /// That, and run every test.
    Tests,
}

/// Whether findings are worth a line too, or actions only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Talk {
    Everything,
    Actions,
}

/// Runtimes from npm that the package is tested in.
const RUNTIMES: &str = "client-web/runtimes";

/// What setup found or made.
pub(crate) struct Tools {
    pub(crate) wasm: CrossRust,
    pub(crate) node: Node,
    /// Shrinks the module a little further; the build does without it.
    pub(crate) wasm_opt: Option<PathBuf>,
    /// Present when `Need::Tests` was asked for.
    pub(crate) tests: Option<TestTools>,
}

/// Something only the user can do; ends xtask with exit code 3.
#[derive(Debug)]
pub(crate) struct NeedsYou {
    why: String,
    command: String,
}

impl fmt::Display for NeedsYou {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; please type:\n\n    {}\n", self.why, self.command)
    }
}

impl std::error::Error for NeedsYou {}

/// Prints the one line a step is allowed.
pub(crate) struct Teller(Talk);

impl Teller {
    fn found(&self, what: &str, which: &str) {
        if self.0 == Talk::Everything {
            println!("setup: {what:<9} {which}");
        }
    }

    fn doing(&self, what: &str, action: &str) {
        println!("setup: {what:<9} {action}");
    }
}

/// Probes for everything in `need` and installs what is missing.
pub(crate) fn run(workspace: &Workspace, need: Need, talk: Talk) -> Result<Tools> {
    let teller = Teller(talk);
    let wasm = rust::wasm(workspace, &teller)?;
    let node = node::prepare(workspace, &teller)?;
    let wasm_opt = wasm_opt(workspace, &teller);
    let tests = match need {
        Need::Page => None,
        Need::Tests => {
            redis_clients::prepare(workspace, &teller, &node)?;
            node::install_packages(workspace, &teller, &node, RUNTIMES)?;
            Some(testing::prepare(workspace, &teller)?)
        }
    };
    Ok(Tools { wasm, node, wasm_opt, tests })
}

/// Finds or installs what counts covered lines; whether it is there.
pub(crate) fn coverage(workspace: &Workspace) -> bool {
    testing::tarpaulin(workspace, &Teller(Talk::Actions))
}

/// Finds or installs the Redis that Tidekeep is measured against.
pub(crate) fn redis(workspace: &Workspace) -> Result<()> {
    peers::redis(workspace, &Teller(Talk::Actions))
}

/// Finds or installs the NATS that the npm package is measured against.
pub(crate) fn nats(workspace: &Workspace) -> Result<()> {
    peers::nats(workspace, &Teller(Talk::Actions))
}

/// Installs the npm packages of a folder beside those that are always needed.
pub(crate) fn npm_packages(workspace: &Workspace, node: &Node, folder: &str) -> Result<()> {
    node::install_packages(workspace, &Teller(Talk::Actions), node, folder)
}

/// Finds or fetches the etcd that clusters are measured against.
pub(crate) fn etcd(workspace: &Workspace) -> Result<PathBuf> {
    etcd::prepare(workspace, &Teller(Talk::Actions))
}

/// The version of that one.
pub(crate) fn etcd_version(program: &Path) -> Option<String> {
    etcd::version(program)
}

/// Binaryen's optimiser: that of the npm package `binaryen`, which comes with what the package is
/// built with, or a newer enough one that is installed. Debian 12's (108) gives the table of
/// JavaScript values a wrong index.
fn wasm_opt(workspace: &Workspace, teller: &Teller) -> Option<PathBuf> {
    let of_npm = workspace.path("client-web/node_modules/.bin/wasm-opt");
    let found = [Some(of_npm), on_path("wasm-opt")]
        .into_iter()
        .flatten()
        .find(|path| binaryen_version(path).is_some_and(|version| version >= BINARYEN_OLDEST));
    match &found {
        Some(path) => teller.found("wasm-opt", &path.display().to_string()),
        None => teller.found("wasm-opt", "absent or too old; the module stays a little larger"),
    }
    found
}

/// The oldest version of binaryen whose result was seen to load.
const BINARYEN_OLDEST: u32 = 117;

/// The number in `wasm-opt version 132 (...)`.
fn binaryen_version(wasm_opt: &Path) -> Option<u32> {
    let output = Command::new(wasm_opt).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().find_map(|word| word.parse().ok())
}

/// Whether an attempt is the first one: what is optional is tried once, or every run would wait
/// where it cannot be had. `cargo clean` forgets it.
fn first_time(workspace: &Workspace, attempt: &str) -> Result<bool> {
    let mark = workspace.scratch(&format!("tried/{attempt}"));
    if mark.exists() {
        return Ok(false);
    }
    fs::create_dir_all(workspace.scratch("tried")).context("cannot write to the target folder")?;
    fs::write(&mark, "").with_context(|| format!("cannot write {}", mark.display()))?;
    Ok(true)
}

/// Where the shell would find a program.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
