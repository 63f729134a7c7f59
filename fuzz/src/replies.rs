//! Bodies of every kind: what decodes, encodes and decodes to the same value.

use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::{
    Children, Delete, DeleteRange, Get, Increment, Operation, Put, Scan, Status, Touch, Txn,
    WatchHead, WatchMessage, spec,
};

/// Decodes a body; what decodes must be what its own bytes decode to again. Numbers may come in
/// more bytes than they need, so it is the second round that gives the same bytes.
#[macro_export]
macro_rules! same {
    ($type:ty, $body:expr) => {{
        let body: &[u8] = $body;
        let value = tidekeep_protocol::codec::decode::<$type>(body).ok();
        if let Some(value) = &value {
            let (mut once, mut twice) = (Vec::new(), Vec::new());
            tidekeep_protocol::codec::encode(value, &mut once);
            assert!(once.len() <= body.len());
            let again = tidekeep_protocol::codec::decode::<$type>(&once);
            tidekeep_protocol::codec::encode(&again.expect("it decoded before"), &mut twice);
            assert_eq!(once, twice);
        }
        value
    }};
}

/// Decodes the reply of an operation, as a client does; none when it does not decode.
pub fn reply(operation: u8, body: &[u8]) -> Option<()> {
    fn of<O: Operation>(body: &[u8]) -> Option<()> {
        same!(O::Reply<'_>, body).map(drop)
    }
    match spec(operation)?.name {
        "get" => of::<Get<'_>>(body),
        "put" => of::<Put<'_>>(body),
        "delete" => of::<Delete<'_>>(body),
        "scan" => of::<Scan<'_>>(body),
        "children" => of::<Children<'_>>(body),
        "touch" => of::<Touch<'_>>(body),
        "increment" => of::<Increment<'_>>(body),
        "txn" => of::<Txn<'_>>(body),
        "delete_range" => of::<DeleteRange<'_>>(body),
        "watch" => watch(body),
        "status" => of::<Status>(body),
        // An operation newer than this list is looked at where it is made.
        _ => Some(()),
    }
}

fn watch(body: &[u8]) -> Option<()> {
    let head = WatchHead::decode(body);
    let message = same!(WatchMessage<'_>, body)?;
    let agree = match (&message, head.ok()?) {
        (WatchMessage::Content(_), WatchHead::Content) => true,
        (
            WatchMessage::CaughtUp { revision, cursor },
            WatchHead::CaughtUp { revision: head, cursor: at },
        )
        | (
            WatchMessage::Events { revision, cursor, .. },
            WatchHead::Events { revision: head, cursor: at },
        )
        | (
            WatchMessage::Bookmark { revision, cursor },
            WatchHead::Bookmark { revision: head, cursor: at },
        ) => (*revision, *cursor) == (head, at),
        _ => false,
    };
    assert!(agree, "{message:?}");
    Some(())
}

/// The operation that a reply's kind answers.
pub fn answered(reply: u8) -> u8 {
    reply & !kind::REPLY
}
