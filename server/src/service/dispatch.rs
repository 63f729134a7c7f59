//! Runs a batch: admission, then by class to the commit, to the watches or to the server itself.

use std::sync::Arc;

use tidekeep_log::{Call, Commit, Pending, PendingView};
use tidekeep_protocol::codec;
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{Backup, Class, Request};

use super::backup::Underway;
use super::owners::Owners;
use super::status::Status;
use crate::session::{Batch, Session, Ticket, WatchStart, recycle};

/// What requests are run against.
pub(crate) struct Service {
    pub(crate) commit: Arc<dyn Commit>,
    pub(crate) status: Status,
    pub(crate) owners: Owners,
}

/// A batch that was handed to the commit.
pub(crate) struct Submitted {
    /// Who asked.
    pub(crate) tickets: Vec<Ticket>,
    /// The answers, one for each.
    pub(crate) pending: Pending,
}

/// What a connection keeps from batch to batch: the backup that it takes, and memory.
#[derive(Default)]
pub(crate) struct Scratch {
    calls: Vec<Call<'static>>,
    backup: Underway,
}

impl Service {
    /// Runs a batch of requests that arrived together. Answers that need no commit go to the
    /// session at once; views that watches begin with are added to `views`.
    pub(crate) fn run(
        &self,
        batch: &Batch<'_>,
        session: &mut Session,
        scratch: &mut Scratch,
        views: &mut Vec<(u32, PendingView)>,
    ) -> Option<Submitted> {
        match batch.class()? {
            Class::Read | Class::Write => self.submit(batch, session, scratch),
            Class::Watch => {
                self.open_watches(batch, session, views);
                None
            }
            Class::Server => {
                self.answer(batch, session, scratch);
                None
            }
        }
    }

    fn submit(
        &self,
        batch: &Batch<'_>,
        session: &mut Session,
        scratch: &mut Scratch,
    ) -> Option<Submitted> {
        let (mut tickets, answers) = session.take_spare();
        let mut calls: Vec<Call<'_>> = std::mem::take(&mut scratch.calls);
        let requests = batch.requests.iter().zip(&batch.bodies);
        let askers = batch.numbers.iter().zip(&batch.tickets);
        for ((request, body), (number, ticket)) in requests.zip(askers) {
            match request.check(session.limits()) {
                Ok(()) => {
                    calls.push(Call { request, body, number: *number });
                    tickets.push(*ticket);
                }
                Err(refusal) => session.refuse(ticket, &refusal),
            }
        }
        let submitted = if calls.is_empty() {
            None
        } else {
            Some(Submitted { pending: self.commit.submit(&calls, answers), tickets })
        };
        scratch.calls = recycle(calls);
        submitted
    }

    fn open_watches(
        &self,
        batch: &Batch<'_>,
        session: &mut Session,
        views: &mut Vec<(u32, PendingView)>,
    ) {
        for (request, ticket) in batch.requests.iter().zip(&batch.tickets) {
            let opened = match request {
                Request::Watch(watch) => request
                    .check(session.limits())
                    .map(|()| session.open_watch(ticket, watch, &*self.commit)),
                _ => Err(no_way(ticket)),
            };
            match opened {
                Ok(WatchStart::View(range)) => views.push((ticket.id, self.commit.view(&range))),
                Ok(WatchStart::Open | WatchStart::Refused) => {}
                Err(refusal) => session.refuse(ticket, &refusal),
            }
        }
    }

    fn answer(&self, batch: &Batch<'_>, session: &mut Session, scratch: &mut Scratch) {
        for (request, ticket) in batch.requests.iter().zip(&batch.tickets) {
            match request {
                Request::Status(_) => {
                    session.reply(ticket, |body| self.status.encode(&*self.commit, body));
                }
                Request::Backup(Backup { offset }) => {
                    let mut bytes = Vec::new();
                    match scratch.backup.next(&*self.commit, *offset, &mut bytes) {
                        Ok(piece) => {
                            session.reply(ticket, |body| codec::encode(&piece.reply(&bytes), body));
                        }
                        Err(refusal) => session.refuse(ticket, &refusal),
                    }
                }
                _ => session.refuse(ticket, &no_way(ticket)),
            }
        }
    }
}

/// An operation whose row in the table says a class that nothing here handles.
fn no_way(ticket: &Ticket) -> Refusal {
    let message = format!("operation {:#04x} is not served", ticket.kind);
    Refusal::new(Code::Unsupported, message)
}
