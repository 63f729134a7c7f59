//! Tidekeep's nodes: how they are started, by their defaults (every write synced), and what they say.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::bench::cluster::nodes::{Node, Place};
use crate::bench::plan::Plan;
use crate::bench::server::Cores;

/// Starts a server by itself.
pub(super) fn alone(plan: &Plan<'_>, place: &Place, data: &Path) -> Command {
    let mut command = plan.command(Cores::All, &plan.program("tidekeep-server"));
    command.args(["--listen", &place.client, "--data"]).arg(data.join("alone"));
    command
}

/// It listens once it can answer.
pub(super) fn serves(node: &Node) -> Result<()> {
    TcpStream::connect(&node.address)?;
    Ok(())
}
