//! The Redis clients that the tests drive the server with: Debian's tools, redis-py and ioredis in a
//! folder of their own. Where they cannot be had, their tests are passed over.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;
use crate::setup::apt::Apt;
use crate::setup::node::Node;
use crate::setup::{Teller, first_time, on_path};
use crate::workspace::Workspace;

const PYTHON_CLIENT: &str = "redis==8.1.0";
const NODE_CLIENT: &str = "ioredis@6.0.0";
const LIMIT: Duration = Duration::from_secs(180);

/// Finds or installs them; each is tried once.
pub(super) fn prepare(workspace: &Workspace, teller: &Teller, node: &Node) -> Result<()> {
    if on_path("redis-cli").is_none() && first_time(workspace, "redis-tools")? {
        teller.doing("redis", "installing Debian's redis-tools, to test with Redis' own clients");
        let installed =
            Apt::open(workspace, &["redis-tools"]).and_then(|apt| apt.install(&["redis-tools"]));
        tell(teller, installed);
    }
    let folder = workspace.target().join("redis-clients");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    if !folder.join("venv/bin/python").exists() && first_time(workspace, "redis-py")? {
        teller.doing("redis", "installing redis-py by pip, to test with");
        tell(teller, python(workspace));
    }
    if !folder.join("node_modules/ioredis").exists() && first_time(workspace, "ioredis")? {
        teller.doing("redis", "installing ioredis by npm, to test with");
        let mut npm = node.command("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).arg(NODE_CLIENT);
        tell(teller, process::quiet(&mut npm, &workspace.scratch("log/npm-redis.log"), LIMIT));
    }
    Ok(())
}

fn python(workspace: &Workspace) -> Result<()> {
    let venv = workspace.target().join("redis-clients/venv");
    let log = workspace.scratch("log/pip-redis.log");
    let mut make = Command::new("python3");
    let made = process::quiet(make.args(["-m", "venv"]).arg(&venv), &log, LIMIT);
    let installed = made.and_then(|()| {
        let mut pip = Command::new(venv.join("bin/python"));
        process::quiet(pip.args(["-m", "pip", "install", "--quiet", PYTHON_CLIENT]), &log, LIMIT)
    });
    if installed.is_err() {
        // Half of it would be taken for the whole.
        let _ = fs::remove_dir_all(&venv);
    }
    installed
}

fn tell(teller: &Teller, done: Result<()>) {
    if let Err(error) = done {
        teller.doing("redis", &format!("going on without it: {error:#}"));
    }
}
