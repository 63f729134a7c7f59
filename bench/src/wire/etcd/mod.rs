//! etcd's puts and ranges by gRPC, as lean as the other protocols here: what a general client costs
//! would be taken from the servers, which share the machine with the generator. `frames` are HTTP/2's,
//! `message` is protobuf's.
//!
//! ```text
//! request: | HEADERS, six bytes of what both sides remember | DATA: 0, length u32, message |
//! ```

mod frames;
mod message;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use self::frames::{END_HEADERS, END_STREAM, Frame, HEADER_BYTES};
use super::{Answer, Broken, Shape, Step, Template, Wire};
use crate::content::KEY_BYTES;

/// The longest value whose request is one frame.
pub const VALUE_BYTES_MAX: u32 = 16_000;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The server remembers no headers of ours beyond the first two requests', and we none of its.
const SETTINGS: [u8; 6] = [0, 1, 0, 0, 0, 0];
/// What a window begins with.
const WINDOW_BYTES: u32 = 65_535;
/// What ours is made on a new connection.
const WINDOW_MAX: u32 = (1 << 31) - 1;
/// So much is read before the window is opened again.
const WINDOW_STEP: u32 = 1 << 24;
/// The first two streams are the greeting's.
const FIRST_STREAM: u32 = 5;

/// A connection to etcd.
pub struct Etcd {
    /// The next batch's first stream, and this one's.
    next_stream: u32,
    batch_stream: u32,
    /// Requests that are not answered.
    open: u32,
    /// Streams of which the message came and the end did not.
    answered: Vec<u32>,
    /// Bytes that came since the window was last opened.
    read_bytes: u32,
    /// What is to be sent with the next batch: acknowledgements and windows.
    owed: Vec<u8>,
}

impl Wire for Etcd {
    fn open(stream: &mut TcpStream) -> Result<Self, Broken> {
        let mut out = PREFACE.to_vec();
        frames::write(&mut out, frames::SETTINGS, 0, 0, &SETTINGS);
        frames::write(
            &mut out,
            frames::WINDOW_UPDATE,
            0,
            0,
            &(WINDOW_MAX - WINDOW_BYTES).to_be_bytes(),
        );
        // Neither does anything, as there is no key in them; the headers are remembered.
        for (stream, headers) in [(1, frames::range_remembered()), (3, frames::put_remembered())] {
            frames::write(&mut out, frames::HEADERS, END_HEADERS, stream, &headers);
            frames::write(&mut out, frames::DATA, END_STREAM, stream, &message::prefixed(&[]));
        }
        stream.write_all(&out)?;
        let mut this = Self {
            next_stream: FIRST_STREAM,
            batch_stream: 1,
            open: 2,
            answered: Vec::new(),
            read_bytes: 0,
            owed: Vec::new(),
        };
        let mut waiting = 2;
        while waiting > 0 {
            let bytes = read_frame(stream)?;
            waiting -= usize::from(matches!(this.next(&bytes)?, Step::Reply { .. }));
        }
        Ok(this)
    }

    fn get() -> Template {
        request(&frames::RANGE, &message::range(&[Template::KEY; KEY_BYTES]), 0)
    }

    fn set(shape: Shape) -> Template {
        let value = vec![Template::VALUE; shape.value_bytes];
        let put = message::put(&[Template::KEY; KEY_BYTES], &value);
        request(&frames::PUT, &put, shape.value_bytes)
    }

    fn id(&mut self, place: u32) -> [u8; 4] {
        let stream = self.batch_stream + 2 * (place - 1);
        self.next_stream = stream + 2;
        self.open += 1;
        stream.to_be_bytes()
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.open == 0 {
            self.batch_stream = self.next_stream;
        }
        out.append(&mut self.owed);
    }

    fn next<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Broken> {
        let Some(frame) = Frame::read(input)? else { return Ok(Step::Incomplete) };
        let bytes = frame.bytes();
        let answer = match frame.kind {
            frames::DATA => {
                self.count(frame.payload.len());
                if !frame.ends_stream() {
                    self.answered.push(frame.stream);
                }
                Some(message::answer(frame.payload)?)
            }
            frames::HEADERS if frame.ends_stream() => {
                match self.answered.iter().position(|stream| *stream == frame.stream) {
                    Some(place) => {
                        self.answered.swap_remove(place);
                        None
                    }
                    None => Some(Answer::Refused("an error of gRPC".to_owned())),
                }
            }
            // Without an error: the answer was whole before the request was read to its end.
            frames::RST_STREAM if frame.payload == [0; 4] => None,
            frames::RST_STREAM => Some(Answer::Refused("the stream was reset".to_owned())),
            frames::GOAWAY => return Err(Broken::protocol("the server goes away")),
            _ => {
                frame.acknowledge(&mut self.owed);
                None
            }
        };
        Ok(match answer {
            Some(answer) => {
                self.open = self.open.saturating_sub(1);
                Step::Reply { id: Some(self.place(frame.stream)?), answer, bytes }
            }
            None => Step::Skip(bytes),
        })
    }

    fn pong(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if let Ok(Some(frame)) = Frame::read(input) {
            frame.acknowledge(out);
        }
    }
}

impl Etcd {
    /// Which request of the batch a stream is.
    fn place(&self, stream: u32) -> Result<u32, Broken> {
        let behind = stream.checked_sub(self.batch_stream);
        behind
            .map(|behind| behind / 2 + 1)
            .ok_or_else(|| Broken::protocol("a frame of a stream that is long done"))
    }

