//! The core behind a lock, with those who wait for its outputs. Handles put calls in, the driver
//! moves bytes; both let go of the lock before they wait for anything.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tidekeep_client_core::{
    CallId, CallOptions, Core, Input, Millis, MutationId, Output, QueueInfo, State, WatchId,
    WatchRequest,
};
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::Operation;
use tidekeep_protocol::range::KeyRange;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use crate::error::Error;
use crate::options::Options;
use crate::queue::{Mutation, Settlement, Waiter, read_reply};
use crate::transport::Outgoing;
use crate::view::ViewNews;
use crate::watch::Feed;

/// How a call ended: the body of its reply, or why there is none.
pub(crate) type Settled = Result<Bytes, Error>;

/// Most ends of mutations that are kept for whoever asks.
const SETTLEMENTS_MAX: usize = 16_384;

/// What handles and the driver share.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    wake: Notify,
    states: watch::Sender<State>,
    queue: watch::Sender<QueueInfo>,
    /// The offline file is free again.
    released: watch::Sender<bool>,
    /// An end of a mutation that nobody held has come.
    settled: Notify,
    start: Instant,
    watch_bytes: usize,
}

struct Inner {
    core: Core,
    calls: HashMap<u32, oneshot::Sender<Settled>>,
    watches: HashMap<u32, Feed>,
    views: HashMap<u32, watch::Sender<ViewNews>>,
    mutations: HashMap<u64, Waiter>,
    settlements: VecDeque<Settlement>,
    /// Who holds a lease that the core keeps learns why it is lost.
    leases: HashMap<u64, watch::Sender<Option<Error>>>,
    /// Waits for the end of the first attempt to connect.
    first: Option<oneshot::Sender<Result<(), Error>>>,
    /// The driver is gone, so nothing would ever settle.
    gone: bool,
}

/// What the driver has to do after an input.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// The transport is to be opened or dropped.
    pub(crate) transport: Option<Move>,
    /// What is to be stored.
    pub(crate) store: Option<Vec<u8>>,
    /// When to come back with a tick.
    pub(crate) wait: Option<Instant>,
    /// The client is closed: there will be no further turn.
    pub(crate) over: bool,
}

/// What becomes of the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    Open,
    Drop,
}

impl Shared {
    pub(crate) fn new(options: Options) -> Self {
        let core = Core::new(options.config, fastrand::u64(..));
        Self {
            inner: Mutex::new(Inner {
                core,
                calls: HashMap::new(),
                watches: HashMap::new(),
                views: HashMap::new(),
                mutations: HashMap::new(),
                settlements: VecDeque::new(),
                leases: HashMap::new(),
                first: None,
                gone: false,
            }),
            wake: Notify::new(),
            states: watch::Sender::new(State::Idle),
            queue: watch::Sender::new(QueueInfo::default()),
            released: watch::Sender::new(false),
            settled: Notify::new(),
            start: Instant::now(),
            watch_bytes: options.watch_bytes,
        }
    }

