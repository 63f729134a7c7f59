//! A server that speaks the protocol from memory and misbehaves on request: it holds replies back,
//! falls silent, turns clients away, forgets its history, cuts watches.

use std::collections::BTreeMap;

use tidekeep_client_core::protocol::codec;
use tidekeep_client_core::protocol::condition::Condition;
use tidekeep_client_core::protocol::cursor::Cursor;
use tidekeep_client_core::protocol::entry::{Entry, Meta, Stored};
use tidekeep_client_core::protocol::error::{Code, ErrorBody, Outcome};
use tidekeep_client_core::protocol::frame::{self, Frame, kind};
use tidekeep_client_core::protocol::freshness::Freshness;
use tidekeep_client_core::protocol::hello::{GoingAway, Hello, PREFACE, Welcome};
use tidekeep_client_core::protocol::limits::Limits;
use tidekeep_client_core::protocol::op::{
    Class, Event, GetReply, IncrementReply, LeaseKeepAlive, Operation, Request, ScanReply,
    WatchFrom, WatchMessage, WriteReply, WriteStatus,
};
use tidekeep_client_core::protocol::range::KeyRange;
use tidekeep_client_core::protocol::session::{Ask, SessionId};

use crate::memory::{Memory, Remembered};

pub(crate) type Key = Vec<u8>;

/// One revision: its number and what it did to keys; `None` removed one.
pub(crate) type Revision = (u64, Vec<(Key, Option<Vec<u8>>)>);

/// The server and its store.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) limits: Limits,
    pub(crate) heartbeat_ms: u32,
    pub(crate) version: u16,
    /// What a greeting is answered with instead of a welcome.
    pub(crate) turn_away: Option<Code>,
    /// Nothing is read and nothing is said: a black hole.
    pub(crate) silent: bool,
    /// Requests are done, their replies are not sent.
    pub(crate) hold_replies: bool,
    /// Watches are not told of anything.
    pub(crate) hold_events: bool,
    /// Requests with these kinds are refused as `unavailable`.
    pub(crate) stopping: bool,
    /// Writes are refused with this, and this time to wait, before anything is looked at.
    pub(crate) refuse_writes: Option<(Code, u32)>,
    pub(crate) entries: BTreeMap<Key, (Vec<u8>, u64)>,
    pub(crate) history: Vec<Revision>,
    pub(crate) revision: u64,
    /// Revisions up to here are forgotten.
    pub(crate) floor: u64,
    pub(crate) incarnation: u64,
    pub(crate) store_id: [u8; 16],
    /// Kind and id of every request of all connections, in order.
    pub(crate) requests: Vec<(u8, u32)>,
    /// Deadlines that requests bore, in the same order.
    pub(crate) deadlines: Vec<Option<u32>>,
    /// What their callers ask to see.
    pub(crate) freshness: Vec<Option<Freshness>>,
    pub(crate) cancelled: Vec<u32>,
    pub(crate) pings: u32,
    pub(crate) pongs: u32,
    /// What is remembered of numbered writes, for as long as the incarnation stays; none for a
    /// server that knows no sessions.
    pub(crate) memory: Option<Memory>,
    /// Leases that there are.
    pub(crate) leases: Vec<u64>,
    /// Leases in the order in which they were kept alive.
    pub(crate) kept_alive: Vec<u64>,
    session: Option<Session>,
}

#[derive(Debug, Default)]
struct Session {
    /// Under which the connection's writes are remembered.
    writes: Option<SessionId>,
    inbox: Vec<u8>,
    greeted: bool,
    outbox: Vec<u8>,
    watches: Vec<ServerWatch>,
    /// Ids of requests whose replies are held back.
    held: Vec<u32>,
    over: bool,
}

