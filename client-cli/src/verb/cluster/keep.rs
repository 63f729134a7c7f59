//! `cluster keep`: a drain is taken back.

use clap::Args;
use tidekeep_protocol::op::Cluster;

use super::change;
use crate::failure::Failure;
use crate::session::Session;

const EXAMPLES: &str = "\
Replicas that have moved come back as far as it is to hold its part again.

Examples:
  tidekeep cluster keep 3";

/// Take a drain back
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeepArgs {
    /// The node's number
    node: u64,
}

/// Runs the verb.
pub(super) async fn run(args: KeepArgs, session: &mut Session) -> Result<(), Failure> {
    let node = args.node;
    change(session, Cluster::Keep { node }, format_args!("node {node} may hold replicas")).await
}
