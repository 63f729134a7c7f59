//! A native connection: a session with its exchange, as the driver of connections runs it over TCP or
//! WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Context;

use super::driver::{Dialogue, Driver};
use super::exchange::{Exchange, input_limit};
use super::input::Input;
use super::transport::{Received, Transport};
use crate::clock::Moment;
use crate::observe::{Gauges, Metrics};
use crate::server::Shared;
use crate::service::Presence;
use crate::session::{Ending, Greeting, Millis, Session};

struct Native {
    exchange: Exchange,
    /// When the last bytes came.
    arrived: Millis,
}

/// Runs a native connection, which `peer` began at `since`, to its end. `input` was read from the socket
/// already.
pub(crate) async fn run<T: Transport>(
    transport: T,
    input: Input,
    (peer, since): (SocketAddr, Millis),
    shared: Arc<Shared>,
) {
    let mut driver = driver(transport, input, (peer, since), &shared);
    let end = driver.run(&shared).await;
    // Boxed, as the goodbye moves the connection, for which there would be room from the beginning.
    Box::pin(driver.close(end, &shared)).await;
}

fn driver<T: Transport>(
    transport: T,
    input: Input,
    (peer, since): (SocketAddr, Millis),
    shared: &Arc<Shared>,
) -> Driver<Native, T> {
    let now = shared.clock.now();
    let waited_ms = now.0.saturating_sub(since.0);
    let unix_ms = shared.service.commit.time_at(crate::clock::unix_ms()).saturating_sub(waited_ms);
    let start = Greeting { now: since, unix_ms, name: shared.service.owners.name() };
    let session = Session::new(Arc::clone(&shared.settings), start);
    let native = Native { exchange: Exchange::new(session), arrived: now };
    let presence = shared.service.roster.enter(T::KIND, Some(peer), since);
    Driver::new(native, transport, input, presence, &shared.metrics)
}

impl Dialogue for Native {
    fn peer(&self) -> String {
        self.exchange.session.peer().to_owned()
    }

    fn may_read(&self) -> bool {
        self.exchange.session.may_read()
    }

    fn input_limit(&self) -> usize {
        input_limit(&self.exchange.session)
    }

    fn received(&mut self, now: Millis, received: Received) {
        let session = &mut self.exchange.session;
        session.heard(now);
        match received {
            Received::Bytes => self.arrived = now,
            Received::Part => session.began(now),
            Received::Signs | Received::End => {}
            Received::Broken(refusal) => session.fail(&refusal),
        }
    }

    fn run(
        &mut self,
        context: &mut Context<'_>,
        moment: &Moment,
        input: &mut Input,
        shared: &Shared,
    ) -> bool {
        let Shared { service, metrics, .. } = shared;
        let arrived = (self.arrived, moment.instant);
        self.exchange.poll_owner(context);
        self.exchange.poll_waiters(context, &*service.commit, metrics);
        let ran = self.exchange.run_input(context, moment.now, arrived, input, service, metrics);
        // What was asked for now is looked at once, so that it wakes the task.
        ran && self.exchange.poll_waiters(context, &*service.commit, metrics) && !input.is_empty()
    }

    fn introduce(&self, presence: &Presence) {
        let session = &self.exchange.session;
        if session.is_greeted() {
            presence.is_called(session.peer(), session.id());
        }
    }

    fn fill(&mut self, moment: &Moment, shared: &Shared) {
        self.exchange.session.fill(moment.now, &*shared.service.commit);
    }

    fn output(&self) -> &[u8] {
        self.exchange.session.output()
    }

    fn taken(&mut self, now: Millis, count: usize) {
        self.exchange.session.taken(now, count);
    }

    fn poll_news(&mut self, context: &mut Context<'_>, _: &Moment, shared: &Shared) -> bool {
        self.exchange.poll_change(context, &*shared.service.commit)
    }

    fn leave(&mut self, now: Millis, shared: &Shared) {
        self.exchange.session.go_away(now, shared.drain.reconnect_after_ms());
    }

    fn ending(&self) -> Option<Ending> {
        self.exchange.session.ending()
    }

    fn is_settled(&self) -> bool {
        self.exchange.session.is_settled()
    }

    fn wait(&self) -> Option<Millis> {
        Some(self.exchange.session.wait())
    }

    fn tick(&mut self, now: Millis, input: &mut Input) {
        self.exchange.session.tick(now);
        self.exchange.rest();
        input.rest();
    }

    fn report(&mut self, metrics: &Metrics) -> Gauges {
        let session = &mut self.exchange.session;
        let tally = session.tally();
        if tally.touched {
            metrics.add(tally);
        }
        Gauges {
            requests_waiting: session.requests_waiting(),
            watches: session.watches(),
            buffer_bytes: session.held_bytes(),
        }
    }
}
