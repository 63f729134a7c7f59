//! `touch`: moves the time at which a key ends and leaves its value alone.

use std::ffi::OsString;

use clap::Args;
use serde::Serialize;
use tidekeep_client::{Code, Expiry};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;
use crate::session::Session;
use crate::write_args::{ConditionArgs, ExpiryArgs};

const EXAMPLES: &str = "\
Examples:
  tidekeep touch session/7 --ttl 30m               it ends 30 minutes from now
  tidekeep touch session/7 --persist               it does not end by itself any more
  tidekeep touch lock --ttl 10s --if-value me      only if it is still mine
  tidekeep touch name                              only make a new revision, for those who watch

Prints the write's revision. Exit code 1 when there is no such key.";

/// Change when a key ends, not its value
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TouchArgs {
    /// The key
    #[arg(value_name = "KEY")]
    key: OsString,
    #[command(flatten)]
    expiry: ExpiryArgs,
    /// The key does not end by itself any more
    #[arg(long, conflicts_with_all = ["ttl", "expires_at", "lease"], help_heading = "Lifetime")]
    persist: bool,
    #[command(flatten)]
    condition: ConditionArgs,
}

#[derive(Serialize)]
struct TouchedJson {
    applied: bool,
    revision: u64,
    expires_at: Option<u64>,
}

/// Runs the verb.
pub(crate) async fn run(args: TouchArgs, session: &mut Session) -> Result<Exit, Failure> {
    let reading = session.reading();
    let key = reading.key(&args.key)?;
    let condition = args.condition.read(reading)?;
    let unasked = if args.persist { Expiry::Never } else { Expiry::Keep };
    let expiry = args.expiry.given().unwrap_or(unasked);
    let touched = match session.client().await?.touch(&key, expiry, condition).await {
        Ok(Some(touched)) => touched,
        Ok(None) => return Err(Failure::no_key(&key)),
        Err(error) if error.code() == Code::Conflict => {
            return Err(Failure::new(error.code(), "the condition does not hold")
                .hint("read the key again with `get --output json` and decide on what it is now"));
        }
        Err(error) => return Err(error.into()),
    };
    let out = session.out();
    let (revision, expires_at) = (touched.revision, touched.expires_at);
    match out.format() {
        Format::Json => out.json(&TouchedJson { applied: true, revision, expires_at })?,
        Format::Text => out.line(format_args!("revision {revision}"))?,
        Format::Raw => {}
    }
    Ok(Exit::Done)
}
