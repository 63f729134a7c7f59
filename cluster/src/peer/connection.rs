//! A connection to another node, from the side that calls: calls of many tasks are numbered, leave together,
//! and are answered in any order. One task reads and writes, and gives the connection up when nothing is
//! heard for too long.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::frame::{Frame, Inbox, Kind, Outbox, Stream};
use super::network::PeerOptions;
use crate::link::Unreachable;

/// The callers' side of a connection.
pub(crate) struct Connection {
    state: Mutex<State>,
    /// Wakes the task that writes.
    queued: AtomicWaker,
    /// Bytes that may still be queued.
    room: Semaphore,
}

struct State {
    queue: VecDeque<Frame>,
    waiting: HashMap<u64, oneshot::Sender<Vec<u8>>>,
    /// The number of the next call.
    next: u64,
    last_call: Instant,
    /// Why it has ended.
    ended: Option<String>,
}

/// The task's side of a connection.
pub(crate) struct Driver {
    connection: Arc<Connection>,
    stream: Stream,
    inbox: Inbox,
    outbox: Outbox,
    ticks: Interval,
    /// Since when an answer is overdue: nothing has been heard since.
    unheard: Option<Instant>,
    /// Whether the other side was asked for a sign of life since it was heard.
    pinged: bool,
    blocked: bool,
    /// Whether it has let other tasks run since it last wrote.
    yielded: bool,
    silence: Duration,
    idle: Duration,
    /// Whether any call was answered.
    pub(crate) proven: bool,
}

/// A call that has no reply.
pub(crate) enum Failed {
    /// The connection had ended before: here is the request again.
    Unsent(Vec<u8>),
    /// It may have arrived.
    Lost(Unreachable),
}

/// Why a connection ended.
pub(crate) enum Ended {
    /// Nobody used it.
    Idle,
    /// It broke.
    Broken(String),
}

/// Takes a call back that nobody waits for any more.
struct Waiting<'c> {
    connection: &'c Connection,
    number: u64,
}

impl Connection {
    /// The two sides of a connection that was welcomed.
    pub(crate) fn new(stream: Stream, inbox: Inbox, options: &PeerOptions) -> (Arc<Self>, Driver) {
        let state = State {
            queue: VecDeque::new(),
            waiting: HashMap::new(),
            next: 0,
            last_call: Instant::now(),
            ended: None,
        };
        let connection = Arc::new(Self {
            state: Mutex::new(state),
            queued: AtomicWaker::new(),
            room: Semaphore::new(options.queue_bytes()),
        });
        let often = options.silence.min(options.idle) / 4;
        let mut ticks = interval(often.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let driver = Driver {
            connection: Arc::clone(&connection),
            stream,
            inbox,
            outbox: Outbox::default(),
            ticks,
            unheard: None,
            pinged: false,
            blocked: false,
            yielded: false,
            silence: options.silence,
            idle: options.idle,
            proven: false,
        };
        (connection, driver)
    }

    /// Sends a request and resolves with its reply. It waits while too much is queued.
    pub(crate) async fn call(&self, request: Vec<u8>) -> Result<Vec<u8>, Failed> {
        let mut frame = Frame::new(0, Kind::Request, request);
        let weight = u32::try_from(frame.weight()).unwrap_or(u32::MAX);
        match self.room.acquire_many(weight).await {
            Ok(room) => room.forget(),
            Err(_) => return Err(Failed::Unsent(frame.payload)),
        }
        let (send, reply) = oneshot::channel();
        let (number, was_empty) = {
            let mut state = self.state.lock();
            if state.ended.is_some() {
                return Err(Failed::Unsent(frame.payload));
            }
            let number = state.next;
            state.next += 1;
            state.last_call = Instant::now();
            state.waiting.insert(number, send);
            let was_empty = state.queue.is_empty();
            frame.number = number;
            state.queue.push_back(frame);
            (number, was_empty)
        };
        let _waiting = Waiting { connection: self, number };
        if was_empty {
            self.queued.wake();
        }
        reply.await.map_err(|_| {
            let why = self.state.lock().ended.clone();
            Failed::Lost(Unreachable(why.unwrap_or_else(|| "the connection has ended".into())))
        })
    }

    fn end(&self, why: &str) {
        let waiting = {
            let mut state = self.state.lock();
            state.ended.get_or_insert_with(|| why.into());
            state.queue.clear();
            std::mem::take(&mut state.waiting)
        };
        self.room.close();
        // Whoever waits learns of it by the end of its channel.
        drop(waiting);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.connection.state.lock().waiting.remove(&self.number);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.connection.end("the connection was closed");
    }
}

impl Driver {
    /// Reads and writes until the connection ends; then all calls under way have failed.
    pub(crate) async fn run(&mut self) -> Ended {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        if let Ended::Broken(why) = &ended {
            self.connection.end(why);
        }
        ended
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.connection.queued.register(cx.waker());
        while self.ticks.poll_tick(cx).is_ready() {
            if let Some(ended) = self.tick() {
                return Poll::Ready(ended);
            }
        }
        if let Err(why) = self.read(cx).and_then(|()| self.write(cx)) {
            return Poll::Ready(Ended::Broken(format!("the connection was lost: {why}")));
        }
        Poll::Pending
    }

