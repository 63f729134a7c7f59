//! Requests that own what they say, and strategies for them. Keys are few and share prefixes, so that
//! operations meet each other.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{
    Compare, Delete, DeleteRange, Get, Increment, LeaseGrant, LeaseKeepAlive, LeaseRevoke, Put,
    Request, Touch, Txn, TxnOp,
};
use tidekeep_protocol::range::KeyRange;

#[derive(Debug, Clone)]
pub(crate) enum Must {
    Always,
    Absent,
    Present,
    Revision(u64),
    Value(Vec<u8>),
}

impl Must {
    fn condition(&self) -> Condition<'_> {
        match self {
            Self::Always => Condition::Always,
            Self::Absent => Condition::Absent,
            Self::Present => Condition::Present,
            Self::Revision(revision) => Condition::Revision(*revision),
            Self::Value(value) => Condition::Value(value),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Get(Vec<u8>),
    Put(Vec<u8>, Vec<u8>, Must, Expiry, bool),
    Delete(Vec<u8>, Must, bool),
    Touch(Vec<u8>, Must, Expiry),
    Increment(Vec<u8>, i64, Expiry),
    DeleteRange(KeyRange, u32),
}

impl Op {
    fn part(&self) -> TxnOp<'_> {
        match self {
            Self::Get(key) => TxnOp::Get(Get { key }),
            Self::Put(key, value, must, expiry, previous) => TxnOp::Put(Put {
                key,
                value,
                condition: must.condition(),
                expiry: *expiry,
                previous: *previous,
            }),
            Self::Delete(key, must, previous) => {
                TxnOp::Delete(Delete { key, condition: must.condition(), previous: *previous })
            }
            Self::Touch(key, must, expiry) => {
                TxnOp::Touch(Touch { key, expiry: *expiry, condition: must.condition() })
            }
            Self::Increment(key, by, expiry) => {
                TxnOp::Increment(Increment { key, by: *by, expiry: *expiry })
            }
            Self::DeleteRange(range, limit) => {
                TxnOp::DeleteRange(DeleteRange { range: range.as_range(), limit: *limit })
            }
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Write {
    Op(Op),
    Txn { compares: Vec<(Vec<u8>, Must)>, then: Vec<Op>, otherwise: Vec<Op> },
    Grant(u64),
    KeepAlive(u64),
    Revoke(u64),
}

impl Write {
    pub(crate) fn request(&self) -> Request<'_> {
        match self {
            Self::Op(op) => match op.part() {
                TxnOp::Get(get) => Request::Get(get),
                TxnOp::Put(put) => Request::Put(put),
                TxnOp::Delete(delete) => Request::Delete(delete),
                TxnOp::Touch(touch) => Request::Touch(touch),
                TxnOp::Increment(increment) => Request::Increment(increment),
                TxnOp::DeleteRange(range) => Request::DeleteRange(range),
            },
            Self::Grant(ttl_ms) => Request::LeaseGrant(LeaseGrant { ttl_ms: *ttl_ms }),
            Self::KeepAlive(lease) => Request::LeaseKeepAlive(LeaseKeepAlive { lease: *lease }),
            Self::Revoke(lease) => Request::LeaseRevoke(LeaseRevoke { lease: *lease }),
            Self::Txn { compares, then, otherwise } => Request::Txn(Txn {
                compares: compares
                    .iter()
                    .map(|(key, must)| Compare { key, condition: must.condition() })
                    .collect(),
                then: then.iter().map(Op::part).collect(),
                otherwise: otherwise.iter().map(Op::part).collect(),
            }),
        }
    }

    /// The request's frame kind and body.
    pub(crate) fn bytes(&self) -> (u8, Vec<u8>) {
        let mut body = Vec::new();
        let request = self.request();
        request.encode(&mut body);
        (request.spec().kind, body)
    }
}

pub(crate) fn key() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(&b"a"[..]),
        3 => Just(&b"b"[..]),
        3 => Just(&b"/"[..]),
        1 => Just(&b"::"[..]),
        1 => Just(&b":"[..]),
        1 => Just(&b"\xff"[..]),
        1 => Just(&b"\0"[..]),
    ];
    vec(piece, 1..5).prop_map(|pieces| pieces.concat())
}

pub(crate) fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => vec(any::<u8>(), 0..12),
        1 => Just(b"same".to_vec()),
        2 => (-3_i64..9).prop_map(|number| number.to_string().into_bytes()),
        1 => Just(b"+5".to_vec()),
        1 => Just(i64::MAX.to_string().into_bytes()),
    ]
}

pub(crate) fn must() -> impl Strategy<Value = Must> {
    prop_oneof![
        10 => Just(Must::Always),
        2 => Just(Must::Absent),
        2 => Just(Must::Present),
        2 => (0_u64..20).prop_map(Must::Revision),
        1 => value().prop_map(Must::Value),
    ]
}

/// Most often a revision of a short run, which may have granted one.
fn lease() -> impl Strategy<Value = u64> {
    prop_oneof![16 => 1_u64..6, 4 => 1_u64..40, 1 => Just(u64::MAX)]
}

/// Ends around the stamps that the tests count through, and far away.
pub(crate) fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        4 => Just(Expiry::Never),
        3 => Just(Expiry::Keep),
        4 => (0_u64..40).prop_map(Expiry::After),
        2 => (0_u64..200).prop_map(Expiry::At),
        4 => lease().prop_map(Expiry::Lease),
        1 => Just(Expiry::After(u64::MAX)),
        1 => Just(Expiry::At(u64::MAX)),
    ]
}

pub(crate) fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        1 => Just(KeyRange::all()),
        2 => key().prop_map(|prefix| KeyRange::prefix(&prefix)),
        1 => key().prop_map(|key| KeyRange::key(&key)),
        3 => (key(), option::of(key())).prop_map(|(start, end)| KeyRange { start, end }),
    ]
}

/// Boxed: strategies that hold each other by value outgrow a test's stack.
pub(crate) fn op() -> BoxedStrategy<Op> {
    prop_oneof![
        1 => key().prop_map(Op::Get),
        8 => (key(), value(), must(), expiry(), any::<bool>())
            .prop_map(|(key, value, must, expiry, previous)| {
                Op::Put(key, value, must, expiry, previous)
            }),
        3 => (key(), must(), any::<bool>())
            .prop_map(|(key, must, previous)| Op::Delete(key, must, previous)),
        3 => (key(), must(), expiry()).prop_map(|(key, must, expiry)| Op::Touch(key, must, expiry)),
        3 => (key(), prop_oneof![-5_i64..6, any::<i64>()], expiry())
            .prop_map(|(key, by, expiry)| Op::Increment(key, by, expiry)),
        1 => (range(), 0_u32..4).prop_map(|(range, limit)| Op::DeleteRange(range, limit)),
    ]
    .boxed()
}

pub(crate) fn write() -> BoxedStrategy<Write> {
    let single = op().prop_filter("a get alone is no write", |op| !matches!(op, Op::Get(_)));
    let compares = vec((key(), must()), 0..3);
    prop_oneof![
        6 => single.prop_map(Write::Op),
        4 => (1_u64..200).prop_map(Write::Grant),
        1 => lease().prop_map(Write::KeepAlive),
        1 => lease().prop_map(Write::Revoke),
        2 => (compares, vec(op(), 0..6), vec(op(), 0..4)).prop_map(
            |(compares, then, otherwise)| Write::Txn { compares, then, otherwise }
        ),
    ]
    .boxed()
}
