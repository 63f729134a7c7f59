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
//! none waits for another. When the only group is split, each goes on in all that it was split into.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tidekeep_log::{Change, Commit, Feed, View};
use tidekeep_protocol::cursor::Cursor;
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{Delivery, Watch as WatchRequest, WatchFrom};
use tidekeep_protocol::range::KeyRange;

use super::content::Content;
use super::handshake::Settings;
use super::latest::MERGE_BYTES;
use super::outbox::Outbox;
use super::positions::{Due, Positions};
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
    /// Get a view of this range from each group and hand them in.
    Views(KeyRange),
    /// Wait until what follows these positions can be asked of each group, and hand in no view.
    Reach(Positions),
    /// Nothing; it was refused.
    Refused,
}

/// A range that no key is in.
fn nothing() -> KeyRange {
    KeyRange { start: Vec::new(), end: Some(Vec::new()) }
}

/// The watches of a connection.
pub(crate) struct Watches {
    table: BTreeMap<u32, Watch>,
    /// For how many groups each of them has a position.
    groups: usize,
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
    at: Positions,
    /// The groups that may have a change behind that.
    due: Due,
    /// The group whose turn it is.
    next: usize,
}

impl Walk {
    /// How far a watch must be in a group to join.
    fn limit(&self, group: usize, feeds: &[Arc<dyn Feed>]) -> u64 {
        if self.watches > 0 { self.at.at(group) } else { feeds[group].revision() }
    }

    /// The group to look at now, if any has news.
    fn turn(&mut self) -> Option<usize> {
        let group = self.due.next(self.next).filter(|_| self.watches > 0)?;
        self.next = group + 1;
        Some(group)
    }
}

impl Watches {
    pub(crate) fn new(settings: &Settings, now: Millis) -> Self {
        Self {
            table: BTreeMap::new(),
            groups: 1,
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
        let feeds = commit.feeds();
        self.regroup(feeds.len());
        let (stage, after) = match request.from {
            WatchFrom::Now | WatchFrom::Content => {
                (Stage::Opening, Positions::of(feeds, |feed| feed.revision()))
            }
            // Where that is, is known when all groups are at hand.
            WatchFrom::Cursor(b"") => {
                (Stage::Behind { fresh: true, next: 0 }, Positions::of(feeds, |_| 0))
            }
            WatchFrom::Cursor(bytes) => (
                Stage::Behind { fresh: true, next: 0 },
                self.resume_after(bytes, feeds, commit.may_split())?,
            ),
        };
        let from_oldest = request.from == WatchFrom::Cursor(b"");
        let (previous, delivery) = (request.previous, request.delivery);
        let at_hand = feeds.iter().all(|feed| feed.is_at_hand());
        let start = match request.from {
            WatchFrom::Content => WatchStart::Views(range.clone()),
            // What is newest is known with a view: here one of nothing.
            WatchFrom::Now if !at_hand => WatchStart::Views(nothing()),
            WatchFrom::Cursor(_) if !at_hand => WatchStart::Reach(after.clone()),
            WatchFrom::Now | WatchFrom::Cursor(_) => WatchStart::Open,
        };
        let stage = if at_hand { stage } else { Stage::Opening };
        let (told, caught_up, counted) = (true, false, 0);
        let mut watch = Watch {
            range,
            previous,
            delivery,
            stage,
            after,
            from_oldest,
            told,
            caught_up,
            counted,
        };
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
            WatchFrom::Now if at_hand => self.join(id, out),
            WatchFrom::Cursor(_) if at_hand => self.behind.push_back(id),
            WatchFrom::Now | WatchFrom::Cursor(_) | WatchFrom::Content => {}
        }
        Ok(start)
    }

    fn resume_after(
        &self,
        bytes: &[u8],
        feeds: &[Arc<dyn Feed>],
        may_split: bool,
    ) -> Result<Positions, Refusal> {
        let cursor = Cursor::from_bytes(bytes)
            .map_err(|_| Refusal::new(Code::InvalidInput, "the cursor is none of a watch"))?;
        let (incarnation, groups) = (cursor.incarnation, cursor.revisions.len());
        let mut after: Positions = cursor.revisions.into_iter().collect();
        if incarnation == self.incarnation && may_split && groups > feeds.len() {
            // Other nodes serve the groups that this one is split into already.
            let why = "the store is being split into groups that this node does not serve yet; try again in a moment";
            return Err(Refusal::new(Code::Unavailable, why));
        }
        after.spread(feeds.len());
        let known = |(revision, feed): (u64, &Arc<dyn Feed>)| revision <= feed.last_revision();
        let ours = incarnation == self.incarnation
            && after.groups() == feeds.len()
            && after.iter().zip(feeds).all(known);
        match ours {
            true => Ok(after),
            false => Err(too_old("the cursor is of another history")),
        }
    }

