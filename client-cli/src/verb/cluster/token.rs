//! `cluster token`: one word that lets new nodes in.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tidekeep_protocol::op::{Cluster, ClusterReply};

use super::unlike;
use crate::failure::Failure;
use crate::output::Format;
use crate::session::Session;
use crate::time::{duration, whole_ms};

const EXAMPLES: &str = "\
Whoever has the token can join, until its time is over or it is used up. It is printed once: the
cluster keeps nothing that it could be made of again. `tidekeep cluster add` prints the whole command.

Examples:
  tidekeep cluster token                          for one node, within an hour
  tidekeep cluster token --uses 5 --lives 30m     for five
  tidekeep-server cluster join 10.0.0.1:8079 --token \"$(tidekeep cluster token)\"";

/// Make a token that lets new nodes in; prints it alone
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    pub(super) terms: Terms,
}

/// What a token is good for.
#[derive(Debug, Args)]
pub(super) struct Terms {
    /// How long it lets nodes in: at most 30d
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub(super) lives: Duration,
    /// How many nodes it lets in
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) uses: u32,
    /// What to call it, to tell it from others
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(super) name: String,
}

/// Runs the verb.
pub(super) async fn run(args: TokenArgs, session: &mut Session) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct TokenJson<'a> {
        token: &'a str,
        lives_ms: u64,
        uses: u32,
    }
    let token = make(session, &args.terms).await?;
    let out = session.out();
    match out.format() {
        Format::Json => {
            let Terms { lives, uses, .. } = args.terms;
            out.json(&TokenJson { token: &token, lives_ms: whole_ms(lives), uses })
        }
        Format::Text | Format::Raw => out.line(token),
    }
}

/// Makes a token.
pub(super) async fn make(session: &mut Session, terms: &Terms) -> Result<String, Failure> {
    let client = session.client().await?;
    let Terms { lives, uses, name } = terms;
    let request = Cluster::Token { name, lives_ms: whole_ms(*lives), uses: *uses };
    let reply = client.call(&request).await.map_err(super::failed)?;
    match reply.decode()? {
        ClusterReply::Token(token) => Ok(token.to_owned()),
        ClusterReply::Changed | ClusterReply::Status(_) => Err(unlike()),
    }
}
