//! HTTP/2 frames, and the headers of the two requests as HPACK has them. After the greeting both sides
//! remember the headers, as with any client that lives long, and a request names them by six bytes.
//!
//! ```text
//! | length u24 | kind u8 | flags u8 | stream u32 | payload |
//! ```

use crate::wire::Broken;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) const HEADER_BYTES: usize = 9;
/// Where a frame's stream stands.
pub(super) const STREAM_AT: usize = 5;
/// Nobody may send a longer payload unless it was allowed.
const PAYLOAD_MAX: usize = 16_384;

/// Method and scheme by the static table; path, authority, content type and `te` by what is remembered.
pub(super) const RANGE: [u8; 6] = [POST, HTTP, 0x80 | 66, 0x80 | 65, 0x80 | 64, 0x80 | 63];
/// The same with the other path, which was remembered last.
pub(super) const PUT: [u8; 6] = [POST, HTTP, 0x80 | 62, 0x80 | 65, 0x80 | 64, 0x80 | 63];

const POST: u8 = 0x80 | 3;
const HTTP: u8 = 0x80 | 6;
/// Literals to be remembered, by their names' places in the static table, and one with a new name.
const PATH: u8 = 0x40 | 4;
const AUTHORITY: u8 = 0x40 | 1;
const CONTENT_TYPE: u8 = 0x40 | 31;
const NEW_NAME: u8 = 0x40;

/// The greeting's first headers: those of a range, to be remembered.
pub(super) fn range_remembered() -> Vec<u8> {
    let mut out = vec![POST, HTTP];
    literal(&mut out, PATH, b"/etcdserverpb.KV/Range");
    literal(&mut out, AUTHORITY, b"etcd");
    literal(&mut out, CONTENT_TYPE, b"application/grpc");
    out.push(NEW_NAME);
    text(&mut out, b"te");
    text(&mut out, b"trailers");
    out
}

/// Its second: those of a put. What they add moves what was there one place on.
pub(super) fn put_remembered() -> Vec<u8> {
    let mut out = vec![POST, HTTP];
    literal(&mut out, PATH, b"/etcdserverpb.KV/Put");
    out.extend_from_slice(&PUT[3..]);
    out
}

fn literal(out: &mut Vec<u8>, name: u8, value: &[u8]) {
    out.push(name);
    text(out, value);
}

/// Short, and not by Huffman's code.
fn text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

/// A frame as it arrived.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame that `input` begins with; none while it is not whole.
    pub(super) fn read(input: &'a [u8]) -> Result<Option<Self>, Broken> {
        let Some((header, rest)) = input.split_at_checked(HEADER_BYTES) else { return Ok(None) };
        let Some(payload) = rest.get(..payload_bytes(header)?) else { return Ok(None) };
        let stream = u32::from_be_bytes([header[5] & 0x7F, header[6], header[7], header[8]]);
        Ok(Some(Self { kind: header[3], flags: header[4], stream, payload }))
    }

    /// Its length with its header.
    pub(super) fn bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    pub(super) fn ends_stream(&self) -> bool {
        self.flags & END_STREAM != 0
    }

    /// Appends the acknowledgement that the frame asks for, if it does.
    pub(super) fn acknowledge(&self, out: &mut Vec<u8>) {
        match self.kind {
            SETTINGS if self.flags & ACK == 0 => write(out, SETTINGS, ACK, 0, &[]),
            PING if self.flags & ACK == 0 => write(out, PING, ACK, 0, self.payload),
            _ => {}
        }
    }
}

/// The length of the payload behind a header.
pub(super) fn payload_bytes(header: &[u8]) -> Result<usize, Broken> {
    let length =
        usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
    if length > PAYLOAD_MAX {
        return Err(Broken::protocol(format!("a frame of {length} bytes")));
    }
    Ok(length)
}

/// Appends a frame; its payload is no longer than anybody may send.
pub(super) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}
