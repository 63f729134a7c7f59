//! Once it is warm, the core takes no memory for a small call: not to make it, to send it, nor to
//! take its reply.

use tidekeep_client_core::protocol::codec;
use tidekeep_client_core::protocol::frame::{self, kind};
use tidekeep_client_core::protocol::op::{Get, GetReply, WriteReply, WriteStatus};
use tidekeep_client_core::{CallId, CallOptions, Core, Input, Millis, Output};

use crate::pair::{Pair, put};

/// One reply for each call, in one slice.
fn replies(calls: &[(u8, CallId)], out: &mut Vec<u8>, bodies: &[(u8, Vec<u8>)]) {
    out.clear();
    for (kind, call) in calls {
        let body = bodies.iter().find(|(known, _)| known == kind);
        let body = &body.expect("a body for every kind").1;
        frame::write(out, *kind, 0, call.0, &[], |out| out.extend_from_slice(body));
    }
}

fn exchange(
    core: &mut Core,
    calls: &mut Vec<(u8, CallId)>,
    buffer: &mut Vec<u8>,
    bodies: &[(u8, Vec<u8>)],
) {
    let (now, options) = (Millis(2000), CallOptions::default());
    calls.clear();
    for _ in 0..20 {
        calls.push((kind::PONG, core.ping(now, options)));
        calls.push((0x90, core.call(now, &Get { key: b"some/key" }, options)));
        calls.push((0x91, core.call(now, &put(b"some/key", &[7; 100]), options)));
    }
    buffer.clear();
    while core.transmit(buffer, 1 << 16) {}
    replies(calls, buffer, bodies);
    let mut settled = 0;
    // Cut in the middle of a frame, so that the receive buffer takes part.
    let (first, second) = buffer.split_at(buffer.len() / 2 + 5);
    for bytes in [first, second] {
        let mut drain = core.handle(now, Input::Bytes(bytes));
        while let Some(output) = drain.next() {
            assert!(matches!(output, Output::Reply { .. }));
            settled += 1;
        }
    }
    assert_eq!(settled, calls.len());
}

#[test]
fn small_calls_take_no_memory_once_the_core_is_warm() {
    let mut pair = Pair::ready();
    let mut bodies = vec![(kind::PONG, Vec::new()), (0x90, Vec::new()), (0x91, Vec::new())];
    codec::encode(&GetReply { revision: 1, entry: None }, &mut bodies[1].1);
    let reply = WriteReply { revision: 1, status: WriteStatus::Applied, entry: None };
    codec::encode(&reply, &mut bodies[2].1);
    let (mut calls, mut buffer) = (Vec::new(), Vec::with_capacity(1 << 16));
    for _ in 0..3 {
        exchange(&mut pair.core, &mut calls, &mut buffer, &bodies);
    }
    let taken = allocation_counter::measure(|| {
        exchange(&mut pair.core, &mut calls, &mut buffer, &bodies);
    });
    assert_eq!(taken.count_total, 0, "{taken:?}");
}
