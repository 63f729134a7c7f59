//! `cluster drain`: everything moves away from a node.

use clap::Args;
use tidekeep_protocol::op::Cluster;

use super::change;
use crate::failure::Failure;
use crate::session::Session;

const EXAMPLES: &str = "\
Its replicas are made anew on the other nodes before it gives them up, so nothing is at risk
meanwhile. It is refused (exit code 3) if too few nodes would be left. A drained node stays in the
cluster: `remove` takes it out, `keep` lets it hold replicas again.

Examples:
  tidekeep cluster drain 3
  tidekeep cluster status         how many replicas it still holds";

/// Move all replicas away from a node
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DrainArgs {
    /// The node's number
    node: u64,
}

/// Runs the verb.
pub(super) async fn run(args: DrainArgs, session: &mut Session) -> Result<(), Failure> {
    let node = args.node;
    let done = format!("node {node} drains; `tidekeep cluster status` shows what it still holds");
    change(session, Cluster::Drain { node }, done).await
}