    /// Opens the window again before it is used up.
    fn count(&mut self, bytes: usize) {
        self.read_bytes += bytes as u32;
        if self.read_bytes >= WINDOW_STEP {
            let step = self.read_bytes.to_be_bytes();
            frames::write(&mut self.owed, frames::WINDOW_UPDATE, 0, 0, &step);
            self.read_bytes = 0;
        }
    }
}

/// Headers and message in one template.
fn request(headers: &[u8], message: &[u8], value_bytes: usize) -> Template {
    let mut out = Vec::new();
    frames::write(&mut out, frames::HEADERS, END_HEADERS, 0, headers);
    let data_at = out.len();
    frames::write(&mut out, frames::DATA, END_STREAM, 0, &message::prefixed(message));
    Template::find(&out, value_bytes, &[frames::STREAM_AT, data_at + frames::STREAM_AT])
}

fn read_frame(stream: &mut TcpStream) -> Result<Vec<u8>, Broken> {
    let mut bytes = vec![0; HEADER_BYTES];
    stream.read_exact(&mut bytes)?;
    bytes.resize(HEADER_BYTES + frames::payload_bytes(&bytes)?, 0);
    stream.read_exact(&mut bytes[HEADER_BYTES..])?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8; KEY_BYTES] = b"0123456789abcdef";

    fn connection() -> Etcd {
        Etcd {
            next_stream: 5,
            batch_stream: 5,
            open: 0,
            answered: Vec::new(),
            read_bytes: 0,
            owed: Vec::new(),
        }
    }

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frames::write(&mut out, kind, flags, stream, payload);
        out
    }

    #[test]
    fn a_request_is_headers_and_a_message_on_a_stream_of_its_own() {
        let mut wire = connection();
        let set = Etcd::set(Shape { value_bytes: 300, ttl_ms: None });
        for expected in [5, 7] {
            let mut out = Vec::new();
            wire.begin(&mut out);
            set.write(&mut out, wire.id(1), KEY, |out| out.extend_from_slice(&[b'v'; 300]));
            let headers = Frame::read(&out).unwrap().unwrap();
            assert_eq!((headers.kind, headers.stream), (frames::HEADERS, expected));
            let data = Frame::read(&out[headers.bytes()..]).unwrap().unwrap();
            assert_eq!((data.kind, data.stream), (frames::DATA, expected));
            assert!(data.ends_stream() && data.payload.ends_with(&[b'v'; 300]));
            assert_eq!(headers.bytes() + data.bytes(), out.len());
            let answer = frame(frames::DATA, 0, expected, &message::prefixed(&[0x0A, 0]));
            assert!(matches!(wire.next(&answer).unwrap(), Step::Reply { id: Some(1), .. }));
        }
    }

    #[test]
    fn a_request_beside_others_is_known_by_a_later_place() {
        let mut wire = connection();
        let answer = |stream| frame(frames::DATA, 0, stream, &message::prefixed(&[0x0A, 0]));
        wire.begin(&mut Vec::new());
        assert_eq!([1, 2].map(|place| wire.id(place)), [5_u32, 7].map(u32::to_be_bytes));
        let Step::Reply { id, .. } = wire.next(&answer(5)).unwrap() else { unreachable!() };
        assert_eq!(id, Some(1));
        wire.begin(&mut Vec::new());
        assert_eq!(wire.id(3), 9_u32.to_be_bytes());
        for (stream, place) in [(9, 3), (7, 2)] {
            let bytes = answer(stream);
            let Step::Reply { id, .. } = wire.next(&bytes).unwrap() else { unreachable!() };
            assert_eq!(id, Some(place));
        }
    }

    #[test]
    fn a_message_answers_and_an_end_without_one_refuses() {
        let mut wire = connection();
        let data = frame(frames::DATA, 0, 5, &message::prefixed(&[0x0A, 0]));
        let written = Step::Reply { id: Some(1), answer: Answer::Written, bytes: data.len() };
        assert_eq!(wire.next(&data).unwrap(), written);
        let end = frame(frames::HEADERS, END_HEADERS | END_STREAM, 5, b"xy");
        assert_eq!(wire.next(&end).unwrap(), Step::Skip(end.len()));
        let Step::Reply { answer, .. } = wire.next(&end).unwrap() else {
            unreachable!("an end without a message is a reply");
        };
        assert!(matches!(answer, Answer::Refused(_)));
        assert_eq!(wire.next(&end[..end.len() - 1]).unwrap(), Step::Incomplete);
        let reset = frame(frames::RST_STREAM, 0, 5, &[0; 4]);
        assert_eq!(wire.next(&reset).unwrap(), Step::Skip(reset.len()));
        assert!(wire.next(&frame(frames::GOAWAY, 0, 0, &[0; 8])).is_err());
    }

    #[test]
    fn what_is_owed_goes_with_the_next_batch() {
        let mut wire = connection();
        let ping = frame(frames::PING, 0, 0, b"12345678");
        assert_eq!(wire.next(&ping).unwrap(), Step::Skip(ping.len()));
        let mut out = Vec::new();
        wire.begin(&mut out);
        assert_eq!(out, frame(frames::PING, frames::ACK, 0, b"12345678"));
        out.clear();
        wire.begin(&mut out);
        assert!(out.is_empty());
    }
}
