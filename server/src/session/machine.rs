//! The session: takes bytes that arrived apart into requests and control frames, and keeps what the
//! client is owed. Its driver moves bytes and time in, and bytes out.

use std::sync::Arc;

use tidekeep_protocol::codec;
use tidekeep_protocol::error::{Code, ErrorBody, Refusal};
use tidekeep_protocol::frame::{self, kind};
use tidekeep_protocol::hello::GoingAway;
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::session::SessionId;

use super::answers::AnswerQueue;
use super::handshake::{Greeting, Settings};
use super::outbox::Outbox;
use super::rate::Bucket;
use super::tally::Tally;
use super::timing::{Excess, Heartbeat, Millis, Stall};
use super::waiting::Waiting;
use super::watches::Watches;

/// How long after it was told to go a client may still send requests, which are refused by name. One
/// that was cut off instead would not know whether its last write was applied.
const GRACE_MS: u64 = 1_000;

/// How far the conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
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
    pub(super) settings: Arc<Settings>,
    pub(super) start: Greeting,
    pub(super) phase: Phase,
    pub(super) out: Outbox,
    pub(super) answers: AnswerQueue,
    pub(super) waiting: Waiting,
    pub(super) watches: Watches,
    pub(super) beat: Heartbeat,
    pub(super) stall: Stall,
    /// When the frame that has begun to arrive must be whole.
    pub(super) frame_due: Option<Millis>,
    /// Until when a connection that is to end still refuses what its client sent before it knew.
    pub(super) grace: Option<Millis>,
    pub(super) turn: u8,
    pub(super) ending: Option<Ending>,
    pub(super) tally: Tally,
    pub(super) peer: String,
    /// The client's session, if its hello asked for one.
    pub(super) session: Option<SessionId>,
    /// Bytes that wait to be read, as the driver holds them.
    pub(super) input_bytes: usize,
    pub(super) excess: Excess,
    pub(super) requests: Bucket,
    pub(super) request_bytes: Bucket,
}

impl Session {
    pub(crate) fn new(settings: Arc<Settings>, start: Greeting) -> Self {
        let limits = &settings.limits;
        Self {
            out: Outbox::new(limits.chunk_bytes, limits.reply_bytes),
            answers: AnswerQueue::new(limits.chunk_bytes),
            beat: Heartbeat::new(settings.heartbeat_ms.into(), start.now),
            stall: Stall::new(settings.slow_reader_ms),
            watches: Watches::new(&settings, start.now),
            requests: Bucket::new(settings.budgets.requests_per_second, start.now),
            request_bytes: Bucket::new(settings.budgets.bytes_per_second, start.now),
            input_bytes: 0,
            excess: Excess::new(settings.slow_reader_ms),
            settings,
            start,
            phase: Phase::Preface,
            waiting: Waiting::default(),
            frame_due: None,
            grace: None,
            turn: 0,
            ending: None,
            tally: Tally::default(),
            peer: String::new(),
            session: None,
        }
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

    /// The client's session, once its hello has asked for one.
    pub(crate) fn id(&self) -> Option<SessionId> {
        self.session
    }

    /// Ends the connection: another one goes on with its session.
    pub(crate) fn superseded(&mut self) {
        self.fail(&Refusal::new(Code::Protocol, "another connection goes on with the session"));
    }

    /// Whether the handshake is done.
    pub(crate) fn is_greeted(&self) -> bool {
        matches!(self.phase, Phase::Ready | Phase::Leaving)
    }

    // Time.

    /// Acts on what is due.
    pub(crate) fn tick(&mut self, now: Millis) {
        if self.ending.is_some() {
            return;
        }
        self.grace = self.grace.filter(|until| now < *until);
        self.note_input(now, self.input_bytes);
        if !self.is_greeted() && now >= self.start.now.after(self.settings.handshake_ms) {
            self.fail(&Refusal::new(Code::Timeout, "the handshake did not come in time"));
        } else if self.frame_due.is_some_and(|due| now >= due) {
            self.fail(&Refusal::new(Code::Timeout, "a frame did not arrive whole in time"));
        } else if self.stall.over(now) {
            self.ending = Some(Ending { code: Code::SlowReader, flush: false });
        } else if self.excess.over(now) {
            let over = "the connection held more bytes than its budget for too long";
            self.fail(&Refusal::new(Code::OverBudget, over));
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
        let watches = self.watches.wait(&self.out);
        let stall = self.stall.wait();
        let others = [handshake, self.frame_due, self.grace, stall, watches, self.excess.wait()];
        // Who has not been greeted is sent no pings, and a wait for one would never end.
        let beat = if self.is_greeted() { self.beat.wait() } else { self.beat.gone_at() };
        others.into_iter().flatten().fold(beat, Millis::min)
    }

    // Memory.

    /// Bytes that are held for this client: what it sent and nobody has read, answers that wait, its
    /// watches, and what is to be sent.
    pub(crate) fn held_bytes(&self) -> usize {
        let answers = self.waiting.bytes() + self.answers.bytes();
        self.input_bytes + answers + self.watches.held_bytes() + self.out.held_bytes()
    }

    /// Whether that is more than it may be.
    pub(crate) fn over_budget(&self) -> bool {
        self.held_bytes() > self.settings.budgets.connection_bytes
    }

    /// Notes how many bytes the driver holds that were not read.
    pub(crate) fn note_input(&mut self, now: Millis, bytes: usize) {
        self.input_bytes = bytes;
        self.excess.update(now, self.over_budget());
    }

    // The end.

    /// Tells the client to go and to come back after `reconnect_after_ms`. What is in flight is
    /// finished; the connection ends when the client closes it, or after a short grace.
    pub(crate) fn go_away(&mut self, now: Millis, reconnect_after_ms: u32) {
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
                self.grace = Some(now.after(GRACE_MS));
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

    /// Bytes that wait for the client to take them.
    pub(crate) fn output_backlog(&self) -> usize {
        self.out.backlog()
    }

    /// Whether every request has been answered and every byte taken.
    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.answers.is_empty() && self.out.is_empty()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.phase == Phase::Leaving
            && self.grace.is_none()
            && self.waiting.is_empty()
            && self.answers.is_empty()
            && self.out.reply_backlog() == 0
    }
}

/// Appends the frames by which a connection that cannot be taken is told why.
pub(crate) fn turn_away(out: &mut Vec<u8>, refusal: &Refusal, retry_after_ms: u32) {
    let body = ErrorBody { retry_after_ms, ..refusal.body() };
    frame::write_value(out, kind::ERROR, 0, &body);
}
