//! `cluster transfer`: another replica leads a group.

use clap::Args;
use tidekeep_protocol::op::Cluster;

use super::change;
use crate::failure::Failure;
use crate::session::Session;

const EXAMPLES: &str = "\
The node must hold a replica of the group that votes. Writes wait for some milliseconds meanwhile.
It stays so, unless the node would lead more groups than its part.

Examples:
  tidekeep cluster transfer 0 2   node 2 leads group 0";

/// Let another node lead a group
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TransferArgs {
    /// The group's number
    group: u16,
    /// The node that is to lead it
    to: u64,
}

/// Runs the verb.
pub(super) async fn run(args: TransferArgs, session: &mut Session) -> Result<(), Failure> {
    let TransferArgs { group, to } = args;
    let done = format!("node {to} leads group {group}");
    change(session, Cluster::Transfer { group, to }, done).await
}
