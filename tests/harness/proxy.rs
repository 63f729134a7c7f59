//! A way to the server that breaks: what travels through it can be cut at a chosen place or at a
//! random byte, held back, or swallowed for a while.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const CHUNK_BYTES: usize = 64 << 10;
/// How late a late request is at most: about as long as a client needs to come back and go on.
const LATE_MS: u64 = 100;

/// Where the next request that comes by is cut off. Both ends lose the connection there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Before a byte of it gets to the server.
    BeforeRequest,
    /// In the middle of the request.
    InRequest,
    /// Before a byte of it gets to the server, which gets it all the same, a while after the client
    /// has lost the connection.
    LateRequest,
    /// When the server has all of it, without a wait for the reply.
    AfterRequest,
    /// When the server has replied, before a byte of that gets to the client.
    BeforeReply,
    /// In the middle of the reply.
    InReply,
    /// When the client has all of the reply.
    AfterReply,
}

impl Cut {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::BeforeRequest,
        Self::InRequest,
        Self::LateRequest,
        Self::AfterRequest,
        Self::BeforeReply,
        Self::InReply,
        Self::AfterReply,
    ];
}

/// What happens to everything that travels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weather {
    /// How long pieces are held back, in milliseconds.
    pub delay_ms: Range<u64>,
    /// Of a thousand pieces, those in which the connection is cut, at a random byte.
    pub cuts: u32,
    /// Nothing gets through, and no connection is closed.
    pub black_hole: bool,
}

/// A proxy on a port of its own. Dropping it cuts everything.
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
    weather: watch::Sender<Weather>,
    severed: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

struct Shared {
    upstream: Mutex<String>,
    armed: Mutex<VecDeque<Cut>>,
    cuts: AtomicU64,
}

impl Proxy {
    /// Starts a proxy to the server at `upstream`, which need not be there yet.
    pub async fn start(upstream: &str, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream.to_owned()),
            armed: Mutex::default(),
            cuts: AtomicU64::new(0),
        });
        let (weather, weather_report) = watch::channel(Weather::default());
        let (severed, severing) = watch::channel(0);
        let accepting = {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                for number in 0.. {
                    let Ok((client, _)) = listener.accept().await else { break };
                    let connection = Connection {
                        shared: Arc::clone(&shared),
                        weather: weather_report.clone(),
                        severing: severing.clone(),
                        rng: Rng::with_seed(seed ^ number),
                    };
                    tokio::spawn(connection.carry(client));
                }
            })
        };
        Self { address, shared, weather, severed, accepting }
    }

    /// `HOST:PORT` of the proxy.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Cuts off the next request here, and the one after it at the next cut that is armed.
    pub fn arm(&self, cut: Cut) {
        self.shared.armed().push_back(cut);
    }

    /// Whether every armed cut has been made or is under way.
    pub fn is_disarmed(&self) -> bool {
        self.shared.armed().is_empty()
    }

    /// Leads new connections to another server, and cuts those that there are.
    pub fn lead_to(&self, upstream: &str) {
        upstream.clone_into(&mut self.shared.upstream());
        self.sever();
    }

    /// Changes the weather, also for connections that are there.
    pub fn weather(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Cuts every connection at once, wherever it is.
    pub fn sever(&self) {
        self.severed.send_modify(|times| *times += 1);
    }

    /// Connections that were cut so far.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.sever();
    }
}

impl Shared {
    fn upstream(&self) -> std::sync::MutexGuard<'_, String> {
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn armed(&self) -> std::sync::MutexGuard<'_, VecDeque<Cut>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Connection {
    shared: Arc<Shared>,
    weather: watch::Receiver<Weather>,
    severing: watch::Receiver<u64>,
    rng: Rng,
}

/// Whether the connection goes on.
enum Fate {
    On,
    Cut,
    /// Cut, but this is still on its way to the server.
    Late(Vec<u8>),
}

impl Connection {
    async fn carry(mut self, mut client: TcpStream) {
        self.severing.mark_unchanged();
        let upstream = self.shared.upstream().clone();
        let Ok(mut server) = TcpStream::connect(&upstream).await else { return };
        let shared = Arc::clone(&self.shared);
        let mut severing = self.severing.clone();
        let fate = tokio::select! {
            fate = self.forward(&mut client, &mut server) => fate.unwrap_or(Fate::On),
            _ = severing.changed() => Fate::Cut,
        };
        // Before either end can notice: who came back has been counted.
        let cut = matches!(fate, Fate::Cut | Fate::Late(_));
        shared.cuts.fetch_add(u64::from(cut), Ordering::SeqCst);
        if let Fate::Late(piece) = fate {
            drop(client);
            // What a network may do: the piece arrives when its connection is long cut.
            tokio::time::sleep(Duration::from_millis(self.rng.u64(..LATE_MS))).await;
            // The server may be gone by now, as any time.
            if server.write_all(&piece).await.is_ok() {
                let _reply = server.read(&mut [0; 1]).await;
            }
        }
    }

