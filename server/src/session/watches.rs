//! Watches of one connection. They pull: nothing is queued for a watcher that does not read, it
//! only falls behind, and is cut when what it has not seen is forgotten.
//!
//! ```text
//! opening ─▶ content ─▶ behind ─▶ live          (from content)
//!                        behind ─▶ live          (from a cursor)
//!                                  live          (from now)
//! ```
//! Live watches of every change share one walk over the changes, those of the latest only another.
//! Each one behind has a walk of its own, in turns with the others and with the live ones, so that
//! none waits for another.

use std::collections::{BTreeMap, VecDeque};

use tidekeep_log::{Change, Commit, View};
use tidekeep_protocol::cursor::Cursor;
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{Delivery, Watch as WatchRequest, WatchFrom};
use tidekeep_protocol::range::KeyRange;

use super::handshake::Settings;
use super::latest::MERGE_BYTES;
use super::outbox::Outbox;
use super::tally::Tally;
use super::timing::Millis;
use super::watch::{Cut, REPLY_KIND, Stage, Watch, has_room, slow_reader, too_old};
use super::watch_message;

/// Time between bookmarks of a watch whose range is quiet while others change.
const BOOKMARK_MS: u64 = 10_000;

/// What the driver has to do for a new watch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WatchStart {
    /// Nothing.
    Open,
    /// Get a view of this range and hand it in.
    View(KeyRange),
    /// Nothing; it was refused.
    Refused,
}

/// The watches of a connection.
pub(crate) struct Watches {
    table: BTreeMap<u32, Watch>,
    /// Watches with content or older changes to send, in turn.
    behind: VecDeque<u32>,
    /// The live watches of every change.
    every: Walk,
    /// The live watches of the latest changes only.
    latest: Walk,
    incarnation: u64,
    page_bytes: usize,
    message_bytes: usize,
    bookmarks_at: Millis,
    /// What the watches of the table hold, kept up to date as they come, move on and go.
    held: usize,
    /// Beyond this no watch is taken. The other half of the connection's budget is for what is under way:
    /// watches stay until they are ended, and a connection at its budget is not read any more.
    held_max: usize,
}

/// The live watches that go over the changes together.
#[derive(Debug, Default)]
struct Walk {
    watches: usize,
    /// Each of them has had all up to here.
    at: u64,
    /// Whether there may be a change behind that.
    due: bool,
}

impl Walk {
    /// How far a watch must be to join, which had `after` when the newest revision was `newest`.
    fn limit(&self, newest: u64) -> u64 {
        if self.watches > 0 { self.at } else { newest }
    }
}

impl Watches {
    pub(crate) fn new(settings: &Settings, now: Millis) -> Self {
        Self {
            table: BTreeMap::new(),
            behind: VecDeque::new(),
            every: Walk::default(),
            latest: Walk::default(),
            incarnation: settings.incarnation,
            page_bytes: settings.limits.chunk_bytes as usize,
            message_bytes: (settings.limits.reply_bytes as usize).min(settings.budgets.watch_bytes),
            bookmarks_at: now.after(BOOKMARK_MS),
            held: 0,
            held_max: settings.budgets.connection_bytes / 2,
        }
    }

