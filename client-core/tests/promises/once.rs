//! Exactly once: a write is sent again until it is answered, and applied once however often it is
//! sent; where that cannot be had, its outcome is unknown and it is not sent again.

use tidekeep_client_core::protocol::error::{Code, Outcome};
use tidekeep_client_core::protocol::frame::Frame;
use tidekeep_client_core::protocol::session::Number;
use tidekeep_client_core::{CallId, CallOptions, Config, Input, Millis};

use crate::dice::Dice;
use crate::pair::{Pair, put};

/// The values that were put, in the order in which the store did it.
fn applied(pair: &Pair) -> Vec<Vec<u8>> {
    let value = |change: &(Vec<u8>, Option<Vec<u8>>)| change.1.clone();
    pair.server.history.iter().flat_map(|(_, changes)| changes.iter().filter_map(value)).collect()
}

fn kept(pair: &Pair) -> usize {
    pair.server.memory.as_ref().map_or(0, |memory| memory.kept())
}

fn repeated(pair: &Pair) -> usize {
    pair.server.memory.as_ref().map_or(0, |memory| memory.repeated)
}

#[test]
fn write_whose_reply_was_lost_is_sent_again_and_applied_once() {
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let calls = [pair.put(b"k", b"1"), pair.put(b"k", b"2")];
    pair.run();
    pair.cut();
    let later = pair.put(b"k", b"3");
    assert!(pair.ends(calls[0]).is_empty());
    pair.server.hold_replies = false;
    pair.pass(100);
    for call in [calls[0], calls[1], later] {
        assert!(pair.settled(call).is_ok());
    }
    assert_eq!(applied(&pair), [b"1", b"2", b"3"]);
    assert_eq!(repeated(&pair), 2);
}

#[test]
fn what_was_answered_is_acknowledged_with_the_next_write() {
    let mut pair = Pair::ready();
    for n in 0..100_u8 {
        let call = pair.put(b"k", &[n]);
        pair.run();
        assert!(pair.settled(call).is_ok());
        assert_eq!(kept(&pair), 1, "only the last answer is not acknowledged yet");
    }
}

#[test]
fn session_is_the_same_over_all_connections_to_a_store() {
    let mut pair = Pair::ready();
    let session = pair.core.session().expect("the server gave one");
    assert_eq!(session.1, pair.server.incarnation);
    for _ in 0..5 {
        pair.cut();
        assert_eq!(pair.core.session(), Some(session));
        pair.pass(10_000);
        assert_eq!(pair.core.session(), Some(session));
    }
    pair.server.incarnation += 1;
    pair.cut();
    pair.pass(10_000);
    let next = pair.core.session().expect("the server gave another one");
    assert!(next.0 != session.0 && next.1 == pair.server.incarnation);
}

/// For every place at which the stream can break, in either direction: every write succeeds and was
/// applied once, in the order in which the writes were made.
#[test]
fn break_at_any_byte_applies_every_write_once_and_in_order() {
    for direction_out in [true, false] {
        let mut broken = true;
        let mut at = 0;
        while broken {
            let mut pair = Pair::ready();
            pair.piece = 100;
            let cut = if direction_out { &mut pair.cut_after_out } else { &mut pair.cut_after_in };
            *cut = Some(at);
            let first = pair.put(b"a", b"1");
            pair.run();
            let rest = [pair.put(b"b", b"2"), pair.get(b"a"), pair.put(b"a", b"3")];
            pair.run();
            broken = pair.cuts > 0;
            pair.cut_after_in = None;
            pair.cut_after_out = None;
            let last = pair.put(b"a", b"4");
            pair.pass(9_000);
            for call in rest.into_iter().chain([first, last]) {
                assert!(pair.settled(call).is_ok(), "{at}");
            }
            assert_eq!(applied(&pair), [b"1", b"2", b"3", b"4"], "{at}");
            at += 1;
        }
        assert!(at > 60, "the sweep covered the exchange: {at}");
    }
}

