//! From arrived bytes to outputs, one at a time, so that replies can be borrowed from where they
//! lie. While the drain lives the core takes no further input: the borrow checker sees to it.

use alloc::vec::Vec;

use tidekeep_protocol::error::{Code, Outcome};
use tidekeep_protocol::frame::{FrameError, kind};
use tidekeep_protocol::hello::GoingAway;
use tidekeep_protocol::op::{Operation, Watch, WatchHead};
use tidekeep_protocol::plain::Reader;

use crate::backoff::Backoff;
use crate::calls::{Call, Stage, WATCH_BIT};
use crate::core::Core;
use crate::difference::{Changed, Folded};
use crate::error::Error;
use crate::link::{Phase, ServerInfo};
use crate::outbox::Control;
use crate::output::{CallId, Output, WatchId};
use crate::receive::{Arrived, KEPT_BYTES, Place, Receive};
use crate::replay::{self, Verdict};
use crate::timers::Timer;
use crate::watch::{Ended, Kept};

/// The kind of the frames that a watch's stream is made of.
const WATCH_REPLY: u8 = Watch::SPEC.kind | kind::REPLY;

/// What a server has sent that no server sends. Which rule it breaks is for the server's tests to tell.
pub(crate) const MALFORMED: &str = "what the server sent is malformed";

/// A write that is refused for now rests at most so long unless the server names a longer time: its
/// caller waits, and may hold something that runs out meanwhile.
const REST_MAX_MS: u32 = 2_000;

/// The outputs of an input, to be taken until there are none. What is left when it is dropped comes
/// with the next one.
#[derive(Debug)]
#[must_use = "the core acts only through the outputs that are drained"]
pub struct Drain<'a> {
    core: &'a mut Core,
    input: &'a [u8],
}

/// An output whose bytes, if it has any, are found but not yet borrowed.
enum Found<'a> {
    Owned(Output<'static>),
    Reply {
        call: CallId,
        kind: u8,
        body: Place<'a>,
    },
    Watch {
        watch: WatchId,
        body: Place<'a>,
    },
    /// Its patch is in the core's buffer for joined bodies.
    View(WatchId),
    /// Its batch is there.
    Store,
}

impl<'a> Drain<'a> {
    pub(crate) fn new(core: &'a mut Core, input: &'a [u8]) -> Self {
        Self { core, input }
    }

    /// The next output. It may borrow from what arrived, so it is to be used before the next.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend from itself")]
    pub fn next(&mut self) -> Option<Output<'_>> {
        let found = self.core.find_output(&mut self.input)?;
        Some(match found {
            Found::Owned(output) => output,
            Found::Reply { call, kind, body } => {
                Output::Reply { call, kind, body: self.core.bytes(&body) }
            }
            Found::Watch { watch, body } => Output::Watch { watch, body: self.core.bytes(&body) },
            Found::View(view) => Output::View { view, body: &self.core.joined },
            Found::Store => Output::Store { batch: &self.core.joined },
        })
    }
}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        if self.core.link.listening() {
            self.core.receive.keep(self.input);
        }
    }
}

impl Core {
    fn bytes<'b>(&'b self, place: &Place<'b>) -> &'b [u8] {
        bytes(&self.receive, &self.joined, place)
    }

