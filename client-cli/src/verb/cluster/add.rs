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
  tidekeep cluster add 10.0.0.4          within an hour, with the ports of the other nodes
  ssh 10.0.0.4 \"$(tidekeep cluster add 10.0.0.4 -o raw)\"
  tidekeep cluster add --uses 3          for three machines; put in the HOST of each";

/// Let a new machine in: prints what to run there
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AddArgs {
    /// The new machine, by the name or number by which nodes and clients reach it
    #[arg(default_value = "HOST", hide_default_value = true)]
    host: String,
    #[command(flatten)]
    terms: Terms,
}

/// A node that is up.
struct Known {
    peer: String,
    client_port: String,
    peer_port: String,
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
    let Known { peer, client_port, peer_port } = known(session).await?;
    let token = token::make(session, &args.terms).await?;
    let Terms { lives, uses, .. } = args.terms;
    let host = &args.host;
    let command = format!(
        "tidekeep-server --listen {host}:{client_port} --node-listen {host}:{peer_port} \
         cluster join {peer} --token {token}"
    );
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
                "Clients find it at --listen, other nodes at --node-listen; --data, before `cluster`,\n\
                 says where it keeps its data. `tidekeep cluster status` shows it once it has joined.",
            )
        }
    }
}

/// Where a new node finds one that is up: the coordinator, if it is.
async fn known(session: &mut Session) -> Result<Known, Failure> {
    let reply = ask(session, Cluster::Status).await?;
    let ClusterReply::Status(status) = reply.decode()? else { return Err(unlike()) };
    let up = || status.nodes.iter().filter(|node| node.up);
    let node = up().find(|node| node.node == status.coordinator).or_else(|| up().next());
    let node = node.ok_or_else(|| {
        let message = "no node is known to be up, so a new one would find nobody";
        Failure::new(Code::Unavailable, message).hint("look at `tidekeep cluster status`")
    })?;
    Ok(Known {
        peer: escape(node.peer.as_bytes()),
        client_port: port(node.client).to_owned(),
        peer_port: port(node.peer).to_owned(),
    })
}

/// The port in `HOST:PORT`.
fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap_or_default()
}
