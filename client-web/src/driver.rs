//! Owns the core: turns what the page asks and what has happened to its socket into the core's
//! inputs, the core's outputs into one packed buffer a turn, and what it sends into messages.

use tidekeep_client_core::{
    CallId, CallOptions, Config, Core, Input, Millis, MutationId, Output, State, WatchId,
    WatchRequest,
};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::{self, Class, Watch, WatchFrom};
use tidekeep_protocol::range::KeyRange;
use web_sys::WebSocket;

use crate::packed::{begin_look, begin_turn, finish_turn, pack, pack_welcome};

/// Longest message before the server has told its limit, in bytes.
const MESSAGE_BYTES: usize = 4096;

/// Capacity of the buffers that is kept from turn to turn.
const KEPT_BYTES: usize = 64 << 10;

/// What the page can ask for; `ts/records.ts` has the same list.
mod asked {
    /// A call: its kind is the id, its time in milliseconds the number, its body what was given.
    pub(super) const CALL: u32 = 0;
    /// Gives a call up.
    pub(super) const CANCEL: u32 = 1;
    /// A watch; a watch request's body was given.
    pub(super) const WATCH: u32 = 2;
    /// Ends a watch.
    pub(super) const UNWATCH: u32 = 3;
    /// Stops a watch's stream for now, once it has caught up.
    pub(super) const PAUSE: u32 = 4;
    /// Lets it go on where it stopped.
    pub(super) const RESUME: u32 = 5;
    /// Keeps a lease alive, the number; its time in milliseconds is the id, and counts from `since`.
    pub(super) const KEEP: u32 = 6;
    /// Keeps a lease no longer, the number.
    pub(super) const FORGET: u32 = 7;
    /// Ends the client; what is under way settles first.
    pub(super) const CLOSE: u32 = 8;
    /// Opens the queue before anything else; its rows were given, the wall clock's time is the
    /// number. 0 if they cannot be read.
    pub(super) const OPEN_QUEUE: u32 = 9;
    /// Queues a mutation: its kind is the id, its body was given.
    pub(super) const ENQUEUE: u32 = 10;
    /// Takes a mutation back, the number. 0 if it cannot be.
    pub(super) const DISCARD: u32 = 11;
    /// A view; a watch request's body was given, so long as the number says, and behind it what an
    /// earlier view saved.
    pub(super) const VIEW: u32 = 12;
}

/// What the page can look at; `ts/records.ts` has the same list.
mod looked {
    /// What a view, the id, saves.
    pub(super) const SAVE: u32 = 0;
    /// The rows of mutations that have not settled.
    pub(super) const MUTATIONS: u32 = 1;
    /// The next message for the socket, which counts as sent then; nothing if there is none, or if its state, which is
    /// the id, is not that of an open one: one that is about to close takes nothing, and its end says all there is to say.
    pub(super) const MESSAGE: u32 = 2;
}

/// What can have happened; `ts/records.ts` has the same list. Everything else is a turn for what was
/// asked.
mod happened {
    /// The time has come that the timer was set for.
    pub(super) const TICK: u32 = 1;
    /// The page became visible or the network came back: no need to wait out a pause.
    pub(super) const WOKE: u32 = 2;
    /// The socket is open.
    pub(super) const OPENED: u32 = 3;
    /// It has ended.
    pub(super) const CLOSED: u32 = 4;
    /// It could not be made.
    pub(super) const REFUSED: u32 = 5;
    /// A message has come; it was given.
    pub(super) const MESSAGE: u32 = 6;
    /// The batch that was to be stored is.
    pub(super) const STORED: u32 = 7;
    /// It could not be.
    pub(super) const STORE_FAILED: u32 = 8;
}

pub(crate) struct Driver {
    core: Core,
    /// When the timer is set for.
    armed: Option<Millis>,
    /// The bytes that come with what is asked or has happened.
    given: Vec<u8>,
    /// What the last turn left for the page.
    packed: Vec<u8>,
}

