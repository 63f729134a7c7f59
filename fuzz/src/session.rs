//! A client's side of a conversation, said in pieces, with time passing in between. Whatever it
//! says, the server answers in frames that decode, at most once for each request.
//!
//! ```text
//! | flags u8 | step … |    flags: 1 begins with a true handshake
//! step: 0 bytes as they are | length u16 | bytes |
//!       1 a frame           | kind u8 | id u8 | length u16 | body |
//!       2 time passes       | ms, in tens u8 |
//!       3 the client reads  | bytes, in fours u8 |
//!       4 the server tells the client to go
//!       5 the store's clock passes | ms, in tens u8 |
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Waker};

use tidekeep_log::disk::faulty::{FaultyDisk, seeded};
use tidekeep_log::{Call, Commit, Durability, Solo, SoloOptions, Upkeep};
use tidekeep_protocol::codec;
use tidekeep_protocol::error::ErrorBody;
use tidekeep_protocol::frame::{self, Frame, kind};
use tidekeep_protocol::hello::{GoingAway, Hello, PREFACE, Welcome};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::{Class, DeleteRange, Request, spec};
use tidekeep_protocol::range::Range;
use tidekeep_server::config::Config;
use tidekeep_server::{Conversation, Host};

use crate::disk::{Hands, ready};
use crate::replies;
use crate::script::Script;

/// Begins with a handshake.
pub const GREETED: u8 = 1;

const LIMITS: Limits = Limits {
    key_bytes: 16,
    value_bytes: 256,
    frame_bytes: 2048,
    chunk_bytes: 64,
    message_bytes: 1024,
    reply_bytes: 4096,
    in_flight: 8,
    watches: 4,
    scan_entries: 16,
    txn_operations: 8,
};
const OUTPUT_BYTES: usize = 1024;
/// What one connection may make the server hold: a frame with what follows it, the output's bound
/// with a long reply on top, the content of a watch.
const HELD_BYTES: usize = 256 << 10;
/// Conversations that a store has before it makes room for a new one.
const USES: u32 = 256;

struct Store {
    solo: Arc<Solo>,
    clock: Arc<Hands>,
    uses: u32,
}

thread_local! {
    /// A new store for each input would be most of the work.
    static STORE: RefCell<Option<Store>> = const { RefCell::new(None) };
}

/// The bytes are one conversation.
pub fn run(data: &[u8]) {
    let (solo, clock) = store();
    let mut script = Script::new(data);
    let mut talk = Talk::begin(solo);
    if script.byte().is_some_and(|flags| flags & GREETED != 0) {
        let hello = Hello { version_min: 1, version_max: 1, features: 0, software: "fuzz" };
        let mut bytes = PREFACE.to_vec();
        frame::write_value(&mut bytes, kind::HELLO, 0, &hello);
        talk.say(&bytes);
    }
    while let Some(step) = script.byte() {
        match step % 6 {
            0 => talk.say(script.chunk().unwrap_or_default()),
            1 => {
                let (Some(kind), Some(id)) = (script.byte(), script.byte()) else { break };
                let body = script.chunk().unwrap_or_default();
                let mut bytes = Vec::new();
                frame::write(&mut bytes, kind, 0, id.into(), &[], |out| {
                    out.extend_from_slice(body);
                });
                talk.say(&bytes);
            }
            2 => talk.pass(u64::from(script.byte().unwrap_or(1)) * 10),
            3 => talk.hear(usize::from(script.byte().unwrap_or(0)) * 4),
            4 => talk.server.go_away(talk.now_ms, 100),
            _ => clock.pass(u64::from(script.byte().unwrap_or(1)) * 10),
        }
    }
    talk.end();
}

/// A store without keys, whatever it has been through.
fn store() -> (Arc<Solo>, Arc<Hands>) {
    STORE.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|store| store.uses == USES) {
            *slot = Some(new_store());
        }
        let store = slot.as_mut().expect("it was made");
        store.uses += 1;
        let range = Range { start: b"", end: None };
        let request = Request::DeleteRange(DeleteRange { range, limit: 0 });
        let mut body = Vec::new();
        request.encode(&mut body);
        let call = Call { body: Some(&body), ..Call::new(request) };
        drop(ready(store.solo.submit(&[call], &mut Vec::new())));
        (Arc::clone(&store.solo), Arc::clone(&store.clock))
    })
}

fn new_store() -> Store {
    let (clock, disk) = (Hands::at(1_000_000), Arc::new(FaultyDisk::new(1)));
    let options = SoloOptions::new(disk, Arc::clone(&clock) as _, seeded(1));
    let options = SoloOptions {
        durability: Durability::Always,
        limits: LIMITS,
        segment_bytes: 1 << 20,
        history_bytes: 4096,
        shards: 2,
        upkeep: Upkeep::Steps,
        ..options
    };
    let solo = Arc::new(Solo::open(options).expect("an empty directory makes a store"));
    Store { solo, clock, uses: 0 }
}

