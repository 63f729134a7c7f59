//! What a watch of the latest changes gets, held against what one of every change gets.

use std::collections::BTreeMap;

use tidekeep_log::disk::faulty::seeded;
use tidekeep_protocol::op::{Delivery, Event as WireEvent, WatchFrom, WatchMessage};
use tidekeep_protocol::{codec, op};

use super::tests::{Scripted, greeted, sent};
use super::*;

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

fn open(session: &mut Session, commit: &Scripted, delivery: Delivery, previous: bool) {
    let watch = op::Watch { range: Default::default(), from: WatchFrom::Now, previous, delivery };
    let kind = <op::Watch<'_> as op::Operation>::SPEC.kind;
    let ticket = Ticket { id: 5, kind, operation: 9, class: op::Class::Watch };
    assert_eq!(session.open_watch(&ticket, &watch, commit), WatchStart::Open);
}

fn put(commit: &Scripted, key: &[u8], value: &[u8]) {
    commit.commit(&[(key, Some(value))]);
}

/// Commits up to four changes of few keys in one revision; what the store holds after it.
fn transact(commit: &Scripted, random: &mut impl FnMut() -> u64, before: &Content) -> Content {
    let mut now = before.clone();
    let picks: Vec<_> = (0..1 + random() % 4).map(|_| (random() % 6, random())).collect();
    let keys: Vec<Vec<u8>> = picks.iter().map(|pick| vec![pick.0 as u8]).collect();
    let values: Vec<_> = picks.iter().map(|pick| pick.1.to_be_bytes()).collect();
    let mut events: Vec<(&[u8], Option<&[u8]>)> = Vec::new();
    for (key, value) in keys.iter().zip(&values) {
        if value[0] < 100 {
            now.remove(key);
            events.push((key, None));
        } else {
            now.insert(key.clone(), value.to_vec());
            events.push((key, Some(value)));
        }
    }
    events.push((b"always", Some(b"so that the revision has an event")));
    now.insert(b"always".to_vec(), b"so that the revision has an event".to_vec());
    commit.commit(&events);
    now
}

/// Applies the events messages among these frames; the revision of each.
fn apply(frames: &[(u8, u32, Vec<u8>)], content: &mut Content) -> Vec<u64> {
    let mut revisions = Vec::new();
    for (_, _, body) in frames {
        let WatchMessage::Events { revision, events, .. } = codec::decode(body).unwrap() else {
            continue;
        };
        revisions.push(revision);
        for event in events {
            match event {
                WireEvent::Put { entry, .. } => {
                    content.insert(entry.key.to_vec(), entry.stored.value.to_vec());
                }
                WireEvent::Delete { key, .. }
                | WireEvent::Expire { key, .. }
                | WireEvent::Evict { key, .. } => {
                    content.remove(key);
                }
            }
        }
    }
    revisions
}

#[test]
fn a_watcher_that_is_behind_gets_one_message_for_many_changes_of_a_key() {
    let (commit, mut session) = (Scripted::default(), greeted());
    open(&mut session, &commit, Delivery::Latest, true);
    sent(&mut session, Millis(1), &commit);
    put(&commit, b"key", b"before");
    session.changed(0);
    sent(&mut session, Millis(1), &commit);
    for n in 0..10_000_u32 {
        put(&commit, b"key", &n.to_be_bytes());
    }
    session.changed(0);
    let frames = sent(&mut session, Millis(2), &commit);
    let [(_, 5, body)] = &frames[..] else { panic!("{} messages", frames.len()) };
    let WatchMessage::Events { revision, events, .. } = codec::decode(body).unwrap() else {
        panic!("not events")
    };
    assert_eq!(revision, 10_001);
    let [WireEvent::Put { entry, previous: Some(previous) }] = &events[..] else {
        panic!("not one put: {events:?}")
    };
    assert_eq!(entry.stored.value, 9_999_u32.to_be_bytes());
    assert_eq!(previous.value, b"before", "the entry before the first of the changes");
}

#[test]
fn keys_that_come_and_go_in_between_are_left_out() {
    let (commit, mut session) = (Scripted::default(), greeted());
    put(&commit, b"stays", b"1");
    put(&commit, b"goes", b"1");
    open(&mut session, &commit, Delivery::Latest, true);
    sent(&mut session, Millis(1), &commit);
    put(&commit, b"passes", b"2");
    commit.commit(&[(b"passes", None)]);
    put(&commit, b"goes", b"2");
    commit.commit(&[(b"goes", None)]);
    commit.commit(&[(b"stays", None)]);
    put(&commit, b"stays", b"2");
    session.changed(0);
    let frames = sent(&mut session, Millis(2), &commit);
    let [(_, 5, body)] = &frames[..] else { panic!("{} messages", frames.len()) };
    let WatchMessage::Events { events, .. } = codec::decode(body).unwrap() else {
        panic!("not events")
    };
    let [goes, stays] = &events[..] else { panic!("{events:?}") };
    assert!(
        matches!(goes, WireEvent::Delete { key: b"goes", previous: Some(one) } if one.value == b"1")
    );
    assert!(matches!(stays, WireEvent::Put { entry, previous: Some(one) }
        if entry.stored.value == b"2" && one.value == b"1"));
}

