//! Node and npm, which bundle the package and the page, and the npm packages that do it.
//! Debian 12's own Node is too old, so a missing one comes as a package of the npm registry.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::setup::apt::Apt;
use crate::setup::rust::numbers;
use crate::setup::{Teller, on_path};
use crate::workspace::Workspace;

const OLDEST_NODE: &str = "20";
/// What is installed where Node is missing or older than that.
const FRESH_NODE: &str = "node@22";
const DEBIAN: [&str; 2] = ["nodejs", "npm"];
const NPM_LIMIT: Duration = Duration::from_secs(600);
/// Folders with a package.json that are always built, in the order in which one depends on the other.
const PACKAGES: [&str; 2] = ["client-web", "www"];

/// Node and npm, ready to run scripts.
pub(crate) struct Node {
    /// The folder of a Node that xtask installed; goes in front of PATH.
    own: Option<PathBuf>,
    pub(crate) version: String,
}

impl Node {
    /// A command that finds this Node first.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if let Some(own) = &self.own {
            command.env("PATH", with_front(own));
        }
        command
    }
}

fn with_front(folder: &Path) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_path_buf()).chain(env::split_paths(&path));
    env::join_paths(folders).unwrap_or(path)
}

/// Finds or installs Node and npm, then every folder's packages.
pub(super) fn prepare(workspace: &Workspace, teller: &Teller) -> Result<Node> {
    let node = find(workspace, teller)?;
    for folder in PACKAGES {
        install_packages(workspace, teller, &node, folder)?;
    }
    Ok(node)
}

fn find(workspace: &Workspace, teller: &Teller) -> Result<Node> {
    if on_path("npm").is_none() {
        let apt = Apt::open(workspace, &DEBIAN)?;
        teller.doing("node", "installing Debian's Node and npm, to bundle the page");
        apt.install(&DEBIAN)?;
    }
    if let Some(version) = new_enough("node") {
        teller.found("node", &format!("Node {version}"));
        return Ok(Node { own: None, version });
    }
    let home = workspace.scratch("node");
    let own = home.join("node_modules/.bin");
    if new_enough(own.join("node")).is_none() {
        teller.doing("node", &format!("installing {FRESH_NODE} by npm, as Node is too old here"));
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&home).arg(FRESH_NODE);
        process::quiet(&mut npm, &workspace.scratch("log/npm-node.log"), NPM_LIMIT)?;
    }
    let Some(version) = new_enough(own.join("node")) else {
        bail!("npm installed {FRESH_NODE}, but {} does not run", own.join("node").display());
    };
    teller.found("node", &format!("Node {version} in {}", own.display()));
    Ok(Node { own: Some(own), version })
}

fn new_enough(node: impl AsRef<std::ffi::OsStr>) -> Option<String> {
    let version = process::probe(node, &["--version"])?;
    let version = version.trim().trim_start_matches('v').to_owned();
    (numbers(&version) >= numbers(OLDEST_NODE)).then_some(version)
}

/// `npm ci` where the lock file is newer than what is installed.
pub(super) fn install_packages(
    workspace: &Workspace,
    teller: &Teller,
    node: &Node,
    folder: &str,
) -> Result<()> {
    let lock = workspace.path(folder).join("package-lock.json");
    let installed = workspace.path(folder).join("node_modules/.package-lock.json");
    if !lock.is_file() || !is_newer(&lock, &installed) {
        return Ok(());
    }
    teller.doing("npm", &format!("installing the npm packages that {folder} is built with"));
    let mut npm = node.command("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(workspace.path(folder));
    process::quiet(&mut npm, &workspace.scratch(&format!("log/npm-{folder}.log")), NPM_LIMIT)
}

fn is_newer(file: &Path, than: &Path) -> bool {
    let time = |path: &Path| path.metadata().and_then(|about| about.modified()).ok();
    time(file) > time(than)
}
