//! A server in this process on a disk in memory, and a client made of the protocol crate and a
//! blocking socket, so that a test says byte by byte what happens.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidekeep_log::clock::SystemClock;
use tidekeep_log::disk::faulty::{FaultyDisk, seeded};
use tidekeep_log::{Solo, SoloOptions};
use tidekeep_protocol::codec;
use tidekeep_protocol::error::{Code, ErrorBody};
use tidekeep_protocol::frame::{self, Frame, kind};
use tidekeep_protocol::hello::{Hello, PREFACE};
use tidekeep_protocol::op::{Get, GetReply, Operation, Put, WriteReply, WriteStatus};
use tidekeep_server::config::Config;
use tidekeep_server::{Running, Server, Stopped};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// How long anything that must happen may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub struct TestServer {
    runtime: Option<Runtime>,
    running: Option<Running>,
    /// The disk under it.
    pub disk: FaultyDisk,
    /// Where it listens.
    pub address: SocketAddr,
}

impl TestServer {
    /// A server with its defaults.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// A server with another configuration.
    pub fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::local("unused");
        config.segment_bytes = 8 << 20;
        configure(&mut config);
        let disk = FaultyDisk::new(1);
        let options = SoloOptions::new(Arc::new(disk.clone()), Arc::new(SystemClock), seeded(7));
        let solo = Solo::open(SoloOptions {
            durability: config.durability,
            limits: config.limits,
            segment_bytes: config.segment_bytes,
            snapshot_log_bytes: config.snapshot_log_bytes,
            history_bytes: config.history_bytes,
            memory: config.memory.clone(),
            ..options
        });
        let solo = Arc::new(solo.expect("an empty disk opens"));
        let runtime = Runtime::new().expect("threads can be started");
        let running = runtime.block_on(async {
            let listener = TcpListener::bind(&config.listen).await.expect("a port is free");
            Server::start_with(config, listener, solo).expect("the listener has an address")
        });
        let address = running.address();
        Self { runtime: Some(runtime), running: Some(running), disk, address }
    }

    /// Begins the drain.
    pub fn drain(&self) {
        self.running.as_ref().expect("it runs").shutdown();
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> Stopped {
        let running = self.running.take().expect("it is waited for once");
        let runtime = self.runtime.as_ref().expect("it runs");
        let ended = async { tokio::time::timeout(PATIENCE, running.wait()).await };
        runtime.block_on(ended).expect("the server ends in time")
    }

    /// A client after its handshake.
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// One of the figures of `/metrics`, with its labels as they are there.
    pub fn figure(&self, name: &str) -> f64 {
        let page = crate::http::get(self.address, "/metrics").body;
        let line = page.lines().find(|line| line.strip_prefix(name).is_some_and(starts_value));
        let value = line.map_or("0", |line| line.rsplit(' ').next().unwrap_or("0"));
        value.parse().expect("a figure is a number")
    }
}

