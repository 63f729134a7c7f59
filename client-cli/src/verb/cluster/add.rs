//! `cluster add`: a fresh token, and the command by which a new machine joins with it.

use clap::Args;
use serde::Serialize;
use tidekeep_client::Code;
use tidekeep_protocol::op::{Cluster, ClusterReply};

use super::token::{self, Terms};
use super::{ask, unlike};
use crate::escape::escape;
use crate::failure::Failure;
use crate::output::Format;
use crate::session::Session;
use crate::time::whole_ms;

const EXAMPLES: &str = "\
It prints the command to run on the new machine, which needs `tidekeep-server` and an empty data
directory. As soon as it has joined, the cluster moves replicas to it by itself.

Examples:
  tidekeep cluster add                          one machine, within an hour
  tidekeep cluster add --uses 2                 the same command on two machines
  ssh new-machine \"$(tidekeep cluster add -o raw)\"";

/// Let a new machine in: prints what to run there
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    terms: Terms,
}

/// Runs the verb.
pub(super) async fn run(args: AddArgs, session: &mut Session) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct AddJson<'a> {
        command: &'a str,
        token: &'a str,
        peer: &'a str,
        lives_ms: u64,
        uses: u32,
    }
    let peer = peer(session).await?;
    let token = token::make(session, &args.terms).await?;
    let Terms { lives, uses, .. } = args.terms;
    let command = format!("tidekeep-server cluster join {peer} --token {token}");
    let out = session.out();
    match out.format() {
        Format::Json => {
            let (token, peer) = (&token, &peer);
            out.json(&AddJson { command: &command, token, peer, lives_ms: whole_ms(lives), uses })
        }
        Format::Raw => out.line(command),
        Format::Text => {
            let machines = match uses {
                1 => "the new machine".to_owned(),
                uses => format!("up to {uses} new machines"),
            };
            let within = humantime::format_duration(lives);
            out.line(format_args!("Run this on {machines}, within {within}:\n"))?;
            out.line(format_args!("  {command}\n"))?;
            out.line(
                "Before `cluster`, --data says where it keeps its data, --listen where clients find\n\
                 it, and --node-listen where the other nodes do. `tidekeep cluster status` shows it\n\
                 as soon as it has joined.",
            )
        }
    }
}

/// Where a new node finds one that is up: the coordinator, if it is.
async fn peer(session: &mut Session) -> Result<String, Failure> {
    let reply = ask(session, Cluster::Status).await?;
    let ClusterReply::Status(status) = reply.decode()? else { return Err(unlike()) };
    let up = || status.nodes.iter().filter(|node| node.up);
    let node = up().find(|node| node.node == status.coordinator).or_else(|| up().next());
    let node = node.ok_or_else(|| {
        let message = "no node is known to be up, so a new one would find nobody";
        Failure::new(Code::Unavailable, message).hint("look at `tidekeep cluster status`")
    })?;
    Ok(escape(node.peer.as_bytes()))
}
