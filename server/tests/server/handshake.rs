//! How connections begin: what is a greeting, what is none, and how long one may take.

use tidekeep_protocol::codec;
use tidekeep_protocol::error::Code;
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::hello::{PREFACE, Welcome};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::Get;

use crate::harness::{Client, TestServer, greeting, hello, plain_frame, request_frame};

#[test]
fn the_welcome_tells_version_limits_and_who_serves() {
    let server = TestServer::with(|config| config.limits.value_bytes = 5000);
    let mut client = Client::raw(server.address);
    client.send(&greeting());
    let frame = client.frame();
    assert_eq!((frame.kind, frame.id), (kind::WELCOME, 0));
    let welcome: Welcome<'_> = codec::decode(&frame.body).unwrap();
    assert_eq!(welcome.version, 1);
    assert_eq!(welcome.limits, Limits { value_bytes: 5000, ..Limits::DEFAULT });
    assert_eq!(welcome.heartbeat_ms, 10_000);
    assert!(welcome.software.starts_with("tidekeep-server "), "{}", welcome.software);
    assert!(welcome.now_ms > 1_700_000_000_000, "the server knows the time");

    let mut again = Client::raw(server.address);
    again.send(&greeting());
    let frame = again.frame();
    let second: Welcome<'_> = codec::decode(&frame.body).unwrap();
    assert_eq!(
        (second.server_id, second.store_id, second.incarnation),
        (welcome.server_id, welcome.store_id, welcome.incarnation)
    );
}

#[test]
fn a_greeting_may_come_byte_by_byte_and_with_requests_behind_it() {
    let server = TestServer::start();
    let mut client = Client::raw(server.address);
    for byte in greeting() {
        client.send(&[byte]);
    }
    assert_eq!(client.frame().kind, kind::WELCOME);

    let mut eager = Client::raw(server.address);
    let mut bytes = greeting();
    bytes.extend(request_frame(1, &Get { key: b"k" }));
    eager.send(&bytes);
    assert_eq!(eager.frame().kind, kind::WELCOME);
    assert_eq!(eager.frame().id, 1);
}

#[test]
fn versions_without_overlap_are_refused_by_name() {
    let server = TestServer::start();
    for (low, high) in [(2, 3), (0, 0), (3, 2)] {
        let mut client = Client::raw(server.address);
        client.send(&PREFACE);
        client.send(&hello(low, high));
        client.ends_with(Code::Version);
    }
    let mut newer = Client::raw(server.address);
    newer.send(&PREFACE);
    newer.send(&hello(1, 9));
    assert_eq!(newer.frame().kind, kind::WELCOME);
}

#[test]
fn what_is_no_greeting_ends_the_connection() {
    let server = TestServer::start();
    let long = plain_frame(kind::HELLO, 0, 0, &vec![0; 5000]);
    let cases: [(&[u8], Vec<u8>, Code); 6] = [
        (b"\xF1TIDE\r\n\x02", hello(1, 1), Code::Protocol),
        (b"\xF1garbage", Vec::new(), Code::Protocol),
        (&PREFACE, request_frame(1, &Get { key: b"k" }), Code::Protocol),
        (&PREFACE, plain_frame(kind::HELLO, 0, 0, b"\xFF\xFF\xFF"), Code::Protocol),
        (&PREFACE, plain_frame(kind::PING, 0, 7, b""), Code::Protocol),
        (&PREFACE, long, Code::TooLarge),
    ];
    for (preface, frame, code) in cases {
        let mut client = Client::raw(server.address);
        client.send(preface);
        client.send(&frame);
        client.ends_with(code);
    }
    server.client().is_well();
}

#[test]
fn a_second_hello_ends_the_connection() {
    let server = TestServer::start();
    let mut client = server.client();
    client.send(&hello(1, 1));
    client.ends_with(Code::Protocol);
}

#[test]
fn who_does_not_greet_in_time_is_closed() {
    let server = TestServer::with(|config| config.handshake_ms = 600);
    let mut patient = server.client();

    let mut silent = Client::raw(server.address);
    assert_eq!(silent.rest(), b"");
    let mut half = Client::raw(server.address);
    half.send(&PREFACE);
    half.send(&hello(1, 1)[..10]);
    half.ends_with(Code::Timeout);
    let mut slow = Client::raw(server.address);
    slow.send(&PREFACE[..1]);
    slow.ends_with(Code::Timeout);

    patient.is_well();
    assert!(server.figure("tidekeep_connections_refused_total{reason=\"first_bytes\"}") >= 1.0);
}

#[test]
fn other_languages_are_refused_in_their_own() {
    let server = TestServer::with(|config| config.resp = false);
    let said = |bytes: &[u8]| {
        let mut client = Client::raw(server.address);
        client.send(bytes);
        client.rest()
    };
    let resp = said(b"*1\r\n$4\r\nPING\r\n");
    assert!(resp.starts_with(b"-ERR ") && resp.ends_with(b"\r\n"), "{resp:?}");
    let tls = said(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC]);
    assert_eq!(tls, [0x15, 3, 1, 0, 2, 2, 40], "a fatal alert");
    for garbage in [&b"\0\0\0\0"[..], b"\xFF\xFE\xFD", b"?\n", &[0x80; 3000]] {
        let line = said(garbage);
        assert!(line.starts_with(b"err: ") && line.ends_with(b"\r\n"), "{line:?}");
    }
    server.client().is_well();
}
