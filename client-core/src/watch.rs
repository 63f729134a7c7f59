//! Watches, which outlive connections: each remembers the cursor of the last message it gave out,
//! and every new subscription begins there, so that the consumer sees no gap and no repetition.
//!
//! ```text
//!            subscribe            sent            caught up
//!   Waiting ───────────▶ Queued ───────▶ Filling ───────────▶ Live
//!      ▲                    │               │                   │
//!      └────── link lost, paused, cut by the server ◀───────────┘
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;

use tidekeep_protocol::codec::Malformed;
use tidekeep_protocol::cursor::CURSOR_BYTES_MAX;
use tidekeep_protocol::error::Code;
use tidekeep_protocol::frame::{HEADER_BYTES, LENGTH_BYTES};
use tidekeep_protocol::op::{self, Delivery, Operation, WatchFrom, WatchHead};
use tidekeep_protocol::planted;
use tidekeep_protocol::range::{KeyRange, Range};

use crate::backoff::Backoff;
use crate::calls::{SLOTS_MAX, WATCH_BIT, index, next_tenant};
use crate::config::FOR_PROGRAMS;
use crate::difference::{Changed, Folded, Known};
use crate::error::Error;
use crate::outbox::{has_room, write_frame};
use crate::receive::Joining;
use crate::time::Millis;

/// What to watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchRequest {
    /// The keys to follow.
    pub range: KeyRange,
    /// Whether to begin with what the range holds, rather than with the next change.
    pub content: bool,
    /// Whether changes shall bear the entry as it was before.
    pub previous: bool,
    /// Which changes come to a client that is behind.
    pub delivery: Delivery,
    /// Where an earlier watch of the same range got to: begin with the first change after it.
    pub cursor: Option<Vec<u8>>,
    /// How a gap is told.
    pub resync: Resync,
}

/// How a watch goes on when the server no longer knows what changed since it was there last, or
/// content broke off: what the consumer is told of what it missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Resync {
    /// The difference, if the watch began with content and not at a cursor, and its keys fit
    /// [`crate::Config::tracked_bytes`]; otherwise as [`Resync::Reset`]. Entries that are new or
    /// changed come as content, keys that are gone as deletes in one message of events before the
    /// caught-up message. That message bears the same revision and cursor: when each of the keys
    /// went, and what it was before, is not known any more.
    #[default]
    Difference,
    /// [`crate::Output::WatchReset`], then the whole content. Costs no memory. With the feature `programs`.
    Reset,
}

/// How far a watch is on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The slot has no tenant.
    Free,
    /// Not subscribed: no link, paused, or waiting for another try.
    Waiting,
    /// To be sent.
    Queued,
    /// Sent; content that no cursor can resume is on its way.
    Filling,
    /// Sent; every message bears a cursor.
    Live,
}

/// One watch.
#[derive(Debug)]
struct Watch {
    /// The driver's name for it.
    id: u32,
    /// This subscription's id on the wire.
    wire: u32,
    stage: Stage,
    request: WatchRequest,
    /// Something was given out that only a reset can take back.
    shown: bool,
    paused: bool,
    backoff: Backoff,
    retry_at: Millis,
    joined: Vec<u8>,
    /// Whether a gap is told as a difference as long as the keys fit.
    tracks: bool,
    known: Option<Box<Known>>,
    view: Option<Box<View>>,
}

/// What a view has beside the keys and values that it knows.
#[derive(Debug, Default)]
struct View {
    /// What changed since it was told: a patch whose first byte is to be the state.
    patch: Vec<u8>,
    /// The state that was told.
    told: u8,
    /// All of the range's content is known.
    complete: bool,
    /// It is as new as this connection can tell.
    fresh: bool,
}

impl View {
    fn state(&self) -> u8 {
        match (self.complete, self.fresh) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 2,
        }
    }
}

/// Why a message was not kept by a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Malformed,
    TooLong,
}

/// All watches.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    slots: Vec<Watch>,
    live: usize,
    queued: usize,
    refused: u32,
    /// What the keys take that watches know.
    known_bytes: usize,
    /// What views take.
    view_bytes: usize,
}

