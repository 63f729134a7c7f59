//! What Tidekeep is measured against: Debian's Redis and NATS.

use anyhow::Result;

use crate::process;
use crate::setup::apt::Apt;
use crate::setup::{Teller, on_path};
use crate::workspace::Workspace;

const REDIS: &str = "redis-server";
const NATS: &str = "nats-server";

/// Finds or installs it. A server that the package starts by itself is left alone: the bench starts
/// its own on free ports.
pub(super) fn redis(workspace: &Workspace, teller: &Teller) -> Result<()> {
    if on_path(REDIS).is_none() {
        let apt = Apt::open(workspace, &[REDIS])?;
        teller.doing("redis", "installing Debian's redis-server, to measure against");
        apt.install(&[REDIS])?;
    }
    if let Some(version) = process::probe(REDIS, &["--version"]) {
        teller.found("redis", version.trim());
    }
    Ok(())
}

/// Finds or installs it; the bench starts its own, too.
pub(super) fn nats(workspace: &Workspace, teller: &Teller) -> Result<()> {
    if on_path(NATS).is_none() {
        let apt = Apt::open(workspace, &[NATS])?;
        teller.doing("nats", "installing Debian's nats-server, to measure against");
        apt.install(&[NATS])?;
    }
    if let Some(version) = process::probe(NATS, &["--version"]) {
        teller.found("nats", version.trim());
    }
    Ok(())
}