#[test]
fn in_another_session_nothing_is_sent_again_and_numbers_begin_anew() {
    let mut pair = Pair::new();
    pair.server.limits.in_flight = 2;
    pair.core.connect(Millis(pair.now));
    pair.run();
    pair.server.hold_replies = true;
    let (sent, read, queued) = (pair.put(b"k", b"1"), pair.get(b"k"), pair.put(b"k", b"2"));
    pair.run();
    pair.cut();
    pair.server.hold_replies = false;
    pair.server.incarnation += 1;
    pair.pass(100);
    let error = pair.failed(sent);
    assert_eq!((error.code, error.outcome), (Code::OutcomeUnknown, Outcome::Unknown));
    assert!(!error.retryable);
    assert!(pair.settled(read).is_ok() && pair.settled(queued).is_ok());
    assert_eq!(applied(&pair), [b"1", b"2"]);
}

#[test]
fn server_that_gives_no_session_any_more_is_not_sent_a_write_twice() {
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let sent = pair.put(b"k", b"1");
    pair.run();
    pair.cut();
    pair.server.hold_replies = false;
    pair.server.memory = None;
    let next = pair.put(b"k", b"2");
    pair.pass(100);
    assert_eq!(pair.failed(sent).code, Code::OutcomeUnknown);
    assert!(pair.settled(next).is_ok());
    assert_eq!(pair.core.session(), None);
    assert_eq!(applied(&pair), [b"1", b"2"]);
}

#[test]
fn answer_that_the_server_has_forgotten_is_an_unknown_outcome() {
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let call = pair.put(b"k", b"1");
    pair.run();
    pair.cut();
    pair.server.hold_replies = false;
    pair.server.memory.as_mut().expect("it has a memory").forget_answers();
    pair.pass(100);
    // The scripted server calls it not applied, which no client believes of this code.
    let error = pair.failed(call);
    assert_eq!((error.code, error.outcome), (Code::OutcomeUnknown, Outcome::Unknown));
    assert_eq!(applied(&pair), [b"1"]);
}

#[test]
fn write_given_up_between_connections_is_unknown_and_holds_no_number() {
    for cancelled in [false, true] {
        let mut pair = Pair::ready();
        pair.server.hold_replies = true;
        let options = CallOptions { timeout_ms: Some(500), ..CallOptions::default() };
        let call = pair.core.call(Millis(pair.now), &put(b"k", b"1"), options);
        pair.run();
        pair.reachable = false;
        pair.cut();
        if cancelled {
            pair.core.cancel(Millis(pair.now), call);
        }
        pair.pass(500);
        let code = if cancelled { Code::Cancelled } else { Code::Timeout };
        let error = pair.failed(call);
        assert_eq!((error.code, error.outcome), (code, Outcome::Unknown));
        (pair.server.hold_replies, pair.reachable) = (false, true);
        let next = pair.put(b"k", b"2");
        pair.pass(9_000);
        assert!(pair.settled(next).is_ok());
        assert_eq!(applied(&pair), [b"1", b"2"]);
        assert_eq!(kept(&pair), 1, "the one given up is acknowledged");
        assert!(pair.server.cancelled.is_empty(), "the new connection knows nothing of it");
    }
}

#[test]
fn write_in_doubt_is_unknown_however_it_ends() {
    // The client is closed between connections.
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let (sent, unsent) = (pair.put(b"k", b"1"), pair.put(b"k", b"2"));
    let mut out = Vec::new();
    assert!(pair.core.transmit(&mut out, 60));
    pair.cut();
    pair.core.close(Millis(pair.now));
    pair.run();
    assert_eq!(pair.failed(sent).outcome, Outcome::Unknown);
    assert_eq!(pair.failed(unsent).outcome, Outcome::NotApplied);

    // The next server does not have this client.
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let sent = pair.put(b"k", b"1");
    pair.run();
    pair.cut();
    pair.server.turn_away = Some(Code::Forbidden);
    let unsent = pair.put(b"k", b"2");
    pair.pass(100);
    let errors = (pair.failed(sent), pair.failed(unsent));
    assert_eq!((errors.0.code, errors.0.outcome), (Code::Forbidden, Outcome::Unknown));
    assert_eq!((errors.1.code, errors.1.outcome), (Code::Forbidden, Outcome::NotApplied));

    // The next server takes shorter frames.
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let sent = pair.put(b"k", &[1; 200]);
    pair.run();
    pair.cut();
    pair.server.limits.frame_bytes = 100;
    pair.pass(100);
    let error = pair.failed(sent);
    assert_eq!((error.code, error.outcome), (Code::TooLarge, Outcome::Unknown));
}

