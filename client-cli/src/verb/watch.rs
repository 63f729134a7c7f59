//! `watch`: a line for every change, for as long as the command runs. The connection may break and
//! come back in between: nothing is missed and nothing is told twice.

use std::ffi::OsString;

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use tidekeep_client::{
    Change, ChangeKind, Client, Delivery, Entry, KeyRange, State, Watch, WatchEvent, WatchOptions,
};

use crate::entry_text::lifetime;
use crate::escape::escape;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json::{Cursor, EntryJson, KeyField, cursor_text, parse_cursor};
use crate::output::{Format, Out, note};
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  tidekeep watch                          every change from now on
  tidekeep watch app/ --content           what app/ holds, then its changes
  tidekeep watch name --exact -n 1        wait for one change of one key
  tidekeep watch app/ --prev              with the value before each change
  tidekeep watch app/ --latest            only the newest values when they come too fast
  tidekeep watch -o json --since AAEq     go on behind the cursor of an earlier watch

Each line: revision, what happened, key, value. Ctrl-C ends it. With -o json each line is an object
with `type` content, caught-up, put, delete, expire, evict or reset; `cursor` is what --since takes.
After a gap that the server cannot fill, --content prints what is new or changed and what is gone;
without it, a reset says to forget what was printed so far, and the whole content follows. With
-o json, the caught-up behind a break says by `gap` which it was, where that can be told: none,
difference or reset.";

/// Print every change of a prefix, a key or everything
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WatchArgs {
    /// Keys that begin with this; all keys when left out
    #[arg(value_name = "PREFIX")]
    prefix: Option<OsString>,
    /// Only the key PREFIX itself, not those that begin with it
    #[arg(long, short = 'x', requires = "prefix")]
    exact: bool,
    /// First print what is there
    #[arg(long, short, conflicts_with = "since")]
    content: bool,
    /// Print the value before each change too
    #[arg(long)]
    prev: bool,
    /// When behind, print only the last change of each key
    #[arg(long)]
    latest: bool,
    /// Begin behind this cursor of an earlier watch
    #[arg(long, value_name = "CURSOR", value_parser = parse_cursor, allow_hyphen_values = true)]
    since: Option<Cursor>,
    /// End after this many changes
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
}

/// Runs the verb.
pub(crate) async fn run(args: WatchArgs, session: &mut Session) -> Result<Exit, Failure> {
    let prefix = session.reading().key(args.prefix.as_deref().unwrap_or_default())?;
    let range = if args.exact { KeyRange::key(&prefix) } else { KeyRange::prefix(&prefix) };
    let options = WatchOptions {
        content: args.content,
        previous: args.prev,
        delivery: if args.latest { Delivery::Latest } else { Delivery::Every },
        cursor: args.since.map(|cursor| cursor.0),
        ..WatchOptions::default()
    };
    let client = session.client().await?;
    let mut watch = client.watch(&range, options);
    let mut printer = Printer::new(session.out(), args.count, args.content);
    let followed = follow(&client, &mut watch, &mut printer).await;
    if let (true, Some(cursor)) = (printer.out.terminal(), &printer.cursor) {
        note(format_args!("`--since {}` goes on from here", cursor_text(cursor)));
    }
    followed?;
    Ok(Exit::Done)
}

/// Prints the value of one key, and every change of it: who leads an election.
pub(crate) async fn observe(key: &[u8], session: &mut Session) -> Result<Exit, Failure> {
    let options = WatchOptions { content: true, ..WatchOptions::default() };
    let client = session.client().await?;
    let mut watch = client.watch(&KeyRange::key(key), options);
    let mut printer = Printer::new(session.out(), None, true);
    follow(&client, &mut watch, &mut printer).await?;
    Ok(Exit::Done)
}

/// Prints events until enough are printed, Ctrl-C, or an error that no reconnect mends.
async fn follow(
    client: &Client,
    watch: &mut Watch,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut states = client.states();
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    while printer.left != Some(0) {
        tokio::select! {
            // That the connection is back is said before what came of it.
            biased;
            _ = &mut interrupt => return Ok(()),
            Ok(()) = states.changed() => tell_state(*states.borrow_and_update()),
            event = watch.next() => match event {
                Some(event) => printer.event(&event?)?,
                None => return Ok(()),
            },
        }
    }
    Ok(())
}

