//! Requests and replies of each protocol. A request is a template with a hole for the key; a reply
//! is read where it lies. Nothing here waits: the loops in [`crate::load`] move the bytes.

pub mod etcd;
pub mod native;
pub mod numbered;
pub mod resp;
pub mod websocket;

use std::io;
use std::net::TcpStream;

use thiserror::Error;

use crate::content::KEY_BYTES;

/// Why a connection cannot go on.
#[derive(Debug, Error)]
pub enum Broken {
    /// The system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server said something that the protocol does not allow here.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The protocol has no words for what was asked of the generator.
    #[error("{0}")]
    Refused(&'static str),
}

impl Broken {
    /// Because of what the server said.
    pub fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol(what.into())
    }
}

/// What a connection asks for.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Length of every value that is written.
    pub value_bytes: usize,
    /// Written keys end by themselves after so many milliseconds.
    pub ttl_ms: Option<u64>,
}

/// What a reply says.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The key's value.
    Value(&'a [u8]),
    /// The key is not there.
    Missing,
    /// The write was applied.
    Written,
    /// The request was refused or failed.
    Refused(String),
}

/// The next thing in the bytes that arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// More has to arrive first.
    Incomplete,
    /// So many bytes that answer no request.
    Skip(usize),
    /// A reply.
    Reply {
        /// Of which request; replies without an id come in the requests' order.
        id: Option<u32>,
        /// What it says.
        answer: Answer<'a>,
        /// Its length.
        bytes: usize,
    },
}

/// One connection's protocol.
pub trait Wire: Sized {
    /// Says hello on a fresh, blocking connection.
    fn open(stream: &mut TcpStream) -> Result<Self, Broken>;

    /// The request for a key's value.
    fn get() -> Template;

    /// The request that writes a value.
    fn set(shape: Shape) -> Template;

    /// Most bytes of requests in one message, where there are messages.
    fn message_bytes(&self) -> usize {
        usize::MAX
    }

    /// The bytes by which the request at this place is known: places are counted from 1 since all
    /// requests were answered last.
    fn id(&mut self, place: u32) -> [u8; 4] {
        place.to_le_bytes()
    }

    /// Called before the first request of a message.
    fn begin(&mut self, _out: &mut Vec<u8>) {}

    /// Called with each request once it is whole.
    fn seal(&mut self, _request: &mut [u8]) {}

    /// Called behind its last request; the message began at `start`.
    fn end(&mut self, _out: &mut Vec<u8>, _start: usize) {}

    /// Reads what `input` begins with.
    fn next<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Broken>;

    /// The answer that keeps a quiet connection alive, to what `input` begins with, if it needs one.
    fn pong(&mut self, _input: &[u8], _out: &mut Vec<u8>) {}
}

/// A request with holes: head with the key in it, the value if it has one, tail.
pub struct Template {
    head: Vec<u8>,
    key_at: usize,
    ids_at: Vec<usize>,
    tail: Vec<u8>,
}

impl Template {
    /// Finds the holes in a whole request: a key of [`KEY_BYTES`] times [`Template::KEY`] and,
    /// if `value_bytes` is not 0, a value of so many times [`Template::VALUE`]. Its id stands at `ids_at`,
    /// in the head.
    pub fn find(request: &[u8], value_bytes: usize, ids_at: &[usize]) -> Self {
        let key_at = request
            .windows(KEY_BYTES)
            .position(|window| window == [Self::KEY; KEY_BYTES])
            .expect("the request was made with a key in it");
        let value_at = match value_bytes {
            0 => request.len(),
            _ => request
                .windows(value_bytes)
                .position(|window| window.iter().all(|byte| *byte == Self::VALUE))
                .expect("the request was made with a value in it"),
        };
        let (head, rest) = request.split_at(value_at);
        let tail = rest[value_bytes..].to_vec();
        Self { head: head.to_vec(), key_at, ids_at: ids_at.to_vec(), tail }
    }

    /// What a key's hole is filled with.
    pub const KEY: u8 = 0xA5;

    /// What a value's hole is filled with.
    pub const VALUE: u8 = 0x5A;

    /// Appends the request with this id and key, and the value that `value` appends.
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        id: [u8; 4],
        key: &[u8; KEY_BYTES],
        value: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = out.len();
        out.extend_from_slice(&self.head);
        out[start + self.key_at..start + self.key_at + KEY_BYTES].copy_from_slice(key);
        for id_at in &self.ids_at {
            out[start + id_at..start + id_at + 4].copy_from_slice(&id);
        }
        value(out);
        out.extend_from_slice(&self.tail);
    }
}
