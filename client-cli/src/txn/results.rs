//! What a transaction did, as text for people and JSON for programs.

use serde::Serialize;
use tidekeep_client::{Touched, TxnDone, TxnResult, Written};

use super::{Script, Step};
use crate::escape::escape;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json::EntryJson;
use crate::output::{Format, Out};

/// Prints what was done; the exit code tells which list ran.
pub(crate) fn print(script: &Script, done: &TxnDone, out: &mut Out) -> Result<Exit, Failure> {
    let steps = if done.succeeded { &script.then } else { &script.otherwise };
    match out.format() {
        Format::Json => out.json(&DoneJson::new(done))?,
        Format::Raw => {
            for result in &done.results {
                if let TxnResult::Get(Some(entry)) = result {
                    out.bytes(&entry.value)?;
                }
            }
        }
        Format::Text => print_text(steps, done, out)?,
    }
    Ok(if done.succeeded { Exit::Done } else { Exit::Conflict })
}

fn print_text(steps: &[Step], done: &TxnDone, out: &mut Out) -> Result<(), Failure> {
    for (step, result) in steps.iter().zip(&done.results) {
        let (verb, key) = (step.verb, escape(&step.key));
        out.line(format_args!("{verb} {key}\t{}", result_text(result)))?;
    }
    let what = if done.succeeded { "done" } else { "the condition does not hold" };
    out.line(format_args!("{what}, revision {}", done.revision))
}

fn result_text(result: &TxnResult) -> String {
    match result {
        TxnResult::Get(Some(entry)) => escape(&entry.value),
        TxnResult::Get(None) | TxnResult::Delete(None) | TxnResult::Touch(None) => {
            "(no such key)".to_owned()
        }
        TxnResult::Put(written) => with_previous("set", written),
        TxnResult::Delete(Some(written)) => with_previous("deleted", written),
        TxnResult::Touch(Some(_)) => "touched".to_owned(),
        TxnResult::Increment(incremented) => incremented.value.to_string(),
        TxnResult::DeleteRange { deleted, more: false } => format!("deleted {deleted}"),
        TxnResult::DeleteRange { deleted, more: true } => {
            format!("deleted {deleted}, and there are more")
        }
    }
}

fn with_previous(what: &str, written: &Written) -> String {
    match &written.previous {
        Some(entry) => format!("{what} (was {})", escape(&entry.value)),
        None => what.to_owned(),
    }
}

#[derive(Serialize)]
struct DoneJson<'a> {
    succeeded: bool,
    revision: u64,
    results: Vec<ResultJson<'a>>,
}

impl<'a> DoneJson<'a> {
    fn new(done: &'a TxnDone) -> Self {
        Self {
            succeeded: done.succeeded,
            revision: done.revision,
            results: done.results.iter().map(ResultJson::new).collect(),
        }
    }
}

/// The result of one step under its verb.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum ResultJson<'a> {
    Get(Option<EntryJson<'a>>),
    Put(WriteJson<'a>),
    Delete(WriteJson<'a>),
    Touch(TouchJson),
    Incr { value: i64 },
    DeletePrefix { deleted: u64, more: bool },
}

#[derive(Serialize)]
struct WriteJson<'a> {
    applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<EntryJson<'a>>,
}

#[derive(Serialize)]
struct TouchJson {
    applied: bool,
    expires_at: Option<u64>,
}

impl<'a> ResultJson<'a> {
    fn new(result: &'a TxnResult) -> Self {
        match result {
            TxnResult::Get(entry) => Self::Get(entry.as_ref().map(EntryJson::full)),
            TxnResult::Put(written) => Self::Put(WriteJson::new(Some(written))),
            TxnResult::Delete(written) => Self::Delete(WriteJson::new(written.as_ref())),
            TxnResult::Touch(touched) => Self::Touch(TouchJson::new(touched.as_ref())),
            TxnResult::Increment(incremented) => Self::Incr { value: incremented.value },
            TxnResult::DeleteRange { deleted, more } => {
                Self::DeletePrefix { deleted: *deleted, more: *more }
            }
        }
    }
}

impl<'a> WriteJson<'a> {
    fn new(written: Option<&'a Written>) -> Self {
        let previous = written.and_then(|written| written.previous.as_ref());
        Self { applied: written.is_some(), previous: previous.map(EntryJson::full) }
    }
}

impl TouchJson {
    fn new(touched: Option<&Touched>) -> Self {
        let expires_at = touched.and_then(|touched| touched.expires_at);
        Self { applied: touched.is_some(), expires_at }
    }
}