/// What a subscription's beginning means for the consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// It goes on where it was.
    Plain,
    /// It begins anew: the driver must be told.
    Reset,
}

/// What to do after the server ended a subscription.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Subscribe again at once.
    Now,
    /// Subscribe again at this time.
    At(Millis),
    /// The watch is over.
    Over(u32, Error),
}

impl Watches {
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// An id for a watch that is refused before it has a slot.
    pub(crate) fn refused_id(&mut self) -> u32 {
        self.refused = self.refused % 0x7FFF + 1;
        WATCH_BIT | self.refused << 16 | SLOTS_MAX as u32
    }

    /// Takes a slot; its place and the watch's id. The caller keeps the number of watches within
    /// [`SLOTS_MAX`].
    pub(crate) fn insert(&mut self, request: WatchRequest) -> (usize, u32) {
        let free = self.slots.iter().position(|watch| watch.stage == Stage::Free);
        let slot = free.unwrap_or(self.slots.len());
        if free.is_none() {
            self.slots.push(Watch {
                id: slot as u32,
                wire: slot as u32,
                stage: Stage::Free,
                request: WatchRequest::default(),
                shown: false,
                paused: false,
                backoff: Backoff::default(),
                retry_at: Millis::NEVER,
                joined: Vec::new(),
                tracks: false,
                known: None,
                view: None,
            });
        }
        self.live += 1;
        let watch = &mut self.slots[slot];
        watch.id = next_tenant(watch.id) | WATCH_BIT;
        watch.stage = Stage::Waiting;
        let resets = FOR_PROGRAMS && request.resync == Resync::Reset;
        watch.tracks = request.content && request.cursor.is_none() && !resets;
        watch.known = watch.tracks.then(Box::default);
        watch.request = request;
        watch.shown = false;
        watch.paused = false;
        watch.backoff.reset();
        watch.retry_at = Millis::NEVER;
        (slot, watch.id)
    }

    /// The place of the watch with this id.
    pub(crate) fn place(&self, id: u32) -> Option<usize> {
        let slot = index(id);
        self.slots.get(slot).filter(|watch| watch.id == id && watch.stage != Stage::Free)?;
        Some(slot)
    }

    /// The place of the watch whose present subscription has this id on the wire.
    pub(crate) fn place_on_wire(&self, wire: u32) -> Option<usize> {
        let slot = index(wire);
        self.slots.get(slot).filter(|watch| watch.wire == wire && watch.subscribed())?;
        Some(slot)
    }

    pub(crate) fn id(&self, slot: usize) -> u32 {
        self.slots[slot].id
    }

    pub(crate) fn joined(&mut self, slot: usize) -> &mut Vec<u8> {
        &mut self.slots[slot].joined
    }

    /// The first watch at or behind slot `from`.
    pub(crate) fn next(&self, from: usize) -> Option<usize> {
        let mut slot = from;
        while self.slots.get(slot)?.stage == Stage::Free {
            slot += 1;
        }
        Some(slot)
    }

    /// Puts the watch's subscription on the way, if it waits for that, to a store of this
    /// incarnation.
    pub(crate) fn subscribe(&mut self, slot: usize, incarnation: u64) -> Begin {
        let watch = &mut self.slots[slot];
        watch.retry_at = Millis::NEVER;
        if watch.stage != Stage::Waiting || watch.paused {
            return Begin::Plain;
        }
        watch.stage = Stage::Queued;
        watch.wire = next_tenant(watch.wire) | WATCH_BIT;
        self.queued += 1;
        if watch.request.cursor.is_some() {
            return Begin::Plain;
        }
        let anew = watch.shown && watch.known.is_none();
        if anew {
            watch.shown = false;
            watch.known = watch.tracks.then(Box::default);
        }
        if let Some(known) = &mut watch.known {
            known.begin_pass(incarnation);
        }
        if anew { Begin::Reset } else { Begin::Plain }
    }

