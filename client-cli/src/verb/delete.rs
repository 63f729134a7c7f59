//! `delete`: removes keys, or all keys that begin with a prefix.

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use serde::Serialize;
use tidekeep_client::{Client, Code, DeleteOptions, KeyRange, Written};

use crate::entry_text::{condition_failed, print_value};
use crate::escape::escape;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json::EntryJson;
use crate::output::Format;
use crate::session::Session;
use crate::write_args::ConditionArgs;

const EXAMPLES: &str = "\
Examples:
  tidekeep delete name                    one key (exit code 1 if it is not there)
  tidekeep delete a b c                   several
  tidekeep delete lock --if-value me      only if it is still mine (else exit code 3)
  tidekeep delete name --prev             print the value it had
  tidekeep delete --prefix app/ --dry-run how many keys begin with app/
  tidekeep delete --prefix app/ --yes     remove them without asking

Prints how many keys were removed, or with --prev the value before.";

/// Remove keys, or every key that begins with a prefix
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DeleteArgs {
    /// The keys
    #[arg(value_name = "KEY", required_unless_present = "prefix", conflicts_with = "prefix")]
    keys: Vec<OsString>,
    #[command(flatten)]
    condition: ConditionArgs,
    /// Print the value it had before
    #[arg(long)]
    prev: bool,
    /// Remove every key that begins with this; "" for all keys
    #[arg(long, value_name = "PREFIX")]
    #[arg(conflicts_with_all = ["prev", "if_absent", "if_present", "if_revision", "if_value"])]
    prefix: Option<OsString>,
    /// Only say how many keys --prefix would remove
    #[arg(long, requires = "prefix")]
    dry_run: bool,
    /// Do not ask before removing by --prefix
    #[arg(long, short, requires = "prefix")]
    yes: bool,
}

#[derive(Serialize)]
struct Deleted<'a> {
    deleted: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<EntryJson<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

/// Runs the verb.
pub(crate) async fn run(args: DeleteArgs, session: &mut Session) -> Result<Exit, Failure> {
    match &args.prefix {
        Some(prefix) => {
            let prefix = session.reading().key(prefix)?;
            delete_prefix(&prefix, &args, session).await
        }
        None => delete_keys(&args, session).await,
    }
}

async fn delete_keys(args: &DeleteArgs, session: &mut Session) -> Result<Exit, Failure> {
    let reading = session.reading();
    let condition = args.condition.read(reading)?;
    let keys = args.keys.iter().map(|key| reading.key(key)).collect::<Result<Vec<_>, Failure>>()?;
    let client = session.client().await?;
    let mut deleted = 0;
    let mut missing = None;
    for key in &keys {
        let options = DeleteOptions { condition: condition.clone(), previous: args.prev };
        match client.delete(key, options).await {
            Ok(Some(written)) => {
                deleted += 1;
                print_one(session, &written)?;
            }
            Ok(None) => missing = Some(key),
            Err(error) if error.code() == Code::Conflict => {
                return Err(condition_failed(session.out(), key, &error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let out = session.out();
    if out.format() == Format::Text && !args.prev {
        out.line(format_args!("deleted {deleted}"))?;
    }
    missing.map_or(Ok(Exit::Done), |key| Err(Failure::no_key(key)))
}

fn print_one(session: &mut Session, written: &Written) -> Result<(), Failure> {
    let out = session.out();
    match (out.format(), &written.previous) {
        (Format::Json, before) => out.json(&Deleted {
            deleted: 1,
            revision: Some(written.revision),
            previous: before.as_ref().map(EntryJson::full),
            dry_run: false,
        }),
        (_, Some(before)) => print_value(out, &before.value),
        (_, None) => Ok(()),
    }
}

async fn delete_prefix(
    prefix: &[u8],
    args: &DeleteArgs,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let client = session.client().await?;
    let range = KeyRange::prefix(prefix);
    if args.dry_run {
        let count = client.count(&range).await?;
        return print_range(session, count, true);
    }
    if !args.yes && !confirmed(&client, prefix, &range).await? {
        return Err(Failure::Said(Exit::Invalid));
    }
    let deleted = client.delete_range(&range).await?;
    print_range(session, deleted, false)
}

fn print_range(session: &mut Session, count: u64, dry_run: bool) -> Result<Exit, Failure> {
    let out = session.out();
    match out.format() {
        Format::Json => {
            out.json(&Deleted { deleted: count, revision: None, previous: None, dry_run })?;
        }
        Format::Text if dry_run => out.line(format_args!("would delete {count}"))?,
        Format::Text => out.line(format_args!("deleted {count}"))?,
        Format::Raw => {}
    }
    Ok(Exit::Done)
}

/// Asks on a terminal; a script must say `--yes`.
async fn confirmed(client: &Client, prefix: &[u8], range: &KeyRange) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::invalid(
            "deleting by prefix asks first, and nobody is there to answer",
        )
        .hint("add --yes, or --dry-run to see how many keys it would be"));
    }
    let count = client.count(range).await?;
    let which = match prefix {
        b"" => "ALL keys".to_owned(),
        prefix => format!("every key that begins with \"{}\"", escape(prefix)),
    };
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "Delete {which} ({count})? [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    stdin
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::invalid(format!("the answer cannot be read: {error}")))?;
    let yes = matches!(answer.trim(), "y" | "Y" | "yes");
    if !yes {
        let _ = writeln!(stderr, "nothing was deleted");
    }
    Ok(yes)
}
