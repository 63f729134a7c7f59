//! `cluster split`: the only group becomes several, and the command waits until they serve.

use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::RangedU64ValueParser;
use tidekeep_client::Code;
use tidekeep_protocol::op::cluster_status::ClusterStatus;
use tidekeep_protocol::op::{Cluster, ClusterReply};

use super::{failed, order, say, unlike};
use crate::failure::Failure;
use crate::output::note;
use crate::session::Session;

const EXAMPLES: &str = "\
A store of one group has one order of writes, which one node leads. Groups share out the keys, each
with an order and a leader of its own, so that all nodes lead a part. Clients notice nothing but a
pause: reads and writes wait while every node parts what it holds in memory, no data crosses the
network, and watches go on without a gap. Then the leaders are spread over the nodes.

It is done once: from one group to 2 to 256, and never back. (Another number is made by way of a
backup: `tidekeep backup`, then on an empty directory `tidekeep-server restore` and
`cluster init --groups N`.) A transaction over keys of several groups takes more steps than before;
keys with the same {tag} stay in one group.

It is refused (exit code 3), and nothing has changed, if
  the store has several groups already, or as many as asked for
  a node does not answer, is about to join, or runs another version
  replicas are being moved: wait until `tidekeep cluster status` shows nothing under way
While it is under way `cluster status` says so, and no node can be removed.

Examples:
  tidekeep cluster split 16
  tidekeep cluster split 16 --no-wait
  tidekeep cluster status         groups, and who leads them";

/// Between two looks whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long to wait for the end. Parting takes seconds for gigabytes; a node that is gone meanwhile is not
/// waited for longer than the others need.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// Split a store of one group into several, while it serves
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SplitArgs {
    /// How many groups are to share the keys
    #[arg(value_parser = RangedU64ValueParser::<u16>::new().range(2..=256))]
    groups: u16,
    /// Do not wait until the new groups serve
    #[arg(long)]
    no_wait: bool,
}

/// Runs the verb.
pub(super) async fn run(args: SplitArgs, session: &mut Session) -> Result<(), Failure> {
    let SplitArgs { groups, no_wait } = args;
    order(session, Cluster::Split { groups }).await?;
    if no_wait {
        let under_way = format!(
            "the store is being split into {groups} groups; `tidekeep cluster status` shows when it is done"
        );
        return say(session, under_way);
    }
    wait(session, groups).await?;
    say(session, format!("the keys are shared by {groups} groups"))
}

async fn wait(session: &mut Session, groups: u16) -> Result<(), Failure> {
    let end = Instant::now() + WAIT_MAX;
    let mut told = String::new();
    loop {
        match session.client().await?.call(&Cluster::Status).await {
            Ok(reply) => {
                let ClusterReply::Status(status) = reply.decode()? else { return Err(unlike()) };
                let Some(waits_for) = waits_for(&status, groups) else { return Ok(()) };
                if told != waits_for {
                    note(format_args!("{waits_for}"));
                    told = waits_for;
                }
            }
            // Whoever coordinates may be another node now.
            Err(error) if matches!(error.code(), Code::Unavailable | Code::Timeout) => {}
            Err(error) => return Err(failed(error)),
        }
        if Instant::now() >= end {
            let why = format!("the store is not split yet after {} seconds", WAIT_MAX.as_secs());
            return Err(Failure::new(Code::Timeout, why)
                .hint("it goes on by itself; `tidekeep cluster status` shows when it is done"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What is still to come; none if the groups are there, and led.
fn waits_for(status: &ClusterStatus<'_>, groups: u16) -> Option<String> {
    if status.groups.len() < usize::from(groups) {
        return Some("each node parts what it holds".to_owned());
    }
    let led = status.groups.iter().filter(|group| group.leader.is_some()).count();
    let all = status.groups.len();
    (led < all).then(|| "the new groups find their leaders".to_owned())
}
