//! What is logged: one record for the writes of one batch, with the requests' own bytes, so that
//! nothing is encoded twice and a replay decides what was decided the first time.
//!
//! ```text
//! | version u8 = 2 | now_ms u64 | revision u64 | commands |
//! command:  | kind u8 | length u32 | body |
//! session:  | 0xE1 | 16 | session 16 bytes |: whose the numbered writes behind it are
//! numbered: | 0xE2 | length u32 | sequence u64 | oldest u64 | flags u8 | kind u8 | body |
//! lease:    | 0xE3 | 8 | lease u64 |: its time is over
//! expire:   | 0xE0 | length u32 | entries, each its key and its revision |: their time is over
//! evict:    | 0xE4 | length u32 | entries, as above |: they make room
//! step:     | 0xC0 to 0xDF | length u32 | body |: see [`crate::step`]
//! ```
//! Little-endian. `revision` is the group's before the record, and is checked when it is replayed.
//! Version 1 knows requests and `expire` alone. A numbered write is kept even if it changed
//! nothing: its answer must be the same when it comes again. Its flags: 1, that it changed something; 2, that
//! an earlier copy may have been run, of a record that is ordered before it is applied.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use tidekeep_protocol::codec::{self, Malformed};
use tidekeep_protocol::op::{Delete, Increment, Operation, Put, Request, Touch};
use tidekeep_protocol::session::{Number, SessionId};

use crate::apply::Stamp;
use crate::sessions::Numbered;
use crate::step::Step;

const VERSION: u8 = 2;
const OLDEST_VERSION: u8 = 1;
const HEADER_BYTES: usize = 17;
const COMMAND_BYTES: usize = 5;

/// The kind of an expire command; requests have kinds below 0x80.
const KIND_EXPIRE: u8 = 0xE0;

/// The kind of the command that says whose numbered writes follow.
const KIND_SESSION: u8 = 0xE1;

/// The kind of a numbered write.
const KIND_NUMBERED: u8 = 0xE2;

/// The kind of the command that ends a lease.
const KIND_END_LEASE: u8 = 0xE3;

/// Bytes of a numbered write before the request's body.
const NUMBERED_BYTES: usize = Number::BYTES + 2;

/// Flags of a numbered write, and all of them.
const FLAG_CHANGED: u8 = 1;
const FLAG_RETRY: u8 = 2;
const FLAGS: u8 = FLAG_CHANGED | FLAG_RETRY;

/// The kind of an evict command.
const KIND_EVICT: u8 = 0xE4;

/// The kinds of requests that write a single key.
const SINGLE_KEYED: [u8; 4] =
    [Put::SPEC.kind, Delete::SPEC.kind, Touch::SPEC.kind, Increment::SPEC.kind];

