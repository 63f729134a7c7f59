//! Servers that break the protocol, by accident or on purpose: nothing panics, memory stays
//! bounded, and the client tries again elsewhere.

use proptest::prelude::*;
use tidekeep_client_core::protocol::error::Code;
use tidekeep_client_core::protocol::frame::{self, kind};
use tidekeep_client_core::protocol::limits::Limits;
use tidekeep_client_core::protocol::op::WatchMessage;
use tidekeep_client_core::{Config, Input, Millis, State};

use crate::pair::Pair;

/// What the server may not say, and that the client then leaves it and comes back.
fn breaks_the_connection(write: impl Fn(&mut Vec<u8>, u32, u32)) {
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let (read, put) = (pair.get(b"k"), pair.put(b"k", b"v"));
    let _watch = pair.watch(b"", true);
    pair.run();
    let watch = pair.server.watching()[0];
    pair.server.say(|out| write(out, read.0, watch));
    pair.run();
    assert_eq!(pair.downs().len(), 1);
    assert_eq!(pair.downs()[0].code, Code::Protocol, "{:?}", pair.downs());
    assert!(pair.ends(put).is_empty());
    pair.server.hold_replies = false;
    pair.pass(1_000);
    assert!(pair.settled(put).is_ok());
    assert_eq!(pair.server.history.len(), 1);
    assert_eq!(pair.core.state(), State::Ready);
    assert_eq!(pair.got(read), Some(b"v".to_vec()));
    assert_eq!(pair.server.watching().len(), 1);
}

#[test]
fn broken_frames_and_bodies_end_the_connection() {
    breaks_the_connection(|out, _, _| out.extend([0xFF; 12]));
    breaks_the_connection(|out, _, _| out.extend([0; 12]));
    breaks_the_connection(|out, _, _| out.extend([9, 0, 0, 0, 0x90, 0, 9, 0, 1, 0, 0, 0, 0]));
    breaks_the_connection(|out, _, _| frame::write(out, kind::ERROR, 0, 0, &[], |_| {}));
    breaks_the_connection(|out, read, _| frame::write(out, kind::ERROR, 0, read, &[], |_| {}));
    breaks_the_connection(|out, read, _| frame::write(out, 0x91, 0, read, &[], |_| {}));
    breaks_the_connection(|out, read, _| frame::write(out, kind::WELCOME, 0, read, &[], |_| {}));
    breaks_the_connection(|out, _, _| frame::write(out, kind::GOING_AWAY, 0, 0, &[], |_| {}));
    breaks_the_connection(|out, _, watch| frame::write(out, kind::ERROR, 0, watch, &[], |_| {}));
    breaks_the_connection(|out, _, watch| frame::write(out, 0x90, 0, watch, &[], |_| {}));
    breaks_the_connection(|out, _, watch| frame::write(out, 0x99, 0, watch, &[], |_| {}));
    breaks_the_connection(|out, _, watch| {
        frame::write(out, 0x99, 0, watch, &[], |out| out.extend([9, 9, 9]));
    });
    // Content where the stream is live, and a cursor that no server makes.
    breaks_the_connection(|out, _, watch| {
        frame::write_value(out, 0x99, watch, &WatchMessage::Content(Vec::new()));
    });
    breaks_the_connection(|out, _, watch| {
        let cursor = &[0; 4000];
        frame::write_value(out, 0x99, watch, &WatchMessage::Bookmark { revision: 1, cursor });
    });
}

#[test]
fn reply_to_what_was_not_sent_yet_ends_the_connection() {
    for kind in [0x90, kind::ERROR] {
        let mut pair = Pair::new();
        pair.server.limits.in_flight = 1;
        pair.server.hold_replies = true;
        let (_sent, waiting) = (pair.get(b"k"), pair.get(b"k"));
        pair.run();
        pair.server.say(|out| frame::write(out, kind, 0, waiting.0, &[], |_| {}));
        pair.run();
        assert_eq!(pair.downs()[0].code, Code::Protocol);
        assert!(pair.ends(waiting).is_empty());
    }
}

#[test]
fn what_a_later_server_may_say_is_skipped() {
    let mut pair = Pair::ready();
    pair.server.say(|out| {
        frame::write(out, 0x42, 0, 0, &[], |out| out.extend([1, 2, 3]));
        frame::write(out, 0x42, 0x80, 77, &[(0x7F, b"new")], |_| {});
        frame::write(out, kind::PONG, 0, 0, &[], |_| {});
        frame::write(out, kind::PONG, 0, 12_345, &[], |_| {});
        frame::write(out, 0x99, 0, u32::MAX, &[], |_| {});
        frame::write(out, 0x90, 0, 1 << 16 | 5, &[], |_| {});
        frame::write(out, kind::ERROR, 0, 99, &[], |_| {});
    });
    let call = pair.get(b"k");
    pair.run();
    assert_eq!(pair.got(call), None);
    assert_eq!(pair.downs(), []);
}

#[test]
fn something_else_that_answers_is_not_taken_for_a_server() {
    for answer in
        [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"-ERR unknown command\r\n", &[0; 64], &[8; 64]]
    {
        let mut pair = Pair::new();
        pair.core.connect(Millis(pair.now));
        let mut drain = pair.core.drain();
        while drain.next().is_some() {}
        drop(drain);
        pair.handle(Input::Opened);
        pair.handle(Input::Bytes(answer));
        pair.now += 5_000;
        pair.handle(Input::Tick);
        let down = &pair.downs()[0];
        assert!(matches!(down.code, Code::Protocol | Code::Network), "{down}");
        assert_eq!(pair.core.state(), State::Connecting);
    }
}

