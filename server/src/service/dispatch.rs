//! Runs a batch: admission, then by class to the commit, to the watches or to the server itself.

use std::sync::Arc;

use tidekeep_log::{Call, Commit, Pending, PendingViews, reach, views as views_of};
use tidekeep_protocol::codec;
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{Backup, Class, Request};

use super::backup::Underway;
use super::clients::Clients;
use super::facts::Facts;
use super::hub::Hub;
use super::owners::Owners;
use super::roster::Roster;
use super::status::Status;
use crate::observe::Metrics;
use crate::session::{Batch, House, Millis, Session, Ticket, WatchStart};

/// What requests are run against.
pub(crate) struct Service {
    pub(crate) commit: Arc<dyn Commit>,
    pub(crate) status: Status,
    pub(crate) owners: Owners,
    /// Who is connected.
    pub(crate) roster: Arc<Roster>,
    /// The RESP connections.
    pub(crate) clients: Arc<Clients>,
    pub(crate) facts: Facts,
    /// What RESP clients tell each other.
    pub(crate) hub: Arc<Hub>,
}

impl Service {
    /// The server at one moment, as a RESP session sees it: `now` on the clock of the process, and in
    /// microseconds since the Unix epoch; with a source of random numbers.
    pub(crate) fn house<'a>(
        &'a self,
        metrics: &'a Metrics,
        now: Millis,
        unix_us: u64,
        random: &'a dyn Fn() -> u64,
    ) -> House<'a> {
        let Self { commit, clients, facts, hub, .. } = self;
        let store_ms = commit.time_at(unix_us / 1000);
        House { commit: &**commit, metrics, clients, facts, hub, now, unix_us, store_ms, random }
    }

    /// Runs a batch of requests that arrived together. What may be answered at once is; else the promise
    /// of the answers comes back, with the session's key to them. Views that watches begin with are
    /// added to `views`.
    pub(crate) fn run(
        &self,
        batch: &Batch<'_>,
        session: &mut Session,
        backup: &mut Underway,
        views: &mut Vec<(u32, PendingViews)>,
    ) -> Option<(u64, Pending)> {
        match batch.class()? {
            Class::Read | Class::Write => {
                session.ask(&batch.tickets, |answers| self.commit.submit(&batch.calls, answers))
            }
            Class::Watch => {
                self.open_watches(batch, session, views);
                None
            }
            Class::Server => match &batch.calls[..] {
                // It may take as long as a change of the cluster does.
                [Call { request: Request::Cluster(cluster), .. }] => {
                    session.ask(&batch.tickets, |_| self.commit.operate(cluster))
                }
                _ => {
                    self.answer(batch, session, backup);
                    None
                }
            },
        }
    }

    fn open_watches(
        &self,
        batch: &Batch<'_>,
        session: &mut Session,
        views: &mut Vec<(u32, PendingViews)>,
    ) {
        for (call, ticket) in batch.calls.iter().zip(&batch.tickets) {
            let Request::Watch(watch) = &call.request else {
                session.refuse(ticket, &no_way(ticket));
                continue;
            };
            match session.open_watch(ticket, watch, &*self.commit) {
                WatchStart::Views(range) => {
                    views.push((ticket.id, views_of(self.commit.feeds(), &range)))
                }
                WatchStart::Reach(after) => {
                    views.push((ticket.id, reach(self.commit.feeds(), after.iter())));
                }
                WatchStart::Open | WatchStart::Refused => {}
            }
        }
    }

    fn answer(&self, batch: &Batch<'_>, session: &mut Session, backup: &mut Underway) {
        for (call, ticket) in batch.calls.iter().zip(&batch.tickets) {
            match &call.request {
                Request::Status(_) => {
                    session.reply(ticket, |body| self.status.encode(&*self.commit, body));
                }
                Request::Sessions(asked) => {
                    self.roster.page(asked, &*self.commit, self.status.told(), |page| {
                        session.reply(ticket, |body| codec::encode(page, body));
                    });
                }
                Request::Backup(Backup { offset }) => {
                    let mut bytes = Vec::new();
                    match backup.next(&*self.commit, *offset, &mut bytes) {
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