#[test]
fn write_that_a_leaving_server_refused_keeps_its_number() {
    let mut pair = Pair::ready();
    pair.server.go_away(500);
    let calls = [pair.put(b"k", b"1"), pair.put(b"k", b"2")];
    let mut out = Vec::new();
    assert!(pair.core.transmit(&mut out, 1 << 16));
    pair.server.receive(&out);
    pair.run();
    pair.server.stopping = false;
    let later = pair.put(b"k", b"3");
    pair.pass(1_000);
    for call in calls.into_iter().chain([later]) {
        assert!(pair.settled(call).is_ok());
    }
    assert_eq!(applied(&pair), [b"1", b"2", b"3"]);
}

#[test]
fn refused_write_takes_a_new_number_in_a_new_session() {
    let mut pair = Pair::ready();
    pair.server.go_away(500);
    let call = pair.put(b"k", b"1");
    let mut out = Vec::new();
    assert!(pair.core.transmit(&mut out, 1 << 16));
    pair.server.receive(&out);
    pair.run();
    pair.server.stopping = false;
    pair.server.incarnation += 1;
    pair.pass(1_000);
    assert!(pair.settled(call).is_ok(), "it was never applied");
    assert_eq!(applied(&pair), [b"1"]);
}

/// What hinders a write only for now.
const PASSING: [Code; 6] = [
    Code::RateLimited,
    Code::MemoryFull,
    Code::NoSpace,
    Code::ResourceExhausted,
    Code::OverBudget,
    Code::Unavailable,
];

#[test]
fn write_in_doubt_that_is_refused_for_now_waits_and_is_answered_by_its_number() {
    for code in PASSING {
        for was_applied in [true, false] {
            let mut pair = Pair::ready();
            pair.server.hold_replies = true;
            let write = pair.put(b"k", b"1");
            if was_applied {
                pair.run();
            } else {
                let mut lost = Vec::new();
                assert!(pair.core.transmit(&mut lost, 1 << 16));
            }
            pair.cut();
            pair.server.hold_replies = false;
            pair.server.refuse_writes = Some((code, 700));
            pair.pass(5_000);
            assert!(pair.ends(write).is_empty(), "{code:?}: nothing is known of it yet");
            let first = pair.put(b"k", b"2");
            pair.run();
            let error = pair.failed(first);
            assert_eq!((error.code, error.outcome), (code, Outcome::NotApplied));
            pair.server.refuse_writes = None;
            pair.pass(2_500);
            assert!(pair.settled(write).is_ok(), "{code:?}");
            assert_eq!(applied(&pair), [b"1"]);
        }
    }
}

#[test]
fn write_in_doubt_is_sent_again_no_sooner_than_the_server_asks_and_until_its_deadline() {
    for asked_ms in [0, 700, 60_000] {
        let mut pair = Pair::ready();
        pair.server.hold_replies = true;
        let made = pair.now;
        let options = CallOptions { timeout_ms: Some(10_000), ..CallOptions::default() };
        let write = pair.core.call(Millis(made), &put(b"k", b"1"), options);
        pair.run();
        pair.cut();
        pair.server.refuse_writes = Some((Code::MemoryFull, asked_ms));
        pair.pass(9_999);
        assert!(pair.ends(write).is_empty(), "its deadline has not passed");
        let sent = pair.server.requests.len() as u64 - 1;
        let most = 10_000_u64.checked_div(u64::from(asked_ms)).map_or(40, |most| most + 1);
        let least = if asked_ms > 10_000 { 1 } else { 4 };
        assert!((least..=most).contains(&sent), "{asked_ms}: sent again {sent} times");
        pair.pass(1);
        let error = pair.failed(write);
        assert_eq!((error.code, error.outcome), (Code::Timeout, Outcome::Unknown));
        pair.server.refuse_writes = None;
        pair.server.hold_replies = false;
        let next = pair.put(b"k", b"2");
        pair.pass(1_000);
        assert!(pair.settled(next).is_ok());
        assert_eq!(kept(&pair), 1, "the one given up holds no number");
    }
}