/// Both kinds of watch over the same changes, with a reader that stops and goes on: whatever was
/// merged, after each message the watcher holds what the store held at that message's revision, so
/// no transaction is ever half there.
#[test]
fn after_every_message_the_content_is_that_of_its_revision() {
    let mut merged = 0;
    for seed in 1..60_u64 {
        let (commit, mut session) = (Scripted::default(), greeted());
        open(&mut session, &commit, Delivery::Latest, false);
        sent(&mut session, Millis(0), &commit);
        let mut random = seeded(seed);
        let (mut truth, mut content) = (vec![Content::new()], Content::new());
        for step in 0..300 {
            for _ in 0..random() % 9 {
                let now = transact(&commit, &mut random, truth.last().unwrap());
                truth.push(now);
            }
            session.changed(0);
            if random().is_multiple_of(3) {
                continue;
            }
            // A message at a time, as a socket that takes little would have it.
            session.fill(Millis(step), &commit);
            for frame in sent(&mut session, Millis(step), &commit) {
                for revision in apply(&[frame], &mut content) {
                    assert_eq!(content, truth[revision as usize], "seed {seed}: {revision}");
                    merged += 1;
                }
            }
        }
        session.changed(0);
        apply(&sent(&mut session, Millis(301), &commit), &mut content);
        assert_eq!(&content, truth.last().unwrap(), "seed {seed}: not everything came");
        assert_eq!(session.waits_for_change(0), Some(truth.len() as u64 - 1));
    }
    assert!(merged > 1000, "{merged} messages");
}

#[test]
fn what_does_not_fit_one_message_comes_in_several_of_whole_revisions() {
    let (commit, mut session) = (Scripted::default(), greeted());
    open(&mut session, &commit, Delivery::Latest, false);
    sent(&mut session, Millis(1), &commit);
    // Each of 30 keys has a value of 400 KB: 12 MB in all, 8 MiB of which are a message.
    let (mut truth, mut content) = (vec![Content::new()], Content::new());
    for n in 0..30_u8 {
        put(&commit, &[n], &[n; 400_000]);
        let mut now = truth.last().unwrap().clone();
        now.insert(vec![n], vec![n; 400_000]);
        truth.push(now);
    }
    session.changed(0);
    let frames = joined(&sent(&mut session, Millis(2), &commit));
    assert!((2..10).contains(&frames.len()), "{} messages", frames.len());
    for frame in frames {
        assert!(frame.2.len() <= tidekeep_protocol::limits::Limits::DEFAULT.reply_bytes as usize);
        let revisions = apply(&[frame], &mut content);
        assert_eq!(content, truth[revisions[0] as usize]);
    }
    assert_eq!(content.len(), 30);
}

/// Bodies with their chunks joined.
fn joined(frames: &[(u8, u32, Vec<u8>)]) -> Vec<(u8, u32, Vec<u8>)> {
    let mut whole: Vec<(u8, u32, Vec<u8>)> = Vec::new();
    let mut open = false;
    for (kind, id, body) in frames {
        match whole.last_mut() {
            Some(last) if open => last.2.extend_from_slice(body),
            _ => whole.push((*kind, *id, body.clone())),
        }
        open = body.len() == tidekeep_protocol::limits::Limits::DEFAULT.chunk_bytes as usize;
    }
    whole
}

#[test]
fn every_and_latest_live_on_one_connection_and_both_are_cut_when_history_forgets() {
    let (commit, mut session) = (Scripted::default(), greeted());
    open(&mut session, &commit, Delivery::Latest, false);
    let watch = op::Watch {
        range: Default::default(),
        from: WatchFrom::Now,
        previous: false,
        delivery: Delivery::Every,
    };
    let kind = <op::Watch<'_> as op::Operation>::SPEC.kind;
    let ticket = Ticket { id: 6, kind, operation: 9, class: op::Class::Watch };
    session.open_watch(&ticket, &watch, &commit);
    sent(&mut session, Millis(1), &commit);
    for _ in 0..10 {
        put(&commit, b"key", b"value");
    }
    session.changed(0);
    let frames = sent(&mut session, Millis(2), &commit);
    let of = |id| frames.iter().filter(|frame| frame.1 == id).count();
    assert_eq!((of(5), of(6)), (1, 10));
    assert_eq!(session.waits_for_change(0), Some(10));
    put(&commit, b"key", b"value");
    put(&commit, b"key", b"value");
    commit.forget(11);
    session.changed(0);
    let frames = sent(&mut session, Millis(3), &commit);
    let ended: Vec<u32> = frames.iter().filter(|frame| frame.0 == 7).map(|frame| frame.1).collect();
    assert_eq!((ended.len(), frames.len()), (2, 2));
    assert_eq!((session.watches(), session.waits_for_change(0)), (0, None));
}

