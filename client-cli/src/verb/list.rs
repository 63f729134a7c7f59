//! `list`: the entries of a prefix or a range in key order, how many there are, or the names
//! directly below a prefix.

use std::ffi::OsString;

use clap::Args;
use serde::Serialize;
use tidekeep_client::{Child, Entry, KeyRange, Order, ScanOptions};
use unicode_width::UnicodeWidthStr;

use crate::entry_text::{cut, lifetime};
use crate::escape::escape;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json::{EntryJson, NameField};
use crate::output::{Format, Out};
use crate::range_args::RangeArgs;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  tidekeep list                          everything, in the order of the keys' bytes
  tidekeep list app/                     keys that begin with app/
  tidekeep list app/ --tree              what is directly below app/, like a folder
  tidekeep list app/ --count             how many there are
  tidekeep list --range a c --limit 10   the first ten keys from a up to, but without, c
  tidekeep list log/ --reverse --limit 1 the last one
  tidekeep list --keys-only -o raw --null | xargs -0 -n1 echo

Text has a key, a tab and a value a line, unprintable bytes escaped (-e reads them back); on a
terminal values are cut to fit. Raw has the bytes as they are.";

/// List keys and values in key order
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    range: RangeArgs,
    /// Stop after this many
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<u64>,
    /// Last key first
    #[arg(long, short)]
    reverse: bool,
    /// Only the keys
    #[arg(long, short)]
    keys_only: bool,
    /// Only how many there are
    #[arg(long, conflicts_with_all = ["reverse", "keys_only", "limit"])]
    count: bool,
    /// The names directly below the prefix, as a folder lists its content
    #[arg(long, short, conflicts_with_all = ["reverse", "keys_only", "limit", "count", "range"])]
    tree: bool,
    /// What parts a name from what is below it, for --tree
    #[arg(long, value_name = "TEXT", default_value = "/", requires = "tree")]
    delimiter: OsString,
    /// End each line with a zero byte instead of a line end
    #[arg(long, short = '0', conflicts_with_all = ["count"])]
    null: bool,
}

/// Runs the verb.
pub(crate) async fn run(args: ListArgs, session: &mut Session) -> Result<Exit, Failure> {
    let range = args.range.read(session.reading())?;
    if args.count {
        return count(&range, session).await;
    }
    if args.tree {
        return tree(&args, session).await;
    }
    let options = ScanOptions {
        limit: args.limit,
        order: if args.reverse { Order::Descending } else { Order::Ascending },
        keys_only: args.keys_only,
        page: PAGE_ENTRIES,
    };
    let mut scan = session.client().await?.scan(&range, options);
    let lines = Lines { keys_only: args.keys_only, end: line_end(&args) };
    while let Some(page) = scan.page().await? {
        lines.print(session.out(), &page)?;
        // A page is shown when it is there: who pipes into `head` waits for nothing more.
        session.out().flush()?;
    }
    Ok(Exit::Done)
}

async fn count(range: &KeyRange, session: &mut Session) -> Result<Exit, Failure> {
    #[derive(Serialize)]
    struct Count {
        count: u64,
    }
    let count = session.client().await?.count(range).await?;
    let out = session.out();
    match out.format() {
        Format::Json => out.json(&Count { count })?,
        Format::Text | Format::Raw => out.line(count)?,
    }
    Ok(Exit::Done)
}

async fn tree(args: &ListArgs, session: &mut Session) -> Result<Exit, Failure> {
    let prefix = args.range.prefix(session.reading())?;
    let delimiter = session.reading().key(&args.delimiter)?;
    if delimiter.is_empty() {
        return Err(Failure::invalid("the delimiter has at least one byte"));
    }
    let children = session.client().await?.children(&prefix, &delimiter).await?;
    let end = line_end(args);
    for child in &children {
        print_child(session.out(), child, end)?;
    }
    Ok(Exit::Done)
}

fn print_child(out: &mut Out, child: &Child, end: &[u8]) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct ChildJson<'a> {
        #[serde(flatten)]
        name: NameField<'a>,
        branch: bool,
    }
    match out.format() {
        Format::Json => {
            out.json(&ChildJson { name: NameField::new(&child.name), branch: child.branch })
        }
        Format::Raw => {
            out.bytes(&child.name)?;
            out.bytes(end)
        }
        Format::Text => {
            let style = if child.branch { BRANCH } else { anstyle::Style::new() };
            let name = out.paint(style, escape(&child.name));
            out.bytes(name.as_bytes())?;
            out.bytes(end)
        }
    }
}

/// How entries become lines.
struct Lines {
    keys_only: bool,
    end: &'static [u8],
}

impl Lines {
    fn print(&self, out: &mut Out, page: &[Entry]) -> Result<(), Failure> {
        match (out.format(), out.width()) {
            (Format::Text, Some(width)) => self.print_columns(out, page, width),
            (format, _) => page.iter().try_for_each(|entry| self.print_entry(out, format, entry)),
        }
    }

    fn print_entry(&self, out: &mut Out, format: Format, entry: &Entry) -> Result<(), Failure> {
        match format {
            Format::Json if self.keys_only => return out.json(&EntryJson::without_value(entry)),
            Format::Json => return out.json(&EntryJson::full(entry)),
            Format::Raw => {
                out.bytes(&entry.key)?;
                if !self.keys_only {
                    out.bytes(b"\t")?;
                    out.bytes(&entry.value)?;
                }
            }
            Format::Text => {
                out.bytes(escape(&entry.key).as_bytes())?;
                if !self.keys_only {
                    out.bytes(b"\t")?;
                    out.bytes(escape(&entry.value).as_bytes())?;
                }
            }
        }
        out.bytes(self.end)
    }

    /// For a person: values stand below each other and are cut to the terminal's width.
    fn print_columns(&self, out: &mut Out, page: &[Entry], width: usize) -> Result<(), Failure> {
        let keys: Vec<String> = page.iter().map(|entry| escape(&entry.key)).collect();
        let widest = keys.iter().map(|key| key.width()).max().unwrap_or_default();
        let column = if self.keys_only { 0 } else { widest.min(width / 2) };
        for (key, entry) in keys.iter().zip(page) {
            let gap = GAP + column.saturating_sub(key.width());
            let end = lifetime(entry.expires_at).map(|text| format!("  ({text})"));
            let end = end.unwrap_or_default();
            let left = width.saturating_sub(key.width() + gap + end.width());
            let value =
                if self.keys_only { String::new() } else { cut(&escape(&entry.value), left) };
            let (name, end) = (out.paint(KEY, key), out.paint(DIM, end));
            let line = format!("{name}{:gap$}{value}{end}", "");
            out.bytes(line.trim_end().as_bytes())?;
            out.bytes(self.end)?;
        }
        Ok(())
    }
}

fn line_end(args: &ListArgs) -> &'static [u8] {
    if args.null { b"\0" } else { b"\n" }
}

/// Entries in one page: large enough for speed, small enough to show the first lines at once.
const PAGE_ENTRIES: u32 = 1000;
const GAP: usize = 2;
const KEY: anstyle::Style = anstyle::AnsiColor::Cyan.on_default();
const BRANCH: anstyle::Style = anstyle::AnsiColor::Blue.on_default().bold();
const DIM: anstyle::Style = anstyle::Style::new().dimmed();
