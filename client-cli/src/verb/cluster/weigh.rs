//! `cluster weigh`: how much a node holds beside the others.

use std::num::NonZeroU16;

use clap::Args;
use tidekeep_protocol::op::Cluster;

use super::change;
use crate::failure::Failure;
use crate::session::Session;

const EXAMPLES: &str = "\
Weights say how nodes share the replicas: one of twice the weight holds twice as many. Replicas
begin to move at once.

Examples:
  tidekeep cluster weigh 3 200    if the others have 100, twice as much as each of them";

/// Set how much a node should hold beside the others
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WeighArgs {
    /// The node's number
    node: u64,
    /// 1 to 65535
    weight: NonZeroU16,
}

/// Runs the verb.
pub(super) async fn run(args: WeighArgs, session: &mut Session) -> Result<(), Failure> {
    let (node, weight) = (args.node, args.weight.get());
    let done = format!("node {node} has weight {weight}");
    change(session, Cluster::Weigh { node, weight }, done).await
}
