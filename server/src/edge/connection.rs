//! The driver of a session: one task that reads all that has arrived, runs it as a batch, waits once
//! for its answers, and writes once. It holds the transport and the timer; what the session waits for
//! is in its exchange.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

use super::ending::{End, LAST_WORDS};
use super::exchange::{Exchange, input_limit};
use super::input::Input;
use super::lingering;
use super::transport::{Received, Transport};
use crate::observe::{Gauges, Metrics};
use crate::server::Shared;
use crate::session::{Greeting, Millis, Session};

/// A session and the transport it lives on.
struct Connection<T> {
    transport: T,
    shared: Arc<Shared>,
    exchange: Exchange,
    input: Input,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to.
    armed: Millis,
    arrived: Millis,
    hung_up: bool,
    gauges: GaugeShare,
}

/// This connection's share of the server's gauges; goes with it.
pub(super) struct GaugeShare {
    metrics: Arc<Metrics>,
    now: Gauges,
}

impl GaugeShare {
    /// Nothing yet.
    pub(super) fn new(metrics: &Arc<Metrics>) -> Self {
        Self { metrics: Arc::clone(metrics), now: Gauges::default() }
    }

    pub(super) fn set(&mut self, to: Gauges) {
        self.metrics.move_gauges(self.now, to);
        self.now = to;
    }
}

impl Drop for GaugeShare {
    fn drop(&mut self) {
        self.set(Gauges::default());
    }
}

/// What was done in a pass.
struct Work {
    /// What may lead to more at once: requests ran, or there is a change.
    more: bool,
    /// The socket took something.
    sent: bool,
}

/// Runs a native connection, which began at `since`, to its end. `input` was read from the socket
/// already.
pub(crate) async fn run<T: Transport>(
    transport: T,
    input: Input,
    since: Millis,
    shared: Arc<Shared>,
) {
    let mut connection = Connection::new(transport, input, since, shared);
    let shared = Arc::clone(&connection.shared);
    let mut draining = pin!(shared.drain.begun());
    let (mut listening, mut told) = (false, false);
    let end = poll_fn(|context| {
        // Polled once, the future wakes this task; until then a look at a flag is cheaper.
        if !told && (!listening || shared.drain.is_begun()) {
            listening = true;
            told = draining.as_mut().poll(context).is_ready();
            if told {
                let now = shared.clock.now();
                connection.exchange.session.go_away(now, shared.drain.reconnect_after_ms());
            }
        }
        connection.poll(context)
    })
    .await;
    connection.report();
    // Boxed, as the goodbye moves the connection, for which there would be room from the beginning.
    Box::pin(connection.close(end)).await;
}

impl<T: Transport> Connection<T> {
    fn new(transport: T, input: Input, since: Millis, shared: Arc<Shared>) -> Self {
        let now = shared.clock.now();
        let waited_ms = now.0.saturating_sub(since.0);
        let unix_ms = crate::clock::unix_ms().saturating_sub(waited_ms);
        let start = Greeting { now: since, unix_ms, name: shared.service.owners.name() };
        let session = Session::new(Arc::clone(&shared.settings), start);
        // Not armed before the first look at what is due.
        let timer = Box::pin(tokio::time::sleep_until(shared.clock.instant(now)));
        count(&shared.metrics.traffic(T::KIND).received_bytes, input.unread().len());
        Self {
            transport,
            exchange: Exchange::new(session),
            input,
            timer,
            armed: Millis(0),
            arrived: now,
            hung_up: false,
            gauges: GaugeShare::new(&shared.metrics),
            shared,
        }
    }