struct Talk {
    solo: Arc<Solo>,
    server: Conversation,
    now_ms: u64,
    said: Vec<u8>,
    heard: Vec<u8>,
}

impl Talk {
    fn begin(solo: Arc<Solo>) -> Self {
        let config =
            Config { limits: LIMITS, output_bytes: OUTPUT_BYTES, ..Config::local("nowhere") };
        let host = Host::new(&config, Arc::clone(&solo) as _, [1; 16]);
        let server = Conversation::begin(&Arc::new(host), 0, 1_000_000);
        Self { solo, server, now_ms: 0, said: Vec::new(), heard: Vec::new() }
    }

    /// The server does all that it can do now, its disk included.
    fn run(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        self.server.run(self.now_ms, &mut context);
        while self.solo.step() {}
        self.server.run(self.now_ms, &mut context);
        assert!(self.server.held_bytes() <= HELD_BYTES, "{} bytes", self.server.held_bytes());
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.run();
    }

    /// The socket holds what the server does not take, and then takes no more from the client.
    fn say(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && self.server.parting().is_none() {
            let taken = self.server.receive(self.now_ms, rest);
            self.said.extend_from_slice(&rest[..taken]);
            rest = &rest[taken..];
            self.run();
            if taken == 0 {
                return;
            }
        }
    }

    fn hear(&mut self, most: usize) {
        let ready = self.server.output();
        let count = most.min(ready.len());
        self.heard.extend_from_slice(&ready[..count]);
        self.server.taken(self.now_ms, count);
        self.run();
    }
    /// The client reads to the end, and looks at what it got.
    fn end(&mut self) {
        let mut before = usize::MAX;
        while self.heard.len() != before {
            before = self.heard.len();
            self.hear(usize::MAX);
        }
        let asked = self.asked();
        let mut answers: HashMap<u32, usize> = HashMap::new();
        let mut joined: HashMap<u32, Vec<u8>> = HashMap::new();
        let mut rest = &self.heard[..];
        // A frame of the server is as long as a chunk, an error or a welcome.
        while let Some((frame, length)) = Frame::decode(rest, 1024).expect("the server's frames") {
            rest = &rest[length..];
            if frame.id == 0 {
                control(&frame);
                continue;
            }
            assert!(asked.contains_key(&frame.id), "an answer without a question: {frame:?}");
            if frame.kind == kind::ERROR {
                assert!(codec::decode::<ErrorBody<'_>>(frame.body).is_ok());
                joined.remove(&frame.id);
                *answers.entry(frame.id).or_default() += 1;
                continue;
            }
            if frame.kind == kind::PONG {
                *answers.entry(frame.id).or_default() += 1;
                continue;
            }
            let body = joined.entry(frame.id).or_default();
            body.extend_from_slice(frame.body);
            // Chunks under an id that the client used again too early are not told apart.
            let joins = body.len() <= LIMITS.reply_bytes as usize;
            assert!(joins || asked[&frame.id] > 1, "a reply is too long to be joined");
            if frame.more() {
                continue;
            }
            let operation = spec(replies::answered(frame.kind)).expect("a reply's kind is known");
            let decodes = replies::reply(operation.kind, body).is_some();
            assert!(decodes || asked[&frame.id] > 1, "{frame:?}");
            joined.remove(&frame.id);
            if operation.class != Class::Watch {
                *answers.entry(frame.id).or_default() += 1;
            }
        }
        assert!(rest.is_empty(), "what the server says ends with a frame");
        for (id, count) in answers {
            assert!(
                count <= asked[&id],
                "{count} answers to {} questions with id {id}",
                asked[&id]
            );
        }
    }

    /// How many frames the client has sent with each id.
    fn asked(&self) -> HashMap<u32, usize> {
        let mut asked = HashMap::new();
        let mut rest = self.said.get(PREFACE.len()..).unwrap_or_default();
        while let Ok(Some((frame, length))) = Frame::decode(rest, LIMITS.frame_bytes) {
            *asked.entry(frame.id).or_default() += 1;
            rest = &rest[length..];
        }
        asked
    }
}

fn control(frame: &Frame<'_>) {
    let known = match frame.kind {
        kind::WELCOME => codec::decode::<Welcome<'_>>(frame.body).is_ok(),
        kind::ERROR => codec::decode::<ErrorBody<'_>>(frame.body).is_ok(),
        kind::GOING_AWAY => codec::decode::<GoingAway>(frame.body).is_ok(),
        kind::PING | kind::PONG => frame.body.is_empty(),
        _ => false,
    };
    assert!(known, "{frame:?}");
}
