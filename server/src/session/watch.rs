//! One watch: its stage, and what it sends of a change or of its content.

use std::sync::Arc;

use tidekeep_log::{Change, Feed, TooOld};
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::{Delivery, Operation, Watch as WatchRequest};
use tidekeep_protocol::range::KeyRange;

use super::content::Content;
use super::latest::Merged;
use super::outbox::{Fit, Outbox};
use super::positions::Positions;
use super::tally::Tally;
use super::watch_message;

/// What a watch takes in the table that holds it, whose nodes are about half full.
const TABLE_BYTES: usize = 2 * size_of::<(u32, Watch)>();

/// Most entries in a page of content.
const PAGE_ENTRIES: usize = 1000;

/// The frame kind of watch messages.
pub(super) const REPLY_KIND: u8 = <WatchRequest<'static> as Operation>::SPEC.kind | kind::REPLY;

/// What one client follows, and how far it has got.
pub(super) struct Watch {
    pub(super) range: KeyRange,
    pub(super) previous: bool,
    pub(super) delivery: Delivery,
    pub(super) stage: Stage,
    /// Everything up to these revisions was sent or is none of the watch's business.
    pub(super) after: Positions,
    /// Whether it begins with the oldest change that each group remembers.
    pub(super) from_oldest: bool,
    /// Whether the client was told that it has come so far.
    pub(super) told: bool,
    /// Whether the client was told that it has the content, or all since its cursor.
    pub(super) caught_up: bool,
    /// What it held when that was last summed up; see [`Watch::recount`].
    pub(super) counted: usize,
}

/// Where a watch is between its request and the newest change.
pub(super) enum Stage {
    /// Waits for its views.
    Opening,
    /// Sends what the range held.
    Content(Content),
    /// Sends changes that the live watches have had already.
    Behind {
        /// Whether nothing was looked up yet, so that what is missing was so from the beginning.
        fresh: bool,
        /// The group that is to be looked at next.
        next: usize,
    },
    /// Sends changes as they become safe.
    Live,
}

/// Why a watch cannot go on.
pub(super) enum Cut {
    /// There is no more room: go on later.
    Full,
    /// Its changes cannot be shown one by one: end it.
    Over(Refusal),
}

impl Watch {
    /// Whether it is live and wants these changes.
    pub(super) fn is_live(&self, delivery: Delivery) -> bool {
        matches!(self.stage, Stage::Live) && self.delivery == delivery
    }

    /// Memory that it takes, in bytes.
    fn held_bytes(&self) -> usize {
        let end = self.range.end.as_ref().map_or(0, Vec::capacity);
        let content = match &self.stage {
            Stage::Content(content) => content.held_bytes(),
            Stage::Opening | Stage::Behind { .. } | Stage::Live => 0,
        };
        TABLE_BYTES + self.range.start.capacity() + end + self.after.held_bytes() + content
    }

    /// Brings a sum over watches up to date with what this one holds now.
    pub(super) fn recount(&mut self, sum: &mut usize) {
        let held = self.held_bytes();
        *sum = *sum - self.counted + held;
        self.counted = held;
    }

    /// Sends what of a group's change lies in the range.
    pub(super) fn send(
        &mut self,
        id: u32,
        (group, change): (usize, &Change),
        incarnation: u64,
        message_bytes: usize,
        out: &mut Outbox,
        tally: &mut Tally,
    ) -> Result<(), Cut> {
        if change.revision <= self.after.at(group) {
            return Ok(());
        }
        let range = self.range.as_range();
        if !change.events.iter().any(|event| range.contains(event.key())) {
            self.pass(group, change.revision);
            return Ok(());
        }
        if !has_room(out) {
            return Err(Cut::Full);
        }
        self.after.reach(group, change.revision);
        let cursor = watch_message::cursor(incarnation, &self.after);
        let events =
            watch_message::Events { change, range, previous: self.previous, cursor: &cursor };
        let fits = events.size_bound() <= message_bytes
            && out.watch_message(REPLY_KIND, id, |body| events.encode(body)) == Fit::Taken;
        if !fits {
            return Err(Cut::Over(too_much()));
        }
        self.told = true;
        tally.watch_message();
        Ok(())
    }