#[derive(Debug)]
struct ServerWatch {
    id: u32,
    range: KeyRange,
    sent: u64,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            limits: Limits { chunk_bytes: 64, ..Limits::DEFAULT },
            heartbeat_ms: 10_000,
            version: 1,
            turn_away: None,
            silent: false,
            hold_replies: false,
            hold_events: false,
            stopping: false,
            refuse_writes: None,
            entries: BTreeMap::new(),
            history: Vec::new(),
            revision: 0,
            floor: 0,
            incarnation: 1,
            store_id: [2; 16],
            requests: Vec::new(),
            deadlines: Vec::new(),
            freshness: Vec::new(),
            cancelled: Vec::new(),
            pings: 0,
            pongs: 0,
            memory: Some(Memory::default()),
            leases: Vec::new(),
            kept_alive: Vec::new(),
            session: None,
        }
    }

    /// A client's transport is open.
    pub(crate) fn accept(&mut self) {
        self.session = Some(Session::default());
    }

    /// The transport is gone.
    pub(crate) fn hang_up(&mut self) {
        self.session = None;
    }

    /// The server wants the connection closed once everything is sent.
    pub(crate) fn is_over(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.over && session.outbox.is_empty())
    }

    /// Bytes for the client.
    pub(crate) fn outbox(&mut self) -> Option<&mut Vec<u8>> {
        if self.silent { None } else { self.session.as_mut().map(|session| &mut session.outbox) }
    }

    /// Bytes from the client.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        let Some(mut session) = self.session.take() else { return };
        session.inbox.extend_from_slice(bytes);
        while !session.over && self.take_frame(&mut session) {}
        self.session = Some(session);
        self.feed_watches();
    }

    fn take_frame(&mut self, session: &mut Session) -> bool {
        let start = if session.greeted { 0 } else { PREFACE.len() };
        if session.inbox.len() < start {
            return false;
        }
        if !session.greeted {
            assert_eq!(session.inbox[..start], PREFACE, "every connection begins with the preface");
        }
        let inbox = std::mem::take(&mut session.inbox);
        let decoded = Frame::decode(&inbox[start..], self.limits.frame_bytes.max(4096));
        let Some((frame, total)) = decoded.expect("the client's frames are well formed") else {
            session.inbox = inbox;
            return false;
        };
        if session.greeted {
            self.take_request(session, &frame);
        } else {
            session.greeted = true;
            self.greet(session, &frame);
        }
        session.inbox = inbox[start + total..].to_vec();
        true
    }

    fn greet(&mut self, session: &mut Session, frame: &Frame<'_>) {
        assert_eq!((frame.kind, frame.id), (kind::HELLO, 0));
        let hello: Hello<'_> = codec::decode(frame.body).expect("hello decodes");
        assert_eq!((hello.version_min, hello.version_max), (1, 1));
        if let Some(code) = self.turn_away {
            error(session, 0, code, "turned away");
            session.over = true;
            return;
        }
        let welcome = Welcome {
            version: self.version,
            features: 0,
            limits: self.limits,
            server_id: [1; 16],
            store_id: self.store_id,
            incarnation: self.incarnation,
            heartbeat_ms: self.heartbeat_ms,
            now_ms: 1_700_000_000_000,
            software: "model",
        };
        let ask = Ask::from_bytes(frame.extensions.session().expect("a session is asked for"));
        let ask = ask.expect("in a known form");
        let memory = self.memory.as_mut();
        session.writes = memory.map(|memory| memory.session(ask, self.incarnation));
        let given = session.writes.map(|SessionId(bytes)| bytes);
        let given = given.as_ref().map(|bytes| (frame::ext::SESSION, &bytes[..]));
        let mut body = Vec::new();
        codec::encode(&welcome, &mut body);
        frame::write(&mut session.outbox, kind::WELCOME, 0, 0, given.as_slice(), |out| {
            out.extend_from_slice(&body);
        });
    }

    fn take_request(&mut self, session: &mut Session, frame: &Frame<'_>) {
        match frame.kind {
            kind::PING => {
                self.pings += 1;
                if !(self.hold_replies && frame.id != 0) {
                    frame::write(&mut session.outbox, kind::PONG, 0, frame.id, &[], |_| {});
                }
                return;
            }
            kind::PONG => {
                self.pongs += 1;
                return;
            }
            kind::CANCEL => return self.take_cancel(session, frame.id),
            _ => {}
        }
        assert_ne!(frame.id, 0, "requests have ids");
        self.requests.push((frame.kind, frame.id));
        self.deadlines.push(frame.extensions.deadline_ms());
        self.freshness.push(frame.extensions.freshness());
        if frame.kind == LeaseKeepAlive::SPEC.kind {
            return self.take_keep_alive(session, frame);
        }
        let request = Request::decode(frame.kind, frame.body);
        let request = request.expect("a kind of the table").expect("requests decode");
        request.check(&self.limits).expect("requests are held against the limits by the client");
        if self.stopping {
            return error(session, frame.id, Code::Unavailable, "the server is stopping");
        }
        if let Request::Watch(watch) = request {
            return self.take_watch(session, frame.id, &watch);
        }
        if request.spec().class == Class::Write
            && let Some((code, retry_after_ms)) = self.refuse_writes
        {
            return refuse(session, frame.id, code, retry_after_ms, "not now");
        }
        let Some(body) = self.perform_once(session, frame, &request) else { return };
        if self.hold_replies {
            session.held.push(frame.id);
        } else {
            self.reply(session, frame.kind, frame.id, &body);
        }
    }

    /// Leases as the server has them; their times are not looked at here.
    fn take_keep_alive(&mut self, session: &mut Session, frame: &Frame<'_>) {
        assert!(frame.extensions.number().is_some(), "it is a write");
        let LeaseKeepAlive { lease } = codec::decode(frame.body).expect("a lease");
        if self.stopping {
            return error(session, frame.id, Code::Unavailable, "the server is stopping");
        }
        if !self.leases.contains(&lease) {
            return error(session, frame.id, Code::NotFound, "no such lease");
        }
        self.kept_alive.push(lease);
        if self.hold_replies {
            session.held.push(frame.id);
        } else {
            self.reply(session, frame.kind, frame.id, &[1; 70]);
        }
    }

    fn reply(&self, session: &mut Session, kind: u8, id: u32, body: &[u8]) {
        let chunk_bytes = self.limits.chunk_bytes as usize;
        frame::write_chunked(&mut session.outbox, kind | kind::REPLY, 0, id, body, chunk_bytes);
    }

    /// The reply's body; none when the request was answered with an error.
    fn perform_once(
        &mut self,
        session: &mut Session,
        frame: &Frame<'_>,
        request: &Request<'_>,
    ) -> Option<Vec<u8>> {
        let write = request.spec().class == Class::Write;
        let number = frame.extensions.number();
        assert_eq!(number.is_some(), write && session.writes.is_some(), "writes have numbers");
        let (Some(number), Some(id), Some(memory)) = (number, session.writes, self.memory.as_mut())
        else {
            assert!(!frame.is_retry() || !write);
            return Some(self.perform(request));
        };
        match memory.look_up(id, number, frame) {
            Remembered::New => {}
            Remembered::Answered(body) => return Some(body),
            Remembered::Forgotten => {
                error(session, frame.id, Code::OutcomeUnknown, "forgotten");
                return None;
            }
        }
        let body = self.perform(request);
        if let Some(memory) = &mut self.memory {
            memory.keep(id, number, &body);
        }
        Some(body)
    }

    fn perform(&mut self, request: &Request<'_>) -> Vec<u8> {
        let mut body = Vec::new();
        match request {
            Request::Get(get) => {
                let entry =
                    self.entries.get(get.key).map(|(value, revision)| stored(value, *revision));
                codec::encode(&GetReply { revision: self.revision, entry }, &mut body);
            }
            Request::Put(put) => {
                self.write(put.key, &put.condition, Some(put.value.to_vec()), &mut body);
            }
            Request::Delete(delete) => {
                self.write(delete.key, &delete.condition, None, &mut body);
            }
            Request::Increment(increment) => {
                let number = self.entries.get(increment.key).map_or(0, |(value, _)| {
                    std::str::from_utf8(value).expect("text").parse::<i64>().expect("a number")
                });
                let value = number + increment.by;
                let text = value.to_string().into_bytes();
                let revision = self.apply(vec![(increment.key.to_vec(), Some(text))]);
                codec::encode(&IncrementReply { revision, value }, &mut body);
            }
            Request::Scan(scan) => {
                let range = scan.range;
                let entries: Vec<Entry<'_>> = self
                    .entries
                    .iter()
                    .filter(|(key, _)| range.contains(key))
                    .map(|(key, (value, at))| Entry { key, stored: stored(value, *at) })
                    .collect();
                let count = entries.len() as u64;
                let reply = ScanReply { revision: self.revision, count, more: false, entries };
                codec::encode(&reply, &mut body);
            }
            other => panic!("the model does not know {other:?}"),
        }
        body
    }

    /// Puts or deletes, if the condition holds.
    fn write(
        &mut self,
        key: &[u8],
        condition: &Condition<'_>,
        value: Option<Vec<u8>>,
        body: &mut Vec<u8>,
    ) {
        let entry = self.entries.get(key).cloned();
        let holds = match condition {
            Condition::Always => true,
            Condition::Absent => entry.is_none(),
            Condition::Present => entry.is_some(),
            Condition::Revision(revision) => entry.as_ref().is_some_and(|it| it.1 == *revision),
            Condition::Value(value) => entry.as_ref().is_some_and(|it| it.0 == *value),
        };
        let reply = if !holds {
            let entry = entry.as_ref().map(|(value, at)| stored(value, *at));
            WriteReply { revision: self.revision, status: WriteStatus::Refused, entry }
        } else if value.is_none() && entry.is_none() {
            let status = WriteStatus::NotFound;
            WriteReply { revision: self.revision, status, entry: None }
        } else {
            let revision = self.apply(vec![(key.to_vec(), value)]);
            WriteReply { revision, status: WriteStatus::Applied, entry: None }
        };
        codec::encode(&reply, body);
    }

    /// Makes a revision, as another client would.
    pub(crate) fn apply(&mut self, changes: Vec<(Key, Option<Vec<u8>>)>) -> u64 {
        self.revision += 1;
        for (key, value) in &changes {
            match value {
                Some(value) => {
                    self.entries.insert(key.clone(), (value.clone(), self.revision));
                }
                None => {
                    self.entries.remove(key);
                }
            }
        }
        self.history.push((self.revision, changes));
        self.feed_watches();
        self.revision
    }

    /// The revisions after `after` that touch the range, with what they did to it.
    pub(crate) fn changes(&self, range: &KeyRange, after: u64) -> Vec<Revision> {
        let range = range.as_range();
        let mut found = Vec::new();
        for (revision, changes) in self.history.iter().filter(|(revision, _)| *revision > after) {
            let inside: Vec<_> =
                changes.iter().filter(|(key, _)| range.contains(key)).cloned().collect();
            if !inside.is_empty() {
                found.push((*revision, inside));
            }
        }
        found
    }

    /// What the range holds.
    pub(crate) fn content(&self, range: &KeyRange) -> BTreeMap<Key, (Vec<u8>, u64)> {
        let range = range.as_range();
        let inside = self.entries.iter().filter(|(key, _)| range.contains(key));
        inside.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// What the range held at an earlier revision.
    pub(crate) fn content_at(
        &self,
        range: &KeyRange,
        revision: u64,
    ) -> BTreeMap<Key, (Vec<u8>, u64)> {
        let mut content = BTreeMap::new();
        for (at, changes) in self.changes(range, 0).into_iter().filter(|(at, _)| *at <= revision) {
            for (key, value) in changes {
                match value {
                    Some(value) => content.insert(key, (value, at)),
                    None => content.remove(&key),
                };
            }
        }
        content
    }

    fn take_cancel(&mut self, session: &mut Session, id: u32) {
        self.cancelled.push(id);
        let before = session.watches.len();
        session.watches.retain(|watch| watch.id != id);
        if session.watches.len() < before || session.held.contains(&id) {
            session.held.retain(|&held| held != id);
            error(session, id, Code::Cancelled, "as asked");
        }
    }

    fn take_watch(
        &mut self,
        session: &mut Session,
        id: u32,
        watch: &tidekeep_client_core::protocol::op::Watch<'_>,
    ) {
        let range = KeyRange {
            start: watch.range.start.to_vec(),
            end: watch.range.end.map(<[u8]>::to_vec),
        };
        let mut sent = self.revision;
        match watch.from {
            WatchFrom::Now => {}
            WatchFrom::Content => {
                let content = self.content(&range);
                let entries: Vec<Entry<'_>> = content
                    .iter()
                    .map(|(key, (value, at))| Entry { key, stored: stored(value, *at) })
                    .collect();
                for page in entries.chunks(3) {
                    self.message(session, id, &WatchMessage::Content(page.to_vec()));
                }
            }
            WatchFrom::Cursor(bytes) => {
                let Ok(cursor) = Cursor::from_bytes(bytes) else {
                    return error(session, id, Code::InvalidInput, "no cursor of this server");
                };
                sent = cursor.revisions[0];
                if cursor.incarnation != self.incarnation
                    || sent < self.floor
                    || sent > self.revision
                {
                    return error(session, id, Code::CursorTooOld, "forgotten");
                }
                for (revision, changes) in self.changes(&range, sent) {
                    self.events(session, id, revision, &changes);
                }
                sent = self.revision;
            }
        }
        let cursor = Cursor::single(self.incarnation, sent).to_bytes();
        let caught_up = WatchMessage::CaughtUp { revision: sent, cursor: &cursor };
        self.message(session, id, &caught_up);
        session.watches.push(ServerWatch { id, range, sent });
    }

    fn events(
        &self,
        session: &mut Session,
        id: u32,
        revision: u64,
        changes: &[(Key, Option<Vec<u8>>)],
    ) {
        let cursor = Cursor::single(self.incarnation, revision).to_bytes();
        let events = changes
            .iter()
            .map(|(key, value)| match value {
                Some(value) => Event::Put {
                    entry: Entry { key, stored: stored(value, revision) },
                    previous: None,
                },
                None => Event::Delete { key, previous: None },
            })
            .collect();
        let message = WatchMessage::Events { revision, cursor: &cursor, events };
        self.message(session, id, &message);
    }

    fn message(&self, session: &mut Session, id: u32, message: &WatchMessage<'_>) {
        let mut body = Vec::new();
        codec::encode(message, &mut body);
        self.reply(session, 0x19, id, &body);
    }

    pub(crate) fn feed_watches(&mut self) {
        if self.hold_events {
            return;
        }
        let Some(mut session) = self.session.take() else { return };
        let mut watches = std::mem::take(&mut session.watches);
        for watch in &mut watches {
            for (revision, changes) in self.changes(&watch.range, watch.sent) {
                self.events(&mut session, watch.id, revision, &changes);
            }
            watch.sent = self.revision;
        }
        session.watches = watches;
        self.session = Some(session);
    }

    /// Tells the first watch alone, though events are held back.
    pub(crate) fn feed_first_watch(&mut self) {
        let rest = self.session.as_mut().map(|session| session.watches.split_off(1));
        let held = std::mem::take(&mut self.hold_events);
        self.feed_watches();
        self.hold_events = held;
        if let (Some(session), Some(rest)) = (&mut self.session, rest) {
            session.watches.extend(rest);
        }
    }

    /// Tells every watch where it is.
    pub(crate) fn bookmark(&mut self) {
        let Some(mut session) = self.session.take() else { return };
        let cursor = Cursor::single(self.incarnation, self.revision).to_bytes();
        for id in session.watches.iter().map(|watch| watch.id).collect::<Vec<_>>() {
            let bookmark = WatchMessage::Bookmark { revision: self.revision, cursor: &cursor };
            self.message(&mut session, id, &bookmark);
        }
        self.session = Some(session);
    }

    /// Ends every watch with this error.
    pub(crate) fn cut_watches(&mut self, code: Code) {
        if let Some(session) = &mut self.session {
            for watch in std::mem::take(&mut session.watches) {
                error(session, watch.id, code, "cut");
            }
        }
    }

    /// Forgets the history: cursors are too old from now on.
    pub(crate) fn forget(&mut self) {
        self.floor = self.revision;
    }

    /// Says that it goes away, and takes nothing new.
    pub(crate) fn go_away(&mut self, reconnect_after_ms: u32) {
        self.stopping = true;
        if let Some(session) = &mut self.session {
            let notice = GoingAway { reconnect_after_ms };
            frame::write_value(&mut session.outbox, kind::GOING_AWAY, 0, &notice);
        }
    }

    /// Sends any frame.
    pub(crate) fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.session.as_mut().expect("a client is connected").outbox);
    }

    /// The watches that are open on the present connection.
    pub(crate) fn watching(&self) -> Vec<u32> {
        let session = self.session.iter();
        session.flat_map(|session| session.watches.iter().map(|watch| watch.id)).collect()
    }

    /// Whether a client is connected.
    pub(crate) fn connected(&self) -> bool {
        self.session.is_some()
    }
}

fn error(session: &mut Session, id: u32, code: Code, message: &str) {
    refuse(session, id, code, 0, message);
}

fn refuse(session: &mut Session, id: u32, code: Code, retry_after_ms: u32, message: &str) {
    let body = ErrorBody {
        code: code.number(),
        retryable: code.retryable(),
        outcome: Outcome::NotApplied,
        retry_after_ms,
        message,
    };
    frame::write_value(&mut session.outbox, kind::ERROR, id, &body);
}

fn stored(value: &[u8], revision: u64) -> Stored<'_> {
    let meta =
        Meta { created: revision, modified: revision, version: 1, expires_at: None, lease: None };
    Stored { meta, value }
}
