//! `test`: tries every operation on the live server, below a throw-away prefix that is removed in
//! the end.

use std::time::Instant;

use clap::Args;
use serde::Serialize;
use tidekeep_client::{Client, KeyRange};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, note};
use crate::selftest::{CHECKS, Check, Probe, Wrong};
use crate::session::{Session, until_interrupted};
use crate::time::short;

const EXAMPLES: &str = "\
Examples:
  tidekeep test                       try the server at the default address
  tidekeep test -s ws://host:8080/ws  the same through WebSocket

Works below tidekeep-test/ and a random name, and removes what it put there. Exit code 0 when every
check passed, else the class of the first one that failed.";

/// Try every operation on the live server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TestArgs {}

#[derive(Serialize)]
struct CheckJson<'a> {
    name: &'a str,
    passed: bool,
    ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct TotalJson {
    passed: usize,
    failed: usize,
}

/// Runs the verb.
pub(crate) async fn run(_: TestArgs, session: &mut Session) -> Result<Exit, Failure> {
    let client = session.client().await?;
    let prefix = format!("tidekeep-test/{:016x}/", fastrand::u64(..));
    let result = until_interrupted(all(&client, &prefix, session)).await;
    // Also after an interrupt, and when the output is closed.
    let cleaned = client.delete_range(&KeyRange::prefix(prefix.as_bytes())).await;
    if let Err(error) = cleaned {
        note(format_args!("keys below {prefix} could not be removed: {}", error.message()));
    }
    result.unwrap_or(Err(Failure::Said(Exit::Interrupted)))
}

async fn all(client: &Client, prefix: &str, session: &mut Session) -> Result<Exit, Failure> {
    let mut failed = 0;
    let mut exit = Exit::Done;
    for (number, check) in CHECKS.iter().enumerate() {
        let probe = Probe::new(client.clone(), format!("{prefix}{number}/"));
        let begun = Instant::now();
        let limit = session.global().timeout;
        let result = tokio::time::timeout(limit, (check.run)(&probe)).await;
        let result = result.unwrap_or_else(|_| {
            Err(Wrong { message: format!("no end within {limit:?}"), exit: Exit::Network })
        });
        if let Err(wrong) = &result {
            failed += 1;
            exit = if exit == Exit::Done { wrong.exit } else { exit };
        }
        print(session, check, begun, &result)?;
    }
    let passed = CHECKS.len() - failed;
    let out = session.out();
    match out.format() {
        Format::Json => out.json(&TotalJson { passed, failed })?,
        Format::Text | Format::Raw => out.line(format_args!("{passed} passed, {failed} failed"))?,
    }
    Ok(exit)
}

fn print(
    session: &mut Session,
    check: &Check,
    begun: Instant,
    result: &Result<(), Wrong>,
) -> Result<(), Failure> {
    let took = begun.elapsed();
    let error = result.as_ref().err().map(|wrong| wrong.message.as_str());
    let out = session.out();
    if out.format() == Format::Json {
        let (ms, passed) = (took.as_secs_f64() * 1e3, error.is_none());
        out.json(&CheckJson { name: check.name, passed, ms, error })?;
        return out.flush();
    }
    let mark = match error {
        None => out.paint(anstyle::AnsiColor::Green.on_default(), "ok  "),
        Some(_) => out.paint(anstyle::AnsiColor::Red.on_default().bold(), "FAIL"),
    };
    out.line(format_args!("{mark}  {:46}{:>9}", check.name, short(took)))?;
    if let Some(error) = error {
        out.line(format_args!("      {error}"))?;
    }
    out.flush()
}
