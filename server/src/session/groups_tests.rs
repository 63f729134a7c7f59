//! Watches of a store of several groups: whatever their changes' order among each other, however slowly it is
//! read and wherever it is cut and resumed, what was sent comes to what each group held at the cursor.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidekeep_log::disk::faulty::{FaultyDisk, seeded};
use tidekeep_log::{
    Answers, Call, Changed, Changes, Commit, Counted, Durability, Elsewhere, Entry, Failed, Feed,
    Identity, Lost, Pending, PendingBackup, PendingView, Promise, Sampled, Solo, SoloOptions,
    Standing, TooOld, Upkeep, collect, views,
};
use tidekeep_protocol::codec;
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::cursor::Cursor;
use tidekeep_protocol::error::{Code, ErrorBody};
use tidekeep_protocol::frame::{Frame, kind};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::{
    self, Delete, Delivery, Event as WireEvent, Operation, Put, Request, Txn, TxnOp, Watch,
    WatchFrom, WatchMessage,
};
use tidekeep_protocol::range::{KeyRange, Range};

use super::tests::{greeted_under, read_messages, settings};
use super::*;

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

/// A store whose groups are stores of their own; a key's group is its second byte.
struct Several {
    groups: Vec<Solo>,
    feeds: Vec<Arc<dyn Feed>>,
    /// What each group held at each of its revisions, of the range that is watched.
    truth: Vec<Vec<Content>>,
}

/// A feed of which nothing is known here before it is asked for.
struct Distant(Arc<dyn Feed>);

impl Feed for Distant {
    fn revision(&self) -> u64 {
        self.0.revision()
    }

    fn changes(&self, after: u64, bytes: usize) -> Result<Changes, TooOld> {
        self.0.changes(after, bytes)
    }

    fn changed(&self, after: u64) -> Changed {
        self.0.changed(after)
    }

    fn view(&self, range: &KeyRange) -> PendingView {
        self.0.view(range)
    }

    fn is_at_hand(&self) -> bool {
        false
    }
}

impl Several {
    /// The same, whose last group is not at hand.
    fn distant(mut self) -> Self {
        let last = self.feeds.pop().expect("there is one");
        self.feeds.push(Arc::new(Distant(last)));
        self
    }

    fn new(groups: u64, history_bytes: usize) -> Self {
        let open = |seed| {
            let disk = Arc::new(FaultyDisk::new(seed));
            let clock = Arc::new(tidekeep_log::clock::SystemClock);
            let options = SoloOptions::new(disk, clock, seeded(seed));
            let (durability, upkeep) = (Durability::Memory, Upkeep::Steps);
            let (segment_bytes, shards) = (32 << 10, 2);
            let options =
                SoloOptions { durability, upkeep, history_bytes, segment_bytes, shards, ..options };
            Solo::open(options).unwrap()
        };
        let groups: Vec<Solo> = (1..=groups).map(open).collect();
        let feeds = groups.iter().map(|group| Arc::clone(&group.feeds()[0])).collect();
        let truth = groups.iter().map(|_| vec![Content::new()]).collect();
        Self { groups, feeds, truth }
    }

    /// Changes up to three keys of a group at one revision.
    fn write(&mut self, group: usize, random: &mut impl FnMut() -> u64) {
        let picks: Vec<_> = (0..1 + random() % 3).map(|_| (random() % 40, random())).collect();
        let key_of = |pick: u64| {
            let first = if pick.is_multiple_of(5) { b'z' } else { b'a' + (pick % 20) as u8 };
            vec![first, group as u8, pick as u8]
        };
        let keys: Vec<_> = picks.iter().map(|(pick, _)| key_of(*pick)).collect();
        let values: Vec<_> = picks.iter().map(|(_, value)| value.to_be_bytes()).collect();
        let mut now = self.truth[group].last().unwrap().clone();
        let mut then = Vec::new();
        for (key, value) in keys.iter().zip(&values) {
            let condition = Condition::Always;
            if value[0] < 90 {
                then.push(TxnOp::Delete(Delete { key, condition, previous: false }));
                now.remove(key);
            } else {
                let (expiry, previous) = (Expiry::Never, false);
                then.push(TxnOp::Put(Put { key, value, condition, expiry, previous }));
                if key[0] != b'z' {
                    now.insert(key.clone(), value.to_vec());
                }
            }
        }
        let txn = Txn { compares: Vec::new(), then, otherwise: Vec::new() };
        let solo = &self.groups[group];
        let call = Call::new(Request::Txn(txn));
        let pending = collect(solo, &[call]);
        while solo.step() {}
        assert!(pending.into_ready().is_ok_and(|answers| answers.is_ok()));
        if solo.feed().revision() as usize == self.truth[group].len() {
            self.truth[group].push(now);
        }
    }