#[test]
fn write_that_rests_is_given_up_like_any_other() {
    for closed in [false, true] {
        let mut pair = Pair::ready();
        pair.server.hold_replies = true;
        let write = pair.put(b"k", b"1");
        pair.run();
        pair.cut();
        pair.server.refuse_writes = Some((Code::RateLimited, 2_000));
        pair.pass(500);
        assert_eq!(pair.server.requests.len(), 2, "it was refused, and rests");
        if closed {
            pair.cut();
            pair.core.close(Millis(pair.now));
        } else {
            pair.core.cancel(Millis(pair.now), write);
        }
        pair.pass(10_000);
        let code = if closed { Code::Closed } else { Code::Cancelled };
        let error = pair.failed(write);
        assert_eq!((error.code, error.outcome), (code, Outcome::Unknown));
        assert_eq!(pair.server.requests.len(), 2);
        assert!(pair.server.cancelled.is_empty(), "the server has nothing to give up");
        assert_eq!(pair.core.pending(), 0);
    }
}

#[test]
fn no_write_is_sent_whose_answer_could_be_forgotten() {
    let mut pair = Pair::with(Config { queue_calls: 20_000, ..Config::default() });
    pair.server.limits.in_flight = u32::MAX;
    pair.core.connect(Millis(pair.now));
    pair.run();
    let calls: Vec<CallId> = (0..16_384 + 6).map(|_| pair.put(b"k", b"1")).collect();
    let mut frames = 0;
    let mut out = Vec::new();
    while pair.core.transmit(&mut out, 1 << 20) {
        let mut rest = &out[..];
        while let Some((frame, total)) = Frame::decode(rest, 4096).expect("well formed") {
            frames += 1;
            let number = Number { sequence: frames, oldest: 1 };
            assert_eq!(frame.extensions.number(), Some(number));
            rest = &rest[total..];
        }
        out.clear();
    }
    assert_eq!(frames, 16_384);
    assert!(pair.ends(calls[16_385]).is_empty(), "the rest waits");
}

/// A client's writes over a stream that breaks all the time, to a server that stays reachable and
/// leaves now and then: none is of unknown outcome unless its caller gave it up, each is applied once,
/// in order. Returns how often the server answered from memory.
fn round(seed: u64) -> usize {
    let mut dice = Dice(seed);
    let config = Config { timeout_ms: 600_000, ..Config::default() };
    let mut pair = Pair::with(config);
    pair.server.limits.in_flight = 1 + dice.throw(20) as u32;
    let mut calls: Vec<CallId> = Vec::new();
    let mut given_up = Vec::new();
    for _ in 0..60 {
        for _ in 0..dice.throw(8) {
            let value = (calls.len() as u32).to_be_bytes();
            calls.push(pair.put(&[b'a' + dice.throw(4) as u8], &value));
        }
        match dice.throw(12) {
            0..=3 => pair.cut_after_in = Some(dice.throw(500) as usize),
            4..=6 => pair.cut_after_out = Some(dice.throw(700) as usize),
            7 => pair.cut(),
            8 => pair.server.hold_replies = dice.throw(2) > 0,
            9 if pair.server.connected() && dice.throw(4) == 0 => {
                pair.server.go_away(50);
                pair.run();
                pair.server.stopping = false;
            }
            9 if !calls.is_empty() => {
                let call = calls[dice.throw(calls.len() as u64) as usize];
                if pair.ends(call).is_empty() {
                    given_up.push(call);
                    pair.core.cancel(Millis(pair.now), call);
                }
            }
            10 => pair.reachable = dice.throw(3) > 0,
            _ => pair.handle(Input::Woke),
        }
        pair.slice = 1 + dice.throw(300) as usize;
        pair.piece = 1 + dice.throw(400) as usize;
        pair.pass(dice.throw(300));
    }
    (pair.reachable, pair.server.hold_replies) = (true, false);
    (pair.cut_after_in, pair.cut_after_out) = (None, None);
    pair.cut();
    pair.pass(60_000);
    let applied = applied(&pair);
    assert!(applied.is_sorted_by(|one, next| one < next), "in order, and none twice");
    for (n, &call) in calls.iter().enumerate() {
        let was_applied = applied.binary_search(&(n as u32).to_be_bytes().to_vec()).is_ok();
        match pair.settled(call) {
            Ok(_) => assert!(was_applied),
            Err(error) => {
                assert!(given_up.contains(&call), "{error}");
                assert!(!was_applied || error.outcome == Outcome::Unknown);
            }
        }
    }
    repeated(&pair)
}

