//! The public face of the machine. What its parts do together is in three files by what it is about:
//! calls, the connection, watches. Reading arrived bytes is [`crate::drain`]'s.

mod calling;
mod connection;
mod leasing;
mod queueing;
mod viewing;
mod watching;

use alloc::vec::Vec;

use tidekeep_protocol::codec;
use tidekeep_protocol::error::Code;
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::{Class, Operation};
use tidekeep_protocol::session::SessionId;

use crate::calls::Calls;
use crate::config::{CallOptions, Config};
use crate::drain::Drain;
use crate::error::Error;
use crate::leases::Leases;
use crate::link::{Link, Phase, ServerInfo};
use crate::mutations::Mutations;
use crate::outbox::{Control, Outbox};
use crate::output::{CallId, Input, Output, Outputs, State, WatchId};
use crate::receive::{Joining, Receive};
use crate::time::Millis;
use crate::timers::{Timer, Timers};
use crate::watch::{WatchRequest, Watches};

/// A client without I/O. After every call that takes `now`, drain the outputs, transmit, and look
/// at [`Core::wait`].
#[derive(Debug)]
pub struct Core {
    pub(crate) config: Config,
    pub(crate) now: Millis,
    pub(crate) link: Link,
    pub(crate) calls: Calls,
    pub(crate) watches: Watches,
    pub(crate) leases: Leases,
    pub(crate) queue: Mutations,
    pub(crate) outbox: Outbox,
    pub(crate) timers: Timers,
    pub(crate) receive: Receive,
    pub(crate) joining: Joining,
    /// The last body that came in chunks, while an output borrows it.
    pub(crate) joined: Vec<u8>,
    /// Outputs that own what they bear, oldest first.
    pub(crate) outputs: Outputs,
    /// A watch's message that follows the one which was given out last.
    pub(crate) follow: Option<(WatchId, Vec<u8>)>,
    shown: State,
    closing: bool,
}

