//! Owns the core and the socket: turns the socket's events into inputs, the core's outputs into
//! bytes for the socket and into one packed buffer a turn for the page.

use js_sys::{Function, Uint8Array};
use tidekeep_client_core::{
    CallId, CallOptions, Config, Core, Drain, Input, Millis, Output, State, WatchId, WatchRequest,
};
use tidekeep_protocol::codec;
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::hello::WEBSOCKET_SUBPROTOCOL;
use tidekeep_protocol::op::{self, Watch, WatchFrom};
use tidekeep_protocol::range::KeyRange;
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, MessageEvent, WebSocket};

use crate::packed::{pack, pack_welcome};
use crate::with;

/// Longest message before the server has told its limit, in bytes.
const MESSAGE_BYTES: usize = 4096;

#[wasm_bindgen]
extern "C" {
    /// What the page lends the client: `ts/engine.ts` implements it.
    pub type Host;

    /// A clock that never goes back, in milliseconds.
    #[wasm_bindgen(method)]
    fn now(this: &Host) -> f64;

    /// A new socket to the client's address, with the constructor that the user chose.
    #[wasm_bindgen(method, catch)]
    fn open(this: &Host, protocol: &str) -> Result<WebSocket, JsValue>;

    /// The same handler, made to report a trap instead of throwing it at the socket.
    #[wasm_bindgen(method)]
    fn guard(this: &Host, handler: &Function) -> Function;

    /// Takes what one turn left; the bytes are only lent.
    #[wasm_bindgen(method)]
    fn deliver(this: &Host, packed: &[u8]);

    /// Calls `tick` once, after so many milliseconds; replaces the time that was set before.
    #[wasm_bindgen(method)]
    fn timer(this: &Host, delay_ms: f64);
}

pub(crate) struct Driver {
    core: Core,
    host: Host,
    socket: Option<WebSocket>,
    /// Handles every event of every socket; kept for as long as one may call it.
    _handler: Closure<dyn FnMut(MessageEvent)>,
    /// The same as the sockets know it.
    guarded: Function,
    /// When the timer is set for.
    armed: Option<Millis>,
    /// Records for the page; the buffer is reused from turn to turn.
    packed: Vec<u8>,
    message: Vec<u8>,
}

/// Lets the core take `input`, acts on what it puts out, and hands the rest to the page. The page
/// gets it when the driver is no longer borrowed, so that it may call back.
pub(crate) fn turn(input: Option<Input<'_>>) {
    with(|driver| driver.advance(input));
    let Some(mut packed) = with(|driver| std::mem::take(&mut driver.packed)) else { return };
    if packed.is_empty() {
        return;
    }
    let host = with(|driver| JsValue::clone(&driver.host).unchecked_into::<Host>());
    if let Some(host) = host {
        host.deliver(&packed);
    }
    packed.clear();
    with(|driver| driver.packed = packed);
}

impl Driver {
    pub(crate) fn new(host: Host, config: Config, seed: u64) -> Self {
        let handler = Closure::<dyn FnMut(MessageEvent)>::new(on_event);
        let guarded = host.guard(handler.as_ref().unchecked_ref());
        Self {
            core: Core::new(config, seed),
            host,
            socket: None,
            _handler: handler,
            guarded,
            armed: None,
            packed: Vec::new(),
            message: Vec::new(),
        }
    }

    pub(crate) fn call(&mut self, kind: u8, body: &[u8], timeout_ms: u32) -> Option<CallId> {
        let now = now(&self.host);
        let options = CallOptions { timeout_ms: Some(timeout_ms), ..CallOptions::default() };
        if kind == kind::PING {
            return Some(self.core.ping(now, options));
        }
        Some(self.core.call_encoded(now, op::spec(kind)?, body, options))
    }

    pub(crate) fn cancel(&mut self, call: CallId) {
        self.core.cancel(now(&self.host), call);
    }

    pub(crate) fn watch(&mut self, body: &[u8]) -> Option<WatchId> {
        let Watch { range, from, previous, delivery } = codec::decode(body).ok()?;
        let range = KeyRange { start: range.start.to_vec(), end: range.end.map(<[u8]>::to_vec) };
        let (content, cursor) = match from {
            WatchFrom::Now => (false, None),
            WatchFrom::Content => (true, None),
            WatchFrom::Cursor(cursor) => (false, Some(cursor.to_vec())),
        };
        let resync = Default::default();
        let request = WatchRequest { range, content, previous, delivery, cursor, resync };
        Some(self.core.watch(now(&self.host), request))
    }

    pub(crate) fn unwatch(&mut self, watch: WatchId) {
        self.core.unwatch(now(&self.host), watch);
    }

