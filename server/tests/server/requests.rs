//! Requests and their answers: many at once, in any order, each exactly once.

use std::collections::BTreeMap;

use tidekeep_protocol::codec;
use tidekeep_protocol::error::{Code, Outcome};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::{Get, GetReply, Operation, Put, Status, StatusReply, WriteReply};
use tidekeep_server::Stopped;

use crate::harness::{TestServer, eventually, plain_frame, put, request_frame};

#[test]
fn a_pipeline_of_writes_and_reads_is_answered_once_each() {
    let server = TestServer::start();
    let mut client = server.client();
    let keys: Vec<String> = (0..1000).map(|n| format!("key/{n}")).collect();
    let mut bytes = Vec::new();
    for (n, key) in keys.iter().enumerate() {
        let (key, id) = (key.as_bytes(), 2 * n as u32 + 1);
        bytes.extend(request_frame(id, &put(key, key)));
        bytes.extend(request_frame(id + 1, &Get { key }));
    }
    client.send(&bytes);

    let mut answers = BTreeMap::new();
    for _ in 0..2 * keys.len() {
        let frame = client.answer();
        assert_eq!(answers.insert(frame.id, frame), None, "an answer came twice");
    }
    for (n, key) in keys.iter().enumerate() {
        let id = 2 * n as u32 + 1;
        let written: WriteReply<'_> = answers[&id].reply::<Put<'_>>();
        let read: GetReply<'_> = answers[&(id + 1)].reply::<Get<'_>>();
        let stored = read.entry.expect("a read behind a write sees it");
        assert_eq!((stored.value, stored.meta.modified), (key.as_bytes(), written.revision));
    }
    client.is_well();
}

