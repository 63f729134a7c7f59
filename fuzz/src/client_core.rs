//! A hostile server. Whatever it says, no call settles twice, every call settles once the client is
//! closed and its time is over, what the client sends are frames, and memory stays bounded.
//!
//! ```text
//! | flags u8 | step … |    flags: 1 begins connected and greeted
//! step: 0 bytes as they are | length u16 | bytes |
//!       1 a frame           | kind u8 | which request u8 | flags u8 | length u16 | body |
//!       2 time passes       | ms, in tens u8 |
//!       3 a call            | operation u8 | length u16 | body |
//!       4 a watch           | flags u8 |
//!       5 transport, leases | 0 opened, 1 closed, 2 woke, 3 and 4 keep a lease, 5 forget one |
//!       6 to a watch        | which u8 | 0 unwatch, 1 pause, 2 resume |
//!       7 to a call         | which u8 | 0 cancel, 1 ping |
//! ```

use std::collections::HashSet;

use tidekeep_client_core::protocol::frame::{self, Frame, kind};
use tidekeep_client_core::protocol::hello::{PREFACE, Welcome};
use tidekeep_client_core::protocol::limits::Limits;
use tidekeep_client_core::protocol::op::{Class, Delivery, OPERATIONS, Spec, WatchHead};
use tidekeep_client_core::protocol::range::KeyRange;
use tidekeep_client_core::{
    CallId, CallOptions, Config, Core, Drain, Input, Millis, Output, Resync, State, WatchId,
    WatchRequest,
};

use crate::script::Script;

/// Begins with a connection.
pub const READY: u8 = 1;

/// The first of the leases that are kept.
const LEASE: u64 = 7;

/// Longest reply that the client takes, and of all replies together.
const REPLY_BYTES: usize = 4096;
const JOINING_BYTES: usize = 16 << 10;

/// The bytes are one server.
pub fn run(data: &[u8]) {
    // What is asked for is held until it settles; what is said is held up to the bounds.
    let limit = (1 << 20) + 16 * (REPLY_BYTES + JOINING_BYTES) + 32 * data.len();
    crate::within(limit, || Run::new().play(data));
}

struct Run {
    core: Core,
    now: Millis,
    live: HashSet<u32>,
    calls: Vec<CallId>,
    watches: Vec<WatchId>,
    ended: HashSet<u32>,
    /// Leases that are kept.
    kept: HashSet<u64>,
    /// Mutations that have not settled.
    queued: HashSet<u64>,
    sent: Vec<u32>,
    /// What the client has said and was not looked at.
    said: Vec<u8>,
    /// The connection has begun with its preface.
    preface: bool,
}

impl Run {
    fn new() -> Self {
        let config = Config {
            reply_bytes: REPLY_BYTES,
            joining_bytes: JOINING_BYTES,
            queue_calls: 64,
            queue_bytes: 64 << 10,
            watches: 8,
            ..Config::default()
        };
        Self {
            core: Core::new(config, 7),
            now: Millis(0),
            live: HashSet::new(),
            calls: Vec::new(),
            watches: Vec::new(),
            ended: HashSet::new(),
            kept: HashSet::new(),
            queued: HashSet::new(),
            sent: vec![0],
            said: Vec::new(),
            preface: false,
        }
    }

    fn play(mut self, data: &[u8]) {
        let mut script = Script::new(data);
        if script.byte().is_some_and(|flags| flags & READY != 0) {
            self.core.connect(self.now);
            self.input(Input::Opened);
            self.input(Input::Bytes(&welcome()));
            assert_eq!(self.core.state(), State::Ready);
        }
        while let Some(step) = script.byte() {
            self.step(step, &mut script);
            self.look();
        }
        self.close();
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        match step % 8 {
            0 => self.input(Input::Bytes(script.chunk().unwrap_or_default())),
            1 => {
                let kind = script.byte().unwrap_or(0);
                let which = usize::from(script.byte().unwrap_or(0));
                let id = self.sent[which % self.sent.len()];
                let flags = script.byte().unwrap_or(0);
                let body = script.chunk().unwrap_or_default();
                let mut bytes = Vec::new();
                frame::write(&mut bytes, kind, flags, id, &[], |out| out.extend_from_slice(body));
                self.input(Input::Bytes(&bytes));
            }
            2 => {
                self.now = Millis(self.now.0 + u64::from(script.byte().unwrap_or(1)) * 10);
                self.input(Input::Tick);
            }
            3 => {
                let which = usize::from(script.byte().unwrap_or(0)) % OPERATIONS.len();
                let body = script.chunk().unwrap_or_default();
                if OPERATIONS[which].class != Class::Watch {
                    let options = CallOptions::default();
                    let Spec { kind, class, .. } = OPERATIONS[which];
                    if body.first().is_some_and(|&byte| byte % 4 == 1) {
                        let mutation = self.core.enqueue(self.now, kind, body);
                        assert!(self.queued.insert(mutation.0), "an id is used once");
                    }
                    let call = self.core.call_encoded(self.now, kind, class, body, options);
                    self.called(call);
                }
            }
            4 => {
                let flags = script.byte().unwrap_or(0);
                let request = WatchRequest {
                    range: KeyRange::prefix(b"k"),
                    content: flags & 1 != 0,
                    previous: flags & 2 != 0,
                    delivery: if flags & 8 != 0 { Delivery::Latest } else { Delivery::Every },
                    cursor: (flags & 4 != 0).then(|| vec![1, 1, 1]),
                    resync: if flags & 16 != 0 { Resync::Reset } else { Resync::Difference },
                };
                if flags & 32 != 0 {
                    let saved = script.chunk().unwrap_or_default();
                    self.watches.push(self.core.view(self.now, request.range, saved));
                } else {
                    self.watches.push(self.core.watch(self.now, request));
                }
            }
            5 => match script.byte().unwrap_or(0) % 6 {
                0 => self.input(Input::Opened),
                1 => self.input(Input::Closed("gone")),
                2 => self.input(Input::Woke),
                5 => {
                    self.core.forget_lease(self.now, LEASE);
                    self.kept.remove(&LEASE);
                }
                which => {
                    let (lease, ttl_ms) = (LEASE + u64::from(which - 3), 700 * u64::from(which));
                    self.core.keep_lease(self.now, lease, ttl_ms, self.now);
                    self.kept.insert(lease);
                }
            },
            6 => {
                let (which, what) = (script.byte().unwrap_or(0), script.byte().unwrap_or(0));
                if let Some(&watch) = self.watches.get(usize::from(which)) {
                    match what % 3 {
                        0 => {
                            self.core.unwatch(self.now, watch);
                            self.ended.insert(watch.0);
                        }
                        1 => self.core.pause(self.now, watch),
                        _ => self.core.resume(self.now, watch),
                    }
                }
            }
            _ => {
                let (which, what) = (script.byte().unwrap_or(0), script.byte().unwrap_or(0));
                match self.calls.get(usize::from(which)) {
                    Some(&call) if what % 2 == 0 => self.core.cancel(self.now, call),
                    _ => {
                        let call = self.core.ping(self.now, CallOptions::default());
                        self.called(call);
                    }
                }
            }
        }
    }