    /// Takes frames until one of them, or something that waited, makes an output.
    fn find_output<'a>(&mut self, input: &mut &'a [u8]) -> Option<Found<'a>> {
        if self.joined.capacity() > KEPT_BYTES {
            self.joined = Vec::new();
        }
        loop {
            if let Some((watch, body)) = self.follow.take() {
                self.joined = body;
                return Some(Found::Watch { watch, body: Place::Joined });
            }
            if let Some(output) = self.outputs.pop_front() {
                return Some(Found::Owned(output));
            }
            self.part_when_done();
            if !self.link.listening() {
                return self.find_last();
            }
            let limit = self.link.frame_limit(&self.config);
            match self.receive.next(input, limit) {
                Ok(Some(arrived)) => {
                    if let Some(found) = self.take_frame(arrived) {
                        return Some(found);
                    }
                }
                Ok(None) => return self.find_last(),
                Err(error) => self.misbehaved(frame_error(error)),
            }
        }
    }

    /// What is put out once nothing else is: what all of it changed in the queue and in views.
    fn find_last<'a>(&mut self) -> Option<Found<'a>> {
        if let Some(batch) = self.pump_queue() {
            self.joined = batch;
            return Some(Found::Store);
        }
        if let Some(output) = self.outputs.pop_front() {
            return Some(Found::Owned(output));
        }
        let slot = self.watches.next_to_tell()?;
        self.take_patch(slot)
    }

    /// Takes what a view has to tell.
    fn take_patch<'a>(&mut self, slot: usize) -> Option<Found<'a>> {
        self.joined = self.watches.take_patch(slot)?;
        Some(Found::View(WatchId(self.watches.id(slot))))
    }

    fn take_frame<'a>(&mut self, arrived: Arrived<'a>) -> Option<Found<'a>> {
        if self.link.phase == Phase::Greeting {
            self.take_welcome(&arrived);
            return None;
        }
        match arrived.kind {
            kind::PING => self.outbox.push(Control::Pong(arrived.id)),
            kind::GOING_AWAY => self.take_going_away(&arrived.body),
            kind::ERROR if arrived.id == 0 => self.take_connection_error(&arrived.body),
            _ => return self.take_reply(arrived),
        }
        None
    }

    fn take_welcome(&mut self, arrived: &Arrived<'_>) {
        if arrived.kind == kind::ERROR {
            return self.take_connection_error(&arrived.body);
        }
        let server = ServerInfo::read(self.bytes(&arrived.body));
        let Some(server) = server.filter(|_| arrived.kind == kind::WELCOME) else {
            return self.misbehaved(MALFORMED);
        };
        let incarnation = server.incarnation;
        if self.link.welcome(self.now, server, &self.config, &mut self.timers) {
            self.begin_session(self.receive.session, incarnation);
            self.meet_store();
            self.ready();
        } else {
            let message = "the server chose a version that was not offered";
            self.break_off(Error::told(Code::Version, message));
        }
    }

    /// The server broke the protocol: it is left.
    #[inline(never)]
    fn misbehaved(&mut self, what: &'static str) {
        self.break_off(Error::told(Code::Protocol, what));
    }

    /// The error that a frame bears. Whoever sends one that cannot be read is left.
    fn read_error(&mut self, body: &Place<'_>) -> Option<Error> {
        let error = Error::read(self.bytes(body));
        if error.is_none() {
            self.misbehaved(MALFORMED);
        }
        error
    }

    fn take_connection_error(&mut self, body: &Place<'_>) {
        if let Some(error) = self.read_error(body) {
            self.break_off(error);
        }
    }

    fn take_going_away(&mut self, body: &Place<'_>) {
        match GoingAway::read(self.bytes(body)) {
            Some(notice) => self.link.going_away(notice.reconnect_after_ms, &self.config),
            None => self.misbehaved(MALFORMED),
        }
    }

    /// Takes a frame that belongs to a call or, if its id says so, to a watch.
    fn take_reply<'a>(&mut self, arrived: Arrived<'a>) -> Option<Found<'a>> {
        let id = arrived.id;
        // None: a reply to a call that was given up, the stream of a watch that has moved on, or a kind
        // that a later server made up.
        let (expected, sent, slot) = if id & WATCH_BIT == 0 {
            let call = self.calls.find(id)?;
            (call.reply_kind(), call.stage == Stage::Sent, None)
        } else {
            (WATCH_REPLY, true, Some(self.watches.place_on_wire(id)?))
        };
        if arrived.kind == kind::ERROR && sent {
            let error = self.read_error(&arrived.body)?;
            match slot {
                Some(slot) => self.watch_ended(slot, error),
                None => self.call_refused(id, error),
            }
            return None;
        }
        if arrived.kind != expected || !sent {
            self.misbehaved("a reply does not match its request");
            return None;
        }
        let body = self.join(&arrived, slot)?;
        match slot {
            Some(slot) => self.fold_message(slot, body),
            None => self.call_answered(id, arrived.kind, body),
        }
    }

    /// Adds a frame's body to what came before of the same reply; the body once it is whole.
    fn join<'a>(&mut self, arrived: &Arrived<'a>, slot: Option<usize>) -> Option<Place<'a>> {
        let Core { calls, watches, joining, receive, config, .. } = self;
        let so_far = match slot {
            Some(slot) => watches.joined(slot),
            None => &mut calls.find(arrived.id)?.joined,
        };
        if !arrived.more && so_far.is_empty() {
            return Some(arrived.body.clone());
        }
        let chunk = bytes(receive, &[], &arrived.body);
        if joining.append(so_far, chunk, config.reply_bytes, config.joining_bytes) {
            if arrived.more {
                return None;
            }
            self.joined = joining.release(so_far);
            return Some(Place::Joined);
        }
        let error = Error::told(Code::TooLarge, "the reply is longer than the client takes");
        match slot {
            Some(slot) => self.end_watch(slot, error),
            None => self.give_up(arrived.id, error),
        }
        None
    }

    /// A call has succeeded; the core keeps the replies to its own.
    fn call_answered<'a>(&mut self, id: u32, kind: u8, body: Place<'a>) -> Option<Found<'a>> {
        let queued = self.calls.find(id)?.queued;
        self.calls.settle(id, &mut self.joining);
        if queued {
            let body = self.bytes(&body).to_vec();
            self.mutation_answered(id, body);
            return None;
        }
        if self.leases.answered(id) {
            self.keep_leases();
            return None;
        }
        Some(Found::Reply { call: CallId(id), kind, body })
    }

    fn call_refused(&mut self, id: u32, mut error: Error) {
        // What is queued has time, and is waited for like what is in doubt. It bears a number, so that also
        // what a server's failed disk has made of it is known once that server is back.
        let waits = |call: &mut Call| {
            let lost = call.queued && error.code == Code::Storage;
            call.doubtful |= lost && error.outcome != Outcome::NotApplied;
            if lost {
                (error.outcome, error.retryable) = (Outcome::NotApplied, true);
            }
            call.doubtful || call.queued && error.retryable
        };
        let doubtful = self.calls.find(id).is_some_and(waits);
        match replay::after_refusal(&error, self.link.phase == Phase::Leaving, doubtful) {
            Verdict::SendAgain => self.calls.queue_again(id, &mut self.joining),
            Verdict::SendLater => {
                let (least_ms, most_ms) = (self.config.backoff_min_ms, REST_MAX_MS);
                let delay_ms =
                    |backoff: &mut Backoff| backoff.next_ms(least_ms, most_ms, &mut self.link.rng);
                let asked_ms = error.retry_after_ms;
                let joining = &mut self.joining;
                let until = self.calls.rest(id, self.now, asked_ms, delay_ms, joining);
                self.timers.bring_forward(Timer::Calls, until);
            }
            Verdict::Fail(outcome) => self.fail(id, error.with_outcome(outcome)),
        }
    }

    /// Notes a whole message of a watch's stream, and gives it out or what is to come of it.
    fn fold_message<'a>(&mut self, slot: usize, mut body: Place<'a>) -> Option<Found<'a>> {
        let watch = WatchId(self.watches.id(slot));
        let Core { receive, joined, watches, config, .. } = self;
        let message = bytes(receive, joined, &body);
        let filling = watches.is_filling(slot);
        let head = WatchHead::decode(message).ok().filter(|head| watches.note(slot, head));
        let Some(head) = head else {
            self.misbehaved(MALFORMED);
            return None;
        };
        if watches.is_view(slot) {
            let kept = watches.keep_message(slot, &head, message, filling, config.view_bytes);
            let watched = head_revision(&head);
            return self.view_changed(slot, watched, kept);
        }
        match watches.fold(slot, &head, message, filling, config.tracked_bytes) {
            Some(Folded::AsItIs) => {}
            Some(Folded::Nothing) => return None,
            Some(Folded::Instead(message)) => {
                self.joined = message;
                body = Place::Joined;
            }
            Some(Folded::Before(deletes)) => {
                self.follow = Some((watch, message.to_vec()));
                self.joined = deletes;
                body = Place::Joined;
            }
            None => {
                self.detach_watch(slot);
                self.subscribe(slot);
                return None;
            }
        }
        if self.watches.wants_detach(slot) {
            self.detach_watch(slot);
        }
        Some(Found::Watch { watch, body })
    }

    /// A view has kept a message; `passed` is the revision up to which that says that all was sent.
    fn view_changed<'a>(
        &mut self,
        slot: usize,
        passed: Option<u64>,
        kept: Result<Changed, Kept>,
    ) -> Option<Found<'a>> {
        match kept {
            Ok(changed) => {
                let view = self.watches.id(slot);
                for (key, revision) in changed {
                    self.queue.noticed(view, &key, revision);
                    self.show(slot, &key);
                }
                if let Some(revision) = passed {
                    self.view_passed(slot, revision);
                }
                self.forget_words();
                if self.watches.patch_bytes(slot) > KEPT_BYTES {
                    return self.take_patch(slot);
                }
            }
            Err(Kept::Malformed) => self.misbehaved(MALFORMED),
            Err(Kept::TooLong) => {
                let error = Error::told(Code::TooLarge, "the range does not fit into the cache");
                self.end_watch(slot, error);
            }
        }
        None
    }

    fn watch_ended(&mut self, slot: usize, error: Error) {
        let Core { watches, joining, config, link, .. } = self;
        let delay_ms = |backoff: &mut Backoff| {
            backoff.next_ms(config.backoff_min_ms, config.backoff_max_ms, &mut link.rng)
        };
        match watches.ended(slot, error, joining, delay_ms, self.now) {
            Ended::Now => self.subscribe(slot),
            Ended::At(at) => self.timers.bring_forward(Timer::Watches, at),
            Ended::Over(id, error) => {
                self.outputs.push_back(Output::WatchFailed { watch: WatchId(id), error });
            }
        }
    }
}

fn bytes<'b>(receive: &'b Receive, joined: &'b [u8], place: &Place<'b>) -> &'b [u8] {
    match place {
        Place::Input(bytes) => bytes,
        Place::Held(range) => receive.slice(range),
        Place::Joined => joined,
    }
}

/// The revision up to which a message says that everything was sent. What changes come to leaves out keys
/// that are again as they were, so changes say so as well; but in a store of several groups, whose cursors
/// name a revision for each, only of their own.
fn head_revision(head: &WatchHead<'_>) -> Option<u64> {
    match head {
        WatchHead::CaughtUp { revision, .. } | WatchHead::Bookmark { revision, .. } => {
            Some(*revision)
        }
        WatchHead::Events { revision, cursor } => {
            let mut cursor = Reader::new(cursor);
            let (_incarnation, groups) = (cursor.number(), cursor.number());
            (groups == 1).then_some(*revision)
        }
        WatchHead::Content => None,
    }
}

fn frame_error(error: FrameError) -> &'static str {
    match error {
        FrameError::TooLarge { .. } => "a frame is longer than the client takes",
        FrameError::TooShort { .. } | FrameError::Extensions => MALFORMED,
    }
}
