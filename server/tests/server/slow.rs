//! Clients that are slow, silent or gone: they cost little, are cut in the end, and nobody else
//! notices.

use std::io::Read;
use std::time::{Duration, Instant};

use tidekeep_protocol::error::Code;
use tidekeep_protocol::frame::kind;

use crate::harness::{Client, TestServer, eventually, request_frame};
use crate::scan::{fill, scan_all};

#[test]
fn a_client_that_does_not_read_is_cut_and_others_go_on() {
    let server = TestServer::with(|config| config.slow_reader_ms = 400);
    let mut other = server.client();
    fill(&mut other, 500);
    let mut greedy = server.client();
    // 5 MB each, far more than sockets hold.
    let bytes: Vec<u8> = (1..=20).flat_map(|id| request_frame(id, &scan_all())).collect();
    greedy.send(&bytes);
    let failed = "tidekeep_connections_failed_total{code=\"slow-reader\"}";
    eventually("the slow reader is cut", || {
        let before = Instant::now();
        other.is_well();
        assert!(before.elapsed() < Duration::from_secs(2), "another client had to wait");
        server.figure(failed) == 1.0
    });
    eventually("its place is free", || {
        server.figure("tidekeep_connections{transport=\"tcp\"}") == 1.0
    });
    // What was sent is there, then the stream ends.
    let (mut left, mut bytes) = (0, [0; 64 << 10]);
    while let Ok(count @ 1..) = greedy.stream.read(&mut bytes) {
        left += count;
    }
    assert!(left < 50 << 20, "{left} bytes were sent to a client that did not read");
}

#[test]
fn a_client_that_reads_slowly_but_steadily_is_not_cut() {
    let server = TestServer::with(|config| config.slow_reader_ms = 1500);
    let mut client = server.client();
    fill(&mut client, 500);
    client.send(&request_frame(1, &scan_all()));
    client.send(&request_frame(2, &scan_all()));
    let (started, mut ended) = (Instant::now(), 0);
    while ended < 2 {
        let frame = client.answer();
        ended += usize::from(!frame.more);
        if started.elapsed() < Duration::from_secs(3) {
            // A reader with something else to do: the pace is the point of this test.
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
    client.is_well();
}

#[test]
fn a_silent_client_is_asked_and_then_closed() {
    let server = TestServer::with(|config| config.heartbeat_ms = 100);
    let mut silent = server.client();
    let frame = silent.frame();
    assert_eq!((frame.kind, frame.id), (kind::PING, 0));
    let mut last = silent.frame();
    while last.kind == kind::PING {
        last = silent.frame();
    }
    assert_eq!((last.id, last.code()), (0, Code::Timeout));
    silent.is_closed();
}

#[test]
fn a_client_that_answers_pings_stays() {
    // Three of these without a word end a client: long enough for one that has to wait for a core.
    let server = TestServer::with(|config| config.heartbeat_ms = 400);
    let mut client = server.client();
    let mut pings = 0;
    while pings < 5 {
        let frame = client.frame();
        assert_eq!(frame.kind, kind::PING, "{frame:?}");
        client.send(&crate::harness::plain_frame(kind::PONG, 0, frame.id, b""));
        pings += 1;
    }
    client.is_well();
}

#[test]
fn pings_are_answered_with_their_id() {
    let server = TestServer::start();
    let mut client = server.client();
    for id in [0, 7, u32::MAX] {
        client.send(&crate::harness::plain_frame(kind::PING, 0, id, b""));
        let frame = client.frame();
        assert_eq!((frame.kind, frame.id, frame.body.len()), (kind::PONG, id, 0));
    }
}

#[test]
fn a_flood_of_pings_that_nobody_reads_is_bounded() {
    let server = TestServer::with(|config| config.slow_reader_ms = 300);
    let mut client = Client::connect(server.address);
    let pings: Vec<u8> =
        (0..5000).flat_map(|id| crate::harness::plain_frame(kind::PING, 0, id, b"")).collect();
    client.stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    // Sends until the server reads no more.
    let mut sent = 0;
    while std::io::Write::write_all(&mut client.stream, &pings).is_ok() && sent < 200 << 20 {
        sent += pings.len();
    }
    assert!(sent < 200 << 20, "the server goes on reading pings whose pongs nobody takes");
    eventually("the connection is cut", || {
        server.figure("tidekeep_connections{transport=\"tcp\"}") == 0.0
    });
}
