//! The envelope around every message. A frame can be told apart, skipped or refused without knowing
//! its kind; what its kind means is in [`crate::hello`] and [`crate::op`].

use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;

use crate::codec;
use crate::freshness::Freshness;
use crate::session::{Ask, Number};

/// Bytes of a frame before its extensions: length, kind, flags, extension length, id.
pub const HEADER_BYTES: usize = 12;

/// Bytes of the length field, which it does not count.
pub const LENGTH_BYTES: usize = 4;

/// The kinds that are not operations. An operation's reply has its kind with [`kind::REPLY`] set.
pub mod kind {
    /// Client's first frame.
    pub const HELLO: u8 = 0x01;
    /// Server's answer to it.
    pub const WELCOME: u8 = 0x02;
    /// "Are you there?" Empty body, either way.
    pub const PING: u8 = 0x03;
    /// "Yes." Empty body, the ping's id.
    pub const PONG: u8 = 0x04;
    /// The server will close this connection soon.
    pub const GOING_AWAY: u8 = 0x05;
    /// The client no longer wants the request with this id. Empty body; ends a watch.
    pub const CANCEL: u8 = 0x06;
    /// A request failed (its id) or the connection did (id 0).
    pub const ERROR: u8 = 0x07;
    /// Set in the kind of a reply.
    pub const REPLY: u8 = 0x80;
}

/// Bits of a frame's flags. Unknown bits are ignored.
pub mod flag {
    /// The body goes on in the next frame with this id; bodies are joined before they are decoded.
    pub const MORE: u8 = 0x01;
    /// The request was, or may have been, sent before: its first copy may have been run.
    pub const RETRY: u8 = 0x02;
}

/// Tags of extensions. A tag with [`ext::REQUIRED`] must be understood or the request is refused;
/// any other unknown tag is skipped. Of a tag that comes twice the first counts.
pub mod ext {
    /// How long the caller will wait for the reply: u32 little-endian, milliseconds.
    pub const DEADLINE: u8 = 0x01;
    /// A client's session, in a hello and in a welcome; see [`crate::session`].
    pub const SESSION: u8 = 0x02;
    /// A write's place in its session; see [`crate::session::Number`].
    pub const NUMBER: u8 = 0x03;
    /// How new what a read shows must be; see [`crate::freshness::Freshness`].
    pub const FRESHNESS: u8 = 0x04;
    /// Set in a tag that must be understood; the rest of the tag says what it is.
    pub const REQUIRED: u8 = 0x80;
}

/// One frame, borrowed from the bytes that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the body is.
    pub kind: u8,
    /// Bits of [`flag`].
    pub flags: u8,
    /// Ties a reply to its request; 0 belongs to the connection.
    pub id: u32,
    /// The extension block, not yet looked into.
    pub extensions: Extensions<'a>,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the first frame of `bytes` and how many bytes it takes; `None` while it is not whole.
    ///
    /// `limit` bounds the length field's value, in bytes; it is checked before the rest arrives, so
    /// a reader never waits for more than it is ready to hold.
    pub fn decode(bytes: &'a [u8], limit: u32) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((length, _)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length);
        if length > limit {
            return Err(FrameError::TooLarge { length, limit });
        }
        let length_bytes = length as usize;
        if length_bytes < HEADER_BYTES - LENGTH_BYTES {
            return Err(FrameError::TooShort { length });
        }
        let Some(after_length) = bytes[LENGTH_BYTES..].get(..length_bytes) else { return Ok(None) };
        let total = LENGTH_BYTES + after_length.len();
        let (header, rest) = bytes[..total].split_at(HEADER_BYTES);
        let ext_len = u16::from_le_bytes([header[6], header[7]]) as usize;
        let Some((extensions, body)) = rest.split_at_checked(ext_len) else {
            return Err(FrameError::Extensions);
        };
        let frame = Self {
            kind: header[4],
            flags: header[5],
            id: u32::from_le_bytes([header[8], header[9], header[10], header[11]]),
            extensions: Extensions::check(extensions)?,
            body,
        };
        Ok(Some((frame, total)))
    }

    /// Whether the body goes on in the next frame with this id.
    pub fn more(&self) -> bool {
        self.flags & flag::MORE != 0
    }

    /// Whether an earlier copy of the request may have been run.
    pub fn is_retry(&self) -> bool {
        self.flags & flag::RETRY != 0
    }
}

