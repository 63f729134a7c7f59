//! The connection: how it is made, kept, lost and made again.

use tidekeep_client_core::protocol::error::{Code, Outcome};
use tidekeep_client_core::{CallOptions, Config, Input, Millis, State};

use crate::pair::{Pair, Seen};

#[test]
fn nothing_happens_before_it_is_asked_for() {
    let mut pair = Pair::new();
    pair.pass(100_000);
    assert_eq!(pair.take(), []);
    assert_eq!((pair.core.state(), pair.core.wait()), (State::Idle, None));
}

#[test]
fn first_call_connects_and_the_server_is_known_afterwards() {
    let mut pair = Pair::new();
    let call = pair.get(b"absent");
    pair.run();
    assert_eq!(pair.got(call), None);
    assert_eq!(pair.states(), [State::Connecting, State::Ready]);
    let server = pair.core.server().expect("it greeted");
    assert_eq!((&*server.software, server.store_id), ("model", [2; 16]));
    assert_eq!((server.now_ms, server.greeted_at), (1_700_000_000_000, Millis(1000)));
}

#[test]
fn lost_connection_comes_back_by_itself() {
    let mut pair = Pair::ready();
    pair.cut();
    assert_eq!(pair.core.state(), State::Reconnecting);
    assert_eq!(&*pair.downs()[0].message, "cut");
    pair.pass(100);
    assert_eq!(pair.states(), [State::Reconnecting, State::Ready]);
}

#[test]
fn attempts_grow_apart_up_to_the_longest_wait_and_never_stop() {
    let mut pair = Pair::new();
    pair.reachable = false;
    pair.core.connect(Millis(pair.now));
    pair.pass(10_000);
    let early = pair.opens();
    assert!((5..60).contains(&early), "{early} attempts in the first ten seconds");
    pair.take();
    pair.pass(600_000);
    let late = pair.opens();
    assert!((30..200).contains(&late), "{late} attempts in ten minutes, one in ten seconds or so");
    assert_eq!(pair.core.state(), State::Connecting);
    assert_eq!(pair.downs()[0].code, Code::Network);
    assert_eq!(&*pair.downs()[0].message, "connection refused");
    pair.reachable = true;
    pair.pass(20_000);
    assert_eq!(pair.core.state(), State::Ready);
}

#[test]
fn waits_begin_at_the_shortest_again_only_after_a_stable_connection() {
    let longest_wait = |stable_ms: u64| {
        let mut longest = 0;
        for _ in 0..40 {
            let mut pair = Pair::new();
            pair.reachable = false;
            pair.core.connect(Millis(pair.now));
            pair.pass(60_000);
            pair.reachable = true;
            pair.pass(20_000);
            assert_eq!(pair.core.state(), State::Ready);
            pair.pass(stable_ms.saturating_sub(20_000));
            pair.cut();
            let wait = pair.core.wait().expect("a reconnect is due").0 - pair.now;
            longest = longest.max(wait);
        }
        longest
    };
    assert!(longest_wait(40_000) <= 100);
    let mut pair = Pair::ready();
    let mut waits = Vec::new();
    for _ in 0..12 {
        pair.cut();
        waits.push(pair.core.wait().expect("a reconnect is due").0 - pair.now);
        while pair.core.state() != State::Ready {
            pair.pass(1);
        }
    }
    assert!(waits.iter().any(|&wait| wait > 1000), "a flapping server is spared: {waits:?}");
}

#[test]
fn connection_that_did_not_last_does_not_shorten_the_waits_after_it() {
    let mut pair = Pair::new();
    pair.reachable = false;
    pair.core.connect(Millis(pair.now));
    pair.pass(120_000);
    pair.reachable = true;
    while pair.core.state() != State::Ready {
        pair.pass(1);
    }
    pair.cut();
    pair.reachable = false;
    pair.take();
    pair.pass(120_000);
    assert!(pair.opens() <= 15, "{} attempts in two minutes", pair.opens());
}

#[test]
fn waking_up_ends_the_wait_at_once() {
    let mut pair = Pair::new();
    pair.reachable = false;
    pair.core.connect(Millis(pair.now));
    pair.pass(120_000);
    pair.reachable = true;
    pair.handle(Input::Woke);
    pair.run();
    assert_eq!(pair.core.state(), State::Ready);
}

#[test]
fn waking_up_on_a_dead_connection_finds_it_out_soon() {
    let mut pair = Pair::ready();
    pair.server.silent = true;
    pair.handle(Input::Woke);
    pair.handle(Input::Woke);
    pair.run();
    pair.pass(2_999);
    assert_eq!(pair.core.state(), State::Ready);
    pair.pass(1);
    assert_eq!(pair.core.state(), State::Reconnecting);
}

#[test]
fn waking_up_on_a_live_connection_changes_nothing() {
    let mut pair = Pair::ready();
    pair.handle(Input::Woke);
    pair.pass(60_000);
    pair.handle(Input::Woke);
    pair.pass(60_000);
    assert_eq!(pair.server.pings, 2);
    assert_eq!(pair.take(), []);
}

