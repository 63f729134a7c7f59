//! The session: takes bytes that arrived apart into requests and control frames, and keeps what the
//! client is owed. Its driver moves bytes and time in, and bytes out.

use std::sync::Arc;

use tidekeep_log::{Answers, Commit, View};
use tidekeep_protocol::error::{Code, ErrorBody, Outcome, Refusal};
use tidekeep_protocol::frame::{Frame, FrameError, kind};
use tidekeep_protocol::hello::GoingAway;
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::{Class, Request, Watch};
use tidekeep_protocol::{codec, frame};

use super::answers::{AnswerQueue, Share, refuse_too_long};
use super::batch::{Batch, Ticket};
use super::handshake::{self, Greeting, Settings};
use super::outbox::{Fit, Outbox};
use super::tally::{self, Tally};
use super::timing::{Heartbeat, Millis, SLOWEST_BYTES_PER_MS, Stall};
use super::waiting::Waiting;
use super::watch::{WatchStart, Watches};

/// How far the conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The preface is not whole yet.
    Preface,
    /// Waits for the hello.
    Hello,
    /// Requests are taken.
    Ready,
    /// The client was told to go; what is in flight is finished.
    Leaving,
}

/// Why and how a connection is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    /// What went wrong, or `Unavailable` for a drain.
    pub(crate) code: Code,
    /// Whether what is in the outbox is worth waiting for.
    pub(crate) flush: bool,
}

/// One client's conversation.
pub(crate) struct Session {
    settings: Arc<Settings>,
    start: Greeting,
    phase: Phase,
    out: Outbox,
    answers: AnswerQueue,
    waiting: Waiting,
    watches: Watches,
    beat: Heartbeat,
    stall: Stall,
    /// When the frame that has begun to arrive must be whole.
    frame_due: Option<Millis>,
    turn: u8,
    ending: Option<Ending>,
    tally: Tally,
    peer: String,
}

impl Session {
    pub(crate) fn new(settings: Arc<Settings>, start: Greeting) -> Self {
        let limits = &settings.limits;
        Self {
            out: Outbox::new(limits.chunk_bytes, limits.reply_bytes),
            beat: Heartbeat::new(settings.heartbeat_ms.into(), start.now),
            stall: Stall::new(settings.slow_reader_ms),
            watches: Watches::new(&settings, start.now),
            settings,
            start,
            phase: Phase::Preface,
            answers: AnswerQueue::default(),
            waiting: Waiting::default(),
            frame_due: None,
            turn: 0,
            ending: None,
            tally: Tally::default(),
            peer: String::new(),
        }
    }

    /// The bounds of this connection.
    pub(crate) fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    /// The longest frame that is taken now, its length field left out.
    pub(crate) fn frame_limit(&self) -> u32 {
        match self.phase {
            Phase::Preface | Phase::Hello => Limits::HANDSHAKE_FRAME_BYTES,
            Phase::Ready | Phase::Leaving => self.settings.limits.frame_bytes,
        }
    }

    /// What the client calls itself; empty before its hello.
    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    /// Whether the handshake is done.
    pub(crate) fn is_greeted(&self) -> bool {
        matches!(self.phase, Phase::Ready | Phase::Leaving)
    }

    // Bytes in.

    /// Whether there is a point in giving the session more bytes: not while its control frames
    /// wait for a reader that does not read.
    pub(crate) fn may_read(&self) -> bool {
        self.ending.is_none() && self.out.control_backlog() < self.settings.output_bytes
    }

    /// Whether requests are taken; control frames are even when they are not.
    pub(crate) fn takes_requests(&self) -> bool {
        self.answers.is_empty()
            && !self.waiting.is_full()
            && self.out.reply_backlog() < self.settings.output_bytes
    }

    /// Notes that something arrived, be it only a part of a frame.
    pub(crate) fn heard(&mut self, now: Millis) {
        self.beat.heard(now);
    }

