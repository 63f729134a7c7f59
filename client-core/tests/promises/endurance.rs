//! What must not grow or wait: memory over thousands of connections, and events behind a large reply.

use tidekeep_client_core::protocol::codec;
use tidekeep_client_core::protocol::frame::{self, ext, flag, kind};
use tidekeep_client_core::protocol::hello::Welcome;
use tidekeep_client_core::protocol::limits::Limits;
use tidekeep_client_core::protocol::op::{Event, WatchMessage};
use tidekeep_client_core::{CallOptions, Config, Core, Input, Millis, Output, WatchRequest};

use crate::pair::{Pair, Seen, put};

/// A welcome of the same session, every time.
fn welcome() -> Vec<u8> {
    let welcome = Welcome {
        version: 1,
        features: 0,
        limits: Limits::DEFAULT,
        server_id: [1; 16],
        store_id: [2; 16],
        incarnation: 3,
        heartbeat_ms: 10_000,
        now_ms: 4,
        software: "script",
    };
    let (mut body, mut frame) = (Vec::new(), Vec::new());
    codec::encode(&welcome, &mut body);
    frame::write(&mut frame, kind::WELCOME, 0, 0, &[(ext::SESSION, &[7; 16])], |out| {
        out.extend_from_slice(&body);
    });
    frame
}

struct Wire {
    core: Core,
    now: u64,
    out: Vec<u8>,
    replies: usize,
}

impl Wire {
    fn take(&mut self, input: Input<'_>) {
        let mut drain = self.core.handle(Millis(self.now), input);
        while let Some(output) = drain.next() {
            self.replies += usize::from(matches!(output, Output::Reply { .. }));
        }
        drop(drain);
        self.out.clear();
        while self.core.transmit(&mut self.out, 1 << 16) {}
    }

    /// Loses the connection with a write, a read and a watch under way, and gets another one.
    fn reconnect(&mut self, welcome: &[u8], reply: &mut Vec<u8>) {
        let now = Millis(self.now);
        let write = self.core.call(now, &put(b"key", b"value"), CallOptions::default());
        let ping = self.core.ping(now, CallOptions::default());
        self.take(Input::Tick);
        self.take(Input::Closed("cut"));
        self.now = self.core.wait().map_or(self.now, |at| at.0);
        self.take(Input::Tick);
        self.take(Input::Opened);
        self.take(Input::Bytes(welcome));
        reply.clear();
        frame::write(reply, 0x91, 0, write.0, &[], |_| {});
        frame::write(reply, kind::PONG, 0, ping.0, &[], |_| {});
        self.take(Input::Bytes(reply));
        // Long enough to be stable, so that the waits stay short.
        self.now += 10_000;
        self.take(Input::Tick);
        assert_eq!(self.core.pending(), 0);
    }
}

#[test]
fn ten_thousand_reconnects_leave_memory_where_it_was() {
    let core = Core::new(Config::default(), 1);
    let mut wire = Wire { core, now: 1_000, out: Vec::new(), replies: 0 };
    let (welcome, mut reply) = (welcome(), Vec::new());
    wire.core.watch(Millis(1_000), WatchRequest { content: true, ..WatchRequest::default() });
    wire.take(Input::Tick);
    wire.take(Input::Opened);
    wire.take(Input::Bytes(&welcome));
    for _ in 0..100 {
        wire.reconnect(&welcome, &mut reply);
    }
    let taken = allocation_counter::measure(|| {
        for _ in 0..10_000 {
            wire.reconnect(&welcome, &mut reply);
        }
    });
    assert_eq!(wire.replies, 2 * 10_100);
    assert_eq!(taken.bytes_current, 0, "{taken:?}");
}

/// The server cuts replies into chunks; an event that comes between two of them is given out with
/// the bytes it came in, so that it waits for one chunk of the reply at most.
#[test]
fn event_amid_a_large_reply_is_given_out_before_the_next_chunk_arrives() {
    let mut pair = Pair::ready();
    pair.server.hold_replies = true;
    let watch = pair.watch(b"", false);
    let read = pair.get(b"k");
    pair.run();
    pair.take();
    let wire = pair.server.watching()[0];
    let mut bytes = Vec::new();
    for revision in 1..=20 {
        bytes.clear();
        frame::write(&mut bytes, 0x90, flag::MORE, read.0, &[], |out| out.extend([7; 64]));
        pair.handle(Input::Bytes(&bytes));
        bytes.clear();
        let events = vec![Event::Delete { key: b"k", previous: None }];
        let message = WatchMessage::Events { revision, cursor: b"c", events };
        frame::write_value(&mut bytes, 0x99, wire, &message);
        pair.handle(Input::Bytes(&bytes));
        let changes = vec![(b"k".to_vec(), None)];
        assert_eq!(pair.take(), [Seen::Events(watch, (revision, changes))]);
    }
    bytes.clear();
    frame::write(&mut bytes, 0x90, 0, read.0, &[], |_| {});
    pair.handle(Input::Bytes(&bytes));
    assert_eq!(pair.settled(read).map(|body| body.len()), Ok(20 * 64));
}