    /// Open watches.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Memory that they take, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held + self.behind.capacity() * size_of::<u32>()
    }

    /// Whether this id is a watch's.
    pub(crate) fn has(&self, id: u32) -> bool {
        !self.table.is_empty() && self.table.contains_key(&id)
    }

    /// Opens a watch.
    pub(crate) fn open(
        &mut self,
        id: u32,
        request: &WatchRequest<'_>,
        commit: &dyn Commit,
        out: &mut Outbox,
    ) -> Result<WatchStart, Refusal> {
        let range = KeyRange {
            start: request.range.start.to_vec(),
            end: request.range.end.map(<[u8]>::to_vec),
        };
        let newest = commit.feeds()[0].revision();
        let (stage, after) = match request.from {
            WatchFrom::Now | WatchFrom::Content => (Stage::Opening, newest),
            WatchFrom::Cursor(bytes) => (
                Stage::Behind { fresh: true },
                self.resume_after(bytes, commit.feeds()[0].last_revision())?,
            ),
        };
        let (previous, delivery) = (request.previous, request.delivery);
        let start = match request.from {
            WatchFrom::Content => WatchStart::View(range.clone()),
            WatchFrom::Now | WatchFrom::Cursor(_) => WatchStart::Open,
        };
        let (told, caught_up, counted) = (after, false, 0);
        let mut watch = Watch { range, previous, delivery, stage, after, told, caught_up, counted };
        let mut held = self.held;
        watch.recount(&mut held);
        if held > self.held_max {
            return Err(Refusal::new(
                Code::TooManyWatches,
                "the connection's watches hold as many bytes as its budget has for them",
            ));
        }
        self.held = held;
        self.table.insert(id, watch);
        match request.from {
            WatchFrom::Now => self.join(id, out),
            WatchFrom::Cursor(_) => self.behind.push_back(id),
            WatchFrom::Content => {}
        }
        Ok(start)
    }

    fn resume_after(&self, bytes: &[u8], last: u64) -> Result<u64, Refusal> {
        let cursor = Cursor::from_bytes(bytes)
            .map_err(|_| Refusal::new(Code::InvalidInput, "the cursor is none of a watch"))?;
        match cursor.revisions[..] {
            [revision] if cursor.incarnation == self.incarnation && revision <= last => {
                Ok(revision)
            }
            _ => Err(too_old("the cursor is of another history")),
        }
    }

    /// Gives a watch the view it begins with.
    pub(crate) fn view_ready(&mut self, id: u32, view: View) {
        let Some(watch) = self.table.get_mut(&id) else { return };
        if matches!(watch.stage, Stage::Opening) {
            watch.after = view.revision();
            watch.told = watch.after;
            watch.stage = Stage::Content { view, last_key: None };
            watch.recount(&mut self.held);
            self.behind.push_back(id);
        }
    }

    /// The revision behind which live watches wait for a change.
    pub(crate) fn waits_for_change(&self) -> Option<u64> {
        let waiting = [&self.every, &self.latest].into_iter().filter(|walk| walk.watches > 0);
        if waiting.clone().any(|walk| walk.due) {
            return None;
        }
        waiting.map(|walk| walk.at).min()
    }

    /// Notes that there is a change behind the live watches.
    pub(crate) fn changed(&mut self) {
        self.every.due = true;
        self.latest.due = true;
    }

    fn walk(&mut self, delivery: Delivery) -> &mut Walk {
        match delivery {
            Delivery::Every => &mut self.every,
            Delivery::Latest => &mut self.latest,
        }
    }

    /// Ends a watch; whether there was one.
    pub(crate) fn end(&mut self, id: u32, out: &mut Outbox) -> bool {
        let Some(watch) = self.table.remove(&id) else { return false };
        self.held -= watch.counted;
        if matches!(watch.stage, Stage::Live) {
            self.walk(watch.delivery).watches -= 1;
        }
        self.behind.retain(|behind| *behind != id);
        out.forget_watch(id);
        true
    }

    /// Ends every watch; their ids.
    pub(crate) fn end_all(&mut self, out: &mut Outbox) -> Vec<u32> {
        let ids: Vec<u32> = self.table.keys().copied().collect();
        for id in &ids {
            self.end(*id, out);
        }
        ids
    }

    /// Writes a share of what watches have to say; whether there was anything.
    pub(crate) fn feed(
        &mut self,
        unix_ms: u64,
        out: &mut Outbox,
        commit: &dyn Commit,
        tally: &mut Tally,
    ) -> bool {
        if self.table.is_empty() || out.next_watch_chunk() {
            return !self.table.is_empty();
        }
        let every =
            self.every.watches > 0 && self.every.due && self.feed_live(unix_ms, out, commit, tally);
        let latest = self.latest.watches > 0
            && self.latest.due
            && has_room(out)
            && self.feed_latest(unix_ms, out, commit, tally);
        let behind = has_room(out) && self.feed_behind(out, commit, tally);
        every || latest || behind
    }

    fn feed_live(
        &mut self,
        unix_ms: u64,
        out: &mut Outbox,
        commit: &dyn Commit,
        tally: &mut Tally,
    ) -> bool {
        let Ok(found) = commit.feeds()[0].changes(self.every.at, self.page_bytes) else {
            self.end_live(Delivery::Every, out);
            return true;
        };
        self.every.due = !found.changes.is_empty();
        for change in &found.changes {
            if !self.send_live(change, out, tally) {
                return true;
            }
            self.every.at = change.revision;
            tally.watch_lag(unix_ms.saturating_sub(change.at_ms));
        }
        self.arrive(Delivery::Every, found.through);
        !found.changes.is_empty()
    }

    /// Sends what the changes since the last time come to; whether there were any.
    fn feed_latest(
        &mut self,
        unix_ms: u64,
        out: &mut Outbox,
        commit: &dyn Commit,
        tally: &mut Tally,
    ) -> bool {
        let Ok(found) = commit.feeds()[0].changes(self.latest.at, MERGE_BYTES) else {
            self.end_live(Delivery::Latest, out);
            return true;
        };
        let Some(last) = found.changes.last() else {
            self.latest.due = false;
            self.arrive(Delivery::Latest, found.through);
            return false;
        };
        let (incarnation, message_bytes) = (self.incarnation, self.message_bytes);
        let mut over = Vec::new();
        for (&id, watch) in &mut self.table {
            if !watch.is_live(Delivery::Latest) {
                continue;
            }
            match watch.send_latest(id, &found.changes, incarnation, message_bytes, out, tally) {
                Ok(()) => {}
                Err(Cut::Full) => return true,
                Err(Cut::Over(refusal)) => over.push((id, refusal)),
            }
        }
        for (id, refusal) in over {
            self.cut(id, &refusal, out);
        }
        tally.watch_lag(unix_ms.saturating_sub(last.at_ms));
        self.arrive(Delivery::Latest, found.through);
        true
    }

    /// Notes that live watches have had all up to `through`.
    fn arrive(&mut self, delivery: Delivery, through: u64) {
        let walk = self.walk(delivery);
        walk.at = walk.at.max(through);
        let at = walk.at;
        for watch in self.table.values_mut().filter(|watch| watch.is_live(delivery)) {
            watch.after = watch.after.max(at);
        }
    }

    /// Sends one change to every live watch that has not had it; whether all have it now.
    fn send_live(&mut self, change: &Change, out: &mut Outbox, tally: &mut Tally) -> bool {
        let mut over = Vec::new();
        for (&id, watch) in &mut self.table {
            if !watch.is_live(Delivery::Every) || watch.after >= change.revision {
                continue;
            }
            match watch.send(id, change, self.incarnation, self.message_bytes, out, tally) {
                Ok(()) => {}
                Err(Cut::Full) => return false,
                Err(Cut::Over(refusal)) => over.push((id, refusal)),
            }
        }
        for (id, refusal) in over {
            self.cut(id, &refusal, out);
        }
        true
    }

    fn feed_behind(&mut self, out: &mut Outbox, commit: &dyn Commit, tally: &mut Tally) -> bool {
        let Some(id) = self.behind.pop_front() else { return false };
        let Some(watch) = self.table.get_mut(&id) else { return true };
        match &watch.stage {
            Stage::Content { .. } => {
                let sent = watch.send_page(id, self.incarnation, self.page_bytes, out);
                watch.recount(&mut self.held);
                match sent {
                    Ok(()) => self.behind.push_back(id),
                    Err(refusal) => self.cut(id, &refusal, out),
                }
            }
            Stage::Behind { .. } => match self.catch_up(id, out, commit, tally) {
                Ok(true) => self.join(id, out),
                Ok(false) | Err(Cut::Full) => self.behind.push_back(id),
                Err(Cut::Over(refusal)) => self.cut(id, &refusal, out),
            },
            Stage::Opening | Stage::Live => {}
        }
        true
    }

    /// Sends older changes to a watch; whether it has had all that the live ones have had.
    fn catch_up(
        &mut self,
        id: u32,
        out: &mut Outbox,
        commit: &dyn Commit,
        tally: &mut Tally,
    ) -> Result<bool, Cut> {
        let Some(watch) = self.table.get_mut(&id) else { return Err(Cut::Full) };
        let (walk, bytes) = match watch.delivery {
            Delivery::Every => (&self.every, self.page_bytes),
            Delivery::Latest => (&self.latest, MERGE_BYTES),
        };
        let limit = walk.limit(commit.feeds()[0].revision());
        if watch.after >= limit {
            return Ok(true);
        }
        let found = commit.feeds()[0].changes(watch.after, bytes).map_err(|_| watch.forgotten())?;
        watch.stage = Stage::Behind { fresh: false };
        if found.changes.is_empty() {
            watch.after = watch.after.max(found.through.min(limit));
            return Ok(true);
        }
        let until = found.changes.partition_point(|change| change.revision <= limit);
        let changes = &found.changes[..until];
        match watch.delivery {
            Delivery::Every => {
                for change in changes {
                    watch.send(id, change, self.incarnation, self.message_bytes, out, tally)?;
                }
            }
            Delivery::Latest => {
                let message_bytes = self.message_bytes;
                watch.send_latest(id, changes, self.incarnation, message_bytes, out, tally)?;
            }
        }
        watch.after = watch.after.max(found.through.min(limit));
        // What says that nothing is missing must not overtake the rest of a long message.
        Ok(watch.after >= limit && !out.watch_busy())
    }

    /// Makes a watch a live one, and says so to the client unless it knows.
    fn join(&mut self, id: u32, out: &mut Outbox) {
        let Some(watch) = self.table.get_mut(&id) else { return };
        watch.stage = Stage::Live;
        let (delivery, revision) = (watch.delivery, watch.after);
        watch.say_caught_up(id, self.incarnation, out);
        let walk = self.walk(delivery);
        if walk.watches == 0 {
            walk.at = revision;
        }
        walk.watches += 1;
        walk.due = true;
    }

    fn end_live(&mut self, delivery: Delivery, out: &mut Outbox) {
        let live = self.table.iter().filter(|(_, watch)| watch.is_live(delivery));
        let ids: Vec<u32> = live.map(|(id, _)| *id).collect();
        for id in ids {
            self.cut(id, &slow_reader(), out);
        }
    }

    fn cut(&mut self, id: u32, refusal: &Refusal, out: &mut Outbox) {
        if self.end(id, out) {
            out.error(id, &refusal.body());
        }
    }

    /// Sends bookmarks when they are due.
    pub(crate) fn tick(&mut self, now: Millis, out: &mut Outbox) {
        if now < self.bookmarks_at || out.watch_busy() {
            return;
        }
        self.bookmarks_at = now.after(BOOKMARK_MS);
        for (&id, watch) in &mut self.table {
            if matches!(watch.stage, Stage::Live) && watch.after > watch.told {
                watch.told = watch.after;
                let (incarnation, revision) = (self.incarnation, watch.after);
                out.watch_message(REPLY_KIND, id, |body| {
                    watch_message::bookmark(incarnation, revision, body);
                });
            }
        }
    }

    /// When bookmarks are due, if there is a watch that may need one.
    pub(crate) fn wait(&self, out: &Outbox) -> Option<Millis> {
        let live = self.every.watches + self.latest.watches;
        (live > 0 && !out.watch_busy()).then_some(self.bookmarks_at)
    }
}
