//! Watches, one scenario each: content, live, resumed, reset, paused, cut.

use tidekeep_client_core::protocol::error::Code;
use tidekeep_client_core::protocol::range::KeyRange;
use tidekeep_client_core::{Millis, Resync, WatchId, WatchRequest};

use crate::pair::{Pair, Seen};

pub(crate) fn set(pair: &mut Pair, key: &str, value: &str) -> u64 {
    pair.server.apply(vec![(key.into(), Some(value.into()))])
}

/// What was seen of a watch, in short, and forgets it.
pub(crate) fn story(pair: &mut Pair, watch: WatchId) -> Vec<String> {
    let tell = |seen: Seen| match seen {
        Seen::Reset(id) if id == watch => Some("reset".to_owned()),
        Seen::Content(id, entries) if id == watch => {
            let keys: Vec<_> =
                entries.iter().map(|(key, ..)| String::from_utf8_lossy(key)).collect();
            Some(format!("content {}", keys.join(" ")))
        }
        Seen::CaughtUp(id, revision, _) if id == watch => Some(format!("caught up {revision}")),
        Seen::Events(id, (revision, changes)) if id == watch => {
            let gone = changes.iter().filter(|(_, value)| value.is_none());
            let gone: Vec<_> = gone.map(|(key, _)| String::from_utf8_lossy(key)).collect();
            Some(
                format!("events {revision}")
                    + if gone.is_empty() { "" } else { " less " }
                    + &gone.join(" "),
            )
        }
        Seen::Bookmark(id, revision) if id == watch => Some(format!("bookmark {revision}")),
        Seen::WatchFailed(id, error) if id == watch => Some(format!("over {}", error.code.name())),
        _ => None,
    };
    pair.take().into_iter().filter_map(tell).collect()
}

#[test]
fn content_comes_first_then_every_change() {
    let mut pair = Pair::ready();
    for key in ["a1", "a2", "a3", "a4", "b1"] {
        set(&mut pair, key, "x");
    }
    let watch = pair.watch(b"a", true);
    pair.run();
    assert_eq!(story(&mut pair, watch), ["content a1 a2 a3", "content a4", "caught up 5"]);
    set(&mut pair, "a9", "x");
    set(&mut pair, "b9", "x");
    pair.server.apply(vec![(b"a9".to_vec(), None)]);
    pair.server.bookmark();
    pair.run();
    assert_eq!(story(&mut pair, watch), ["events 6", "events 8 less a9", "bookmark 8"]);
}

#[test]
fn watch_without_content_begins_with_the_next_change() {
    let mut pair = Pair::ready();
    set(&mut pair, "a", "x");
    let watch = pair.watch(b"", false);
    pair.run();
    set(&mut pair, "a", "y");
    pair.run();
    assert_eq!(story(&mut pair, watch), ["caught up 1", "events 2"]);
}

#[test]
fn watch_goes_on_where_it_was_after_a_break() {
    let mut pair = Pair::ready();
    let watch = pair.watch(b"", true);
    pair.run();
    set(&mut pair, "a", "1");
    pair.run();
    pair.cut();
    set(&mut pair, "a", "2");
    set(&mut pair, "a", "3");
    pair.pass(100);
    set(&mut pair, "a", "4");
    pair.run();
    let story = story(&mut pair, watch);
    assert_eq!(
        story,
        ["caught up 0", "events 1", "events 2", "events 3", "caught up 3", "events 4"]
    );
}

#[test]
fn bookmark_is_where_a_quiet_watch_resumes() {
    let mut pair = Pair::ready();
    let watch = pair.watch(b"a", false);
    pair.run();
    set(&mut pair, "b", "x");
    pair.server.bookmark();
    pair.run();
    pair.server.forget();
    pair.cut();
    pair.pass(100);
    assert_eq!(story(&mut pair, watch), ["caught up 0", "bookmark 1", "caught up 1"]);
}

#[test]
fn cursor_of_an_earlier_life_resumes() {
    let mut pair = Pair::ready();
    let watch = pair.watch(b"", false);
    pair.run();
    set(&mut pair, "a", "1");
    let caught_up = pair.seen.iter().find_map(|seen| match seen {
        Seen::CaughtUp(_, _, cursor) => Some(cursor.clone()),
        _ => None,
    });
    pair.core.unwatch(Millis(pair.now), watch);
    let range = KeyRange::all();
    let request = WatchRequest { range, cursor: caught_up, ..WatchRequest::default() };
    let again = pair.core.watch(Millis(pair.now), request);
    pair.run();
    assert_eq!(story(&mut pair, again), ["events 1", "caught up 1"]);
}

