//! The accept loop. It never waits for a visitor: each gets a task of its own at once, in which it
//! has to say who it is.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tidekeep_protocol::error::{Code, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use super::gate::Place;
use super::input::Input;
use super::response::Response;
use super::sniff::{self, Visitor};
use super::tcp::Tcp;
use super::{connection, http, lingering, resp};
use crate::observe::{Transport, TurnedAway};
use crate::server::Shared;
use crate::session::turn_away;

/// Bytes read before it is known who is there.
const FIRST_BYTES: usize = 4 << 10;

/// Bytes that the system may hold of one connection beyond those under way.
const UNSENT_BYTES: u32 = 256 << 10;

/// The pause after the system had no more descriptors or memory for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// How long a visitor that finds no room may take to say who it is.
const TURN_AWAY_TIME: Duration = Duration::from_secs(1);

/// When a visitor that found no room should come again, in milliseconds.
const COME_AGAIN_MS: u32 = 1_000;

/// Takes connections until the drain begins, then gives back the tasks that serve them.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shared.drain.begun() => return tasks,
            Some(ended) = tasks.join_next() => {
                if let Err(error) = ended {
                    error!(%error, "a connection's task failed");
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                debug!(%address, "connection");
                admit(stream, address, &shared, &mut tasks);
            }
            Err(error) if is_about_one_connection(&error) => debug!(%error, "accept"),
            Err(error) => {
                warn!(%error, "no connection can be taken at the moment");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

fn admit(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>, tasks: &mut JoinSet<()>) {
    if let Some(place) = shared.gate.enter() {
        tasks.spawn(welcome(stream, peer, place, Arc::clone(shared)));
        return;
    }
    shared.metrics.turned_away(TurnedAway::Limit);
    if let Some(place) = shared.gate.turn_away() {
        tasks.spawn(async move {
            // Whoever is too slow to be told is closed untold.
            let _ = tokio::time::timeout(TURN_AWAY_TIME, refuse(stream)).await;
            drop(place);
        });
    }
}

/// Finds out who is there and serves it; the place is taken as long as that lasts. Each visitor is
/// served from a box, so that an idle one takes no more memory than its own kind needs.
async fn welcome(mut stream: TcpStream, peer: SocketAddr, place: Place, shared: Arc<Shared>) {
    if let Err(error) = tune(&stream) {
        return debug!(%error, "a connection broke at once");
    }
    let since = shared.clock.now();
    let time = Duration::from_millis(shared.settings.handshake_ms);
    let mut early = Vec::with_capacity(FIRST_BYTES);
    let known = tokio::time::timeout(time, recognise(&mut stream, &mut early)).await;
    let visitor = match known {
        Ok(Ok(Some(visitor))) => visitor,
        Ok(Ok(None)) if early.is_empty() => return,
        _ => {
            shared.metrics.turned_away(TurnedAway::FirstBytes);
            return;
        }
    };
    match visitor {
        Visitor::Resp if shared.resp => {
            let _visit = shared.gate.visit(Transport::Resp);
            resp::run(stream, Input::of(early), (peer, since), shared).await;
        }
        Visitor::Native => {
            let _visit = shared.gate.visit(Transport::Tcp);
            let run = connection::run(Tcp(stream), Input::of(early), (peer, since), shared);
            Box::pin(run).await;
        }
        Visitor::Http => Box::pin(http::serve(stream, early, (peer, since), shared)).await,
        visitor => {
            debug!(?visitor, "not served");
            shared.metrics.turned_away(TurnedAway::FirstBytes);
            Box::pin(farewell(stream, visitor.farewell())).await;
        }
    }
    drop(place);
}

/// Reads until it is known who is there; none if the visitor leaves before.
async fn recognise(stream: &mut TcpStream, early: &mut Vec<u8>) -> io::Result<Option<Visitor>> {
    loop {
        if stream.read_buf(early).await? == 0 {
            return Ok(None);
        }
        if let Some(visitor) = sniff::tell(early) {
            return Ok(Some(visitor));
        }
    }
}

/// Sends at once what is written, and keeps the system from buffering much that the network has not
/// taken: what waits there can no longer be overtaken by a pong or a change.
fn tune(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)
}

/// Tells a visitor in its own language that there is no room.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let mut early = Vec::with_capacity(FIRST_BYTES);
    let Some(visitor) = recognise(&mut stream, &mut early).await? else { return Ok(()) };
    let mut said = Vec::new();
    let full = "the server has as many connections as it takes";
    match visitor {
        Visitor::Native => {
            turn_away(&mut said, &Refusal::new(Code::TooManyConnections, full), COME_AGAIN_MS);
        }
        Visitor::Http => Response::busy(full, COME_AGAIN_MS).write_to(&mut said, false),
        Visitor::Resp => said.extend_from_slice(b"-ERR max number of clients reached\r\n"),
        Visitor::Tls | Visitor::Unknown => {}
    }
    farewell(stream, &said).await;
    Ok(())
}

async fn farewell(mut stream: TcpStream, said: &[u8]) {
    // A visitor that has gone need not be told.
    let _ = stream.write_all(said).await;
    lingering::close(stream).await;
}

/// Errors of a connection that broke before it was taken: the next one may be well.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
