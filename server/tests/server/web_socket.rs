//! The same frames in WebSocket messages, and which sites may open one.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tidekeep_protocol::codec;
use tidekeep_protocol::error::{Code, ErrorBody};
use tidekeep_protocol::frame::{Frame, kind};
use tidekeep_protocol::hello::PREFACE;
use tidekeep_protocol::op::{Get, GetReply, Put, WriteReply};
use tungstenite::protocol::frame::Frame as WsFrame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::harness::{OwnedFrame, TestServer, greeting, hello, plain_frame, put, request_frame};
use crate::http::{Http, Page};
use crate::scan::{fill, scan_all};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The client's end of a WebSocket.
pub struct WsClient {
    pub socket: WebSocket<std::net::TcpStream>,
    frames: Vec<OwnedFrame>,
}

/// Asks for the upgrade with these headers besides those that every WebSocket has.
fn upgrade(address: SocketAddr, headers: &[(&str, &str)]) -> (Http, Page) {
    let mut request =
        "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n".to_owned();
    let usual = [
        ("Host", address.to_string()),
        ("Sec-WebSocket-Version", "13".to_owned()),
        ("Sec-WebSocket-Key", KEY.to_owned()),
        ("Sec-WebSocket-Protocol", "tidekeep.1".to_owned()),
    ];
    for (name, value) in &usual {
        if !headers.iter().any(|(given, _)| given == name) {
            request += &format!("{name}: {value}\r\n");
        }
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request += &format!("{name}: {value}\r\n");
    }
    let mut http = Http::connect(address);
    http.send(&(request + "\r\n"));
    let page = http.page(true);
    (http, page)
}

impl WsClient {
    /// A WebSocket on which nothing was said.
    pub fn raw(address: SocketAddr) -> Self {
        let (http, page) = upgrade(address, &[]);
        assert_eq!(page.status, 101);
        let socket = WebSocket::from_raw_socket(http.stream, Role::Client, None);
        Self { socket, frames: Vec::new() }
    }

    /// A WebSocket after the handshake.
    pub fn connect(address: SocketAddr) -> Self {
        let mut client = Self::raw(address);
        client.send(greeting());
        assert_eq!(client.frame().kind, kind::WELCOME);
        client
    }

    pub fn send(&mut self, message: Vec<u8>) {
        self.socket.send(Message::Binary(message.into())).expect("the server takes messages");
    }

    /// The next message's frames.
    #[track_caller]
    fn message(&mut self) -> (usize, Vec<OwnedFrame>) {
        loop {
            match self.socket.read().expect("a message comes") {
                Message::Binary(bytes) => {
                    let (mut rest, mut frames) = (&bytes[..], Vec::new());
                    while !rest.is_empty() {
                        let decoded = Frame::decode(rest, u32::MAX).expect("frames");
                        let (frame, length) = decoded.expect("no frame spans messages");
                        let (kind, more, id) = (frame.kind, frame.more(), frame.id);
                        let (extensions, body) = (Vec::new(), frame.body.to_vec());
                        frames.push(OwnedFrame { kind, more, id, extensions, body });
                        rest = &rest[length..];
                    }
                    return (bytes.len(), frames);
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("not a binary message: {other:?}"),
            }
        }
    }

    /// The next frame.
    #[track_caller]
    pub fn frame(&mut self) -> OwnedFrame {
        while self.frames.is_empty() {
            self.frames = self.message().1;
        }
        self.frames.remove(0)
    }

    /// Asserts that an error for the connection comes, then a close with this code.
    #[track_caller]
    fn ends_with(&mut self, code: Code, close: CloseCode) {
        let frame = self.frame();
        assert_eq!((frame.id, frame.code()), (0, code), "{:?}", frame.error());
        assert_eq!(self.close_code(), Some(close));
    }

    /// The code of the close frame.
    #[track_caller]
    pub fn close_code(&mut self) -> Option<CloseCode> {
        loop {
            match self.socket.read() {
                Ok(Message::Close(close)) => return close.map(|close| close.code),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("the connection was not closed")
                }
                Err(_) => return None,
            }
        }
    }
}

#[test]
fn the_same_frames_travel_in_messages() {
    let server = TestServer::start();
    let mut client = WsClient::connect(server.address);
    client.send(request_frame(1, &put(b"k", b"from a browser")));
    let frame = client.frame();
    let written: WriteReply<'_> = frame.reply::<Put<'_>>();
    assert_eq!(written.revision, 1);
    assert_eq!(server.client().get(b"k").as_deref(), Some(&b"from a browser"[..]));
    assert_eq!(server.figure("tidekeep_connections{transport=\"websocket\"}"), 1.0);
}