#[test]
fn too_old_cursor_means_reset_then_the_content() {
    for content in [true, false] {
        let mut pair = Pair::ready();
        let watch = pair.watch_with(b"", content, Resync::Reset);
        set(&mut pair, "a", "1");
        pair.run();
        story(&mut pair, watch);
        pair.cut();
        set(&mut pair, "b", "1");
        pair.server.forget();
        pair.pass(100);
        assert_eq!(story(&mut pair, watch), ["reset", "content a b", "caught up 2"]);
        pair.server.incarnation += 1;
        pair.cut();
        pair.pass(200);
        assert_eq!(story(&mut pair, watch), ["reset", "content a b", "caught up 2"]);
    }
}

#[test]
fn reset_is_not_told_again_before_something_new_was_shown() {
    for at in 0..260 {
        for direction_out in [true, false] {
            let mut pair = Pair::ready();
            let watch = pair.watch_with(b"", true, Resync::Reset);
            set(&mut pair, "a", "1");
            pair.run();
            pair.cut();
            set(&mut pair, "b", "1");
            pair.server.forget();
            let cut = if direction_out { &mut pair.cut_after_out } else { &mut pair.cut_after_in };
            *cut = Some(at);
            pair.pass(1_000);
            let story = story(&mut pair, watch);
            assert!(story.windows(2).all(|two| two != ["reset", "reset"]), "{at}: {story:?}");
            let reset = story.iter().rposition(|what| what == "reset").expect("it was too old");
            assert_eq!(story[reset + 1..][..2], ["content a b", "caught up 2"], "{at}");
        }
    }
}

#[test]
fn given_cursor_that_is_too_old_resets_too() {
    let mut pair = Pair::ready();
    set(&mut pair, "a", "1");
    let cursor = tidekeep_client_core::protocol::cursor::Cursor::single(99, 1).to_bytes();
    let range = KeyRange::all();
    let request = WatchRequest { range, cursor: Some(cursor), ..WatchRequest::default() };
    let watch = pair.core.watch(Millis(pair.now), request);
    pair.run();
    assert_eq!(story(&mut pair, watch), ["reset", "content a", "caught up 1"]);
}

#[test]
fn content_that_broke_off_begins_anew_after_a_reset() {
    let mut pair = Pair::ready();
    for key in ["a", "b", "c", "d", "e"] {
        set(&mut pair, key, "x");
    }
    let watch = pair.watch_with(b"", true, Resync::Reset);
    pair.slice = 1;
    while !pair.seen.iter().any(|seen| matches!(seen, Seen::Content(..))) {
        pair.cut_after_in = Some(60);
        pair.run();
        pair.pass(100);
    }
    pair.cut_after_in = None;
    pair.pass(20_000);
    let story = story(&mut pair, watch);
    let reset = story.iter().position(|what| what == "reset").expect("it broke off in the middle");
    assert!(reset > 0);
    assert_eq!(story[story.len() - 4..], ["reset", "content a b c", "content d e", "caught up 5"]);
}

#[test]
fn ended_watch_says_nothing_more_and_is_cancelled() {
    let mut pair = Pair::ready();
    let watch = pair.watch(b"", false);
    pair.run();
    story(&mut pair, watch);
    let wire = pair.server.watching();
    set(&mut pair, "a", "1");
    pair.core.unwatch(Millis(pair.now), watch);
    pair.run();
    set(&mut pair, "a", "2");
    pair.run();
    assert_eq!(story(&mut pair, watch), [""; 0]);
    assert_eq!(pair.server.cancelled, wire);
    assert!(pair.server.watching().is_empty());
    pair.core.unwatch(Millis(pair.now), watch);
    pair.cut();
    pair.pass(100);
    assert!(pair.server.watching().is_empty(), "it does not come back");
}

#[test]
fn slow_reader_is_resumed_without_a_gap() {
    let mut pair = Pair::ready();
    let watch = pair.watch(b"", false);
    pair.run();
    set(&mut pair, "a", "1");
    pair.run();
    pair.server.cut_watches(Code::SlowReader);
    set(&mut pair, "a", "2");
    pair.pass(100);
    set(&mut pair, "a", "3");
    pair.run();
    let story = story(&mut pair, watch);
    assert_eq!(story, ["caught up 0", "events 1", "events 2", "caught up 2", "events 3"]);
}

#[test]
fn change_too_large_to_be_told_is_told_by_the_content() {
    let mut pair = Pair::ready();
    let watch = pair.watch_with(b"", true, Resync::Reset);
    set(&mut pair, "a", "1");
    pair.run();
    story(&mut pair, watch);
    pair.server.cut_watches(Code::ChangeTooLarge);
    set(&mut pair, "b", "1");
    pair.pass(100);
    assert_eq!(story(&mut pair, watch), ["reset", "content a b", "caught up 2"]);
}

#[test]
fn watch_that_is_cut_again_and_again_spares_the_server() {
    let mut pair = Pair::ready();
    let (watch, _other) = (pair.watch(b"", false), pair.watch(b"b", false));
    pair.run();
    let before = pair.server.requests.len();
    pair.server.stopping = true;
    pair.server.cut_watches(Code::Unavailable);
    pair.pass(60_000);
    let tries = pair.server.requests.len() - before;
    assert!((12..120).contains(&tries), "{tries} tries of both in a minute");
    pair.server.stopping = false;
    pair.pass(20_000);
    assert_eq!(pair.server.watching().len(), 2);
    set(&mut pair, "a", "1");
    pair.run();
    assert_eq!(story(&mut pair, watch).last().map(String::as_str), Some("events 1"));
}

