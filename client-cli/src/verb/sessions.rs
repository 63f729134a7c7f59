//! `sessions`: who is connected to the server.

use std::time::Duration;

use clap::Args;
use tidekeep_protocol::op::{Connected, Sessions};

use crate::columns::{self, Cell};
use crate::escape::escape;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;
use crate::session::Session;
use crate::time::now_ms;

/// Connections that one request asks for.
const PAGE: u32 = 500;

const EXAMPLES: &str = "\
One line for each connection, oldest first, this command's own among them:
  client    what the client calls itself
  open      for how long it is connected
  idle      how long ago the server heard of it
  session   how old its session of numbered writes is, if it has one: by that, a write that was
            sent twice is run once. Sessions outlive connections; the last line counts them
  calls     requests that are not answered yet
  held      bytes that the server holds for it

Each node of a cluster tells of its own connections; name it with --server.

Examples:
  tidekeep sessions
  tidekeep sessions --limit 20                      the oldest 20
  tidekeep sessions -o json | jq 'select(.watches > 100)'";

/// Show who is connected to the server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SessionsArgs {
    /// Stop after this many
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<usize>,
}

/// Runs the verb.
pub(crate) async fn run(args: SessionsArgs, session: &mut Session) -> Result<Exit, Failure> {
    let client = session.client().await?;
    let (mut left, mut after) = (args.limit.unwrap_or(usize::MAX), 0);
    let names = [
        "id", "via", "address", "client", "open", "idle", "session", "watches", "calls", "held",
        "received", "sent",
    ];
    let mut rows = vec![names.map(Cell::heading).to_vec()];
    let counts = loop {
        let limit = PAGE.min(u32::try_from(left).unwrap_or(PAGE));
        // A limit of 0 would leave it to the server.
        let page = client.call(&Sessions { after, limit: limit.max(1) }).await?;
        let page = page.decode()?;
        for connected in page.sessions.iter().take(left) {
            after = connected.id;
            match session.out().format() {
                Format::Json => session.out().json(connected)?,
                Format::Raw => session.out().line(connected.address)?,
                Format::Text => rows.push(row(connected)),
            }
        }
        left = left.saturating_sub(page.sessions.len());
        if left == 0 || !page.more || page.sessions.is_empty() {
            break format!(
                "{}{}, {}",
                page.node.map_or_else(String::new, |node| format!("node {node}: ")),
                counted(page.connections, "connection"),
                counted(page.remembered, "remembered session"),
            );
        }
    };
    let out = session.out();
    if matches!(out.format(), Format::Text) {
        columns::print(out, &rows)?;
        out.line(counts)?;
    }
    Ok(Exit::Done)
}

fn row(connected: &Connected<'_>) -> Vec<Cell> {
    let now = now_ms();
    let since = |then: u64| ago(now.saturating_sub(then));
    let bytes = |count| Cell::plain(indicatif::BinaryBytes(count));
    vec![
        Cell::plain(connected.id),
        Cell::plain(escape(connected.transport.as_bytes())),
        Cell::plain(escape(connected.address.as_bytes())),
        Cell::plain(escape(connected.client.as_bytes())),
        Cell::plain(since(connected.since_ms)),
        Cell::plain(ago(connected.idle_ms)),
        Cell::plain(connected.session_since_ms.map_or_else(|| "-".to_owned(), since)),
        Cell::plain(connected.watches),
        Cell::plain(connected.calls),
        bytes(connected.buffer_bytes),
        bytes(connected.received_bytes),
        bytes(connected.sent_bytes),
    ]
}

/// A time that has passed, in whole seconds.
fn ago(ms: u64) -> String {
    humantime::format_duration(Duration::from_secs(ms / 1000)).to_string()
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
