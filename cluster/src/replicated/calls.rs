//! Calls that outlive the buffers they came in: they wait for their turn here, or travel to the node that
//! leads.
//!
//! ```text
//! | count u32 | freshness 5 bytes | calls: | kind u8 | flags u8 | session 16 bytes, number 16 bytes, if flags & 1 | length u32 | body |
//! ```
//! Little-endian. Flags: 1, that the write has a number; 2, that an earlier copy may have been run. A kind is a
//! request's, or a step's of another node.

use tidekeep_log::{Call, Numbered};
use tidekeep_protocol::freshness::Freshness;
use tidekeep_protocol::op::{Class, Request};
use tidekeep_protocol::session::{Number, SessionId};
use tidekeep_store::record;
use tidekeep_store::step::Step;

const NUMBERED: u8 = 1;
const RETRY: u8 = 2;

/// Calls in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    bodies: Vec<u8>,
    calls: Vec<Kept>,
    writes: usize,
    /// What all of its reads must have seen: what the strictest of them asks for.
    freshness: Option<Freshness>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    kind: u8,
    /// Where its body ends.
    end: usize,
    sort: Sort,
    number: Option<Numbered>,
}

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Write,
    /// A node's: ordered as a write is, and always safe to be run again.
    Step,
    /// Of one key: quickly done.
    Get,
    /// Of anything longer.
    Page,
}

/// A call, read back.
pub(crate) enum Asked<'c> {
    Call(Call<'c>),
    /// A step of this kind.
    Step(u8),
}

impl Sort {
    /// Whether it is a command of a record.
    pub(crate) fn is_ordered(self) -> bool {
        match self {
            Self::Write | Self::Step => true,
            Self::Get | Self::Page => false,
        }
    }

    fn of(request: &Request<'_>) -> Self {
        match request {
            Request::Get(_) => Self::Get,
            request if request.spec().class == Class::Write => Self::Write,
            _ => Self::Page,
        }
    }
}

impl Calls {
    /// A single call.
    pub(crate) fn of(call: &Call<'_>) -> Self {
        let mut calls = Self::default();
        calls.push(call);
        calls
    }

    pub(crate) fn push(&mut self, call: &Call<'_>) {
        self.bodies.extend_from_slice(&call.encoded());
        self.note(call.request.spec().kind, Sort::of(&call.request), call.number);
        self.freshness = Some(self.freshness.map_or(call.freshness, |it| it.min(call.freshness)));
    }

    /// Adds a step.
    pub(crate) fn push_step(&mut self, step: &Step) {
        step.encode(&mut self.bodies);
        self.note(step.kind(), Sort::Step, None);
    }

    fn note(&mut self, kind: u8, sort: Sort, number: Option<Numbered>) {
        self.writes += usize::from(sort.is_ordered());
        self.calls.push(Kept { kind, end: self.bodies.len(), sort, number });
    }

    /// Adds all calls of `other`.
    pub(crate) fn append(&mut self, other: &Self) {
        let start = self.bodies.len();
        self.bodies.extend_from_slice(&other.bodies);
        self.writes += other.writes;
        self.freshness = self.freshness.into_iter().chain(other.freshness).min();
        let moved = other.calls.iter().map(|call| Kept { end: start + call.end, ..call.clone() });
        self.calls.extend(moved);
    }

    /// What its reads must have seen.
    pub(crate) fn freshness(&self) -> Freshness {
        self.freshness.unwrap_or_default()
    }

    /// Those in these places, which ascend.
    pub(crate) fn only(&self, places: &[usize]) -> Self {
        let mut some = Self { freshness: self.freshness, ..Self::default() };
        for (place, (call, body)) in self.bodies().enumerate() {
            if places.binary_search(&place).is_ok() {
                some.bodies.extend_from_slice(body);
                some.note(call.kind, call.sort, call.number);
            }
        }
        some
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.calls.len()
    }

    /// Bytes of all bodies.
    pub(crate) fn bytes(&self) -> usize {
        self.bodies.len()
    }

    /// How many of them are commands of a record.
    pub(crate) fn writes(&self) -> usize {
        self.writes
    }

    /// Whether something in it takes longer than a key does.
    pub(crate) fn has_page(&self) -> bool {
        self.calls.iter().any(|call| call.sort == Sort::Page)
    }

