//! Numbered writes over real sockets: a retry over another connection gets the first answer, and a
//! session has one connection at a time.

use tidekeep_protocol::codec;
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::error::{Code, Outcome};
use tidekeep_protocol::frame::{self, ext, flag, kind};
use tidekeep_protocol::hello::{Hello, PREFACE, Welcome};
use tidekeep_protocol::op::{Increment, Operation};
use tidekeep_protocol::session::{Ask, Number, SessionId};

use crate::harness::{Client, OwnedFrame, TestServer, plain_frame};

/// Connects with a session extension; what the welcome bears, and the store's incarnation.
pub fn connect(server: &TestServer, ask: &[u8]) -> (Client, Option<SessionId>, u64) {
    let mut client = Client::raw(server.address);
    let hello = Hello { version_min: 1, version_max: 1, features: 0, software: "retries" };
    let mut bytes = PREFACE.to_vec();
    frame::write(&mut bytes, kind::HELLO, 0, 0, &[(ext::SESSION, ask)], |out| {
        codec::encode(&hello, out);
    });
    client.send(&bytes);
    let welcome = client.frame();
    assert_eq!(welcome.kind, kind::WELCOME);
    let body: Welcome<'_> = codec::decode(&welcome.body).expect("a welcome");
    let session = welcome.extensions.iter().find(|(tag, _)| *tag == ext::SESSION);
    let session = session.map(|(_, data)| SessionId(data[..].try_into().expect("16 bytes")));
    (client, session, body.incarnation)
}

fn resume(server: &TestServer, session: SessionId, incarnation: u64) -> Client {
    let (client, taken, _) = connect(server, &Ask::resume_bytes(session, incarnation));
    assert_eq!(taken, Some(session));
    client
}

/// An increment of `n` under a number.
pub fn add(id: u32, sequence: u64, oldest: u64, flags: u8) -> Vec<u8> {
    let request = Increment { key: b"n", by: 1, expiry: Expiry::Keep };
    let number = Number { sequence, oldest }.to_bytes();
    let mut bytes = Vec::new();
    frame::write(&mut bytes, Increment::SPEC.kind, flags, id, &[(ext::NUMBER, &number)], |out| {
        codec::encode(&request, out);
    });
    bytes
}

fn value(frame: &OwnedFrame) -> i64 {
    frame.reply::<Increment<'static>>().value
}

#[test]
fn a_retry_over_another_connection_gets_the_first_answer() {
    let server = TestServer::start();
    let (mut client, session, incarnation) = connect(&server, b"");
    let session = session.expect("a session was asked for");
    client.send(&add(1, 1, 1, 0));
    let first = client.answer();
    assert_eq!(value(&first), 1);

    let mut next = resume(&server, session, incarnation);
    next.send(&add(9, 1, 1, flag::RETRY));
    let second = next.answer();
    assert_eq!((second.id, &second.body), (9, &first.body));
    next.send(&add(10, 2, 2, 0));
    assert_eq!(value(&next.answer()), 2);

    next.send(&add(11, 1, 1, flag::RETRY));
    let late = next.answer();
    assert_eq!((late.code(), late.error().outcome), (Code::OutcomeUnknown, Outcome::Unknown));
    assert_eq!(next.get(b"n").as_deref(), Some(&b"2"[..]));
}

#[test]
fn a_session_has_one_connection_at_a_time() {
    let server = TestServer::start();
    let (mut first, session, incarnation) = connect(&server, b"");
    let session = session.expect("a session was asked for");
    let mut second = resume(&server, session, incarnation);
    first.ends_with(Code::Protocol);
    second.send(&add(1, 1, 1, 0));
    assert_eq!(value(&second.answer()), 1);
    second.end();
    let mut third = resume(&server, session, incarnation);
    third.send(&add(1, 2, 2, 0));
    assert_eq!(value(&third.answer()), 2);
}

#[test]
fn a_session_is_given_to_who_asks_and_can_be_known() {
    let server = TestServer::start();
    let (_, session, incarnation) = connect(&server, b"");
    let session = session.expect("a session was asked for");
    let (_, other, _) = connect(&server, b"");
    assert_ne!(other, Some(session));
    let (_, another_history, _) = connect(&server, &Ask::resume_bytes(session, incarnation + 1));
    assert!(another_history.is_some_and(|given| given != session));
    let tomorrow = SessionId::new(session.created_ms() + 48 * 3600 * 1000, 1);
    let (_, given, _) = connect(&server, &Ask::resume_bytes(tomorrow, incarnation));
    assert!(given.is_some_and(|given| given != tomorrow), "it was not made by this store");

    let mut unasked = server.client();
    unasked.send(&add(1, 1, 1, 0));
    assert_eq!(unasked.answer().code(), Code::InvalidInput);
    unasked.is_well();
}

#[test]
fn what_is_no_session_or_number_is_refused() {
    let server = TestServer::start();
    let mut client = Client::raw(server.address);
    client.send(&PREFACE);
    let mut bytes = Vec::new();
    let hello = Hello { version_min: 1, version_max: 1, features: 0, software: "" };
    frame::write(&mut bytes, kind::HELLO, 0, 0, &[(ext::SESSION, b"what?")], |out| {
        codec::encode(&hello, out);
    });
    client.send(&bytes);
    client.ends_with(Code::Protocol);

    let (mut client, ..) = connect(&server, b"");
    for (id, number) in (1..).zip([&b""[..], &[0; 16], &[1; 15]]) {
        let mut bytes = Vec::new();
        let body = plain_frame(Increment::SPEC.kind, 0, id, b"\x01n\x02\x01");
        frame::write(&mut bytes, body[4], 0, id, &[(ext::NUMBER, number)], |out| {
            out.extend_from_slice(&body[12..]);
        });
        client.send(&bytes);
        assert_eq!(client.answer().code(), Code::InvalidInput);
    }
    client.is_well();
}
