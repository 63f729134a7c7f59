//! The driver of a connection, whatever is spoken over it: one task that reads all that has arrived, runs
//! it, waits once for the answers, and writes once. It holds the transport and the timer; the dialogue
//! knows what is said, and what it waits for.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::time::Sleep;

use super::ending::{End, LAST_WORDS};
use super::input::Input;
use super::lingering;
use super::transport::{Received, Transport};
use crate::clock::Moment;
use crate::observe::{Gauges, Metrics};
use crate::server::Shared;
use crate::service::Presence;
use crate::session::{Ending, Millis};

/// What is spoken over a connection: a session, with what it waits for.
pub(super) trait Dialogue {
    /// What the client is called where people read it.
    fn peer(&self) -> String;

    /// Whether there is a point in reading more.
    fn may_read(&self) -> bool;

    /// The most unread bytes that may wait.
    fn input_limit(&self) -> usize;

    /// Notes what a look at the socket brought.
    fn received(&mut self, now: Millis, received: Received);

    /// Takes what was waited for, and runs what was read as far as it goes; whether more can be run
    /// at once. Whatever it waits for wakes the task.
    fn run(
        &mut self,
        context: &mut Context<'_>,
        moment: &Moment,
        input: &mut Input,
        shared: &Shared,
    ) -> bool;

    /// Notes who the client says it is, once it has.
    fn introduce(&self, presence: &Presence);

    /// Turns what waits for room into output.
    fn fill(&mut self, moment: &Moment, shared: &Shared);

    /// What is ready for the socket.
    fn output(&self) -> &[u8];

    /// Notes that the socket took so many bytes of the output; 0 if it has no room.
    fn taken(&mut self, now: Millis, count: usize);

    /// Looks for what nobody asked for, behind the output; whether there is any. If there is none, the
    /// task is woken when there is.
    fn poll_news(&mut self, context: &mut Context<'_>, moment: &Moment, shared: &Shared) -> bool;

    /// Notes that the server stops.
    fn leave(&mut self, now: Millis, shared: &Shared);

    /// Why the connection is to be closed, once it is.
    fn ending(&self) -> Option<Ending>;

    /// Whether all that was read is answered, and every byte of it taken.
    fn is_settled(&self) -> bool;

    /// When the next thing is due, if anything is.
    fn wait(&self) -> Option<Millis>;

    /// Acts on what is due.
    fn tick(&mut self, now: Millis, input: &mut Input);

    /// Adds to the metrics what was done since the last time, and gives the share of the gauges.
    fn report(&mut self, metrics: &Metrics) -> Gauges;
}

/// A dialogue and the transport it lives on.
pub(super) struct Driver<D, T> {
    pub(super) dialogue: D,
    pub(super) transport: T,
    pub(super) input: Input,
    presence: Presence,
    timer: Option<Pin<Box<Sleep>>>,
    /// What the timer is set to.
    armed: Millis,
    hung_up: bool,
    gauges: GaugeShare,
}

/// This connection's share of the server's gauges; goes with it.
struct GaugeShare {
    metrics: Arc<Metrics>,
    now: Gauges,
}

impl GaugeShare {
    /// Moves it; whether it was elsewhere.
    fn set(&mut self, to: Gauges) -> bool {
        let moves = self.now != to;
        if moves {
            self.metrics.move_gauges(self.now, to);
            self.now = to;
        }
        moves
    }
}

impl Drop for GaugeShare {
    fn drop(&mut self) {
        self.set(Gauges::default());
    }
}

/// What a look for input came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Something was there.
    Came,
    /// Nothing was; the task is woken when there is.
    Waits,
    /// There was no point in looking.
    Spared,
}

impl<D: Dialogue, T: Transport> Driver<D, T> {
    /// Drives a dialogue that has read `input` already.
    pub(super) fn new(
        dialogue: D,
        transport: T,
        input: Input,
        presence: Presence,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let early = input.unread().len();
        count(&metrics.traffic(presence.transport()).received_bytes, early);
        presence.received(early);
        Self {
            dialogue,
            transport,
            input,
            presence,
            timer: None,
            armed: Millis(0),
            hung_up: false,
            gauges: GaugeShare { metrics: Arc::clone(metrics), now: Gauges::default() },
        }
    }

    /// Drives it to its end, which [`Self::close`] is to be told. Not the driver itself: a future keeps
    /// room for what it was given beside what it makes of it.
    pub(super) async fn run(&mut self, shared: &Shared) -> End {
        let mut draining = pin!(shared.drain.begun());
        let (mut listening, mut told) = (false, false);
        let end = poll_fn(|context| {
            // Polled once, the future wakes this task; until then a look at a flag is cheaper.
            if !told && (!listening || shared.drain.is_begun()) {
                listening = true;
                told = draining.as_mut().poll(context).is_ready();
                if told {
                    self.dialogue.leave(shared.clock.now(), shared);
                }
            }
            self.poll(context, shared)
        })
        .await;
        self.report(shared);
        end
    }

