//! The session's receiving half: bytes become frames, frames become requests of a batch or are acted
//! on at once.

use tidekeep_log::{Call, Numbered};
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::frame::{Frame, FrameError, HEADER_BYTES, ext, kind};
use tidekeep_protocol::freshness::Freshness;
use tidekeep_protocol::op::{Class, Request};

use super::batch::{Batch, Ticket};
use super::handshake;
use super::machine::{Phase, Session};
use super::tally;
use super::timing::{Millis, SLOWEST_BYTES_PER_MS};

impl Session {
    /// Whether there is a point in giving the session more bytes: not while its control frames
    /// wait for a reader that does not read.
    pub(crate) fn may_read(&self) -> bool {
        self.listens() && !self.over_budget()
    }

    fn listens(&self) -> bool {
        self.ending.is_none() && self.out.control_backlog() < self.settings.output_bytes
    }

    /// Whether requests are taken; control frames are even when they are not. One long reply on
    /// its way does not keep others from being asked for, several do.
    pub(crate) fn takes_requests(&self) -> bool {
        let long_bytes = self.answers.long_bytes() + self.out.reply_backlog();
        let long_max = self.settings.output_bytes + self.settings.limits.reply_bytes as usize;
        !self.answers.is_behind()
            && !self.waiting.is_full()
            && long_bytes < long_max
            && !self.over_budget()
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
        // Reading changes neither of them.
        let over_budget = self.over_budget();
        let takes_requests = !over_budget && self.takes_requests();
        while !over_budget && self.listens() && !batch.is_full() {
            match Frame::decode(&bytes[at..], self.frame_limit()) {
                Ok(None) => {
                    cut = at < bytes.len();
                    break;
                }
                Ok(Some((frame, length))) => {
                    if !self.take(now, arrived, &frame, takes_requests, batch) {
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
        takes_requests: bool,
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
                    if !takes_requests || !batch.takes(ticket.class) {
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
            Ok(greeted) => {
                greeted.software.clone_into(&mut self.peer);
                let session = greeted.ask.map(|ask| self.settings.session(ask, self.start, now));
                let welcome = self.settings.welcome(greeted.version, self.start, now);
                self.out.welcome(&welcome, session);
                self.session = session;
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
        if let Err(wait_ms) = self.admit_rate(now, frame) {
            let refusal =
                Refusal::new(Code::RateLimited, "more in a second than one connection may");
            return self.refuse_for(&ticket, &refusal, wait_ms);
        }
        match self.open(now, arrived, frame, batch) {
            Ok(call) => batch.push(call, ticket),
            Err(refusal) => self.refuse(&ticket, &refusal),
        }
    }

    /// Counts a request against what may come in a second; if it is too much, when it is not.
    fn admit_rate(&mut self, now: Millis, frame: &Frame<'_>) -> Result<(), u32> {
        self.requests.check(now)?;
        self.request_bytes.check(now)?;
        self.requests.take(1);
        self.request_bytes.take((HEADER_BYTES + frame.body.len()) as u64);
        Ok(())
    }

    /// Reads a request, or says why it is not taken.
    fn open<'b>(
        &self,
        now: Millis,
        arrived: Millis,
        frame: &Frame<'b>,
        batch: &Batch<'b>,
    ) -> Result<Call<'b>, Refusal> {
        if frame.more() {
            return Err(Refusal::new(Code::Unsupported, "a request is a single frame"));
        }
        if self.phase == Phase::Leaving {
            return Err(Refusal::new(Code::Unavailable, "the server is stopping"));
        }
        if self.waiting.requests() + batch.len() >= self.settings.limits.in_flight as usize {
            return Err(Refusal::new(Code::ResourceExhausted, "too many requests at once"));
        }
        let (number, freshness) = match frame.extensions.is_empty() {
            true => (None, Freshness::Linearizable),
            false => self.extensions(now, arrived, frame)?,
        };
        match Request::decode(frame.kind, frame.body) {
            Some(Ok(request)) => {
                request.check(&self.settings.limits)?;
                Ok(Call { request, body: Some(frame.body), number, freshness })
            }
            Some(Err(malformed)) => Err(Refusal::new(Code::InvalidInput, malformed.to_string())),
            None => Err(Refusal::new(Code::Unsupported, "unknown kind of message")),
        }
    }

    /// Does what a request's extensions ask for; gives the number of a write that has one, and how new
    /// what a read shows must be.
    fn extensions(
        &self,
        now: Millis,
        arrived: Millis,
        frame: &Frame<'_>,
    ) -> Result<(Option<Numbered>, Freshness), Refusal> {
        if frame.extensions.unknown_required().is_some() {
            return Err(Refusal::new(Code::Unsupported, "a required extension is unknown here"));
        }
        let deadline = frame.extensions.deadline_ms();
        if deadline.is_some_and(|ms| now > arrived.after(ms.into())) {
            return Err(Refusal::new(Code::Timeout, "the deadline passed before the request ran"));
        }
        Ok((self.number(frame)?, frame.extensions.freshness().unwrap_or_default()))
    }

    /// The number of a write that has one.
    fn number(&self, frame: &Frame<'_>) -> Result<Option<Numbered>, Refusal> {
        if !frame.extensions.has(ext::NUMBER) || !is_write(frame.kind) {
            return Ok(None);
        }
        let invalid = |message| Refusal::new(Code::InvalidInput, message);
        let number = frame.extensions.number();
        let number = number.ok_or_else(|| invalid("the write's number does not decode"))?;
        let session = self.session.ok_or_else(|| {
            invalid("a numbered write needs a session, which the hello did not ask for")
        })?;
        Ok(Some(Numbered { session, number, retry: frame.is_retry() }))
    }

    fn cancel(&mut self, id: u32) {
        if self.watches.end(id, &mut self.out) {
            let refusal = Refusal::new(Code::Cancelled, "the watch was cancelled");
            self.out.error(id, &refusal.body());
        }
    }
}

fn is_write(kind: u8) -> bool {
    tally::row(kind).is_some_and(|(_, spec)| spec.class == Class::Write)
}

fn frame_refusal(error: FrameError) -> Refusal {
    let code = match error {
        FrameError::TooLarge { .. } => Code::TooLarge,
        FrameError::TooShort { .. } | FrameError::Extensions => Code::Protocol,
    };
    Refusal::new(code, error.to_string())
}