    /// Goes on in so many groups, if the only one was split into them; whether it was.
    pub(crate) fn regroup(&mut self, groups: usize) -> bool {
        if groups <= self.groups {
            return false;
        }
        self.groups = groups;
        for watch in self.table.values_mut() {
            watch.after.spread(groups);
            watch.recount(&mut self.held);
        }
        for walk in [&mut self.every, &mut self.latest] {
            walk.at.spread(groups);
            walk.due = Due::all(groups);
        }
        true
    }

    /// Gives a watch the views it begins with, one of each group; none if it goes on from its cursor.
    pub(crate) fn views_ready(&mut self, id: u32, views: Vec<View>) {
        // They may be of groups from before a split, or of those that nothing here has met yet.
        self.regroup(views.len());
        let Some(watch) = self.table.get_mut(&id) else { return };
        if matches!(watch.stage, Stage::Opening) {
            watch.stage = if views.is_empty() {
                Stage::Behind { fresh: true, next: 0 }
            } else {
                let content = Content::new(views);
                watch.after = content.positions();
                watch.after.spread(self.groups);
                Stage::Content(content)
            };
            watch.recount(&mut self.held);
            self.behind.push_back(id);
        }
    }

    /// The revision of a group behind which live watches wait for a change.
    pub(crate) fn waits_for_change(&self, group: usize) -> Option<u64> {
        let waiting = [&self.every, &self.latest].into_iter().filter(|walk| walk.watches > 0);
        if waiting.clone().any(|walk| walk.due.has(group)) {
            return None;
        }
        waiting.map(|walk| walk.at.at(group)).min()
    }

    /// Notes that there is a change of a group behind the live watches.
    pub(crate) fn changed(&mut self, group: usize) {
        self.every.due.note(group);
        self.latest.due.note(group);
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
        // The same for all that follows: the groups may be split meanwhile.
        let feeds = commit.feeds();
        self.regroup(feeds.len());
        let every = self
            .every
            .turn()
            .is_some_and(|group| self.feed_live(unix_ms, group, out, feeds, tally));
        let latest = has_room(out)
            && self
                .latest
                .turn()
                .is_some_and(|group| self.feed_latest(unix_ms, group, out, feeds, tally));
        let behind = has_room(out) && self.feed_behind(out, feeds, tally);
        every || latest || behind
    }

    /// Sends what changed in a group; whether another look is worth it.
    fn feed_live(
        &mut self,
        unix_ms: u64,
        group: usize,
        out: &mut Outbox,
        feeds: &[Arc<dyn Feed>],
        tally: &mut Tally,
    ) -> bool {
        let Ok(found) = feeds[group].changes(self.every.at.at(group), self.page_bytes) else {
            self.end_live(Delivery::Every, out);
            return true;
        };
        if found.changes.is_empty() {
            self.every.due.clear(group);
        }
        for change in &found.changes {
            if !self.send_live(group, change, out, tally) {
                return true;
            }
            self.every.at.reach(group, change.revision);
            tally.watch_lag(unix_ms.saturating_sub(change.at_ms));
        }
        self.arrive(Delivery::Every, group, found.through);
        !found.changes.is_empty() || self.every.due.any()
    }

    /// Sends what the changes of a group since the last time come to; whether another look is worth it.
    fn feed_latest(
        &mut self,
        unix_ms: u64,
        group: usize,
        out: &mut Outbox,
        feeds: &[Arc<dyn Feed>],
        tally: &mut Tally,
    ) -> bool {
        let Ok(found) = feeds[group].changes(self.latest.at.at(group), MERGE_BYTES) else {
            self.end_live(Delivery::Latest, out);
            return true;
        };
        let Some(last) = found.changes.last() else {
            self.latest.due.clear(group);
            self.arrive(Delivery::Latest, group, found.through);
            return self.latest.due.any();
        };
        let (incarnation, message_bytes) = (self.incarnation, self.message_bytes);
        let mut over = Vec::new();
        for (&id, watch) in &mut self.table {
            if !watch.is_live(Delivery::Latest) {
                continue;
            }
            let changes = (group, &found.changes[..]);
            match watch.send_latest(id, changes, incarnation, message_bytes, out, tally) {
                Ok(()) => {}
                Err(Cut::Full) => return true,
                Err(Cut::Over(refusal)) => over.push((id, refusal)),
            }
        }
        for (id, refusal) in over {
            self.cut(id, &refusal, out);
        }
        tally.watch_lag(unix_ms.saturating_sub(last.at_ms));
        self.arrive(Delivery::Latest, group, found.through);
        true
    }