fn starts_value(rest: &str) -> bool {
    rest.starts_with(' ')
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.disk.hold_syncs(false);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A frame that owns its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedFrame {
    pub kind: u8,
    pub more: bool,
    pub id: u32,
    /// Tags and data.
    pub extensions: Vec<(u8, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl OwnedFrame {
    /// The body of an error frame.
    #[track_caller]
    pub fn error(&self) -> ErrorBody<'_> {
        assert_eq!(self.kind, kind::ERROR, "not an error: {self:?}");
        codec::decode(&self.body).expect("an error decodes")
    }

    /// The code of an error frame.
    #[track_caller]
    pub fn code(&self) -> Code {
        Code::from_number(self.error().code).expect("the code is known")
    }

    /// The body of a reply to `O`.
    #[track_caller]
    pub fn reply<O: Operation>(&self) -> O::Reply<'_> {
        assert_eq!(self.kind, O::SPEC.kind | kind::REPLY, "not its reply: {self:?}");
        codec::decode(&self.body).expect("a reply decodes")
    }
}

/// The native end of a TCP connection.
pub struct Client {
    pub stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    /// A connection on which nothing was said.
    pub fn raw(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("a socket takes this");
        Self { stream, input: Vec::new() }
    }

    /// A connection after its handshake.
    pub fn connect(address: SocketAddr) -> Self {
        let mut client = Self::raw(address);
        client.send(&greeting());
        assert_eq!(client.frame().kind, kind::WELCOME);
        client
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes bytes");
    }

    /// Sends a request.
    pub fn ask<O: Operation>(&mut self, id: u32, request: &O) {
        self.send(&request_frame(id, request));
    }

    /// The next frame.
    #[track_caller]
    pub fn frame(&mut self) -> OwnedFrame {
        self.try_frame().expect("a frame comes before the end")
    }

    /// The next frame, or none at the end of the stream.
    #[track_caller]
    pub fn try_frame(&mut self) -> Option<OwnedFrame> {
        loop {
            if let Some((frame, length)) =
                Frame::decode(&self.input, u32::MAX).expect("the server sends frames")
            {
                let (kind, more, id) = (frame.kind, frame.more(), frame.id);
                let extensions =
                    frame.extensions.iter().map(|(tag, data)| (tag, data.to_vec())).collect();
                let owned = OwnedFrame { kind, more, id, extensions, body: frame.body.to_vec() };
                self.input.drain(..length);
                return Some(owned);
            }
            let mut bytes = [0; 64 << 10];
            match self.stream.read(&mut bytes) {
                Ok(0) => {
                    assert!(self.input.is_empty(), "the stream ends inside a frame");
                    return None;
                }
                Ok(count) => self.input.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no frame came: {error}"),
            }
        }
    }

    /// The next frame that is not a ping; pings are answered.
    #[track_caller]
    pub fn answer(&mut self) -> OwnedFrame {
        let end = Instant::now() + PATIENCE;
        loop {
            let frame = self.frame();
            assert!(Instant::now() < end, "nothing but pings came");
            if frame.kind != kind::PING {
                return frame;
            }
            let mut pong = Vec::new();
            frame::write(&mut pong, kind::PONG, 0, frame.id, &[], |_| {});
            self.send(&pong);
        }
    }

    /// The next answer with its chunks joined. Frames of other ids must not come between.
    #[track_caller]
    pub fn joined(&mut self) -> OwnedFrame {
        let mut joined = self.answer();
        while joined.more {
            let next = self.answer();
            assert_eq!((next.kind, next.id), (joined.kind, joined.id), "another frame between");
            joined.body.extend_from_slice(&next.body);
            joined.more = next.more;
        }
        joined
    }

    /// Sends a request and reads its answer.
    #[track_caller]
    pub fn call<O: Operation>(&mut self, id: u32, request: &O) -> OwnedFrame {
        self.ask(id, request);
        let frame = self.joined();
        assert_eq!(frame.id, id);
        frame
    }

    /// Sets a key; its revision.
    #[track_caller]
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> u64 {
        let frame = self.call(1, &put(key, value));
        let reply: WriteReply<'_> = frame.reply::<Put<'_>>();
        assert_eq!(reply.status, WriteStatus::Applied);
        reply.revision
    }

    /// A key's value.
    #[track_caller]
    pub fn get(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let frame = self.call(1, &Get { key });
        let reply: GetReply<'_> = frame.reply::<Get<'_>>();
        reply.entry.map(|stored| stored.value.to_vec())
    }

    /// Asserts that the connection goes on.
    #[track_caller]
    pub fn is_well(&mut self) {
        assert_eq!(self.get(b"a key that nobody sets"), None);
    }

    /// Asserts that the next frame is an error for the connection, and the last.
    #[track_caller]
    pub fn ends_with(&mut self, code: Code) {
        let frame = self.answer();
        assert_eq!((frame.id, frame.code()), (0, code), "{:?}", frame.error());
        self.is_closed();
    }

    /// Asserts that the server has closed and said nothing more.
    #[track_caller]
    pub fn is_closed(&mut self) {
        assert_eq!(self.try_frame(), None);
    }

    /// Sends no more.
    pub fn end(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a socket can be shut down");
    }

    /// Reads the rest as text.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.input);
        // A reset after the last words is as good as an end.
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }
}

/// The preface and a hello.
pub fn greeting() -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    bytes.extend(hello(1, 1));
    bytes
}

/// A hello of a client that speaks these versions.
pub fn hello(version_min: u16, version_max: u16) -> Vec<u8> {
    let hello = Hello { version_min, version_max, features: 0, software: "test" };
    let mut bytes = Vec::new();
    frame::write_value(&mut bytes, kind::HELLO, 0, &hello);
    bytes
}

/// A request as a frame.
pub fn request_frame<O: Operation>(id: u32, request: &O) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write_value(&mut bytes, O::SPEC.kind, id, request);
    bytes
}

/// A frame without extensions.
pub fn plain_frame(kind: u8, flags: u8, id: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, kind, flags, id, &[], |out| out.extend_from_slice(body));
    bytes
}

/// An unconditional put.
pub fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Put<'a> {
    Put { key, value, condition: Default::default(), expiry: Default::default(), previous: false }
}

/// Waits until `check` holds.
#[track_caller]
pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < end, "waited in vain for: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
