//! `put`: sets a key's value.

use std::ffi::OsString;

use clap::Args;
use serde::Serialize;
use tidekeep_client::{Code, Expiry, PutOptions, Written};

use crate::entry_text::{condition_failed, print_value};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json::EntryJson;
use crate::output::Format;
use crate::session::Session;
use crate::write_args::{ConditionArgs, ExpiryArgs};

const EXAMPLES: &str = "\
Examples:
  tidekeep put name \"John Doe\"                 set a key
  tidekeep put session/7 open --ttl 30m        it ends by itself after 30 minutes
  tidekeep put picture @picture.png            the content of a file (@@ for a real @)
  tidekeep put nodes/a up --lease 54           it goes when lease 54 ends, see `tidekeep lease`
  date | tidekeep put now -                    the content of standard input
  tidekeep put lock me --if-absent --ttl 10s   only if nobody has it (else exit code 3)
  tidekeep put conf @new --if-revision 41      only if nobody changed it since
  tidekeep put name Jane --prev                print the value it had

Prints the write's revision, or with --prev the value before.";

/// Set the value of a key
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PutArgs {
    /// The key
    #[arg(value_name = "KEY")]
    key: OsString,
    /// The value; - reads standard input, @file a file, @@ stands for a real @
    #[arg(value_name = "VALUE", allow_negative_numbers = true)]
    value: OsString,
    #[command(flatten)]
    condition: ConditionArgs,
    #[command(flatten)]
    expiry: ExpiryArgs,
    /// The key keeps the end it had
    #[arg(long, conflicts_with_all = ["ttl", "expires_at", "lease"], help_heading = "Lifetime")]
    keep_ttl: bool,
    /// Print the value it had before
    #[arg(long)]
    prev: bool,
}

#[derive(Serialize)]
struct Applied<'a> {
    applied: bool,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<EntryJson<'a>>,
}

/// Runs the verb.
pub(crate) async fn run(args: PutArgs, session: &mut Session) -> Result<Exit, Failure> {
    let reading = session.reading();
    let key = reading.key(&args.key)?;
    let condition = args.condition.read(reading)?;
    let unasked = if args.keep_ttl { Expiry::Keep } else { Expiry::Never };
    let expiry = args.expiry.given().unwrap_or(unasked);
    let value = reading.value(&args.value)?;
    let options = PutOptions { condition, expiry, previous: args.prev };
    match session.client().await?.put(&key, value, options).await {
        Ok(written) => print(session, &written, args.prev)?,
        Err(error) if error.code() == Code::Conflict => {
            return Err(condition_failed(session.out(), &key, &error));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Done)
}

fn print(session: &mut Session, written: &Written, previous: bool) -> Result<(), Failure> {
    let out = session.out();
    match (out.format(), &written.previous) {
        (Format::Json, before) => out.json(&Applied {
            applied: true,
            revision: written.revision,
            previous: before.as_ref().map(EntryJson::full),
        }),
        (_, Some(before)) => print_value(out, &before.value),
        (Format::Text, None) if !previous => {
            out.line(format_args!("revision {}", written.revision))
        }
        (Format::Text | Format::Raw, None) => Ok(()),
    }
}
