//! `history`: what a key was before, as long as the server remembers it. A watch from the beginning of
//! what is remembered, which ends at the mark that nothing is missing.

use std::collections::VecDeque;
use std::ffi::OsString;

use clap::Args;
use serde::Serialize;
use tidekeep_client::{Change, ChangeKind, Client, Entry, KeyRange, WatchEvent, WatchOptions};

use crate::escape::escape;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json::{EntryJson, KeyField};
use crate::output::Format;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  tidekeep history name                the versions of a key, newest first
  tidekeep history name -n 1           the last one
  tidekeep history name -o json        an object a version, with its value and lifetime

Each line: revision, what happened, value. The server remembers the newest changes of all keys, up to
--history-bytes: a key that was not written for long has no history. The version that was there before
the first change that is remembered is told as `before`.
Exit code 1 when no change of the key is remembered.";

/// Print what a key was before, newest first
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HistoryArgs {
    /// The key
    #[arg(value_name = "KEY")]
    key: OsString,
    /// Print so many versions at most
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1000)]
    limit: usize,
}

/// Runs the verb.
pub(crate) async fn run(args: HistoryArgs, session: &mut Session) -> Result<Exit, Failure> {
    let key = session.reading().key(&args.key)?;
    let client = session.client().await?;
    let versions = remembered(&client, &key, args.limit).await?;
    if versions.is_empty() {
        return Ok(Exit::NotFound);
    }
    let out = session.out();
    for version in versions.iter().rev() {
        match out.format() {
            Format::Json => out.json(&VersionJson::of(version, &key))?,
            Format::Text => {
                let value = version.entry.as_ref().map(|entry| escape(&entry.value));
                let value = value.unwrap_or_default();
                out.line(format_args!("{}\t{}\t{value}", version.revision, version.what))?;
            }
            Format::Raw => {
                out.bytes(version.entry.as_ref().map_or(&[], |entry| &entry.value))?;
                out.bytes(b"\n")?;
            }
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// The newest versions that the server remembers, oldest first: at most `limit` of them are kept.
async fn remembered(
    client: &Client,
    key: &[u8],
    limit: usize,
) -> Result<VecDeque<Version>, Failure> {
    // A cursor of no bytes stands before everything that is remembered.
    let options =
        WatchOptions { previous: true, cursor: Some(Vec::new()), ..WatchOptions::default() };
    let mut watch = client.watch(&KeyRange::key(key), options);
    let mut versions = VecDeque::new();
    let add = |versions: &mut VecDeque<Version>, version| {
        versions.push_back(version);
        if versions.len() > limit {
            versions.pop_front();
        }
    };
    while let Some(event) = watch.next().await {
        match event? {
            WatchEvent::CaughtUp { .. } => break,
            WatchEvent::Changes { revision, changes, .. } => {
                for mut change in changes {
                    if let (true, Some(entry)) = (versions.is_empty(), change.previous.take()) {
                        let (revision, what) = (entry.modified, "before");
                        add(&mut versions, Version { revision, what, entry: Some(entry) });
                    }
                    add(&mut versions, Version::of(revision, change));
                }
            }
            // What was told until then is of another history.
            WatchEvent::Reset => versions.clear(),
            WatchEvent::Content(_) | WatchEvent::Bookmark { .. } => {}
        }
    }
    Ok(versions)
}

/// What a revision left.
struct Version {
    revision: u64,
    what: &'static str,
    entry: Option<Entry>,
}

impl Version {
    fn of(revision: u64, change: Change) -> Self {
        let (what, entry) = match change.kind {
            ChangeKind::Put(entry) => ("put", Some(entry)),
            ChangeKind::Delete => ("delete", None),
            ChangeKind::Expire => ("expire", None),
            ChangeKind::Evict => ("evict", None),
        };
        Self { revision, what, entry }
    }
}

/// A line of `--output json`.
#[derive(Serialize)]
struct VersionJson<'a> {
    #[serde(rename = "type")]
    what: &'static str,
    revision: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    entry: Option<EntryJson<'a>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    key: Option<KeyField<'a>>,
}

impl<'a> VersionJson<'a> {
    fn of(version: &'a Version, key: &'a [u8]) -> Self {
        let entry = version.entry.as_ref().map(EntryJson::full);
        let key = entry.is_none().then(|| KeyField::new(key));
        Self { what: version.what, revision: version.revision, entry, key }
    }
}
