//! What watches hold counts, is bounded, and is given back.

use std::sync::Arc;

use tidekeep_log::View;
use tidekeep_protocol::codec;
use tidekeep_protocol::error::{Code, ErrorBody};
use tidekeep_protocol::frame::{self, kind};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::{self, Delivery, Operation, Watch, WatchFrom};
use tidekeep_protocol::range::{KeyRange, Range};

use super::tests::{Scripted, greeted, greeted_under, sent, settings};
use super::*;

/// Asks for the changes of a range with two bounds of 1,000 bytes.
fn open(session: &mut Session, commit: &Scripted, id: u32, from: WatchFrom<'_>) -> WatchStart {
    let (start, end) = ([b'a'; 1_000], [b'b'; 1_000]);
    let range = Range { start: &start, end: Some(&end) };
    let watch = Watch { range, from, previous: false, delivery: Delivery::Every };
    let class = op::Class::Watch;
    let ticket = Ticket { id, kind: Watch::SPEC.kind, operation: 9, class };
    session.open_watch(&ticket, &watch, commit)
}

fn cancel(session: &mut Session, ids: impl Iterator<Item = u32>) {
    let mut bytes = Vec::new();
    for id in ids {
        frame::write(&mut bytes, kind::CANCEL, 0, id, &[], |_| {});
    }
    let read = session.read(Millis(1), Millis(1), &bytes, &mut Batch::default());
    assert_eq!(read, bytes.len());
}

#[test]
fn what_watches_hold_counts_until_they_end() {
    let (commit, mut session) = (Scripted::default(), greeted());
    sent(&mut session, Millis(0), &commit);
    session.rest();
    let before = session.held_bytes();
    for id in 1..=100 {
        assert_eq!(open(&mut session, &commit, id, WatchFrom::Now), WatchStart::Open);
    }
    sent(&mut session, Millis(0), &commit);
    session.rest();
    let held = session.held_bytes() - before;
    assert!((200_000..400_000).contains(&held), "{held} bytes for 100 watches");

    cancel(&mut session, 1..=50);
    sent(&mut session, Millis(1), &commit);
    session.rest();
    let half = session.held_bytes() - before;
    assert!(half.abs_diff(held / 2) < 2_000, "{half} of {held} bytes for half of them");

    session.go_away(Millis(1), 0);
    sent(&mut session, Millis(1), &commit);
    session.rest();
    assert!(session.held_bytes() - before < 2_000, "{} were {before}", session.held_bytes());
}

#[test]
fn what_a_watch_holds_of_its_content_counts_until_it_is_sent() {
    let (commit, mut session) = (Scripted::default(), greeted());
    let opened = open(&mut session, &commit, 1, WatchFrom::Content);
    assert!(matches!(opened, WatchStart::Views(_)));
    let opening = session.held_bytes();
    let range = KeyRange { start: vec![b'a'; 100_000], end: None };
    session.views_ready(1, vec![View::freeze(std::iter::empty(), &range, Default::default(), 0)]);
    assert!(session.held_bytes() >= opening + 100_000);
    sent(&mut session, Millis(1), &commit);
    session.rest();
    assert!(session.held_bytes() <= opening, "{} were {opening}", session.held_bytes());
}

#[test]
fn watches_beyond_their_half_of_the_budget_are_refused_and_the_others_go_on() {
    let commit = Scripted::default();
    let mut settings = Arc::into_inner(settings(Limits::DEFAULT)).unwrap();
    settings.budgets.connection_bytes = 100_000;
    let mut session = greeted_under(Arc::new(settings));
    let mut ids = 1..;
    let refused =
        ids.find(|&id| open(&mut session, &commit, id, WatchFrom::Now) == WatchStart::Refused);
    let refused = refused.expect("one is too many");
    assert!((12..=25).contains(&refused), "{refused} watches of 2 kB in 50 kB");
    let frames = sent(&mut session, Millis(1), &commit);
    let error = frames.iter().find(|(kind, ..)| *kind == kind::ERROR);
    let (_, id, body) = error.expect("it is told");
    let error: ErrorBody<'_> = codec::decode(body).unwrap();
    assert_eq!((*id, Code::from_number(error.code)), (refused, Some(Code::TooManyWatches)));
    assert!(error.retryable);
    assert!(session.may_read(), "what is left of the budget is for requests");

    cancel(&mut session, 1..=1);
    assert_eq!(open(&mut session, &commit, refused, WatchFrom::Now), WatchStart::Open);
    let key = [b'a'; 1_001];
    commit.commit(&[(&key, Some(b"value"))]);
    session.changed(0);
    let frames = sent(&mut session, Millis(2), &commit);
    let told = frames.iter().filter(|(kind, ..)| *kind == Watch::SPEC.kind | kind::REPLY);
    assert!(told.count() >= refused as usize - 1, "the watches that there are go on");
}
