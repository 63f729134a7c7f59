//! A server whose answers a test writes, over TCP or WebSocket, on a port of its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tidekeep_client::protocol::frame::{self, Frame, kind};
use tidekeep_client::protocol::hello::{PREFACE, WEBSOCKET_SUBPROTOCOL, Welcome};
use tidekeep_client::protocol::limits::Limits;
use tidekeep_client::protocol::op::Request;
use tidekeep_client::{Client, Error, Options};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request as Upgrade, Response};

/// Longest that any test waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    Connected,
    Request { kind: u8, id: u32 },
    Cancel(u32),
    Gone,
}

/// What the test tells the server.
#[derive(Debug, Clone)]
enum Told {
    Say(Vec<u8>),
    HangUp,
}

/// How clients come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Tcp,
    WebSocket,
}

pub(crate) struct Script {
    pub(crate) url: String,
    heard: mpsc::UnboundedReceiver<Heard>,
    tell: broadcast::Sender<Told>,
}

/// Frames that answer a request; none leaves it unanswered.
type Answer = dyn Fn(u32, &Request<'_>) -> Vec<u8> + Send + Sync;

impl Script {
    /// Serves until the test ends.
    pub(crate) async fn start(
        way: Way,
        answer: impl Fn(u32, &Request<'_>) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (hear, heard) = mpsc::unbounded_channel();
        let (tell, _) = broadcast::channel(1024);
        let orders = tell.clone();
        let answer: Arc<Answer> = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stream = match way {
                    Way::Tcp => bridge_tcp(stream),
                    Way::WebSocket => bridge_websocket(stream).await,
                };
                tokio::spawn(session(
                    stream,
                    Arc::clone(&answer),
                    hear.clone(),
                    orders.subscribe(),
                ));
            }
        });
        let url = match way {
            Way::Tcp => format!("tcp://127.0.0.1:{port}"),
            Way::WebSocket => format!("http://127.0.0.1:{port}"),
        };
        Self { url, heard, tell }
    }

    pub(crate) async fn connect(&mut self) -> Client {
        let client = soon(Client::connect(&self.url, Options::default())).await;
        self.expect(Heard::Connected).await;
        client.expect("the script greets")
    }

    /// The next thing that the server hears.
    pub(crate) async fn next(&mut self) -> Heard {
        soon(self.heard.recv()).await.expect("the script runs")
    }

    pub(crate) async fn expect(&mut self, heard: Heard) {
        assert_eq!(self.next().await, heard);
    }

    /// The id of the next request, which has this kind.
    pub(crate) async fn request(&mut self, kind: u8) -> u32 {
        match self.next().await {
            Heard::Request { kind: heard, id } if heard == kind => id,
            other => panic!("not a request of kind {kind:#x}: {other:?}"),
        }
    }

    pub(crate) fn say(&self, bytes: Vec<u8>) {
        self.tell.send(Told::Say(bytes)).expect("a session listens");
    }

    /// Drops every connection.
    pub(crate) fn hang_up(&self) {
        self.tell.send(Told::HangUp).expect("a session listens");
    }
}

/// The value that comes within the time a test may take.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it comes in time")
}

/// A frame whose body is `value`.
pub(crate) fn reply<T: serde::Serialize>(kind: u8, id: u32, value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_value(&mut out, kind | kind::REPLY, id, value);
    out
}

/// The error's code, for short assertions.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.expect_err("it fails").code().name()
}

async fn session(
    mut stream: DuplexStream,
    answer: Arc<Answer>,
    hear: mpsc::UnboundedSender<Heard>,
    mut told: broadcast::Receiver<Told>,
) {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await.expect("a preface");
    assert_eq!(preface, PREFACE);
    let mut inbox = Vec::new();
    loop {
        let mut out = Vec::new();
        while let Some((frame, total)) = Frame::decode(&inbox, 4 << 20).expect("frames") {
            let id = frame.id;
            match frame.kind {
                kind::HELLO => {
                    frame::write_value(&mut out, kind::WELCOME, 0, &welcome());
                    let _over = hear.send(Heard::Connected);
                }
                kind::PING => frame::write(&mut out, kind::PONG, 0, id, &[], |_| {}),
                kind::PONG => {}
                kind::CANCEL => {
                    let _over = hear.send(Heard::Cancel(id));
                }
                kind => {
                    let request = Request::decode(kind, frame.body).expect("a kind of the table");
                    out.extend(answer(id, &request.expect("a request")));
                    let _over = hear.send(Heard::Request { kind, id });
                }
            }
            inbox.drain(..total);
        }
        stream.write_all(&out).await.expect("the bridge takes it");
        tokio::select! {
            read = stream.read_buf(&mut inbox) => if read.unwrap_or(0) == 0 { break },
            order = told.recv() => match order.expect("the script lives") {
                Told::Say(bytes) => stream.write_all(&bytes).await.expect("the bridge takes it"),
                Told::HangUp => return,
            },
        }
    }
    let _over = hear.send(Heard::Gone);
}

fn welcome() -> Welcome<'static> {
    Welcome {
        version: 1,
        features: 0,
        limits: Limits::DEFAULT,
        server_id: [1; 16],
        store_id: [2; 16],
        incarnation: 1,
        heartbeat_ms: 10_000,
        now_ms: 0,
        software: "script",
    }
}

fn bridge_tcp(stream: TcpStream) -> DuplexStream {
    let (near, far) = tokio::io::duplex(1 << 20);
    tokio::spawn(copy(stream, far));
    near
}

async fn copy(mut one: impl AsyncRead + AsyncWrite + Unpin, mut other: DuplexStream) {
    let _broken = tokio::io::copy_bidirectional(&mut one, &mut other).await;
}

/// Checks what a WebSocket client must ask for, and that messages hold whole frames.
async fn bridge_websocket(stream: TcpStream) -> DuplexStream {
    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
    let check = |request: &Upgrade, mut response: Response| {
        assert_eq!(request.uri().path(), "/ws");
        let asked = request.headers().get("Sec-WebSocket-Protocol").cloned();
        let asked = asked.expect("the client asks for the subprotocol");
        assert_eq!(asked, WEBSOCKET_SUBPROTOCOL);
        response.headers_mut().insert("Sec-WebSocket-Protocol", asked);
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, check).await.expect("an upgrade");
    let (near, mut far) = tokio::io::duplex(1 << 20);
    tokio::spawn(async move {
        let (mut sink, mut messages) = socket.split();
        let mut first = true;
        let mut bytes = Vec::new();
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(Ok(Message::Binary(message))) => {
                        check_message(&message, first);
                        first = false;
                        far.write_all(&message).await.expect("the session reads");
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    _ => return,
                },
                read = far.read_buf(&mut bytes) => {
                    if read.unwrap_or(0) == 0 || sink.send(Message::binary(bytes.clone())).await.is_err() {
                        return;
                    }
                    bytes.clear();
                }
            }
        }
    });
    near
}

fn check_message(message: &[u8], first: bool) {
    let mut rest = if first { &message[PREFACE.len()..] } else { message };
    let mut frames = 0;
    while !rest.is_empty() {
        let whole = Frame::decode(rest, 4 << 20).expect("frames").expect("no frame spans messages");
        rest = &rest[whole.1..];
        frames += 1;
    }
    let most = Limits::DEFAULT.message_bytes as usize;
    assert!(message.len() <= most || frames == 1, "{frames} frames in {} bytes", message.len());
}
