//! Tells visitors apart by their first byte. Nothing else is decided here: each language checks the
//! rest of what it is sent.

use tidekeep_protocol::hello::PREFACE;

/// Who is there, as far as one byte tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visitor {
    /// Native frames.
    Native,
    /// An HTTP request: methods are upper-case words.
    Http,
    /// A Redis client, which is not served.
    Resp,
    /// A TLS handshake, which is not served.
    Tls,
    /// Something else.
    Unknown,
}

/// The first byte of a TLS record with a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// Tells by its first byte who a visitor is.
pub(crate) fn tell(first: u8) -> Visitor {
    match first {
        first if first == PREFACE[0] => Visitor::Native,
        b'A'..=b'Z' => Visitor::Http,
        b'*' => Visitor::Resp,
        TLS_HANDSHAKE => Visitor::Tls,
        _ => Visitor::Unknown,
    }
}

impl Visitor {
    /// What a visitor that is not served is told before the connection closes: in its own language
    /// where there is one.
    pub(crate) fn farewell(self) -> &'static [u8] {
        match self {
            Self::Native | Self::Http => b"",
            Self::Resp => b"-ERR this port speaks Tidekeep's protocol and HTTP, but not RESP\r\n",
            // A fatal alert: handshake_failure.
            Self::Tls => b"\x15\x03\x01\x00\x02\x02\x28",
            Self::Unknown => b"err: this port speaks Tidekeep's protocol and HTTP\r\n",
        }
    }
}