    /// Notes that live watches have had all of a group up to `through`.
    fn arrive(&mut self, delivery: Delivery, group: usize, through: u64) {
        let walk = self.walk(delivery);
        walk.at.reach(group, through);
        let at = walk.at.at(group);
        for watch in self.table.values_mut().filter(|watch| watch.is_live(delivery)) {
            watch.pass(group, at);
        }
    }

    /// Sends one change to every live watch that has not had it; whether all have it now.
    fn send_live(
        &mut self,
        group: usize,
        change: &Change,
        out: &mut Outbox,
        tally: &mut Tally,
    ) -> bool {
        let mut over = Vec::new();
        for (&id, watch) in &mut self.table {
            if !watch.is_live(Delivery::Every) || watch.after.at(group) >= change.revision {
                continue;
            }
            let change = (group, change);
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

    fn feed_behind(
        &mut self,
        out: &mut Outbox,
        feeds: &[Arc<dyn Feed>],
        tally: &mut Tally,
    ) -> bool {
        let Some(id) = self.behind.pop_front() else { return false };
        let Some(watch) = self.table.get_mut(&id) else { return true };
        match &watch.stage {
            Stage::Content(_) => {
                let sent = watch.send_page(id, self.incarnation, self.page_bytes, out);
                watch.recount(&mut self.held);
                match sent {
                    Ok(()) => self.behind.push_back(id),
                    Err(refusal) => self.cut(id, &refusal, out),
                }
            }
            Stage::Behind { .. } => match self.catch_up(id, out, feeds, tally) {
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
        feeds: &[Arc<dyn Feed>],
        tally: &mut Tally,
    ) -> Result<bool, Cut> {
        let Some(watch) = self.table.get_mut(&id) else { return Err(Cut::Full) };
        let (walk, bytes) = match watch.delivery {
            Delivery::Every => (&self.every, self.page_bytes),
            Delivery::Latest => (&self.latest, MERGE_BYTES),
        };
        let groups = watch.after.groups();
        if let Stage::Behind { fresh: true, next } = watch.stage {
            if watch.from_oldest {
                watch.begin_at_oldest(feeds);
            }
            // One group that has forgotten is as good as all, and better known before than amid the rest.
            let forgotten =
                |group: &usize| feeds[*group].changes(watch.after.at(*group), 1).is_err();
            if groups > 1 && (0..groups).any(|group| forgotten(&group)) {
                return Err(watch.forgotten());
            }
            if groups > 1 {
                watch.stage = Stage::Behind { fresh: false, next };
            }
        }
        let Stage::Behind { next, .. } = watch.stage else { return Err(Cut::Full) };
        let mut turns = (0..groups).map(|turn| (next + turn) % groups);
        let is_behind = |group: &usize| watch.after.at(*group) < walk.limit(*group, feeds);
        let Some(group) = turns.find(is_behind) else { return Ok(true) };
        let limit = walk.limit(group, feeds);
        let after = watch.after.at(group);
        let found = feeds[group].changes(after, bytes).map_err(|_| watch.forgotten())?;
        if found.changes.is_empty() && found.through < limit {
            // Others had them from a replica that has gone from here since.
            return Err(Cut::Over(slow_reader()));
        }
        watch.stage = Stage::Behind { fresh: false, next: group + 1 };
        let until = found.changes.partition_point(|change| change.revision <= limit);
        let changes = &found.changes[..until];
        match watch.delivery {
            Delivery::Every => {
                for change in changes {
                    let change = (group, change);
                    watch.send(id, change, self.incarnation, self.message_bytes, out, tally)?;
                }
            }
            Delivery::Latest => {
                let (changes, message_bytes) = ((group, changes), self.message_bytes);
                watch.send_latest(id, changes, self.incarnation, message_bytes, out, tally)?;
            }
        }
        watch.pass(group, found.through.min(limit));
        let is_behind = |group| watch.after.at(group) < walk.limit(group, feeds);
        // What says that nothing is missing must not overtake the rest of a long message.
        Ok(!(0..groups).any(is_behind) && !out.watch_busy())
    }

    /// Makes a watch a live one, and says so to the client unless it knows.
    fn join(&mut self, id: u32, out: &mut Outbox) {
        let Some(watch) = self.table.get_mut(&id) else { return };
        watch.stage = Stage::Live;
        watch.say_caught_up(id, self.incarnation, out);
        let walk = match watch.delivery {
            Delivery::Every => &mut self.every,
            Delivery::Latest => &mut self.latest,
        };
        if walk.watches == 0 {
            walk.at.clone_from(&watch.after);
        }
        walk.watches += 1;
        walk.due = Due::all(watch.after.groups());
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
            if matches!(watch.stage, Stage::Live) && !watch.told {
                watch.told = true;
                let (incarnation, after) = (self.incarnation, &watch.after);
                out.watch_message(REPLY_KIND, id, |body| {
                    watch_message::bookmark(incarnation, after, body);
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
