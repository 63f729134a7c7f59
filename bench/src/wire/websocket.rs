//! Native frames in WebSocket messages: those of one batch share a message, masked as a client's
//! must be. Written by hand, since a library's cost would be the generator's.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tidekeep_protocol::hello::{WEBSOCKET_PATH, WEBSOCKET_SUBPROTOCOL};
use tidekeep_protocol::limits::Limits;

use super::native::{self, Native};
use super::{Broken, Shape, Step, Template, Wire};

/// The nonce of RFC 6455's own example, and what a server makes of it.
const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Room for the longest header of a message up to the limit: two bytes, length, mask.
const HEADER_ROOM: usize = 8;
/// Longest answer to the upgrade.
const ANSWER_BYTES: usize = 4_096;

/// A connection by native frames in WebSocket messages.
pub struct WebSocket {
    /// Bytes of the message under way that are still to be read.
    left: usize,
    masks: fastrand::Rng,
}

impl Wire for WebSocket {
    fn open(stream: &mut TcpStream) -> Result<Self, Broken> {
        let request = format!(
            "GET {WEBSOCKET_PATH} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: {NONCE}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: {WEBSOCKET_SUBPROTOCOL}\r\n\r\n",
            stream.peer_addr()?
        );
        stream.write_all(request.as_bytes())?;
        read_upgrade(stream)?;
        let mut this = Self { left: 0, masks: fastrand::Rng::with_seed(7) };
        let mut out = Vec::new();
        this.begin(&mut out);
        out.extend_from_slice(&native::greeting(&[]));
        this.end(&mut out, 0);
        stream.write_all(&out)?;
        let mut head = [0; 2];
        stream.read_exact(&mut head)?;
        let mut bytes = vec![0; usize::from(head[1])];
        if head != [FINAL | BINARY, head[1] & 0x7F] || bytes.len() > 125 {
            // The length's two more bytes.
            let mut more = [0; 2];
            stream.read_exact(&mut more)?;
            bytes.resize(usize::from(u16::from_be_bytes(more)), 0);
        }
        stream.read_exact(&mut bytes)?;
        native::welcome(&bytes)?;
        Ok(this)
    }

    fn get() -> Template {
        Native::get()
    }

    fn set(shape: Shape) -> Template {
        Native::set(shape)
    }

    fn message_bytes(&self) -> usize {
        // Its length fits the header's two bytes.
        Limits::DEFAULT.message_bytes.min(u32::from(u16::MAX)) as usize
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0; HEADER_ROOM]);
    }

    fn end(&mut self, out: &mut Vec<u8>, start: usize) {
        let mask = self.masks.u32(..).to_ne_bytes();
        seal(out, start, BINARY, mask);
    }

    fn next<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Broken> {
        if self.left > 0 {
            // Frames never span messages, so the rest of a message is whole frames.
            let within = &input[..input.len().min(self.left)];
            let step = native::step(within)?;
            match &step {
                Step::Incomplete if input.len() >= self.left => {
                    return Err(Broken::protocol("a message that ends within a frame"));
                }
                Step::Incomplete => {}
                Step::Skip(bytes) | Step::Reply { bytes, .. } => self.left -= bytes,
            }
            return Ok(step);
        }
        let Some(head) = Head::read(input)? else { return Ok(Step::Incomplete) };
        match head.opcode {
            BINARY | CONTINUATION => {
                self.left = head.payload;
                Ok(Step::Skip(head.bytes))
            }
            PING | PONG if input.len() < head.bytes + head.payload => Ok(Step::Incomplete),
            PING | PONG => Ok(Step::Skip(head.bytes + head.payload)),
            opcode => Err(Broken::protocol(format!("a message of kind {opcode}"))),
        }
    }

    fn pong(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        self.begin(out);
        if self.left > 0 {
            Native.pong(input, out);
            if out.len() > start + HEADER_ROOM {
                self.end(out, start);
                return;
            }
        } else if let Ok(Some(head)) = Head::read(input)
            && head.opcode == PING
        {
            let payload = head.bytes..head.bytes + head.payload;
            out.extend_from_slice(input.get(payload).unwrap_or_default());
            let mask = self.masks.u32(..).to_ne_bytes();
            seal(out, start, PONG, mask);
            return;
        }
        out.truncate(start);
    }
}

/// The header of a server's message.
struct Head {
    opcode: u8,
    /// Of the header itself.
    bytes: usize,
    payload: usize,
}

