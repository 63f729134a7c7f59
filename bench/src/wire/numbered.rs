//! Native frames as the project's own clients send them: each connection has a session, each write bears
//! its number in it, by which the server would know a second copy, and each request its deadline.

use std::collections::VecDeque;
use std::net::TcpStream;

use tidekeep_protocol::codec;
use tidekeep_protocol::frame::{self, HEADER_BYTES, ext};
use tidekeep_protocol::op::{Get, Operation, Put};
use tidekeep_protocol::session::Number;

use super::native::{self, Native};
use super::{Broken, Shape, Step, Template, Wire};
use crate::content::KEY_BYTES;

/// As clients have it unless they are told otherwise.
const DEADLINE_MS: u32 = 10_000;
/// Tag and length of an extension.
const EXTENSION_BYTES: usize = 3;
/// Where a write's number stands: behind the deadline.
const NUMBER_AT: usize = HEADER_BYTES + EXTENSION_BYTES + 4 + EXTENSION_BYTES;
/// Where a frame's kind stands.
const KIND_AT: usize = 4;

const GET: u8 = <Get<'_> as Operation>::SPEC.kind;
const PUT: u8 = <Put<'_> as Operation>::SPEC.kind;

/// A connection whose writes are numbered.
pub struct Numbered {
    /// The next write's number.
    sequence: u64,
    /// The place of the request that is being made.
    place: u32,
    /// Writes that are not answered, by their places and numbers.
    open: VecDeque<(u32, u64)>,
}

impl Wire for Numbered {
    fn open(stream: &mut TcpStream) -> Result<Self, Broken> {
        native::greet(stream, &[(ext::SESSION, &[])])?;
        Ok(Self { sequence: 1, place: 0, open: VecDeque::new() })
    }

    fn get() -> Template {
        let get = Get { key: &[Template::KEY; KEY_BYTES] };
        let mut request = Vec::new();
        let deadline = (ext::DEADLINE, &DEADLINE_MS.to_le_bytes()[..]);
        frame::write(&mut request, GET, 0, 0, &[deadline], |out| codec::encode(&get, out));
        Template::find(&request, 0, &[native::ID_AT])
    }

    fn set(shape: Shape) -> Template {
        let mut request = Vec::new();
        let number = Number { sequence: 1, oldest: 1 }.to_bytes();
        let extensions =
            [(ext::DEADLINE, &DEADLINE_MS.to_le_bytes()[..]), (ext::NUMBER, &number[..])];
        let value = vec![Template::VALUE; shape.value_bytes];
        let put = native::put(shape, &value);
        frame::write(&mut request, PUT, 0, 0, &extensions, |out| codec::encode(&put, out));
        Template::find(&request, shape.value_bytes, &[native::ID_AT])
    }

    fn id(&mut self, place: u32) -> [u8; 4] {
        self.place = place;
        Native.id(place)
    }

    fn seal(&mut self, request: &mut [u8]) {
        if request[KIND_AT] == PUT {
            self.open.push_back((self.place, self.sequence));
            let oldest = self.open.front().map_or(self.sequence, |(_, sequence)| *sequence);
            let number = Number { sequence: self.sequence, oldest };
            request[NUMBER_AT..NUMBER_AT + Number::BYTES].copy_from_slice(&number.to_bytes());
            self.sequence += 1;
        }
    }

    fn next<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Broken> {
        let step = native::step(input)?;
        if let Step::Reply { id: Some(place), .. } = step
            && let Some(at) = self.open.iter().position(|(open, _)| *open == place)
        {
            self.open.remove(at);
        }
        Ok(step)
    }

    fn pong(&mut self, input: &[u8], out: &mut Vec<u8>) {
        Native.pong(input, out);
    }
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::frame::Frame;
    use tidekeep_protocol::op::{WriteReply, WriteStatus};

    use super::*;

    const KEY: &[u8; KEY_BYTES] = b"0123456789abcdef";

    #[test]
    fn writes_are_numbered_and_say_which_are_not_answered_and_reads_are_not() {
        let mut wire = Numbered { sequence: 1, place: 0, open: VecDeque::new() };
        let (get, set) = (Numbered::get(), Numbered::set(Shape { value_bytes: 9, ttl_ms: None }));
        let mut told = Vec::new();
        let mut write = |wire: &mut Numbered, template: &Template, place: u32, value: &[u8]| {
            let mut out = Vec::new();
            template.write(&mut out, wire.id(place), KEY, |out| out.extend_from_slice(value));
            wire.seal(&mut out);
            let (frame, bytes) = Frame::decode(&out, 1 << 20).unwrap().unwrap();
            assert_eq!((bytes, frame.id), (out.len(), place));
            assert_eq!(frame.extensions.deadline_ms(), Some(DEADLINE_MS));
            told.push(frame.extensions.number().map(|it| (it.sequence, it.oldest)));
        };
        for (template, place, value) in
            [(&set, 1, &b"some text"[..]), (&get, 2, b""), (&set, 3, b"some text")]
        {
            write(&mut wire, template, place, value);
        }
        let answer = |wire: &mut Numbered, place| {
            let reply = WriteReply { revision: 1, status: WriteStatus::Applied, entry: None };
            let mut bytes = Vec::new();
            frame::write_value(&mut bytes, native::PUT_REPLY, place, &reply);
            assert!(matches!(wire.next(&bytes).unwrap(), Step::Reply { .. }));
        };
        answer(&mut wire, 3);
        write(&mut wire, &set, 4, b"some text");
        answer(&mut wire, 1);
        write(&mut wire, &set, 5, b"some text");
        answer(&mut wire, 4);
        answer(&mut wire, 5);
        write(&mut wire, &set, 1, b"some text");
        assert_eq!(
            told,
            [Some((1, 1)), None, Some((2, 1)), Some((3, 1)), Some((4, 3)), Some((5, 5))]
        );
    }
}
