//! The one task of a client: it opens transports, moves bytes between them and the core, and keeps
//! the core's time. It decides nothing.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tidekeep_client_core::Input;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::address::{Address, Way};
use crate::offline::OfflineFile;
use crate::shared::{Move, Shared, Turn};
use crate::transport::{Outgoing, Transport};

/// Bytes that one write to a TCP stream takes at most.
const PIECE_BYTES: usize = 64 << 10;

/// How long the end of a stream may take when the client is closed.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long one of several servers is waited for before the next is tried.
const ONE_OF_MANY: Duration = Duration::from_secs(1);

/// How far a timer is set ahead when the core waits for nothing.
const LONG: Duration = Duration::from_secs(3600);

/// What drives one client until it is closed.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    /// Servers with the same store.
    addresses: Vec<Address>,
    /// The one that it is connected to, or tries first.
    at: usize,
    message_bytes: usize,
    carrier: Carrier,
    out: Outgoing,
    /// Where mutations are kept.
    place: Option<Arc<Mutex<OfflineFile>>>,
    /// A batch that is being stored.
    storing: Option<JoinHandle<io::Result<()>>>,
}

/// A transport, and to which of the addresses.
type Opening = Pin<Box<dyn Future<Output = io::Result<(usize, Transport)>> + Send>>;

/// The transport, if there is one.
enum Carrier {
    None,
    Opening(Opening),
    Open(Transport),
}

/// What woke the driver.
enum Event {
    Woken,
    Tick,
    Opened(usize, Transport),
    Arrived,
    Written,
    Stored(Result<(), String>),
    Ended(String),
}

impl Driver {
    /// `message_bytes` bounds the WebSocket messages that are taken.
    pub(crate) fn new(
        shared: Arc<Shared>,
        addresses: Vec<Address>,
        message_bytes: usize,
        place: Option<OfflineFile>,
    ) -> Self {
        let (carrier, out) = (Carrier::None, Outgoing::default());
        let place = place.map(|place| Arc::new(Mutex::new(place)));
        Self { shared, addresses, at: 0, message_bytes, carrier, out, place, storing: None }
    }

    /// Runs until the client is closed.
    pub(crate) async fn run(mut self) {
        let mut sleep = Box::pin(sleep_until(Instant::now() + LONG));
        let mut turn = self.turn(None);
        loop {
            match turn.transport {
                Some(Move::Open) => {
                    let opening = open(self.addresses.clone(), self.at, self.message_bytes);
                    self.carrier = Carrier::Opening(Box::pin(opening));
                }
                Some(Move::Drop) if !turn.over => self.leave(),
                Some(Move::Drop) | None => {}
            }
            if let (Some(batch), Some(place)) = (turn.store.take(), &self.place) {
                let place = Arc::clone(place);
                self.storing = Some(spawn_blocking(move || {
                    place.lock().unwrap_or_else(PoisonError::into_inner).append(&batch)
                }));
            }
            if turn.over {
                if let Some(storing) = self.storing.take() {
                    // Nobody is left to be told; the next process finds what is there.
                    let _done = storing.await;
                }
                self.place = None;
                self.shared.release();
                return self.say_goodbye().await;
            }
            turn = match self.next_event(sleep.as_mut(), turn.wait).await {
                Event::Woken | Event::Written => self.turn(None),
                Event::Tick => self.turn(Some(Input::Tick)),
                Event::Opened(at, transport) => {
                    self.at = at;
                    self.carrier = Carrier::Open(transport);
                    self.turn(Some(Input::Opened))
                }
                Event::Arrived => self.take_arrived(),
                Event::Stored(Ok(())) => self.turn(Some(Input::Stored)),
                Event::Stored(Err(why)) => self.turn(Some(Input::StoreFailed(&why))),
                Event::Ended(why) => {
                    self.leave();
                    self.turn(Some(Input::Closed(&why)))
                }
            };
        }
    }

    /// Gives the transport up; the next attempt begins with another server.
    fn leave(&mut self) {
        self.carrier = Carrier::None;
        self.at = (self.at + 1) % self.addresses.len();
    }

