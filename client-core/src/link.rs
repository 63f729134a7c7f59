//! The connection's life. The link knows which phase it is in, what the server said of itself and
//! when to try again; what a change of phase means for calls and watches is decided in
//! [`crate::core`].
//!
//! ```text
//! idle ─▶ opening ─▶ greeting ─▶ ready ─▶ leaving
//!            ▲          │          │         │
//!            └── resting ◀─────────┴─────────┘          any ─▶ closed
//! ```

use alloc::boxed::Box;

use tidekeep_protocol::error::Code;
use tidekeep_protocol::frame::HEADER_BYTES;
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::plain::Reader;
use tidekeep_protocol::{OLDEST_VERSION, VERSION};

use crate::backoff::Backoff;
use crate::config::Config;
use crate::error::Error;
use crate::output::State;
use crate::rng::Rng;
use crate::text::Text;
use crate::time::Millis;
use crate::timers::{Timer, Timers};

/// What the server said of itself when it greeted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// The protocol version both speak.
    pub version: u16,
    /// Bits of [`tidekeep_protocol::hello::feature`] that both have.
    pub features: u64,
    /// The bounds of the connection.
    pub limits: Limits,
    /// Who the server is: made when its process started.
    pub server_id: [u8; 16],
    /// Whose data it serves: made when the store was.
    pub store_id: [u8; 16],
    /// Changes whenever the store's history is replaced.
    pub incarnation: u64,
    /// The server sends something at least this often, in milliseconds.
    pub heartbeat_ms: u32,
    /// The server's clock when it greeted, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// When it greeted, on the driver's clock: `now_ms` was the time then.
    pub greeted_at: Millis,
    /// Name and version of the server's software.
    pub software: Text,
}

impl ServerInfo {
    /// What a welcome says ([`tidekeep_protocol::hello::Welcome`]).
    pub(crate) fn read(body: &[u8]) -> Option<Box<Self>> {
        let mut from = Reader::new(body);
        let server = Box::new(Self {
            version: from.small().try_into().ok()?,
            features: from.number(),
            limits: Limits::read(&mut from),
            server_id: from.array(),
            store_id: from.array(),
            incarnation: from.number(),
            heartbeat_ms: from.small(),
            now_ms: from.number(),
            greeted_at: Millis::default(),
            software: Text::from_bytes(from.bytes()),
        });
        from.end(server)
    }
}

/// Where the connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing was asked for yet.
    Idle,
    /// The driver opens a transport.
    Opening,
    /// Hello is on the way.
    Greeting,
    /// Requests may be sent.
    Ready,
    /// The server goes away: what is in flight is finished, nothing new is sent.
    Leaving,
    /// Waiting before the next attempt.
    Resting,
    /// For good.
    Closed,
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) phase: Phase,
    pub(crate) server: Option<Box<ServerInfo>>,
    /// Why the server will not have us; calls fail with it rather than wait for nothing.
    pub(crate) turned_away: Option<Error>,
    pub(crate) rng: Rng,
    backoff: Backoff,
    was_ready: bool,
    heartbeat_ms: u32,
    /// A ping was sent and nothing was heard since.
    probing: bool,
    /// The rest that a leaving server asked for, in milliseconds.
    asked_rest_ms: Option<u32>,
}

