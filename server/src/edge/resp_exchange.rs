//! A RESP session and what it waits for: answers, views, changes and post, as futures that it must not
//! know itself. Whoever has a transport and a clock drives it: a connection's task, or a conversation in
//! memory.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tidekeep_log::{Commit, PendingViews, views};
use tidekeep_protocol::range::KeyRange;

use super::input::Input;
use super::news::News;
use crate::session::{Came, House, Resp, Wait};

/// A RESP session with its open questions to the commit.
pub(crate) struct RespExchange {
    pub(crate) session: Resp,
    wait: Option<Wait>,
    /// The next changes, if it listens to events.
    news: News,
    /// Where what it listens to begins.
    beginning: Option<PendingViews>,
    /// Since when it waits.
    since: Instant,
}

impl RespExchange {
    pub(crate) fn new(session: Resp) -> Self {
        Self { session, wait: None, news: News::default(), beginning: None, since: Instant::now() }
    }

    /// Whether the commit is yet to answer.
    pub(crate) fn waits(&self) -> bool {
        self.wait.is_some()
    }

    /// Whether it waits for post or for changes, or did before.
    pub(crate) fn listens(&self) -> bool {
        self.session.mailbox().is_some() || !self.news.is_empty()
    }

    /// Hands the session what it waited for, until it waits for what is not there; whether anything came.
    pub(crate) fn poll_wait(&mut self, context: &mut Context<'_>, house: &House<'_>) -> bool {
        let mut moved = false;
        // What is waited for next must be polled too, or nobody is woken by it.
        while let Some(wait) = &mut self.wait {
            let came = match wait {
                Wait::Answers(pending) => Pin::new(pending).poll(context).map(Came::Answers),
                Wait::Views(pending) => Pin::new(pending).poll(context).map(Came::Views),
                Wait::Count(pending) => Pin::new(pending).poll(context).map(Came::Count),
                Wait::Sample(pending) => Pin::new(pending).poll(context).map(Came::Sample),
            };
            let Poll::Ready(came) = came else { break };
            house.metrics.batch_time.record(self.since.elapsed());
            self.wait = self.session.resolve(came, house);
            moved = true;
        }
        moved
    }

    /// Waits for the next change if events are listened to, and for post; whether there is any.
    pub(crate) fn poll_change(&mut self, context: &mut Context<'_>, commit: &dyn Commit) -> bool {
        let post = self.session.mailbox().is_some_and(|mailbox| mailbox.has_post(context.waker()));
        // What does not fit now is taken when the socket has taken what is before it.
        let post = post && self.session.output().is_empty() && self.wait.is_none();
        if !self.session.follows_changes() {
            (self.news, self.beginning) = (News::default(), None);
            return post;
        }
        if self.session.wants_beginning() {
            let pending = self.beginning.get_or_insert_with(|| {
                // What is newest is known with a view: here one of nothing.
                let nothing = KeyRange { start: Vec::new(), end: Some(Vec::new()) };
                views(commit.feeds(), &nothing)
            });
            let Poll::Ready(views) = Pin::new(pending).poll(context) else { return post };
            self.beginning = None;
            match views {
                Ok(views) => self.session.begin_events(views),
                // Nobody knew it; the next look asks again.
                Err(_) => context.waker().wake_by_ref(),
            }
            return true;
        }
        self.news.tell(context, commit, &mut self.session) || post
    }

    /// Runs the commands that have arrived; whether there were any. Their time in the metrics is counted
    /// from `since`.
    pub(crate) fn run_input(
        &mut self,
        context: &mut Context<'_>,
        since: Instant,
        input: &mut Input,
        house: &House<'_>,
    ) -> bool {
        let mut moved = false;
        self.session.set_input(input.held_bytes());
        while self.wait.is_none() && !input.is_empty() && self.session.takes_commands() {
            self.since = since;
            let (read, wait) = self.session.read(input.unread(), house);
            input.consume(read);
            let waits = wait.is_some();
            if waits {
                self.wait = wait;
                self.poll_wait(context, house);
            } else if read > 0 {
                house.metrics.batch_time.record(self.since.elapsed());
            }
            if read == 0 && !waits {
                break;
            }
            moved = true;
        }
        self.session.note_input(house.now, input.held_bytes());
        moved
    }
}
