//! A core and the scripted server, joined by a transport that cuts the stream where it is told to,
//! in virtual time.

use tidekeep_client_core::protocol::codec;
use tidekeep_client_core::protocol::op::{Get, GetReply, Operation, Put, WatchMessage};
use tidekeep_client_core::protocol::range::KeyRange;
use tidekeep_client_core::{
    CallId, CallOptions, Config, Core, Error, Input, Millis, MutationId, Output, QueueInfo, Resync,
    State, WatchId, WatchRequest,
};

use crate::model::{Revision, Server};
use crate::patch::Patch;
use crate::place::Place;

/// An output, owned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    Open,
    Close,
    State(State),
    Down(Error),
    Reply(CallId, Vec<u8>),
    Failed(CallId, Error),
    Reset(WatchId),
    Content(WatchId, Vec<(Vec<u8>, Vec<u8>, u64)>),
    CaughtUp(WatchId, u64, Vec<u8>),
    Events(WatchId, Revision),
    Bookmark(WatchId, u64),
    /// Only the head of a watch message makes sense.
    Malformed(WatchId),
    WatchFailed(WatchId, Error),
    LeaseLost(u64, Error),
    Store(Vec<u8>),
    Queued(MutationId),
    Settled(MutationId, Vec<u8>, Result<Vec<u8>, Error>),
    Queue(QueueInfo),
    Patch(WatchId, Patch),
}

/// The transport between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    None,
    Opening,
    Open,
}