/// One command of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// A client's write.
    Request(Request<'a>),
    /// A client's write under a number.
    Numbered {
        /// Its number.
        numbered: Numbered,
        /// Whether it changed something the first time.
        changed: bool,
        /// The write.
        request: Request<'a>,
    },
    /// The group's own: these entries' time is over.
    Expire(Vec<Expired<'a>>),
    /// The group's own: these entries make room.
    Evict(Vec<Expired<'a>>),
    /// The group's own: this lease's time is over.
    EndLease(u64),
    /// A node's.
    Step(Step),
}

/// An entry that was seen to be over, or that was chosen to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired<'a> {
    /// Its key.
    #[serde(borrow, with = "serde_bytes")]
    pub key: &'a [u8],
    /// Its revision then; if it has another one by now, it lives on.
    pub modified: u64,
}

/// Begins a record in an empty buffer.
pub fn begin(stamp: Stamp, out: &mut Vec<u8>) {
    out.push(VERSION);
    out.extend_from_slice(&stamp.now_ms.to_le_bytes());
    out.extend_from_slice(&stamp.revision.to_le_bytes());
}

/// Adds a client's write: its frame's kind and body.
pub fn push_request(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(body);
}

/// Adds a client's write that did not come as a body.
pub fn push_decoded(request: &Request<'_>, out: &mut Vec<u8>) {
    push_with(request.spec().kind, out, |out| match request {
        Request::Put(put) => put.encode(out),
        request => request.encode(out),
    });
}

/// Says whose the numbered writes are that are added next.
pub fn push_session(session: SessionId, out: &mut Vec<u8>) {
    push_request(KIND_SESSION, &session.0, out);
}

/// Adds a client's numbered write: its frame's kind and body.
pub fn push_numbered(number: Number, changed: bool, kind: u8, body: &[u8], out: &mut Vec<u8>) {
    push_flagged(number, u8::from(changed), kind, body, out);
}

/// Adds a client's numbered write that is yet to be applied, behind its session.
pub fn push_proposed(numbered: &Numbered, kind: u8, body: &[u8], out: &mut Vec<u8>) {
    let flags = if numbered.retry { FLAG_RETRY } else { 0 };
    push_flagged(numbered.number, flags, kind, body, out);
}

fn push_flagged(number: Number, flags: u8, kind: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(KIND_NUMBERED);
    out.extend_from_slice(&((NUMBERED_BYTES + body.len()) as u32).to_le_bytes());
    out.extend_from_slice(&number.to_bytes());
    out.push(flags);
    out.push(kind);
    out.extend_from_slice(body);
}

/// Adds an expire command.
pub fn push_expire(expired: &[Expired<'_>], out: &mut Vec<u8>) {
    push_entries(KIND_EXPIRE, expired, out);
}

/// Adds an evict command.
pub fn push_evict(evicted: &[Expired<'_>], out: &mut Vec<u8>) {
    push_entries(KIND_EVICT, evicted, out);
}

fn push_entries(kind: u8, entries: &[Expired<'_>], out: &mut Vec<u8>) {
    push_with(kind, out, |out| codec::encode(entries, out));
}

fn push_with(kind: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    push_request(kind, &[], out);
    body(out);
    let length = (out.len() - start - COMMAND_BYTES) as u32;
    out[start + 1..start + COMMAND_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// Adds a command that ends a lease.
pub fn push_end_lease(lease: u64, out: &mut Vec<u8>) {
    push_request(KIND_END_LEASE, &lease.to_le_bytes(), out);
}

/// At most how many bytes a record of so many commands takes, whose bodies take `body_bytes` in sum.
pub fn bytes_for(commands: usize, body_bytes: usize) -> usize {
    let session = COMMAND_BYTES + size_of::<SessionId>();
    HEADER_BYTES + session + commands * (COMMAND_BYTES + NUMBERED_BYTES) + body_bytes
}

/// A record read back.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// When it was ordered, and the revision before it.
    pub stamp: Stamp,
    commands: &'a [u8],
}

/// How much a record does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// How many commands it has.
    pub commands: usize,
    /// How many revisions they took.
    pub changes: u64,
}

impl<'a> Record<'a> {
    /// Reads a record's header.
    ///
    /// # Errors
    /// It is cut short or of another version.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, BadRecord> {
        let (header, commands) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(BadRecord::Cut)?;
        let (&version, numbers) = header.split_first().ok_or(BadRecord::Cut)?;
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(BadRecord::Version(version));
        }
        let (now_ms, revision) = numbers.split_at(8);
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes);
        let now_ms = number(now_ms).map_err(|_| BadRecord::Cut)?;
        let revision = number(revision).map_err(|_| BadRecord::Cut)?;
        Ok(Self { stamp: Stamp { now_ms, revision }, commands })
    }

    /// How much it does if each of its commands writes a single key; none otherwise, and of bytes that
    /// do not say it.
    pub fn single_keyed(&self) -> Option<Extent> {
        let mut extent = Extent { commands: 0, changes: 0 };
        let mut rest = self.commands;
        while !rest.is_empty() {
            let (mut kind, body, tail) = split_command(rest)?;
            rest = tail;
            let mut changed = 1;
            if kind == KIND_SESSION {
                continue;
            }
            if kind == KIND_NUMBERED {
                let &[flag @ 0..=1, numbered] = body.get(Number::BYTES..NUMBERED_BYTES)? else {
                    return None;
                };
                (changed, kind) = (flag, numbered);
            }
            if !SINGLE_KEYED.contains(&kind) {
                return None;
            }
            extent.commands += 1;
            extent.changes += u64::from(changed);
        }
        Some(extent)
    }

    /// The commands in order; an error is the last item.
    pub fn commands(&self) -> impl Iterator<Item = Result<Command<'a>, BadRecord>> + use<'a> {
        let (mut rest, mut session) = (self.commands, None);
        core::iter::from_fn(move || {
            loop {
                if rest.is_empty() {
                    return None;
                }
                let Some((kind, body, tail)) = split_command(rest) else {
                    rest = &[];
                    return Some(Err(BadRecord::Cut));
                };
                rest = tail;
                if kind == KIND_SESSION
                    && let Ok(id) = body.try_into()
                {
                    session = Some(SessionId(id));
                    continue;
                }
                let command = command(kind, body, session);
                if command.is_err() {
                    rest = &[];
                }
                return Some(command);
            }
        })
    }
}

fn split_command(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, a, b, c, d], rest) = bytes.split_first_chunk::<COMMAND_BYTES>()?;
    let (body, rest) = rest.split_at_checked(u32::from_le_bytes([a, b, c, d]) as usize)?;
    Some((kind, body, rest))
}