fn tell_state(state: State) {
    match state {
        State::Reconnecting => note("the connection is lost; trying to get it back"),
        State::Ready => note("connected again"),
        State::Idle | State::Connecting | State::Closed => {}
    }
}

struct Printer<'a> {
    out: &'a mut Out,
    /// How many more changes to print.
    left: Option<u64>,
    /// Everything up to here is printed.
    cursor: Option<Bytes>,
    breaks: Breaks,
}

/// Tells from the events of a watch what became of it over a break.
struct Breaks {
    /// Whether a gap is told as a difference, as long as that can be made.
    differs: bool,
    /// Whether it had everything once: a caught-up after that is one behind a break.
    was_whole: bool,
    /// What has come since then.
    since: Since,
}

#[derive(Clone, Copy)]
enum Since {
    /// At most changes.
    Changes,
    Content,
    Reset,
}

/// What a break has cost.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Gap {
    /// Nothing.
    None,
    /// Changes, whose outcome was told.
    Difference,
    /// Everything; it was told anew.
    Reset,
}

impl Breaks {
    fn note(&mut self, event: &WatchEvent) {
        match event {
            WatchEvent::Reset => self.since = Since::Reset,
            WatchEvent::Content(_) if matches!(self.since, Since::Changes) => {
                self.since = Since::Content;
            }
            WatchEvent::Content(_)
            | WatchEvent::CaughtUp { .. }
            | WatchEvent::Changes { .. }
            | WatchEvent::Bookmark { .. } => {}
        }
    }

    /// The watch has everything again. What a break has cost, if there was one and it can be told: a
    /// difference of nothing, or of deletes alone, looks like changes.
    fn end(&mut self) -> Option<Gap> {
        let was_whole = std::mem::replace(&mut self.was_whole, true);
        let gap = match std::mem::replace(&mut self.since, Since::Changes) {
            Since::Reset => Some(Gap::Reset),
            _ if !was_whole => None,
            Since::Content => Some(Gap::Difference),
            Since::Changes => (!self.differs).then_some(Gap::None),
        };
        match gap {
            Some(Gap::None) => note("nothing was missed"),
            Some(Gap::Difference) => note("changes were missed; what differs now was told"),
            // The reset has said so.
            Some(Gap::Reset) => {}
            None if was_whole => note("what is there now was told"),
            None => {}
        }
        gap
    }
}

/// A line of `--output json`.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    entry: Option<EntryJson<'a>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    key: Option<KeyField<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<EntryJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<Gap>,
}

impl<'a> Line<'a> {
    fn new(kind: &'static str) -> Self {
        let (entry, key, previous) = (None, None, None);
        Self { kind, entry, key, previous, revision: None, cursor: None, gap: None }
    }

    fn content(entry: &'a Entry) -> Self {
        Self { entry: Some(EntryJson::full(entry)), ..Self::new("content") }
    }

    fn change(change: &'a Change, revision: u64) -> Self {
        let (kind, entry) = match &change.kind {
            ChangeKind::Put(entry) => ("put", Some(EntryJson::full(entry))),
            ChangeKind::Delete => ("delete", None),
            ChangeKind::Expire => ("expire", None),
            ChangeKind::Evict => ("evict", None),
        };
        let key = entry.is_none().then(|| KeyField::new(&change.key));
        let previous = change.previous.as_ref().map(EntryJson::full);
        Self { entry, key, previous, revision: Some(revision), ..Self::new(kind) }
    }
}

impl<'a> Printer<'a> {
    fn new(out: &'a mut Out, left: Option<u64>, differs: bool) -> Self {
        let breaks = Breaks { differs, was_whole: false, since: Since::Changes };
        Self { out, left, cursor: None, breaks }
    }

    /// Prints an event and makes it visible at once.
    fn event(&mut self, event: &WatchEvent) -> Result<(), Failure> {
        self.breaks.note(event);
        match event {
            WatchEvent::Content(entries) => {
                entries.iter().try_for_each(|entry| self.content(entry))?;
            }
            WatchEvent::CaughtUp { revision, cursor } => {
                self.caught_up(*revision, cursor)?;
                self.cursor = Some(cursor.clone());
            }
            WatchEvent::Changes { revision, cursor, changes } => {
                if self.changes(*revision, cursor, changes)? {
                    self.cursor = Some(cursor.clone());
                }
            }
            WatchEvent::Reset => self.reset()?,
            WatchEvent::Bookmark { cursor, .. } => self.cursor = Some(cursor.clone()),
        }
        self.out.flush()
    }

