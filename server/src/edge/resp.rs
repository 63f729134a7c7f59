//! The driver of a RESP connection: one task that reads all that has arrived, runs it, waits once for
//! the store, and writes once.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tidekeep_log::Changed;
use tidekeep_protocol::error::Code;
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tracing::{debug, info};

use super::connection::{GaugeShare, count};
use super::input::Input;
use super::lingering;
use super::tcp::Tcp;
use super::transport::{Received, Transport as _};
use crate::clock;
use crate::observe::{Gauges, Transport};
use crate::server::Shared;
use crate::service::Seat;
use crate::session::{Came, Ending, House, Millis, Resp, Wait};

/// How long a connection that ends may take to get its last bytes out.
const LAST_WORDS: Duration = Duration::from_secs(2);

struct Connection {
    transport: Tcp,
    shared: Arc<Shared>,
    session: Resp,
    seat: Seat,
    input: Input,
    wait: Option<Wait>,
    /// The next change, if it listens to events.
    changed: Option<Changed>,
    /// Since when it waits.
    since: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    /// What the timer is set to.
    armed: Millis,
    hung_up: bool,
    gauges: GaugeShare,
}

/// How a connection ended.
enum End {
    /// The session says so.
    Session(Ending),
    /// The client has said all, and has been answered.
    Client,
    /// The socket broke.
    Socket(io::Error),
}

/// Runs a RESP connection to its end. `early` was read from the socket already.
pub(crate) async fn run(stream: TcpStream, early: &[u8], shared: Arc<Shared>) {
    let mut connection = Connection::new(stream, early, shared);
    let shared = Arc::clone(&connection.shared);
    let mut draining = pin!(shared.drain.begun());
    let (mut listening, mut leaving) = (false, false);
    let end = poll_fn(|context| {
        // Polled once, the future wakes this task; until then a look at a flag is cheaper.
        if !leaving && (!listening || shared.drain.is_begun()) {
            listening = true;
            leaving = draining.as_mut().poll(context).is_ready();
        }
        connection.poll(context, leaving)
    })
    .await;
    connection.report();
    connection.close(end).await;
}