    /// Reads, runs and writes until nothing moves any more.
    fn poll(&mut self, context: &mut Context<'_>, shared: &Shared) -> Poll<End> {
        let mut moment = shared.clock.moment();
        let mut look = match self.look(context, moment.now, shared) {
            Err(error) => return Poll::Ready(End::Socket(error)),
            Ok(look) => look,
        };
        loop {
            let more = match self.pass(context, &moment, shared) {
                Err(error) => return Poll::Ready(End::Socket(error)),
                Ok(more) => more,
            };
            if let Some(ending) = self.dialogue.ending() {
                return Poll::Ready(End::Session(ending));
            }
            // Who has been told to wait for input need not look again.
            if more || look != Look::Waits {
                look = match self.look(context, moment.now, shared) {
                    Err(error) => return Poll::Ready(End::Socket(error)),
                    Ok(look) => look,
                };
            }
            if !more && look != Look::Came {
                if self.hung_up && self.dialogue.is_settled() && !self.transport.has_unsent() {
                    return Poll::Ready(End::Client);
                }
                if self.poll_timer(context, moment.now, shared).is_pending() {
                    return Poll::Pending;
                }
            }
            // Time has passed, and something is there to be done.
            moment = shared.clock.moment();
        }
    }

    /// Runs what was read and writes what there is to write; whether that leads to more at once.
    fn pass(
        &mut self,
        context: &mut Context<'_>,
        moment: &Moment,
        shared: &Shared,
    ) -> io::Result<bool> {
        let mut more = self.dialogue.run(context, moment, &mut self.input, shared);
        if !self.presence.is_named() {
            self.dialogue.introduce(&self.presence);
        }
        let sent = self.poll_output(context, moment, shared)?;
        // What was sent makes room, which matters only to what waits for it.
        more |= sent && !self.input.is_empty();
        more |= self.dialogue.poll_news(context, moment, shared);
        self.report(shared);
        Ok(more)
    }

    /// Writes what there is to write; whether the socket took anything.
    fn poll_output(
        &mut self,
        context: &mut Context<'_>,
        moment: &Moment,
        shared: &Shared,
    ) -> io::Result<bool> {
        let mut moved = false;
        loop {
            self.dialogue.fill(moment, shared);
            let bytes = self.dialogue.output();
            if bytes.is_empty() && !self.transport.has_unsent() {
                return Ok(moved);
            }
            match self.transport.poll_send(context, bytes) {
                Poll::Ready(Ok(taken)) => {
                    self.dialogue.taken(moment.now, taken);
                    count(&shared.metrics.traffic(self.presence.transport()).sent_bytes, taken);
                    self.presence.sent(taken);
                    if taken == 0 {
                        return Ok(moved);
                    }
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.dialogue.taken(moment.now, 0);
                    return Ok(moved);
                }
            }
        }
    }

    /// Reads what has arrived, if the dialogue may be given more.
    fn look(
        &mut self,
        context: &mut Context<'_>,
        now: Millis,
        shared: &Shared,
    ) -> io::Result<Look> {
        if self.hung_up || !self.dialogue.may_read() {
            return Ok(Look::Spared);
        }
        let before = self.input.unread().len();
        let limit = self.dialogue.input_limit();
        match self.transport.poll_receive(context, &mut self.input, limit) {
            Poll::Ready(received) => {
                let received = received?;
                self.hung_up = matches!(received, Received::End);
                let got = self.input.unread().len() - before;
                if got > 0 {
                    let traffic = shared.metrics.traffic(self.presence.transport());
                    count(&traffic.received_bytes, got);
                    self.presence.received(got);
                }
                self.presence.heard(now);
                self.dialogue.received(now, received);
                Ok(Look::Came)
            }
            // Where there was no room, nothing was asked of the socket.
            Poll::Pending if before >= limit => Ok(Look::Spared),
            Poll::Pending => Ok(Look::Waits),
        }
    }

    /// Acts on what is due and sets the timer to the next thing; without one there is no timer.
    fn poll_timer(&mut self, context: &mut Context<'_>, now: Millis, shared: &Shared) -> Poll<()> {
        let Some(due) = self.dialogue.wait() else {
            (self.timer, self.armed) = (None, Millis(0));
            return Poll::Pending;
        };
        if due <= now {
            self.dialogue.tick(now, &mut self.input);
            return Poll::Ready(());
        }
        // A timer that fires too early only leads back here, so a later time need not move it. Polled
        // once since it was set, it wakes this task.
        if self.armed <= now || due < self.armed {
            self.armed = due;
            let at = shared.clock.instant(due);
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            timer.as_mut().reset(at);
            return timer.as_mut().poll(context).map(|()| self.armed = Millis(0));
        }
        Poll::Pending
    }

    fn report(&mut self, shared: &Shared) {
        if self.gauges.set(self.dialogue.report(&shared.metrics)) {
            self.presence.holds(self.gauges.now);
        }
    }

    /// Gets the last bytes out and says goodbye.
    pub(super) async fn close(mut self, end: End, shared: &Shared) {
        let Some(code) = end.note(&self.dialogue.peer(), &shared.metrics) else { return };
        let goodbye = poll_fn(|context| {
            let moment = shared.clock.moment();
            match self.poll_output(context, &moment, shared) {
                Ok(_) if !self.dialogue.output().is_empty() || self.transport.has_unsent() => {
                    Poll::Pending
                }
                Ok(_) => self.transport.poll_finish(context, code),
                Err(error) => Poll::Ready(Err(error)),
            }
        });
        if let Ok(Ok(())) = tokio::time::timeout(LAST_WORDS, goodbye).await {
            lingering::close(self.transport.into_stream()).await;
        }
    }
}

fn count(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(bytes as u64, Ordering::Relaxed);
}