    fn called(&mut self, call: CallId) {
        assert!(self.live.insert(call.0), "an id is in use once");
        self.calls.push(call);
    }

    fn input(&mut self, input: Input<'_>) {
        let drain = self.core.handle(self.now, input);
        let sets = (&mut self.live, &mut self.ended, &mut self.kept, &mut self.queued);
        self.preface &= !take(drain, sets);
        self.look();
    }

    /// Takes what is there, and reads what the client says.
    fn look(&mut self) {
        let drain = self.core.drain();
        let sets = (&mut self.live, &mut self.ended, &mut self.kept, &mut self.queued);
        self.preface &= !take(drain, sets);
        let mut buffer = Vec::new();
        while self.core.transmit(&mut buffer, 1024) {
            self.said.append(&mut buffer);
        }
        if !self.preface && self.said.len() >= PREFACE.len() {
            assert_eq!(self.said[..PREFACE.len()], PREFACE);
            self.said.drain(..PREFACE.len());
            self.preface = true;
        }
        let mut rest = &self.said[..];
        while let Some((frame, length)) = Frame::decode(rest, u32::MAX).expect("the client's own") {
            self.sent.push(frame.id);
            rest = &rest[length..];
        }
        assert!(rest.is_empty(), "a client sends whole frames");
        self.said.clear();
        if self.sent.len() > 256 {
            self.sent.drain(1..128);
        }
    }

    /// The client closes, and time passes until it has nothing to wait for.
    fn close(mut self) {
        self.core.close(self.now);
        self.look();
        for _ in 0..10_000 {
            let Some(at) = self.core.wait() else { break };
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
        assert_eq!(self.core.wait(), None, "a closed client rests");
        assert_eq!((self.core.pending(), self.live.len()), (0, 0), "every call settles");
        assert!(self.kept.is_empty(), "every lease is told to be lost");
        assert!(self.queued.is_empty(), "every mutation settles");
        assert_eq!(self.core.state(), State::Closed);
    }
}

/// What is under way: calls, watches that ended, leases, mutations.
type Sets<'a> =
    (&'a mut HashSet<u32>, &'a mut HashSet<u32>, &'a mut HashSet<u64>, &'a mut HashSet<u64>);

/// Takes all outputs; whether there is to be another connection.
fn take(mut drain: Drain<'_>, (live, ended, kept, queued): Sets<'_>) -> bool {
    let mut open = false;
    while let Some(output) = drain.next() {
        match output {
            Output::Reply { call, body, kind } => {
                assert!(live.remove(&call.0), "a call settles once");
                assert!(body.len() <= REPLY_BYTES && kind != kind::ERROR);
            }
            Output::Failed { call, error } => {
                assert!(live.remove(&call.0), "a call settles once: {error}");
            }
            Output::Watch { watch, body } => {
                assert!(!ended.contains(&watch.0), "nothing comes for a watch that has ended");
                assert!(WatchHead::decode(body).is_ok() && body.len() <= REPLY_BYTES);
            }
            Output::WatchReset { watch } => assert!(!ended.contains(&watch.0)),
            Output::WatchFailed { watch, .. } => assert!(ended.insert(watch.0)),
            Output::LeaseLost { lease, .. } => {
                assert!(kept.remove(&lease), "a lease that is kept is lost once");
            }
            Output::Open => open = true,
            Output::View { view, .. } => assert!(!ended.contains(&view.0)),
            Output::Settled { mutation, .. } => {
                assert!(queued.remove(&mutation.0), "a mutation settles once");
            }
            Output::Store { .. } | Output::Queued { .. } => unreachable!("it has no place"),
            Output::Close | Output::State(_) | Output::LinkDown(_) | Output::Queue(_) => {}
        }
    }
    open
}

/// A true server's first words.
fn welcome() -> Vec<u8> {
    let welcome = Welcome {
        version: 1,
        features: 0,
        limits: Limits { in_flight: 8, ..Limits::DEFAULT },
        server_id: [1; 16],
        store_id: [2; 16],
        incarnation: 3,
        heartbeat_ms: 10_000,
        now_ms: 1_000_000,
        software: "hostile",
    };
    let mut bytes = Vec::new();
    frame::write_value(&mut bytes, kind::WELCOME, 0, &welcome);
    bytes
}