    /// Whether all of it may be run again although it may have been run.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.calls.iter().all(|call| call.sort != Sort::Write || call.number.is_some())
    }

    /// Notes that its writes may have been run.
    pub(crate) fn set_retry(&mut self) {
        self.calls
            .iter_mut()
            .filter_map(|call| call.number.as_mut())
            .for_each(|it| it.retry = true);
    }

    /// What each of them asks for, in order.
    pub(crate) fn sorts(&self) -> impl Iterator<Item = Sort> {
        self.calls.iter().map(|call| call.sort)
    }

    fn bodies(&self) -> impl Iterator<Item = (&Kept, &[u8])> {
        let mut start = 0;
        self.calls.iter().map(move |call| {
            let body = &self.bodies[start..call.end];
            start = call.end;
            (call, body)
        })
    }

    /// The calls, as they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Asked<'_>> {
        self.bodies().map(|(call, body)| {
            if call.sort == Sort::Step {
                return Asked::Step(call.kind);
            }
            let request = Request::decode(call.kind, body).and_then(Result::ok);
            let request = request.unwrap_or_else(|| unreachable!("it was a request when it came"));
            Asked::Call(Call { body: Some(body), number: call.number, ..Call::new(request) })
        })
    }

    /// The clients' calls, as they came.
    pub(crate) fn requests(&self) -> impl Iterator<Item = Call<'_>> {
        self.iter().filter_map(|asked| match asked {
            Asked::Call(call) => Some(call),
            Asked::Step(_) => None,
        })
    }

    /// Adds its writes to a record, in which those before are of `session`.
    pub(crate) fn write(&self, session: &mut Option<SessionId>, out: &mut Vec<u8>) {
        for (call, body) in self.bodies().filter(|(call, _)| call.sort.is_ordered()) {
            let Some(numbered) = &call.number else {
                record::push_request(call.kind, body, out);
                continue;
            };
            if session.replace(numbered.session) != Some(numbered.session) {
                record::push_session(numbered.session, out);
            }
            record::push_proposed(numbered, call.kind, body, out);
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.calls.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.freshness().to_bytes());
        for (call, body) in self.bodies() {
            out.push(call.kind);
            match &call.number {
                None => out.push(0),
                Some(Numbered { session, number, retry }) => {
                    out.push(if *retry { NUMBERED | RETRY } else { NUMBERED });
                    out.extend_from_slice(&session.0);
                    out.extend_from_slice(&number.to_bytes());
                }
            }
            out.extend_from_slice(&(body.len() as u32).to_le_bytes());
            out.extend_from_slice(body);
        }
    }

    /// Reads calls of another node; none if these are none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk()?;
        let (freshness, mut rest) = rest.split_first_chunk::<{ Freshness::BYTES }>()?;
        let freshness = Some(Freshness::from_bytes(freshness)?);
        let mut calls = Self { freshness, ..Self::default() };
        for _ in 0..u32::from_le_bytes(*count) {
            let (&[kind, flags], tail) = rest.split_first_chunk()?;
            rest = tail;
            let mut number = None;
            if flags & NUMBERED != 0 {
                let (session, tail) = rest.split_first_chunk()?;
                let (bytes, tail) = tail.split_at_checked(Number::BYTES)?;
                rest = tail;
                let (session, retry) = (SessionId(*session), flags & RETRY != 0);
                number = Some(Numbered { session, number: Number::from_bytes(bytes)?, retry });
            }
            let (length, tail) = rest.split_first_chunk()?;
            let (body, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = tail;
            let sort = match Step::decode(kind, body) {
                Some(step) => step.ok().map(|_| Sort::Step)?,
                None => Sort::of(&Request::decode(kind, body)?.ok()?),
            };
            calls.bodies.extend_from_slice(body);
            calls.note(kind, sort, number);
        }
        rest.is_empty().then_some(calls)
    }
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::condition::{Condition, Expiry};
    use tidekeep_protocol::op::{Get, Put};
    use tidekeep_store::record::{Command, Record};
    use tidekeep_store::step::AdoptLease;

    use super::*;

    fn some() -> Calls {
        let (condition, expiry) = (Condition::Always, Expiry::Never);
        let put = Put { key: b"key", value: b"value", condition, expiry, previous: false };
        let session = SessionId([7; 16]);
        let number = Number { sequence: 9, oldest: 4 };
        let mut calls = Calls::default();
        calls.push(&Call::new(Request::Put(put)));
        calls.push(&Call::new(Request::Get(Get { key: b"key" })));
        for retry in [false, true] {
            let number = Some(Numbered { session, number, retry });
            calls.push(&Call { number, ..Call::new(Request::Put(put)) });
        }
        calls.push_step(&Step::AdoptLease(AdoptLease { lease: 5, ttl_ms: 1000 }));
        calls
    }

    #[test]
    fn calls_come_back_from_their_bytes() {
        let (calls, mut bytes) = (some(), Vec::new());
        calls.encode(&mut bytes);
        assert_eq!(Calls::decode(&bytes).as_ref(), Some(&calls));
        for end in 0..bytes.len() {
            assert_eq!(Calls::decode(&bytes[..end]), None);
        }
        bytes.push(0);
        assert_eq!(Calls::decode(&bytes), None);
    }

    #[test]
    fn a_record_has_the_writes_with_all_that_makes_them_safe_to_send_again() {
        let (calls, mut bytes) = (some(), Vec::new());
        record::begin(tidekeep_store::apply::Stamp { now_ms: 1, revision: 0 }, &mut bytes);
        calls.write(&mut None, &mut bytes);
        let commands: Vec<_> = Record::decode(&bytes).unwrap().commands().flatten().collect();
        let retry = |command: &Command<'_>| match command {
            Command::Numbered { numbered, .. } => Some(numbered.retry),
            _ => None,
        };
        let retries: Vec<_> = commands.iter().map(retry).collect();
        assert_eq!(retries, [None, Some(false), Some(true), None]);
        assert!(matches!(commands[3], Command::Step(_)));
        assert_eq!((calls.count(), calls.writes(), calls.is_repeatable()), (5, 4, false));
    }
}
