//! One client's connection without a socket, a runtime or a clock: bytes and time go in, bytes come
//! out. It runs the same session, service and exchange as a connection on the network; the whole
//! product is simulated through it, in virtual time, and it can be embedded where there are no sockets.

use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use tidekeep_log::Commit;
use tidekeep_protocol::error::Code;

use crate::clock::Clock;
use crate::config::Config;
use crate::edge::{Exchange, Input, input_limit};
use crate::observe::Metrics;
use crate::server;
use crate::service::{Owners, Service};
use crate::session::{Greeting, Millis, Session, Settings};

/// What the conversations of one server share.
pub struct Host {
    pub(crate) settings: Arc<Settings>,
    pub(crate) service: Service,
    pub(crate) metrics: Arc<Metrics>,
}

impl Host {
    /// A server for the data behind `commit`. Of the configuration, what is about sessions counts.
    pub fn new(config: &Config, commit: Arc<dyn Commit>, server_id: [u8; 16]) -> Self {
        let metrics = Arc::new(Metrics::default());
        let settings = Arc::new(server::settings(config, &*commit, server_id));
        // The same from run to run, for simulations: a host is not attacked.
        let owners = Owners::new(move |number| u128::from_le_bytes(server_id) ^ u128::from(number));
        let service = server::service(config, commit, &metrics, Clock::start(), owners, 0);
        Self { settings, service, metrics }
    }
}

/// Why a conversation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parting {
    /// What went wrong, or `Unavailable` for a server that stops.
    pub code: Code,
    /// Whether the client is to get what is still in the output.
    pub flush: bool,
}

/// A connection's server side. Times are milliseconds on any clock that never goes back.
pub struct Conversation {
    host: Arc<Host>,
    exchange: Exchange,
    input: Input,
    arrived: Millis,
}

impl Conversation {
    /// A client has connected; `unix_ms` is the time of day.
    pub fn begin(host: &Arc<Host>, now_ms: u64, unix_ms: u64) -> Self {
        let start = Greeting { now: Millis(now_ms), unix_ms, name: host.service.owners.name() };
        let session = Session::new(Arc::clone(&host.settings), start);
        Self {
            host: Arc::clone(host),
            exchange: Exchange::new(session),
            input: Input::new(),
            arrived: start.now,
        }
    }

    /// Takes bytes from the client; how many. The rest is to be offered again after a [`Self::run`].
    pub fn receive(&mut self, now_ms: u64, bytes: &[u8]) -> usize {
        let session = &mut self.exchange.session;
        if !session.may_read() {
            return 0;
        }
        let room = input_limit(session).saturating_sub(self.input.unread().len());
        let taken = room.min(bytes.len());
        if taken > 0 {
            session.heard(Millis(now_ms));
            self.arrived = Millis(now_ms);
            self.input.append(&bytes[..taken]);
        }
        taken
    }

    /// Does everything that can be done now. What it waits for wakes the context's waker; time is
    /// to wake it at [`Self::wait_ms`].
    pub fn run(&mut self, now_ms: u64, context: &mut Context<'_>) {
        let now = Millis(now_ms);
        let arrived = (self.arrived, Instant::now());
        let Host { service, metrics, .. } = &*self.host;
        loop {
            self.exchange.poll_owner(context);
            self.exchange.poll_waiters(context, &*service.commit, metrics);
            let mut moved =
                self.exchange.run_input(context, now, arrived, &mut self.input, service, metrics);
            self.exchange.session.fill(now, &*service.commit);
            moved |= self.exchange.poll_change(context, &*service.commit);
            self.exchange.session.tally().clear();
            if self.exchange.session.ending().is_some() {
                return;
            }
            if !moved {
                if self.exchange.session.wait() > now {
                    return;
                }
                self.exchange.session.tick(now);
                self.exchange.rest();
                self.input.rest();
            }
        }
    }

    /// Bytes for the client. More may come when these are taken and it is [`Self::run`] again.
    pub fn output(&self) -> &[u8] {
        self.exchange.session.output()
    }

    /// Notes that the first `count` bytes of the output are on their way; 0 if there is no room.
    pub fn taken(&mut self, now_ms: u64, count: usize) {
        self.exchange.session.taken(Millis(now_ms), count);
    }

    /// When it is to be [`Self::run`] again at the latest.
    pub fn wait_ms(&self) -> u64 {
        self.exchange.session.wait().0
    }

    /// Tells the client that the server stops and when to come back.
    pub fn go_away(&mut self, now_ms: u64, reconnect_after_ms: u32) {
        self.exchange.session.go_away(Millis(now_ms), reconnect_after_ms);
    }

    /// Whether the connection is to be closed, and why.
    pub fn parting(&self) -> Option<Parting> {
        let ending = self.exchange.session.ending()?;
        Some(Parting { code: ending.code, flush: ending.flush })
    }

    /// Bytes that are held for the client: those it sent and those it is to get.
    pub fn held_bytes(&self) -> usize {
        self.input.unread().len() + self.exchange.session.output_backlog()
    }
}
