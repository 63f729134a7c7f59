//! Every queue and every length has its bound, and what is over it is refused by name.

use tidekeep_client_core::protocol::error::{Code, Outcome};
use tidekeep_client_core::protocol::frame::{self, flag};
use tidekeep_client_core::{Config, Queue, State};

use crate::pair::{Pair, Seen};

fn offline(config: Config) -> Pair {
    let mut pair = Pair::with(config);
    pair.reachable = false;
    pair
}

#[test]
fn waiting_calls_are_bounded_by_number() {
    let mut pair = offline(Config { queue_calls: 3, ..Config::default() });
    let calls: Vec<_> = (0..5).map(|_| pair.put(b"k", b"v")).collect();
    pair.run();
    for &call in &calls[3..] {
        let error = pair.settled(call).expect_err("one too many");
        assert_eq!((error.code, error.retryable), (Code::ResourceExhausted, true));
        assert_eq!(error.outcome, Outcome::NotApplied);
    }
    pair.reachable = true;
    pair.pass(9_000);
    for &call in &calls[..3] {
        assert!(pair.settled(call).is_ok());
    }
    let again = pair.put(b"k", b"v");
    pair.run();
    assert!(pair.settled(again).is_ok(), "settled calls make room");
}

#[test]
fn waiting_calls_are_bounded_by_bytes() {
    let mut pair = offline(Config { queue_bytes: 1000, ..Config::default() });
    let large = pair.put(b"k", &[0; 900]);
    let one_more = pair.put(b"k", &[0; 100]);
    pair.run();
    assert!(pair.ends(large).is_empty());
    assert_eq!(pair.settled(one_more).expect_err("too much").code, Code::ResourceExhausted);
    pair.pass(10_000);
    assert_eq!(pair.settled(large).expect_err("late").code, Code::Timeout);
    let after = pair.put(b"k", &[0; 900]);
    pair.run();
    assert!(pair.ends(after).is_empty(), "settled calls give their bytes back");
}

#[test]
fn calls_that_wait_for_a_connection_keep_their_order_and_their_deadlines() {
    let mut pair = offline(Config::default());
    let calls: Vec<_> = (0..10_u8).map(|n| pair.put(b"k", &[n])).collect();
    pair.pass(3_000);
    pair.reachable = true;
    pair.pass(6_900);
    for call in calls {
        assert!(pair.settled(call).is_ok());
    }
    let values: Vec<_> = pair.server.history.iter().map(|(_, it)| it[0].1.clone()).collect();
    assert_eq!(values, (0..10_u8).map(|n| Some(vec![n])).collect::<Vec<_>>());

    let mut pair = offline(Config::default());
    let call = pair.put(b"k", b"v");
    pair.pass(10_000);
    let error = pair.settled(call).expect_err("late");
    assert_eq!((error.code, error.outcome), (Code::Timeout, Outcome::NotApplied));
}

#[test]
fn fail_fast_does_not_wait_for_a_connection() {
    let mut pair = offline(Config { queue: Queue::FailFast, ..Config::default() });
    let first = pair.put(b"k", b"v");
    pair.run();
    let error = pair.settled(first).expect_err("not connected");
    assert_eq!((error.code, error.outcome), (Code::Network, Outcome::NotApplied));
    pair.reachable = true;
    pair.pass(1_000);
    assert_eq!(pair.core.state(), State::Ready);
    pair.server.hold_replies = true;
    let (read, write) = (pair.get(b"k"), pair.put(b"k", b"v"));
    pair.run();
    pair.cut();
    assert_eq!(pair.settled(read).expect_err("broken").outcome, Outcome::NotApplied);
    assert_eq!(pair.settled(write).expect_err("broken").outcome, Outcome::Unknown);
}

#[test]
fn no_more_requests_are_in_flight_than_the_server_takes() {
    let mut pair = Pair::new();
    pair.server.limits.in_flight = 4;
    pair.server.hold_replies = true;
    let calls: Vec<_> = (0..10).map(|_| pair.get(b"k")).collect();
    pair.run();
    assert_eq!(pair.server.requests.len(), 4);
    for (done, call) in calls.iter().enumerate() {
        pair.server.say(|out| frame::write(out, 0x90, 0, call.0, &[], |_| {}));
        pair.run();
        assert_eq!(pair.server.requests.len(), (5 + done).min(10));
    }
    for call in calls {
        assert_eq!(pair.settled(call), Ok(Vec::new()));
    }
}

#[test]
fn requests_over_the_servers_limits_are_refused_before_they_are_sent() {
    let mut pair = Pair::new();
    pair.server.limits.key_bytes = 8;
    pair.server.limits.value_bytes = 100;
    pair.server.limits.frame_bytes = 90;
    let early = pair.put(b"k", &[0; 80]);
    pair.run();
    let error = pair.settled(early).expect_err("its frame is too long");
    assert_eq!((error.code, error.outcome), (Code::TooLarge, Outcome::NotApplied));
    let refused = [
        (pair.put(b"123456789", b""), Code::TooLarge),
        (pair.put(b"", b""), Code::InvalidInput),
        (pair.put(b"k", &[0; 101]), Code::TooLarge),
        (pair.put(b"k", &[0; 80]), Code::TooLarge),
    ];
    let fits = pair.put(b"12345678", &[0; 40]);
    pair.run();
    for (call, code) in refused {
        assert_eq!(pair.settled(call).expect_err("over a limit").code, code);
    }
    assert!(pair.settled(fits).is_ok());
    assert_eq!(pair.server.requests.len(), 1);
}