#[test]
fn black_hole_is_noticed_within_two_heartbeats() {
    let mut pair = Pair::ready();
    pair.server.silent = true;
    pair.pass(11_249);
    let mut out = Vec::new();
    assert!(!pair.core.transmit(&mut out, 1000), "a heartbeat may take a little longer");
    pair.pass(1);
    assert_eq!(pair.server.pings, 1, "then the client asks");
    pair.pass(8_749);
    assert_eq!(pair.core.state(), State::Ready);
    pair.pass(1);
    assert_eq!(pair.core.state(), State::Reconnecting);
    assert_eq!(pair.downs()[0].code, Code::Network);
}

#[test]
fn heartbeats_keep_an_idle_connection() {
    let mut pair = Pair::ready();
    pair.pass(3_600_000);
    assert_eq!(pair.core.state(), State::Ready);
    assert_eq!(pair.opens(), 0);
    assert_eq!(pair.server.pongs, 360, "every ping of the server is answered");
    assert_eq!(pair.server.pings, 0, "and nothing else is said");
}

#[test]
fn machine_that_slept_asks_before_it_gives_the_connection_up() {
    let mut pair = Pair::ready();
    pair.now += 3_600_000;
    pair.handle(Input::Tick);
    pair.run();
    assert_eq!(pair.core.state(), State::Ready);
    assert_eq!(pair.server.pings, 1);
}

#[test]
fn transport_that_does_not_open_and_server_that_does_not_greet_are_given_up() {
    let mut pair = Pair::new();
    pair.core.connect(Millis(pair.now));
    let mut drain = pair.core.drain();
    while drain.next().is_some() {}
    drop(drain);
    assert_eq!(pair.core.wait(), Some(Millis(11_000)));
    pair.now = 11_000;
    pair.handle(Input::Tick);
    assert_eq!(pair.downs().len(), 1);
    assert!(pair.seen.contains(&Seen::Close));

    let mut pair = Pair::new();
    pair.server.silent = true;
    pair.core.connect(Millis(pair.now));
    pair.pass(4_999);
    assert_eq!(pair.downs(), []);
    pair.pass(1);
    assert_eq!(&*pair.downs()[0].message, "the server did not answer in time");
}

#[test]
fn version_mismatch_fails_calls_at_once_and_is_tried_again_later() {
    for mismatch in [true, false] {
        let mut pair = Pair::new();
        if mismatch {
            pair.server.turn_away = Some(Code::Version);
        } else {
            pair.server.version = 7;
        }
        let waiting = pair.put(b"k", b"v");
        pair.run();
        let error = pair.settled(waiting).expect_err("turned away");
        assert_eq!((error.code, error.outcome), (Code::Version, Outcome::NotApplied));
        let late = pair.get(b"k");
        pair.run();
        assert_eq!(pair.settled(late).expect_err("turned away").code, Code::Version);
        assert_eq!(pair.opens(), 1, "it does not hammer on the door");
        pair.server.turn_away = None;
        pair.server.version = 1;
        pair.pass(20_000);
        assert_eq!(pair.core.state(), State::Ready);
        let call = pair.get(b"k");
        pair.run();
        assert_eq!(pair.got(call), None);
    }
}

#[test]
fn leaving_server_finishes_what_is_in_flight_and_names_the_time_to_come_back() {
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let in_flight = pair.put(b"a", b"1");
    pair.run();
    pair.server.go_away(3_000);
    pair.run();
    assert_eq!(pair.core.state(), State::Ready, "a reply is still on its way");
    let later = pair.put(b"b", b"2");
    pair.run();
    assert_eq!(pair.server.requests.len(), 1, "nothing new is sent to it");
    let id = in_flight.0;
    pair.server.say(|out| {
        use tidekeep_client_core::protocol::frame;
        use tidekeep_client_core::protocol::op::{WriteReply, WriteStatus};
        let reply = WriteReply { revision: 1, status: WriteStatus::Applied, entry: None };
        frame::write_value(out, 0x91, id, &reply);
    });
    pair.run();
    assert!(pair.settled(in_flight).is_ok());
    assert_eq!(pair.core.state(), State::Reconnecting);
    pair.server.hold_replies = false;
    pair.server.stopping = false;
    pair.handle(Input::Woke);
    pair.pass(2_999);
    assert_eq!(pair.opens(), 0, "not even a wake-up comes before the time it named");
    pair.pass(1);
    assert!(pair.settled(later).is_ok());
}

