//! What the shell's line editor knows: when a line is complete, and how words go on.

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};
use tidekeep_client::Client;

mod complete;
pub(crate) mod history;
mod keys;

pub(crate) use keys::Keys;

/// The line editor's helper.
pub(crate) struct ShellHelper {
    keys: Keys,
}

impl ShellHelper {
    /// A helper that completes keys from where `keys` looks.
    pub(crate) fn new(keys: Keys) -> Self {
        Self { keys }
    }

    /// The connection to look for keys on, once there is one.
    pub(crate) fn set_client(&mut self, client: Option<Client>) {
        self.keys.set_client(client);
    }
}

impl Helper for ShellHelper {}
impl Highlighter for ShellHelper {}
impl Hinter for ShellHelper {
    type Hint = String;
}

impl Completer for ShellHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok(complete::complete(line.get(..position).unwrap_or(line), &self.keys))
    }
}

impl Validator for ShellHelper {
    /// An open quote goes on in the next line.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        match crate::words::split(context.input().as_bytes()) {
            Err(crate::words::BadWord::Open { .. }) => Ok(ValidationResult::Incomplete),
            _ => Ok(ValidationResult::Valid(None)),
        }
    }
}