impl Core {
    /// A core that has nothing to do yet. `seed` drives the jitter; give each client another one.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            now: Millis::default(),
            link: Link::new(seed),
            calls: Calls::default(),
            watches: Watches::default(),
            leases: Leases::default(),
            queue: Mutations::default(),
            outbox: Outbox::default(),
            timers: Timers::default(),
            receive: Receive::default(),
            joining: Joining::default(),
            joined: Vec::new(),
            outputs: Outputs::default(),
            follow: None,
            shown: State::Idle,
            closing: false,
        }
    }

    /// Connects, if nothing has yet. Calls and watches do this by themselves.
    pub fn connect(&mut self, now: Millis) {
        self.advance_to(now);
        if self.link.phase == Phase::Idle && !self.closing {
            if self.queue.opening {
                self.queue.wanted = true;
            } else {
                self.open();
            }
        }
    }

    /// Takes what happened. The outputs come from the drain; bytes that it is not asked for are
    /// kept for the next one.
    pub fn handle<'a>(&'a mut self, now: Millis, input: Input<'a>) -> Drain<'a> {
        self.advance_to(now);
        let mut bytes: &[u8] = &[];
        match input {
            Input::Opened => {
                if self.link.phase == Phase::Opening {
                    self.link.opened(self.now, &self.config, &mut self.timers);
                    self.outbox.push(Control::Greeting);
                }
            }
            Input::Bytes(arrived) => {
                if self.link.listening() {
                    self.link.heard(self.now, &mut self.timers);
                    bytes = arrived;
                }
            }
            Input::Closed(why) => self.transport_closed(why),
            Input::Tick => self.tick(),
            Input::Woke => self.woke(),
            Input::Stored => self.rows_stored(),
            Input::StoreFailed(why) => self.rows_failed(why),
        }
        Drain::new(self, bytes)
    }

    /// The outputs of what was called since the last drain.
    pub fn drain(&mut self) -> Drain<'_> {
        Drain::new(self, &[])
    }

    /// Appends frames for the server to `out`, whole ones, while it stays within `max_bytes`; a
    /// single longer frame goes alone into an empty buffer. False when nothing was appended.
    ///
    /// What is appended counts as sent. Over WebSocket each call makes one message.
    pub fn transmit(&mut self, out: &mut Vec<u8>, max_bytes: usize) -> bool {
        let before = out.len();
        let session = self.calls.session.known();
        let room_left = self.outbox.transmit(out, max_bytes, &self.config.software, session);
        if room_left && self.link.phase == Phase::Ready && self.watches.transmit(out, max_bytes) {
            let in_flight = self.link.limits().map_or(1, |limits| limits.in_flight.max(1));
            self.calls.transmit(self.now, out, max_bytes, in_flight as usize);
        }
        out.len() > before
    }

    /// When to come back with [`Input::Tick`], unless something else happens before.
    pub fn wait(&self) -> Option<Millis> {
        self.timers.earliest()
    }

    /// Makes a call. A refusal of any kind arrives as [`Output::Failed`], like every other end.
    pub fn call<O: Operation>(&mut self, now: Millis, request: &O, options: CallOptions) -> CallId {
        let checked = self.link.limits().map_or(Ok(()), |limits| request.check(limits));
        let spec = O::SPEC;
        match self.begin_call(now, spec.kind, spec.class, checked, options) {
            Ok(id) => {
                codec::encode(request, self.calls.body(id));
                self.end_call(id)
            }
            Err(refused) => refused,
        }
    }

    /// Makes a call of this kind and class ([`tidekeep_protocol::op::class`]) whose body the driver
    /// has encoded, as one in another language does. Only its length is held against the server's limits here; the server looks at the rest.
    pub fn call_encoded(
        &mut self,
        now: Millis,
        kind: u8,
        class: Class,
        body: &[u8],
        options: CallOptions,
    ) -> CallId {
        match self.begin_call(now, kind, class, Ok(()), options) {
            Ok(id) => {
                self.calls.body(id).extend_from_slice(body);
                self.end_call(id)
            }
            Err(refused) => refused,
        }
    }

    /// Asks the server whether it is there; settles with an empty reply.
    pub fn ping(&mut self, now: Millis, options: CallOptions) -> CallId {
        match self.begin_call(now, kind::PING, Class::Server, Ok(()), options) {
            Ok(id) => self.end_call(id),
            Err(refused) => refused,
        }
    }

    /// Gives a call up: it settles with `cancelled`. A write that was sent may still be applied.
    pub fn cancel(&mut self, now: Millis, call: CallId) {
        self.advance_to(now);
        if self.calls.find(call.0).is_some() {
            self.give_up(call.0, Error::told(Code::Cancelled, "the caller gave up"));
        }
    }

    /// Watches a range until [`Core::unwatch`], over all connections. A refusal arrives as
    /// [`Output::WatchFailed`].
    pub fn watch(&mut self, now: Millis, request: WatchRequest) -> WatchId {
        self.begin_watch(now, request, None)
    }

    fn begin_watch(&mut self, now: Millis, request: WatchRequest, saved: Option<&[u8]>) -> WatchId {
        self.connect(now);
        if let Err(error) = self.admit_watch(&request) {
            let watch = WatchId(self.watches.refused_id());
            self.outputs.push_back(Output::WatchFailed { watch, error });
            return watch;
        }
        let (slot, id) = self.watches.insert(request);
        if let Some(saved) = saved {
            self.watches.keep(slot, saved, self.config.view_bytes);
            self.show_all(slot);
        }
        self.subscribe(slot);
        WatchId(id)
    }

    /// Ends a watch. Nothing more comes for it.
    pub fn unwatch(&mut self, now: Millis, watch: WatchId) {
        self.advance_to(now);
        if let Some(slot) = self.watches.place(watch.0) {
            self.drop_watch(slot);
            self.follow = self.follow.take().filter(|(follows, _)| *follows != watch);
            self.forget_words();
        }
    }

    /// Stops a watch whose consumer is behind; the server keeps nothing for it meanwhile. Content
    /// that is on its way still comes, then the watch stops. Messages that the driver has already
    /// taken from the drain are not taken back.
    pub fn pause(&mut self, now: Millis, watch: WatchId) {
        self.advance_to(now);
        if let Some(slot) = self.watches.place(watch.0)
            && self.watches.pause(slot)
        {
            self.detach_watch(slot);
        }
    }

    /// Lets a paused watch go on behind the last message that it gave out.
    pub fn resume(&mut self, now: Millis, watch: WatchId) {
        self.advance_to(now);
        if let Some(slot) = self.watches.place(watch.0) {
            self.watches.unpause(slot);
            self.subscribe(slot);
        }
    }

    /// Closes for good: watches end, leases are kept no longer, calls that cannot be sent fail with
    /// `closed`, those in flight have [`Config::close_ms`] to settle.
    pub fn close(&mut self, now: Millis) {
        self.advance_to(now);
        if self.closing {
            return;
        }
        self.closing = true;
        while let Some(slot) = self.watches.next(0) {
            self.end_watch(slot, closed());
        }
        self.lose_leases(&closed());
        if self.link.phase != Phase::Ready {
            self.recall_mutations();
            self.fail_queued(&closed());
        }
        self.timers.set(Timer::Close, self.now.after(self.config.close_ms));
    }

    /// The connection's state.
    pub fn state(&self) -> State {
        self.shown
    }

    /// What the server said of itself when it last greeted.
    pub fn server(&self) -> Option<&ServerInfo> {
        self.link.server.as_deref()
    }

    /// The session by which the server knows this client's writes, and the incarnation of the store
    /// under which it was made; none before the first greeting and from a server without sessions.
    pub fn session(&self) -> Option<(SessionId, u64)> {
        self.calls.session.known().copied()
    }

    /// Calls that are not settled.
    pub fn pending(&self) -> usize {
        self.calls.live()
    }
}

pub(crate) fn closed() -> Error {
    Error::told(Code::Closed, "the client was closed")
}

pub(crate) fn too_large_to_send() -> Error {
    Error::told(Code::TooLarge, "the request is longer than the server allows")
}
