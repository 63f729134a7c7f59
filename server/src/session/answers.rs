//! Answers that wait for room in the outbox. They are turned into bytes one by one, as the socket
//! takes what was written before, so that large pages do not pile up as bytes. Long ones step aside
//! for short ones.

use std::collections::VecDeque;
use std::mem;

use tidekeep_log::{Answers, Reply};
use tidekeep_protocol::error::{Code, ErrorBody, Outcome, Refusal};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::Class;

use super::batch::Ticket;
use super::outbox::{Fit, Outbox};
use super::tally::Tally;

/// One batch's answers, the first `next` of which have been written or have stepped aside.
struct Answered {
    tickets: Vec<Ticket>,
    answers: Answers,
    next: usize,
}

/// An answer that takes more than one frame.
struct LongAnswer {
    ticket: Ticket,
    reply: Reply,
    bytes: usize,
}

/// Answers, oldest first, and the memory of those that are done.
pub(crate) struct AnswerQueue {
    batches: VecDeque<Answered>,
    long: VecDeque<LongAnswer>,
    /// What the long answers are about to take, in bytes.
    long_bytes: usize,
    /// What all that wait are about to take, in bytes.
    bytes: usize,
    chunk_bytes: usize,
    spare: Option<(Vec<Ticket>, Answers)>,
}

impl AnswerQueue {
    /// A queue for which replies over `chunk_bytes` are long.
    pub(crate) fn new(chunk_bytes: u32) -> Self {
        Self {
            batches: VecDeque::new(),
            long: VecDeque::new(),
            long_bytes: 0,
            bytes: 0,
            chunk_bytes: chunk_bytes.max(1) as usize,
            spare: None,
        }
    }

    /// Adds a batch's answers, one for each ticket.
    pub(crate) fn push(&mut self, tickets: Vec<Ticket>, answers: Answers) {
        debug_assert_eq!(tickets.len(), answers.len(), "one answer for each request");
        self.bytes += answers.iter().map(answer_bytes).sum::<usize>();
        self.batches.push_back(Answered { tickets, answers, next: 0 });
    }

    /// What the answers that wait are about to take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no answer waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.long.is_empty()
    }

    /// Whether there are batches of which not everything was looked at.
    pub(crate) fn has_batches(&self) -> bool {
        !self.batches.is_empty()
    }

    /// What the long answers that wait are about to take, in bytes.
    pub(crate) fn long_bytes(&self) -> usize {
        self.long_bytes
    }

    /// Lists to use for the next batch.
    pub(crate) fn take_spare(&mut self) -> (Vec<Ticket>, Answers) {
        self.spare.take().unwrap_or_default()
    }

    /// Writes about one chunk of short answers and has long ones step aside; whether there were any.
    pub(crate) fn write_short(&mut self, out: &mut Outbox, tally: &mut Tally) -> bool {
        let start = out.backlog();
        let mut moved = false;
        while out.has_room() && out.backlog() - start < self.chunk_bytes {
            let Some(batch) = self.batches.front_mut() else { break };
            let ticket = batch.tickets[batch.next];
            let bytes = answer_bytes(&batch.answers[batch.next]);
            match &batch.answers[batch.next] {
                Ok(reply) => match bytes {
                    bytes if bytes > self.chunk_bytes => {
                        let stepped = mem::replace(&mut batch.answers[batch.next], Err(GONE));
                        if let Ok(reply) = stepped {
                            self.long.push_back(LongAnswer { ticket, reply, bytes });
                            self.long_bytes += bytes;
                        }
                    }
                    _ => {
                        self.bytes -= bytes;
                        write_reply(&ticket, reply, out, tally);
                    }
                },
                Err(refusal) => {
                    out.error(ticket.id, &refusal.body());
                    tally.refused(ticket.operation, refusal.code);
                }
            }
            moved = true;
            batch.next += 1;
            if batch.next == batch.answers.len() {
                self.finish_first();
            }
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

    fn finish_first(&mut self) {
        if let Some(mut batch) = self.batches.pop_front() {
            batch.tickets.clear();
            batch.answers.clear();
            self.spare = Some((batch.tickets, batch.answers));
        }
    }
}

/// What an answer is about to take, in bytes; a refusal is short.
fn answer_bytes(answer: &Result<Reply, Refusal>) -> usize {
    answer.as_ref().map_or(0, Reply::body_bytes)
}

/// What stands in the place of an answer that has stepped aside.
const GONE: Refusal =
    Refusal { code: Code::Internal, message: std::borrow::Cow::Borrowed("answered already") };

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