#[test]
fn a_reader_that_stops_costs_no_more_than_what_is_on_the_way() {
    for delivery in [Delivery::Every, Delivery::Latest] {
        let (commit, mut session) = (Scripted::default(), greeted());
        open(&mut session, &commit, delivery, false);
        sent(&mut session, Millis(1), &commit);
        let mut most = 0;
        for n in 0..2_000_u32 {
            commit.commit_new(&n.to_be_bytes(), &[0; 5_000]);
            session.changed(0);
            session.fill(Millis(2), &commit);
            most = most.max(session.output_backlog());
        }
        // Of 10 MB: two chunks that are ready for the socket, and the message that overstepped.
        assert!(most <= 3 * (64 << 10), "{delivery:?}: {most} bytes wait");
        assert_eq!(session.watches(), 1, "as long as nothing is forgotten it can go on");
    }
}

/// What stands between a change and its way to the socket is bounded, whatever else is on the way.
#[test]
fn long_replies_hold_an_event_up_by_three_chunks_at_most() {
    let (commit, mut session) = (Scripted::default(), greeted());
    open(&mut session, &commit, Delivery::Every, false);
    sent(&mut session, Millis(1), &commit);
    let scan = <op::Scan<'_> as op::Operation>::SPEC;
    for id in 100..108 {
        let ticket = Ticket { id, kind: scan.kind, operation: 3, class: op::Class::Read };
        session.reply(&ticket, |body| body.resize(body.len() + (8 << 20) - 1, 0));
    }
    let mut worst = 0;
    for n in 0..50_u64 {
        // The socket takes some of the replies, then the change comes.
        session.fill(Millis(2 + n), &commit);
        session.taken(Millis(2 + n), session.output().len().min(3_000 * (n as usize + 1)));
        put(&commit, b"key", b"value");
        session.changed(0);
        let (mut before, mut found) = (0, false);
        while !found {
            session.fill(Millis(2 + n), &commit);
            let bytes = session.output().to_vec();
            assert!(!bytes.is_empty(), "the event never came");
            // Look for the key: nothing else has it, replies are zeros.
            let at = bytes.windows(3).position(|three| three == b"key");
            before += at.unwrap_or(bytes.len());
            found = at.is_some();
            session.taken(Millis(2 + n), bytes.len());
        }
        worst = worst.max(before);
    }
    assert!(worst <= 3 * (64 << 10), "{worst} bytes of 64 MiB came before an event");
}

#[test]
fn a_quiet_watch_resumes_from_its_bookmark_after_history_turned_over() {
    for delivery in [Delivery::Every, Delivery::Latest] {
        let (commit, mut session) = (Scripted::default(), greeted());
        let quiet = |from| {
            let range = tidekeep_protocol::range::Range { start: b"quiet", end: Some(b"quiet0") };
            op::Watch { range, from, previous: false, delivery }
        };
        let kind = <op::Watch<'_> as op::Operation>::SPEC.kind;
        let ticket = Ticket { id: 5, kind, operation: 9, class: op::Class::Watch };
        session.open_watch(&ticket, &quiet(WatchFrom::Now), &commit);
        sent(&mut session, Millis(1), &commit);
        let mut bookmark = Vec::new();
        for turn in 1..=5_u64 {
            for n in 0..100_u32 {
                put(&commit, &n.to_be_bytes(), b"busy");
            }
            session.changed(0);
            assert_eq!(sent(&mut session, Millis(turn * 10_000 - 1), &commit), []);
            session.tick(Millis(turn * 10_000));
            let frames = sent(&mut session, Millis(turn * 10_000), &commit);
            let body = frames.iter().map(|frame| &frame.2).find(|body| !body.is_empty());
            match codec::decode(body.expect("a bookmark comes")).unwrap() {
                WatchMessage::Bookmark { revision, cursor } => {
                    assert_eq!(revision, turn * 100);
                    bookmark = cursor.to_vec();
                }
                other => panic!("{other:?}"),
            }
            // Everything before the bookmark is forgotten.
            commit.forget(turn * 100);
        }
        put(&commit, b"quiet", b"at last");
        let mut again = greeted();
        sent(&mut again, Millis(1), &commit);
        again.open_watch(&ticket, &quiet(WatchFrom::Cursor(&bookmark)), &commit);
        let frames = sent(&mut again, Millis(2), &commit);
        let mut content = Content::new();
        assert_eq!(apply(&frames, &mut content), [501]);
        assert_eq!(content[&b"quiet"[..]], b"at last");
    }
}
