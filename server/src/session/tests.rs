//! What a session does as time passes, without sockets and without waiting.

use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock};

use tidekeep_log::{
    Answers, Call, Change, Changed, Changes, Commit, Counted, Elsewhere, Entry, Event, EventKind,
    Failed, Feed, Identity, Lost, Pending, PendingBackup, PendingView, Promise, Sampled, Standing,
    TooOld, View,
};
use tidekeep_protocol::cursor::Cursor;
use tidekeep_protocol::entry::Meta;
use tidekeep_protocol::error::{Code, ErrorBody};
use tidekeep_protocol::frame::{self, Frame, ext, kind};
use tidekeep_protocol::hello::{Hello, PREFACE};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::{Get, Operation, Request, Watch, WatchFrom, WatchMessage};
use tidekeep_protocol::range::{KeyRange, Range};
use tidekeep_protocol::{codec, op};

use super::*;
use crate::config::Budgets;

/// A store whose changes the test makes up.
pub(super) struct Scripted {
    group: Arc<Group>,
    feeds: [Arc<dyn Feed>; 1],
    /// Those of the groups that it was split into.
    parts: OnceLock<Vec<Arc<dyn Feed>>>,
}

impl Default for Scripted {
    fn default() -> Self {
        let group = Arc::new(Group::default());
        Self { feeds: [Arc::clone(&group) as _], parts: OnceLock::new(), group }
    }
}

impl Scripted {
    /// Has several groups from now on, which are made of the only one.
    pub(super) fn split(&self, parts: impl Fn(Arc<Group>) -> Vec<Arc<dyn Feed>>) {
        assert!(self.parts.set(parts(Arc::clone(&self.group))).is_ok(), "it was split before");
    }
}

impl Deref for Scripted {
    type Target = Group;

    fn deref(&self) -> &Group {
        &self.group
    }
}

/// The changes of one group; `oldest` is the last that was forgotten.
#[derive(Default)]
pub(super) struct Group {
    changes: Mutex<Vec<Change>>,
    oldest: Mutex<u64>,
}

impl Group {
    /// Appends one revision with these events: key and new value, or none for its end.
    pub(super) fn commit(&self, events: &[(&[u8], Option<&[u8]>)]) -> u64 {
        let mut changes = self.changes.lock().unwrap();
        let revision = changes.len() as u64 + 1;
        let mut made: Vec<Event> = Vec::new();
        for &(key, value) in events {
            let earlier = changes.iter().flat_map(|change| &change.events);
            let last = earlier.chain(&made).rfind(|event| event.key() == key);
            let previous =
                last.filter(|event| event.kind == EventKind::Put).map(|event| event.entry.clone());
            made.push(match (value, &previous) {
                (Some(value), _) => {
                    let entry = entry(key, value, revision);
                    Event { kind: EventKind::Put, entry, previous }
                }
                (None, Some(entry)) => {
                    Event { kind: EventKind::Delete, entry: entry.clone(), previous }
                }
                (None, None) => continue,
            });
        }
        changes.push(Change { revision, at_ms: 0, events: made.into() });
        revision
    }

    /// Appends a revision that sets a key which was never there; quick when there are many.
    pub(super) fn commit_new(&self, key: &[u8], value: &[u8]) {
        let mut changes = self.changes.lock().unwrap();
        let revision = changes.len() as u64 + 1;
        let entry = entry(key, value, revision);
        let events = vec![Event { kind: EventKind::Put, entry, previous: None }];
        changes.push(Change { revision, at_ms: 0, events: events.into() });
    }

    /// Forgets changes up to and with this revision.
    pub(super) fn forget(&self, through: u64) {
        *self.oldest.lock().unwrap() = through;
    }
}

fn entry(key: &[u8], value: &[u8], revision: u64) -> Entry {
    let (created, modified) = (revision, revision);
    let meta = Meta { created, modified, version: 1, expires_at: None, lease: None };
    Entry::new(key, value, meta, &mut Vec::new())
}

impl Feed for Group {
    fn revision(&self) -> u64 {
        self.changes.lock().unwrap().len() as u64
    }

    fn changes(&self, after: u64, bytes: usize) -> Result<Changes, TooOld> {
        let oldest = *self.oldest.lock().unwrap();
        if after < oldest {
            return Err(TooOld { oldest });
        }
        let changes = self.changes.lock().unwrap();
        let (mut some, mut left) = (Vec::new(), bytes);
        for change in &changes[after as usize..] {
            if change.cost() > left && !some.is_empty() {
                return Ok(Changes { changes: some, through: change.revision - 1 });
            }
            left = left.saturating_sub(change.cost());
            some.push(change.clone());
        }
        Ok(Changes { changes: some, through: changes.len() as u64 })
    }

