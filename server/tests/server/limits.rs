//! As many connections as there may be, and what one more is told.

use tidekeep_protocol::error::Code;

use crate::harness::{Client, TestServer, eventually, greeting};
use crate::http;

#[test]
fn one_connection_too_many_is_told_so_in_its_own_language() {
    let server = TestServer::with(|config| config.max_connections = 2);
    let (mut first, mut second) = (server.client(), server.client());

    let mut third = Client::raw(server.address);
    third.send(&greeting());
    let frame = third.answer();
    assert_eq!((frame.id, frame.code()), (0, Code::TooManyConnections));
    assert!(frame.error().retryable && frame.error().retry_after_ms > 0);
    third.is_closed();

    let page = http::get(server.address, "/livez");
    assert_eq!(page.status, 503);
    assert!(page.header("retry-after").is_some());
    let mut redis = Client::raw(server.address);
    redis.send(b"*1\r\n$4\r\nPING\r\n");
    assert!(redis.rest().starts_with(b"-ERR "));

    first.is_well();
    second.is_well();
    drop(first);
    eventually("the place is free again", || {
        let mut client = Client::raw(server.address);
        client.send(&greeting());
        client.try_frame().is_some_and(|frame| frame.kind == 0x02)
    });
    drop(second);
    eventually("there is room", || http::get(server.address, "/livez").status == 200);
    assert!(server.figure("tidekeep_connections_refused_total{reason=\"limit\"}") >= 3.0);
}

#[test]
fn visitors_that_say_nothing_take_no_place_for_long() {
    let server = TestServer::with(|config| {
        config.max_connections = 3;
        config.handshake_ms = 150;
    });
    let _silent: Vec<Client> = (0..3).map(|_| Client::raw(server.address)).collect();
    eventually("a place is free", || {
        let mut client = Client::raw(server.address);
        client.send(&greeting());
        client.try_frame().is_some_and(|frame| frame.kind == 0x02)
    });
}
