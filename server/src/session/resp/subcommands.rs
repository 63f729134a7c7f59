//! The subcommands of commands that have some: which there are, and how many words each has.

use super::args::Args;
use super::fail::Fail;

/// A subcommand's name, and how many words it has with both names; at least so many if negative.
type Subcommand = (&'static str, i32);

const CLIENT: &[Subcommand] = &[
    ("id", 2),
    ("getname", 2),
    ("setname", 3),
    ("setinfo", 4),
    ("info", 2),
    ("list", -2),
    ("no-evict", 3),
    ("no-touch", 3),
    ("reply", 3),
];
const COMMAND: &[Subcommand] =
    &[("count", 2), ("info", -2), ("docs", -2), ("list", -2), ("getkeys", -4)];
const CONFIG: &[Subcommand] = &[("get", -3), ("set", -4), ("resetstat", 2)];
const MEMORY: &[Subcommand] = &[("usage", -3)];
const PUBSUB: &[Subcommand] = &[("channels", -2), ("numsub", -2), ("numpat", 2)];

fn of(command: &str) -> &'static [Subcommand] {
    match command {
        "client" => CLIENT,
        "command" => COMMAND,
        "config" => CONFIG,
        "memory" => MEMORY,
        "pubsub" => PUBSUB,
        _ => &[],
    }
}

fn find(command: &str, args: Args<'_, '_>) -> Option<&'static Subcommand> {
    of(command).iter().find(|(name, _)| args.is(1, name))
}

/// Refuses a subcommand that is not there, or has another number of words: before it is queued.
pub(super) fn check(command: &str, args: Args<'_, '_>) -> Result<(), Fail> {
    if of(command).is_empty() || args.len() == 1 {
        return Ok(());
    }
    let Some(&(_, arity)) = find(command, args) else {
        return Err(Fail::subcommand(command, args.get(1)));
    };
    if super::table::takes(arity, args.len()) {
        Ok(())
    } else {
        Err(Fail::arity(&full_name(command, args)))
    }
}

/// A command's name with its subcommand's.
pub(super) fn full_name(command: &str, args: Args<'_, '_>) -> String {
    match find(command, args) {
        Some((name, _)) => format!("{command}|{name}"),
        None => command.to_owned(),
    }
}
