//! A RESP connection: a session with its exchange, and its seat among the clients, as the driver of
//! connections runs it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Context;

use tokio::net::TcpStream;

use super::driver::{Dialogue, Driver};
use super::input::Input;
use super::resp_exchange::RespExchange;
use super::tcp::Tcp;
use super::transport::Received;
use crate::clock::Moment;
use crate::observe::{Gauges, Metrics, Transport};
use crate::server::Shared;
use crate::service::{Presence, Seat};
use crate::session::{Ending, Millis, Resp};

/// How long a connection is idle before it gives memory back.
const REST_AFTER_MS: u64 = 1_000;

struct Redis {
    exchange: RespExchange,
    seat: Seat,
    /// When it last did something.
    active: Millis,
    /// Whether it has given back what it does not need since then.
    rested: bool,
    /// Whether the server stops: nothing new is run.
    leaving: bool,
}

/// Runs a RESP connection, which `peer` began at `since`, to its end. `input` was read from the socket already.
pub(crate) async fn run(
    stream: TcpStream,
    input: Input,
    (peer, since): (SocketAddr, Millis),
    shared: Arc<Shared>,
) {
    let mut driver = driver(stream, input, (peer, since), &shared);
    let end = driver.run(&shared).await;
    // Boxed, as the goodbye moves the connection, for which there would be room from the beginning.
    Box::pin(driver.close(end, &shared)).await;
}

fn driver(
    stream: TcpStream,
    input: Input,
    (peer, since): (SocketAddr, Millis),
    shared: &Arc<Shared>,
) -> Driver<Redis, Tcp> {
    let now = shared.clock.now();
    let clients = &shared.service.clients;
    let seat = clients.enter(Some(peer), stream.local_addr().ok(), now);
    let session = Resp::new(Arc::clone(&shared.settings), Arc::clone(&seat.client), now);
    let exchange = RespExchange::new(session);
    let redis = Redis { exchange, seat, active: now, rested: false, leaving: false };
    let presence = shared.service.roster.enter(Transport::Resp, Some(peer), since);
    Driver::new(redis, Tcp(stream), input, presence, &shared.metrics)
}

impl Redis {
    /// When it gives memory back, if it has not since it was last active.
    fn rest_at(&self) -> Option<Millis> {
        (!self.rested).then(|| self.active.after(REST_AFTER_MS))
    }

    fn is_active(&mut self, now: Millis) {
        (self.active, self.rested) = (now, false);
    }
}

impl Dialogue for Redis {
    fn peer(&self) -> String {
        self.seat.client.name()
    }

    fn may_read(&self) -> bool {
        self.exchange.session.may_read()
    }

    fn input_limit(&self) -> usize {
        self.exchange.session.input_limit()
    }

    fn received(&mut self, now: Millis, _: Received) {
        self.seat.client.heard(now);
    }

    fn run(
        &mut self,
        context: &mut Context<'_>,
        moment: &Moment,
        input: &mut Input,
        shared: &Shared,
    ) -> bool {
        let may_run = !self.leaving && !input.is_empty();
        if !may_run && !self.exchange.waits() {
            return false;
        }
        let house = shared.house(moment);
        let mut moved = self.exchange.waits() && self.exchange.poll_wait(context, &house);
        if may_run {
            moved |= self.exchange.run_input(context, moment.instant, input, &house);
        }
        if moved {
            self.is_active(moment.now);
        }
        // Whatever ran has either used up the input or waits: for the store, for bytes, or for room.
        false
    }

    fn introduce(&self, presence: &Presence) {
        presence.is_redis(&self.seat.client);
    }

    fn fill(&mut self, moment: &Moment, shared: &Shared) {
        if self.exchange.session.has_more_to_say() {
            self.exchange.session.fill(&shared.house(moment));
        }
    }

    fn output(&self) -> &[u8] {
        self.exchange.session.output()
    }

    fn taken(&mut self, now: Millis, count: usize) {
        self.exchange.session.taken(now, count);
        if count > 0 {
            self.is_active(now);
        }
    }

    fn poll_news(&mut self, context: &mut Context<'_>, moment: &Moment, shared: &Shared) -> bool {
        if self.leaving {
            self.exchange.session.go_away();
        }
        let news =
            self.exchange.listens() && self.exchange.poll_change(context, &*shared.service.commit);
        if news {
            self.is_active(moment.now);
        }
        news
    }

    fn leave(&mut self, _: Millis, _: &Shared) {
        self.leaving = true;
    }

    fn ending(&self) -> Option<Ending> {
        self.exchange.session.ending().filter(|_| !self.exchange.waits())
    }

    fn is_settled(&self) -> bool {
        !self.exchange.waits() && self.exchange.session.is_settled()
    }

    fn wait(&self) -> Option<Millis> {
        match (self.exchange.session.wait(), self.rest_at()) {
            (Some(due), Some(rest_at)) => Some(due.min(rest_at)),
            (due, rest_at) => due.or(rest_at),
        }
    }

    /// A connection that has been idle for a while gives back what a burst needed.
    fn tick(&mut self, now: Millis, input: &mut Input) {
        let rests = self.rest_at().is_none_or(|rest_at| rest_at <= now);
        self.exchange.session.tick(now);
        if rests && !self.exchange.waits() {
            self.exchange.session.rest();
            input.rest();
        }
        self.exchange.session.note_input(now, input.held_bytes());
        self.rested = rests;
    }

    fn report(&mut self, metrics: &Metrics) -> Gauges {
        let session = &mut self.exchange.session;
        let counts = session.counts();
        if counts.is_touched() {
            metrics.resp.add(counts);
        }
        Gauges {
            requests_waiting: session.requests_waiting(),
            watches: 0,
            buffer_bytes: session.held_bytes(),
        }
    }
}