#[test]
fn the_upgrade_is_confirmed_as_the_standard_says() {
    let server = TestServer::start();
    let (_, page) = upgrade(server.address, &[("Sec-WebSocket-Protocol", "other, tidekeep.1")]);
    assert_eq!(page.status, 101);
    assert_eq!(page.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(page.header("sec-websocket-protocol"), Some("tidekeep.1"));
    assert_eq!(page.header("sec-websocket-extensions"), None, "compression stays off");
}

#[test]
fn frames_share_messages_in_both_directions_up_to_the_limit() {
    let server = TestServer::start();
    let mut client = WsClient::connect(server.address);
    let value = vec![b'v'; 1000];
    let puts: Vec<u8> =
        (1..=50_u32).flat_map(|id| request_frame(id, &put(&id.to_be_bytes(), &value))).collect();
    client.send(puts);
    for _ in 1..=50 {
        client.frame();
    }
    let gets: Vec<u8> = (0..1000_u32)
        .flat_map(|n| request_frame(n + 1, &Get { key: &(n % 50 + 1).to_be_bytes() }))
        .collect();
    client.send(gets);
    let (mut got, mut messages) = (0, 0);
    while got < 1000 {
        let (length, frames) = client.message();
        assert!(length <= 64 << 10 || frames.len() == 1, "a message of {length} bytes");
        for frame in &frames {
            let reply: GetReply<'_> = frame.reply::<Get<'_>>();
            assert_eq!(reply.entry.map(|stored| stored.value), Some(&value[..]));
        }
        got += frames.len();
        messages += 1;
    }
    assert!(messages < 100, "{messages} messages for 1000 replies");
}

#[test]
fn long_replies_come_in_messages_of_one_chunk() {
    let server = TestServer::start();
    fill(&mut server.client(), 100);
    let mut client = WsClient::connect(server.address);
    client.send(request_frame(1, &scan_all()));
    let mut body = Vec::new();
    loop {
        let (length, frames) = client.message();
        assert!(length <= 64 << 10 || frames.len() == 1);
        body.extend(frames.iter().flat_map(|frame| frame.body.clone()));
        if frames.iter().any(|frame| !frame.more) {
            break;
        }
    }
    assert!(body.len() > 1_000_000);
}

#[test]
fn fragments_pings_and_a_late_hello_mean_nothing() {
    let server = TestServer::start();
    let mut client = WsClient::raw(server.address);
    client.send(PREFACE.to_vec());
    client.send(hello(1, 1));
    assert_eq!(client.frame().kind, kind::WELCOME);

    let request = request_frame(1, &put(b"k", b"in three fragments"));
    let parts = [&request[..5], &request[5..20], &request[20..]];
    for (n, part) in parts.into_iter().enumerate() {
        let opcode = if n == 0 { Data::Binary } else { Data::Continue };
        let frame = WsFrame::message(part.to_vec(), OpCode::Data(opcode), n == 2);
        client.socket.send(Message::Frame(frame)).unwrap();
        if n == 1 {
            client.socket.send(Message::Ping(b"between"[..].into())).unwrap();
            assert_eq!(client.socket.read().unwrap(), Message::Pong(b"between"[..].into()));
        }
    }
    assert_eq!(client.frame().id, 1);
    assert_eq!(server.client().get(b"k").as_deref(), Some(&b"in three fragments"[..]));
}

#[test]
fn a_message_that_never_ends_is_cut_in_time() {
    let server = TestServer::with(|config| {
        config.frame_ms = 100;
        config.limits.frame_bytes = 1 << 21;
        config.heartbeat_ms = 60_000;
    });
    let mut client = WsClient::raw(server.address);
    let frame = WsFrame::message(greeting()[..9].to_vec(), OpCode::Data(Data::Binary), false);
    client.socket.send(Message::Frame(frame)).unwrap();
    client.ends_with(Code::Timeout, CloseCode::Policy);
}

#[test]
fn messages_that_break_the_rules_end_the_connection() {
    let server = TestServer::start();
    let mut text = WsClient::connect(server.address);
    text.socket.send(Message::Text("get name".into())).unwrap();
    text.ends_with(Code::Protocol, CloseCode::Unsupported);

    let mut spanning = WsClient::connect(server.address);
    let request = request_frame(1, &Get { key: b"key" });
    spanning.send(request[..10].to_vec());
    spanning.ends_with(Code::Protocol, CloseCode::Protocol);

    let mut long = WsClient::connect(server.address);
    long.send(plain_frame(0x11, 0, 1, &vec![0; 5 << 20]));
    long.ends_with(Code::TooLarge, CloseCode::Size);

    let mut early = WsClient::raw(server.address);
    early.send([&PREFACE[..], &plain_frame(kind::HELLO, 0, 0, &[0; 6000])].concat());
    early.ends_with(Code::TooLarge, CloseCode::Size);

    let mut wrong = WsClient::raw(server.address);
    wrong.send(hello(1, 1));
    wrong.ends_with(Code::Protocol, CloseCode::Protocol);

    // A server's role leaves its frames unmasked, which a client must not.
    let (http, _) = upgrade(server.address, &[]);
    let mut unmasked = WebSocket::from_raw_socket(http.stream, Role::Server, None);
    unmasked.send(Message::Binary(greeting().into())).unwrap();
    let Message::Binary(bytes) = read_as_client(&mut unmasked) else { panic!("no error came") };
    let (frame, _) = Frame::decode(&bytes, u32::MAX).unwrap().unwrap();
    let error: ErrorBody<'_> = codec::decode(frame.body).unwrap();
    assert_eq!(error.code, Code::Protocol.number());

    server.client().is_well();
}

fn read_as_client(socket: &mut WebSocket<std::net::TcpStream>) -> Message {
    let stream = socket.get_mut().try_clone().expect("a socket has a second handle");
    let config = WebSocketConfig::default();
    WebSocket::from_raw_socket(stream, Role::Client, Some(config)).read().expect("a message comes")
}

#[test]
fn a_close_is_answered() {
    let server = TestServer::start();
    let mut client = WsClient::connect(server.address);
    client.socket.close(None).unwrap();
    client.close_code();
    crate::harness::eventually("the place is free", || {
        server.figure("tidekeep_connections{transport=\"websocket\"}") == 0.0
    });
}

#[test]
fn only_pages_of_this_server_and_of_allowed_sites_may_connect() {
    let server = TestServer::with(|config| {
        config.allow_origins = vec!["https://app.example".parse().unwrap()];
    });
    let own = format!("http://{}", server.address);
    let port = server.address.port();
    let status = |headers: &[(&str, &str)]| upgrade(server.address, headers).1.status;

    assert_eq!(status(&[]), 101, "no browser");
    assert_eq!(status(&[("Origin", &own)]), 101);
    assert_eq!(status(&[("Origin", "https://app.example")]), 101);
    assert_eq!(status(&[("Origin", "https://APP.example:443")]), 101);
    let local = format!("localhost:{port}");
    let local_origin = format!("http://{local}");
    assert_eq!(status(&[("Host", &local), ("Origin", &local_origin)]), 101);

    let foreign = [
        "http://evil.example".to_owned(),
        "null".to_owned(),
        format!("{own}.evil.example"),
        format!("{own}@evil.example"),
        format!("http://evil.example/{own}"),
        format!("{own}0"),
        format!("http://127.0.0.1:{}", port ^ 1),
        "http://127.0.0.1".to_owned(),
        "http://app.example".to_owned(),
        "https://app.example.evil.example".to_owned(),
        "https://app.example:444".to_owned(),
        local_origin.clone(),
    ];
    for origin in &foreign {
        assert_eq!(status(&[("Origin", origin)]), 403, "{origin}");
    }
    assert_eq!(status(&[("Origin", &own), ("Origin", "http://evil.example")]), 403);
    assert!(server.figure("tidekeep_connections_refused_total{reason=\"origin\"}") >= 13.0);
}

#[test]
fn names_that_others_may_have_pointed_here_are_refused() {
    let server = TestServer::with(|config| {
        config.allow_origins = vec!["https://kv.example".parse().unwrap()];
    });
    let port = server.address.port();
    let status = |host: String| {
        let origin = format!("http://{host}");
        upgrade(server.address, &[("Host", &host), ("Origin", &origin)]).1.status
    };
    assert_eq!(status(format!("rebound.example:{port}")), 403);
    assert_eq!(status(format!("localhost.evil.example:{port}")), 403);
    assert_eq!(status(format!("127.0.0.1.evil.example:{port}")), 403);
    assert_eq!(status(format!("[::1]:{port}")), 101);
    assert_eq!(status("kv.example".to_owned()), 101, "the host of an allowed site");
}

#[test]
fn upgrades_that_are_none_get_their_status() {
    let server = TestServer::start();
    let status = |headers: &[(&str, &str)]| upgrade(server.address, headers).1.status;
    assert_eq!(status(&[("Sec-WebSocket-Protocol", "")]), 400);
    assert_eq!(status(&[("Sec-WebSocket-Protocol", "tidekeep.2")]), 400);
    assert_eq!(status(&[("Sec-WebSocket-Key", "short")]), 400);
    assert_eq!(status(&[("Sec-WebSocket-Version", "8")]), 426);
    let plain = crate::http::get(server.address, "/ws");
    assert_eq!((plain.status, plain.header("upgrade")), (426, Some("websocket")));
}