/// Appends a frame to `out`: header, extensions, then the body that `body` writes.
///
/// # Panics
/// When the extensions take more than 65,535 bytes or the whole frame 4 GiB. Extensions come from
/// the program, never from a peer, and bodies are held against [`crate::limits`] long before.
pub fn write(
    out: &mut Vec<u8>,
    kind: u8,
    flags: u8,
    id: u32,
    extensions: &[(u8, &[u8])],
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    let [a, b, c, d] = id.to_le_bytes();
    out.extend_from_slice(&[0, 0, 0, 0, kind, flags, 0, 0, a, b, c, d]);
    if !extensions.is_empty() {
        write_extensions(out, start, extensions);
    }
    body(out);
    let length = out.len() - start - LENGTH_BYTES;
    let length = u32::try_from(length).expect("a frame is shorter than 4 GiB");
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// Appends extensions to the header that began at `start`.
fn write_extensions(out: &mut Vec<u8>, start: usize, extensions: &[(u8, &[u8])]) {
    for (tag, data) in extensions {
        out.push(*tag);
        let length = u16::try_from(data.len()).expect("an extension has at most 65,535 bytes");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(data);
    }
    let ext_len = out.len() - start - HEADER_BYTES;
    let ext_len = u16::try_from(ext_len).expect("extensions take at most 65,535 bytes");
    out[start + 6..start + 8].copy_from_slice(&ext_len.to_le_bytes());
}

/// Appends a frame without extensions whose body is `value`.
pub fn write_value<T: Serialize + ?Sized>(out: &mut Vec<u8>, kind: u8, id: u32, value: &T) {
    write(out, kind, 0, id, &[], |out| codec::encode(value, out));
}

/// Appends `body` as one frame, or as several that the receiver joins, each with at most
/// `chunk_bytes` of it (0 counts as 1). `flags` go on every one of them; all but the last bear
/// [`flag::MORE`].
pub fn write_chunked(
    out: &mut Vec<u8>,
    kind: u8,
    flags: u8,
    id: u32,
    body: &[u8],
    chunk_bytes: usize,
) {
    let chunk_bytes = chunk_bytes.max(1);
    let mut rest = body;
    while rest.len() > chunk_bytes {
        let (chunk, tail) = rest.split_at(chunk_bytes);
        write(out, kind, flags | flag::MORE, id, &[], |out| out.extend_from_slice(chunk));
        rest = tail;
    }
    write(out, kind, flags, id, &[], |out| out.extend_from_slice(rest));
}

/// A frame's extension block: entries of tag, length and data, skippable one by one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extensions<'a>(&'a [u8]);

impl<'a> Extensions<'a> {
    fn check(block: &'a [u8]) -> Result<Self, FrameError> {
        let mut rest = block;
        while !rest.is_empty() {
            rest = split_extension(rest).ok_or(FrameError::Extensions)?.2;
        }
        Ok(Self(block))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries, as tag and data.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (tag, data, tail) = split_extension(rest)?;
            rest = tail;
            Some((tag, data))
        })
    }

    /// The caller's deadline in milliseconds, if it gave one; one that is not four bytes is none.
    pub fn deadline_ms(&self) -> Option<u32> {
        let (_, data) = self.iter().find(|(tag, _)| tag & !ext::REQUIRED == ext::DEADLINE)?;
        Some(u32::from_le_bytes(data.try_into().ok()?))
    }

    /// Whether there is an entry with this tag, well-formed or not.
    pub fn has(&self, wanted: u8) -> bool {
        self.iter().any(|(tag, _)| tag & !ext::REQUIRED == wanted)
    }

    /// The write's place in its session, if it has one; data that is no number is none.
    pub fn number(&self) -> Option<Number> {
        let (_, data) = self.iter().find(|(tag, _)| tag & !ext::REQUIRED == ext::NUMBER)?;
        Number::from_bytes(data)
    }

    /// How new what a read shows must be; data that is no freshness is none.
    pub fn freshness(&self) -> Option<Freshness> {
        let (_, data) = self.iter().find(|(tag, _)| tag & !ext::REQUIRED == ext::FRESHNESS)?;
        Freshness::from_bytes(data)
    }

    /// The data of the session extension, if there is one.
    pub fn session(&self) -> Option<&'a [u8]> {
        // Without an iterator: the one search that a page makes.
        let mut rest = self.0;
        loop {
            let (tag, data, tail) = split_extension(rest)?;
            if tag & !ext::REQUIRED == ext::SESSION {
                return Some(data);
            }
            rest = tail;
        }
    }

    /// A tag that must be understood and is not, if there is one.
    pub fn unknown_required(&self) -> Option<u8> {
        self.iter()
            .filter(|(tag, _)| tag & ext::REQUIRED != 0)
            .find(|(tag, data)| match tag & !ext::REQUIRED {
                ext::DEADLINE => data.len() != 4,
                ext::SESSION => data.len() != 16 && Ask::from_bytes(data).is_none(),
                ext::NUMBER => Number::from_bytes(data).is_none(),
                ext::FRESHNESS => Freshness::from_bytes(data).is_none(),
                _ => true,
            })
            .map(|(tag, _)| tag)
    }
}