impl Driver {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let core = Core::new(config, seed);
        Self { core, armed: None, given: Vec::new(), packed: Vec::new() }
    }

    pub(crate) fn room(&mut self, length: usize) -> usize {
        self.given.clear();
        self.given.resize(length, 0);
        self.given.as_ptr() as usize
    }

    pub(crate) fn ask(
        &mut self,
        now: Millis,
        what: u32,
        id: u32,
        number: u64,
        since: Millis,
    ) -> Option<u64> {
        let core = &mut self.core;
        match what {
            asked::CALL => {
                let kind = id as u8;
                let class = if kind == kind::PING { Class::Server } else { op::class(kind)? };
                let timeout_ms = Some(number as u32);
                let options = CallOptions { timeout_ms, ..CallOptions::default() };
                let CallId(id) = core.call_encoded(now, kind, class, &self.given, options);
                return Some(id.into());
            }
            asked::CANCEL => core.cancel(now, CallId(id)),
            asked::WATCH => {
                let WatchId(id) = core.watch(now, watch_request(&self.given)?);
                return Some(id.into());
            }
            asked::UNWATCH => core.unwatch(now, WatchId(id)),
            asked::PAUSE => core.pause(now, WatchId(id)),
            asked::RESUME => core.resume(now, WatchId(id)),
            asked::KEEP => core.keep_lease(now, number, id.into(), since),
            asked::FORGET => core.forget_lease(now, number),
            asked::CLOSE => core.close(now),
            asked::OPEN_QUEUE => {
                core.open_queue(now, number, &self.given).ok()?;
                // What was left is sent without being asked for.
                if core.queue_info().waiting > 0 {
                    core.connect(now);
                }
                return Some(1);
            }
            asked::ENQUEUE => {
                let MutationId(id) = core.enqueue(now, id as u8, &self.given);
                return Some(id);
            }
            asked::DISCARD => return Some(core.discard(now, MutationId(number)).into()),
            asked::VIEW => {
                let (body, saved) = self.given.split_at_checked(number as usize)?;
                let WatchId(id) = core.view(now, watch_request(body)?.range, saved);
                return Some(id.into());
            }
            _ => {}
        }
        None
    }

    pub(crate) fn look(&mut self, what: u32, id: u32) -> usize {
        let Self { core, packed, .. } = self;
        begin_look(packed);
        match what {
            looked::SAVE => {
                core.save_view(WatchId(id), packed);
            }
            looked::MUTATIONS => core.mutations(packed),
            looked::MESSAGE if id == WebSocket::OPEN.into() => {
                // A longer frame goes alone, into an empty buffer.
                let limit = core.server().map(|it| it.limits.message_bytes as usize);
                let mut message = Vec::new();
                core.transmit(&mut message, limit.unwrap_or(MESSAGE_BYTES));
                packed.extend_from_slice(&message);
            }
            _ => {}
        }
        finish_turn(packed, None);
        packed.as_ptr() as usize
    }

    pub(crate) fn turn(&mut self, now: Millis, what: u32) -> usize {
        let Self { core, given, packed, armed } = self;
        let shrink = |buffer: &mut Vec<u8>| {
            if buffer.capacity() > KEPT_BYTES && what != happened::MESSAGE {
                *buffer = Vec::new();
            }
        };
        shrink(given);
        shrink(packed);
        begin_turn(packed);
        let input = match what {
            happened::TICK => {
                *armed = None;
                Some(Input::Tick)
            }
            happened::WOKE => Some(Input::Woke),
            happened::OPENED => Some(Input::Opened),
            happened::CLOSED => Some(Input::Closed("")),
            happened::REFUSED => Some(Input::Closed("the WebSocket cannot be made")),
            happened::MESSAGE => Some(Input::Bytes(given)),
            happened::STORED => Some(Input::Stored),
            happened::STORE_FAILED => Some(Input::StoreFailed("it could not be stored")),
            _ => None,
        };
        let mut drain = match input {
            Some(input) => core.handle(now, input),
            None => core.drain(),
        };
        let mut ready = false;
        while let Some(output) = drain.next() {
            ready |= matches!(output, Output::State(State::Ready));
            pack(packed, output);
        }
        drop(drain);
        if ready && let Some(server) = core.server() {
            pack_welcome(packed, server);
        }
        // Sets the timer when it would fire too late. One that fires too early does no harm.
        let wait = core.wait().filter(|wait| armed.is_none_or(|armed| *wait < armed));
        *armed = wait.or(*armed);
        finish_turn(packed, wait.map(|wait| wait.since(now)));
        packed.as_ptr() as usize
    }
}

fn watch_request(body: &[u8]) -> Option<WatchRequest> {
    let Watch { range, from, previous, delivery } = Watch::read(body)?;
    let range = KeyRange { start: range.start.to_vec(), end: range.end.map(<[u8]>::to_vec) };
    let (content, cursor) = match from {
        WatchFrom::Now => (false, None),
        WatchFrom::Content => (true, None),
        WatchFrom::Cursor(cursor) => (false, Some(cursor.to_vec())),
    };
    Some(WatchRequest { range, content, previous, delivery, cursor, resync: Default::default() })
}