pub(crate) struct Pair {
    pub(crate) core: Core,
    config: Config,
    pub(crate) server: Server,
    pub(crate) now: u64,
    /// Every output that was not taken yet.
    pub(crate) seen: Vec<Seen>,
    /// Transports can be opened.
    pub(crate) reachable: bool,
    /// Bytes that the core is given at once.
    pub(crate) slice: usize,
    /// Bytes that one transmit may make.
    pub(crate) piece: usize,
    /// The transport breaks after this many bytes to the client.
    pub(crate) cut_after_in: Option<usize>,
    /// The transport breaks after this many bytes to the server.
    pub(crate) cut_after_out: Option<usize>,
    /// How often the transport broke.
    pub(crate) cuts: usize,
    /// Where rows are stored.
    pub(crate) place: Place,
    wire: Wire,
    /// When the server last said something.
    server_said: u64,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        Self {
            core: Core::new(config.clone(), 42),
            config,
            server: Server::new(),
            now: 1000,
            seen: Vec::new(),
            reachable: true,
            slice: usize::MAX,
            piece: 64 << 10,
            cut_after_in: None,
            cut_after_out: None,
            cuts: 0,
            place: Place::default(),
            wire: Wire::None,
            server_said: 0,
        }
    }

    /// Connected and greeted, nothing left to be said.
    pub(crate) fn ready() -> Self {
        Self::ready_with(Config::default())
    }

    pub(crate) fn ready_with(config: Config) -> Self {
        let mut pair = Self::with(config);
        pair.core.connect(Millis(pair.now));
        pair.run();
        assert_eq!(pair.core.state(), State::Ready);
        pair.seen.clear();
        pair
    }

    /// The same with a server that knows no sessions.
    pub(crate) fn without_sessions() -> Self {
        let mut pair = Self::new();
        pair.server.memory = None;
        pair.core.connect(Millis(pair.now));
        pair.run();
        assert_eq!(pair.core.session(), None);
        pair.seen.clear();
        pair
    }

    pub(crate) fn get(&mut self, key: &[u8]) -> CallId {
        self.core.call(Millis(self.now), &Get { key }, CallOptions::default())
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> CallId {
        let put = put(key, value);
        self.core.call(Millis(self.now), &put, CallOptions::default())
    }

    /// The process dies and another one begins with what was stored.
    pub(crate) fn crash(&mut self) {
        self.wire = Wire::None;
        self.server.hang_up();
        self.place.crash();
        self.core = Core::new(self.config.clone(), self.now);
        self.open();
    }

    /// Opens the queue with what was stored.
    pub(crate) fn open(&mut self) {
        if let Some(memory) = &mut self.server.memory {
            memory.queues = true;
        }
        let rows = self.place.rows();
        let epoch_ms = 1_700_000_000_000 + self.now;
        self.core.open_queue(Millis(self.now), epoch_ms, &rows).expect("rows can be read");
    }

    pub(crate) fn view(&mut self, prefix: &[u8], saved: &[u8]) -> WatchId {
        self.core.view(Millis(self.now), KeyRange::prefix(prefix), saved)
    }

    pub(crate) fn enqueue<O: Operation>(&mut self, request: &O) -> MutationId {
        let mut body = Vec::new();
        codec::encode(request, &mut body);
        self.core.enqueue(Millis(self.now), O::SPEC.kind, &body)
    }

    /// How a mutation ended, which must have happened exactly once.
    pub(crate) fn end(&self, mutation: MutationId) -> Result<Vec<u8>, Error> {
        let mut ends = self.mutation_ends(mutation);
        assert_eq!(ends.len(), 1, "{mutation:?} settles exactly once: {ends:?}");
        ends.remove(0)
    }

    pub(crate) fn mutation_ends(&self, mutation: MutationId) -> Vec<Result<Vec<u8>, Error>> {
        let end = |seen: &Seen| match seen {
            Seen::Settled(id, _, result) if *id == mutation => Some(result.clone()),
            _ => None,
        };
        self.seen.iter().filter_map(end).collect()
    }

    pub(crate) fn watch(&mut self, prefix: &[u8], content: bool) -> WatchId {
        self.watch_with(prefix, content, Resync::Difference)
    }

    pub(crate) fn watch_with(&mut self, prefix: &[u8], content: bool, resync: Resync) -> WatchId {
        let range = KeyRange::prefix(prefix);
        let request = WatchRequest { range, content, resync, ..WatchRequest::default() };
        self.core.watch(Millis(self.now), request)
    }

    /// Gives the core an input and takes its outputs.
    pub(crate) fn handle(&mut self, input: Input<'_>) {
        let mut drain = self.core.handle(Millis(self.now), input);
        while let Some(output) = drain.next() {
            self.wire = match &output {
                Output::Open => Wire::Opening,
                Output::Close => Wire::None,
                _ => self.wire,
            };
            self.place.take(&output);
            self.seen.push(own(output));
        }
        if self.wire != Wire::Open {
            self.server.hang_up();
        }
    }

    fn drain(&mut self) {
        let mut drain = self.core.drain();
        while let Some(output) = drain.next() {
            self.wire = match &output {
                Output::Open => Wire::Opening,
                Output::Close => Wire::None,
                _ => self.wire,
            };
            self.place.take(&output);
            self.seen.push(own(output));
        }
        if self.wire != Wire::Open {
            self.server.hang_up();
        }
    }

    /// The transport breaks.
    pub(crate) fn cut(&mut self) {
        if self.wire == Wire::Open {
            self.cuts += 1;
            self.wire = Wire::None;
            self.server.hang_up();
            self.handle(Input::Closed("cut"));
        }
    }

    /// Moves bytes until nothing moves any more. Time stands still.
    pub(crate) fn run(&mut self) {
        for _ in 0..100_000 {
            self.drain();
            let stored = self.place.store();
            match stored {
                Some(true) => self.handle(Input::Stored),
                Some(false) => self.handle(Input::StoreFailed("no room")),
                None => {}
            }
            let moved = match self.wire {
                Wire::None => stored.is_some(),
                Wire::Opening => {
                    self.open_wire();
                    true
                }
                Wire::Open => stored.is_some() | self.send() | self.deliver(),
            };
            if !moved {
                return;
            }
        }
        panic!("the two never come to rest");
    }

    fn open_wire(&mut self) {
        if self.reachable {
            self.wire = Wire::Open;
            self.server.accept();
            self.handle(Input::Opened);
        } else {
            self.wire = Wire::None;
            self.handle(Input::Closed("connection refused"));
        }
    }

    /// Moves bytes from the core to the server.
    fn send(&mut self) -> bool {
        let mut out = Vec::new();
        if !self.core.transmit(&mut out, self.piece) {
            return false;
        }
        match &mut self.cut_after_out {
            Some(left) if *left <= out.len() => {
                self.server.receive(&out[..*left]);
                self.cut_after_out = None;
                self.cut();
            }
            Some(left) => {
                *left -= out.len();
                self.server.receive(&out);
            }
            None => self.server.receive(&out),
        }
        true
    }

    /// Moves bytes from the server to the core.
    fn deliver(&mut self) -> bool {
        let cut_after = self.cut_after_in.unwrap_or(usize::MAX);
        let Some(outbox) = self.server.outbox() else { return false };
        let length = outbox.len().min(self.slice).min(cut_after);
        let bytes: Vec<u8> = outbox.drain(..length).collect();
        let over = self.server.is_over();
        let moved = !bytes.is_empty() || over || cut_after == 0;
        if !bytes.is_empty() {
            self.server_said = self.now;
            self.handle(Input::Bytes(&bytes));
        }
        if let Some(left) = &mut self.cut_after_in {
            *left -= length;
            if *left == 0 {
                self.cut_after_in = None;
                self.cut();
            }
        }
        if over && self.wire == Wire::Open {
            self.cut();
        }
        moved
    }

    /// Lets time pass: wakes the core whenever it asks to be woken, and keeps the server's
    /// heartbeat.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        self.run();
        loop {
            let talks = self.server.connected() && !self.server.silent;
            let heartbeat = if talks {
                self.server_said + u64::from(self.server.heartbeat_ms)
            } else {
                u64::MAX
            };
            let wait = self.core.wait().map_or(u64::MAX, |at| at.0);
            let next = wait.min(heartbeat).max(self.now);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            if next == wait {
                self.handle(Input::Tick);
            } else {
                self.server.say(|out| {
                    use tidekeep_client_core::protocol::frame::{self, kind};
                    frame::write(out, kind::PING, 0, 9, &[], |_| {});
                });
            }
            self.run();
        }
    }

    /// Takes what was seen.
    pub(crate) fn take(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// How a call ended, which must have happened exactly once.
    pub(crate) fn settled(&self, call: CallId) -> Result<Vec<u8>, Error> {
        let mut ends = self.ends(call);
        assert_eq!(ends.len(), 1, "{call:?} settles exactly once: {ends:?}");
        ends.remove(0)
    }

    /// How a call failed, which must have happened exactly once.
    pub(crate) fn failed(&self, call: CallId) -> Error {
        self.settled(call).expect_err("the call fails")
    }

    /// Every end of a call.
    pub(crate) fn ends(&self, call: CallId) -> Vec<Result<Vec<u8>, Error>> {
        let end = |seen: &Seen| match seen {
            Seen::Reply(id, body) if *id == call => Some(Ok(body.clone())),
            Seen::Failed(id, error) if *id == call => Some(Err(error.clone())),
            _ => None,
        };
        self.seen.iter().filter_map(end).collect()
    }

    /// The value that a get returned.
    pub(crate) fn got(&self, call: CallId) -> Option<Vec<u8>> {
        let body = self.settled(call).expect("the get succeeds");
        let reply: GetReply<'_> = codec::decode(&body).expect("a get's reply");
        reply.entry.map(|stored| stored.value.to_vec())
    }

    /// The states that were shown.
    pub(crate) fn states(&self) -> Vec<State> {
        let state = |seen: &Seen| match seen {
            Seen::State(state) => Some(*state),
            _ => None,
        };
        self.seen.iter().filter_map(state).collect()
    }

    /// Why attempts and connections ended.
    pub(crate) fn downs(&self) -> Vec<Error> {
        let down = |seen: &Seen| match seen {
            Seen::Down(error) => Some(error.clone()),
            _ => None,
        };
        self.seen.iter().filter_map(down).collect()
    }

    /// How often a transport was asked for.
    pub(crate) fn opens(&self) -> usize {
        self.seen.iter().filter(|seen| **seen == Seen::Open).count()
    }
}

