//! How the word at the cursor may go on: a verb, an option of the verb, a value of the option, or a
//! key of the server.

use clap::{Command, CommandFactory};
use rustyline::completion::Pair;

use super::Keys;
use crate::args::Cli;
use crate::words::{self, Typing};

/// Where the word begins in the line, and what may stand there instead.
pub(super) fn complete(line: &str, keys: &Keys) -> (usize, Vec<Pair>) {
    let typing = words::typing(line.as_bytes());
    let pairs = match typing.before.split_first() {
        None => verbs(&typing.typed),
        Some((verb, rest)) => in_verb(verb, rest, &typing, keys),
    };
    (typing.start, pairs)
}

fn verbs(typed: &[u8]) -> Vec<Pair> {
    let command = Cli::command();
    let names = command.get_subcommands().map(Command::get_name).chain(["exit"]);
    let mut names: Vec<&str> =
        names.filter(|name| *name != "shell" && name.as_bytes().starts_with(typed)).collect();
    names.sort_unstable();
    names.into_iter().map(finished).collect()
}

fn in_verb(verb: &[u8], rest: &[Vec<u8>], typing: &Typing, keys: &Keys) -> Vec<Pair> {
    let command = Cli::command();
    let Some(verb) = command.get_subcommands().find(|known| known.get_name().as_bytes() == verb)
    else {
        return Vec::new();
    };
    if typing.typed.starts_with(b"-") {
        return options(&command, verb, &typing.typed);
    }
    if let Some(values) = rest.last().and_then(|option| values_of(&command, verb, option)) {
        let values = values.iter().filter(|value| value.as_bytes().starts_with(&typing.typed));
        return values.map(|value| finished(value)).collect();
    }
    let positional = rest.iter().filter(|word| !word.starts_with(b"-")).count();
    let takes_key = match verb.get_name() {
        "get" | "delete" => true,
        "put" | "touch" | "incr" | "list" | "watch" | "history" | "export" => positional == 0,
        _ => false,
    };
    if takes_key {
        keys.beginning_with(&typing.typed).iter().map(key).collect()
    } else {
        Vec::new()
    }
}

fn options(command: &Command, verb: &Command, typed: &[u8]) -> Vec<Pair> {
    let arguments = verb.get_arguments().chain(command.get_arguments());
    let mut names: Vec<String> = arguments
        .filter_map(|argument| argument.get_long())
        .map(|name| format!("--{name}"))
        .filter(|name| name.as_bytes().starts_with(typed))
        .collect();
    names.sort_unstable();
    names.iter().map(|name| finished(name)).collect()
}

/// The values that an option takes, if it is one of those with a list of them.
fn values_of(command: &Command, verb: &Command, option: &[u8]) -> Option<Vec<String>> {
    let option = std::str::from_utf8(option).ok()?;
    let argument = verb.get_arguments().chain(command.get_arguments()).find(|argument| {
        let long = option.strip_prefix("--");
        let short = option.strip_prefix('-').filter(|name| name.len() == 1);
        (long.is_some() && long == argument.get_long())
            || (short.is_some()
                && short.and_then(|name| name.chars().next()) == argument.get_short())
    })?;
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .filter(|name| argument.get_action().takes_values() && !name.is_empty())
        .collect();
    (!values.is_empty()).then_some(values)
}

fn finished(word: &str) -> Pair {
    Pair { display: word.to_owned(), replacement: format!("{word} ") }
}

/// A key, or the beginning of keys that all share it.
fn key(candidate: &super::keys::Candidate) -> Pair {
    let quoted = words::quote(&candidate.key);
    let open = candidate.branch && quoted.starts_with('"');
    let replacement = match (candidate.branch, open) {
        // An open quote, so that the next Tab goes on inside it.
        (true, true) => quoted.trim_end_matches('"').to_owned(),
        (true, false) => quoted.clone(),
        (false, _) => format!("{quoted} "),
    };
    Pair { display: quoted, replacement }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(line: &str) -> (usize, Vec<String>) {
        let keys = Keys::fixed(&[("app/", true), ("app name", false), ("with space/", true)]);
        let (start, pairs) = complete(line, &keys);
        (start, pairs.into_iter().map(|pair| pair.replacement).collect())
    }

    #[test]
    fn the_first_word_is_a_verb() {
        assert_eq!(candidates("p"), (0, vec!["ping ".into(), "put ".into()]));
        assert_eq!(candidates("  wat"), (2, vec!["watch ".into()]));
        assert_eq!(candidates("nonsense "), (9, vec![]));
    }

    #[test]
    fn a_dash_begins_an_option_of_that_verb() {
        assert_eq!(candidates("put k v --if-a"), (8, vec!["--if-absent ".into()]));
        assert_eq!(candidates("get --ou"), (4, vec!["--output ".into()]));
        assert_eq!(
            candidates("get k --output "),
            (15, vec!["text ".into(), "json ".into(), "raw ".into()])
        );
    }

    #[test]
    fn keys_complete_where_a_key_stands() {
        assert_eq!(candidates("get app"), (4, vec!["app/".into(), "\"app name\" ".into()]));
        assert_eq!(candidates("put app/x "), (10, vec![]));
        assert_eq!(candidates("get \"with"), (4, vec!["\"with space/".into()]));
    }
}
