//! One watch: its stage, and what it sends of a change or of its content.

use tidekeep_log::{Change, View};
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::{Delivery, Operation, Watch as WatchRequest};
use tidekeep_protocol::range::KeyRange;

use super::latest::Merged;
use super::outbox::{Fit, Outbox};
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
    /// Everything up to this revision was sent or is none of the watch's business.
    pub(super) after: u64,
    /// The last revision that the client was told.
    pub(super) told: u64,
    /// Whether the client was told that it has the content, or all since its cursor.
    pub(super) caught_up: bool,
    /// What it held when that was last summed up; see [`Watch::recount`].
    pub(super) counted: usize,
}

/// Where a watch is between its request and the newest change.
pub(super) enum Stage {
    /// Waits for its view.
    Opening,
    /// Sends what the range held, from behind the key of the last page.
    Content { view: View, last_key: Option<Vec<u8>> },
    /// Sends changes that the live watches have had already.
    Behind {
        /// Whether nothing was looked up yet, so that what is missing was so from the beginning.
        fresh: bool,
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
            Stage::Content { view, last_key } => {
                view.held_bytes() + last_key.as_ref().map_or(0, Vec::capacity)
            }
            Stage::Opening | Stage::Behind { .. } | Stage::Live => 0,
        };
        TABLE_BYTES + self.range.start.capacity() + end + content
    }

    /// Brings a sum over watches up to date with what this one holds now.
    pub(super) fn recount(&mut self, sum: &mut usize) {
        let held = self.held_bytes();
        *sum = *sum - self.counted + held;
        self.counted = held;
    }

    /// Sends what of a change lies in the range.
    pub(super) fn send(
        &mut self,
        id: u32,
        change: &Change,
        incarnation: u64,
        message_bytes: usize,
        out: &mut Outbox,
        tally: &mut Tally,
    ) -> Result<(), Cut> {
        if change.revision <= self.after {
            return Ok(());
        }
        let range = self.range.as_range();
        if !change.events.iter().any(|event| range.contains(event.key())) {
            self.after = change.revision;
            return Ok(());
        }
        if !has_room(out) {
            return Err(Cut::Full);
        }
        let events = watch_message::Events { change, range, previous: self.previous, incarnation };
        let fits = events.size_bound() <= message_bytes
            && out.watch_message(REPLY_KIND, id, |body| events.encode(body)) == Fit::Taken;
        if !fits {
            return Err(Cut::Over(too_much()));
        }
        self.after = change.revision;
        self.told = change.revision;
        tally.watch_message();
        Ok(())
    }

    /// Sends what a run of changes, oldest first, comes to.
    pub(super) fn send_latest(
        &mut self,
        id: u32,
        changes: &[Change],
        incarnation: u64,
        message_bytes: usize,
        out: &mut Outbox,
        tally: &mut Tally,
    ) -> Result<(), Cut> {
        let range = self.range.as_range();
        let through = changes.last().map_or(0, |change| change.revision);
        while self.after < through {
            if !has_room(out) {
                return Err(Cut::Full);
            }
            let merged = Merged::of(changes, self.after, range, self.previous, message_bytes)
                .map_err(|_| Cut::Over(too_much()))?;
            let (after, revision, previous) = (merged.through, merged.revision(), self.previous);
            if !merged.is_empty() {
                let fit = out.watch_message(REPLY_KIND, id, |body| {
                    merged.encode(previous, incarnation, body);
                });
                if fit == Fit::TooLong {
                    return Err(Cut::Over(too_much()));
                }
                self.told = revision;
                tally.watch_message();
            }
            self.after = after;
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
        let Stage::Content { view, last_key } = &mut self.stage else { return Ok(()) };
        let page = view.page(last_key.as_deref(), PAGE_ENTRIES, bytes);
        let Some(last) = page.last() else {
            self.stage = Stage::Behind { fresh: false };
            self.say_caught_up(id, incarnation, out);
            return Ok(());
        };
        *last_key = Some(last.key().to_vec());
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
        self.told = self.after;
        let revision = self.after;
        out.watch_message(REPLY_KIND, id, |body| {
            watch_message::caught_up(incarnation, revision, body);
        });
    }

    /// The end of a watch whose next changes the server no longer knows.
    pub(super) fn forgotten(&self) -> Cut {
        Cut::Over(match self.stage {
            Stage::Behind { fresh: true } => too_old("the changes since the cursor are forgotten"),
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
