//! The session's sending half: answers and watches become frames in the outbox, as the socket takes
//! them.

use tidekeep_log::{Answer, Answers, Commit, Pending, View};
use tidekeep_protocol::error::{Code, ErrorBody, Outcome, Refusal};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::{Class, Watch};

use super::answering::{Answering, Given};
use super::answers::refuse_too_long;
use super::batch::Ticket;
use super::machine::{Ending, Session};
use super::outbox::Fit;
use super::tally::Tally;
use super::timing::Millis;
use super::waiting::Held;
use super::watches::WatchStart;

impl Session {
    /// Refuses a request.
    pub(crate) fn refuse(&mut self, ticket: &Ticket, refusal: &Refusal) {
        self.out.error(ticket.id, &refusal.body());
        self.tally.refused(ticket.operation, refusal.code);
    }

    /// Refuses a request that may come again after a while.
    pub(crate) fn refuse_for(&mut self, ticket: &Ticket, refusal: &Refusal, retry_after_ms: u32) {
        self.out.error(ticket.id, &ErrorBody { retry_after_ms, ..refusal.body() });
        self.tally.refused(ticket.operation, refusal.code);
    }

    /// Answers a request with a body that the server itself made.
    pub(crate) fn reply(&mut self, ticket: &Ticket, body: impl FnOnce(&mut Vec<u8>)) {
        match self.out.reply(ticket.kind | kind::REPLY, ticket.id, body) {
            Fit::Taken => self.tally.answered(ticket.operation),
            Fit::TooLong => refuse_too_long(ticket, &mut self.out, &mut self.tally),
        }
    }

    /// Takes the answers to the requests of `tickets`, which `submit` makes. Those that may be shown at
    /// once are; otherwise the promise comes back, with the key under which they are held.
    pub(crate) fn ask(
        &mut self,
        tickets: &[Ticket],
        submit: impl FnOnce(&mut dyn Answers) -> Pending,
    ) -> Option<(u64, Pending)> {
        self.out.release_control();
        let room = self.out.room(self.waiting.bytes());
        let mut answering = Answering::new(tickets, &mut self.out, room);
        let pending = submit(&mut answering);
        let (given, missing) = answering.end();
        match pending.into_ready() {
            Ok(Ok(rest)) => self.show(given, missing, rest),
            Ok(Err(_)) => {
                self.out.cut(given.mark);
                self.lose(tickets);
            }
            Err(pending) => {
                let bytes = self.out.cut(given.mark);
                let (tickets, missing) = (tickets.to_vec(), missing.len());
                return Some((self.waiting.push(Held { tickets, given, bytes, missing }), pending));
            }
        }
        None
    }

    /// Shows what was held under this key; `rest` are the answers that were missing.
    pub(crate) fn release(&mut self, key: u64, rest: Vec<Answer>) {
        if let Some(Held { tickets, given, bytes, missing }) = self.waiting.take(key) {
            self.out.append(&bytes);
            self.show(given, &tickets[tickets.len() - missing..], rest);
        }
    }

    fn show(&mut self, given: Given, missing: &[Ticket], rest: Vec<Answer>) {
        debug_assert_eq!(missing.len(), rest.len(), "one answer for each request");
        self.tally.answered_all(&given.written);
        if !given.left.is_empty() || !rest.is_empty() {
            self.answers.extend(given.left);
            self.answers.extend(missing.iter().copied().zip(rest));
        }
    }

    /// Tells those who wait that storage failed.
    pub(crate) fn lose_waiting(&mut self, key: u64) {
        if let Some(held) = self.waiting.take(key) {
            self.lose(&held.tickets);
        }
    }

    /// Answers requests whose outcome nobody knows, because storage failed.
    fn lose(&mut self, tickets: &[Ticket]) {
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
            let refusal = Refusal::new(
                Code::TooManyWatches,
                "the connection has as many watches as it may have",
            );
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

    /// Gives a watch the views it begins with, one of each group.
    pub(crate) fn views_ready(&mut self, id: u32, views: Vec<View>) {
        self.watches.views_ready(id, views);
    }

    /// Ends a watch whose views cannot be made.
    pub(crate) fn views_lost(&mut self, id: u32, refusal: &Refusal) {
        if self.watches.end(id, &mut self.out) {
            self.out.error(id, &refusal.body());
        }
    }

    /// Has watches go on in so many groups, if the only one was split into them; whether it was.
    pub(crate) fn regroup(&mut self, groups: usize) -> bool {
        self.watches.regroup(groups)
    }

    /// The revision of a group behind which the driver is to wait for a change; none while there is
    /// nothing to wait for.
    pub(crate) fn waits_for_change(&self, group: usize) -> Option<u64> {
        self.watches.waits_for_change(group)
    }

    /// Notes that there is a change of a group to look at.
    pub(crate) fn changed(&mut self, group: usize) {
        self.watches.changed(group);
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
        if self.answers.is_empty() && self.watches.is_empty() && !self.out.has_long() {
            return self.finish();
        }
        let mut idle_lanes = 0;
        while idle_lanes < LANES && self.out.has_room() {
            let moved = match self.turn {
                0 => {
                    let unix_ms = self.start.unix_ms_at(now);
                    self.watches.feed(unix_ms, &mut self.out, commit, &mut self.tally)
                }
                1 => self.answers.write_short(&mut self.out, &mut self.tally),
                _ => self.write_long(),
            };
            self.turn = (self.turn + 1) % LANES;
            idle_lanes = if moved { 0 } else { idle_lanes + 1 };
            self.out.release_control();
        }
        self.finish();
    }

    /// Ends the connection of a client that was told to go, once there is nothing left to say.
    fn finish(&mut self) {
        if self.is_finished() && self.ending.is_none() {
            self.ending = Some(Ending { code: Code::Unavailable, flush: true });
        }
    }

    /// Writes a chunk of one of the long replies that are bytes already, and makes bytes of another
    /// while there are not too many; whether there was anything to do.
    fn write_long(&mut self) -> bool {
        let may_add = self.out.reply_backlog() < self.settings.output_bytes;
        let added = may_add && self.answers.write_long(&mut self.out, &mut self.tally);
        self.out.next_reply_chunk() || added
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
        self.answers.rest();
    }

    /// What was done since the last look.
    pub(crate) fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}