    /// Notes that there is nothing to send of a group up to a revision.
    pub(super) fn pass(&mut self, group: usize, through: u64) {
        if self.after.reach(group, through) {
            self.told = false;
        }
    }

    /// Sends what a run of a group's changes, oldest first, comes to.
    pub(super) fn send_latest(
        &mut self,
        id: u32,
        (group, changes): (usize, &[Change]),
        incarnation: u64,
        message_bytes: usize,
        out: &mut Outbox,
        tally: &mut Tally,
    ) -> Result<(), Cut> {
        let range = self.range.as_range();
        let through = changes.last().map_or(0, |change| change.revision);
        while self.after.at(group) < through {
            if !has_room(out) {
                return Err(Cut::Full);
            }
            let after = self.after.at(group);
            let merged = Merged::of(changes, after, range, self.previous, message_bytes)
                .map_err(|_| Cut::Over(too_much()))?;
            let (after, revision, previous) = (merged.through, merged.revision(), self.previous);
            if !merged.is_empty() {
                self.after.reach(group, revision);
                let cursor = watch_message::cursor(incarnation, &self.after);
                let fit = out.watch_message(REPLY_KIND, id, |body| {
                    merged.encode(previous, &cursor, body);
                });
                if fit == Fit::TooLong {
                    return Err(Cut::Over(too_much()));
                }
                self.told = true;
                tally.watch_message();
            }
            if self.after.reach(group, after) {
                self.told = false;
            }
        }
        Ok(())
    }

    /// Sends the next page of content, or says that there is none and moves on. Changes come behind
    /// that mark: they must not be taken for those between an earlier content and this one.
    pub(super) fn send_page(
        &mut self,
        id: u32,
        incarnation: u64,
        bytes: usize,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let Stage::Content(content) = &mut self.stage else { return Ok(()) };
        let page = content.page(PAGE_ENTRIES, bytes);
        if page.is_empty() {
            self.stage = Stage::Behind { fresh: false, next: 0 };
            self.say_caught_up(id, incarnation, out);
            return Ok(());
        }
        match out.watch_message(REPLY_KIND, id, |body| watch_message::content(&page, body)) {
            Fit::Taken => Ok(()),
            Fit::TooLong => Err(Refusal::new(Code::TooLarge, "an entry is longer than a message")),
        }
    }

    /// Tells the client, once, that it has everything up to here.
    pub(super) fn say_caught_up(&mut self, id: u32, incarnation: u64, out: &mut Outbox) {
        if self.caught_up {
            return;
        }
        self.caught_up = true;
        self.told = true;
        let after = &self.after;
        out.watch_message(REPLY_KIND, id, |body| {
            watch_message::caught_up(incarnation, after, body);
        });
    }

    /// Moves each group to where its remembered changes begin.
    pub(super) fn begin_at_oldest(&mut self, feeds: &[Arc<dyn Feed>]) {
        for (group, feed) in feeds.iter().enumerate() {
            if let Err(TooOld { oldest }) = feed.changes(self.after.at(group), 1) {
                self.after.reach(group, oldest);
            }
        }
    }

    /// The end of a watch whose next changes the server no longer knows.
    pub(super) fn forgotten(&self) -> Cut {
        Cut::Over(match self.stage {
            Stage::Behind { fresh: true, .. } => {
                too_old("the changes since the cursor are forgotten")
            }
            _ => slow_reader(),
        })
    }
}

pub(super) fn has_room(out: &Outbox) -> bool {
    out.has_room() && !out.watch_busy()
}

pub(super) fn too_old(message: &'static str) -> Refusal {
    Refusal::new(Code::CursorTooOld, message)
}

fn too_much() -> Refusal {
    let message = "one revision changed more than the watch may be told of at once; begin again with the content";
    Refusal::new(Code::ChangeTooLarge, message)
}

pub(super) fn slow_reader() -> Refusal {
    Refusal::new(Code::SlowReader, "the changes were not read before they were forgotten")
}
