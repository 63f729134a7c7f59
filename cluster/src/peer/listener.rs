//! The door for other nodes: takes connections, knows who is there by the certificate, and hands requests
//! on. Whoever has no certificate can ask to join, once, and nothing else.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::certificates::{ClusterId, node_of};
use super::frame::{Frame, Inbox, Kind, Stream, buffered, next_frame, write_frame};
use super::identity::Identity;
use super::join::{JOIN_BYTES_MAX, JoinGrant, JoinRefused, JoinRequest, decode, encode};
use super::session::Session;
use super::tls::{self, JOIN, PEER};
use crate::placement::NodeId;

/// Time between two tries to take a connection while the system gives none.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a node does with what others ask of it.
pub trait Serve: Send + Sync + 'static {
    /// Answers a request of a node of this cluster, which may have been removed from it since it was given
    /// its certificate.
    ///
    /// The requests of one connection are first polled in the order in which they came, and all by one
    /// task: what computes for long belongs into a task of its own. What has begun is brought to its end,
    /// even if nobody is there any more to be told.
    fn serve(
        &self,
        from: NodeId,
        request: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;

    /// Decides about a node that wants to join. Nothing is known of it but that it has this request.
    fn join(
        &self,
        request: JoinRequest,
    ) -> Pin<Box<dyn Future<Output = Result<JoinGrant, JoinRefused>> + Send>>;
}

/// Limits of the door for other nodes.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Time for a connection to say who it is: a few round trips of the longest way between nodes.
    pub handshake: Duration,
    /// Time in which a node that wants to join is told whether it may.
    pub join: Duration,
    /// Connections that have not said yet who they are, and joiners. More are turned away.
    pub strangers: usize,
    /// Connections of nodes: three for each other node, and some that are about to end.
    pub connections: usize,
    /// Requests of one connection that are served at once; more are left in the socket.
    pub requests: usize,
    /// The longest request and reply.
    pub frame_bytes: usize,
    /// Bytes of one connection's requests and replies that are held; more are left in the socket.
    pub held_bytes: usize,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            join: Duration::from_secs(60),
            strangers: 64,
            connections: 4_096,
            requests: 1_024,
            frame_bytes: 64 << 20,
            held_bytes: 64 << 20,
        }
    }
}

/// What all connections share.
struct Door {
    cluster: ClusterId,
    tls: TlsAcceptor,
    service: Arc<dyn Serve>,
    options: ListenerOptions,
    strangers: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

/// Answers other nodes until `shutdown` resolves; then all connections are closed, and what is being served
/// is left where it is.
pub fn serve<S>(
    listener: TcpListener,
    identity: &Identity,
    service: Arc<dyn Serve>,
    options: ListenerOptions,
    shutdown: S,
) -> impl Future<Output = ()> + Send + use<S>
where
    S: Future<Output = ()> + Send,
{
    let door = Door {
        cluster: identity.cluster(),
        tls: TlsAcceptor::from(Arc::clone(identity.server())),
        service,
        strangers: Arc::new(Semaphore::new(options.strangers)),
        connections: Arc::new(Semaphore::new(options.connections)),
        options,
    };
    accept(listener, Arc::new(door), shutdown)
}

async fn accept(listener: TcpListener, door: Arc<Door>, shutdown: impl Future<Output = ()>) {
    // Ends with its tasks.
    let mut open = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = match select(pin!(listener.accept()), &mut shutdown).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right(((), _)) => return,
        };
        while open.try_join_next().is_some() {}
        let Ok((socket, from)) = accepted else {
            // The connection was gone again, or the process has too many files open.
            match select(pin!(sleep(ACCEPT_PAUSE)), &mut shutdown).await {
                Either::Left(_) => continue,
                Either::Right(_) => return,
            }
        };
        // Turned away without a word: to wait for room would let strangers keep nodes out.
        if let Ok(stranger) = Arc::clone(&door.strangers).try_acquire_owned() {
            let door = Arc::clone(&door);
            open.spawn(async move {
                if let Err(why) = door.receive(socket, stranger).await {
                    tracing::debug!(%from, %why, "a peer's connection ended");
                }
            });
        }
    }
}

impl Door {
    async fn receive(&self, socket: TcpStream, stranger: OwnedSemaphorePermit) -> io::Result<()> {
        let deadline = Instant::now() + self.options.handshake;
        let handshake = self.tls.accept_with(buffered(socket)?, |it| tls::bounds(it));
        let stream = timeout_at(deadline, handshake).await??;
        let (_, terms) = stream.get_ref();
        let certificate = terms.peer_certificates().and_then(<[_]>::first);
        let named = certificate.and_then(node_of);
        let is_join = terms.alpn_protocol() == Some(JOIN);
        let is_peer = terms.alpn_protocol() == Some(PEER);
        let stream = Stream::from(stream);
        match named {
            Some((cluster, node)) if is_peer && cluster == self.cluster => {
                let Ok(_connection) = self.connections.try_acquire() else {
                    return Err(io::Error::other("there are too many connections"));
                };
                drop(stranger);
                let session = Session::new(stream, node, Arc::clone(&self.service), &self.options);
                session.run(deadline).await
            }
            None if is_join => self.join(stream, deadline).await,
            _ => Err(io::Error::other("without a certificate of a node, it can only ask to join")),
        }
    }

    /// Takes one request to join, and answers it.
    async fn join(&self, mut stream: Stream, deadline: Instant) -> io::Result<()> {
        let mut inbox = Inbox::new(JOIN_BYTES_MAX);
        let frame = timeout_at(deadline, next_frame(&mut inbox, &mut stream)).await??;
        if frame.kind != Kind::Join {
            return Err(io::Error::other("it asked for something else than to join"));
        }
        let decided = async {
            match decode::<JoinRequest>(&frame.payload) {
                Some(request) => self.service.join(request).await,
                None => Err(JoinRefused::Malformed("it cannot be read".into())),
            }
        };
        let decision = timeout(self.options.join, decided).await?;
        let reply = Frame::new(frame.number, Kind::Joined, encode(&decision));
        timeout(self.options.handshake, write_frame(&mut stream, reply)).await?
    }
}
