//! `get`: prints a key's value and nothing else.

use std::ffi::OsString;

use clap::Args;
use tidekeep_client::Entry;

use crate::entry_text::print_value;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json::EntryJson;
use crate::output::Format;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  tidekeep get name                    the value, exactly its bytes
  tidekeep get picture > picture.png   bytes stay bytes
  tidekeep get name -o json            value, revisions, version and lifetime
  tidekeep get -e 'bin\\xff\\x00key'     a key that no keyboard types

On a terminal the value ends with a line end and unprintable bytes are escaped.
Exit code 1 when there is no such key.";

/// Print the value of a key and nothing else
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GetArgs {
    /// The key; several are printed a line each
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<OsString>,
}

/// Runs the verb.
pub(crate) async fn run(args: GetArgs, session: &mut Session) -> Result<Exit, Failure> {
    let reading = session.reading();
    let keys = args.keys.iter().map(|key| reading.key(key)).collect::<Result<Vec<_>, Failure>>()?;
    let client = session.client().await?;
    let several = keys.len() > 1;
    // All are asked for before the first one is printed.
    let replies: Vec<_> = keys.iter().map(|key| client.get(key)).collect();
    for (key, reply) in keys.iter().zip(replies) {
        match reply.await? {
            Some(entry) => print(session, &entry, several)?,
            None => return Err(Failure::no_key(key)),
        }
    }
    Ok(Exit::Done)
}

fn print(session: &mut Session, entry: &Entry, several: bool) -> Result<(), Failure> {
    let out = session.out();
    match out.format() {
        Format::Json => out.json(&EntryJson::full(entry)),
        Format::Text if several && !out.terminal() => {
            out.bytes(&entry.value)?;
            out.bytes(b"\n")
        }
        Format::Text | Format::Raw => print_value(out, &entry.value),
    }
}