    fn changed(&self, _: u64) -> Changed {
        Promise::later(std::future::pending())
    }

    fn view(&self, _: &KeyRange) -> PendingView {
        Promise::later(std::future::pending())
    }
}

impl Commit for Scripted {
    fn submit(&self, _: &[Call<'_>], _: &mut dyn Answers) -> Pending {
        Promise::ready(Ok(Vec::new()))
    }

    fn peek(&self, _: &[u8]) -> Result<Option<Entry>, Elsewhere> {
        Ok(None)
    }

    fn sample(&self, _: u64) -> Sampled {
        Promise::ready(Ok(None))
    }

    fn fingerprint(&self, _: &[u8]) -> u64 {
        0
    }

    fn with_fingerprint(&self, _: u64) -> Vec<Entry> {
        Vec::new()
    }

    fn keys(&self) -> Counted {
        Promise::ready(Ok(0))
    }

    fn may_split(&self) -> bool {
        self.parts.get().is_none()
    }

    fn feeds(&self) -> &[Arc<dyn Feed>] {
        self.parts.get().map_or(&self.feeds[..], |parts| &parts[..])
    }

    fn backup(&self) -> PendingBackup {
        Promise::ready(Err(Lost::new("there is nothing to back up")))
    }

    fn time_at(&self, unix_ms: u64) -> u64 {
        unix_ms
    }

    fn identity(&self) -> Identity {
        Identity { store_id: [0; 16], incarnation: 9 }
    }

    fn standing(&self) -> Standing {
        Standing::Ready
    }

    fn figures(&self, _: &mut dyn FnMut(&'static str, u64)) {}

    fn failed(&self) -> Failed {
        Promise::later(std::future::pending())
    }

    fn close(&self) -> Result<(), String> {
        Ok(())
    }
}

pub(super) fn settings(limits: Limits) -> Arc<Settings> {
    Arc::new(Settings {
        limits,
        handshake_ms: 5_000,
        frame_ms: 10_000,
        heartbeat_ms: 60_000,
        slow_reader_ms: 30_000,
        output_bytes: 1 << 20,
        budgets: Budgets::default(),
        server_id: [1; 16],
        store_id: [2; 16],
        incarnation: 9,
        software: "test".to_owned(),
    })
}

/// A session that has been greeted, at time 0.
pub(super) fn greeted() -> Session {
    greeted_with(Limits::DEFAULT)
}

fn greeted_with(limits: Limits) -> Session {
    greeted_under(settings(limits))
}

/// A session under these settings that has been greeted, at time 0.
pub(super) fn greeted_under(settings: Arc<Settings>) -> Session {
    let start = Greeting { now: Millis(0), unix_ms: 1_000_000, name: 7 };
    let mut session = Session::new(settings, start);
    let mut bytes = PREFACE.to_vec();
    let hello = Hello { version_min: 1, version_max: 1, features: 0, software: "test" };
    frame::write_value(&mut bytes, kind::HELLO, 0, &hello);
    let mut batch = Batch::default();
    assert_eq!(session.read(Millis(0), Millis(0), &bytes, &mut batch), bytes.len());
    assert!(session.is_greeted() && batch.is_empty());
    session
}

/// What the session has to send: kind, id and body of each frame.
pub(super) fn sent(
    session: &mut Session,
    now: Millis,
    commit: &Scripted,
) -> Vec<(u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    loop {
        session.fill(now, commit);
        let bytes = session.output().to_vec();
        if bytes.is_empty() {
            return frames;
        }
        let mut rest = &bytes[..];
        while let Some((frame, length)) = Frame::decode(rest, u32::MAX).unwrap() {
            frames.push((frame.kind, frame.id, frame.body.to_vec()));
            rest = &rest[length..];
        }
        session.taken(now, bytes.len());
    }
}

fn watch(session: &mut Session, commit: &Scripted, prefix: &[u8]) {
    let range = KeyRange::prefix(prefix);
    let range: Range<'_> = range.as_range();
    let watch =
        Watch { range, from: WatchFrom::Now, previous: false, delivery: Default::default() };
    let class = op::Class::Watch;
    let ticket = Ticket { id: 5, kind: Watch::SPEC.kind, operation: 9, class };
    assert_eq!(session.open_watch(&ticket, &watch, commit), WatchStart::Open);
}

#[test]
fn a_quiet_watch_gets_bookmarks_while_others_keys_change() {
    let (commit, mut session) = (Scripted::default(), greeted());
    watch(&mut session, &commit, b"quiet/");
    sent(&mut session, Millis(1), &commit);
    session.tick(Millis(10_000));
    assert_eq!(sent(&mut session, Millis(10_000), &commit), [], "nothing has moved");

    for _ in 0..3 {
        commit.commit(&[(b"busy", Some(b"value"))]);
    }
    session.changed(0);
    assert_eq!(sent(&mut session, Millis(10_001), &commit), []);
    assert_eq!(session.waits_for_change(0), Some(3));
    assert_eq!(session.wait(), Millis(20_000));
    session.tick(Millis(20_000));
    let frames = sent(&mut session, Millis(20_000), &commit);
    let [(kind, 5, body)] = &frames[..] else { panic!("not one frame: {frames:?}") };
    assert_eq!(*kind, Watch::SPEC.kind | kind::REPLY);
    let message: WatchMessage<'_> = codec::decode(body).unwrap();
    assert!(matches!(message, WatchMessage::Bookmark { revision: 3, .. }), "{message:?}");
}

#[test]
fn a_watch_whose_changes_were_forgotten_is_cut_as_a_slow_reader() {
    let (commit, mut session) = (Scripted::default(), greeted());
    watch(&mut session, &commit, b"");
    sent(&mut session, Millis(1), &commit);
    for _ in 0..10 {
        commit.commit(&[(b"key", Some(b"value"))]);
    }
    commit.forget(5);
    session.changed(0);
    let frames = sent(&mut session, Millis(2), &commit);
    let [(kind::ERROR, 5, body)] = &frames[..] else { panic!("not one error: {frames:?}") };
    let error: ErrorBody<'_> = codec::decode(body).unwrap();
    assert_eq!(Code::from_number(error.code), Some(Code::SlowReader));
    assert_eq!(session.watches(), 0);
}

#[test]
fn a_request_whose_deadline_passed_while_it_waited_is_not_run() {
    let (commit, mut session) = (Scripted::default(), greeted());
    let mut bytes = Vec::new();
    let deadline = (ext::DEADLINE, &100_u32.to_le_bytes()[..]);
    frame::write(&mut bytes, Get::SPEC.kind, 0, 1, &[deadline], |out| {
        Request::Get(Get { key: b"k" }).encode(out);
    });
    let mut batch = Batch::default();
    session.read(Millis(150), Millis(50), &bytes, &mut batch);
    assert_eq!(batch.len(), 1, "at its deadline a request still runs");
    let mut batch = Batch::default();
    session.read(Millis(151), Millis(50), &bytes, &mut batch);
    assert!(batch.is_empty());
    let frames = sent(&mut session, Millis(151), &commit);
    let (_, _, body) = frames.last().expect("it is answered");
    let error: ErrorBody<'_> = codec::decode(body).unwrap();
    assert_eq!(Code::from_number(error.code), Some(Code::Timeout));
}

#[test]
fn a_session_that_was_told_to_go_ends_after_its_grace() {
    let (commit, mut session) = (Scripted::default(), greeted());
    session.go_away(Millis(100), 7);
    sent(&mut session, Millis(100), &commit);
    session.tick(Millis(1_099));
    session.fill(Millis(1_099), &commit);
    assert_eq!(session.ending(), None);
    assert_eq!(session.wait(), Millis(1_100));
    session.tick(Millis(1_100));
    session.fill(Millis(1_100), &commit);
    assert_eq!(session.ending(), Some(Ending { code: Code::Unavailable, flush: true }));
}

#[test]
fn whoever_does_not_greet_keeps_nobody_busy() {
    let settings =
        Settings { heartbeat_ms: 1_000, ..Arc::into_inner(settings(Limits::DEFAULT)).unwrap() };
    let start = Greeting { now: Millis(0), unix_ms: 1_000_000, name: 7 };
    let mut session = Session::new(Arc::new(settings), start);
    let mut ticks = 0;
    while session.ending().is_none() {
        let now = session.wait();
        session.tick(now);
        ticks += 1;
        assert!(ticks < 10, "it is due at {now:?} again and again");
    }
    assert_eq!(session.ending(), Some(Ending { code: Code::Timeout, flush: true }));
}

#[test]
fn caught_up_never_overtakes_a_long_message_of_its_watch() {
    let commit = Scripted::default();
    let mut session = greeted_with(Limits { chunk_bytes: 64, ..Limits::DEFAULT });
    for _ in 0..3 {
        commit.commit(&[(&[b'k'; 200], Some(b"value"))]);
    }
    watch(&mut session, &commit, b"");
    sent(&mut session, Millis(1), &commit);
    let cursor = Cursor::single(9, 2).to_bytes();
    let from = WatchFrom::Cursor(&cursor);
    let request =
        Watch { range: Range::default(), from, previous: false, delivery: Default::default() };
    let class = op::Class::Watch;
    let ticket = Ticket { id: 6, kind: Watch::SPEC.kind, operation: 9, class };
    assert_eq!(session.open_watch(&ticket, &request, &commit), WatchStart::Open);
    let frames = sent(&mut session, Millis(2), &commit);
    let bodies: Vec<&Vec<u8>> = frames.iter().map(|(_, _, body)| body).collect();
    let (last, before) = bodies.split_last().expect("it is caught up");
    let message: WatchMessage<'_> = codec::decode(last).expect("caught up is short");
    assert!(matches!(message, WatchMessage::CaughtUp { revision: 3, .. }), "{message:?}");
    let event = before.iter().copied().flatten().copied().collect::<Vec<u8>>();
    let message: WatchMessage<'_> = codec::decode(&event).expect("the chunks are in order");
    assert!(matches!(message, WatchMessage::Events { revision: 3, .. }), "{message:?}");
}

#[test]
fn a_session_over_its_budget_is_left_unread_and_ended_when_that_lasts() {
    let (commit, mut session) = (Scripted::default(), greeted());
    let budget = Budgets::default().connection_bytes - session.held_bytes();
    session.note_input(Millis(0), budget);
    assert!(session.may_read(), "at its budget it is read");
    session.note_input(Millis(100), budget + 1);
    assert!(!session.may_read());
    assert_eq!(session.wait(), Millis(30_100));
    session.note_input(Millis(20_000), 0);
    session.tick(Millis(30_100));
    assert!(session.may_read() && session.ending().is_none(), "it came back in time");

    session.note_input(Millis(40_000), budget + 1);
    session.tick(Millis(69_999));
    assert_eq!(session.ending(), None);
    session.tick(Millis(70_000));
    let ending = session.ending().expect("it lasted too long");
    assert_eq!((ending.code, ending.flush), (Code::OverBudget, true));
    let frames = sent(&mut session, Millis(70_000), &commit);
    let (_, id, body) = frames.last().expect("it is told");
    let error: ErrorBody<'_> = codec::decode(body).unwrap();
    assert_eq!((*id, Code::from_number(error.code)), (0, Some(Code::OverBudget)));
}

#[test]
fn content_is_complete_before_the_changes_behind_it() {
    let (commit, mut session) = (Scripted::default(), greeted());
    sent(&mut session, Millis(0), &commit);
    commit.commit(&[(b"old", Some(b"value"))]);
    let from = WatchFrom::Content;
    let request =
        Watch { range: Range::default(), from, previous: false, delivery: op::Delivery::Every };
    let class = op::Class::Watch;
    let ticket = Ticket { id: 6, kind: Watch::SPEC.kind, operation: 9, class };
    let opened = session.open_watch(&ticket, &request, &commit);
    assert!(matches!(opened, WatchStart::Views(_)));
    let empty = View::freeze(std::iter::empty(), &KeyRange::all(), Default::default(), 1);
    commit.commit(&[(b"new", Some(b"value"))]);
    session.views_ready(6, vec![empty]);
    let frames = sent(&mut session, Millis(1), &commit);
    let messages: Vec<WatchMessage<'_>> =
        frames.iter().map(|(_, _, body)| codec::decode(body).expect("it is whole")).collect();
    let [first, second] = &messages[..] else { panic!("not two messages: {messages:?}") };
    assert!(matches!(first, WatchMessage::CaughtUp { revision: 1, .. }), "{first:?}");
    assert!(matches!(second, WatchMessage::Events { revision: 2, .. }), "{second:?}");
}

/// Takes up to `most` messages of watch 5; whether all came.
pub(super) fn read_messages(
    session: &mut Session,
    store: &dyn Commit,
    now: Millis,
    most: usize,
    mut take: impl FnMut(&[u8]),
) -> bool {
    let (mut left, mut body) = (most, Vec::new());
    loop {
        session.fill(now, store);
        let bytes = session.output().to_vec();
        if bytes.is_empty() {
            return true;
        }
        let mut rest = &bytes[..];
        while let Some((frame, length)) = Frame::decode(rest, u32::MAX).unwrap() {
            rest = &rest[length..];
            if frame.id != 5 {
                continue;
            }
            assert_eq!(frame.kind, Watch::SPEC.kind | kind::REPLY);
            body.extend_from_slice(frame.body);
            if frame.more() {
                continue;
            }
            if left == 0 {
                return false;
            }
            left -= 1;
            take(&std::mem::take(&mut body));
        }
        session.taken(now, bytes.len());
    }
}
