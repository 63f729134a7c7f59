//! A session and what it waits for: its batches, views and changes, as futures that it must not know
//! itself. Whoever has a transport and a clock drives it: a connection's task, or a conversation in
//! memory.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tidekeep_log::{Commit, Pending, PendingViews, Standing};
use tidekeep_protocol::error::{Code, Refusal};
use tracing::debug;

use super::input::Input;
use super::news::News;
use crate::observe::Metrics;
use crate::service::{Owner, Service, Underway};
use crate::session::{Batch, Millis, Session};

struct Waiter {
    key: u64,
    since: Instant,
    pending: Pending,
}

/// A session with its open questions to the commit.
pub(crate) struct Exchange {
    pub(crate) session: Session,
    batch: Batch<'static>,
    backup: Underway,
    waiters: VecDeque<Waiter>,
    views: Vec<(u32, PendingViews)>,
    news: News,
    /// The hold on the client's session.
    owner: Option<Owner>,
}

impl Exchange {
    pub(crate) fn new(session: Session) -> Self {
        Self {
            session,
            batch: Batch::default(),
            backup: Underway::default(),
            waiters: VecDeque::new(),
            views: Vec::new(),
            news: News::default(),
            owner: None,
        }
    }

    /// Ends the connection of a client that goes on with its session over another one; whether it
    /// does.
    pub(crate) fn poll_owner(&mut self, context: &mut Context<'_>) -> bool {
        let taken = self.owner.as_mut().is_some_and(|owner| owner.poll_taken(context));
        if taken {
            self.session.superseded();
        }
        taken
    }

    /// Gives memory back that a burst needed.
    pub(crate) fn rest(&mut self) {
        self.session.rest();
        self.batch = Batch::default();
        self.waiters.shrink_to(0);
    }

    /// Hands the session what the commit has ready; whether there was anything.
    pub(crate) fn poll_waiters(
        &mut self,
        context: &mut Context<'_>,
        commit: &dyn Commit,
        metrics: &Metrics,
    ) -> bool {
        let waited = self.waiters.len() + self.views.len();
        if waited == 0 {
            return false;
        }
        let mut at = 0;
        while let Some(waiter) = self.waiters.get_mut(at) {
            let Poll::Ready(result) = Pin::new(&mut waiter.pending).poll(context) else {
                at += 1;
                continue;
            };
            metrics.batch_time.record(waiter.since.elapsed());
            match result {
                Ok(rest) => self.session.release(waiter.key, rest),
                Err(lost) => {
                    debug!(%lost, "requests were lost");
                    self.session.lose_waiting(waiter.key);
                }
            }
            self.waiters.remove(at);
        }
        self.views.retain_mut(|(id, pending)| match Pin::new(pending).poll(context) {
            Poll::Ready(Ok(views)) => {
                self.session.views_ready(*id, views);
                false
            }
            Poll::Ready(Err(lost)) => {
                debug!(%lost, "a watch was lost");
                self.session.views_lost(*id, &lost_view(commit));
                false
            }
            Poll::Pending => true,
        });
        self.waiters.len() + self.views.len() < waited
    }

    /// Waits for the next change if live watches do; whether there is one.
    pub(crate) fn poll_change(&mut self, context: &mut Context<'_>, commit: &dyn Commit) -> bool {
        if self.session.watches() == 0 {
            self.news = News::default();
            return false;
        }
        self.news.tell(context, commit, &mut self.session)
    }

    /// Runs the requests that have arrived, the last bytes of them at `arrived`; whether there were
    /// any. The system's time beside it is what their time in the metrics is counted from.
    pub(crate) fn run_input(
        &mut self,
        context: &mut Context<'_>,
        now: Millis,
        (arrived, since): (Millis, Instant),
        input: &mut Input,
        service: &Service,
        metrics: &Metrics,
    ) -> bool {
        let mut moved = false;
        self.session.note_input(now, input.held_bytes());
        while !input.is_empty() {
            let batch = std::mem::take(&mut self.batch);
            let mut batch: Batch<'_> = batch;
            let read = self.session.read(now, arrived, input.unread(), &mut batch);
            if let (None, Some(id)) = (&self.owner, self.session.id()) {
                self.owner = Some(service.owners.claim(id));
            }
            let held = if self.poll_owner(context) {
                None
            } else {
                service.run(&batch, &mut self.session, &mut self.backup, &mut self.views)
            };
            match held {
                Some((key, pending)) => self.waiters.push_back(Waiter { key, since, pending }),
                None if !batch.is_empty() => metrics.batch_time.record(since.elapsed()),
                None => {}
            }
            let work = read > 0 || !batch.is_empty();
            self.batch = batch.recycle();
            input.consume(read);
            self.session.note_input(now, input.held_bytes());
            if !work {
                break;
            }
            moved = true;
            // What follows needs the room; the last answers are filled in when they are sent.
            if !input.is_empty() {
                self.session.fill(now, &*service.commit);
            }
        }
        moved
    }
}

/// Why a watch does not begin.
fn lost_view(commit: &dyn Commit) -> Refusal {
    match commit.standing() {
        Standing::Failed(_) => Refusal::new(Code::Storage, "the server's storage failed"),
        Standing::Ready | Standing::ReadOnly(_) => {
            Refusal::new(Code::Unavailable, "no node gives the content now; try again in a moment")
        }
    }
}

/// Bytes of whole frames that may wait behind one that is not whole.
const INPUT_SLACK_BYTES: usize = 64 << 10;

/// The most unread bytes that a session's input may hold.
pub(crate) fn input_limit(session: &Session) -> usize {
    use tidekeep_protocol::frame::LENGTH_BYTES;
    use tidekeep_protocol::hello::PREFACE;
    let limit = PREFACE.len() + LENGTH_BYTES + session.frame_limit() as usize;
    limit + if session.is_greeted() { INPUT_SLACK_BYTES } else { 0 }
}
