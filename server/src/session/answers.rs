//! Answers that wait for room in the outbox. They are turned into bytes one by one, as the socket
//! takes what was written before, so that large pages do not pile up as bytes. Long ones step aside
//! for short ones.

use std::collections::VecDeque;

use tidekeep_log::{Answer, Reply};
use tidekeep_protocol::error::{Code, ErrorBody, Outcome};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::Class;

use super::batch::Ticket;
use super::outbox::{Fit, Outbox};
use super::tally::Tally;

/// An answer that takes more than one frame.
struct LongAnswer {
    ticket: Ticket,
    reply: Reply,
    bytes: usize,
}

/// Answers that may be shown, oldest first.
pub(crate) struct AnswerQueue {
    /// Those that nobody has looked at yet.
    next: VecDeque<(Ticket, Answer)>,
    long: VecDeque<LongAnswer>,
    /// What the long answers are about to take, in bytes.
    long_bytes: usize,
    /// What all that wait are about to take, in bytes.
    bytes: usize,
    chunk_bytes: usize,
}

impl AnswerQueue {
    /// A queue for which replies over `chunk_bytes` are long.
    pub(crate) fn new(chunk_bytes: u32) -> Self {
        Self {
            next: VecDeque::new(),
            long: VecDeque::new(),
            long_bytes: 0,
            bytes: 0,
            chunk_bytes: chunk_bytes.max(1) as usize,
        }
    }

    /// Adds answers.
    pub(crate) fn extend(&mut self, answers: impl IntoIterator<Item = (Ticket, Answer)>) {
        for (ticket, answer) in answers {
            self.bytes += answer_bytes(&answer);
            self.next.push_back((ticket, answer));
        }
    }

    /// What the answers that wait are about to take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no answer waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_empty() && self.long.is_empty()
    }

    /// Whether there are answers that nobody has looked at yet.
    pub(crate) fn is_behind(&self) -> bool {
        !self.next.is_empty()
    }

    /// What the long answers that wait are about to take, in bytes.
    pub(crate) fn long_bytes(&self) -> usize {
        self.long_bytes
    }

    /// Writes about one chunk of short answers and has long ones step aside; whether there were any.
    pub(crate) fn write_short(&mut self, out: &mut Outbox, tally: &mut Tally) -> bool {
        let start = out.backlog();
        let mut moved = false;
        while out.has_room() && out.backlog() - start < self.chunk_bytes {
            let Some((ticket, answer)) = self.next.pop_front() else { break };
            let bytes = answer_bytes(&answer);
            match answer {
                Ok(reply) if bytes > self.chunk_bytes => {
                    self.long.push_back(LongAnswer { ticket, reply, bytes });
                    self.long_bytes += bytes;
                }
                Ok(reply) => {
                    self.bytes -= bytes;
                    write_reply(&ticket, &reply, out, tally);
                }
                Err(refusal) => {
                    out.error(ticket.id, &refusal.body());
                    tally.refused(ticket.operation, refusal.code);
                }
            }
            moved = true;
        }
        moved
    }

    /// Turns the next long answer into bytes; whether there was one.
    pub(crate) fn write_long(&mut self, out: &mut Outbox, tally: &mut Tally) -> bool {
        let Some(LongAnswer { ticket, reply, bytes }) = self.long.pop_front() else { return false };
        self.long_bytes -= bytes;
        self.bytes -= bytes;
        if bytes > out.hopeless_bytes() {
            refuse_too_long(&ticket, out, tally);
        } else {
            write_reply(&ticket, &reply, out, tally);
        }
        true
    }

    /// Gives memory back that a burst needed.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            self.next.shrink_to(0);
            self.long.shrink_to(0);
        }
    }
}

/// What an answer is about to take, in bytes; a refusal is short.
fn answer_bytes(answer: &Answer) -> usize {
    answer.as_ref().map_or(0, Reply::body_bytes)
}

fn write_reply(ticket: &Ticket, reply: &Reply, out: &mut Outbox, tally: &mut Tally) {
    match out.reply(ticket.kind | kind::REPLY, ticket.id, |body| reply.encode(body)) {
        Fit::Taken => tally.answered(ticket.operation),
        Fit::TooLong => refuse_too_long(ticket, out, tally),
    }
}

/// Answers a request whose reply is over the limit.
pub(crate) fn refuse_too_long(ticket: &Ticket, out: &mut Outbox, tally: &mut Tally) {
    let outcome = match ticket.class {
        Class::Write => Outcome::Applied,
        Class::Read | Class::Watch | Class::Server => Outcome::NotApplied,
    };
    out.error(
        ticket.id,
        &ErrorBody {
            code: Code::TooLarge.number(),
            retryable: Code::TooLarge.retryable(),
            outcome,
            retry_after_ms: 0,
            message: "the reply is longer than the server sends; ask for less at once",
        },
    );
    tally.refused(ticket.operation, Code::TooLarge);
}
