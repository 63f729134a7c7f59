//! `incr`: adds to a number that is kept as decimal text.

use std::ffi::OsString;

use clap::Args;
use serde::Serialize;
use tidekeep_client::Expiry;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;
use crate::session::Session;
use crate::write_args::ExpiryArgs;

const EXAMPLES: &str = "\
Examples:
  tidekeep incr visits               add 1; a new key counts from 0
  tidekeep incr stock --by -3        take 3 away
  tidekeep incr tries/7 --ttl 1m     and let it end in a minute

Prints the number after it. The key keeps the end it had unless another one is given. A value that
is no whole number is invalid input (exit code 2) and stays as it is.";

/// Add to a number
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct IncrArgs {
    /// The key
    #[arg(value_name = "KEY")]
    key: OsString,
    /// What to add
    #[arg(long, short, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    by: i64,
    #[command(flatten)]
    expiry: ExpiryArgs,
}

#[derive(Serialize)]
struct IncrementedJson {
    value: i64,
    revision: u64,
}

/// Runs the verb.
pub(crate) async fn run(args: IncrArgs, session: &mut Session) -> Result<Exit, Failure> {
    let key = session.reading().key(&args.key)?;
    let expiry = args.expiry.given().unwrap_or(Expiry::Keep);
    let done = session.client().await?.increment(&key, args.by, expiry).await?;
    let out = session.out();
    match out.format() {
        Format::Json => {
            out.json(&IncrementedJson { value: done.value, revision: done.revision })?;
        }
        Format::Text => out.line(done.value)?,
        Format::Raw => out.bytes(done.value.to_string().as_bytes())?,
    }
    Ok(Exit::Done)
}