    /// Takes the watch off the server; the id to cancel there, if it had been sent.
    pub(crate) fn detach(&mut self, slot: usize, joining: &mut Joining) -> Option<u32> {
        let watch = &mut self.slots[slot];
        joining.release(&mut watch.joined);
        let sent = watch.subscribed().then_some(watch.wire);
        if watch.stage == Stage::Queued {
            self.queued -= 1;
        }
        watch.stage = Stage::Waiting;
        if let Some(view) = &mut watch.view {
            view.fresh = false;
        }
        sent
    }

    /// Ends the watch; the id to cancel on the server, if it had been sent.
    pub(crate) fn remove(&mut self, slot: usize, joining: &mut Joining) -> Option<u32> {
        let sent = self.detach(slot, joining);
        let watch = &mut self.slots[slot];
        watch.stage = Stage::Free;
        watch.retry_at = Millis::NEVER;
        watch.request = WatchRequest::default();
        let bytes = watch.known.take().map_or(0, |known| known.bytes());
        let view = watch.view.take().is_some();
        *(if view { &mut self.view_bytes } else { &mut self.known_bytes }) -= bytes;
        self.live -= 1;
        sent
    }

    /// Asks the watch to stop where it is. Content is not interrupted: no cursor could resume it.
    /// Whether it can be detached now.
    pub(crate) fn pause(&mut self, slot: usize) -> bool {
        let watch = &mut self.slots[slot];
        watch.paused = true;
        watch.stage != Stage::Filling
    }

    /// Lets the watch go on.
    pub(crate) fn unpause(&mut self, slot: usize) {
        self.slots[slot].paused = false;
    }

    /// Notes what a message means for resuming, before it is given out. False when the server may
    /// not say this: a cursor no server makes, content where none was asked for.
    #[must_use]
    pub(crate) fn note(&mut self, slot: usize, message: &WatchHead<'_>) -> bool {
        let watch = &mut self.slots[slot];
        let cursor = match message {
            WatchHead::Content => {
                watch.shown = true;
                return watch.stage == Stage::Filling && watch.request.content;
            }
            WatchHead::CaughtUp { cursor, .. } => {
                watch.backoff.reset();
                cursor
            }
            WatchHead::Events { cursor, .. } => {
                watch.shown = true;
                cursor
            }
            WatchHead::Bookmark { cursor, .. } => cursor,
        };
        if cursor.len() > CURSOR_BYTES_MAX {
            return false;
        }
        watch.stage = Stage::Live;
        if watch.request.cursor.is_some() && planted::is_awake("cursor-not-kept") {
            return true;
        }
        let kept = watch.request.cursor.get_or_insert_default();
        kept.clear();
        kept.extend_from_slice(cursor);
        true
    }

    /// Whether content is on its way.
    pub(crate) fn is_filling(&self, slot: usize) -> bool {
        self.slots[slot].stage == Stage::Filling
    }

    /// Notes what a message changes of the keys that the watch knows, if it keeps them, and says
    /// what to give out. `filling` is what [`Watches::is_filling`] was before the message. None when
    /// the keys take more than `bytes_max` and the watch must begin anew. A message that does not
    /// decode is left to its consumer, and nothing is known any more.
    pub(crate) fn fold(
        &mut self,
        slot: usize,
        head: &WatchHead<'_>,
        body: &[u8],
        filling: bool,
        bytes_max: usize,
    ) -> Option<Folded> {
        let watch = &mut self.slots[slot];
        let Some(known) = &mut watch.known else { return Some(Folded::AsItIs) };
        self.known_bytes -= known.bytes();
        let folded = known.fold(head, body, filling);
        // With the caught-up message the difference is whole.
        let amid_difference = watch.stage == Stage::Filling && known.is_difference();
        if folded.is_ok() && self.known_bytes + known.bytes() <= bytes_max {
            self.known_bytes += known.bytes();
            return folded.ok();
        }
        watch.known = None;
        match folded {
            Ok(_) if amid_difference => None,
            Ok(folded) => Some(folded),
            Err(Malformed) => Some(Folded::AsItIs),
        }
    }

