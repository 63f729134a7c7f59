//! Calls: every one of them settles exactly once, and tells what became of it.

use tidekeep_client_core::protocol::codec;
use tidekeep_client_core::protocol::error::{Code, Outcome};
use tidekeep_client_core::protocol::frame::{self, flag};
use tidekeep_client_core::protocol::freshness::Freshness;
use tidekeep_client_core::protocol::op::{Get, Scan, ScanReply, Watch, WatchFrom};
use tidekeep_client_core::protocol::range::Range;
use tidekeep_client_core::{CallOptions, Millis};

use crate::pair::{Pair, put};

fn scan_all() -> Scan<'static> {
    Scan {
        range: Range::default(),
        limit: 0,
        bytes: 0,
        order: Default::default(),
        projection: Default::default(),
    }
}

#[test]
fn what_is_put_is_got_and_many_travel_at_once() {
    let mut pair = Pair::ready();
    let puts: Vec<_> = (0..500_u32).map(|n| pair.put(&n.to_be_bytes(), &[n as u8])).collect();
    let gets: Vec<_> = (0..500_u32).map(|n| pair.get(&n.to_be_bytes())).collect();
    assert_eq!(pair.core.pending(), 1000);
    pair.run();
    for call in puts {
        assert!(pair.settled(call).is_ok());
    }
    for (n, call) in gets.into_iter().enumerate() {
        assert_eq!(pair.got(call), Some(vec![n as u8]));
    }
    assert_eq!(pair.core.pending(), 0);
}

#[test]
fn replies_in_chunks_are_joined_whatever_slices_they_arrive_in() {
    for slice in [1, 2, 3, 7, 11, 12, 13, 64, 1000, usize::MAX] {
        let mut pair = Pair::ready();
        pair.slice = slice;
        let value: Vec<u8> = (0..=255).cycle().take(1000).collect();
        pair.server.apply(vec![(b"big".to_vec(), Some(value.clone()))]);
        let calls = [pair.get(b"big"), pair.get(b"none"), pair.get(b"big")];
        pair.run();
        assert_eq!(pair.got(calls[0]), Some(value.clone()));
        assert_eq!(pair.got(calls[1]), None);
        assert_eq!(pair.got(calls[2]), Some(value));
    }
}

#[test]
fn chunks_of_several_replies_may_be_mixed() {
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let (one, two) = (pair.get(b"1"), pair.get(b"2"));
    pair.run();
    pair.server.say(|out| {
        let mut chunk = |id: u32, flags, body: &[u8]| {
            frame::write(out, 0x90, flags, id, &[], |out| out.extend_from_slice(body));
        };
        chunk(one.0, flag::MORE, b"on");
        chunk(two.0, flag::MORE, b"t");
        chunk(one.0, flag::MORE, b"");
        chunk(two.0, 0, b"wo");
        chunk(one.0, 0, b"e");
    });
    pair.run();
    assert_eq!(pair.settled(one), Ok(b"one".to_vec()));
    assert_eq!(pair.settled(two), Ok(b"two".to_vec()));
}

#[test]
fn deadline_settles_a_call_and_the_late_reply_is_ignored() {
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let (read, write) = (pair.get(b"k"), pair.put(b"k", b"v"));
    pair.pass(9_999);
    assert!(pair.ends(read).is_empty());
    pair.pass(1);
    let (read_error, write_error) =
        (pair.settled(read).expect_err("late"), pair.settled(write).expect_err("late"));
    assert_eq!((read_error.code, read_error.outcome), (Code::Timeout, Outcome::NotApplied));
    assert_eq!((write_error.code, write_error.outcome), (Code::Timeout, Outcome::Unknown));
    assert_eq!(pair.server.cancelled, [read.0, write.0], "the server is told");
    pair.server.say(|out| {
        frame::write(out, 0x90, flag::MORE, read.0, &[], |out| out.push(1));
        frame::write(out, 0x90, 0, read.0, &[], |out| out.push(1));
    });
    pair.run();
    assert_eq!((pair.ends(read).len(), pair.ends(write).len()), (1, 1));
    pair.server.hold_replies = false;
    let next = pair.get(b"k");
    pair.run();
    assert_eq!(pair.got(next), Some(b"v".to_vec()), "the late reply meets no other call");
}

#[test]
fn deadlines_of_any_length_are_kept_to_the_millisecond() {
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let start = pair.now;
    let timeouts = [500, 20, 70_000, 0, 3_000, 20];
    let calls: Vec<_> = timeouts
        .iter()
        .map(|&ms| {
            let options = CallOptions { timeout_ms: Some(ms), ..CallOptions::default() };
            (ms, pair.core.call(Millis(start), &put(b"k", b"v"), options))
        })
        .collect();
    pair.run();
    for at in [0, 19, 20, 499, 500, 2_999, 3_000, 69_999, 70_000_u64] {
        pair.pass(start + at - pair.now);
        for &(ms, call) in &calls {
            assert_eq!(pair.ends(call).len(), usize::from(at >= u64::from(ms)), "{ms} at {at}");
        }
    }
}

