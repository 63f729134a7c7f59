//! The language of `txn`: a clause a line, with the verbs and options of the command line itself.
//!
//! ```text
//! clause = "if" KEY test | "then" step | "else" step | step      (a bare step is a then)
//! test   = "absent" | "present" | "revision" N | "value" VALUE
//! step   = get KEY | put KEY VALUE … | delete KEY … | delete --prefix P | touch KEY … | incr KEY …
//! ```

use std::ffi::OsString;

use clap::{Args, Parser};
use tidekeep_client::{Condition, DeleteOptions, Expiry, PutOptions};

use super::{Script, Step};
use crate::failure::Failure;
use crate::input::{Reading, argument};
use crate::words;
use crate::write_args::{ConditionArgs, ExpiryArgs};

/// Reads lines; the failure names the line.
pub(crate) fn parse_lines(text: &[u8], reading: Reading) -> Result<Script, Failure> {
    let mut script = Script::default();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        clause(line, reading, &mut script)
            .map_err(|failure| failure.at(format_args!("line {}", index + 1)))?;
    }
    Ok(script)
}

/// Reads arguments, a clause each; the failure names the argument.
pub(crate) fn parse_clauses<'a>(
    clauses: impl Iterator<Item = &'a [u8]>,
    reading: Reading,
) -> Result<Script, Failure> {
    let mut script = Script::default();
    for (index, text) in clauses.enumerate() {
        clause(text, reading, &mut script)
            .map_err(|failure| failure.at(format_args!("clause {}", index + 1)))?;
    }
    Ok(script)
}

fn clause(text: &[u8], reading: Reading, script: &mut Script) -> Result<(), Failure> {
    let words = words::split(text).map_err(|error| Failure::invalid(error.to_string()))?;
    match words.split_first() {
        None => {}
        Some((word, rest)) if word == b"if" => script.compares.push(compare(rest, reading)?),
        Some((word, rest)) if word == b"then" => script.then.push(step(rest, reading)?),
        Some((word, rest)) if word == b"else" => script.otherwise.push(step(rest, reading)?),
        Some(_) => script.then.push(step(&words, reading)?),
    }
    Ok(())
}

fn compare(words: &[Vec<u8>], reading: Reading) -> Result<(Vec<u8>, Condition), Failure> {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let (key, condition) = match words.as_slice() {
        [key, b"absent"] => (key, Condition::Absent),
        [key, b"present"] => (key, Condition::Present),
        [key, b"revision", number] => (key, Condition::Revision(revision(number)?)),
        [key, b"value" | b"=", value] => {
            let value = argument(value.to_vec());
            (key, Condition::Value(reading.value(&value)?.into()))
        }
        _ => {
            return Err(Failure::invalid(
                "an if is: if KEY absent | present | revision N | value V",
            )
            .hint("quote a key or value that has spaces: if \"my key\" value \"my value\""));
        }
    };
    Ok((reading.key(&argument(key.to_vec()))?, condition))
}

fn revision(word: &[u8]) -> Result<u64, Failure> {
    std::str::from_utf8(word)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Failure::invalid("a revision is a whole number"))
}

fn step(words: &[Vec<u8>], reading: Reading) -> Result<Step, Failure> {
    let words = words.iter().map(|word| argument(word.clone()));
    let parsed = StepLine::try_parse_from(words).map_err(|error| one_line(&error))?;
    parsed.read(reading)
}

/// clap's message without the parts that only make sense for a whole command.
fn one_line(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = line.strip_prefix("error: ").unwrap_or(&line);
    Failure::invalid(message.to_owned())
        .hint("a step is: get KEY | put KEY VALUE | delete KEY | delete --prefix P | touch KEY | incr KEY")
}

/// A step as clap reads it: the command line's verbs with the options that make sense inside.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_help_subcommand = true)]
enum StepLine {
    Get {
        key: OsString,
    },
    Put {
        key: OsString,
        #[arg(allow_negative_numbers = true)]
        value: OsString,
        #[command(flatten)]
        condition: ConditionArgs,
        #[command(flatten)]
        expiry: ExpiryArgs,
        #[arg(long, conflicts_with_all = ["ttl", "expires_at", "lease"])]
        keep_ttl: bool,
        #[arg(long)]
        prev: bool,
    },
    Delete(DeleteStep),
    Touch {
        key: OsString,
        #[command(flatten)]
        condition: ConditionArgs,
        #[command(flatten)]
        expiry: ExpiryArgs,
        #[arg(long, conflicts_with_all = ["ttl", "expires_at", "lease"])]
        persist: bool,
    },
    Incr {
        key: OsString,
        #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
        by: i64,
        #[command(flatten)]
        expiry: ExpiryArgs,
    },
}