#[test]
fn requests_that_crossed_the_notice_are_sent_again_in_their_order() {
    let mut pair = Pair::ready();
    let first = pair.put(b"k", b"1");
    let second = pair.put(b"k", b"2");
    pair.server.go_away(1_000);
    pair.run();
    let third = pair.put(b"k", b"3");
    pair.run();
    assert_eq!(pair.server.requests.len(), 2);
    pair.server.stopping = false;
    pair.pass(1_000);
    for call in [first, second, third] {
        assert!(pair.settled(call).is_ok());
    }
    let values: Vec<_> = pair.server.history.iter().map(|(_, it)| it[0].1.clone()).collect();
    assert_eq!(values, [Some(b"1".to_vec()), Some(b"2".to_vec()), Some(b"3".to_vec())]);
}

#[test]
fn rest_that_a_server_asks_for_is_bounded() {
    let mut pair = Pair::ready();
    pair.server.go_away(u32::MAX);
    pair.pass(0);
    pair.server.stopping = false;
    pair.pass(60_000);
    assert_eq!(pair.core.state(), State::Ready);
    pair.cut();
    pair.pass(100);
    assert_eq!(pair.core.state(), State::Ready, "the next break is one like any other");
}

#[test]
fn closing_waits_for_calls_in_flight_and_refuses_new_ones() {
    let mut pair = Pair::ready();
    let watch = pair.watch(b"", true);
    pair.server.hold_replies = true;
    let call = pair.get(b"k");
    pair.run();
    pair.core.close(Millis(pair.now));
    let late = pair.get(b"k");
    let late_watch = pair.watch(b"", false);
    pair.run();
    assert_eq!(pair.settled(late).expect_err("closed").code, Code::Closed);
    for watch in [watch, late_watch] {
        let ended = |seen: &Seen| matches!(seen, Seen::WatchFailed(id, error) if *id == watch && error.code == Code::Closed);
        assert_eq!(pair.seen.iter().filter(|seen| ended(seen)).count(), 1);
    }
    assert_eq!(pair.core.state(), State::Ready);
    let id = call.0;
    pair.server.say(|out| {
        use tidekeep_client_core::protocol::{frame, op::GetReply};
        frame::write_value(out, 0x90, id, &GetReply { revision: 1, entry: None });
    });
    pair.run();
    assert_eq!(pair.got(call), None);
    assert_eq!(pair.core.state(), State::Closed);
    assert_eq!(pair.seen[pair.seen.len() - 2..], [Seen::Close, Seen::State(State::Closed)]);
    assert_eq!(pair.core.wait(), None);
}

#[test]
fn closing_gives_calls_up_in_the_end_and_says_what_is_unknown() {
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let (read, write) = (pair.get(b"k"), pair.put(b"k", b"v"));
    pair.run();
    pair.core.close(Millis(pair.now));
    pair.pass(4_999);
    assert_eq!(pair.core.state(), State::Ready);
    pair.pass(1);
    assert_eq!(pair.core.state(), State::Closed);
    let outcome = |call| pair.settled(call).expect_err("given up").outcome;
    assert_eq!((outcome(read), outcome(write)), (Outcome::NotApplied, Outcome::Unknown));
}

#[test]
fn closing_ends_with_the_connection_if_that_breaks() {
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let (read, write) = (pair.get(b"k"), pair.put(b"k", b"v"));
    pair.run();
    pair.core.close(Millis(pair.now));
    pair.cut();
    pair.run();
    assert_eq!(pair.core.state(), State::Closed);
    let error = pair.settled(read).expect_err("closed");
    assert_eq!((error.code, error.outcome), (Code::Closed, Outcome::NotApplied));
    assert_eq!(pair.settled(write).expect_err("broken").outcome, Outcome::Unknown);
}

#[test]
fn closing_without_a_connection_is_immediate() {
    let mut pair = Pair::new();
    pair.reachable = false;
    let call = pair.put(b"k", b"v");
    pair.run();
    pair.core.close(Millis(pair.now));
    pair.run();
    assert_eq!(pair.core.state(), State::Closed);
    let error = pair.settled(call).expect_err("closed");
    assert_eq!((error.code, error.outcome), (Code::Closed, Outcome::NotApplied));
    pair.handle(Input::Woke);
    pair.handle(Input::Opened);
    pair.handle(Input::Bytes(b"too late"));
    pair.pass(100_000);
    assert_eq!(pair.opens(), 1);
}

#[test]
fn ping_measures_the_way_there_and_back() {
    let mut pair = Pair::ready();
    let ping = pair.core.ping(Millis(pair.now), CallOptions::default());
    pair.run();
    assert_eq!(pair.settled(ping), Ok(Vec::new()));
}

#[test]
fn heartbeats_are_taken_within_bounds_even_if_these_contradict_each_other() {
    for (told, min, max, expected) in
        [(1, 50, 60_000, 50), (u32::MAX, 50, 60_000, 60_000), (10, 9, 3, 9)]
    {
        let config = Config { heartbeat_min_ms: min, heartbeat_max_ms: max, ..Config::default() };
        let mut pair = Pair::with(config);
        pair.server.heartbeat_ms = told;
        pair.core.connect(Millis(pair.now));
        pair.run();
        assert_eq!(pair.core.server().map(|server| server.heartbeat_ms), Some(expected));
    }
}