    /// What all groups held at these revisions.
    fn at(&self, revisions: &[u64]) -> Content {
        let groups = self.truth.iter().zip(revisions);
        groups.flat_map(|(truth, revision)| truth[*revision as usize].clone()).collect()
    }

    fn newest(&self) -> Vec<u64> {
        self.feeds.iter().map(|feed| feed.revision()).collect()
    }

    /// Tells a session what its driver would.
    fn tell(&self, session: &mut Session) {
        for (group, feed) in self.feeds.iter().enumerate() {
            if session.waits_for_change(group).is_some_and(|after| after < feed.revision()) {
                session.changed(group);
            }
        }
    }
}

impl Commit for Several {
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

    fn feeds(&self) -> &[Arc<dyn Feed>] {
        &self.feeds
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

/// What a client has of its watch.
struct Follower {
    delivery: Delivery,
    content: Content,
    /// The last key of the content, while that is on its way.
    last_key: Vec<u8>,
    cursor: Option<Cursor>,
    messages: usize,
}

impl Follower {
    fn new(delivery: Delivery) -> Self {
        Self { delivery, content: Content::new(), last_key: Vec::new(), cursor: None, messages: 0 }
    }

    /// A session with the watch, as it begins or goes on.
    fn connect(&mut self, store: &Several) -> Session {
        let limits = Limits { chunk_bytes: 300, ..Limits::DEFAULT };
        let mut session = greeted_under(settings(limits));
        let cursor = self.cursor.as_ref().map(Cursor::to_bytes);
        let from = cursor.as_deref().map_or(WatchFrom::Content, WatchFrom::Cursor);
        let range = Range { start: b"", end: Some(b"z") };
        let watch = Watch { range, from, previous: false, delivery: self.delivery };
        let kind = Watch::SPEC.kind;
        let ticket = Ticket { id: 5, kind, operation: 9, class: op::Class::Watch };
        match session.open_watch(&ticket, &watch, store) {
            WatchStart::Views(range) => {
                let Ok(Ok(cuts)) = now_or_never(views(store.feeds(), &range)) else {
                    panic!("all is safe")
                };
                session.views_ready(5, cuts);
                (self.content, self.last_key) = (Content::new(), Vec::new());
            }
            WatchStart::Open => {}
            WatchStart::Reach(after) => {
                assert!(!store.feeds.last().unwrap().is_at_hand());
                assert_eq!(Some(after.cursor(9)), self.cursor);
                assert!(self.read(&mut session, store, 0, usize::MAX), "it waits for that");
                session.views_ready(5, Vec::new());
            }
            WatchStart::Refused => panic!("nothing is forgotten"),
        }
        session
    }

    fn take(&mut self, body: &[u8], store: &Several) {
        self.messages += 1;
        match codec::decode(body).unwrap() {
            WatchMessage::Content(entries) => {
                assert!(self.cursor.is_none());
                for entry in entries {
                    assert!(self.last_key < entry.key.to_vec(), "pages are in the order of keys");
                    self.last_key = entry.key.to_vec();
                    self.content.insert(entry.key.to_vec(), entry.stored.value.to_vec());
                }
            }
            WatchMessage::CaughtUp { revision, cursor }
            | WatchMessage::Bookmark { revision, cursor } => {
                self.reach(cursor, store);
                let least = self.cursor.as_ref().unwrap().revisions.iter().min();
                assert_eq!(Some(&revision), least, "all groups have come so far");
            }
            WatchMessage::Events { revision, cursor, events } => {
                let before = self.cursor.clone().expect("it has caught up");
                let group = usize::from(key_of(&events[0])[1]);
                for event in events {
                    let key = key_of(&event);
                    assert_eq!(usize::from(key[1]), group, "a message is of one group");
                    match event {
                        WireEvent::Put { entry, .. } => {
                            self.content.insert(key.to_vec(), entry.stored.value.to_vec());
                        }
                        _ => {
                            self.content.remove(key);
                        }
                    }
                }
                self.reach(cursor, store);
                let at = self.cursor.as_ref().unwrap().revisions[group];
                assert!(before.revisions[group] < revision && revision <= at, "no repeat");
                if self.delivery == Delivery::Every {
                    assert_eq!(revision, at);
                    let truth = &store.truth[group];
                    let missed = &truth[before.revisions[group] as usize..revision as usize];
                    let quiet = missed.windows(2).all(|pair| pair[0] == pair[1]);
                    assert!(quiet, "no change is left out");
                }
            }
        }
    }

    fn reach(&mut self, cursor: &[u8], store: &Several) {
        let cursor = Cursor::from_bytes(cursor).unwrap();
        if let Some(before) = &self.cursor {
            let mut both = before.revisions.iter().zip(&cursor.revisions);
            assert!(both.all(|(before, after)| before <= after), "no group goes back");
        }
        assert_eq!(self.content, store.at(&cursor.revisions));
        self.cursor = Some(cursor);
    }

    /// Takes up to `most` messages; whether all came.
    fn read(&mut self, session: &mut Session, store: &Several, now: u64, most: usize) -> bool {
        read_messages(session, store, Millis(now), most, |body| self.take(body, store))
    }
}

fn key_of<'a>(event: &WireEvent<'a>) -> &'a [u8] {
    match event {
        WireEvent::Put { entry, .. } => entry.key,
        WireEvent::Delete { key, .. }
        | WireEvent::Expire { key, .. }
        | WireEvent::Evict { key, .. } => key,
    }
}