    fn content(&mut self, entry: &Entry) -> Result<(), Failure> {
        match self.out.format() {
            Format::Json => self.out.json(&Line::content(entry)),
            Format::Text => self.put_line("content", entry.modified, entry, None),
            Format::Raw => self.raw(&entry.key, Some(&entry.value)),
        }
    }

    fn caught_up(&mut self, revision: u64, cursor: &[u8]) -> Result<(), Failure> {
        let gap = self.breaks.end();
        if self.out.format() == Format::Json {
            let (revision, cursor) = (Some(revision), Some(cursor_text(cursor)));
            return self.out.json(&Line { revision, cursor, gap, ..Line::new("caught-up") });
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<(), Failure> {
        self.cursor = None;
        match self.out.format() {
            Format::Json => self.out.json(&Line::new("reset")),
            Format::Text => self.out.line("reset"),
            Format::Raw => Ok(()),
        }?;
        note("changes were missed for good; what is there now follows from the start");
        Ok(())
    }

    /// Prints the changes of one revision; whether all of them were wanted. Only the last one bears
    /// the cursor: whoever resumes there has seen them all.
    fn changes(
        &mut self,
        revision: u64,
        cursor: &[u8],
        changes: &[Change],
    ) -> Result<bool, Failure> {
        for (index, change) in changes.iter().enumerate() {
            let last = index + 1 == changes.len();
            match self.out.format() {
                Format::Json => {
                    let cursor = last.then(|| cursor_text(cursor));
                    self.out.json(&Line { cursor, ..Line::change(change, revision) })?;
                }
                Format::Text => self.text(revision, change)?,
                Format::Raw => match &change.kind {
                    ChangeKind::Put(entry) => self.raw(&change.key, Some(&entry.value))?,
                    ChangeKind::Delete | ChangeKind::Expire | ChangeKind::Evict => {
                        self.raw(&change.key, None)?;
                    }
                },
            }
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    return Ok(last);
                }
            }
        }
        Ok(true)
    }

    fn text(&mut self, revision: u64, change: &Change) -> Result<(), Failure> {
        let previous = change.previous.as_ref();
        match &change.kind {
            ChangeKind::Put(entry) => self.put_line("put", revision, entry, previous),
            ChangeKind::Delete => self.end_line("delete", revision, &change.key, previous),
            ChangeKind::Expire => self.end_line("expire", revision, &change.key, previous),
            ChangeKind::Evict => self.end_line("evict", revision, &change.key, previous),
        }
    }

    fn put_line(
        &mut self,
        kind: &'static str,
        revision: u64,
        entry: &Entry,
        previous: Option<&Entry>,
    ) -> Result<(), Failure> {
        let end = lifetime(entry.expires_at).map(|text| format!("\t({text})")).unwrap_or_default();
        let was = was(previous);
        let kind = self.kind(kind);
        let (key, value) = (escape(&entry.key), escape(&entry.value));
        self.out.line(format_args!("{revision}\t{kind}\t{key}\t{value}{was}{end}"))
    }

    fn end_line(
        &mut self,
        kind: &'static str,
        revision: u64,
        key: &[u8],
        previous: Option<&Entry>,
    ) -> Result<(), Failure> {
        let kind = self.kind(kind);
        let was = was(previous);
        self.out.line(format_args!("{revision}\t{kind}\t{}{was}", escape(key)))
    }

    fn kind(&self, kind: &'static str) -> String {
        let colour = match kind {
            "put" => anstyle::AnsiColor::Green,
            "delete" => anstyle::AnsiColor::Red,
            "expire" | "evict" => anstyle::AnsiColor::Yellow,
            _ => anstyle::AnsiColor::Blue,
        };
        self.out.paint(colour.on_default(), kind)
    }

    fn raw(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Failure> {
        self.out.bytes(key)?;
        if let Some(value) = value {
            self.out.bytes(b"\t")?;
            self.out.bytes(value)?;
        }
        self.out.bytes(b"\n")
    }
}

fn was(previous: Option<&Entry>) -> String {
    previous.map(|entry| format!("\t(was {})", escape(&entry.value))).unwrap_or_default()
}
