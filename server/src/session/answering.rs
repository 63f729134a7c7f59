//! A batch's answers as they are given: short ones become bytes behind those of the outbox at once,
//! as long as there is room and nothing older waits; the others are left for the queue. What may not
//! be shown yet is taken out of the outbox again.

use std::slice;

use tidekeep_log::{Answer, Answers, Found, Reply};
use tidekeep_protocol::frame::kind;

use super::batch::Ticket;
use super::outbox::Outbox;
use super::tally::Counts;

/// Takes the answers to the requests of some tickets.
pub(crate) struct Answering<'t, 'o> {
    tickets: slice::Iter<'t, Ticket>,
    out: &'o mut Outbox,
    /// How long the outbox may be for another answer to become bytes; 0 once one had to be left,
    /// so that none passes it.
    until: usize,
    given: Given,
}

/// What became of the answers that were given.
#[derive(Debug)]
pub(crate) struct Given {
    /// Where their bytes begin in the outbox.
    pub(crate) mark: usize,
    /// How many of them are bytes, by operation.
    pub(crate) written: Counts,
    /// Those behind that are not.
    pub(crate) left: Vec<(Ticket, Answer)>,
}

impl<'t, 'o> Answering<'t, 'o> {
    /// For these tickets; `room` bytes may be written.
    pub(crate) fn new(tickets: &'t [Ticket], out: &'o mut Outbox, room: usize) -> Self {
        let mark = out.mark();
        let given = Given { mark, written: Counts::default(), left: Vec::new() };
        Self { tickets: tickets.iter(), out, until: mark + room, given }
    }

    /// What became of the answers, and the tickets of those that are still to come.
    pub(crate) fn end(self) -> (Given, &'t [Ticket]) {
        (self.given, self.tickets.as_slice())
    }

    fn ticket(&mut self) -> Ticket {
        *self.tickets.next().expect("there is one answer for each call")
    }

    fn write(&mut self, ticket: Ticket, body: impl FnOnce(&mut Vec<u8>)) {
        self.out.short_reply(ticket.kind | kind::REPLY, ticket.id, body);
        self.given.written.add(ticket.operation);
    }

    fn leave(&mut self, ticket: Ticket, answer: Answer) {
        self.until = 0;
        self.given.left.push((ticket, answer));
    }

    fn fits(&self, bytes: usize) -> bool {
        self.out.mark() < self.until && self.out.is_short(bytes)
    }
}

impl Answers for Answering<'_, '_> {
    fn got(&mut self, found: Found<'_>) {
        let ticket = self.ticket();
        if self.fits(found.body_bytes()) {
            self.write(ticket, |body| found.encode(body));
        } else {
            self.leave(ticket, Ok(Reply::Get(found.keep())));
        }
    }

    fn answer(&mut self, answer: Answer) {
        let ticket = self.ticket();
        match answer {
            Ok(reply) if self.fits(reply.body_bytes()) => {
                self.write(ticket, |body| reply.encode(body));
            }
            answer => self.leave(ticket, answer),
        }
    }
}
