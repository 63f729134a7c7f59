//! A server that is told to stop: tells its clients, finishes what it has, and ends.

use tidekeep_protocol::codec;
use tidekeep_protocol::error::{Code, Outcome};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::hello::GoingAway;
use tidekeep_protocol::op::{Get, Watch, WatchFrom};
use tidekeep_protocol::range::Range;
use tidekeep_server::Stopped;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::{Client, TestServer, eventually, put};
use crate::http::{Http, get};
use crate::web_socket::WsClient;

#[test]
fn clients_are_told_and_what_is_in_flight_is_finished() {
    let mut server = TestServer::start();
    let mut idle = server.client();
    let mut busy = server.client();
    let mut http = Http::connect(server.address);
    http.send("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(http.page(true).status, 200);

    server.disk.hold_syncs(true);
    busy.ask(1, &put(b"k", b"in flight"));
    eventually("the write waits", || server.figure("tidekeep_requests_waiting") == 1.0);
    server.drain();

    let frame = idle.answer();
    assert_eq!((frame.kind, frame.id), (kind::GOING_AWAY, 0));
    let going: GoingAway = codec::decode(&frame.body).unwrap();
    assert!(going.reconnect_after_ms <= 2000);
    // Sent by a client that has not read the notice yet: refused by name, not cut off.
    idle.ask(3, &put(b"k", b"too late"));
    let frame = idle.answer();
    assert_eq!((frame.id, frame.code()), (3, Code::Unavailable));
    assert_eq!(frame.error().outcome, Outcome::NotApplied);
    idle.end();
    idle.is_closed();
    assert_eq!(busy.answer().kind, kind::GOING_AWAY);
    busy.ask(2, &Get { key: b"k" });
    let frame = busy.answer();
    assert_eq!((frame.id, frame.code()), (2, Code::Unavailable));
    http.send("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
    let ready = http.page(true);
    assert_eq!((ready.status, &ready.body[..]), (503, "draining\n"));
    eventually("no connection is taken", || std::net::TcpStream::connect(server.address).is_err());

    server.disk.hold_syncs(false);
    assert_eq!(busy.answer().id, 1);
    busy.is_closed();
    assert_eq!(server.wait(), Stopped::Drained);
}

#[test]
fn watches_end_as_unavailable_and_web_sockets_as_restarting() {
    let mut server = TestServer::start();
    let mut watcher = server.client();
    let watch = Watch {
        range: Range::default(),
        from: WatchFrom::Now,
        previous: false,
        delivery: Default::default(),
    };
    watcher.call(5, &watch);
    let mut browser = WsClient::connect(server.address);
    server.drain();
    assert_eq!(watcher.answer().kind, kind::GOING_AWAY);
    let frame = watcher.answer();
    assert_eq!((frame.id, frame.code()), (5, Code::Unavailable));
    watcher.is_closed();
    assert_eq!(browser.frame().kind, kind::GOING_AWAY);
    assert_eq!(browser.close_code(), Some(CloseCode::Restart));
    assert_eq!(server.wait(), Stopped::Drained);
}

#[test]
fn who_has_not_greeted_is_refused() {
    let mut server = TestServer::start();
    let mut late = Client::raw(server.address);
    late.send(&crate::harness::greeting()[..8]);
    eventually("it is taken", || server.figure("tidekeep_connections{transport=\"tcp\"}") == 1.0);
    server.drain();
    late.ends_with(Code::Unavailable);
    assert_eq!(server.wait(), Stopped::Drained);
}

#[test]
fn a_drain_does_not_wait_for_ever() {
    let mut server = TestServer::with(|config| config.drain_ms = 200);
    let mut stuck = server.client();
    crate::scan::fill(&mut stuck, 500);
    // Asks for far more than it reads: its answers never leave.
    for id in 1..=20 {
        stuck.ask(id, &crate::scan::scan_all());
    }
    assert!(stuck.answer().more);
    server.drain();
    assert_eq!(server.wait(), Stopped::Drained);
}

#[test]
fn a_server_may_be_stopped_twice_and_before_anybody_came() {
    let mut server = TestServer::start();
    assert_eq!(get(server.address, "/livez").status, 200);
    server.drain();
    server.drain();
    assert_eq!(server.wait(), Stopped::Drained);
}