#[test]
fn watches_are_bounded_by_the_client_and_by_the_server() {
    let mut pair = Pair::ready_with(Config { watches: 3, ..Config::default() });
    for over in [false, false, false, true] {
        let watch = pair.watch(b"", false);
        pair.run();
        let failed = |seen: &Seen| matches!(seen, Seen::WatchFailed(id, error) if *id == watch && error.code == Code::TooManyWatches);
        assert_eq!(pair.take().iter().any(failed), over);
    }
    let mut pair = Pair::new();
    pair.server.limits.watches = 1;
    pair.server.limits.frame_bytes = 4096;
    pair.core.connect(tidekeep_client_core::Millis(pair.now));
    pair.run();
    let long = pair.watch(&[b'x'; 2000], false);
    let (first, second) = (pair.watch(b"", false), pair.watch(b"", false));
    pair.run();
    let failed = |watch| {
        let code = |seen: &Seen| match seen {
            Seen::WatchFailed(id, error) if *id == watch => Some(error.code),
            _ => None,
        };
        pair.seen.iter().find_map(code)
    };
    assert_eq!(failed(long), Some(Code::TooLarge));
    assert_eq!(failed(first), None);
    assert_eq!(failed(second), Some(Code::TooManyWatches));
}

#[test]
fn reply_that_never_ends_is_cut_and_fails_only_its_call() {
    let mut pair = Pair::ready_with(Config { reply_bytes: 1000, ..Config::default() });
    pair.server.hold_replies = true;
    let (endless, other) = (pair.put(b"k", b"v"), pair.get(b"k"));
    pair.run();
    for _ in 0..40 {
        pair.server.say(|out| {
            frame::write(out, 0x91, flag::MORE, endless.0, &[], |out| out.extend([0; 64]));
        });
    }
    pair.server.say(|out| frame::write(out, 0x90, 0, other.0, &[], |out| out.push(1)));
    pair.run();
    let error = pair.settled(endless).expect_err("too long");
    assert_eq!((error.code, error.outcome), (Code::TooLarge, Outcome::Unknown));
    assert_eq!(pair.server.cancelled, [endless.0]);
    assert_eq!(pair.settled(other), Ok(vec![1]));
    assert_eq!(pair.core.state(), State::Ready);
}

#[test]
fn unfinished_replies_are_bounded_together() {
    let config = Config { reply_bytes: 1000, joining_bytes: 2500, ..Config::default() };
    let mut pair = Pair::ready_with(config);
    pair.server.hold_replies = true;
    let calls: Vec<_> = (0..5).map(|_| pair.get(b"k")).collect();
    pair.run();
    for call in &calls {
        for _ in 0..15 {
            pair.server.say(|out| {
                frame::write(out, 0x90, flag::MORE, call.0, &[], |out| out.extend([0; 64]));
            });
        }
    }
    pair.run();
    let failed: Vec<_> = calls.iter().map(|&call| pair.ends(call).len()).collect();
    assert_eq!(failed, [0, 0, 1, 1, 1]);
    for call in &calls[..2] {
        pair.server.say(|out| frame::write(out, 0x90, 0, call.0, &[], |_| {}));
    }
    pair.run();
    assert_eq!(pair.settled(calls[0]).map(|body| body.len()), Ok(960));
    assert_eq!(pair.settled(calls[1]).map(|body| body.len()), Ok(960));
}

#[test]
fn endless_watch_message_ends_only_its_watch() {
    let mut pair = Pair::ready_with(Config { reply_bytes: 300, ..Config::default() });
    let watch = pair.watch(b"", false);
    pair.run();
    let id = pair.server.watching()[0];
    for _ in 0..10 {
        pair.server.say(|out| {
            frame::write(out, 0x99, flag::MORE, id, &[], |out| out.extend([2; 64]));
        });
    }
    pair.run();
    let failed = |seen: &Seen| matches!(seen, Seen::WatchFailed(id, error) if *id == watch && error.code == Code::TooLarge);
    assert_eq!(pair.seen.iter().filter(|seen| failed(seen)).count(), 1);
    assert_eq!(pair.core.state(), State::Ready);
    assert!(pair.server.watching().is_empty());
}

#[test]
fn messages_end_at_frame_boundaries_and_stay_within_their_bytes() {
    use tidekeep_client_core::protocol::frame::Frame;
    let mut pair = Pair::ready();
    for n in 0..100_u8 {
        pair.put(b"key", &vec![n; usize::from(n) * 3]);
    }
    let mut frames = 0;
    let mut out = Vec::new();
    while pair.core.transmit(&mut out, 200) {
        let mut rest = &out[..];
        let mut here = 0;
        while !rest.is_empty() {
            let (_, total) = Frame::decode(rest, 4096).expect("a frame").expect("a whole frame");
            rest = &rest[total..];
            here += 1;
        }
        assert!(out.len() <= 200 || here == 1, "{} bytes in {here} frames", out.len());
        frames += here;
        out.clear();
    }
    assert_eq!(frames, 100);
}

#[test]
fn calls_made_and_cancelled_without_end_leave_nothing_behind() {
    let mut pair = offline(Config::default());
    let keep = pair.put(b"keep", b"v");
    for _ in 0..200_000 {
        let call = pair.put(b"k", b"v");
        pair.core.cancel(tidekeep_client_core::Millis(pair.now), call);
        let mut drain = pair.core.drain();
        while drain.next().is_some() {}
    }
    assert_eq!(pair.core.pending(), 1);
    pair.reachable = true;
    pair.core.connect(tidekeep_client_core::Millis(pair.now));
    pair.pass(0);
    pair.handle(tidekeep_client_core::Input::Closed(""));
    pair.pass(1_000);
    assert!(pair.settled(keep).is_ok());
    assert_eq!(pair.server.requests.len(), 1);
}