#[test]
fn greeting_longer_than_a_handshake_may_be_is_refused_by_its_length() {
    let mut pair = Pair::new();
    pair.core.connect(Millis(pair.now));
    let mut drain = pair.core.drain();
    while drain.next().is_some() {}
    drop(drain);
    pair.handle(Input::Opened);
    pair.handle(Input::Bytes(&(Limits::HANDSHAKE_FRAME_BYTES + 1).to_le_bytes()));
    assert_eq!(pair.downs()[0].code, Code::Protocol);
}

#[test]
fn claims_of_huge_frames_do_not_take_memory() {
    let mut pair = Pair::new();
    pair.server.limits.chunk_bytes = u32::MAX;
    pair.core.connect(Millis(pair.now));
    pair.run();
    pair.server.say(|out| out.extend(u32::MAX.to_le_bytes()));
    pair.run();
    assert_eq!(pair.downs()[0].code, Code::Protocol);
}

#[test]
fn limits_of_zero_and_of_everything_do_no_harm() {
    for extreme in [0, u32::MAX] {
        let mut pair = Pair::new();
        pair.server.limits = Limits {
            key_bytes: extreme,
            value_bytes: extreme,
            frame_bytes: extreme,
            chunk_bytes: extreme,
            message_bytes: extreme,
            reply_bytes: extreme,
            in_flight: extreme,
            watches: extreme,
            scan_entries: extreme,
            txn_operations: extreme,
        };
        let call = pair.get(b"k");
        pair.core.connect(Millis(pair.now));
        let mut drain = pair.core.drain();
        while drain.next().is_some() {}
        drop(drain);
        pair.handle(Input::Opened);
        pair.server.accept();
        let mut hello = Vec::new();
        assert!(pair.core.transmit(&mut hello, 4096));
        pair.server.receive(&hello);
        let welcome: Vec<u8> = std::mem::take(pair.server.outbox().expect("connected"));
        pair.handle(Input::Bytes(&welcome));
        assert_eq!(pair.core.state(), State::Ready);
        let mut out = Vec::new();
        let sent = pair.core.transmit(&mut out, extreme as usize);
        assert_eq!(sent, extreme > 0);
        assert_eq!(pair.ends(call).len(), usize::from(extreme == 0));
    }
}

/// A few frames that make sense, for random bytes to be mixed with.
fn frames(read: u32, watch: u32) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (kind, id) in [(0x90, read), (0x99, watch), (7, read), (7, watch), (7, 0), (3, 5), (5, 0)] {
        for flags in [0, 1] {
            for body in [&[][..], &[0], &[1, 1, 1, 0], &[13, 0, 0, 0, 1, 65], &[1, 5]] {
                let mut bytes = Vec::new();
                frame::write(&mut bytes, kind, flags, id, &[], |out| out.extend_from_slice(body));
                all.push(bytes);
            }
        }
    }
    all
}

#[derive(Debug, Clone)]
enum Say {
    Frame(prop::sample::Index),
    Random(Vec<u8>),
    Pass(u64),
    Cut,
    Call,
    Watch,
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        8 => any::<prop::sample::Index>().prop_map(Say::Frame),
        2 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Say::Random),
        1 => (0_u64..20_000).prop_map(Say::Pass),
        1 => Just(Say::Cut),
        2 => Just(Say::Call),
        1 => Just(Say::Watch),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_server_says_nothing_panics_and_every_call_settles(
        script in prop::collection::vec(say(), 1..60),
        slice in 1_usize..50,
    ) {
        let config = Config { queue_calls: 20, watches: 5, ..Config::default() };
        let mut pair = Pair::with(config);
        pair.slice = slice;
        pair.server.hold_replies = true;
        let mut calls = vec![pair.get(b"k")];
        let mut watch = pair.watch(b"", true);
        pair.run();
        for step in &script {
            match step {
                Say::Frame(index) if pair.server.connected() => {
                    let wire = pair.server.watching().first().copied().unwrap_or(watch.0);
                    let last = calls.last().map_or(1, |call| call.0);
                    let frame = index.get(&frames(last, wire)).clone();
                    pair.server.say(|out| out.extend_from_slice(&frame));
                }
                Say::Random(bytes) if pair.server.connected() => {
                    pair.server.say(|out| out.extend_from_slice(bytes));
                }
                Say::Frame(_) | Say::Random(_) => {}
                Say::Pass(ms) => pair.pass(*ms),
                Say::Cut => pair.cut(),
                Say::Call => calls.push(pair.get(b"k")),
                Say::Watch => watch = pair.watch(b"", true),
            }
            pair.run();
        }
        pair.pass(60_000);
        for call in calls {
            prop_assert_eq!(pair.ends(call).len(), 1);
        }
        prop_assert_eq!(pair.core.pending(), 0);
    }

    #[test]
    fn random_bytes_instead_of_a_greeting_never_panic(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..10),
    ) {
        let mut pair = Pair::new();
        pair.core.connect(Millis(pair.now));
        let mut drain = pair.core.drain();
        while drain.next().is_some() {}
        drop(drain);
        pair.handle(Input::Opened);
        for piece in &pieces {
            pair.handle(Input::Bytes(piece));
        }
        prop_assert_ne!(pair.core.state(), State::Ready);
    }
}