    /// Makes a view of a watch that was just inserted, with what an earlier one saved if that can be
    /// read and fits.
    pub(crate) fn keep(&mut self, slot: usize, saved: &[u8], bytes_max: usize) {
        let watch = &mut self.slots[slot];
        let mut view = Box::new(View { patch: alloc::vec![0], ..View::default() });
        let mut known = Box::<Known>::default();
        if let Some((restored, cursor)) = Known::restored(saved)
            && self.view_bytes + restored.bytes() <= bytes_max
        {
            self.view_bytes += restored.bytes();
            known = restored;
            watch.request.cursor = Some(cursor);
            watch.request.content = false;
            view.complete = true;
        }
        (watch.known, watch.view, watch.tracks) = (Some(known), Some(view), false);
    }

    pub(crate) fn is_view(&self, slot: usize) -> bool {
        self.slots[slot].view.is_some()
    }

    /// Keeps a message of a view, and says which keys changed, each with its revision.
    pub(crate) fn keep_message(
        &mut self,
        slot: usize,
        head: &WatchHead<'_>,
        body: &[u8],
        filling: bool,
        bytes_max: usize,
    ) -> Result<Changed, Kept> {
        let watch = &mut self.slots[slot];
        let (Some(known), Some(view)) = (&mut watch.known, &mut watch.view) else {
            return Err(Kept::Malformed);
        };
        let caught_up = matches!(head, WatchHead::CaughtUp { .. });
        let revision = match head {
            WatchHead::Content => 0,
            WatchHead::CaughtUp { revision, .. }
            | WatchHead::Events { revision, .. }
            | WatchHead::Bookmark { revision, .. } => *revision,
        };
        self.view_bytes -= known.bytes();
        let kept = known.keep(revision, body, filling && caught_up);
        self.view_bytes += known.bytes();
        view.complete |= caught_up;
        view.fresh |= caught_up;
        if self.view_bytes > bytes_max {
            return Err(Kept::TooLong);
        }
        kept.map_err(|Malformed| Kept::Malformed)
    }

    /// A view's range, what it knows, and its state; none for another watch.
    pub(crate) fn view(&self, slot: usize) -> Option<(Range<'_>, &Known, u8)> {
        let Watch { request, known, view, .. } = self.slots.get(slot)?;
        Some((request.range.as_range(), known.as_ref()?, view.as_ref()?.state()))
    }

    /// The cursor behind a view's content, if that is whole.
    pub(crate) fn view_cursor(&self, slot: usize) -> Option<&[u8]> {
        self.slots[slot].view.as_ref().filter(|view| view.complete)?;
        self.slots[slot].request.cursor.as_deref()
    }

    /// Where views are whose ranges hold the key, from slot `from` on.
    pub(crate) fn next_view_of(&self, from: usize, key: &[u8]) -> Option<usize> {
        let mut slot = from;
        loop {
            let watch = self.slots.get(slot)?;
            if watch.view.is_some() && watch.request.range.as_range().contains(key) {
                return Some(slot);
            }
            slot += 1;
        }
    }

    /// Where a view's patch is put together.
    pub(crate) fn patch(&mut self, slot: usize) -> Option<&mut Vec<u8>> {
        self.slots[slot].view.as_mut().map(|view| &mut view.patch)
    }

    pub(crate) fn patch_bytes(&self, slot: usize) -> usize {
        self.slots[slot].view.as_ref().map_or(0, |view| view.patch.len())
    }

    /// A view that has something to tell.
    pub(crate) fn next_to_tell(&self) -> Option<usize> {
        let tells = |view: &View| view.patch.len() > 1 || view.told != view.state();
        self.slots.iter().position(|watch| watch.view.as_deref().is_some_and(tells))
    }

    /// Takes a view's patch.
    pub(crate) fn take_patch(&mut self, slot: usize) -> Option<Vec<u8>> {
        let view = self.slots[slot].view.as_mut()?;
        view.told = view.state();
        let mut patch = core::mem::replace(&mut view.patch, alloc::vec![0]);
        patch[0] = view.told;
        Some(patch)
    }

    /// Whether the watch was asked to pause and can now.
    pub(crate) fn wants_detach(&self, slot: usize) -> bool {
        let watch = &self.slots[slot];
        watch.paused && watch.stage == Stage::Live
    }

