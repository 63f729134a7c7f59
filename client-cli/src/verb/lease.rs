//! `lease`: times that a client keeps renewing, and that keys can go with: to grant one, keep it
//! alive, end it, and list them.

use std::time::Duration;

use clap::{Args, Subcommand};
use tidekeep_client::Code;
use tidekeep_protocol::op::{
    Lease, LeaseGrant, LeaseKeepAlive, LeaseReply, LeaseRevoke, LeaseRevokeReply, Leases,
};

use crate::entry_text::lifetime;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;
use crate::session::Session;
use crate::time::{duration, whole_ms};

const EXAMPLES: &str = "\
A lease is a time that somebody keeps renewing. Keys that were put with it are there for as long as
it is: when its time is over, or it is revoked, they all go at once.

Examples:
  tidekeep lease grant 30s                     prints the lease, for example 54
  tidekeep put nodes/a up --lease 54           nodes/a goes with it
  tidekeep lease keep-alive 54                 30 seconds from now on again
  tidekeep lease revoke 54                     ends it now, and removes its keys
  tidekeep lease list                          all there are, and how many keys go with each

`tidekeep lock` and `tidekeep elect` do all this by themselves.";

/// Grant, keep alive, revoke and list leases
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LeaseArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a lease; prints its number
    Grant {
        /// How long it lives after it was granted or kept alive: 200ms to 30d
        #[arg(value_name = "DURATION", value_parser = duration)]
        ttl: Duration,
    },
    /// Give a lease its whole time again (exit code 1 if it is over)
    KeepAlive {
        /// The lease
        lease: u64,
    },
    /// End a lease now and remove its keys (exit code 1 if it is over)
    Revoke {
        /// The lease
        lease: u64,
    },
    /// List the leases there are, oldest first
    List,
}

/// Runs the verb.
pub(crate) async fn run(args: LeaseArgs, session: &mut Session) -> Result<Exit, Failure> {
    let client = session.client().await?;
    match args.what {
        What::Grant { ttl } => {
            let reply = client.call(&LeaseGrant { ttl_ms: whole_ms(ttl) }).await?.decode()?;
            granted(session, &reply)?;
        }
        What::KeepAlive { lease } => {
            let answer = client.call(&LeaseKeepAlive { lease }).await;
            let reply = answer.map_err(|error| gone(lease, error))?.decode()?;
            kept_alive(session, &reply)?;
        }
        What::Revoke { lease } => {
            let answer = client.call(&LeaseRevoke { lease }).await;
            let reply = answer.map_err(|error| gone(lease, error))?.decode()?;
            revoked(session, &reply)?;
        }
        What::List => list(session).await?,
    }
    Ok(Exit::Done)
}

fn gone(lease: u64, error: tidekeep_client::Error) -> Failure {
    match error.code() {
        Code::NotFound => Failure::new(Code::NotFound, format!("there is no lease {lease}"))
            .hint("its time is over, or it was revoked; grant another with `tidekeep lease grant`"),
        _ => error.into(),
    }
}

fn granted(session: &mut Session, reply: &LeaseReply) -> Result<(), Failure> {
    let out = session.out();
    match out.format() {
        Format::Json => out.json(reply),
        Format::Text | Format::Raw => out.line(reply.lease),
    }
}

fn kept_alive(session: &mut Session, reply: &LeaseReply) -> Result<(), Failure> {
    let out = session.out();
    match out.format() {
        Format::Json => out.json(reply),
        Format::Text => out.line(lifetime(Some(reply.expires_at)).unwrap_or_default()),
        Format::Raw => Ok(()),
    }
}

fn revoked(session: &mut Session, reply: &LeaseRevokeReply) -> Result<(), Failure> {
    let out = session.out();
    match out.format() {
        Format::Json => out.json(reply),
        Format::Text => out.line(keys(reply.deleted)),
        Format::Raw => Ok(()),
    }
}

async fn list(session: &mut Session) -> Result<(), Failure> {
    let client = session.client().await?;
    let mut after = 0;
    loop {
        let page = client.call(&Leases { after, limit: 0 }).await?.decode()?;
        for lease in &page.leases {
            print(session, lease)?;
            after = lease.lease;
        }
        session.out().flush()?;
        if !page.more || page.leases.is_empty() {
            return Ok(());
        }
    }
}

fn print(session: &mut Session, listed: &Lease) -> Result<(), Failure> {
    let out = session.out();
    let Lease { lease, ttl_ms, expires_at, keys: tied } = *listed;
    match out.format() {
        Format::Json => out.json(listed),
        Format::Raw => out.line(lease),
        Format::Text => {
            let ttl = humantime::format_duration(Duration::from_millis(ttl_ms));
            let left = lifetime(Some(expires_at)).unwrap_or_default();
            out.line(format_args!("{lease}\t{}\tof {ttl}, {left}", keys(tied)))
        }
    }
}

fn keys(count: u64) -> String {
    if count == 1 { "1 key".to_owned() } else { format!("{count} keys") }
}
