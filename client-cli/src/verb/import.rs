//! `import`: loads JSON lines. A lost connection is waited for; a bad line is named.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::loader::lines::{self, Line};
use crate::loader::{Loader, Plan, Tally};
use crate::output::{Format, note, report};
use crate::progress::{Length, Progress, records};
use crate::session::{Session, until_interrupted};
use crate::time::{duration, short};

const EXAMPLES: &str = "\
Examples:
  tidekeep import packages.jsonl             load a file
  zcat backup.jsonl.gz | tidekeep import -   load standard input
  tidekeep import new.jsonl --if-absent      leave keys alone that are there
  tidekeep import new.jsonl --dry-run        only check the lines

Each line is an object: {\"key\": \"a\", \"value\": \"text\"}, bytes that are no text in base64 as
key_base64 and value_base64, and optionally expires_at in milliseconds since 1970. `export` writes
the same. When the connection breaks, the import waits for the server and goes on; what may or may
not have arrived is sent again, which does no harm. A later line with the same key wins.";

/// Load keys and values from JSON lines
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImportArgs {
    /// The file; - reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only check the lines, send nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave keys alone that are there already
    #[arg(long)]
    if_absent: bool,
    /// Name bad lines and go on behind them; the exit code is 2 in the end
    #[arg(long)]
    keep_going: bool,
    /// Begin at this line
    #[arg(long, value_name = "N", default_value_t = 1)]
    from_line: u64,
    /// Most requests under way at once
    #[arg(long, value_name = "N", default_value_t = 512)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
    in_flight: u16,
    /// How long to wait for a server that does not answer
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    patience: Duration,
    /// Show progress even where standard error is no terminal
    #[arg(long)]
    progress: bool,
}

/// What is printed in the end.
#[derive(Serialize)]
struct Summary {
    imported: u64,
    skipped: u64,
    bad: u64,
    bytes: u64,
    seconds: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

/// Runs the verb.
pub(crate) async fn run(args: ImportArgs, session: &mut Session) -> Result<Exit, Failure> {
    let (source, length) = open(&args)?;
    let lines = lines::read(source, args.from_line)
        .map_err(|error| Failure::invalid(format!("no thread to read with: {error}")))?;
    if args.dry_run {
        return check(&args, lines, session).await;
    }
    let client = session.client().await?;
    let plan = Plan {
        if_absent: args.if_absent,
        keep_going: args.keep_going,
        in_flight: usize::from(args.in_flight),
        patience: args.patience,
    };
    let mut progress = Progress::start(length, args.progress);
    let mut loader = Loader::new(client, plan, &mut progress);
    let result = until_interrupted(loader.run(lines)).await;
    let (tally, resume_line) = loader.end();
    progress.finish();
    let seconds = progress.elapsed().as_secs_f64();
    print(session, &tally, seconds, false)?;
    // The summary comes first, whatever else there is to say.
    session.out().flush()?;
    match result {
        Some(Ok(())) if tally.bad > 0 => Err(Failure::Said(Exit::Invalid)),
        Some(Ok(())) => Ok(Exit::Done),
        Some(Err(failure)) => {
            Err(failure.hint(format!("`--from-line {resume_line}` goes on from there")))
        }
        None => {
            note(format_args!("interrupted; `--from-line {resume_line}` goes on from there"));
            Err(Failure::Said(Exit::Interrupted))
        }
    }
}

fn open(args: &ImportArgs) -> Result<(Box<dyn Read + Send>, Length), Failure> {
    if args.file.as_os_str() == "-" {
        return Ok((Box::new(std::io::stdin()), Length::Unknown));
    }
    let unreadable = |error: std::io::Error| {
        Failure::invalid(format!("{} cannot be read: {error}", args.file.display()))
    };
    let file = File::open(&args.file).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    let length = if meta.is_file() { Length::Bytes(meta.len()) } else { Length::Unknown };
    Ok((Box::new(file), length))
}

/// Reads every line and sends nothing.
async fn check(
    args: &ImportArgs,
    mut lines: tokio::sync::mpsc::Receiver<std::io::Result<Vec<Line>>>,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let begun = std::time::Instant::now();
    let mut tally = Tally::default();
    while let Some(batch) = lines.recv().await {
        let batch = batch
            .map_err(|error| Failure::invalid(format!("the input cannot be read: {error}")))?;
        for line in batch {
            match line.record {
                Ok(record) => {
                    tally.imported += 1;
                    tally.bytes += (record.key.len() + record.value.len()) as u64;
                }
                Err(why) => {
                    tally.bad += 1;
                    let failure = Failure::invalid(why).at(format_args!("line {}", line.number));
                    if !args.keep_going {
                        return Err(failure.hint("--keep-going names all bad lines"));
                    }
                    report(&failure);
                }
            }
        }
    }
    print(session, &tally, begun.elapsed().as_secs_f64(), true)?;
    Ok(if tally.bad > 0 { Exit::Invalid } else { Exit::Done })
}

fn print(session: &mut Session, tally: &Tally, seconds: f64, dry_run: bool) -> Result<(), Failure> {
    let Tally { imported, skipped, bad, bytes } = *tally;
    let out = session.out();
    if out.format() == Format::Json {
        return out.json(&Summary { imported, skipped, bad, bytes, seconds, dry_run });
    }
    let done = if dry_run { "well-formed" } else { "imported" };
    let mut text = format!("{done}: {}, {}", records(imported), BinaryBytes(bytes));
    if skipped > 0 {
        text += &format!("; left alone: {}", HumanCount(skipped));
    }
    if bad > 0 {
        text += &format!("; bad lines: {}", HumanCount(bad));
    }
    let rate = (imported + skipped) as f64 / seconds.max(1e-3);
    text += &format!("; {}", short(Duration::from_secs_f64(seconds)));
    if !dry_run {
        text += &format!(", {}/s", HumanCount(rate as u64));
    }
    out.line(text)
}
