//! The driver of a RESP connection: one task that reads all that has arrived, runs it, waits once for
//! the store, and writes once.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::connection::{GaugeShare, count};
use super::ending::{End, LAST_WORDS};
use super::input::Input;
use super::lingering;
use super::resp_exchange::RespExchange;
use super::tcp::Tcp;
use super::transport::{Received, Transport as _};
use crate::observe::{Gauges, Transport};
use crate::server::Shared;
use crate::service::Seat;
use crate::session::{Millis, Resp};

/// How long a connection is idle before it gives memory back.
const REST_AFTER_MS: u64 = 1_000;

struct Connection {
    transport: Tcp,
    shared: Arc<Shared>,
    exchange: RespExchange,
    seat: Seat,
    input: Input,
    timer: Option<Pin<Box<Sleep>>>,
    /// What the timer is set to.
    armed: Millis,
    /// When it last did something.
    active: Millis,
    /// Whether it has given back what it does not need since then.
    rested: bool,
    hung_up: bool,
    gauges: GaugeShare,
}

/// Runs a RESP connection to its end. `early` was read from the socket already.
pub(crate) async fn run(stream: TcpStream, early: &[u8], shared: Arc<Shared>) {
    let mut connection = Connection::new(stream, early, shared);
    let shared = Arc::clone(&connection.shared);
    let mut draining = pin!(shared.drain.begun());
    let (mut listening, mut leaving) = (false, false);
    let end = poll_fn(|context| {
        // Polled once, the future wakes this task; until then a look at a flag is cheaper.
        if !leaving && (!listening || shared.drain.is_begun()) {
            listening = true;
            leaving = draining.as_mut().poll(context).is_ready();
        }
        connection.poll(context, leaving)
    })
    .await;
    connection.report();
    connection.close(end).await;
}

impl Connection {
    fn new(stream: TcpStream, early: &[u8], shared: Arc<Shared>) -> Self {
        let now = shared.clock.now();
        let clients = &shared.service.clients;
        let seat = clients.enter(stream.peer_addr().ok(), stream.local_addr().ok(), now);
        let session = Resp::new(Arc::clone(&shared.settings), Arc::clone(&seat.client), now);
        let mut input = Input::new();
        input.append(early);
        count(&shared.metrics.traffic(Transport::Resp).received_bytes, early.len());
        let gauges = GaugeShare::new(&shared.metrics);
        Self {
            transport: Tcp(stream),
            exchange: RespExchange::new(session),
            seat,
            input,
            timer: None,
            armed: Millis(0),
            active: now,
            rested: false,
            hung_up: false,
            gauges,
            shared,
        }
    }

    /// Reads, runs and writes until nothing moves any more.
    fn poll(&mut self, context: &mut Context<'_>, leaving: bool) -> Poll<End> {
        let shared = Arc::clone(&self.shared);
        let mut now = shared.clock.now();
        let mut again = false;
        loop {
            let may_read = self.exchange.session.may_read();
            let came = match self.poll_input(context, now, may_read) {
                Poll::Ready(Err(error)) => return Poll::Ready(End::Socket(error)),
                came => came.is_ready(),
            };
            // Time has passed only if something was done since it was asked for.
            if came && again {
                now = shared.clock.now();
            }
            again = true;
            let house = shared.house(now);
            let mut more = self.exchange.poll_wait(context, &house);
            more |= !leaving && self.exchange.run_input(context, &mut self.input, &house);
            let sent = match self.poll_output(context, now) {
                Ok(sent) => sent,
                Err(error) => return Poll::Ready(End::Socket(error)),
            };
            more |= self.exchange.poll_change(context, &house);
            self.report();
            if leaving {
                self.exchange.session.go_away();
            }
            let waits = self.exchange.waits();
            if let Some(ending) = self.exchange.session.ending()
                && !waits
            {
                return Poll::Ready(End::Session(ending));
            }
            if more || sent {
                (self.active, self.rested) = (now, false);
            }
            // What was sent makes room, which matters only to who waited for it.
            let made_room = sent && !(may_read && self.input.is_empty());
            if came || more || made_room {
                continue;
            }
            if self.hung_up && !waits && self.exchange.session.is_settled() {
                return Poll::Ready(End::Client);
            }
            if self.poll_timer(context, now).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Writes what there is to write; whether the socket took anything.
    fn poll_output(&mut self, context: &mut Context<'_>, now: Millis) -> io::Result<bool> {
        let mut moved = false;
        loop {
            self.exchange.session.fill(&self.shared.house(now));
            let bytes = self.exchange.session.output();
            if bytes.is_empty() {
                return Ok(moved);
            }
            match self.transport.poll_send(context, bytes) {
                Poll::Ready(Ok(taken)) => {
                    self.exchange.session.taken(now, taken);
                    count(&self.shared.metrics.traffic(Transport::Resp).sent_bytes, taken);
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
        let limit = self.exchange.session.input_limit();
        match self.transport.poll_receive(context, &mut self.input, limit) {
            Poll::Ready(Ok(received)) => {
                self.seat.client.heard(now);
                if let Received::End = received {
                    self.hung_up = true;
                }
                let got = self.input.unread().len() - before;
                count(&self.shared.metrics.traffic(Transport::Resp).received_bytes, got);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Acts on what is due and sets the timer to the next thing. A connection that has been idle for a
    /// while gives back what a burst needed, and has no timer.
    fn poll_timer(&mut self, context: &mut Context<'_>, now: Millis) -> Poll<()> {
        let rest_at = (!self.rested).then(|| self.active.after(REST_AFTER_MS));
        let due = [self.exchange.session.wait(), rest_at].into_iter().flatten().min();
        let Some(due) = due else {
            (self.timer, self.armed) = (None, Millis(0));
            return Poll::Pending;
        };
        if due <= now {
            self.exchange.session.tick(now);
            if rest_at.is_some_and(|rest_at| rest_at <= now) && !self.exchange.waits() {
                self.exchange.session.rest();
                self.input.rest();
            }
            self.rested = rest_at.is_none_or(|rest_at| rest_at <= now);
            return Poll::Ready(());
        }
        let at = self.shared.clock.instant(due);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        // A timer that fires too early only leads back here, so a later time need not move it. Polled
        // once since it was set, it wakes this task.
        if self.armed <= now || due < self.armed {
            self.armed = due;
            timer.as_mut().reset(at);
            return timer.as_mut().poll(context).map(|()| self.armed = Millis(0));
        }
        Poll::Pending
    }

    /// Adds to the metrics what was done since the last time.
    fn report(&mut self) {
        let counts = self.exchange.session.counts();
        if counts.is_touched() {
            self.shared.metrics.resp.add(counts);
        }
        self.gauges.set(Gauges {
            requests_waiting: self.exchange.session.requests_waiting(),
            watches: 0,
            buffer_bytes: self.exchange.session.held_bytes(),
        });
    }

    /// Gets the last bytes out and says goodbye.
    async fn close(mut self, end: End) {
        let Some(code) = end.note(&self.seat.client.name(), &self.shared.metrics) else { return };
        let goodbye = poll_fn(|context| {
            let now = self.shared.clock.now();
            match self.poll_output(context, now) {
                Ok(_) if !self.exchange.session.output().is_empty() => Poll::Pending,
                Ok(_) => self.transport.poll_finish(context, code),
                Err(error) => Poll::Ready(Err(error)),
            }
        });
        if let Ok(Ok(())) = tokio::time::timeout(LAST_WORDS, goodbye).await {
            lingering::close(self.transport.into_stream()).await;
        }
    }
}
