//! `cluster`: how a cluster stands, and what an operator does to it: the list of its verbs, a file for
//! each in `cluster/`, and how their requests are asked and their errors told.

use clap::{Args, Subcommand};
use serde::Serialize;
use tidekeep_client::{Code, Error, Outcome};
use tidekeep_protocol::op::{Cluster, ClusterReply};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;
use crate::session::Session;

mod add;
mod drain;
mod keep;
mod remove;
mod split;
mod status;
mod token;
mod transfer;
mod weigh;

const EXAMPLES: &str = "\
Several servers, the nodes, keep one store: each key is on several of them, and the store goes on
while more than half of a group's replicas answer. Any node takes these commands.

  a first node    tidekeep-server cluster init
  another one     tidekeep cluster add         prints what to run on the new machine
  one to go       tidekeep cluster drain 3     moves its replicas away, then
                  tidekeep cluster remove 3    takes it out
  more groups     tidekeep cluster split 16    the only group becomes so many, while it serves

Examples:
  tidekeep cluster status                      who is up, who leads, what is behind
  tidekeep cluster status -o json | jq .nodes  the same for scripts
  tidekeep cluster add                         let another machine in
  tidekeep cluster transfer 0 2                node 2 leads group 0 from now on";

/// Look at a cluster and change it: nodes, tokens, leaders
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ClusterArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Status(status::StatusArgs),
    Add(add::AddArgs),
    Token(token::TokenArgs),
    Drain(drain::DrainArgs),
    Keep(keep::KeepArgs),
    Remove(remove::RemoveArgs),
    Weigh(weigh::WeighArgs),
    Transfer(transfer::TransferArgs),
    Split(split::SplitArgs),
}

/// Runs the verb.
pub(crate) async fn run(args: ClusterArgs, session: &mut Session) -> Result<Exit, Failure> {
    match args.verb {
        Verb::Status(args) => status::run(args, session).await?,
        Verb::Add(args) => add::run(args, session).await?,
        Verb::Token(args) => token::run(args, session).await?,
        Verb::Drain(args) => drain::run(args, session).await?,
        Verb::Keep(args) => keep::run(args, session).await?,
        Verb::Remove(args) => remove::run(args, session).await?,
        Verb::Weigh(args) => weigh::run(args, session).await?,
        Verb::Transfer(args) => transfer::run(args, session).await?,
        Verb::Split(args) => split::run(args, session).await?,
    }
    Ok(Exit::Done)
}

/// The reply to a request, as it came.
type Reply = tidekeep_client::Reply<Cluster<'static>>;

/// Asks for something.
async fn ask(session: &mut Session, request: Cluster<'static>) -> Result<Reply, Failure> {
    let client = session.client().await?;
    client.call(&request).await.map_err(failed)
}

/// Asks for a change, and says what it means.
async fn change(
    session: &mut Session,
    request: Cluster<'static>,
    done: impl std::fmt::Display,
) -> Result<(), Failure> {
    order(session, request).await?;
    say(session, done)
}

/// Asks for a change.
async fn order(session: &mut Session, request: Cluster<'static>) -> Result<(), Failure> {
    match ask(session, request).await?.decode()? {
        ClusterReply::Changed => Ok(()),
        ClusterReply::Token(_) | ClusterReply::Status(_) => Err(unlike()),
    }
}

/// Says that a change was made, and what it means.
fn say(session: &mut Session, done: impl std::fmt::Display) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Changed {
        changed: bool,
    }
    let out = session.out();
    match out.format() {
        Format::Json => out.json(&Changed { changed: true }),
        Format::Text => out.line(done),
        Format::Raw => Ok(()),
    }
}

fn failed(error: Error) -> Failure {
    let failure = Failure::new(error.code(), error.message());
    match error.code() {
        // The message says that the server runs alone, and what to do about it.
        Code::Unsupported | Code::Conflict => failure,
        Code::NotFound => failure.hint("`tidekeep cluster status` lists nodes and groups"),
        Code::Unavailable => failure.hint("another node may know more; name it with --server"),
        _ if error.outcome() == Outcome::Unknown => {
            failure.hint("ask again: what is done already stays as it is")
        }
        _ => error.into(),
    }
}

/// The server has answered something else than it was asked for.
fn unlike() -> Failure {
    Failure::new(Code::Protocol, "the server's reply is not to what was asked")
}