fn now_or_never<T>(promise: Promise<T>) -> Result<T, ()>
where
    T: Unpin,
{
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(&mut { promise }).poll(&mut context) {
        std::task::Poll::Ready(value) => Ok(value),
        std::task::Poll::Pending => Err(()),
    }
}

#[test]
fn a_watch_over_groups_has_no_gap_and_no_repeat_wherever_it_is_cut() {
    let (mut messages, mut cuts) = (0, 0);
    for seed in 1..=20_u64 {
        let mut random = seeded(seed);
        let groups = 1 + random() % 5;
        let mut store = Several::new(groups, 1 << 20);
        if seed.is_multiple_of(3) {
            store = store.distant();
        }
        let delivery = if seed.is_multiple_of(2) { Delivery::Every } else { Delivery::Latest };
        for _ in 0..random() % 200 {
            store.write((random() % groups) as usize, &mut random);
        }
        let mut follower = Follower::new(delivery);
        let mut session = follower.connect(&store);
        for step in 0..120 {
            // Now and then one group alone is busy.
            let busy = random() % groups;
            for _ in 0..random() % 12 {
                let group = if random().is_multiple_of(4) { random() % groups } else { busy };
                store.write(group as usize, &mut random);
            }
            store.tell(&mut session);
            let most = if random().is_multiple_of(3) { random() as usize % 4 } else { usize::MAX };
            if !follower.read(&mut session, &store, step, most) {
                session = follower.connect(&store);
                cuts += 1;
            }
            if random().is_multiple_of(9) {
                session.tick(Millis((step + 1) * 10_000));
            }
        }
        store.tell(&mut session);
        assert!(follower.read(&mut session, &store, 200, usize::MAX), "seed {seed}");
        assert_eq!(follower.content, store.at(&store.newest()), "seed {seed}: not all came");
        for (group, newest) in store.newest().into_iter().enumerate() {
            assert_eq!(session.waits_for_change(group), Some(newest), "seed {seed}");
        }
        messages += follower.messages;
    }
    assert!(messages > 1_500 && cuts > 200, "{messages} messages, {cuts} cuts");
}

