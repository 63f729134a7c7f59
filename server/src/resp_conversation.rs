//! One Redis client's connection without a socket, a runtime or a clock, as [`crate::Conversation`] is
//! one native client's.

use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use crate::conversation::{Host, Parting};
use crate::edge::{Input, RespExchange};
use crate::service::Seat;
use crate::session::{Millis, Resp};

/// A connection's server side. Times are milliseconds on any clock that never goes back.
pub struct RespConversation {
    host: Arc<Host>,
    exchange: RespExchange,
    input: Input,
    _seat: Seat,
}

impl RespConversation {
    /// A client has connected.
    pub fn begin(host: &Arc<Host>, now_ms: u64) -> Self {
        let seat = host.service.clients.enter(None, None, Millis(now_ms));
        let client = Arc::clone(&seat.client);
        let session = Resp::new(Arc::clone(&host.settings), client, Millis(now_ms));
        Self {
            host: Arc::clone(host),
            exchange: RespExchange::new(session),
            input: Input::new(),
            _seat: seat,
        }
    }

    /// Takes bytes from the client; how many. The rest is to be offered again after a [`Self::run`].
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let session = &self.exchange.session;
        if !session.may_read() {
            return 0;
        }
        let room = session.input_limit().saturating_sub(self.input.unread().len());
        let taken = room.min(bytes.len());
        self.input.append(&bytes[..taken]);
        taken
    }

    /// Does everything that can be done now, at `unix_us` of the time of day. What it waits for wakes the
    /// context's waker; time is to wake it at [`Self::wait_ms`].
    pub fn run(&mut self, now_ms: u64, unix_us: u64, context: &mut Context<'_>) {
        let host = Arc::clone(&self.host);
        // The same from run to run, for simulations.
        let random = || unix_us.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let house = host.service.house(&host.metrics, Millis(now_ms), unix_us, &random);
        loop {
            let mut moved = self.exchange.poll_wait(context, &house);
            moved |= self.exchange.run_input(context, Instant::now(), &mut self.input, &house);
            self.exchange.session.fill(&house);
            moved |= self.exchange.poll_change(context, house.commit);
            host.metrics.resp.add(self.exchange.session.counts());
            if self.exchange.session.ending().is_some() {
                return;
            }
            if !moved {
                if self.exchange.session.wait().is_none_or(|due| due > house.now) {
                    return;
                }
                self.exchange.session.tick(house.now);
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

    /// When it is to be [`Self::run`] again at the latest, if at all.
    pub fn wait_ms(&self) -> Option<u64> {
        self.exchange.session.wait().map(|due| due.0)
    }

    /// Whether the connection is to be closed, and why.
    pub fn parting(&self) -> Option<Parting> {
        let ending = self.exchange.session.ending()?;
        Some(Parting { code: ending.code, flush: ending.flush })
    }

    /// Bytes that are held for the client.
    pub fn held_bytes(&self) -> usize {
        self.exchange.session.held_bytes()
    }
}
