//! A gap in a watch is told as a difference: what is new or changed, what is gone, and nothing else.

use tidekeep_client_core::protocol::op::WatchMessage;
use tidekeep_client_core::protocol::range::KeyRange;
use tidekeep_client_core::{Config, Input, Millis, Output, WatchId, WatchRequest};

use crate::pair::{Pair, Seen};
use crate::watches::{set, story};

/// A watch with content that has seen `a b c d e`, and then lost its connection.
fn cut_off(pair: &mut Pair) -> WatchId {
    for key in ["a", "b", "c", "d", "e"] {
        set(pair, key, "x");
    }
    let watch = pair.watch(b"", true);
    pair.run();
    assert_eq!(story(pair, watch), ["content a b c", "content d e", "caught up 5"]);
    pair.cut();
    watch
}

/// Changes of which the server then knows nothing any more.
fn change_and_forget(pair: &mut Pair) {
    set(pair, "b", "y");
    pair.server.apply(vec![(b"c".to_vec(), None), (b"a".to_vec(), None)]);
    set(pair, "f", "x");
    set(pair, "g", "x");
    pair.server.apply(vec![(b"g".to_vec(), None)]);
    pair.server.forget();
}

#[test]
fn gap_is_told_as_what_is_new_or_changed_and_what_is_gone() {
    let mut pair = Pair::ready();
    let watch = cut_off(&mut pair);
    change_and_forget(&mut pair);
    pair.pass(100);
    let told = ["content b", "content f", "events 10 less a c", "caught up 10"];
    assert_eq!(story(&mut pair, watch), told);
    set(&mut pair, "a", "z");
    pair.run();
    assert_eq!(story(&mut pair, watch), ["events 11"]);
    pair.cut();
    pair.server.forget();
    pair.pass(1_000);
    assert_eq!(story(&mut pair, watch), ["caught up 11"], "nothing changed");
}

#[test]
fn break_amid_a_difference_begins_it_anew_and_tells_nothing_twice() {
    let mut at = 0;
    let mut broken = true;
    while broken {
        let mut pair = Pair::ready();
        let watch = cut_off(&mut pair);
        change_and_forget(&mut pair);
        let before = pair.cuts;
        pair.cut_after_in = Some(at);
        pair.pass(3_000);
        broken = pair.cuts > before;
        let story = story(&mut pair, watch);
        let changes = ["content b", "content f", "events 10 less a c"];
        assert_eq!(story[..3], changes, "{at}: {story:?}");
        assert!(story[3..].iter().all(|what| what == "caught up 10"), "{at}: {story:?}");
        at += 1;
    }
    assert!(at > 200, "the sweep covered the difference: {at}");
}

#[test]
fn position_of_the_deletes_resumes_behind_them() {
    let mut pair = Pair::ready();
    cut_off(&mut pair);
    change_and_forget(&mut pair);
    pair.pass(100);
    let caught_up = |seen: &Seen| match seen {
        Seen::CaughtUp(_, _, cursor) => Some(cursor.clone()),
        _ => None,
    };
    let cursor = pair.seen.iter().find_map(caught_up);
    let range = KeyRange::all();
    let request = WatchRequest { range, cursor, ..WatchRequest::default() };
    let next = pair.core.watch(Millis(pair.now), request);
    set(&mut pair, "h", "x");
    pair.run();
    assert_eq!(story(&mut pair, next), ["events 11", "caught up 11"]);
}

#[test]
fn content_of_another_history_is_told_whole_for_its_revisions_mean_nothing() {
    let mut pair = Pair::ready();
    let watch = cut_off(&mut pair);
    // The store was restored from before `e`, and `d` was then written at the same revision again.
    pair.server.incarnation += 1;
    pair.server.entries.remove(&b"e"[..]);
    pair.server.entries.insert(b"d".to_vec(), (b"other".to_vec(), 4));
    pair.pass(100);
    let story = story(&mut pair, watch);
    assert_eq!(story, ["content a b c", "content d", "events 5 less e", "caught up 5"]);
}

/// Connects again up to the point where the difference has left the server, and takes it.
fn in_flight(pair: &mut Pair) -> Vec<u8> {
    pair.server.silent = true;
    pair.pass(100);
    pair.server.silent = false;
    // The welcome, then the answer that the cursor is too old.
    for _ in 0..2 {
        let bytes = exchange(pair);
        pair.handle(Input::Bytes(&bytes));
    }
    exchange(pair)
}

/// Lets the core send what it has, and takes what the server has said by then.
fn exchange(pair: &mut Pair) -> Vec<u8> {
    let mut out = Vec::new();
    pair.core.transmit(&mut out, 1 << 16);
    pair.server.receive(&out);
    std::mem::take(pair.server.outbox().expect("connected"))
}

