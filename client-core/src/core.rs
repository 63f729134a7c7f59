//! The public face of the machine, and what its parts do together: when the link changes, what
//! becomes of calls and watches. Reading arrived bytes is [`crate::drain`]'s.

use alloc::borrow::Cow;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use tidekeep_protocol::codec;
use tidekeep_protocol::error::{Code, Outcome, Refusal};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::{Class, Operation, Spec};

use crate::calls::{Calls, SLOTS_MAX, Stage};
use crate::config::{CallOptions, Config, Queue};
use crate::drain::Drain;
use crate::error::Error;
use crate::link::{Link, Phase, ServerInfo};
use crate::outbox::{Control, Outbox};
use crate::output::{CallId, Input, Output, State, WatchId};
use crate::receive::{Joining, Receive};
use crate::replay::{self, Verdict};
use crate::time::Millis;
use crate::timers::{Timer, Timers};
use crate::watch::{self, Begin, WatchRequest, Watches};

/// A client without I/O. After every call that takes `now`, drain the outputs, transmit, and look
/// at [`Core::wait`].
#[derive(Debug)]
pub struct Core {
    pub(crate) config: Config,
    pub(crate) now: Millis,
    pub(crate) link: Link,
    pub(crate) calls: Calls,
    pub(crate) watches: Watches,
    pub(crate) outbox: Outbox,
    pub(crate) timers: Timers,
    pub(crate) receive: Receive,
    pub(crate) joining: Joining,
    /// The last body that came in chunks, while an output borrows it.
    pub(crate) joined: Vec<u8>,
    /// Outputs that own what they bear, oldest first.
    pub(crate) outputs: VecDeque<Output<'static>>,
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
            outbox: Outbox::default(),
            timers: Timers::default(),
            receive: Receive::default(),
            joining: Joining::default(),
            joined: Vec::new(),
            outputs: VecDeque::new(),
            shown: State::Idle,
            closing: false,
        }
    }

    /// Connects, if nothing has yet. Calls and watches do this by themselves.
    pub fn connect(&mut self, now: Millis) {
        self.advance_to(now);
        if self.link.phase == Phase::Idle && !self.closing {
            self.open();
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
        let room_left = self.outbox.transmit(out, max_bytes, &self.config.software);
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

    /// Makes a call whose body the driver has encoded, as one in another language does. Only its
    /// length is held against the server's limits here; the server looks at the rest.
    pub fn call_encoded(
        &mut self,
        now: Millis,
        spec: &'static Spec,
        body: &[u8],
        options: CallOptions,
    ) -> CallId {
        match self.begin_call(now, spec.kind, spec.class, Ok(()), options) {
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
            self.give_up(call.0, Error::new(Code::Cancelled, "the caller gave up"));
        }
    }

    /// Watches a range until [`Core::unwatch`], over all connections. A refusal arrives as
    /// [`Output::WatchFailed`].
    pub fn watch(&mut self, now: Millis, request: WatchRequest) -> WatchId {
        self.connect(now);
        if let Err(error) = self.admit_watch(&request) {
            let watch = WatchId(self.watches.refused_id());
            self.outputs.push_back(Output::WatchFailed { watch, error });
            return watch;
        }
        let (slot, id) = self.watches.insert(request);
        self.subscribe(slot);
        WatchId(id)
    }

    /// Ends a watch. Nothing more comes for it.
    pub fn unwatch(&mut self, now: Millis, watch: WatchId) {
        self.advance_to(now);
        if let Some(slot) = self.watches.place(watch.0) {
            let sent = self.watches.remove(slot, &mut self.joining);
            self.cancel_on_server(sent);
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
            let sent = self.watches.detach(slot, &mut self.joining);
            self.cancel_on_server(sent);
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

    /// Closes for good: watches end, calls that cannot be sent fail with `closed`, those in flight
    /// have [`Config::close_ms`] to settle.
    pub fn close(&mut self, now: Millis) {
        self.advance_to(now);
        if self.closing {
            return;
        }
        self.closing = true;
        while let Some(slot) = self.watches.next(0) {
            let watch = WatchId(self.watches.id(slot));
            let sent = self.watches.remove(slot, &mut self.joining);
            self.cancel_on_server(sent);
            self.outputs.push_back(Output::WatchFailed { watch, error: closed() });
        }
        if self.link.phase != Phase::Ready {
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
        self.link.server.as_ref()
    }

    /// Calls that are not settled.
    pub fn pending(&self) -> usize {
        self.calls.live()
    }
}

/// Calls: how they come in and how they are given up.
impl Core {
    /// Takes a slot for a call whose body is then written, or refuses the call. Apart from the
    /// encoding, which is another for every operation, so that this exists once.
    #[inline(never)]
    fn begin_call(
        &mut self,
        now: Millis,
        kind: u8,
        class: Class,
        checked: Result<(), Refusal>,
        options: CallOptions,
    ) -> Result<u32, CallId> {
        self.connect(now);
        let admitted = checked.map_err(Error::from).and_then(|()| self.admit_call(class));
        let deadline = self.now.after(options.timeout_ms.unwrap_or(self.config.timeout_ms));
        match admitted.map(|()| self.calls.insert(kind, class, deadline)) {
            Ok(Some(id)) => Ok(id),
            Ok(None) => Err(self.refuse(too_many_calls())),
            Err(error) => Err(self.refuse(error)),
        }
    }

    fn admit_call(&self, class: Class) -> Result<(), Error> {
        if self.closing {
            return Err(closed());
        }
        if class == Class::Watch {
            return Err(Error::new(Code::InvalidInput, "a watch is no call"));
        }
        if let Some(error) = &self.link.turned_away {
            return Err(error.clone());
        }
        if self.config.queue == Queue::FailFast && self.link.phase != Phase::Ready {
            return Err(Error::new(Code::Network, "not connected"));
        }
        if self.calls.live() >= (self.config.queue_calls as usize).min(SLOTS_MAX) {
            return Err(too_many_calls());
        }
        Ok(())
    }

    /// The call's body is written: holds its length against the bounds.
    #[inline(never)]
    fn end_call(&mut self, id: u32) -> CallId {
        self.calls.count_body(id);
        let Some(call) = self.calls.find(id) else { return CallId(id) };
        let (frame_bytes, deadline) = (call.frame_bytes(), call.deadline);
        self.timers.bring_forward(Timer::Calls, deadline);
        let too_large = self.link.limits().is_some_and(|l| frame_bytes > l.frame_bytes as usize);
        if too_large {
            self.fail(id, too_large_to_send());
        } else if self.calls.bytes() > self.config.queue_bytes {
            let message = "too many bytes of requests wait for their replies";
            self.fail(id, Error::new(Code::ResourceExhausted, message));
        }
        CallId(id)
    }

    fn refuse(&mut self, error: Error) -> CallId {
        let call = CallId(self.calls.refused_id());
        self.outputs.push_back(Output::Failed { call, error });
        call
    }

    /// Settles a call with this error.
    pub(crate) fn fail(&mut self, id: u32, error: Error) {
        if self.calls.settle(id, &mut self.joining).is_some() {
            self.outputs.push_back(Output::Failed { call: CallId(id), error });
        }
    }

    /// Settles a call of which the server has not said what became of it, and tells the server.
    fn give_up(&mut self, id: u32, error: Error) {
        if let Some(settled) = self.calls.settle(id, &mut self.joining) {
            let outcome = replay::outcome_when_given_up(settled.class, settled.sent);
            let error = error.with_outcome(outcome);
            self.outputs.push_back(Output::Failed { call: CallId(id), error });
            self.cancel_on_server(settled.sent.then_some(id));
        }
    }

    fn fail_queued(&mut self, error: &Error) {
        let mut from = 0;
        while let Some((slot, id)) = self.calls.next_where(from, |call| call.stage == Stage::Queued)
        {
            self.fail(id, error.clone());
            from = slot + 1;
        }
    }

    fn expire_calls(&mut self) {
        let (now, mut from) = (self.now, 0);
        while let Some((slot, id)) = self.calls.next_where(from, |call| call.deadline <= now) {
            self.give_up(id, Error::new(Code::Timeout, "the deadline passed"));
            from = slot + 1;
        }
        if let Some(earliest) = self.calls.earliest_deadline() {
            self.timers.set(Timer::Calls, earliest);
        }
    }

    fn cancel_on_server(&mut self, sent: Option<u32>) {
        if let Some(id) = sent
            && self.link.listening()
        {
            self.outbox.push(Control::Cancel(id));
        }
    }

    /// A leaving server is left, and a closing core closes, once no call waits for it. The drain
    /// asks this when there is nothing else to give out, so nothing borrowed is lost with the link.
    pub(crate) fn part_when_done(&mut self) {
        if self.closing && self.link.phase != Phase::Closed && self.calls.live() == 0 {
            self.finish();
        } else if self.link.phase == Phase::Leaving && self.calls.sent() == 0 {
            self.break_off(Error::new(Code::Unavailable, "the server goes away"));
        }
    }
}

/// The link: what its changes mean for everything else.
impl Core {
    fn advance_to(&mut self, now: Millis) {
        self.now = self.now.max(now);
    }

    fn open(&mut self) {
        self.link.rested();
        self.link.open(self.now, &self.config, &mut self.timers);
        self.outputs.push_back(Output::Open);
        self.show_state();
    }

    pub(crate) fn show_state(&mut self) {
        let state = self.link.state();
        if state != self.shown {
            self.shown = state;
            self.outputs.push_back(Output::State(state));
        }
    }

    /// The server has greeted: everything that waited may go.
    pub(crate) fn ready(&mut self) {
        self.show_state();
        let limit = self.link.limits().map_or(usize::MAX, |limits| limits.frame_bytes as usize);
        let mut from = 0;
        let too_long = |call: &crate::calls::Call| call.frame_bytes() > limit;
        while let Some((slot, id)) = self.calls.next_where(from, too_long) {
            self.fail(id, too_large_to_send());
            from = slot + 1;
        }
        let mut from = 0;
        while let Some(slot) = self.watches.next(from) {
            self.subscribe(slot);
            from = slot + 1;
        }
    }

    fn transport_closed(&mut self, why: &str) {
        if !self.link.attached() {
            return;
        }
        let message = match why {
            "" => Cow::Borrowed("the connection ended"),
            why => Cow::Owned(String::from(why)),
        };
        self.end_link(Error::new(Code::Network, message));
    }

    /// The core gives the transport up: it is dead, the server leaves or broke the protocol.
    pub(crate) fn break_off(&mut self, error: Error) {
        self.outputs.push_back(Output::Close);
        self.end_link(error);
    }

    fn end_link(&mut self, error: Error) {
        self.receive.clear();
        self.outbox.clear();
        self.watches.detach_all(&mut self.joining);
        self.link.rest(self.now, &error, &self.config, &mut self.timers);
        self.settle_broken(&error);
        self.outputs.push_back(Output::LinkDown(error.clone()));
        if self.closing {
            self.fail_queued(&closed());
            self.finish();
        } else if self.link.turned_away.is_some() || self.config.queue == Queue::FailFast {
            self.fail_queued(&error.with_outcome(Outcome::NotApplied));
        }
        self.show_state();
    }

    /// What was sent is either to be sent again or settled with its outcome.
    fn settle_broken(&mut self, error: &Error) {
        let mut from = 0;
        while let Some((slot, id)) = self.calls.next_where(from, |call| call.stage == Stage::Sent) {
            let class = self.calls.find(id).map_or(Class::Read, |call| call.class);
            match replay::after_break(class) {
                Verdict::SendAgain => self.calls.queue_again(id, &mut self.joining),
                Verdict::Fail(outcome) => {
                    let message = error.message.clone();
                    self.fail(id, Error::new(Code::Network, message).with_outcome(outcome));
                }
            }
            from = slot + 1;
        }
    }

    fn finish(&mut self) {
        if self.link.attached() {
            self.outputs.push_back(Output::Close);
        }
        self.receive.clear();
        self.outbox.clear();
        self.timers.clear_all();
        self.link.phase = Phase::Closed;
        self.show_state();
    }

    fn tick(&mut self) {
        while let Some(timer) = self.timers.take_due(self.now) {
            match timer {
                Timer::Reconnect => self.open(),
                Timer::Attempt => {
                    let error = Error::new(Code::Network, "the server did not answer in time");
                    self.break_off(error);
                }
                Timer::Heartbeat => self.heartbeat_due(),
                Timer::Stable => self.link.stable(),
                Timer::Calls => self.expire_calls(),
                Timer::Watches => self.retry_watches(),
                Timer::Close => {
                    while let Some((_, id)) = self.calls.next_where(0, |_| true) {
                        self.give_up(id, closed());
                    }
                    self.finish();
                }
            }
        }
    }

    fn heartbeat_due(&mut self) {
        if self.link.probe(self.now, None, &mut self.timers) {
            self.outbox.push(Control::Ping);
        } else {
            let error = Error::new(Code::Network, "the server fell silent");
            self.break_off(error);
        }
    }

    fn woke(&mut self) {
        if self.link.may_hurry() {
            self.timers.set(Timer::Reconnect, self.now);
        } else if self.link.limits().is_some() {
            let patience_ms = Some(self.config.woke_probe_ms);
            if self.link.probe(self.now, patience_ms, &mut self.timers) {
                self.outbox.push(Control::Ping);
            }
        }
        self.tick();
    }
}

/// Watches: how they come in, and how they are put on a connection.
impl Core {
    fn admit_watch(&self, request: &WatchRequest) -> Result<(), Error> {
        if self.closing {
            return Err(closed());
        }
        let limits = self.link.limits();
        let most = limits.map_or(u32::MAX, |limits| limits.watches).min(self.config.watches);
        if self.watches.live() >= (most as usize).min(SLOTS_MAX) {
            return Err(Error::new(Code::ResourceExhausted, "too many watches"));
        }
        let most = limits.map_or(u32::MAX, |limits| limits.frame_bytes) as usize;
        if watch::request_bytes_max(request) > most {
            return Err(too_large_to_send());
        }
        Ok(())
    }

    /// Puts a watch on the connection, if there is one.
    pub(crate) fn subscribe(&mut self, slot: usize) {
        if self.link.phase != Phase::Ready {
            return;
        }
        match self.watches.subscribe(slot) {
            Begin::Plain => {}
            Begin::Reset => {
                let watch = WatchId(self.watches.id(slot));
                self.outputs.push_back(Output::WatchReset { watch });
            }
        }
    }

    fn retry_watches(&mut self) {
        while let Some(slot) = self.watches.take_due(self.now) {
            self.subscribe(slot);
        }
        if let Some(earliest) = self.watches.earliest_retry() {
            self.timers.set(Timer::Watches, earliest);
        }
    }
}

fn closed() -> Error {
    Error::new(Code::Closed, "the client was closed")
}

fn too_many_calls() -> Error {
    Error::new(Code::ResourceExhausted, "too many calls wait for their replies")
}

fn too_large_to_send() -> Error {
    Error::new(Code::TooLarge, "the request is longer than the server allows")
}