pub(crate) fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Put<'a> {
    Put { key, value, condition: Default::default(), expiry: Default::default(), previous: false }
}

fn own(output: Output<'_>) -> Seen {
    match output {
        Output::Open => Seen::Open,
        Output::Close => Seen::Close,
        Output::State(state) => Seen::State(state),
        Output::LinkDown(error) => Seen::Down(error),
        Output::Reply { call, body, .. } => Seen::Reply(call, body.to_vec()),
        Output::Failed { call, error } => Seen::Failed(call, error),
        Output::WatchReset { watch } => Seen::Reset(watch),
        Output::Watch { watch, body } => own_message(watch, body),
        Output::WatchFailed { watch, error } => Seen::WatchFailed(watch, error),
        Output::LeaseLost { lease, error } => Seen::LeaseLost(lease, error),
        Output::View { view, body } => Seen::Patch(view, Patch::read(body)),
        Output::Store { batch } => Seen::Store(batch.to_vec()),
        Output::Queued { mutation } => Seen::Queued(mutation),
        Output::Settled { mutation, key, result, .. } => Seen::Settled(mutation, key, result),
        Output::Queue(info) => Seen::Queue(info),
    }
}

fn own_message(watch: WatchId, body: &[u8]) -> Seen {
    use tidekeep_client_core::protocol::op::Event;
    let Ok(message) = codec::decode(body) else { return Seen::Malformed(watch) };
    match message {
        WatchMessage::Content(entries) => {
            let own = entries.iter().map(|entry| {
                let stored = entry.stored;
                (entry.key.to_vec(), stored.value.to_vec(), stored.meta.modified)
            });
            Seen::Content(watch, own.collect())
        }
        WatchMessage::CaughtUp { revision, cursor } => {
            Seen::CaughtUp(watch, revision, cursor.to_vec())
        }
        WatchMessage::Events { revision, events, .. } => {
            let own = events.iter().map(|event| match event {
                Event::Put { entry, .. } => (entry.key.to_vec(), Some(entry.stored.value.to_vec())),
                Event::Delete { key, .. }
                | Event::Expire { key, .. }
                | Event::Evict { key, .. } => (key.to_vec(), None),
            });
            Seen::Events(watch, (revision, own.collect()))
        }
        WatchMessage::Bookmark { revision, .. } => Seen::Bookmark(watch, revision),
    }
}
