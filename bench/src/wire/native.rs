//! Native frames over TCP, read and written by the crate that defines them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::error::ErrorBody;
use tidekeep_protocol::frame::{self, Frame, LENGTH_BYTES, kind};
use tidekeep_protocol::hello::{Hello, PREFACE, Welcome};
use tidekeep_protocol::op::{Get, GetReply, Operation, Put, WriteReply, WriteStatus};
use tidekeep_protocol::{VERSION, codec};

use super::{Answer, Broken, Shape, Step, Template, Wire};
use crate::content::KEY_BYTES;

/// Where a frame's id stands.
pub(super) const ID_AT: usize = 8;
/// Nothing that is asked for here is longer.
const FRAME_LIMIT: u32 = 8 << 20;

const GET: u8 = <Get<'_> as Operation>::SPEC.kind;
const PUT: u8 = <Put<'_> as Operation>::SPEC.kind;
const GET_REPLY: u8 = GET | kind::REPLY;
pub(super) const PUT_REPLY: u8 = PUT | kind::REPLY;

/// A connection by native frames.
pub struct Native;

impl Wire for Native {
    fn open(stream: &mut TcpStream) -> Result<Self, Broken> {
        greet(stream, &[])?;
        Ok(Self)
    }

    fn get() -> Template {
        let mut request = Vec::new();
        let get = Get { key: &[Template::KEY; KEY_BYTES] };
        frame::write_value(&mut request, GET, 0, &get);
        Template::find(&request, 0, &[ID_AT])
    }

    fn set(shape: Shape) -> Template {
        let value = vec![Template::VALUE; shape.value_bytes];
        let mut request = Vec::new();
        frame::write_value(&mut request, PUT, 0, &put(shape, &value));
        Template::find(&request, shape.value_bytes, &[ID_AT])
    }

    fn next<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Broken> {
        step(input)
    }

    fn pong(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if let Ok(Some((frame, _))) = Frame::decode(input, FRAME_LIMIT)
            && frame.kind == kind::PING
        {
            frame::write(out, kind::PONG, 0, frame.id, &[], |_| ());
        }
    }
}

/// A put of `value`, as a template is made of.
pub(super) fn put(shape: Shape, value: &[u8]) -> Put<'_> {
    Put {
        key: &[Template::KEY; KEY_BYTES],
        value,
        condition: Condition::Always,
        expiry: shape.ttl_ms.map_or(Expiry::Never, Expiry::After),
        previous: false,
    }
}

/// Says hello with these extensions and waits to be welcome.
pub(super) fn greet(stream: &mut TcpStream, extensions: &[(u8, &[u8])]) -> Result<(), Broken> {
    stream.write_all(&greeting(extensions))?;
    let mut length = [0; LENGTH_BYTES];
    stream.read_exact(&mut length)?;
    let mut bytes = length.to_vec();
    bytes.resize(LENGTH_BYTES + u32::from_le_bytes(length).min(FRAME_LIMIT) as usize, 0);
    stream.read_exact(&mut bytes[LENGTH_BYTES..])?;
    welcome(&bytes).map(drop)
}

/// Preface and hello.
pub(super) fn greeting(extensions: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = PREFACE.to_vec();
    let software = concat!("tidekeep-load ", env!("CARGO_PKG_VERSION"));
    let hello = Hello { version_min: VERSION, version_max: VERSION, features: 0, software };
    frame::write(&mut out, kind::HELLO, 0, 0, extensions, |out| codec::encode(&hello, out));
    out
}

/// Checks that the first frame is a welcome; its length.
pub(super) fn welcome(bytes: &[u8]) -> Result<usize, Broken> {
    match Frame::decode(bytes, FRAME_LIMIT) {
        Ok(Some((frame, length))) if frame.kind == kind::WELCOME => {
            codec::decode::<Welcome<'_>>(frame.body)
                .map_err(|error| Broken::protocol(error.to_string()))?;
            Ok(length)
        }
        Ok(Some((frame, _))) => Err(Broken::protocol(format!("{} for a welcome", said(&frame)))),
        Ok(None) => Err(Broken::protocol("half a welcome")),
        Err(error) => Err(Broken::protocol(error.to_string())),
    }
}

