//! How a connection begins: the preface, the client's hello, the server's welcome.

use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::frame::{Frame, kind};
use tidekeep_protocol::hello::{self, Hello, PREFACE, Welcome, feature};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::session::{Ask, SessionId};
use tidekeep_protocol::{OLDEST_VERSION, VERSION, codec};

use super::timing::Millis;
use crate::config::Budgets;

/// What every session of a server shares.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) handshake_ms: u64,
    pub(crate) frame_ms: u64,
    pub(crate) heartbeat_ms: u32,
    pub(crate) slow_reader_ms: u64,
    pub(crate) output_bytes: usize,
    pub(crate) budgets: Budgets,
    pub(crate) server_id: [u8; 16],
    pub(crate) store_id: [u8; 16],
    pub(crate) incarnation: u64,
    pub(crate) software: String,
}

/// When a connection began, in both times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Greeting {
    /// On the clock of the process.
    pub(crate) now: Millis,
    /// In milliseconds since the Unix epoch.
    pub(crate) unix_ms: u64,
    /// The name of the session that the client gets if it asks for a new one: nobody else's, and
    /// not to be guessed.
    pub(crate) name: u128,
}

/// What a client's hello says.
#[derive(Debug)]
pub(crate) struct Greeted<'a> {
    /// The version that both will speak.
    pub(crate) version: u16,
    /// What the client calls itself.
    pub(crate) software: &'a str,
    /// The session that it asks for, if any.
    pub(crate) ask: Option<Ask>,
}

impl Greeting {
    /// The milliseconds since the Unix epoch at a time of the process's clock.
    pub(crate) fn unix_ms_at(self, now: Millis) -> u64 {
        self.unix_ms.saturating_add(now.0.saturating_sub(self.now.0))
    }
}

/// Looks for the preface: its length once it is whole, `None` while it is only begun.
pub(crate) fn preface(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let known = bytes.len().min(PREFACE.len());
    if bytes[..known] != PREFACE[..known] {
        return Err(Refusal::new(Code::Protocol, "the connection does not begin with the preface"));
    }
    Ok((known == PREFACE.len()).then_some(known))
}

/// Reads a client's first frame.
pub(crate) fn greet<'a>(frame: &Frame<'a>) -> Result<Greeted<'a>, Refusal> {
    if frame.kind != kind::HELLO || frame.more() {
        return Err(Refusal::new(Code::Protocol, "the first frame is not a hello"));
    }
    if frame.extensions.unknown_required().is_some() {
        return Err(Refusal::new(Code::Protocol, "the hello needs an extension unknown here"));
    }
    let hello: Hello<'_> = codec::decode(frame.body)
        .map_err(|_| Refusal::new(Code::Protocol, "the hello does not decode"))?;
    let version = hello::negotiate(&hello).ok_or_else(|| {
        let (low, high) = (hello.version_min, hello.version_max);
        Refusal::new(
            Code::Version,
            format!(
                "the client speaks versions {low} to {high}, \
                 this server {OLDEST_VERSION} to {VERSION}"
            ),
        )
    })?;
    let ask = frame.extensions.session().map(|data| {
        Ask::from_bytes(data)
            .ok_or_else(|| Refusal::new(Code::Protocol, "the hello's session does not decode"))
    });
    Ok(Greeted { version, software: hello.software, ask: ask.transpose()? })
}

/// How far ahead of the server's clock a session may have been made: its maker's clock may have been
/// set back since. Such a session is remembered for as much longer.
const AHEAD_MS: u64 = 24 * 3600 * 1000;

impl Settings {
    /// The session of a client that asks: the one it had, if this store can know it, or a new one.
    pub(crate) fn session(&self, ask: Ask, start: Greeting, now: Millis) -> SessionId {
        let now_ms = start.unix_ms_at(now);
        match ask {
            Ask::Resume { session, incarnation }
                if incarnation == self.incarnation
                    && session.created_ms() <= now_ms.saturating_add(AHEAD_MS) =>
            {
                session
            }
            Ask::Resume { .. } | Ask::New => SessionId::new(now_ms, start.name),
        }
    }

    /// The welcome to a connection that began with `start`.
    pub(crate) fn welcome(&self, version: u16, start: Greeting, now: Millis) -> Welcome<'_> {
        Welcome {
            version,
            features: feature::NONE,
            limits: self.limits,
            server_id: self.server_id,
            store_id: self.store_id,
            incarnation: self.incarnation,
            heartbeat_ms: self.heartbeat_ms,
            now_ms: start.unix_ms_at(now),
            software: &self.software,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_is_refused_at_its_first_wrong_byte() {
        assert_eq!(preface(b""), Ok(None));
        assert_eq!(preface(&PREFACE[..7]), Ok(None));
        assert_eq!(preface(b"\xF1TIDE\r\n\x01more"), Ok(Some(8)));
        assert!(preface(b"\xF1TIDX").is_err());
        assert!(preface(b"\xF1TIDE\r\n\x02").is_err());
    }
}