impl Link {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            phase: Phase::Idle,
            server: None,
            turned_away: None,
            rng: Rng::new(seed),
            backoff: Backoff::default(),
            was_ready: false,
            heartbeat_ms: 0,
            probing: false,
            asked_rest_ms: None,
        }
    }

    /// The state as it is shown.
    pub(crate) fn state(&self) -> State {
        match self.phase {
            Phase::Idle => State::Idle,
            Phase::Ready | Phase::Leaving => State::Ready,
            Phase::Opening | Phase::Greeting | Phase::Resting if self.was_ready => {
                State::Reconnecting
            }
            Phase::Opening | Phase::Greeting | Phase::Resting => State::Connecting,
            Phase::Closed => State::Closed,
        }
    }

    /// Whether the driver has a transport, or is opening one.
    pub(crate) fn attached(&self) -> bool {
        match self.phase {
            Phase::Opening | Phase::Greeting | Phase::Ready | Phase::Leaving => true,
            Phase::Idle | Phase::Resting | Phase::Closed => false,
        }
    }

    /// Whether bytes may arrive.
    pub(crate) fn listening(&self) -> bool {
        self.attached() && self.phase != Phase::Opening
    }

    /// The limits of the present connection. Not inlined: it is asked for in many places, none of them hot.
    #[inline(never)]
    pub(crate) fn limits(&self) -> Option<&Limits> {
        let server = self.server.as_ref()?;
        matches!(self.phase, Phase::Ready | Phase::Leaving).then_some(&server.limits)
    }

    /// The longest frame that is taken, as its length field says it.
    pub(crate) fn frame_limit(&self, config: &Config) -> u32 {
        let Some(limits) = self.limits() else { return Limits::HANDSHAKE_FRAME_BYTES };
        let envelope = HEADER_BYTES as u32 + u32::from(u16::MAX);
        let most = u32::try_from(config.reply_bytes).unwrap_or(u32::MAX).saturating_add(envelope);
        limits.chunk_bytes.saturating_add(envelope).min(most)
    }

    /// A transport is being opened.
    pub(crate) fn open(&mut self, now: Millis, config: &Config, timers: &mut Timers) {
        self.phase = Phase::Opening;
        timers.clear(Timer::Reconnect);
        timers.set(Timer::Attempt, now.after(config.open_ms));
    }

    /// The transport is open.
    pub(crate) fn opened(&mut self, now: Millis, config: &Config, timers: &mut Timers) {
        self.phase = Phase::Greeting;
        timers.set(Timer::Attempt, now.after(config.greeting_ms));
    }

    /// The server has greeted; false when it speaks a version that was not offered.
    #[must_use]
    pub(crate) fn welcome(
        &mut self,
        now: Millis,
        server: Box<ServerInfo>,
        config: &Config,
        timers: &mut Timers,
    ) -> bool {
        if !(OLDEST_VERSION..=VERSION).contains(&server.version) {
            return false;
        }
        self.phase = Phase::Ready;
        self.was_ready = true;
        self.turned_away = None;
        // One after the other, for bounds that contradict each other must not panic.
        let heartbeat_ms = server.heartbeat_ms.min(config.heartbeat_max_ms);
        self.heartbeat_ms = heartbeat_ms.max(config.heartbeat_min_ms);
        let server = self.server.insert(server);
        (server.heartbeat_ms, server.greeted_at) = (self.heartbeat_ms, now);
        timers.clear(Timer::Attempt);
        timers.set(Timer::Stable, now.after(config.stable_ms));
        self.heard(now, timers);
        true
    }

    /// Bytes came: the server is there.
    pub(crate) fn heard(&mut self, now: Millis, timers: &mut Timers) {
        self.probing = false;
        if self.limits().is_some() {
            timers.set(
                Timer::Heartbeat,
                now.after(self.heartbeat_ms.saturating_add(self.slack_ms())),
            );
        }
    }

    /// How much later than a heartbeat the question comes whether the server is there: its ping may
    /// be on its way, and then nothing needs to be asked.
    fn slack_ms(&self) -> u32 {
        self.heartbeat_ms / 8
    }

    /// It is time to ask whether the server is there; it has `patience_ms`, or what is left of two
    /// heartbeats, to answer. False when it was asked already: then the link is dead. Counting from
    /// the question, not from the last byte, spares a machine that slept.
    #[must_use]
    pub(crate) fn probe(
        &mut self,
        now: Millis,
        patience_ms: Option<u32>,
        timers: &mut Timers,
    ) -> bool {
        if self.probing {
            return false;
        }
        self.probing = true;
        let rest_ms = self.heartbeat_ms - self.slack_ms();
        let patience_ms = patience_ms.map_or(rest_ms, |patience_ms| patience_ms.min(rest_ms));
        timers.set(Timer::Heartbeat, now.after(patience_ms));
        true
    }

    /// The server goes away.
    pub(crate) fn going_away(&mut self, rest_ms: u32, config: &Config) {
        self.phase = Phase::Leaving;
        self.asked_rest_ms = Some(rest_ms.min(config.going_away_ms_max));
    }

    /// The connection held for long: failures before it no longer count.
    pub(crate) fn stable(&mut self) {
        self.backoff.reset();
    }

    /// The connection or the attempt ended with `error`: waits before the next one.
    pub(crate) fn rest(
        &mut self,
        now: Millis,
        error: &Error,
        config: &Config,
        timers: &mut Timers,
    ) {
        self.phase = Phase::Resting;
        self.probing = false;
        self.turned_away = turns_away(error.code).then(|| error.clone());
        let rest_ms = if let Some(asked_ms) = self.asked_rest_ms {
            asked_ms
        } else if self.turned_away.is_some() {
            let half_ms = config.backoff_max_ms / 2;
            half_ms + self.rng.up_to(half_ms)
        } else {
            let Config { backoff_min_ms, backoff_max_ms, .. } = *config;
            let wait_ms = self.backoff.next_ms(backoff_min_ms, backoff_max_ms, &mut self.rng);
            wait_ms.max(error.retry_after_ms.min(config.going_away_ms_max))
        };
        timers.clear(Timer::Attempt);
        timers.clear(Timer::Heartbeat);
        timers.clear(Timer::Stable);
        timers.set(Timer::Reconnect, now.after(rest_ms));
    }

    /// Whether a wake-up may cut the rest short: a server that named a time is left alone until
    /// then.
    pub(crate) fn may_hurry(&self) -> bool {
        self.phase == Phase::Resting && self.asked_rest_ms.is_none()
    }

    /// The rest is over.
    pub(crate) fn rested(&mut self) {
        self.asked_rest_ms = None;
    }
}

/// Whether the server will not have this client, however often it comes.
fn turns_away(code: Code) -> bool {
    matches!(code, Code::Version | Code::Forbidden | Code::Unauthenticated)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use tidekeep_protocol::codec;
    use tidekeep_protocol::hello::Welcome;

    #[test]
    fn a_welcome_is_read_as_it_is_written() {
        let welcome = Welcome {
            version: 1,
            features: u64::MAX,
            limits: Limits { key_bytes: 7, txn_operations: u32::MAX, ..Limits::DEFAULT },
            server_id: [3; 16],
            store_id: [0xFE; 16],
            incarnation: 1 << 60,
            heartbeat_ms: 10_000,
            now_ms: 1_767_225_600_000,
            software: "tidekeep é",
        };
        let mut body = Vec::new();
        codec::encode(&welcome, &mut body);
        let server = ServerInfo::read(&body).unwrap();
        assert_eq!((server.version, server.features), (1, u64::MAX));
        assert_eq!((server.limits, &*server.software), (welcome.limits, welcome.software));
        assert_eq!((server.server_id, server.store_id), (welcome.server_id, welcome.store_id));
        assert_eq!((server.incarnation, server.heartbeat_ms), (1 << 60, 10_000));
        assert_eq!(server.now_ms, welcome.now_ms);
        for length in 0..body.len() {
            assert_eq!(ServerInfo::read(&body[..length]), None);
        }
        body.push(0);
        assert_eq!(ServerInfo::read(&body), None);
    }
}
