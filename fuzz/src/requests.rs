//! Requests of every kind, and replies: the two ends of each body.

use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::Request;

use crate::replies;

/// The most memory that a request takes for each byte of its body: a transaction's smallest part
/// has two bytes.
const REQUEST_FACTOR: usize = 400;
/// What a list in a reply may reserve before its items are read, lists inside of it included.
const REPLY_BYTES: usize = 8 << 20;

/// The first byte is the frame's kind, the rest the body.
pub fn run(data: &[u8]) {
    let Some((&kind, body)) = data.split_first() else { return };
    if kind & tidekeep_protocol::frame::kind::REPLY != 0 {
        let limit = REPLY_BYTES + body.len() * REQUEST_FACTOR;
        crate::within(limit, || replies::reply(replies::answered(kind), body));
        return;
    }
    let limit = 1024 + body.len() * REQUEST_FACTOR;
    let Some(Ok(request)) = crate::within(limit, || Request::decode(kind, body)) else { return };
    let mut once = Vec::new();
    request.encode(&mut once);
    assert!(once.len() <= body.len());
    assert_eq!(Request::decode(kind, &once).as_ref(), Some(&Ok(request.clone())));
    assert_eq!(request.spec().kind, kind);
    if request.check(&Limits::DEFAULT).is_ok() {
        assert!(request.check(&Limits { txn_operations: u32::MAX, ..Limits::DEFAULT }).is_ok());
    }
}