    pub(crate) fn pause(&mut self, watch: WatchId) {
        self.core.pause(now(&self.host), watch);
    }

    pub(crate) fn resume(&mut self, watch: WatchId) {
        self.core.resume(now(&self.host), watch);
    }

    pub(crate) fn keep(&mut self, lease: u64, ttl_ms: u64, since: Millis) {
        self.core.keep_lease(now(&self.host), lease, ttl_ms, since);
    }

    pub(crate) fn forget(&mut self, lease: u64) {
        self.core.forget_lease(now(&self.host), lease);
    }

    /// The timer has fired.
    pub(crate) fn disarm(&mut self) {
        self.armed = None;
    }

    pub(crate) fn close(&mut self) {
        self.core.close(now(&self.host));
    }

    fn advance(&mut self, input: Option<Input<'_>>) {
        let now = now(&self.host);
        let drain = match input {
            Some(input) => self.core.handle(now, input),
            None => self.core.drain(),
        };
        let mut link = take(drain, &mut self.packed);
        // A constructor that throws is a link that went down; the core says what to do then.
        while let Some(wish) = link.wish.take() {
            self.detach();
            if wish == Wish::Open && !self.attach() {
                link.merge(take(
                    self.core.handle(now, Input::Closed("the WebSocket cannot be made")),
                    &mut self.packed,
                ));
            }
        }
        if link.ready
            && let Some(server) = self.core.server()
        {
            pack_welcome(&mut self.packed, server);
        }
        self.send();
        self.arm(now);
    }

    /// Sends all there is to send: one message at least as full as the frames allow, then the next.
    fn send(&mut self) {
        let Some(socket) = &self.socket else { return };
        let limit = self.core.server().map_or(MESSAGE_BYTES, |it| it.limits.message_bytes as usize);
        while self.core.transmit(&mut self.message, limit) {
            // A copy of its own: what keeps the bytes for later must not see this memory change.
            // A socket that cannot send says so by its close event.
            let sent = socket.send_with_js_u8_array(&Uint8Array::from(self.message.as_slice()));
            self.message.clear();
            if sent.is_err() {
                break;
            }
        }
    }

    /// Sets the timer when it would fire too late. One that fires too early does no harm.
    fn arm(&mut self, now: Millis) {
        let Some(wait) = self.core.wait() else { return };
        if self.armed.is_none_or(|armed| wait < armed) {
            self.armed = Some(wait);
            self.host.timer(wait.0.saturating_sub(now.0) as f64);
        }
    }

    fn attach(&mut self) -> bool {
        let Ok(socket) = self.host.open(WEBSOCKET_SUBPROTOCOL) else { return false };
        socket.set_binary_type(BinaryType::Arraybuffer);
        // An error is always followed by a close, which says all there is to say.
        socket.set_onopen(Some(&self.guarded));
        socket.set_onmessage(Some(&self.guarded));
        socket.set_onclose(Some(&self.guarded));
        self.socket = Some(socket);
        true
    }

    fn detach(&mut self) {
        let Some(socket) = self.socket.take() else { return };
        socket.set_onopen(None);
        socket.set_onmessage(None);
        socket.set_onclose(None);
        // Fails only for codes and reasons, and none is given.
        drop(socket.close());
    }
}

/// An event of the current socket; those before it have no handler any more.
fn on_event(event: MessageEvent) {
    let data = event.data();
    if !data.is_undefined() {
        return turn(Some(Input::Bytes(&Uint8Array::new(&data).to_vec())));
    }
    let open = with(|driver| match &driver.socket {
        Some(socket) if socket.ready_state() == WebSocket::OPEN => true,
        _ => {
            driver.detach();
            false
        }
    });
    turn(Some(if open == Some(true) { Input::Opened } else { Input::Closed("") }));
}

/// What the core wants of the socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Open,
    Close,
}

/// What a drain asks of the driver itself.
struct Link {
    wish: Option<Wish>,
    ready: bool,
}

impl Link {
    fn merge(&mut self, later: Self) {
        self.wish = later.wish.or(self.wish);
        self.ready |= later.ready;
    }
}

/// Packs a drain's outputs, but for those that are for the driver.
fn take(mut drain: Drain<'_>, packed: &mut Vec<u8>) -> Link {
    let mut link = Link { wish: None, ready: false };
    while let Some(output) = drain.next() {
        match output {
            Output::Open => link.wish = Some(Wish::Open),
            Output::Close => link.wish = Some(Wish::Close),
            output => {
                link.ready |= matches!(output, Output::State(State::Ready));
                pack(packed, output);
            }
        }
    }
    link
}

fn now(host: &Host) -> Millis {
    // Floored; a clock that starts with the page is never below 0.
    Millis(host.now() as u64)
}