fn command(kind: u8, body: &[u8], session: Option<SessionId>) -> Result<Command<'_>, BadRecord> {
    match kind {
        KIND_EXPIRE => Ok(Command::Expire(codec::decode(body)?)),
        KIND_EVICT => Ok(Command::Evict(codec::decode(body)?)),
        KIND_SESSION => Err(BadRecord::Body),
        KIND_END_LEASE => {
            let lease = body.try_into().map_err(|_| BadRecord::Body)?;
            Ok(Command::EndLease(u64::from_le_bytes(lease)))
        }
        KIND_NUMBERED => {
            let (head, body) = body.split_first_chunk::<NUMBERED_BYTES>().ok_or(BadRecord::Body)?;
            let number = Number::from_bytes(&head[..Number::BYTES]).ok_or(BadRecord::Body)?;
            let session = session.ok_or(BadRecord::Body)?;
            let [flags @ 0..=FLAGS, kind] = head[Number::BYTES..] else {
                return Err(BadRecord::Body);
            };
            let numbered = Numbered { session, number, retry: flags & FLAG_RETRY != 0 };
            let changed = flags & FLAG_CHANGED != 0;
            Ok(Command::Numbered { numbered, changed, request: request(kind, body)? })
        }
        _ => match Step::decode(kind, body) {
            Some(step) => Ok(Command::Step(step?)),
            None => Ok(Command::Request(request(kind, body)?)),
        },
    }
}

fn request(kind: u8, body: &[u8]) -> Result<Request<'_>, BadRecord> {
    Ok(Request::decode(kind, body).ok_or(BadRecord::Kind(kind))??)
}

/// Bytes that are no record. What cannot be read is never skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadRecord {
    /// It ends in the middle.
    Cut,
    /// It was written by another version of the store.
    Version(u8),
    /// It holds a command of an unknown kind.
    Kind(u8),
    /// A command's body does not decode.
    Body,
}

impl From<Malformed> for BadRecord {
    fn from(_: Malformed) -> Self {
        Self::Body
    }
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("the record ends in the middle"),
            Self::Version(version) => write!(f, "the record has the unknown version {version}"),
            Self::Kind(kind) => write!(f, "the record holds the unknown command {kind:#04x}"),
            Self::Body => f.write_str("a command of the record does not decode"),
        }
    }
}

impl core::error::Error for BadRecord {}