impl Connection {
    fn new(stream: TcpStream, early: &[u8], shared: Arc<Shared>) -> Self {
        let now = shared.clock.now();
        let clients = &shared.service.clients;
        let seat = clients.enter(stream.peer_addr().ok(), stream.local_addr().ok(), now);
        let session = Resp::new(Arc::clone(&shared.settings), Arc::clone(&seat.client), now);
        let mut input = Input::new();
        input.append(early);
        count(&shared.metrics.traffic(Transport::Resp).received_bytes, early.len());
        let gauges = GaugeShare::new(&shared.metrics);
        Self {
            transport: Tcp(stream),
            session,
            seat,
            input,
            wait: None,
            changed: None,
            since: Instant::now(),
            timer: None,
            armed: Millis(0),
            hung_up: false,
            gauges,
            shared,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, leaving: bool) -> Poll<End> {
        loop {
            let now = self.shared.clock.now();
            let mut moved = self.poll_wait(context, now);
            moved |= !leaving && self.run_input(context, now);
            moved |= match self.poll_output(context, now) {
                Ok(moved) => moved,
                Err(error) => return Poll::Ready(End::Socket(error)),
            };
            moved |= self.poll_change(context);
            self.report();
            if leaving {
                self.session.go_away();
            }
            if let Some(ending) = self.session.ending()
                && self.wait.is_none()
            {
                return Poll::Ready(End::Session(ending));
            }
            if moved {
                continue;
            }
            if self.hung_up && self.wait.is_none() && self.session.is_settled() {
                return Poll::Ready(End::Client);
            }
            match self.poll_input(context, now) {
                Poll::Ready(Ok(())) => continue,
                Poll::Ready(Err(error)) => return Poll::Ready(End::Socket(error)),
                Poll::Pending => {}
            }
            if self.poll_timer(context, now).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Hands the session what it waited for; whether that has come.
    fn poll_wait(&mut self, context: &mut Context<'_>, now: Millis) -> bool {
        let came = match &mut self.wait {
            None => return false,
            Some(Wait::Answers(pending)) => Pin::new(pending).poll(context).map(Came::Answers),
            Some(Wait::View(pending)) => Pin::new(pending).poll(context).map(Came::View),
        };
        let Poll::Ready(came) = came else { return false };
        self.shared.metrics.batch_time.record(self.since.elapsed());
        self.wait = None;
        self.wait = self.session.resolve(came, &house(&self.shared, now));
        true
    }

    /// Waits for the next change if events are listened to, and for post; whether there is any.
    fn poll_change(&mut self, context: &mut Context<'_>) -> bool {
        let post = self.session.mailbox().is_some_and(|mailbox| mailbox.has_post(context.waker()));
        // What does not fit now is taken when the socket has taken what is before it.
        let post = post && self.session.output().is_empty() && self.wait.is_none();
        let Some(after) = self.session.waits_for_change() else {
            self.changed = None;
            return post;
        };
        let commit = &self.shared.service.commit;
        let changed = self.changed.get_or_insert_with(|| commit.changed(after));
        let Poll::Ready(result) = Pin::new(changed).poll(context) else { return post };
        self.changed = None;
        // After a failure of storage nothing changes any more; the server is about to end.
        if result.is_ok() {
            self.session.changed();
        }
        post || result.is_ok()
    }

    /// Runs the commands that have arrived; whether there were any.
    fn run_input(&mut self, context: &mut Context<'_>, now: Millis) -> bool {
        let mut moved = false;
        self.session.note_input(now, self.input.held_bytes());
        while self.wait.is_none() && !self.input.is_empty() && self.session.takes_commands() {
            self.since = Instant::now();
            let house = house(&self.shared, now);
            let (read, wait) = self.session.read(self.input.unread(), &house);
            self.input.consume(read);
            self.wait = wait;
            let waits = self.wait.is_some();
            if waits {
                self.poll_wait(context, now);
            } else if read > 0 {
                self.shared.metrics.batch_time.record(self.since.elapsed());
            }
            if read == 0 && !waits {
                break;
            }
            moved = true;
        }
        self.session.note_input(now, self.input.held_bytes());
        moved
    }

    /// Writes what there is to write; whether the socket took anything.
    fn poll_output(&mut self, context: &mut Context<'_>, now: Millis) -> io::Result<bool> {
        let mut moved = false;
        loop {
            self.session.fill(&house(&self.shared, now));
            let bytes = self.session.output();
            if bytes.is_empty() {
                return Ok(moved);
            }
            match self.transport.poll_send(context, bytes) {
                Poll::Ready(Ok(taken)) => {
                    self.session.taken(now, taken);
                    count(&self.shared.metrics.traffic(Transport::Resp).sent_bytes, taken);
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.session.taken(now, 0);
                    return Ok(moved);
                }
            }
        }
    }

    /// Reads what has arrived.
    fn poll_input(&mut self, context: &mut Context<'_>, now: Millis) -> Poll<io::Result<()>> {
        if self.hung_up || !self.session.may_read() {
            return Poll::Pending;
        }
        let before = self.input.unread().len();
        let limit = self.session.input_limit();
        match self.transport.poll_receive(context, &mut self.input, limit) {
            Poll::Ready(Ok(received)) => {
                self.seat.client.heard(now);
                if let Received::End = received {
                    self.hung_up = true;
                }
                let got = self.input.unread().len() - before;
                count(&self.shared.metrics.traffic(Transport::Resp).received_bytes, got);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Acts on what is due and sets the timer to the next thing. An idle connection has none.
    fn poll_timer(&mut self, context: &mut Context<'_>, now: Millis) -> Poll<()> {
        let Some(due) = self.session.wait() else {
            if self.wait.is_none() {
                self.timer = None;
                self.armed = Millis(0);
                self.session.rest();
                self.input.rest();
            }
            return Poll::Pending;
        };
        if due <= now {
            self.session.tick(now);
            return Poll::Ready(());
        }
        let at = self.shared.clock.instant(due);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        // A timer that fires too early only leads back here, so a later time need not move it.
        if due < self.armed || self.armed <= now {
            self.armed = due;
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(context).map(|()| self.armed = Millis(0))
    }

    /// Adds to the metrics what was done since the last time.
    fn report(&mut self) {
        let counts = self.session.counts();
        if counts.is_touched() {
            self.shared.metrics.resp.add(counts);
        }
        self.gauges.set(Gauges {
            requests_waiting: self.session.requests_waiting(),
            watches: 0,
            buffer_bytes: self.session.held_bytes(),
        });
    }

    /// Gets the last bytes out and says goodbye.
    async fn close(mut self, end: End) {
        let code = match end {
            End::Socket(error) => return debug!(%error, "a connection broke"),
            End::Client => Code::Closed,
            End::Session(ending) if !ending.flush => {
                info!(code = ending.code.name(), "a RESP connection was cut");
                return self.shared.metrics.ended(ending.code);
            }
            End::Session(ending) => ending.code,
        };
        if code != Code::Closed && code != Code::Unavailable {
            debug!(code = code.name(), "a RESP connection was refused");
            self.shared.metrics.ended(code);
        }
        let goodbye = poll_fn(|context| {
            let now = self.shared.clock.now();
            match self.poll_output(context, now) {
                Ok(_) if !self.session.output().is_empty() => Poll::Pending,
                Ok(_) => self.transport.poll_finish(context, code),
                Err(error) => Poll::Ready(Err(error)),
            }
        });
        if let Ok(Ok(())) = tokio::time::timeout(LAST_WORDS, goodbye).await {
            lingering::close(self.transport.into_stream()).await;
        }
    }
}

/// The server at this moment, as a session sees it.
fn house(shared: &Shared, now: Millis) -> House<'_> {
    House {
        commit: &*shared.service.commit,
        metrics: &shared.metrics,
        clients: &shared.service.clients,
        facts: &shared.service.facts,
        hub: &shared.service.hub,
        now,
        unix_us: clock::unix_us(),
        random: fastrand::u64(..),
    }
}