    /// Notes that the transport holds a part of a message, which must be whole in time.
    pub(crate) fn began(&mut self, now: Millis) {
        if self.frame_due.is_none() {
            let transfer_ms = u64::from(self.frame_limit()) / SLOWEST_BYTES_PER_MS;
            self.frame_due = Some(now.after(self.settings.frame_ms + transfer_ms));
        }
    }

    /// Reads frames from `bytes`, the last of which came at `arrived`, and adds requests to `batch`.
    /// Gives back how many bytes are done with; the rest is to be offered again with what follows.
    pub(crate) fn read<'b>(
        &mut self,
        now: Millis,
        arrived: Millis,
        bytes: &'b [u8],
        batch: &mut Batch<'b>,
    ) -> usize {
        let mut at = 0;
        if self.phase == Phase::Preface {
            match handshake::preface(bytes) {
                Ok(None) => return 0,
                Ok(Some(length)) => {
                    at = length;
                    self.phase = Phase::Hello;
                }
                Err(refusal) => self.fail(&refusal),
            }
        }
        let mut cut = false;
        while self.may_read() && !batch.is_full() {
            match Frame::decode(&bytes[at..], self.frame_limit()) {
                Ok(None) => {
                    cut = at < bytes.len();
                    break;
                }
                Ok(Some((frame, length))) => {
                    if !self.take(now, arrived, &frame, batch) {
                        break;
                    }
                    at += length;
                }
                Err(error) => self.fail(&frame_refusal(error)),
            }
        }
        self.note_cut(now, cut, at, bytes);
        if self.ending.is_some() { bytes.len() } else { at }
    }

    /// Gives a frame that has begun a time by which it must be whole.
    fn note_cut(&mut self, now: Millis, cut: bool, at: usize, bytes: &[u8]) {
        if !cut {
            self.frame_due = None;
        } else if self.frame_due.is_none() || at > 0 {
            let begun = &bytes[at..];
            let length = begun.first_chunk().map_or(0, |field| u32::from_le_bytes(*field));
            let transfer_ms = u64::from(length) / SLOWEST_BYTES_PER_MS;
            self.frame_due = Some(now.after(self.settings.frame_ms + transfer_ms));
        }
    }

    /// Acts on one frame; `false` leaves it for later.
    fn take<'b>(
        &mut self,
        now: Millis,
        arrived: Millis,
        frame: &Frame<'b>,
        batch: &mut Batch<'b>,
    ) -> bool {
        if self.phase == Phase::Hello {
            self.greet(now, frame);
            return true;
        }
        match frame.kind {
            kind::PING => self.out.control(kind::PONG, frame.id, |_| {}),
            kind::PONG => {}
            kind::CANCEL => self.cancel(frame.id),
            kind::HELLO => self.fail(&Refusal::new(Code::Protocol, "a second hello")),
            _ => match tally::row(frame.kind) {
                Some((operation, spec)) => {
                    let (id, kind) = (frame.id, frame.kind);
                    let ticket = Ticket { id, kind, operation, class: spec.class };
                    if !self.takes_requests() || !batch.takes(ticket.class) {
                        return false;
                    }
                    self.request(now, arrived, frame, ticket, batch);
                }
                None if frame.id == 0 => {
                    self.fail(&Refusal::new(Code::Protocol, "a message that only a server sends"));
                }
                None => {
                    let refusal = Refusal::new(Code::Unsupported, "unknown kind of message");
                    self.out.error(frame.id, &refusal.body());
                }
            },
        }
        true
    }

    fn greet(&mut self, now: Millis, frame: &Frame<'_>) {
        match handshake::greet(frame) {
            Ok((version, software)) => {
                software.clone_into(&mut self.peer);
                let welcome = self.settings.welcome(version, self.start, now);
                self.out.control(kind::WELCOME, 0, |body| codec::encode(&welcome, body));
                self.phase = Phase::Ready;
            }
            Err(refusal) => self.fail(&refusal),
        }
    }

    fn request<'b>(
        &mut self,
        now: Millis,
        arrived: Millis,
        frame: &Frame<'b>,
        ticket: Ticket,
        batch: &mut Batch<'b>,
    ) {
        let id = frame.id;
        if id == 0 {
            return self.fail(&Refusal::new(Code::Protocol, "a request has an id that is not 0"));
        }
        if batch.has(id) || self.waiting.has(id) || self.watches.has(id) {
            return self.fail(&Refusal::new(Code::Protocol, "a request with an id in use"));
        }
        match self.open(now, arrived, frame, batch) {
            Ok(request) => batch.push(request, frame.body, ticket),
            Err(refusal) => self.refuse(&ticket, &refusal),
        }
    }

    /// Reads a request, or says why it is not taken.
    fn open<'b>(
        &self,
        now: Millis,
        arrived: Millis,
        frame: &Frame<'b>,
        batch: &Batch<'b>,
    ) -> Result<Request<'b>, Refusal> {
        if frame.more() {
            return Err(Refusal::new(Code::Unsupported, "a request is a single frame"));
        }
        if frame.extensions.unknown_required().is_some() {
            return Err(Refusal::new(Code::Unsupported, "a required extension is unknown here"));
        }
        if self.phase == Phase::Leaving {
            return Err(Refusal::new(Code::Unavailable, "the server is stopping"));
        }
        if self.waiting.requests() + batch.len() >= self.settings.limits.in_flight as usize {
            return Err(Refusal::new(Code::ResourceExhausted, "too many requests at once"));
        }
        let deadline = frame.extensions.deadline_ms();
        if deadline.is_some_and(|ms| now > arrived.after(ms.into())) {
            return Err(Refusal::new(Code::Timeout, "the deadline passed before the request ran"));
        }
        match Request::decode(frame.kind, frame.body) {
            Some(Ok(request)) => Ok(request),
            Some(Err(malformed)) => Err(Refusal::new(Code::InvalidInput, malformed.to_string())),
            None => Err(Refusal::new(Code::Unsupported, "unknown kind of message")),
        }
    }

    fn cancel(&mut self, id: u32) {
        if self.watches.end(id, &mut self.out) {
            let refusal = Refusal::new(Code::Cancelled, "the watch was cancelled");
            self.out.error(id, &refusal.body());
        }
    }

    // Answers in.

    /// Refuses a request.
    pub(crate) fn refuse(&mut self, ticket: &Ticket, refusal: &Refusal) {
        self.out.error(ticket.id, &refusal.body());
        self.tally.refused(ticket.operation, refusal.code);
    }

    /// Answers a request with a body that the server itself made.
    pub(crate) fn reply(&mut self, ticket: &Ticket, body: impl FnOnce(&mut Vec<u8>)) {
        match self.out.reply(ticket.kind | kind::REPLY, ticket.id, body) {
            Fit::Taken => self.tally.answered(ticket.operation),
            Fit::TooLong => refuse_too_long(ticket, &mut self.out, &mut self.tally),
        }
    }

    /// Lists to use for the next batch's tickets and answers.
    pub(crate) fn take_spare(&mut self) -> (Vec<Ticket>, Answers) {
        self.answers.take_spare()
    }

    /// Notes that a batch waits for its answers; the key brings them to it.
    pub(crate) fn wait_for(&mut self, tickets: Vec<Ticket>) -> u64 {
        self.waiting.push(tickets)
    }

    /// Takes the answers of a batch that waited.
    pub(crate) fn answer_waiting(&mut self, key: u64, answers: Answers) {
        if let Some(tickets) = self.waiting.take(key) {
            self.answer(tickets, answers);
        }
    }

    /// Takes a batch's answers, one for each ticket.
    pub(crate) fn answer(&mut self, tickets: Vec<Ticket>, answers: Answers) {
        self.answers.push(tickets, answers);
    }

    /// Tells those who wait that storage failed.
    pub(crate) fn lose_waiting(&mut self, key: u64) {
        if let Some(tickets) = self.waiting.take(key) {
            self.lose(&tickets);
        }
    }

    /// Answers requests whose outcome nobody knows, because storage failed.
    pub(crate) fn lose(&mut self, tickets: &[Ticket]) {
        for ticket in tickets {
            let outcome = match ticket.class {
                Class::Write => Outcome::Unknown,
                Class::Read | Class::Watch | Class::Server => Outcome::NotApplied,
            };
            let body = ErrorBody {
                code: Code::Storage.number(),
                retryable: Code::Storage.retryable(),
                outcome,
                retry_after_ms: 0,
                message: "the server's storage failed",
            };
            self.out.error(ticket.id, &body);
            self.tally.refused(ticket.operation, Code::Storage);
        }
    }

    // Watches.

    /// Opens a watch; if it begins with content, the driver is to get a view of its range.
    pub(crate) fn open_watch(
        &mut self,
        ticket: &Ticket,
        watch: &Watch<'_>,
        commit: &dyn Commit,
    ) -> WatchStart {
        if self.watches.len() >= self.settings.limits.watches as usize {
            let refusal = Refusal::new(Code::ResourceExhausted, "too many watches at once");
            self.refuse(ticket, &refusal);
            return WatchStart::Refused;
        }
        match self.watches.open(ticket.id, watch, commit, &mut self.out) {
            Ok(start) => {
                self.tally.answered(ticket.operation);
                start
            }
            Err(refusal) => {
                self.refuse(ticket, &refusal);
                WatchStart::Refused
            }
        }
    }

    /// Gives a watch the view it begins with.
    pub(crate) fn view_ready(&mut self, id: u32, view: View) {
        self.watches.view_ready(id, view);
    }

    /// Ends a watch whose view cannot be made, because storage failed.
    pub(crate) fn view_lost(&mut self, id: u32) {
        if self.watches.end(id, &mut self.out) {
            let refusal = Refusal::new(Code::Storage, "the server's storage failed");
            self.out.error(id, &refusal.body());
        }
    }

    /// The revision behind which the driver is to wait for a change; none while there is nothing
    /// to wait for.
    pub(crate) fn waits_for_change(&self) -> Option<u64> {
        self.watches.waits_for_change()
    }

    /// Notes that there is a change to look at.
    pub(crate) fn changed(&mut self) {
        self.watches.changed();
    }

    /// Open watches.
    pub(crate) fn watches(&self) -> usize {
        self.watches.len()
    }

    // Bytes out.

    /// Writes frames until two chunks are ready or there is nothing to write: control frames
    /// first, then a share for watches, for answers and for long replies in turn.
    pub(crate) fn fill(&mut self, now: Millis, commit: &dyn Commit) {
        const LANES: u8 = 3;
        self.out.release_control();
        let bytes = self.settings.limits.chunk_bytes.max(1) as usize;
        let mut idle_lanes = 0;
        while idle_lanes < LANES && self.out.has_room() {
            let moved = match self.turn {
                0 => {
                    let unix_ms = self.start.unix_ms_at(now);
                    self.watches.feed(unix_ms, &mut self.out, commit, &mut self.tally)
                }
                1 => {
                    let share = Share { bytes, reply_backlog_max: self.settings.output_bytes };
                    self.answers.write(&mut self.out, &mut self.tally, share)
                }
                _ => self.out.next_reply_chunk(),
            };
            self.turn = (self.turn + 1) % LANES;
            idle_lanes = if moved { 0 } else { idle_lanes + 1 };
            self.out.release_control();
        }
        if self.is_finished() && self.ending.is_none() {
            self.ending = Some(Ending { code: Code::Unavailable, flush: true });
        }
    }

    /// What is ready for the socket.
    pub(crate) fn output(&self) -> &[u8] {
        self.out.bytes()
    }

    /// Notes that the socket took `count` bytes of the output.
    pub(crate) fn taken(&mut self, now: Millis, count: usize) {
        self.out.taken(count);
        if count > 0 {
            self.beat.sent(now);
        }
        self.stall.update(now, count, self.out.bytes().len());
    }

    /// Gives memory back that a burst needed.
    pub(crate) fn rest(&mut self) {
        self.out.rest();
    }

    /// What was done since the last look.
    pub(crate) fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    // Time.

    /// Acts on what is due.
    pub(crate) fn tick(&mut self, now: Millis) {
        if self.ending.is_some() {
            return;
        }
        if !self.is_greeted() && now >= self.start.now.after(self.settings.handshake_ms) {
            self.fail(&Refusal::new(Code::Timeout, "the handshake did not come in time"));
        } else if self.frame_due.is_some_and(|due| now >= due) {
            self.fail(&Refusal::new(Code::Timeout, "a frame did not arrive whole in time"));
        } else if self.stall.over(now) {
            self.ending = Some(Ending { code: Code::SlowReader, flush: false });
        } else if self.beat.silent(now) {
            self.fail(&Refusal::new(Code::Timeout, "the client was silent for too long"));
        } else if self.is_greeted() {
            if self.beat.due(now) {
                // Where bytes wait already, a ping behind them would prove nothing.
                if self.out.is_empty() {
                    self.out.control(kind::PING, 0, |_| {});
                }
                self.beat.sent(now);
            }
            self.watches.tick(now, &mut self.out);
        }
    }

    /// When the next thing is due.
    pub(crate) fn wait(&self) -> Millis {
        let handshake =
            (!self.is_greeted()).then(|| self.start.now.after(self.settings.handshake_ms));
        let others = [handshake, self.frame_due, self.stall.wait(), self.watches.wait(&self.out)];
        others.into_iter().flatten().fold(self.beat.wait(), Millis::min)
    }

    // The end.

    /// Tells the client to go and to come back after `reconnect_after_ms`. What is in flight is
    /// finished, then the connection ends.
    pub(crate) fn go_away(&mut self, reconnect_after_ms: u32) {
        match self.phase {
            Phase::Preface | Phase::Hello => {
                self.fail(&Refusal::new(Code::Unavailable, "the server is stopping"));
            }
            Phase::Ready => {
                let body = GoingAway { reconnect_after_ms };
                self.out.control(kind::GOING_AWAY, 0, |out| codec::encode(&body, out));
                let refusal = Refusal::new(Code::Unavailable, "the server is stopping");
                for id in self.watches.end_all(&mut self.out) {
                    self.out.error(id, &refusal.body());
                }
                self.phase = Phase::Leaving;
            }
            Phase::Leaving => {}
        }
    }

    /// Ends the connection because of what the client did.
    pub(crate) fn fail(&mut self, refusal: &Refusal) {
        if self.ending.is_none() {
            self.out.error(0, &refusal.body());
            self.ending = Some(Ending { code: refusal.code, flush: true });
        }
    }

    /// Why the connection is to be closed, once it is.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Requests that the commit has not answered.
    pub(crate) fn requests_waiting(&self) -> usize {
        self.waiting.requests()
    }

    /// Whether every request has been answered and every byte taken.
    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.answers.is_empty() && self.out.is_empty()
    }

    fn is_finished(&self) -> bool {
        self.phase == Phase::Leaving
            && self.waiting.is_empty()
            && self.answers.is_empty()
            && self.out.reply_backlog() == 0
    }
}

fn frame_refusal(error: FrameError) -> Refusal {
    let code = match error {
        FrameError::TooLarge { .. } => Code::TooLarge,
        FrameError::TooShort { .. } | FrameError::Extensions => Code::Protocol,
    };
    Refusal::new(code, error.to_string())
}

/// Appends the frames by which a connection that cannot be taken is told why.
pub(crate) fn turn_away(out: &mut Vec<u8>, refusal: &Refusal, retry_after_ms: u32) {
    let body = ErrorBody { retry_after_ms, ..refusal.body() };
    frame::write_value(out, kind::ERROR, 0, &body);
}