#[test]
fn watch_that_recovers_is_tried_soon_again_the_next_time() {
    let mut pair = Pair::ready();
    pair.watch(b"", false);
    pair.watch(b"", false);
    for _ in 0..20 {
        pair.run();
        assert_eq!(pair.server.watching().len(), 2);
        pair.server.cut_watches(Code::SlowReader);
        pair.pass(100);
    }
}

#[test]
fn try_that_falls_due_on_a_leaving_server_waits_for_the_next_one() {
    let mut pair = Pair::ready();
    let watch = pair.watch(b"", false);
    pair.server.hold_replies = true;
    let call = pair.get(b"a");
    pair.run();
    pair.server.cut_watches(Code::Unavailable);
    pair.server.go_away(500);
    pair.pass(1_000);
    assert_eq!(pair.server.requests.len(), 2, "nothing new is asked of it");
    pair.server.hold_replies = false;
    pair.server.stopping = false;
    pair.core.cancel(Millis(pair.now), call);
    pair.pass(500);
    assert_eq!(pair.server.watching().len(), 1);
    set(&mut pair, "a", "1");
    pair.run();
    assert_eq!(story(&mut pair, watch).last().map(String::as_str), Some("events 1"));
}

#[test]
fn pause_ends_with_its_watch() {
    let mut pair = Pair::ready();
    let paused = pair.watch(b"", false);
    pair.run();
    pair.core.pause(Millis(pair.now), paused);
    pair.core.unwatch(Millis(pair.now), paused);
    let next = pair.watch(b"", false);
    pair.run();
    assert_eq!(story(&mut pair, next), ["caught up 0"]);
}

#[test]
fn final_refusal_ends_the_watch() {
    let mut pair = Pair::ready();
    let watch = pair.watch(b"", true);
    pair.run();
    story(&mut pair, watch);
    pair.server.cut_watches(Code::Forbidden);
    pair.run();
    assert_eq!(story(&mut pair, watch), ["over forbidden"]);
    set(&mut pair, "a", "1");
    pair.cut();
    pair.pass(100);
    assert_eq!(story(&mut pair, watch), [""; 0]);
}

#[test]
fn paused_watch_costs_the_server_nothing_and_resumes_without_a_gap() {
    let mut pair = Pair::ready();
    let watch = pair.watch(b"", true);
    set(&mut pair, "a", "1");
    pair.run();
    story(&mut pair, watch);
    pair.core.pause(Millis(pair.now), watch);
    set(&mut pair, "a", "2");
    pair.run();
    assert!(pair.server.watching().is_empty());
    set(&mut pair, "a", "3");
    pair.cut();
    pair.pass(1_000);
    assert_eq!(story(&mut pair, watch), [""; 0]);
    pair.core.resume(Millis(pair.now), watch);
    pair.run();
    set(&mut pair, "a", "4");
    pair.run();
    assert_eq!(story(&mut pair, watch), ["events 2", "events 3", "caught up 3", "events 4"]);
}

#[test]
fn content_is_not_interrupted_by_a_pause() {
    let mut pair = Pair::ready();
    for key in ["a", "b", "c", "d"] {
        set(&mut pair, key, "x");
    }
    let watch = pair.watch(b"", true);
    let mut out = Vec::new();
    assert!(pair.core.transmit(&mut out, 1 << 16));
    pair.core.pause(Millis(pair.now), watch);
    pair.server.receive(&out);
    pair.run();
    assert_eq!(story(&mut pair, watch), ["content a b c", "content d", "caught up 4"]);
    assert!(pair.server.watching().is_empty(), "then it stops");
    set(&mut pair, "e", "x");
    pair.core.resume(Millis(pair.now), watch);
    pair.run();
    assert_eq!(story(&mut pair, watch), ["events 5", "caught up 5"]);
}

#[test]
fn watch_made_while_disconnected_begins_with_the_connection() {
    let mut pair = Pair::new();
    pair.reachable = false;
    let watch = pair.watch(b"", true);
    pair.pass(5_000);
    set(&mut pair, "a", "1");
    pair.reachable = true;
    pair.pass(20_000);
    assert_eq!(story(&mut pair, watch), ["content a", "caught up 1"]);
}

#[test]
fn watches_are_resumed_before_calls_are_sent() {
    let mut pair = Pair::ready();
    pair.watch(b"", true);
    pair.run();
    pair.cut();
    let call = pair.put(b"a", b"1");
    pair.pass(100);
    let kinds: Vec<u8> = pair.server.requests.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [0x19, 0x19, 0x11]);
    assert!(pair.settled(call).is_ok());
}