/// Reads the frame that `input` begins with.
pub(super) fn step(input: &[u8]) -> Result<Step<'_>, Broken> {
    let decoded = Frame::decode(input, FRAME_LIMIT);
    let Some((frame, bytes)) = decoded.map_err(|error| Broken::protocol(error.to_string()))? else {
        return Ok(Step::Incomplete);
    };
    let malformed = |_| Broken::protocol("a malformed body");
    let answer = match frame.kind {
        GET_REPLY => match codec::decode::<GetReply<'_>>(frame.body).map_err(malformed)?.entry {
            Some(stored) => Answer::Value(stored.value),
            None => Answer::Missing,
        },
        PUT_REPLY => match codec::decode::<WriteReply<'_>>(frame.body).map_err(malformed)?.status {
            WriteStatus::Applied => Answer::Written,
            status => Answer::Refused(format!("{status:?}")),
        },
        kind::ERROR if frame.id != 0 => Answer::Refused(said(&frame)),
        kind::PING | kind::PONG | kind::GOING_AWAY => return Ok(Step::Skip(bytes)),
        _ => return Err(Broken::protocol(said(&frame))),
    };
    Ok(Step::Reply { id: Some(frame.id), answer, bytes })
}

/// What a frame that nobody waited for says.
fn said(frame: &Frame<'_>) -> String {
    match codec::decode::<ErrorBody<'_>>(frame.body) {
        Ok(error) if frame.kind == kind::ERROR => format!("the error {error:?}"),
        _ => format!("a frame of kind {:#04x}", frame.kind),
    }
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::op::Request;

    use super::*;

    const KEY: &[u8; KEY_BYTES] = b"0123456789abcdef";

    #[test]
    fn templates_become_whole_requests() {
        let mut out = Vec::new();
        Native::get().write(&mut out, Native.id(7), KEY, |_| ());
        let (frame, bytes) = Frame::decode(&out, FRAME_LIMIT).unwrap().unwrap();
        assert_eq!((frame.id, bytes), (7, out.len()));
        let get = Request::decode(frame.kind, frame.body).unwrap().unwrap();
        assert_eq!(get, Request::Get(Get { key: KEY }));

        out.clear();
        let set = Native::set(Shape { value_bytes: 300, ttl_ms: Some(5) });
        set.write(&mut out, Native.id(8), KEY, |out| out.extend_from_slice(&[b'v'; 300]));
        let (frame, _) = Frame::decode(&out, FRAME_LIMIT).unwrap().unwrap();
        let Some(Ok(Request::Put(put))) = Request::decode(frame.kind, frame.body) else {
            unreachable!("a put is a put");
        };
        assert_eq!((put.key, put.value), (&KEY[..], &[b'v'; 300][..]));
        assert_eq!((put.condition, put.expiry), (Condition::Always, Expiry::After(5)));
    }

    #[test]
    fn an_error_is_no_success() {
        let mut bytes = Vec::new();
        let reply = WriteReply { revision: 3, status: WriteStatus::Refused, entry: None };
        frame::write_value(&mut bytes, PUT_REPLY, 4, &reply);
        let answer = Answer::Refused("Refused".into());
        let refused = Step::Reply { id: Some(4), answer, bytes: bytes.len() };
        assert_eq!(step(&bytes).unwrap(), refused);
        assert_eq!(step(&bytes[..bytes.len() - 1]).unwrap(), Step::Incomplete);
        bytes.clear();
        frame::write(&mut bytes, kind::WELCOME, 0, 0, &[], |_| ());
        assert!(step(&bytes).is_err());
    }
}
