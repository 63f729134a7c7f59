//! Answers that wait for room in the outbox. They are turned into bytes one by one, as the socket
//! takes what was written before, so that large pages do not pile up as bytes.

use std::collections::VecDeque;

use tidekeep_log::{Answers, Reply};
use tidekeep_protocol::error::{Code, ErrorBody, Outcome, Refusal};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::Class;

use super::batch::Ticket;
use super::outbox::{Fit, Outbox};
use super::tally::Tally;

/// One batch's answers, the first `next` of which have been written.
struct Answered {
    tickets: Vec<Ticket>,
    answers: Answers,
    next: usize,
}

/// Answered batches, oldest first, and the memory of those that are done.
#[derive(Default)]
pub(crate) struct AnswerQueue {
    batches: VecDeque<Answered>,
    spare: Option<(Vec<Ticket>, Answers)>,
}

impl AnswerQueue {
    /// Adds a batch's answers, one for each ticket.
    pub(crate) fn push(&mut self, tickets: Vec<Ticket>, answers: Answers) {
        debug_assert_eq!(tickets.len(), answers.len(), "one answer for each request");
        self.batches.push_back(Answered { tickets, answers, next: 0 });
    }

    /// Whether no answer waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Lists to use for the next batch.
    pub(crate) fn take_spare(&mut self) -> (Vec<Ticket>, Answers) {
        self.spare.take().unwrap_or_default()
    }

    /// Writes answers until `out` has got a share of about `share` bytes or is to get no more;
    /// whether there was any.
    pub(crate) fn write(&mut self, out: &mut Outbox, tally: &mut Tally, share: Share) -> bool {
        let start = out.backlog();
        let mut wrote = false;
        while out.has_room()
            && out.reply_backlog() < share.reply_backlog_max
            && out.backlog() - start < share.bytes
        {
            let Some(batch) = self.batches.front_mut() else { break };
            let (ticket, answer) = (&batch.tickets[batch.next], &batch.answers[batch.next]);
            write_one(ticket, answer, out, tally);
            wrote = true;
            batch.next += 1;
            if batch.next == batch.answers.len() {
                self.finish_first();
            }
        }
        wrote
    }

    fn finish_first(&mut self) {
        if let Some(mut batch) = self.batches.pop_front() {
            batch.tickets.clear();
            batch.answers.clear();
            self.spare = Some((batch.tickets, batch.answers));
        }
    }
}

/// How much one turn may write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// Bytes of this turn.
    pub(crate) bytes: usize,
    /// Bytes of long replies at which no more are added.
    pub(crate) reply_backlog_max: usize,
}

fn write_one(
    ticket: &Ticket,
    answer: &Result<Reply, Refusal>,
    out: &mut Outbox,
    tally: &mut Tally,
) {
    match answer {
        Ok(reply) if reply.body_bytes() > out.hopeless_bytes() => {
            refuse_too_long(ticket, out, tally);
        }
        Ok(reply) => {
            match out.reply(ticket.kind | kind::REPLY, ticket.id, |body| reply.encode(body)) {
                Fit::Taken => tally.answered(ticket.operation),
                Fit::TooLong => refuse_too_long(ticket, out, tally),
            }
        }
        Err(refusal) => {
            out.error(ticket.id, &refusal.body());
            tally.refused(ticket.operation, refusal.code);
        }
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
