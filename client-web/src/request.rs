//! Requests: from the page's packed bytes to the protocol's operations, handed to the core.

use tidekeep_client_core::{CallId, CallOptions, Core, Millis, WatchRequest};
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::frame::kind;
use tidekeep_protocol::op::{
    Children, Compare, Delete, DeleteRange, Get, Increment, Operation, Order, Projection, Put,
    Scan, Status, Touch, Txn, TxnOp,
};
use tidekeep_protocol::range::{KeyRange, Range};

use crate::packed::Unpacker;

pub(crate) const GET: u8 = <Get<'_> as Operation>::SPEC.kind;
pub(crate) const PUT: u8 = <Put<'_> as Operation>::SPEC.kind;
pub(crate) const DELETE: u8 = <Delete<'_> as Operation>::SPEC.kind;
pub(crate) const SCAN: u8 = <Scan<'_> as Operation>::SPEC.kind;
pub(crate) const CHILDREN: u8 = <Children<'_> as Operation>::SPEC.kind;
pub(crate) const TOUCH: u8 = <Touch<'_> as Operation>::SPEC.kind;
pub(crate) const INCREMENT: u8 = <Increment<'_> as Operation>::SPEC.kind;
pub(crate) const TXN: u8 = <Txn<'_> as Operation>::SPEC.kind;
pub(crate) const DELETE_RANGE: u8 = <DeleteRange<'_> as Operation>::SPEC.kind;
pub(crate) const STATUS: u8 = <Status as Operation>::SPEC.kind;

/// Starts the call that the request asks for.
pub(crate) fn call(
    core: &mut Core,
    now: Millis,
    mut from: Unpacker<'_>,
    options: CallOptions,
) -> Option<CallId> {
    let from = &mut from;
    Some(match from.u8()? {
        kind::PING => core.ping(now, options),
        GET => core.call(now, &get(from)?, options),
        PUT => core.call(now, &put(from)?, options),
        DELETE => core.call(now, &delete(from)?, options),
        SCAN => core.call(now, &scan(from)?, options),
        CHILDREN => core.call(now, &children(from)?, options),
        TOUCH => core.call(now, &touch(from)?, options),
        INCREMENT => core.call(now, &increment(from)?, options),
        TXN => core.call(now, &txn(from)?, options),
        DELETE_RANGE => core.call(now, &delete_range(from)?, options),
        STATUS => core.call(now, &Status, options),
        _ => return None,
    })
}

/// The watch that the request asks for.
pub(crate) fn watch(mut from: Unpacker<'_>) -> Option<WatchRequest> {
    from.u8()?;
    let Range { start, end } = range(&mut from)?;
    Some(WatchRequest {
        range: KeyRange { start: start.to_vec(), end: end.map(<[u8]>::to_vec) },
        content: from.flag()?,
        previous: from.flag()?,
        cursor: from.optional_bytes()?.map(<[u8]>::to_vec),
    })
}

fn get<'a>(from: &mut Unpacker<'a>) -> Option<Get<'a>> {
    Some(Get { key: from.bytes()? })
}

fn put<'a>(from: &mut Unpacker<'a>) -> Option<Put<'a>> {
    Some(Put {
        key: from.bytes()?,
        value: from.bytes()?,
        condition: condition(from)?,
        expiry: expiry(from)?,
        previous: from.flag()?,
    })
}

fn delete<'a>(from: &mut Unpacker<'a>) -> Option<Delete<'a>> {
    Some(Delete { key: from.bytes()?, condition: condition(from)?, previous: from.flag()? })
}

fn scan<'a>(from: &mut Unpacker<'a>) -> Option<Scan<'a>> {
    Some(Scan {
        range: range(from)?,
        limit: from.u32()?,
        bytes: 0,
        order: if from.flag()? { Order::Descending } else { Order::Ascending },
        projection: match from.u8()? {
            0 => Projection::Full,
            1 => Projection::Keys,
            2 => Projection::Count,
            _ => return None,
        },
    })
}

fn children<'a>(from: &mut Unpacker<'a>) -> Option<Children<'a>> {
    Some(Children {
        prefix: from.bytes()?,
        delimiter: from.bytes()?,
        after: from.optional_bytes()?,
        limit: from.u32()?,
    })
}

fn touch<'a>(from: &mut Unpacker<'a>) -> Option<Touch<'a>> {
    Some(Touch { key: from.bytes()?, expiry: expiry(from)?, condition: condition(from)? })
}

fn increment<'a>(from: &mut Unpacker<'a>) -> Option<Increment<'a>> {
    Some(Increment { key: from.bytes()?, by: from.number()? as i64, expiry: expiry(from)? })
}

fn delete_range<'a>(from: &mut Unpacker<'a>) -> Option<DeleteRange<'a>> {
    Some(DeleteRange { range: range(from)?, limit: from.u32()? })
}

fn txn<'a>(from: &mut Unpacker<'a>) -> Option<Txn<'a>> {
    Some(Txn {
        compares: from.list(|from| {
            Some(Compare { key: from.bytes()?, condition: condition(from)? })
        })?,
        then: from.list(txn_op)?,
        otherwise: from.list(txn_op)?,
    })
}

fn txn_op<'a>(from: &mut Unpacker<'a>) -> Option<TxnOp<'a>> {
    Some(match from.u8()? {
        GET => TxnOp::Get(get(from)?),
        PUT => TxnOp::Put(put(from)?),
        DELETE => TxnOp::Delete(delete(from)?),
        TOUCH => TxnOp::Touch(touch(from)?),
        INCREMENT => TxnOp::Increment(increment(from)?),
        DELETE_RANGE => TxnOp::DeleteRange(delete_range(from)?),
        _ => return None,
    })
}

fn range<'a>(from: &mut Unpacker<'a>) -> Option<Range<'a>> {
    Some(Range { start: from.bytes()?, end: from.optional_bytes()? })
}

fn condition<'a>(from: &mut Unpacker<'a>) -> Option<Condition<'a>> {
    Some(match from.u8()? {
        0 => Condition::Always,
        1 => Condition::Absent,
        2 => Condition::Present,
        3 => Condition::Revision(from.count()?),
        4 => Condition::Value(from.bytes()?),
        _ => return None,
    })
}

fn expiry(from: &mut Unpacker<'_>) -> Option<Expiry> {
    Some(match from.u8()? {
        0 => Expiry::Never,
        1 => Expiry::Keep,
        2 => Expiry::After(from.count()?),
        3 => Expiry::At(from.count()?),
        _ => return None,
    })
}