    /// Resolves when there is something for the driver to do.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn states(&self) -> watch::Receiver<State> {
        self.states.subscribe()
    }

    pub(crate) fn server(&self) -> Option<tidekeep_client_core::ServerInfo> {
        self.lock().core.server().cloned()
    }

    /// Begins to connect; the receiver learns how the first attempt ended.
    pub(crate) fn connect(&self) -> oneshot::Receiver<Result<(), Error>> {
        let (ended, first) = oneshot::channel();
        let now = self.now();
        let mut inner = self.lock();
        inner.first = Some(ended);
        inner.core.connect(now);
        drop(inner);
        self.wake.notify_one();
        first
    }

    /// Makes a call.
    pub(crate) fn call<O: Operation>(
        &self,
        request: &O,
        options: CallOptions,
    ) -> (CallId, oneshot::Receiver<Settled>) {
        self.settle_later(|core, now| core.call(now, request, options))
    }

    /// Asks whether the server is there.
    pub(crate) fn ping(&self, options: CallOptions) -> (CallId, oneshot::Receiver<Settled>) {
        self.settle_later(|core, now| core.ping(now, options))
    }

    fn settle_later(
        &self,
        make: impl FnOnce(&mut Core, Millis) -> CallId,
    ) -> (CallId, oneshot::Receiver<Settled>) {
        let (settle, settled) = oneshot::channel();
        let now = self.now();
        let mut inner = self.lock();
        let call = make(&mut inner.core, now);
        if inner.gone {
            inner.discard_outputs();
        } else {
            inner.calls.insert(call.0, settle);
        }
        drop(inner);
        self.wake.notify_one();
        (call, settled)
    }

    /// Gives a call up whose caller has gone.
    pub(crate) fn cancel(&self, call: CallId) {
        let now = self.now();
        let mut inner = self.lock();
        if inner.calls.remove(&call.0).is_some() {
            inner.core.cancel(now, call);
            drop(inner);
            self.wake.notify_one();
        }
    }

    /// Begins a watch.
    pub(crate) fn watch(&self, request: WatchRequest) -> WatchId {
        let now = self.now();
        let mut inner = self.lock();
        let watch = inner.core.watch(now, request);
        let mut feed = Feed::default();
        if inner.gone {
            inner.discard_outputs();
            feed.end(Some(closed()));
        }
        inner.watches.insert(watch.0, feed);
        drop(inner);
        self.wake.notify_one();
        watch
    }

    /// Gives the core the rows of an earlier process.
    pub(crate) fn open_queue(&self, rows: &[u8]) -> Result<(), Error> {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch_ms = u64::try_from(epoch.as_millis()).unwrap_or(u64::MAX);
        let now = self.now();
        let opened = self.lock().core.open_queue(now, epoch_ms, rows);
        Ok(opened.map_err(tidekeep_client_core::Error::from)?)
    }

    /// Queues a mutation.
    pub(crate) fn enqueue(&self, kind: u8, body: &[u8]) -> Mutation {
        let now = self.now();
        let mut inner = self.lock();
        let MutationId(id) = inner.core.enqueue(now, kind, body);
        let (mutation, waiter) = Mutation::new(id);
        if inner.gone {
            inner.discard_outputs();
        } else {
            inner.mutations.insert(id, waiter);
        }
        drop(inner);
        self.wake.notify_one();
        mutation
    }

    /// Takes a mutation back.
    pub(crate) fn discard(&self, mutation: u64) -> bool {
        let now = self.now();
        let discarded = self.lock().core.discard(now, MutationId(mutation));
        self.wake.notify_one();
        discarded
    }

    /// The end of the next mutation that nobody holds.
    pub(crate) async fn settlement(&self) -> Settlement {
        loop {
            let settled = self.settled.notified();
            if let Some(settlement) = self.lock().settlements.pop_front() {
                return settlement;
            }
            settled.await;
        }
    }

    pub(crate) fn queue(&self) -> watch::Receiver<QueueInfo> {
        self.queue.subscribe()
    }

    /// Begins a view.
    pub(crate) fn view(
        &self,
        range: KeyRange,
        saved: &[u8],
    ) -> (WatchId, watch::Receiver<ViewNews>) {
        let (tell, news) = watch::channel(ViewNews::default());
        let now = self.now();
        let mut inner = self.lock();
        let view = inner.core.view(now, range, saved);
        if inner.gone {
            inner.discard_outputs();
        } else {
            inner.views.insert(view.0, tell);
        }
        drop(inner);
        self.wake.notify_one();
        (view, news)
    }

    /// What a view shows.
    pub(crate) fn read_view(&self, view: WatchId, range: &KeyRange, limit: usize) -> Vec<u8> {
        let mut patch = Vec::new();
        self.lock().core.read_view(view, range.as_range(), limit, &mut patch);
        patch
    }

    /// What a view saves.
    pub(crate) fn save_view(&self, view: WatchId) -> Option<Vec<u8>> {
        let mut saved = Vec::new();
        self.lock().core.save_view(view, &mut saved).then_some(saved)
    }

    /// Ends a watch whose reader has gone.
    pub(crate) fn unwatch(&self, watch: WatchId) {
        let now = self.now();
        let mut inner = self.lock();
        inner.watches.remove(&watch.0);
        inner.views.remove(&watch.0);
        inner.core.unwatch(now, watch);
        drop(inner);
        self.wake.notify_one();
    }

    /// Looks at what has come for a watch; lets it go on if it was paused and its reader has caught
    /// up.
    pub(crate) fn read_watch<T>(&self, watch: WatchId, read: impl FnOnce(&mut Feed) -> T) -> T {
        let now = self.now();
        let mut inner = self.lock();
        let Inner { core, watches, .. } = &mut *inner;
        let feed = watches.entry(watch.0).or_default();
        let result = read(feed);
        if feed.paused && feed.bytes() <= self.watch_bytes / 2 {
            feed.paused = false;
            core.resume(now, watch);
            drop(inner);
            self.wake.notify_one();
        }
        result
    }

    /// Keeps a lease alive whose time counts since `since`; the receiver learns why it is lost.
    pub(crate) fn keep_lease(
        &self,
        lease: u64,
        ttl_ms: u64,
        since: Millis,
    ) -> watch::Receiver<Option<Error>> {
        let (tell, lost) = watch::channel(None);
        let now = self.now();
        let mut inner = self.lock();
        inner.core.keep_lease(now, lease, ttl_ms, since);
        if inner.gone {
            inner.discard_outputs();
            tell.send_replace(Some(closed()));
        } else {
            inner.leases.insert(lease, tell);
        }
        drop(inner);
        self.wake.notify_one();
        lost
    }

    /// Keeps a lease no longer whose holder has gone.
    pub(crate) fn forget_lease(&self, lease: u64) {
        let now = self.now();
        let mut inner = self.lock();
        if inner.leases.remove(&lease).is_some() {
            inner.core.forget_lease(now, lease);
            drop(inner);
            self.wake.notify_one();
        }
    }

    /// Closes the client; the driver ends once calls in flight have settled.
    pub(crate) fn close(&self) {
        let now = self.now();
        self.lock().core.close(now);
        self.wake.notify_one();
    }

    /// The driver has let go of the offline file.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// Waits for that.
    pub(crate) async fn released(&self) {
        // The sender lives as long as this.
        let mut released = self.released.subscribe();
        drop(released.wait_for(|&released| released).await);
    }

    /// The driver is gone: nobody waits for what cannot come.
    pub(crate) fn abandon(&self) {
        let now = self.now();
        let mut inner = self.lock();
        inner.gone = true;
        inner.core.close(now);
        inner.discard_outputs();
        inner.calls.clear();
        inner.mutations.clear();
        inner.views.clear();
        inner.first = None;
        for feed in inner.watches.values_mut() {
            feed.end(Some(closed()));
        }
        for tell in inner.leases.drain().map(|(_, tell)| tell) {
            tell.send_replace(Some(closed()));
        }
        self.states.send_replace(State::Closed);
    }

    /// Gives the core an input, its outputs to those who wait, and what is to be sent to `out` when
    /// that is empty, in pieces of `piece_bytes` or, if none, of the server's message size.
    pub(crate) fn turn(
        &self,
        input: Option<Input<'_>>,
        out: &mut Outgoing,
        piece_bytes: Option<usize>,
    ) -> Turn {
        let now = self.now();
        let mut turn = Turn::default();
        let mut inner = self.lock();
        let full = inner.take_outputs(input.map(|input| (now, input)), &mut turn, self);
        for watch in full {
            inner.core.pause(now, watch);
        }
        if turn.transport.is_some() {
            out.clear();
        }
        if out.is_empty() {
            let message_bytes = |core: &Core| {
                core.server().map_or(4096, |server| server.limits.message_bytes as usize)
            };
            let piece_bytes = piece_bytes.unwrap_or_else(|| message_bytes(&inner.core));
            inner.core.transmit(&mut out.bytes, piece_bytes);
        }
        turn.wait = inner.core.wait().map(|at| self.start + Duration::from_millis(at.0));
        turn.over = inner.core.state() == State::Closed;
        turn
    }

    /// The time as the core is told it.
    pub(crate) fn now(&self) -> Millis {
        Millis(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Nobody is left to act on outputs; they must not pile up either.
    fn discard_outputs(&mut self) {
        let mut drain = self.core.drain();
        while drain.next().is_some() {}
    }

    /// Hands every output to whom it concerns; returns the watches whose readers are behind.
    fn take_outputs(
        &mut self,
        input: Option<(Millis, Input<'_>)>,
        turn: &mut Turn,
        shared: &Shared,
    ) -> Vec<WatchId> {
        let Inner { core, calls, watches, leases, first, views, mutations, settlements, .. } = self;
        let mut full = Vec::new();
        let mut drain = match input {
            Some((now, input)) => core.handle(now, input),
            None => core.drain(),
        };
        while let Some(output) = drain.next() {
            match output {
                Output::Open => turn.transport = Some(Move::Open),
                Output::Close => turn.transport = Some(Move::Drop),
                Output::State(state) => {
                    // Before who waits for it can ask: later it would look like a change.
                    shared.states.send_replace(state);
                    if state == State::Ready
                        && let Some(first) = first.take()
                    {
                        let _gone = first.send(Ok(()));
                    }
                }
                Output::LinkDown(error) => {
                    if let Some(first) = first.take() {
                        let _gone = first.send(Err(error.into()));
                    }
                }
                Output::Reply { call, body, .. } => {
                    if let Some(settle) = calls.remove(&call.0) {
                        let _gone = settle.send(Ok(Bytes::copy_from_slice(body)));
                    }
                }
                Output::Failed { call, error } => {
                    if let Some(settle) = calls.remove(&call.0) {
                        let _gone = settle.send(Err(error.into()));
                    }
                }
                Output::LeaseLost { lease, error } => {
                    if let Some(tell) = leases.remove(&lease) {
                        tell.send_replace(Some(error.into()));
                    }
                }
                Output::View { view, .. } => {
                    if let Some(tell) = views.get(&view.0) {
                        tell.send_modify(|news| news.patches += 1);
                    }
                }
                Output::Store { batch } => turn.store = Some(batch.to_vec()),
                Output::Queued { mutation } => {
                    let waiter = mutations.get_mut(&mutation.0);
                    if let Some(queued) = waiter.and_then(|waiter| waiter.queued.take()) {
                        let _gone = queued.send(Ok(()));
                    }
                }
                Output::Settled { mutation: MutationId(mutation), kind, key, result } => {
                    let key = Bytes::from(key);
                    let result = result.map_err(Error::from);
                    let result = result.and_then(|body| read_reply(kind, &key, body));
                    let settlement = Settlement { mutation, key, result };
                    if let Some(unheard) = tell_settled(mutations.remove(&mutation), settlement) {
                        if settlements.len() == SETTLEMENTS_MAX {
                            settlements.pop_front();
                        }
                        settlements.push_back(unheard);
                        shared.settled.notify_one();
                    }
                }
                Output::Queue(info) => {
                    shared.queue.send_replace(info);
                }
                Output::WatchReset { watch } => {
                    if let Some(feed) = watches.get_mut(&watch.0) {
                        feed.reset();
                    }
                }
                Output::Watch { watch, body } => {
                    if let Some(feed) = watches.get_mut(&watch.0) {
                        feed.push(body);
                        if feed.bytes() > shared.watch_bytes && !feed.paused {
                            feed.paused = true;
                            full.push(watch);
                        }
                    }
                }
                Output::WatchFailed { watch, error } => {
                    let error = Error::from(error);
                    if let Some(feed) = watches.get_mut(&watch.0) {
                        feed.end(Some(error));
                    } else if let Some(tell) = views.get(&watch.0) {
                        tell.send_modify(|news| news.ended = Some(error));
                    }
                }
            }
        }
        full
    }
}

/// Tells who holds a mutation of its end; gives it back when nobody does.
fn tell_settled(waiter: Option<Waiter>, settlement: Settlement) -> Option<Settlement> {
    let Some(Waiter { queued, settled }) = waiter else { return Some(settlement) };
    if let Some(queued) = queued {
        let result = settlement.result.as_ref().map(|_| ()).map_err(Clone::clone);
        let _gone = queued.send(result);
    }
    settled.send(settlement).err()
}

pub(crate) fn closed() -> Error {
    Error::new(Code::Closed, "the client was closed")
}