#[derive(Debug, Args)]
struct DeleteStep {
    #[arg(required_unless_present = "prefix", conflicts_with = "prefix")]
    key: Option<OsString>,
    #[arg(long)]
    prefix: Option<OsString>,
    #[command(flatten)]
    condition: ConditionArgs,
    #[arg(long)]
    prev: bool,
}

impl StepLine {
    fn read(self, reading: Reading) -> Result<Step, Failure> {
        Ok(match self {
            Self::Get { key } => Step::get(reading.key(&key)?),
            Self::Put { key, value, condition, expiry, keep_ttl, prev } => {
                let unasked = if keep_ttl { Expiry::Keep } else { Expiry::Never };
                let options = PutOptions {
                    condition: condition.read(reading)?,
                    expiry: expiry.given().unwrap_or(unasked),
                    previous: prev,
                };
                Step::put(reading.key(&key)?, &reading.value(&value)?, options)
            }
            Self::Delete(delete) => delete.read(reading)?,
            Self::Touch { key, condition, expiry, persist } => {
                let unasked = if persist { Expiry::Never } else { Expiry::Keep };
                let expiry = expiry.given().unwrap_or(unasked);
                Step::touch(reading.key(&key)?, expiry, condition.read(reading)?)
            }
            Self::Incr { key, by, expiry } => {
                Step::incr(reading.key(&key)?, by, expiry.given().unwrap_or(Expiry::Keep))
            }
        })
    }
}

impl DeleteStep {
    fn read(self, reading: Reading) -> Result<Step, Failure> {
        let options =
            DeleteOptions { condition: self.condition.read(reading)?, previous: self.prev };
        match self.prefix {
            None => Ok(Step::delete(reading.key(&self.key.unwrap_or_default())?, options)),
            Some(prefix) if options == DeleteOptions::default() => {
                Ok(Step::delete_prefix(reading.key(&prefix)?))
            }
            Some(_) => Err(Failure::invalid("delete --prefix takes no condition and no --prev")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Styles;

    fn script(text: &str) -> Script {
        parse_lines(text.as_bytes(), Reading::Exact).unwrap()
    }

    fn wrong(text: &str) -> String {
        let failure = parse_lines(text.as_bytes(), Reading::Exact).unwrap_err();
        let text = failure.text(&Styles::default());
        text.lines().next().unwrap().to_owned()
    }

    #[test]
    fn clauses_are_sorted_into_their_lists() {
        let script = script(
            "# claim the lock\n\
             if lock absent\n\
             if owner value \"John Doe\"\n\
             then put lock me --ttl 10s\n\
             incr claims --by -2\n\
             else get lock\n",
        );
        assert_eq!(
            script.compares,
            [
                (b"lock".to_vec(), Condition::Absent),
                (b"owner".to_vec(), Condition::Value("John Doe".into())),
            ]
        );
        let options = PutOptions { expiry: Expiry::After(10_000), ..PutOptions::default() };
        assert_eq!(
            script.then,
            [
                Step::put(b"lock".to_vec(), b"me", options),
                Step::incr(b"claims".to_vec(), -2, Expiry::Keep),
            ]
        );
        assert_eq!(script.otherwise, [Step::get(b"lock".to_vec())]);
    }

    #[test]
    fn steps_take_the_options_of_their_verbs() {
        let script = script(
            "put a 1 --if-revision 7 --keep-ttl --prev\n\
             delete b --if-present\n\
             delete --prefix c/\n\
             touch d --persist\n",
        );
        let options =
            PutOptions { condition: Condition::Revision(7), expiry: Expiry::Keep, previous: true };
        let present = DeleteOptions { condition: Condition::Present, previous: false };
        assert_eq!(
            script.then,
            [
                Step::put(b"a".to_vec(), b"1", options),
                Step::delete(b"b".to_vec(), present),
                Step::delete_prefix(b"c/".to_vec()),
                Step::touch(b"d".to_vec(), Expiry::Never, Condition::Always),
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_told_in_one_line_with_its_place() {
        assert_eq!(
            wrong("get a\nif a"),
            "error: line 2: an if is: if KEY absent | present | revision N | value V \
             (invalid-input)"
        );
        assert!(wrong("if a revision x").contains("a revision is a whole number"));
        assert!(wrong("get a\n\nfetch b").starts_with("error: line 3: unrecognized subcommand"));
        assert!(wrong("put a").contains("<VALUE>"), "{}", wrong("put a"));
        assert!(wrong("get \"a").contains("line 1: column 5: the quote is not closed"));
        assert!(wrong("delete --prefix a --if-present").contains("no condition"));
        assert!(wrong("put a b --ttl 10").contains("unit"));
    }
}
