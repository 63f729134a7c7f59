//! A connection of another node, from the side that answers: requests are begun in the order in which they
//! came, served at the same time, and answered as each is done. What it holds is bounded; the rest stays in
//! the socket, until the other side waits too.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::frame::{Frame, Inbox, Kind, Outbox, Stream, write_frame};
use super::listener::{ListenerOptions, Serve};
use crate::placement::NodeId;

/// A connection of another node.
pub(crate) struct Session {
    stream: Stream,
    from: NodeId,
    service: Arc<dyn Serve>,
    inbox: Inbox,
    outbox: Outbox,
    serving: FuturesUnordered<Serving>,
    /// Whether it has let other tasks run since it last wrote.
    yielded: bool,
    /// Bytes of requests that are being served, and of replies that have not left.
    held_bytes: usize,
    held_bytes_max: usize,
    requests_max: usize,
    frame_bytes: usize,
}

/// A request that is being served.
struct Serving {
    number: u64,
    /// What it counts among the bytes held.
    weight: usize,
    reply: Pin<Box<dyn Future<Output = Vec<u8>> + Send>>,
}

impl Future for Serving {
    type Output = (u64, usize, Vec<u8>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = self.reply.as_mut().poll(cx);
        reply.map(|reply| (self.number, self.weight, reply))
    }
}

impl Session {
    pub(crate) fn new(
        stream: Stream,
        from: NodeId,
        service: Arc<dyn Serve>,
        options: &ListenerOptions,
    ) -> Self {
        Self {
            stream,
            from,
            service,
            inbox: Inbox::new(options.frame_bytes),
            outbox: Outbox::default(),
            serving: FuturesUnordered::new(),
            yielded: false,
            held_bytes: 0,
            held_bytes_max: options.held_bytes,
            requests_max: options.requests,
            frame_bytes: options.frame_bytes,
        }
    }

    /// Says welcome, and answers until the connection ends.
    pub(crate) async fn run(mut self, deadline: Instant) -> io::Result<()> {
        let welcome = Frame::new(0, Kind::Welcome, Vec::new());
        timeout_at(deadline, write_frame(&mut self.stream, welcome)).await??;
        let ended = poll_fn(|cx| self.poll(cx)).await;
        let Self { stream, mut serving, .. } = self;
        drop(stream);
        // What has begun may have left something half done; nobody is there to be told.
        while serving.next().await.is_some() {}
        Err(ended)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let left = match self.read(cx) {
                Ok(left) => left,
                Err(why) => return Poll::Ready(why),
            };
            self.collect(cx);
            if self.yields() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Poll::Ready(Err(why)) = self.write(cx) {
                return Poll::Ready(why);
            }
            // Otherwise the socket, a request that is done, or room in the socket wakes this task.
            if !(left && self.has_room()) {
                return Poll::Pending;
            }
        }
    }

    /// Whether it lets other tasks run before it writes, once: requests that are still being served may be done
    /// by then, and go with the same write.
    fn yields(&mut self) -> bool {
        let yields = !self.yielded && !self.outbox.is_empty() && !self.serving.is_empty();
        self.yielded = yields;
        yields
    }

    fn has_room(&self) -> bool {
        self.serving.len() < self.requests_max && self.held_bytes < self.held_bytes_max
    }

    /// Begins what has arrived. Says whether something may be left in the socket for lack of room.
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        while self.has_room() {
            let Poll::Ready(frame) = self.inbox.poll_next(cx, &mut self.stream) else {
                return Ok(false);
            };
            let frame = frame?;
            match frame.kind {
                Kind::Request => {
                    let (number, weight) = (frame.number, frame.weight());
                    let reply = self.service.serve(self.from, frame.payload);
                    self.held_bytes += weight;
                    self.serving.push(Serving { number, weight, reply });
                }
                Kind::Ping => {
                    let pong = Frame::new(frame.number, Kind::Pong, Vec::new());
                    self.held_bytes += pong.weight();
                    self.outbox.push(pong);
                }
                kind => {
                    let why = format!("a frame {kind:?} came in place of a request");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
            }
        }
        Ok(true)
    }

    /// Takes the replies that are there.
    fn collect(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some((number, weight, reply))) = self.serving.poll_next_unpin(cx) {
            self.held_bytes -= weight;
            if reply.len() > self.frame_bytes {
                // The other side would give the whole connection up for it.
                tracing::error!(bytes = reply.len(), "a reply is too long and was not sent");
                continue;
            }
            let frame = Frame::new(number, Kind::Reply, reply);
            self.held_bytes += frame.weight();
            self.outbox.push(frame);
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut freed = 0;
        let written = self.outbox.poll_write(cx, &mut self.stream, &mut freed);
        self.held_bytes -= freed;
        written
    }
}