fn split_extension(block: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, low, high], rest) = block.split_first_chunk::<3>()?;
    let (data, rest) = rest.split_at_checked(u16::from_le_bytes([low, high]) as usize)?;
    Some((tag, data, rest))
}

/// The bytes are no frame. The connection cannot go on: where the next frame starts is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The length is over the receiver's limit.
    TooLarge {
        /// The length field's value.
        length: u32,
        /// The most that is taken.
        limit: u32,
    },
    /// The length leaves no room for a header.
    TooShort {
        /// The length field's value.
        length: u32,
    },
    /// The extension block runs over the frame or an entry runs over the block.
    Extensions,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { length, limit } => {
                write!(f, "a frame of {length} bytes is over the limit of {limit}")
            }
            Self::TooShort { length } => write!(f, "a frame of {length} bytes has no header"),
            Self::Extensions => f.write_str("a frame's extensions run over their end"),
        }
    }
}

impl core::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn extended(extensions: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, 0x10, 0, 7, extensions, |_| {});
        bytes
    }

    fn decoded(bytes: &[u8]) -> Frame<'_> {
        Frame::decode(bytes, u32::MAX).unwrap().unwrap().0
    }

    #[test]
    fn the_limit_is_checked_before_the_rest_arrives() {
        let claim = [0xFF, 0xFF, 0xFF, 0xFF];
        let refused = Frame::decode(&claim, 100);
        assert_eq!(refused, Err(FrameError::TooLarge { length: u32::MAX, limit: 100 }));
        assert_eq!(Frame::decode(&claim, u32::MAX), Ok(None));
        assert_eq!(Frame::decode(&[7, 0, 0, 0], 100), Err(FrameError::TooShort { length: 7 }));
    }

    #[test]
    fn unknown_extensions_are_skipped_unless_they_are_required() {
        let bytes = extended(&[(0x7E, b"??"), (ext::DEADLINE, &1000_u32.to_le_bytes())]);
        let extensions = decoded(&bytes).extensions;
        assert_eq!(extensions.deadline_ms(), Some(1000));
        assert_eq!(extensions.unknown_required(), None);
        let bytes = extended(&[(0xFE, b"")]);
        assert_eq!(decoded(&bytes).extensions.unknown_required(), Some(0xFE));
    }

    #[test]
    fn a_required_deadline_is_understood_if_it_is_well_formed() {
        let required = ext::DEADLINE | ext::REQUIRED;
        let bytes = extended(&[(required, &5_u32.to_le_bytes())]);
        assert_eq!(decoded(&bytes).extensions.deadline_ms(), Some(5));
        assert_eq!(decoded(&bytes).extensions.unknown_required(), None);
        let bytes = extended(&[(required, b"5")]);
        assert_eq!(decoded(&bytes).extensions.deadline_ms(), None);
        assert_eq!(decoded(&bytes).extensions.unknown_required(), Some(required));
    }

    #[test]
    fn a_required_number_or_session_is_understood_if_it_is_well_formed() {
        let number = Number { sequence: 2, oldest: 1 };
        for tag in [ext::NUMBER, ext::NUMBER | ext::REQUIRED] {
            let bytes = extended(&[(tag, &number.to_bytes())]);
            assert_eq!(decoded(&bytes).extensions.number(), Some(number));
            assert_eq!(decoded(&bytes).extensions.unknown_required(), None);
        }
        for tag in [ext::NUMBER | ext::REQUIRED, ext::SESSION | ext::REQUIRED] {
            let bytes = extended(&[(tag, b"?")]);
            assert_eq!(decoded(&bytes).extensions.unknown_required(), Some(tag));
        }
    }

    #[test]
    fn the_first_of_two_deadlines_counts() {
        let bytes = extended(&[(ext::DEADLINE, &[1, 0, 0, 0]), (ext::DEADLINE, &[2, 0, 0, 0])]);
        assert_eq!(decoded(&bytes).extensions.deadline_ms(), Some(1));
    }

    #[test]
    fn chunks_join_to_the_body() {
        let body = vec![5; 10];
        for chunk_bytes in 0..12 {
            let mut bytes = Vec::new();
            write_chunked(&mut bytes, 0x93, 0, 3, &body, chunk_bytes);
            let (mut joined, mut rest, mut more) = (Vec::new(), &bytes[..], true);
            while more {
                let (frame, length) = Frame::decode(rest, 100).unwrap().unwrap();
                assert!(frame.body.len() <= chunk_bytes.max(1));
                joined.extend_from_slice(frame.body);
                (rest, more) = (&rest[length..], frame.more());
            }
            assert_eq!((joined, rest.is_empty()), (body.clone(), true));
        }
    }
}
