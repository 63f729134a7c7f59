//! Bodies of every kind: round trips, cuts, mutations, and the memory that reading them takes.

use core::fmt::Debug;

use proptest::prelude::*;
use proptest::sample::Index;
use serde::{Deserialize, Serialize};
use tidekeep_protocol::codec;
use tidekeep_protocol::cursor::Cursor;
use tidekeep_protocol::error::ErrorBody;
use tidekeep_protocol::hello::{GoingAway, Hello, Welcome};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::txn::LIST_MAX;
use tidekeep_protocol::op::{
    ChildrenReply, DeleteRangeReply, GetReply, IncrementReply, LeaseReply, LeaseRevokeReply,
    LeasesReply, OPERATIONS, Request, ScanReply, SessionsReply, StatusReply, TouchReply, Txn,
    TxnReply, WatchMessage, WriteReply,
};

use crate::content;

/// Memory for each byte of a body: the smallest item is two or three bytes on the wire, the largest
/// 160 in memory (a watch's event), and a list may claim an item for each byte that is left.
const MEMORY_PER_BYTE: u64 = 160;

/// Whatever a client sends, reading it takes no more memory than this: the lists of a transaction,
/// each as long as may be.
const MEMORY_OF_A_REQUEST: u64 = 4 << 20;

fn encoded<T: Serialize>(value: &T) -> &'static [u8] {
    let mut body = Vec::new();
    codec::encode(value, &mut body);
    body.leak()
}

/// Reads back what was written, and refuses it cut at any byte.
fn round_trip<T>(value: &T) -> Result<(), TestCaseError>
where
    T: Serialize + Deserialize<'static> + PartialEq + Debug,
{
    let body = encoded(value);
    let read = codec::decode::<T>(body);
    prop_assert_eq!(read.as_ref(), Ok(value));
    // Long bodies are cut at fewer places: what is between lies within one value.
    for end in (0..body.len()).step_by(1 + body.len() / 512) {
        prop_assert!(codec::decode::<T>(&body[..end]).is_err(), "cut at {}", end);
    }
    Ok(())
}

macro_rules! round_trips {
    ($($name:ident)+) => {
        proptest! {
            $(#[test]
            fn $name(message in content::$name()) {
                round_trip(&message)?;
            })+
        }
    };
}

round_trips! {
    hello welcome going_away error get_reply write_reply scan_reply children_reply touch_reply
    increment_reply txn_reply delete_range_reply watch_message status_reply
    lease_reply lease_revoke_reply leases_reply sessions_reply
}