#[test]
fn pause_amid_a_difference_lets_it_end_and_then_stops() {
    let mut pair = Pair::ready();
    let watch = cut_off(&mut pair);
    change_and_forget(&mut pair);
    let bytes = in_flight(&mut pair);
    pair.core.pause(Millis(pair.now), watch);
    pair.handle(Input::Bytes(&bytes));
    pair.run();
    let told = ["content b", "content f", "events 10 less a c", "caught up 10"];
    assert_eq!(story(&mut pair, watch), told);
    assert!(pair.server.watching().is_empty());
}

#[test]
fn ended_watch_says_nothing_more_even_between_the_deletes_and_the_end() {
    let mut pair = Pair::ready();
    let watch = cut_off(&mut pair);
    pair.server.apply(vec![(b"a".to_vec(), None)]);
    pair.server.forget();
    let bytes = in_flight(&mut pair);
    let mut drain = pair.core.handle(Millis(pair.now), Input::Bytes(&bytes));
    let deletes = drain.next();
    assert!(matches!(deletes, Some(Output::Watch { .. })), "{deletes:?}");
    drop(drain);
    pair.core.unwatch(Millis(pair.now), watch);
    let mut drain = pair.core.drain();
    assert!(drain.next().is_none());
}

#[test]
fn keys_over_the_bound_are_not_kept_and_the_gap_is_a_reset() {
    // Five keys of one byte each fit, six do not.
    let config = Config { tracked_bytes: 5 * 97, ..Config::default() };
    let mut pair = Pair::ready_with(config.clone());
    let watch = cut_off(&mut pair);
    pair.server.forget();
    set(&mut pair, "b", "y");
    pair.server.forget();
    pair.pass(100);
    assert_eq!(story(&mut pair, watch), ["content b", "caught up 6"], "five fit");
    set(&mut pair, "f", "x");
    pair.run();
    assert_eq!(story(&mut pair, watch), ["events 7"]);
    pair.cut();
    set(&mut pair, "b", "z");
    pair.server.forget();
    pair.pass(1_000);
    let story_then = story(&mut pair, watch);
    assert_eq!(story_then, ["reset", "content a b c", "content d e f", "caught up 8"]);
    pair.server.apply(vec![(b"a".to_vec(), None), (b"b".to_vec(), None)]);
    pair.run();
    story(&mut pair, watch);

    // What grows over it amid a difference begins anew, once.
    let mut pair = Pair::ready_with(config);
    let watch = cut_off(&mut pair);
    for key in ["d1", "d2", "d3"] {
        set(&mut pair, key, "x");
    }
    pair.server.forget();
    pair.pass(1_000);
    let told = story(&mut pair, watch);
    let reset = told.iter().position(|what| what == "reset").expect("it did not fit");
    let whole = ["reset", "content a b c", "content d d1 d2", "content d3 e", "caught up 8"];
    assert_eq!(told[reset..], whole);
    set(&mut pair, "e", "y");
    pair.run();
    assert_eq!(story(&mut pair, watch), ["events 9"]);
}

#[test]
fn ended_watches_give_their_keys_back() {
    let config = Config { tracked_bytes: 5 * 97, ..Config::default() };
    let mut pair = Pair::ready_with(config);
    for _ in 0..50 {
        let first = cut_off_again(&mut pair);
        pair.core.unwatch(Millis(pair.now), first);
    }
    let watch = cut_off_again(&mut pair);
    pair.cut();
    pair.server.forget();
    pair.pass(10_000);
    assert_eq!(story(&mut pair, watch).len(), 1, "it is caught up without a reset");
}

fn cut_off_again(pair: &mut Pair) -> WatchId {
    for key in ["a", "b", "c", "d", "e"] {
        set(pair, key, "x");
    }
    let watch = pair.watch(b"", true);
    pair.run();
    story(pair, watch);
    watch
}

#[test]
fn message_that_does_not_decode_is_left_to_the_consumer() {
    use tidekeep_client_core::protocol::codec;
    use tidekeep_client_core::protocol::frame;
    let mut pair = Pair::ready();
    let watch = pair.watch(b"", true);
    pair.run();
    let id = pair.server.watching()[0];
    let mut body = Vec::new();
    let events = Vec::new();
    codec::encode(&WatchMessage::Events { revision: 1, cursor: b"c", events }, &mut body);
    body.push(7);
    pair.server.say(|out| frame::write(out, 0x99, 0, id, &[], |out| out.extend(&body)));
    pair.run();
    assert!(pair.seen.contains(&Seen::Malformed(watch)));
}