    /// Takes what is queued. With more calls under way than that, it first lets other tasks run, once: those
    /// that were just answered are about to call again, and go with the same write.
    fn take_queued(&mut self, cx: &mut Context<'_>) {
        let mut state = self.connection.state.lock();
        let queued = state.queue.len();
        if queued > 0 && state.waiting.len() > queued && !self.yielded {
            self.yielded = true;
            cx.waker().wake_by_ref();
            return;
        }
        self.yielded = false;
        self.outbox.append(&mut state.queue);
    }

    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Poll::Ready(frame) = self.inbox.poll_next(cx, &mut self.stream) {
            let frame = frame?;
            match frame.kind {
                Kind::Reply => {
                    self.proven = true;
                    let waiting = self.connection.state.lock().waiting.remove(&frame.number);
                    if let Some(waiting) = waiting {
                        // Whoever asked may have given up.
                        let _ = waiting.send(frame.payload);
                    }
                }
                Kind::Pong => {}
                kind => {
                    let why = format!("a frame {kind:?} came in place of a reply");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
            }
        }
        if self.inbox.heard() {
            (self.unheard, self.pinged) = (None, false);
        }
        Ok(())
    }

    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            self.take_queued(cx);
            if self.outbox.is_empty() && !self.blocked {
                return Ok(());
            }
            let mut freed = 0;
            let written = self.outbox.poll_write(cx, &mut self.stream, &mut freed);
            self.connection.room.add_permits(freed);
            match written {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    self.unheard.get_or_insert_with(Instant::now);
                    self.blocked = true;
                    return Ok(());
                }
            }
            // That it goes on after it did not is a sign of life too.
            if std::mem::take(&mut self.blocked) {
                self.unheard = None;
            }
            self.unheard.get_or_insert_with(Instant::now);
        }
    }

    /// Looks whether the other side is still there.
    fn tick(&mut self) -> Option<Ended> {
        let now = Instant::now();
        if self.unheard.is_some_and(|since| now - since >= self.silence) {
            let silence = self.silence;
            return Some(Ended::Broken(format!("nothing was heard for {silence:?}")));
        }
        let mut state = self.connection.state.lock();
        let is_overdue = match self.unheard {
            Some(since) => now - since >= self.silence / 2,
            None => !state.waiting.is_empty(),
        };
        if is_overdue && !self.pinged {
            self.pinged = true;
            self.unheard.get_or_insert(now);
            self.outbox.push(Frame::new(0, Kind::Ping, Vec::new()));
        }
        let is_idle = state.waiting.is_empty() && state.queue.is_empty() && self.unheard.is_none();
        if is_idle && now - state.last_call >= self.idle {
            // Whoever calls from now on takes another connection.
            state.ended = Some("nobody used the connection".into());
            return Some(Ended::Idle);
        }
        None
    }
}