    /// Carries pieces both ways until an end is gone or a cut is due.
    async fn forward(
        &mut self,
        client: &mut TcpStream,
        server: &mut TcpStream,
    ) -> io::Result<Fate> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let mut up = vec![0; CHUNK_BYTES];
        let mut down = vec![0; CHUNK_BYTES];
        // The cut that waits for a reply.
        let mut pending = None;
        loop {
            let fate = tokio::select! {
                read = client.read(&mut up) => match read? {
                    0 => return Ok(Fate::On),
                    _ if self.is_severed() => Fate::Cut,
                    length => self.request(&up[..length], server, &mut pending).await?,
                },
                read = server.read(&mut down) => match read? {
                    0 => return Ok(Fate::On),
                    _ if self.is_severed() => Fate::Cut,
                    length => self.reply(&down[..length], client, pending).await?,
                },
            };
            if !matches!(fate, Fate::On) {
                return Ok(fate);
            }
        }
    }

    async fn request(
        &mut self,
        piece: &[u8],
        server: &mut TcpStream,
        pending: &mut Option<Cut>,
    ) -> io::Result<Fate> {
        let armed = match pending {
            None => self.shared.armed().pop_front(),
            Some(_) => None,
        };
        match armed {
            None => self.through(piece, server).await,
            Some(Cut::BeforeRequest) => Ok(Fate::Cut),
            Some(Cut::InRequest) => {
                server.write_all(&piece[..self.middle(piece)]).await?;
                Ok(Fate::Cut)
            }
            Some(Cut::LateRequest) => Ok(Fate::Late(piece.to_vec())),
            Some(Cut::AfterRequest) => {
                server.write_all(piece).await?;
                Ok(Fate::Cut)
            }
            Some(cut @ (Cut::BeforeReply | Cut::InReply | Cut::AfterReply)) => {
                *pending = Some(cut);
                server.write_all(piece).await?;
                Ok(Fate::On)
            }
        }
    }

    async fn reply(
        &mut self,
        piece: &[u8],
        client: &mut TcpStream,
        pending: Option<Cut>,
    ) -> io::Result<Fate> {
        match pending {
            None => self.through(piece, client).await,
            Some(Cut::InReply) => {
                client.write_all(&piece[..self.middle(piece)]).await?;
                Ok(Fate::Cut)
            }
            Some(Cut::AfterReply) => {
                client.write_all(piece).await?;
                Ok(Fate::Cut)
            }
            Some(_) => Ok(Fate::Cut),
        }
    }

    /// Lets a piece through as the weather is.
    async fn through(&mut self, piece: &[u8], to: &mut TcpStream) -> io::Result<Fate> {
        let Weather { delay_ms, cuts, .. } = self.weather.borrow().clone();
        if !delay_ms.is_empty() {
            tokio::time::sleep(Duration::from_millis(self.rng.u64(delay_ms))).await;
        }
        // Who started the proxy is gone if there is no weather to wait for.
        if self.weather.wait_for(|weather| !weather.black_hole).await.is_err() {
            return Ok(Fate::Cut);
        }
        if self.is_severed() {
            return Ok(Fate::Cut);
        }
        if self.rng.u32(..1_000) < cuts {
            to.write_all(&piece[..self.rng.usize(..=piece.len())]).await?;
            return Ok(Fate::Cut);
        }
        to.write_all(piece).await?;
        Ok(Fate::On)
    }

    /// Whether the connection is cut, though its task may not have been told yet: what is sent
    /// afterwards must not slip through.
    fn is_severed(&self) -> bool {
        self.severing.has_changed().unwrap_or(true)
    }

    fn middle(&mut self, piece: &[u8]) -> usize {
        self.rng.usize(1..piece.len().max(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    /// As if the task that carries had not been told of the cut before it read what was sent later.
    #[tokio::test]
    async fn nothing_gets_through_that_is_read_after_the_cut() {
        let ((mut client, mut inner), (mut outer, mut server)) = (pair().await, pair().await);
        let (severed, severing) = watch::channel(0);
        let (_weather, weather) = watch::channel(Weather::default());
        let (upstream, armed) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { upstream, armed, cuts: AtomicU64::new(0) });
        let mut connection = Connection { shared, weather, severing, rng: Rng::with_seed(1) };
        severed.send_modify(|times| *times += 1);
        client.write_all(b"late").await.unwrap();
        drop(client);
        let fate = connection.forward(&mut inner, &mut outer).await.unwrap();
        assert!(matches!(fate, Fate::Cut));
        drop(outer);
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        assert!(got.is_empty(), "{}", got.escape_ascii());
    }
}