    async fn next_event(&mut self, mut sleep: Pin<&mut Sleep>, wait: Option<Instant>) -> Event {
        // A timer that is set too early only makes a tick too many; moving it for every byte that
        // arrives would cost more.
        let at = wait.unwrap_or_else(|| Instant::now() + LONG);
        if at < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(at);
        }
        let Self { shared, carrier, out, storing, .. } = self;
        tokio::select! {
            event = poll_fn(|cx| carrier.poll(cx, out)) => event,
            () = shared.woken() => Event::Woken,
            stored = poll_fn(|cx| poll_stored(cx, storing)) => Event::Stored(stored),
            () = sleep => Event::Tick,
        }
    }

    fn take_arrived(&mut self) -> Turn {
        let piece_bytes = self.piece_bytes();
        let Self { shared, carrier, out, .. } = self;
        match carrier {
            Carrier::Open(transport) => {
                shared.turn(Some(Input::Bytes(transport.received())), out, piece_bytes)
            }
            Carrier::None | Carrier::Opening(_) => shared.turn(None, out, piece_bytes),
        }
    }

    fn turn(&mut self, input: Option<Input<'_>>) -> Turn {
        let piece_bytes = self.piece_bytes();
        self.shared.turn(input, &mut self.out, piece_bytes)
    }

    fn piece_bytes(&self) -> Option<usize> {
        match self.addresses[self.at].way {
            Way::Tcp => Some(PIECE_BYTES),
            Way::WebSocket { .. } => None,
        }
    }

    async fn say_goodbye(mut self) {
        if let Carrier::Open(transport) = &mut self.carrier {
            // Whoever does not take leave in time is left without.
            let _in_time = timeout(GOODBYE, poll_fn(|cx| transport.poll_close(cx))).await;
        }
    }
}

/// How a batch that is being stored came out.
fn poll_stored(
    cx: &mut Context<'_>,
    storing: &mut Option<JoinHandle<io::Result<()>>>,
) -> Poll<Result<(), String>> {
    let Some(handle) = storing else { return Poll::Pending };
    Pin::new(handle).poll(cx).map(|done| {
        *storing = None;
        match done {
            Ok(stored) => stored.map_err(|error| error.to_string()),
            Err(failed) => Err(failed.to_string()),
        }
    })
}

/// Opens a transport to the first of the servers that takes one, from the one at `first` on.
async fn open(
    addresses: Vec<Address>,
    first: usize,
    message_bytes: usize,
) -> io::Result<(usize, Transport)> {
    let mut failed = None;
    for at in (first..addresses.len()).chain(0..first) {
        let opening = Transport::open(addresses[at].clone(), message_bytes);
        let opened = match addresses.len() {
            1 => opening.await,
            _ => timeout(ONE_OF_MANY, opening).await.unwrap_or_else(|_| {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer"))
            }),
        };
        match opened {
            Ok(transport) => return Ok((at, transport)),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::other("there is no address")))
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.place = None;
        self.shared.release();
        self.shared.abandon();
    }
}

impl Carrier {
    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Poll<Event> {
        match self {
            Self::None => Poll::Pending,
            Self::Opening(opening) => opening.as_mut().poll(cx).map(|opened| match opened {
                Ok((at, transport)) => Event::Opened(at, transport),
                Err(error) => Event::Ended(error.to_string()),
            }),
            Self::Open(transport) => {
                if !out.is_empty()
                    && let Poll::Ready(written) = transport.poll_write(cx, out)
                {
                    return Poll::Ready(match written {
                        Ok(()) => Event::Written,
                        Err(error) => Event::Ended(error.to_string()),
                    });
                }
                transport.poll_read(cx).map(|read| match read {
                    Ok(true) => Event::Arrived,
                    Ok(false) => Event::Ended("the server ended the connection".to_owned()),
                    Err(error) => Event::Ended(error.to_string()),
                })
            }
        }
    }
}