    /// Reads, runs and writes until nothing moves any more.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let mut since = Instant::now();
        let mut now = self.shared.clock.at(since);
        let mut again = false;
        loop {
            let may_read = self.exchange.session.may_read();
            let came = match self.poll_input(context, now, may_read) {
                Poll::Ready(Err(error)) => return Poll::Ready(End::Socket(error)),
                came => came.is_ready(),
            };
            // Time has passed only if something was done since it was asked for.
            if came && again {
                since = Instant::now();
                now = self.shared.clock.at(since);
            }
            again = true;
            let work = match self.poll_work(context, now, since) {
                Err(error) => return Poll::Ready(End::Socket(error)),
                Ok(work) => work,
            };
            if let Some(ending) = self.exchange.session.ending() {
                return Poll::Ready(End::Session(ending));
            }
            if self.hung_up && self.exchange.session.is_settled() && !self.transport.has_unsent() {
                return Poll::Ready(End::Client);
            }
            // What was sent makes room, which matters only to who waited for it.
            let made_room = work.sent && !(may_read && self.input.is_empty());
            if came || work.more || made_room {
                continue;
            }
            if self.poll_timer(context, now).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Runs what was read and writes what there is to write. The batches' time is counted from `since`.
    fn poll_work(
        &mut self,
        context: &mut Context<'_>,
        now: Millis,
        since: Instant,
    ) -> io::Result<Work> {
        let Shared { service, metrics, .. } = &*self.shared;
        self.exchange.poll_owner(context);
        self.exchange.poll_waiters(context, metrics);
        let arrived = (self.arrived, since);
        let ran = self.exchange.run_input(context, now, arrived, &mut self.input, service, metrics);
        let sent = self.poll_output(context, now)?;
        let changed = self.exchange.poll_change(context, &*self.shared.service.commit);
        self.report();
        Ok(Work { more: ran || changed, sent })
    }

    /// Writes what there is to write; whether the socket took anything.
    fn poll_output(&mut self, context: &mut Context<'_>, now: Millis) -> io::Result<bool> {
        let mut moved = false;
        loop {
            self.exchange.session.fill(now, &*self.shared.service.commit);
            let frames = self.exchange.session.output();
            if frames.is_empty() && !self.transport.has_unsent() {
                return Ok(moved);
            }
            match self.transport.poll_send(context, frames) {
                Poll::Ready(Ok(taken)) => {
                    self.exchange.session.taken(now, taken);
                    count(&self.shared.metrics.traffic(T::KIND).sent_bytes, taken);
                    if taken == 0 {
                        return Ok(moved);
                    }
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.exchange.session.taken(now, 0);
                    return Ok(moved);
                }
            }
        }
    }

    /// Reads what has arrived, if the session may be given more.
    fn poll_input(
        &mut self,
        context: &mut Context<'_>,
        now: Millis,
        may_read: bool,
    ) -> Poll<io::Result<()>> {
        if self.hung_up || !may_read {
            return Poll::Pending;
        }
        let before = self.input.unread().len();
        let limit = input_limit(&self.exchange.session);
        match self.transport.poll_receive(context, &mut self.input, limit) {
            Poll::Ready(Ok(received)) => {
                self.exchange.session.heard(now);
                match received {
                    Received::Bytes => {
                        self.arrived = now;
                        let got = self.input.unread().len() - before;
                        count(&self.shared.metrics.traffic(T::KIND).received_bytes, got);
                    }
                    Received::Part => self.exchange.session.began(now),
                    Received::Signs => {}
                    Received::End => self.hung_up = true,
                    Received::Broken(refusal) => self.exchange.session.fail(&refusal),
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Acts on what is due and sets the timer to the next thing.
    fn poll_timer(&mut self, context: &mut Context<'_>, now: Millis) -> Poll<()> {
        let due = self.exchange.session.wait();
        if due <= now {
            self.exchange.session.tick(now);
            self.exchange.rest();
            self.input.rest();
            return Poll::Ready(());
        }
        // A timer that fires too early only leads back here, so a later time need not move it. Polled
        // once since it was set, it wakes this task.
        if self.armed <= now || due < self.armed {
            self.armed = due;
            self.timer.as_mut().reset(self.shared.clock.instant(due));
            return self.timer.as_mut().poll(context).map(|()| self.armed = Millis(0));
        }
        Poll::Pending
    }

    /// Adds to the metrics what was done since the last time.
    fn report(&mut self) {
        let tally = self.exchange.session.tally();
        if tally.touched {
            self.shared.metrics.add(tally);
        }
        self.gauges.set(Gauges {
            requests_waiting: self.exchange.session.requests_waiting(),
            watches: self.exchange.session.watches(),
            buffer_bytes: self.exchange.session.held_bytes(),
        });
    }

    /// Gets the last bytes out and says goodbye.
    async fn close(mut self, end: End) {
        let peer = self.exchange.session.peer().to_owned();
        let Some(code) = end.note(&peer, &self.shared.metrics) else { return };
        let goodbye = poll_fn(|context| {
            let now = self.shared.clock.now();
            match self.poll_output(context, now) {
                Ok(_)
                    if !self.exchange.session.output().is_empty()
                        || self.transport.has_unsent() =>
                {
                    Poll::Pending
                }
                Ok(_) => self.transport.poll_finish(context, code),
                Err(error) => Poll::Ready(Err(error)),
            }
        });
        if let Ok(Ok(())) = tokio::time::timeout(LAST_WORDS, goodbye).await {
            lingering::close(self.transport.into_stream()).await;
        }
    }
}

pub(super) fn count(counter: &std::sync::atomic::AtomicU64, bytes: usize) {
    counter.fetch_add(bytes as u64, Ordering::Relaxed);
}
