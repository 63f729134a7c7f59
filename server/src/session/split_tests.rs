//! Watches while the only group is split into several: each goes on in all of them behind what it had, and so does
//! who comes back with a cursor from before, so that every change is told once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidekeep_log::disk::faulty::seeded;
use tidekeep_log::{
    Change, Changed, Changes, Commit, Event, Feed, PendingView, Promise, TooOld, View,
};
use tidekeep_protocol::codec;
use tidekeep_protocol::cursor::Cursor;
use tidekeep_protocol::error::{Code, ErrorBody};
use tidekeep_protocol::frame::{Frame, kind};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::{
    self, Delivery, Event as WireEvent, Operation, Watch, WatchFrom, WatchMessage,
};
use tidekeep_protocol::range::{KeyRange, Range};

use super::tests::{Group, Scripted, greeted_under, read_messages, settings};
use super::*;

const GROUPS: usize = 4;

/// One of the groups that a whole one was split into: its keys' changes, at the revisions at which they were.
struct Part {
    whole: Arc<Group>,
    group: usize,
}

fn group_of(key: &[u8]) -> usize {
    usize::from(key[1]) % GROUPS
}

impl Part {
    fn of(&self, change: Change) -> Change {
        let events = change.events.iter().filter(|event| group_of(event.key()) == self.group);
        let events: Vec<Event> = events.cloned().collect();
        Change { events: events.into(), ..change }
    }
}

impl Feed for Part {
    fn revision(&self) -> u64 {
        self.whole.revision()
    }

    fn changes(&self, after: u64, bytes: usize) -> Result<Changes, TooOld> {
        let Changes { changes, through } = self.whole.changes(after, bytes)?;
        let changes = changes.into_iter().map(|change| self.of(change)).collect();
        Ok(Changes { changes, through })
    }

    fn changed(&self, _: u64) -> Changed {
        Promise::later(std::future::pending())
    }

    fn view(&self, _: &KeyRange) -> PendingView {
        Promise::later(std::future::pending())
    }
}

fn split(store: &Scripted) {
    store.split(|whole| {
        let part = |group| Arc::new(Part { whole: Arc::clone(&whole), group }) as Arc<dyn Feed>;
        (0..GROUPS).map(part).collect()
    });
}

fn open(
    session: &mut Session,
    store: &Scripted,
    delivery: Delivery,
    from: WatchFrom<'_>,
) -> WatchStart {
    let watch = Watch { range: Range::default(), from, previous: false, delivery };
    let class = op::Class::Watch;
    let ticket = Ticket { id: 5, kind: Watch::SPEC.kind, operation: 9, class };
    session.open_watch(&ticket, &watch, store)
}

fn session() -> Session {
    greeted_under(settings(Limits { chunk_bytes: 200, ..Limits::DEFAULT }))
}

/// What a client was told: the values of each key, in their order.
#[derive(Default)]
struct Follower {
    told: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    cursor: Option<Cursor>,
}

impl Follower {
    /// Takes up to `most` messages; whether all came.
    fn read(&mut self, session: &mut Session, store: &Scripted, most: usize) -> bool {
        read_messages(session, store, Millis(1), most, |body| self.take(body))
    }

    fn take(&mut self, body: &[u8]) {
        match codec::decode(body).unwrap() {
            WatchMessage::Content(_) => panic!("there was none"),
            WatchMessage::CaughtUp { cursor, .. } | WatchMessage::Bookmark { cursor, .. } => {
                self.cursor = Some(Cursor::from_bytes(cursor).unwrap());
            }
            WatchMessage::Events { cursor, events, .. } => {
                self.cursor = Some(Cursor::from_bytes(cursor).unwrap());
                for event in events {
                    let WireEvent::Put { entry, .. } = event else { panic!("nothing ended") };
                    let values = self.told.entry(entry.key.to_vec()).or_default();
                    values.push(entry.stored.value.to_vec());
                }
            }
        }
    }
}

/// What the driver would tell a session.
fn tell(session: &mut Session, store: &Scripted) {
    session.regroup(store.feeds().len());
    for (group, feed) in store.feeds().iter().enumerate() {
        if session.waits_for_change(group).is_some_and(|after| after < feed.revision()) {
            session.changed(group);
        }
    }
}