#[test]
fn server_learns_how_long_the_caller_still_waits() {
    let mut pair = Pair::new();
    pair.reachable = false;
    let options = CallOptions { timeout_ms: Some(5_000), ..CallOptions::default() };
    let call = pair.core.call(Millis(pair.now), &put(b"k", b"v"), options);
    pair.pass(2_000);
    pair.reachable = true;
    let before = pair.now;
    while pair.server.requests.is_empty() {
        pair.pass(1);
    }
    let waited = 2_000 + (pair.now - before) as u32;
    assert_eq!(pair.server.deadlines, [Some(5_000 - waited)]);
    assert!(pair.settled(call).is_ok());
}

#[test]
fn cancelled_call_settles_at_once_and_the_server_is_told_only_if_it_knows() {
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let unsent = pair.put(b"k", b"v");
    pair.core.cancel(Millis(pair.now), unsent);
    pair.run();
    let error = pair.settled(unsent).expect_err("cancelled");
    assert_eq!((error.code, error.outcome), (Code::Cancelled, Outcome::NotApplied));
    assert!(pair.server.requests.is_empty() && pair.server.cancelled.is_empty());

    let (read, write) = (pair.get(b"k"), pair.put(b"k", b"v"));
    pair.run();
    pair.core.cancel(Millis(pair.now), read);
    pair.core.cancel(Millis(pair.now), write);
    pair.core.cancel(Millis(pair.now), write);
    pair.run();
    assert_eq!(pair.settled(read).expect_err("cancelled").outcome, Outcome::NotApplied);
    assert_eq!(pair.settled(write).expect_err("cancelled").outcome, Outcome::Unknown);
    assert_eq!(pair.server.cancelled, [read.0, write.0]);
    pair.core.cancel(Millis(pair.now), read);
    pair.run();
    assert_eq!(pair.server.cancelled.len(), 2);
}

#[test]
fn without_sessions_a_write_whose_reply_was_lost_is_unknown_and_never_sent_again() {
    let mut pair = Pair::without_sessions();
    pair.server.hold_replies = true;
    let (read, write) = (pair.get(b"k"), pair.put(b"k", b"v"));
    pair.run();
    pair.cut();
    let error = pair.settled(write).expect_err("lost");
    assert_eq!((error.code, error.outcome), (Code::Network, Outcome::Unknown));
    assert!(pair.ends(read).is_empty());
    pair.server.hold_replies = false;
    pair.pass(100);
    assert_eq!(pair.got(read), Some(b"v".to_vec()), "the read was sent again");
    let puts = pair.server.requests.iter().filter(|(kind, _)| *kind == 0x11).count();
    assert_eq!(puts, 1);
    assert_eq!(pair.ends(write).len(), 1);
}

#[test]
fn chunks_of_a_reply_that_broke_off_are_forgotten() {
    let mut pair = Pair::ready();
    let value = vec![7; 500];
    pair.server.apply(vec![(b"big".to_vec(), Some(value.clone()))]);
    let call = pair.get(b"big");
    pair.cut_after_in = Some(200);
    pair.run();
    assert!(pair.ends(call).is_empty());
    pair.pass(100);
    assert_eq!(pair.got(call), Some(value));
}

/// For every place at which the stream can break, in either direction: each call settles once, and
/// what was said of the write is true.
#[test]
fn break_at_any_byte_settles_every_call_truthfully() {
    for direction_out in [true, false] {
        let mut cut_happened = true;
        let mut at = 0;
        while cut_happened {
            let mut pair = Pair::without_sessions();
            pair.server.apply(vec![(b"r".to_vec(), Some(vec![9; 150]))]);
            let cut = if direction_out { &mut pair.cut_after_out } else { &mut pair.cut_after_in };
            *cut = Some(at);
            let (read, write, last) = (pair.get(b"r"), pair.put(b"w", b"1"), pair.get(b"r"));
            pair.run();
            cut_happened = !pair.downs().is_empty();
            pair.cut_after_in = None;
            pair.cut_after_out = None;
            pair.pass(10_000);
            assert_eq!(pair.got(read), Some(vec![9; 150]), "{at}");
            assert_eq!(pair.got(last), Some(vec![9; 150]), "{at}");
            let applied = pair.server.history.len() == 2;
            match pair.settled(write) {
                Ok(_) => assert!(applied, "{at}"),
                Err(error) => {
                    assert_eq!((error.code, error.outcome), (Code::Network, Outcome::Unknown));
                }
            }
            assert!(pair.server.history.len() <= 2, "applied twice at {at}");
            at += 1;
        }
        assert!(at > 60, "the sweep covered the exchange: {at}");
    }
}

