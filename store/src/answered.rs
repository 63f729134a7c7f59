//! Answers read back from their bodies, on a node that asked another one for them. What a body leaves out,
//! since its asker knows it, is taken from the request.

use alloc::boxed::Box;
use alloc::vec::Vec;

use tidekeep_protocol::codec::{self, Malformed};
use tidekeep_protocol::entry::{Entry as WireEntry, Stored};
use tidekeep_protocol::op::{
    ChildrenReply, GetReply, Projection, Request, ScanReply, TxnOp, TxnReply, TxnResult, WriteReply,
};

use crate::entry::Entry;
use crate::reply::{Got, Names, Page, Reply, TxnDone, Written};

impl Reply {
    /// The answer to `request` whose body this is; it shows something of revisions up to `shows`.
    ///
    /// # Errors
    /// [`Malformed`]: it is no body of such an answer.
    pub fn decode(request: &Request<'_>, shows: u64, body: &[u8]) -> Result<Self, Malformed> {
        let scratch = &mut Vec::new();
        Ok(match request {
            Request::Get(get) => Self::Get(got(get.key, shows, &codec::decode(body)?, scratch)),
            Request::Put(put) => Self::Put(written(put.key, &codec::decode(body)?, scratch)),
            Request::Delete(it) => Self::Delete(written(it.key, &codec::decode(body)?, scratch)),
            Request::Touch(_) => Self::Touch(Box::new(codec::decode(body)?)),
            Request::Increment(_) => Self::Increment(codec::decode(body)?),
            Request::DeleteRange(_) => Self::DeleteRange(codec::decode(body)?),
            Request::Scan(scan) => {
                let reply: ScanReply<'_> = codec::decode(body)?;
                let ScanReply { revision, count, more, .. } = reply;
                let entries = reply.entries.iter().map(|entry| listed(entry, scratch)).collect();
                let keys_only = scan.projection == Projection::Keys;
                Self::Scan(Page { revision, count, more, keys_only, entries })
            }
            Request::Children(_) => {
                let reply: ChildrenReply<'_> = codec::decode(body)?;
                let names = reply.children.iter().map(|it| (it.name.to_vec(), it.branch)).collect();
                Self::Children(Names { revision: reply.revision, more: reply.more, names })
            }
            Request::Txn(txn) => {
                let reply: TxnReply<'_> = codec::decode(body)?;
                let ops = if reply.succeeded { &txn.then } else { &txn.otherwise };
                if ops.len() != reply.results.len() {
                    return Err(Malformed);
                }
                let results = ops.iter().zip(&reply.results);
                let results = results.map(|(op, result)| done(op, result, shows, scratch));
                let results = results.collect::<Option<_>>().ok_or(Malformed)?;
                let TxnReply { revision, succeeded, .. } = reply;
                Self::Txn(TxnDone { revision, succeeded, results })
            }
            Request::LeaseGrant(_) | Request::LeaseKeepAlive(_) => {
                Self::Lease(codec::decode(body)?)
            }
            Request::LeaseRevoke(_) => Self::LeaseRevoke(codec::decode(body)?),
            Request::Leases(_) => Self::Leases(codec::decode(body)?),
            _ => return Err(Malformed),
        })
    }
}

fn stored(key: &[u8], stored: &Stored<'_>, scratch: &mut Vec<u8>) -> Entry {
    Entry::new(key, stored.value, stored.meta, scratch)
}

fn listed(entry: &WireEntry<'_>, scratch: &mut Vec<u8>) -> Entry {
    stored(entry.key, &entry.stored, scratch)
}

fn got(key: &[u8], shows: u64, reply: &GetReply<'_>, scratch: &mut Vec<u8>) -> Got {
    let entry = reply.entry.as_ref().map(|it| stored(key, it, scratch));
    Got { revision: reply.revision, entry, shows }
}

fn written(key: &[u8], reply: &WriteReply<'_>, scratch: &mut Vec<u8>) -> Written {
    let entry = reply.entry.as_ref().map(|it| stored(key, it, scratch));
    Written { revision: reply.revision, status: reply.status, entry }
}

/// What one operation of a transaction did; none if the result is another operation's.
fn done(
    op: &TxnOp<'_>,
    result: &TxnResult<'_>,
    shows: u64,
    scratch: &mut Vec<u8>,
) -> Option<Reply> {
    Some(match (op, result) {
        (TxnOp::Get(get), TxnResult::Get(it)) => Reply::Get(got(get.key, shows, it, scratch)),
        (TxnOp::Put(put), TxnResult::Put(it)) => Reply::Put(written(put.key, it, scratch)),
        (TxnOp::Delete(op), TxnResult::Delete(it)) => Reply::Delete(written(op.key, it, scratch)),
        (TxnOp::Touch(_), TxnResult::Touch(it)) => Reply::Touch(Box::new(*it)),
        (TxnOp::Increment(_), TxnResult::Increment(it)) => Reply::Increment(*it),
        (TxnOp::DeleteRange(_), TxnResult::DeleteRange(it)) => Reply::DeleteRange(*it),
        _ => return None,
    })
}