#[test]
fn a_group_that_never_rests_keeps_no_other_waiting() {
    for delivery in [Delivery::Every, Delivery::Latest] {
        let (mut random, mut store) = (seeded(7), Several::new(3, 1 << 20));
        let mut follower = Follower::new(delivery);
        let mut session = follower.connect(&store);
        assert!(follower.read(&mut session, &store, 0, usize::MAX));
        for _ in 0..300 {
            store.write(0, &mut random);
        }
        while store.at(&[0, 0, store.feeds[2].revision()]).is_empty() {
            store.write(2, &mut random);
        }
        let wanted = store.feeds[2].revision();
        store.tell(&mut session);
        // The first group has always more than the socket takes.
        let (mut turns, mut body) = (0, Vec::new());
        while follower.cursor.as_ref().unwrap().revisions[2] < wanted {
            for _ in 0..60 {
                store.write(0, &mut random);
            }
            store.tell(&mut session);
            session.fill(Millis(1), &store);
            let bytes = session.output().to_vec();
            let mut rest = &bytes[..];
            while let Some((frame, length)) = Frame::decode(rest, u32::MAX).unwrap() {
                body.extend_from_slice(frame.body);
                rest = &rest[length..];
                if !frame.more() {
                    follower.take(&std::mem::take(&mut body), &store);
                }
            }
            session.taken(Millis(1), bytes.len());
            turns += 1;
            assert!(turns < 10, "{delivery:?}: group 2 waits for group 0");
        }
    }
}

#[test]
fn a_watch_from_now_begins_where_the_store_is_although_that_has_to_be_asked() {
    let (mut random, mut store) = (seeded(5), Several::new(3, 1 << 20).distant());
    (0..30).for_each(|n| store.write(n % 3, &mut random));
    let mut session = greeted_under(settings(Limits::DEFAULT));
    let (from, delivery) = (WatchFrom::Now, Delivery::Every);
    let watch = Watch { range: Range::default(), from, previous: false, delivery };
    let kind = Watch::SPEC.kind;
    let ticket = Ticket { id: 5, kind, operation: 9, class: op::Class::Watch };
    let WatchStart::Views(nothing) = session.open_watch(&ticket, &watch, &store) else {
        panic!("it is known with a view")
    };
    store.write(2, &mut random);
    let Ok(Ok(cuts)) = now_or_never(views(store.feeds(), &nothing)) else { panic!("all is safe") };
    session.views_ready(5, cuts);
    let mut follower = Follower::new(delivery);
    follower.content = store.at(&store.newest());
    assert!(follower.read(&mut session, &store, 0, usize::MAX));
    let begun = follower.cursor.clone().expect("it has caught up").revisions;
    assert_eq!((begun, follower.messages), (store.newest(), 1));
}

#[test]
fn one_group_that_has_forgotten_makes_a_cursor_too_old() {
    for forgetful in 0..3 {
        let (mut random, mut store) = (seeded(3), Several::new(3, 2_000));
        let mut follower = Follower::new(Delivery::Every);
        let mut session = follower.connect(&store);
        assert!(follower.read(&mut session, &store, 0, usize::MAX));
        (0..3).for_each(|group| store.write(group, &mut random));
        for _ in 0..200 {
            store.write(forgetful, &mut random);
        }
        let mut session = follower.connect(&store);
        session.fill(Millis(1), &store);
        let bytes = session.output().to_vec();
        let mut rest = &bytes[..];
        let mut ends = Vec::new();
        while let Some((frame, length)) = Frame::decode(rest, u32::MAX).unwrap() {
            if frame.id == 5 {
                assert_eq!(frame.kind, kind::ERROR, "nothing is sent before");
                let body: ErrorBody<'_> = codec::decode(frame.body).unwrap();
                ends.push(Code::from_number(body.code));
            }
            rest = &rest[length..];
        }
        assert_eq!(ends, [Some(Code::CursorTooOld)]);
        assert_eq!(session.watches(), 0);
    }
}

#[test]
fn a_cursor_of_another_number_of_groups_is_of_another_history() {
    let store = Several::new(3, 1 << 20);
    for revisions in [vec![1], vec![0, 0], vec![0, 0, 0, 0], vec![0, 1, 0]] {
        let cursor = Cursor { incarnation: 9, revisions }.to_bytes();
        let mut session = greeted_under(settings(Limits::DEFAULT));
        let from = WatchFrom::Cursor(&cursor);
        let delivery = Delivery::Every;
        let watch = Watch { range: Range::default(), from, previous: false, delivery };
        let kind = Watch::SPEC.kind;
        let ticket = Ticket { id: 5, kind, operation: 9, class: op::Class::Watch };
        assert_eq!(session.open_watch(&ticket, &watch, &store), WatchStart::Refused);
    }
}
