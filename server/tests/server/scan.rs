//! Long replies: in chunks, whole again when they are joined, and never in the way of others.

use tidekeep_protocol::error::{Code, Outcome};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::{Get, Operation, Order, Projection, Scan, ScanReply, Txn, TxnOp};
use tidekeep_protocol::range::Range;

use crate::harness::{Client, OwnedFrame, TestServer, plain_frame, put, request_frame};

const VALUE_BYTES: usize = 10_000;

/// Sets `count` keys with values of 10 kB.
pub fn fill(client: &mut Client, count: usize) {
    let value = vec![b'v'; VALUE_BYTES];
    for n in 0..count {
        let key = format!("big/{n:05}");
        client.ask(n as u32 + 1, &put(key.as_bytes(), &value));
    }
    for _ in 0..count {
        client.answer();
    }
}

pub fn scan_all() -> Scan<'static> {
    let range = Range { start: b"big/", end: Some(b"big0") };
    Scan { range, limit: 0, bytes: 0, order: Order::Ascending, projection: Projection::Full }
}

#[test]
fn a_long_reply_comes_in_chunks_that_join_to_it() {
    let server = TestServer::start();
    let mut client = server.client();
    fill(&mut client, 100);
    client.ask(7, &scan_all());
    let (mut frames, mut more) = (Vec::new(), true);
    while more {
        let frame = client.answer();
        assert!(frame.body.len() <= 64 << 10, "a chunk is {} bytes long", frame.body.len());
        assert_eq!((frame.id, frame.kind), (7, Scan::SPEC.kind | kind::REPLY));
        more = frame.more;
        frames.push(frame);
    }
    assert!(frames.len() > 10, "{} chunks", frames.len());
    let body = frames.into_iter().flat_map(|frame| frame.body).collect();
    let joined = OwnedFrame {
        kind: Scan::SPEC.kind | kind::REPLY,
        more: false,
        id: 7,
        extensions: Vec::new(),
        body,
    };
    let reply: ScanReply<'_> = joined.reply::<Scan<'_>>();
    assert_eq!((reply.count, reply.more), (100, false));
    for (n, entry) in reply.entries.iter().enumerate() {
        assert_eq!(entry.key, format!("big/{n:05}").as_bytes());
        assert_eq!(entry.stored.value.len(), VALUE_BYTES);
    }
}

#[test]
fn short_answers_and_pongs_pass_long_ones() {
    let server = TestServer::start();
    let mut client = server.client();
    fill(&mut client, 500);
    let mut bytes = Vec::new();
    for id in 1..=8 {
        bytes.extend(request_frame(id, &scan_all()));
    }
    bytes.extend(request_frame(20, &Get { key: b"big/00001" }));
    bytes.extend(plain_frame(kind::PING, 0, 21, b""));
    client.send(&bytes);
    let (mut passed, mut ended, mut chunks_after) = (Vec::new(), 0, 0);
    while ended < 8 {
        let frame = client.answer();
        match frame.id {
            20 | 21 => passed.push(frame.id),
            _ => {
                ended += usize::from(!frame.more);
                chunks_after += usize::from(passed.len() == 2);
            }
        }
    }
    passed.sort_unstable();
    assert_eq!(passed, [20, 21]);
    assert!(chunks_after > 100, "only {chunks_after} chunks came after the short answers");
}

#[test]
fn a_reply_over_the_limit_is_an_error_that_tells_the_outcome() {
    let server = TestServer::with(|config| config.limits.reply_bytes = 100_000);
    let mut client = server.client();
    fill(&mut client, 20);
    let keys: Vec<String> = (0..20).map(|n| format!("big/{n:05}")).collect();
    let gets = keys.iter().map(|key| TxnOp::Get(Get { key: key.as_bytes() }));
    let mut then: Vec<_> = gets.collect();
    then.push(TxnOp::Put(put(b"done", b"1")));
    let frame = client.call(1, &Txn { then, ..Txn::default() });
    assert_eq!(frame.code(), Code::TooLarge);
    assert_eq!(frame.error().outcome, Outcome::Applied);
    assert_eq!(client.get(b"done").as_deref(), Some(&b"1"[..]));

    // Pages are cut to what fits a reply, so that a scan always gets on.
    let frame = client.call(2, &scan_all());
    let page: ScanReply<'_> = frame.reply::<Scan<'_>>();
    assert!(page.more && page.count > 0 && frame.body.len() <= 100_000);
}