#[test]
fn thousands_of_broken_streams_apply_every_write_once() {
    let mut repeated = 0;
    for seed in 0..1_500 {
        match std::panic::catch_unwind(|| round(seed)) {
            Ok(times) => repeated += times,
            Err(panic) => {
                println!("the round of seed {seed} failed");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(repeated > 5_000, "the memory was needed: {repeated} times");
}

/// A client's writes over a stream that breaks all the time, to a server that refuses all writes for
/// a while, now and then: each is applied once or refused when it was sent first, and none is of
/// unknown outcome. Returns how often the server answered from memory, and refused.
fn refusing_round(seed: u64) -> (usize, usize) {
    let mut dice = Dice(seed);
    let mut pair = Pair::with(Config { timeout_ms: 600_000, ..Config::default() });
    let (mut calls, mut refused): (Vec<CallId>, _) = (Vec::new(), 0);
    for _ in 0..60 {
        for _ in 0..dice.throw(8) {
            let value = (calls.len() as u32).to_be_bytes();
            calls.push(pair.put(&[b'a' + dice.throw(4) as u8], &value));
        }
        match dice.throw(10) {
            0..=2 => pair.cut_after_in = Some(dice.throw(500) as usize),
            3..=4 => pair.cut_after_out = Some(dice.throw(700) as usize),
            5 => pair.cut(),
            6 => pair.server.hold_replies = dice.throw(2) > 0,
            7 => {
                let code = PASSING[dice.throw(PASSING.len() as u64) as usize];
                pair.server.refuse_writes = Some((code, dice.throw(400) as u32));
            }
            8 => pair.server.refuse_writes = None,
            _ => pair.reachable = dice.throw(3) > 0,
        }
        pair.pass(dice.throw(300));
    }
    (pair.reachable, pair.server.hold_replies, pair.server.refuse_writes) = (true, false, None);
    (pair.cut_after_in, pair.cut_after_out) = (None, None);
    pair.cut();
    pair.pass(60_000);
    let mut applied = applied(&pair);
    applied.sort();
    assert!(applied.is_sorted_by(|one, next| one < next), "none is applied twice");
    for (n, &call) in calls.iter().enumerate() {
        let was_applied = applied.binary_search(&(n as u32).to_be_bytes().to_vec()).is_ok();
        match pair.settled(call) {
            Ok(_) => assert!(was_applied),
            Err(error) => {
                refused += 1;
                assert!(PASSING.contains(&error.code), "{error}");
                assert!(!was_applied && error.outcome == Outcome::NotApplied, "{error}");
            }
        }
    }
    (repeated(&pair), refused)
}

#[test]
fn no_write_is_in_doubt_for_a_server_that_refuses_for_a_while() {
    let (mut repeated, mut refused) = (0, 0);
    for seed in 0..1_000 {
        match std::panic::catch_unwind(|| refusing_round(seed)) {
            Ok(round) => (repeated, refused) = (repeated + round.0, refused + round.1),
            Err(panic) => {
                println!("the round of seed {seed} failed");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(repeated > 2_000 && refused > 2_000, "{repeated} repeated, {refused} refused");
}