    /// The server ended the subscription with this error.
    pub(crate) fn ended(
        &mut self,
        slot: usize,
        error: Error,
        joining: &mut Joining,
        delay_ms: impl FnOnce(&mut Backoff) -> u32,
        now: Millis,
    ) -> Ended {
        self.detach(slot, joining);
        let watch = &mut self.slots[slot];
        // Neither is told by going on: what there is by then tells the difference.
        let passed_over = matches!(error.code, Code::CursorTooOld | Code::ChangeTooLarge);
        if passed_over && watch.request.cursor.is_some() {
            watch.request.cursor = None;
            watch.request.content = true;
            watch.shown = true;
            return Ended::Now;
        }
        if error.retryable {
            let at = now.after(delay_ms(&mut watch.backoff).max(error.retry_after_ms));
            watch.retry_at = at;
            return Ended::At(at);
        }
        let id = watch.id;
        self.remove(slot, joining);
        Ended::Over(id, error)
    }

    /// The link is gone: nothing is subscribed any more.
    pub(crate) fn detach_all(&mut self, joining: &mut Joining) {
        let mut from = 0;
        while let Some(slot) = self.next(from) {
            self.detach(slot, joining);
            self.slots[slot].retry_at = Millis::NEVER;
            from = slot + 1;
        }
    }

    /// Takes a watch whose time for another try has come.
    pub(crate) fn take_due(&mut self, now: Millis) -> Option<usize> {
        let due = |watch: &Watch| watch.retry_at <= now;
        let slot = self.slots.iter().position(due)?;
        self.slots[slot].retry_at = Millis::NEVER;
        Some(slot)
    }

    /// The earliest time for another try.
    pub(crate) fn earliest_retry(&self) -> Millis {
        let mut earliest = Millis::NEVER;
        for watch in &self.slots {
            earliest = earliest.min(watch.retry_at);
        }
        earliest
    }

    /// Moves subscriptions to `out` while it has room; whether all of them went.
    pub(crate) fn transmit(&mut self, out: &mut Vec<u8>, max_bytes: usize) -> bool {
        if self.queued == 0 {
            return true;
        }
        for watch in self.slots.iter_mut().filter(|watch| watch.stage == Stage::Queued) {
            if !has_room(out, watch.frame_bytes_max(), max_bytes) {
                return false;
            }
            watch.write(out);
            self.queued -= 1;
        }
        true
    }
}

impl Watch {
    fn subscribed(&self) -> bool {
        matches!(self.stage, Stage::Filling | Stage::Live)
    }

    /// No fewer bytes than its request takes: three lengths, three tags and a flag beside the data.
    fn frame_bytes_max(&self) -> usize {
        let WatchRequest { range, cursor, .. } = &self.request;
        let end = range.end.as_ref().map_or(0, Vec::len);
        HEADER_BYTES + 24 + range.start.len() + end + cursor.as_ref().map_or(0, Vec::len)
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        let WatchRequest { range, content, previous, delivery, cursor, .. } = &self.request;
        let (from, stage) = match cursor {
            Some(cursor) => (WatchFrom::Cursor(cursor), Stage::Live),
            None if *content => (WatchFrom::Content, Stage::Filling),
            None => (WatchFrom::Now, Stage::Filling),
        };
        let range = range.as_range();
        let request = op::Watch { range, from, previous: *previous, delivery: *delivery };
        let mut body = Vec::new();
        request.write(&mut body);
        write_frame(out, op::Watch::SPEC.kind, 0, self.wire, &[], &body);
        self.stage = stage;
    }
}

/// The length field's value of a watch request with these parts, at most.
pub(crate) fn request_bytes_max(request: &WatchRequest) -> usize {
    let end = request.range.end.as_ref().map_or(0, Vec::len);
    let cursor = request.cursor.as_ref().map_or(0, Vec::len).max(CURSOR_BYTES_MAX);
    HEADER_BYTES - LENGTH_BYTES + 24 + request.range.start.len() + end + cursor
}