#[test]
fn a_refused_request_leaves_its_neighbours_alone() {
    let server = TestServer::start();
    let mut client = server.client();
    let mut bytes = request_frame(1, &put(b"a", b"1"));
    bytes.extend(request_frame(2, &put(b"", b"2")));
    bytes.extend(plain_frame(0x10, 0, 3, b"\xFF"));
    bytes.extend(request_frame(4, &Get { key: b"a" }));
    bytes.extend(plain_frame(kind::PING, 0, 77, b""));
    client.send(&bytes);
    let answers: BTreeMap<u32, _> = (0..5).map(|_| client.answer()).map(|f| (f.id, f)).collect();
    assert_eq!(answers[&1].kind, Put::SPEC.kind | kind::REPLY);
    assert_eq!(answers[&2].code(), Code::InvalidInput);
    assert_eq!(answers[&3].code(), Code::InvalidInput);
    assert_eq!(answers[&4].reply::<Get<'_>>().entry.map(|stored| stored.value), Some(&b"1"[..]));
    assert_eq!(answers[&77].kind, kind::PONG);
}

#[test]
fn answers_that_need_no_disk_do_not_wait_for_those_that_do() {
    let server = TestServer::start();
    let mut client = server.client();
    client.put(b"old", b"safe");
    // The figure moves after the answer does: what is seen below must be the second write.
    eventually("nothing waits", || server.figure("tidekeep_requests_waiting") == 0.0);
    server.disk.hold_syncs(true);
    client.ask(10, &put(b"new", b"waits"));
    eventually("the write waits", || server.figure("tidekeep_requests_waiting") == 1.0);
    client.ask(11, &Get { key: b"old" });
    client.send(&plain_frame(kind::PING, 0, 12, b""));
    let mut first = [client.answer().id, client.answer().id];
    first.sort_unstable();
    assert_eq!(first, [11, 12]);
    // A read of what could still be lost waits with the write.
    let mut other = server.client();
    other.ask(1, &Get { key: b"new" });
    other.send(&plain_frame(kind::PING, 0, 2, b""));
    assert_eq!(other.answer().id, 2);

    server.disk.hold_syncs(false);
    assert_eq!(client.answer().id, 10);
    let frame = other.answer();
    assert_eq!(frame.reply::<Get<'_>>().entry.map(|stored| stored.value), Some(&b"waits"[..]));
}

#[test]
fn more_requests_than_may_wait_are_refused_and_can_be_sent_again() {
    let server = TestServer::with(|config| config.limits.in_flight = 4);
    let mut client = server.client();
    server.disk.hold_syncs(true);
    let ids = 1..=6;
    let bytes: Vec<u8> = ids.clone().flat_map(|id| request_frame(id, &put(b"k", b"v"))).collect();
    client.send(&bytes);
    for id in 5..=6 {
        let frame = client.answer();
        assert_eq!((frame.id, frame.code()), (id, Code::ResourceExhausted));
        assert!(frame.error().retryable);
    }
    server.disk.hold_syncs(false);
    let answered: Vec<u32> = (0..4).map(|_| client.answer().id).collect();
    assert_eq!(answered, [1, 2, 3, 4]);
    client.put(b"k", b"again");
}

#[test]
fn what_waits_for_room_is_answered_also_if_its_client_has_sent_all() {
    let server = TestServer::start();
    let mut client = server.client();
    client.put(b"k", &[7; 20_000]);
    // Far more answers than are made ahead of the socket, so that most requests wait unread.
    let asked = 2_000;
    let bytes: Vec<u8> = (1..=asked).flat_map(|id| request_frame(id, &Get { key: b"k" })).collect();
    client.send(&bytes);
    client.end();
    for id in 1..=asked {
        assert_eq!(client.answer().id, id);
    }
    client.is_closed();
}

#[test]
fn a_client_that_half_closes_still_gets_its_answers() {
    let server = TestServer::start();
    let mut client = server.client();
    server.disk.hold_syncs(true);
    client.ask(1, &put(b"k", b"v"));
    client.end();
    eventually("the write waits", || server.figure("tidekeep_requests_waiting") == 1.0);
    server.disk.hold_syncs(false);
    assert_eq!(client.answer().id, 1);
    client.is_closed();
}

#[test]
fn status_tells_figures_by_name() {
    let server = TestServer::start();
    let mut client = server.client();
    client.put(b"k", b"v");
    let frame = client.call(2, &Status);
    let status: StatusReply<'_> = frame.reply::<Status>();
    assert_eq!(status.durability, "always");
    assert!(status.software.starts_with("tidekeep-server "));
    let figure = |name| status.figures.iter().find(|figure| figure.name == name).map(|f| f.value);
    assert_eq!(figure("keys"), Some(1));
    assert_eq!(figure("revision"), Some(1));
    assert_eq!(figure("connections_tcp"), Some(1));
    assert!(figure("uptime_ms").is_some());
}

#[test]
fn requests_are_counted_by_operation_and_result() {
    let server = TestServer::start();
    let mut client = server.client();
    client.put(b"k", b"v");
    client.get(b"k");
    client.get(b"k");
    client.call(1, &Get { key: b"" });
    // Figures are added at the end of a batch, which may be just after its answers have left.
    eventually("the figures", || {
        server.figure("tidekeep_requests_total{op=\"get\",result=\"ok\"}") == 2.0
            && server.figure("tidekeep_requests_total{op=\"put\",result=\"ok\"}") == 1.0
            && server.figure("tidekeep_requests_total{op=\"get\",result=\"invalid-input\"}") == 1.0
            && server.figure("tidekeep_connections{transport=\"tcp\"}") == 1.0
            && server.figure("tidekeep_batch_seconds_count") >= 3.0
    });
}

#[test]
fn a_failing_disk_tells_writers_that_the_outcome_is_unknown_and_ends_the_server() {
    let mut server = TestServer::start();
    let (mut first, mut second) = (server.client(), server.client());
    first.put(b"before", b"safe");
    let waiting = |count| server.figure("tidekeep_requests_waiting") == count;
    server.disk.hold_syncs(true);
    first.ask(5, &put(b"k", b"in the sync that is held"));
    eventually("its sync is held", || server.disk.held_syncs() > 0 && waiting(1.0));
    second.ask(6, &put(b"k", b"behind it"));
    eventually("both wait", || waiting(2.0));
    server.disk.cut_after(server.disk.calls());
    server.disk.hold_syncs(false);
    let frame = second.answer();
    assert_eq!((frame.id, frame.code()), (6, Code::Storage));
    assert_eq!(frame.error().outcome, Outcome::Unknown);
    assert!(matches!(server.wait(), Stopped::StorageFailed(_)));
}

#[test]
fn errors_keep_their_wire_form() {
    let server = TestServer::start();
    let mut client = server.client();
    let frame = client.call(1, &Get { key: b"" });
    let mut again = Vec::new();
    codec::encode(&frame.error(), &mut again);
    assert_eq!(again, frame.body);
}
