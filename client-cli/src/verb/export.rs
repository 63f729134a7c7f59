//! `export`: writes keys and values as JSON lines, a page at a time.

use clap::Args;
use tidekeep_client::ScanOptions;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::note;
use crate::progress::{Length, Progress, records};
use crate::range_args::RangeArgs;
use crate::record;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  tidekeep export > backup.jsonl              everything
  tidekeep export app/ | gzip > app.jsonl.gz  what begins with app/
  tidekeep export app/ | tidekeep -s other:8080 import -

Each line is an object as `import` reads it, with the entry's revision added. A key that is there
from the first line to the last is written exactly once; what changes meanwhile may be old or new.";

/// Write keys and values as JSON lines
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    range: RangeArgs,
    /// Show progress even where standard error is no terminal
    #[arg(long)]
    progress: bool,
}

/// Runs the verb.
pub(crate) async fn run(args: ExportArgs, session: &mut Session) -> Result<Exit, Failure> {
    let range = args.range.read(session.reading())?;
    let client = session.client().await?;
    // Lines on the terminal are progress enough.
    let mut progress = if session.out().terminal() {
        Progress::silent()
    } else {
        Progress::start(Length::Entries(client.count(&range).await?), args.progress)
    };
    let options = ScanOptions { page: PAGE_ENTRIES, ..ScanOptions::default() };
    let mut scan = client.scan(&range, options);
    let mut written = 0;
    while let Some(page) = scan.page().await? {
        for entry in &page {
            record::write(entry, session.out().stream())?;
        }
        written += page.len() as u64;
        progress.set(written, written);
    }
    session.out().flush()?;
    progress.finish();
    if !session.out().terminal() && std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        note(format_args!("exported {}", records(written)));
    }
    Ok(Exit::Done)
}

const PAGE_ENTRIES: u32 = 1000;