#[test]
fn refusals_of_the_server_reach_the_caller_as_they_are() {
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let (known, unknown) = (pair.put(b"k", b"v"), pair.put(b"k", b"v"));
    pair.run();
    pair.server.say(|out| {
        use tidekeep_client_core::protocol::error::ErrorBody;
        let body = ErrorBody {
            code: Code::NoSpace.number(),
            retryable: true,
            outcome: Outcome::NotApplied,
            retry_after_ms: 1500,
            message: "the disk is full",
        };
        frame::write_value(out, 0x07, known.0, &body);
        frame::write_value(out, 0x07, unknown.0, &ErrorBody { code: 60_000, ..body });
    });
    pair.run();
    let error = pair.settled(known).expect_err("refused");
    assert_eq!((error.code, error.retryable, error.retry_after_ms), (Code::NoSpace, true, 1500));
    assert_eq!((error.outcome, &*error.message), (Outcome::NotApplied, "the disk is full"));
    assert_eq!(pair.settled(unknown).expect_err("refused").code, Code::Internal);
}

#[test]
fn scan_reply_is_given_out_whole() {
    let mut pair = Pair::ready();
    for n in 0..50_u8 {
        pair.server.apply(vec![(vec![n], Some(vec![n; 20]))]);
    }
    let call = pair.core.call(Millis(pair.now), &scan_all(), CallOptions::default());
    pair.run();
    let body = pair.settled(call).expect("the scan succeeds");
    let reply: ScanReply<'_> = codec::decode(&body).expect("a scan's reply");
    assert_eq!(reply.entries.len(), 50);
}

#[test]
fn watch_is_no_call() {
    let mut pair = Pair::ready();
    let request = Watch {
        range: Range::default(),
        from: WatchFrom::Now,
        previous: false,
        delivery: Default::default(),
    };
    let call = pair.core.call(Millis(pair.now), &request, CallOptions::default());
    pair.run();
    assert_eq!(pair.settled(call).expect_err("refused").code, Code::InvalidInput);
    assert!(pair.server.requests.is_empty());
}

#[test]
fn bodies_that_a_driver_encoded_are_sent_as_they_are() {
    use tidekeep_client_core::protocol::op::{Get, GetReply, Operation, Spec};
    let mut pair = Pair::ready();
    pair.server.apply(vec![(b"k".to_vec(), Some(b"v".to_vec()))]);
    let mut body = Vec::new();
    codec::encode(&Get { key: b"k" }, &mut body);
    let options = CallOptions::default();
    let Spec { kind, class, .. } = *Get::SPEC;
    let call = pair.core.call_encoded(Millis(pair.now), kind, class, &body, options);
    pair.run();
    let reply = pair.settled(call).expect("the get succeeds");
    let reply: GetReply<'_> = codec::decode(&reply).expect("a get's reply");
    assert_eq!(reply.entry.map(|stored| stored.value), Some(&b"v"[..]));
}

#[test]
fn drain_that_is_dropped_early_loses_nothing() {
    use tidekeep_client_core::Input;
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let calls: Vec<_> = (0..20).map(|_| pair.get(b"k")).collect();
    pair.run();
    let mut stream = Vec::new();
    for call in &calls {
        frame::write(&mut stream, 0x90, 0, call.0, &[], |out| out.extend_from_slice(b"reply"));
    }
    for piece in stream.chunks(30) {
        let mut drain = pair.core.handle(Millis(pair.now), Input::Bytes(piece));
        let _first = drain.next();
    }
    let mut rest = 0;
    let mut drain = pair.core.drain();
    while drain.next().is_some() {
        rest += 1;
    }
    drop(drain);
    assert_eq!(pair.core.pending(), 0);
    assert!(rest > 0);
}

#[test]
fn server_learns_how_new_a_read_must_be_and_of_a_write_nothing() {
    let mut pair = Pair::ready();
    let asked = [Freshness::Linearizable, Freshness::Lease, Freshness::Within(700)];
    for freshness in asked {
        let options = CallOptions { freshness, ..CallOptions::default() };
        let read = pair.core.call(Millis(pair.now), &Get { key: b"k" }, options);
        let write = pair.core.call(Millis(pair.now), &put(b"k", b"v"), options);
        pair.run();
        assert!(pair.settled(read).is_ok() && pair.settled(write).is_ok());
    }
    let told = [None, None, Some(asked[1]), None, Some(asked[2]), None];
    assert_eq!(pair.server.freshness, told);
}