#[test]
fn a_watch_goes_on_over_a_split_with_each_change_once_wherever_it_is_cut() {
    let (mut cuts, mut changes) = (0, 0);
    for seed in 1..=60_u64 {
        let mut random = seeded(seed);
        let store = Scripted::default();
        let delivery = if seed.is_multiple_of(3) { Delivery::Latest } else { Delivery::Every };
        let mut wrote: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        let (mut follower, mut session) = (Follower::default(), session());
        assert_eq!(open(&mut session, &store, delivery, WatchFrom::Now), WatchStart::Open);
        let split_at = random() % 60;
        for step in 0..60 {
            for _ in 0..random() % 6 {
                let key = [b'k', (random() % 12) as u8];
                let other = [b'l', (random() % 12) as u8];
                let value = random().to_be_bytes();
                let events = [(&key[..], Some(&value[..])), (&other[..], Some(&value[..]))];
                let group = group_of(&key);
                // Behind the split no change is of several groups.
                let both = step < split_at || group == group_of(&other);
                store.commit(&events[..if both { 2 } else { 1 }]);
                wrote.entry(key.to_vec()).or_default().push(value.to_vec());
                if both {
                    wrote.entry(other.to_vec()).or_default().push(value.to_vec());
                }
            }
            if step == split_at {
                split(&store);
            }
            // The driver may come to it before or behind the session.
            if random().is_multiple_of(2) {
                tell(&mut session, &store);
            }
            let most = if random().is_multiple_of(3) { random() as usize % 4 } else { usize::MAX };
            if !follower.read(&mut session, &store, most) {
                let Some(cursor) = follower.cursor.as_ref().map(Cursor::to_bytes) else { continue };
                session = self::session();
                let from = WatchFrom::Cursor(&cursor);
                assert_eq!(open(&mut session, &store, delivery, from), WatchStart::Open);
                cuts += 1;
            }
        }
        tell(&mut session, &store);
        assert!(follower.read(&mut session, &store, usize::MAX));
        for (key, values) in &wrote {
            let told = follower.told.get(key).map_or(&[][..], |told| &told[..]);
            changes += told.len();
            match delivery {
                Delivery::Every => assert_eq!(told, values, "seed {seed}, {key:?}"),
                Delivery::Latest => {
                    assert_eq!(told.last(), values.last(), "seed {seed}, {key:?}");
                    let mut all = values.iter();
                    let in_order = told.iter().all(|value| all.any(|it| it == value));
                    assert!(in_order, "seed {seed}, {key:?}: told twice, or out of order");
                }
            }
        }
        let newest = store.feeds()[0].revision();
        for group in 0..GROUPS {
            assert_eq!(session.waits_for_change(group), Some(newest), "seed {seed}");
        }
    }
    assert!(cuts > 100 && changes > 5_000, "{cuts} cuts, {changes} changes");
}

#[test]
fn content_of_the_whole_group_is_followed_by_the_changes_of_all_its_parts() {
    let (store, mut session) = (Scripted::default(), session());
    store.commit(&[(b"a0", Some(b"before"))]);
    let opened = open(&mut session, &store, Delivery::Every, WatchFrom::Content);
    assert!(matches!(opened, WatchStart::Views(_)));
    split(&store);
    tell(&mut session, &store);
    for key in [b"b0", b"b1", b"b2", b"b3"] {
        store.commit(&[(key, Some(b"behind"))]);
    }
    let empty = View::freeze(std::iter::empty(), &KeyRange::all(), Default::default(), 1);
    session.views_ready(5, vec![empty]);
    let mut follower = Follower::default();
    assert!(follower.read(&mut session, &store, usize::MAX));
    assert_eq!(follower.told.len(), 4, "{:?}", follower.told.keys());
    assert_eq!(follower.cursor.expect("it caught up").revisions.len(), GROUPS);
}

#[test]
fn views_of_the_parts_are_taken_by_a_watch_that_began_with_the_whole() {
    let (store, mut session) = (Scripted::default(), session());
    store.commit(&[(b"a0", Some(b"before"))]);
    assert!(matches!(
        open(&mut session, &store, Delivery::Every, WatchFrom::Content),
        WatchStart::Views(_)
    ));
    split(&store);
    let empty = || View::freeze(std::iter::empty(), &KeyRange::all(), Default::default(), 1);
    session.views_ready(5, (0..GROUPS).map(|_| empty()).collect());
    store.commit(&[(b"b3", Some(b"behind"))]);
    let mut follower = Follower::default();
    assert!(follower.read(&mut session, &store, usize::MAX));
    assert_eq!(follower.told.len(), 1);
}

#[test]
fn a_cursor_of_the_parts_waits_for_a_node_that_still_serves_the_whole() {
    let (store, mut session) = (Scripted::default(), session());
    store.commit(&[(b"a0", Some(b"before"))]);
    let refused = |session: &mut Session, revisions: Vec<u64>| {
        let cursor = Cursor { incarnation: 9, revisions }.to_bytes();
        let from = WatchFrom::Cursor(&cursor);
        if open(session, &store, Delivery::Every, from) != WatchStart::Refused {
            return None;
        }
        session.fill(Millis(1), &store);
        let bytes = session.output().to_vec();
        let (mut rest, mut code) = (&bytes[..], None);
        while let Some((frame, length)) = Frame::decode(rest, u32::MAX).unwrap() {
            rest = &rest[length..];
            if frame.id == 5 && frame.kind == kind::ERROR {
                let error: ErrorBody<'_> = codec::decode(frame.body).unwrap();
                code = Code::from_number(error.code);
            }
        }
        session.taken(Millis(1), bytes.len());
        code
    };
    assert_eq!(refused(&mut session, vec![1; GROUPS]), Some(Code::Unavailable));
    split(&store);
    assert_eq!(refused(&mut session, vec![1; GROUPS - 1]), Some(Code::CursorTooOld));
    assert_eq!(refused(&mut session, vec![1; GROUPS]), None);
    assert_eq!(session.watches(), 1);
}
