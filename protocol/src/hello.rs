//! How a connection begins, is kept alive and ends. The client sends [`PREFACE`] and a hello frame;
//! the server answers with a welcome or an error and closes.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::plain::{self, Reader};

/// The first bytes of every native connection, over TCP and inside WebSocket alike. The first byte
/// is no ASCII, no TLS record and no RESP type, so one port can tell all of them apart.
pub const PREFACE: [u8; 8] = *b"\xF1TIDE\r\n\x01";

/// The WebSocket subprotocol that a browser asks for and the server confirms.
pub const WEBSOCKET_SUBPROTOCOL: &str = "tidekeep.1";

/// The path of the WebSocket endpoint.
pub const WEBSOCKET_PATH: &str = "/ws";

/// Optional abilities, as bits. Both ends use those that both know.
pub mod feature {
    /// No optional ability exists yet.
    pub const NONE: u64 = 0;
}

/// The client's first frame ([`crate::frame::kind::HELLO`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// Oldest protocol version the client speaks.
    pub version_min: u16,
    /// Newest protocol version the client speaks.
    pub version_max: u16,
    /// Abilities the client has: bits of [`feature`].
    pub features: u64,
    /// Name and version of the client's software, for logs.
    pub software: &'a str,
}

impl Hello<'_> {
    /// Appends the body, as [`crate::codec::encode`] does.
    pub fn write(&self, out: &mut Vec<u8>) {
        for number in &[self.version_min.into(), self.version_max.into(), self.features] {
            plain::push_number(out, *number);
        }
        plain::push_bytes(out, self.software.as_bytes());
    }
}

/// The server's answer ([`crate::frame::kind::WELCOME`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome<'a> {
    /// The version both will speak.
    pub version: u16,
    /// Abilities both have: bits of [`feature`].
    pub features: u64,
    /// The bounds of this connection.
    pub limits: Limits,
    /// Who the server is: made when its process starts.
    pub server_id: [u8; 16],
    /// Whose data it serves: made when the store was.
    pub store_id: [u8; 16],
    /// Changes whenever the store's history is replaced; cursors of another one are too old.
    pub incarnation: u64,
    /// The server sends something at least this often, in milliseconds; a client that hears nothing
    /// for twice as long may take the connection for dead.
    pub heartbeat_ms: u32,
    /// The server's clock, in milliseconds since the Unix epoch, so that a client can show how long
    /// a key still lives.
    pub now_ms: u64,
    /// Name and version of the server's software.
    #[serde(borrow)]
    pub software: &'a str,
}

/// The server will close this connection ([`crate::frame::kind::GOING_AWAY`]): requests in flight
/// are finished, new ones are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoingAway {
    /// How long to wait before connecting again, in milliseconds; differs from client to client so
    /// that they do not all come back at once.
    pub reconnect_after_ms: u32,
}

impl GoingAway {
    /// Reads the body, as [`crate::codec::decode`] does.
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut from = Reader::new(body);
        let notice = Self { reconnect_after_ms: from.small() };
        from.end(notice)
    }
}

/// The version two ends share: the newest that both speak.
pub fn negotiate(hello: &Hello<'_>) -> Option<u16> {
    let version = hello.version_max.min(crate::VERSION);
    (version >= hello.version_min.max(crate::OLDEST_VERSION)).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(version_min: u16, version_max: u16) -> Option<u16> {
        negotiate(&Hello { version_min, version_max, features: 0, software: "" })
    }

    #[test]
    fn the_newest_version_that_both_speak_is_taken() {
        assert_eq!(agreed(crate::VERSION, crate::VERSION), Some(crate::VERSION));
        assert_eq!(agreed(0, u16::MAX), Some(crate::VERSION));
    }

    #[test]
    fn ends_without_a_common_version_part() {
        assert_eq!(agreed(crate::VERSION + 1, u16::MAX), None);
        assert_eq!(agreed(0, crate::OLDEST_VERSION - 1), None);
        assert_eq!(agreed(u16::MAX, 0), None);
    }
}