impl Head {
    fn read(input: &[u8]) -> Result<Option<Self>, Broken> {
        let Some((&[first, second], rest)) = input.split_first_chunk::<2>() else {
            return Ok(None);
        };
        if second & MASKED != 0 {
            return Err(Broken::protocol("a masked message from a server"));
        }
        let opcode = first & 0x0F;
        let (bytes, payload) = match second {
            126 => match rest.split_first_chunk::<2>() {
                Some((length, _)) => (4, u64::from(u16::from_be_bytes(*length))),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk::<8>() {
                Some((length, _)) => (10, u64::from_be_bytes(*length)),
                None => return Ok(None),
            },
            short => (2, u64::from(short)),
        };
        let payload =
            usize::try_from(payload).map_err(|_| Broken::protocol("a message that is too long"))?;
        Ok(Some(Self { opcode, bytes, payload }))
    }
}

/// Puts the header before a payload that stands [`HEADER_ROOM`] behind `start`, and masks it.
fn seal(out: &mut Vec<u8>, start: usize, opcode: u8, mask: [u8; 4]) {
    let payload_at = start + HEADER_ROOM;
    let length = out.len() - payload_at;
    apply(mask, &mut out[payload_at..]);
    let first = FINAL | opcode;
    if length > 125 {
        let [high, low] =
            u16::try_from(length).expect("a message's bytes are bounded").to_be_bytes();
        out[start..start + 4].copy_from_slice(&[first, MASKED | 126, high, low]);
        out[start + 4..payload_at].copy_from_slice(&mask);
    } else {
        let short = MASKED | length as u8;
        out[start + 2..start + 4].copy_from_slice(&[first, short]);
        out[start + 4..payload_at].copy_from_slice(&mask);
        out.drain(start..start + 2);
    }
}

fn apply(mask: [u8; 4], payload: &mut [u8]) {
    let word = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let mut words = payload.chunks_exact_mut(8);
    for eight in &mut words {
        let masked = u64::from_ne_bytes(eight.try_into().expect("eight bytes")) ^ word;
        eight.copy_from_slice(&masked.to_ne_bytes());
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Reads the server's answer to the upgrade, and not a byte more.
fn read_upgrade(stream: &mut TcpStream) -> Result<(), Broken> {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
        if answer.len() > ANSWER_BYTES {
            return Err(Broken::protocol("an endless answer to the upgrade"));
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(&answer).map_err(|error| Broken::protocol(error.to_string()))?;
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map_or(&b""[..], |header| header.value)
    };
    let subprotocol = header("Sec-WebSocket-Protocol");
    if response.code != Some(101)
        || header("Sec-WebSocket-Accept") != ACCEPT.as_bytes()
        || subprotocol != WEBSOCKET_SUBPROTOCOL.as_bytes()
    {
        let text = String::from_utf8_lossy(&answer).into_owned();
        return Err(Broken::protocol(format!("no upgrade: {text}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> WebSocket {
        WebSocket { left: 0, masks: fastrand::Rng::with_seed(1) }
    }

    #[test]
    fn a_message_is_masked_and_has_the_shortest_header() {
        for length in [0, 1, 7, 125, 126, 1_000, 65_535] {
            let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut out = b"before".to_vec();
            let mut wire = fresh();
            wire.begin(&mut out);
            out.extend_from_slice(&payload);
            wire.end(&mut out, 6);
            let message = &out[6..];
            let header = if length > 125 { 4 } else { 2 };
            assert_eq!(message.len(), header + 4 + length);
            assert_eq!(message[0], 0x82);
            assert_eq!(message[1] & 0x7F, if length > 125 { 126 } else { length as u8 });
            let mask: [u8; 4] = message[header..header + 4].try_into().unwrap();
            let mut plain = message[header + 4..].to_vec();
            apply(mask, &mut plain);
            assert_eq!(plain, payload);
        }
    }

    #[test]
    fn frames_that_share_a_message_are_read_one_by_one() {
        let mut frames = Vec::new();
        for id in [1, 2] {
            tidekeep_protocol::frame::write(&mut frames, 0x03, 0, id, &[], |_| ());
        }
        let mut input = vec![0x82, frames.len() as u8];
        input.extend_from_slice(&frames);
        let mut wire = fresh();
        assert_eq!(wire.next(&input).unwrap(), Step::Skip(2));
        assert_eq!(wire.next(&input[2..]).unwrap(), Step::Skip(12));
        assert_eq!(wire.next(&input[14..]).unwrap(), Step::Skip(12));
        assert_eq!(wire.left, 0);
        assert_eq!(wire.next(&[0x89, 1]).unwrap(), Step::Incomplete);
        assert_eq!(wire.next(&[0x89, 1, b'p']).unwrap(), Step::Skip(3));
        assert!(wire.next(&[0x81, 0]).is_err());
        assert!(wire.next(&[0x82, 0x81]).is_err());
    }

    #[test]
    fn a_message_that_ends_within_a_frame_is_an_error() {
        let mut wire = fresh();
        assert_eq!(wire.next(&[0x82, 5, 8, 0, 0, 0, 3]).unwrap(), Step::Skip(2));
        assert!(wire.next(&[8, 0, 0, 0, 3]).is_err());
    }
}