proptest! {
    #[test]
    fn request(request in content::request()) {
        let mut body = Vec::new();
        request.encode(&mut body);
        let kind = request.spec().kind;
        prop_assert_eq!(Request::decode(kind, &body), Some(Ok(request)));
        for end in (0..body.len()).step_by(1 + body.len() / 512) {
            let cut = Request::decode(kind, &body[..end]).expect("a kind of the table");
            prop_assert!(cut.is_err(), "cut at {}", end);
        }
    }

    #[test]
    fn any_request_is_held_against_any_limits(request in content::request(), limit: u32) {
        let limits = Limits {
            key_bytes: limit,
            value_bytes: limit,
            scan_entries: limit,
            txn_operations: limit,
            ..Limits::DEFAULT
        };
        let refused = request.check(&limits).is_err();
        // Whatever passes under small limits passes under large ones too.
        let unlimited = Limits {
            key_bytes: u32::MAX,
            value_bytes: u32::MAX,
            scan_entries: u32::MAX,
            txn_operations: u32::MAX,
            ..Limits::DEFAULT
        };
        prop_assert!(refused || request.check(&unlimited).is_ok());
    }

    #[test]
    fn arbitrary_bytes_take_no_more_memory_than_they_deserve(
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        read_as_everything(&body)?;
    }

    /// Lists of the smallest items are where a byte buys the most memory.
    #[test]
    fn small_items_take_no_more_memory_than_they_deserve(
        head in prop::collection::vec(0..4_u8, 0..4),
        count in 0..200_u8,
        fill in prop::collection::vec(0..3_u8, 0..600),
    ) {
        let mut body = head;
        body.extend([count | 0x80, 1]);
        body.extend(fill);
        read_as_everything(&body)?;
    }

    #[test]
    fn mutated_bodies_are_read_or_refused(
        request in content::request(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let mut body = Vec::new();
        request.encode(&mut body);
        mutate(&mut body, &changes);
        read_as_everything(&body)?;
    }

    #[test]
    fn mutated_replies_are_read_or_refused(
        reply in content::watch_message(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let mut body = encoded(&reply).to_vec();
        mutate(&mut body, &changes);
        read_as_everything(&body)?;
    }

    #[test]
    fn cursor(incarnation: u64, revisions in prop::collection::vec(any::<u64>(), 1..300)) {
        let cursor = Cursor { incarnation, revisions };
        let read = Cursor::from_bytes(&cursor.to_bytes());
        match cursor.revisions.len() {
            ..=256 => prop_assert_eq!(read, Ok(cursor)),
            _ => prop_assert!(read.is_err()),
        }
    }
}

/// Overwrites, inserts and removes bytes.
fn mutate(body: &mut Vec<u8>, changes: &[(Index, u8, u8)]) {
    for (place, byte, change) in changes {
        let place = place.index(body.len() + 1);
        match change {
            0 if place < body.len() => body[place] = *byte,
            1 if place < body.len() => drop(body.remove(place)),
            _ => body.insert(place, *byte),
        }
    }
}

/// Reads a body as every kind that there is.
fn read_as_everything(body: &[u8]) -> Result<(), TestCaseError> {
    for spec in OPERATIONS {
        let read = || Request::decode(spec.kind, body).expect("a kind of the table").ok();
        if let Some(request) = frugal(body, spec.name, read)? {
            let mut again = Vec::new();
            request.encode(&mut again);
            prop_assert!(again.len() <= body.len(), "{}: written longer than read", spec.name);
        }
    }
    frugal(body, "cursor", || Cursor::from_bytes(body).ok())?;
    read::<Hello<'_>>(body, "hello")?;
    read::<Welcome<'_>>(body, "welcome")?;
    read::<GoingAway>(body, "going away")?;
    read::<ErrorBody<'_>>(body, "error")?;
    read::<GetReply<'_>>(body, "get reply")?;
    read::<WriteReply<'_>>(body, "write reply")?;
    read::<ScanReply<'_>>(body, "scan reply")?;
    read::<ChildrenReply<'_>>(body, "children reply")?;
    read::<TouchReply>(body, "touch reply")?;
    read::<IncrementReply>(body, "increment reply")?;
    read::<TxnReply<'_>>(body, "txn reply")?;
    read::<DeleteRangeReply>(body, "delete_range reply")?;
    read::<WatchMessage<'_>>(body, "watch message")?;
    read::<StatusReply<'_>>(body, "status reply")?;
    read::<LeaseReply>(body, "lease reply")?;
    read::<LeaseRevokeReply>(body, "lease_revoke reply")?;
    read::<LeasesReply>(body, "leases reply")?;
    read::<SessionsReply<'_>>(body, "sessions reply")
}

/// What is accepted is written in its shortest form, which is no longer than what was read.
fn read<'a, T: Serialize + Deserialize<'a>>(
    body: &'a [u8],
    name: &str,
) -> Result<(), TestCaseError> {
    if let Some(value) = frugal(body, name, || codec::decode::<T>(body).ok())? {
        let mut again = Vec::new();
        codec::encode(&value, &mut again);
        prop_assert!(again.len() <= body.len(), "{name}: written longer than read");
    }
    Ok(())
}

fn frugal<T>(
    body: &[u8],
    name: &str,
    read: impl FnOnce() -> Option<T>,
) -> Result<Option<T>, TestCaseError> {
    let mut value = None;
    let taken = allocation_counter::measure(|| value = read()).bytes_max;
    let bound = MEMORY_PER_BYTE * body.len() as u64;
    prop_assert!(taken <= bound, "{name}: {taken} bytes of memory for {} read", body.len());
    Ok(value)
}

#[test]
fn claims_of_four_billion_items_take_no_memory() {
    let claim = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
    for head in 0..4 {
        let mut body = vec![0; head];
        body.extend(claim);
        body.extend([0; 5]);
        read_as_everything(&body).expect("within bounds");
    }
}

#[test]
fn the_largest_transaction_takes_bounded_memory() {
    let mut body = Vec::new();
    for _ in 0..3 {
        codec::encode(&(LIST_MAX as u64), &mut body);
        body.extend([0, 0].repeat(LIST_MAX));
    }
    let taken = allocation_counter::measure(|| {
        let txn: Txn<'_> = codec::decode(&body).expect("as long as may be");
        assert_eq!(txn.then.len() + txn.otherwise.len() + txn.compares.len(), 3 * LIST_MAX);
    });
    assert!(taken.bytes_max <= MEMORY_OF_A_REQUEST, "{} bytes", taken.bytes_max);

    let mut longer = Vec::new();
    codec::encode(&0_u64, &mut longer);
    codec::encode(&2_000_000_u64, &mut longer);
    longer.extend([0, 0].repeat(2_000_000));
    codec::encode(&0_u64, &mut longer);
    let taken = allocation_counter::measure(|| {
        assert!(codec::decode::<Txn<'_>>(&longer).is_err(), "no server takes so many");
    });
    assert_eq!(taken.bytes_max, 0, "refused before any memory is taken");
}
