//! `cluster remove`: a node leaves for good.

use clap::Args;
use tidekeep_protocol::op::Cluster;

use super::change;
use crate::failure::Failure;
use crate::session::Session;

const EXAMPLES: &str = "\
A node that still holds replicas is not removed (exit code 3): drain it first. One that is gone for
good cannot be drained; --force removes it with what it held, and the other nodes make those
replicas anew. Even so it is refused if a group would be left without a majority. Its number is
never given again; to come back, the machine joins with an empty data directory.

Examples:
  tidekeep cluster drain 3        and once `status` shows no replicas on it:
  tidekeep cluster remove 3
  tidekeep cluster remove 3 --force      its disk is gone";

/// Take a node out for good
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RemoveArgs {
    /// The node's number
    node: u64,
    /// Although it holds replicas, because it will not come back
    #[arg(long)]
    force: bool,
}

/// Runs the verb.
pub(super) async fn run(args: RemoveArgs, session: &mut Session) -> Result<(), Failure> {
    let RemoveArgs { node, force } = args;
    let done = format!("node {node} is removed; its data directory can be deleted");
    change(session, Cluster::Remove { node, force }, done).await
}
