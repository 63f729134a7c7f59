//! Answers. They hold entries, not bytes: an answer waits for the disk without a copy, and is
//! written straight into the connection's buffer when it may be shown.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tidekeep_protocol::codec;
use tidekeep_protocol::op::{
    self, Child, ChildrenReply, DeleteRangeReply, GetReply, IncrementReply, LeaseReply,
    LeaseRevokeReply, LeasesReply, Operation, ScanReply, TouchReply, TxnReply, TxnResult,
    WriteReply, WriteStatus,
};

use crate::entry::Entry;
use crate::step::Lock;

/// The answer to a request that read or wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Of a get.
    Get(Got),
    /// Of a put.
    Put(Written),
    /// Of a delete.
    Delete(Written),
    /// Of a touch.
    Touch(Box<TouchReply>),
    /// Of an increment.
    Increment(IncrementReply),
    /// Of a range delete.
    DeleteRange(DeleteRangeReply),
    /// Of a scan.
    Scan(Page),
    /// Of a listing of children.
    Children(Names),
    /// Of a transaction.
    Txn(TxnDone),
    /// Of a grant or a keep-alive.
    Lease(LeaseReply),
    /// Of a revocation.
    LeaseRevoke(LeaseRevokeReply),
    /// Of a listing of leases.
    Leases(LeasesReply),
    /// Of a request that a transaction over groups is in the way of: it was not run, and is asked again.
    /// Nodes keep it among themselves.
    Locked(Box<Lock>),
    /// Of a step, or of any of them as it was given once before and kept in a snapshot.
    Encoded(Encoded),
}

/// An answer's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The revision that it shows something of.
    pub shows: u64,
    /// What was asked for, as [`Reply::kind`] says.
    pub kind: u8,
    /// The reply's body.
    pub body: Arc<[u8]>,
}

impl Encoded {
    /// The bytes of `reply`, to what is asked for by `kind`.
    pub(crate) fn of(reply: &Reply, kind: u8) -> Self {
        let mut body = Vec::new();
        reply.encode(&mut body);
        Self { shows: reply.shows(), kind, body: body.into() }
    }
}

/// What a get found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    /// The group's revision at which it was read.
    pub revision: u64,
    /// The entry, if there is one.
    pub entry: Option<Entry>,
    /// The newest revision that the answer shows something of, absence included.
    pub shows: u64,
}

/// What a get found, lent by the shard that keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// The group's revision at which it was read.
    pub revision: u64,
    /// The entry, if there is one.
    pub entry: Option<&'a Entry>,
    /// The newest revision that the answer shows something of, absence included.
    pub shows: u64,
}

impl Found<'_> {
    /// The same, to be kept.
    pub fn keep(&self) -> Got {
        Got { revision: self.revision, entry: self.entry.cloned(), shows: self.shows }
    }

    /// Appends the reply's body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let entry = self.entry.map(Entry::stored);
        GetReply { revision: self.revision, entry }.encode(out);
    }

    /// At most how long the body is, in bytes, without writing it.
    pub fn body_bytes(&self) -> usize {
        entry_bytes(self.entry)
    }
}

/// What a put or a delete did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The write's revision, or the group's at which it was decided.
    pub revision: u64,
    /// Whether it applied.
    pub status: WriteStatus,
    /// The entry before, if asked for, or the one in the way.
    pub entry: Option<Entry>,
}

/// A page of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The group's revision at which it was read.
    pub revision: u64,
    /// Entries in the page, or in the range when only counted.
    pub count: u64,
    /// Whether the range goes on.
    pub more: bool,
    /// Whether values are left out.
    pub keys_only: bool,
    /// The entries.
    pub entries: Vec<Entry>,
}

/// A page of names below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The group's revision at which it was read.
    pub revision: u64,
    /// Whether there are more names.
    pub more: bool,
    /// Each name, and whether keys lie below it.
    pub names: Vec<(Vec<u8>, bool)>,
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnDone {
    /// The transaction's revision, or the group's if nothing changed.
    pub revision: u64,
    /// Whether the comparisons held.
    pub succeeded: bool,
    /// One reply for each operation that ran: get, put, delete, touch, increment or range delete.
    pub results: Vec<Reply>,
}

impl Reply {
    /// Appends the reply's body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Get(got) => codec::encode(&got.to_wire(), out),
            Self::Put(written) | Self::Delete(written) => written.to_wire().encode(out),
            Self::Touch(reply) => codec::encode(&**reply, out),
            Self::Increment(reply) => codec::encode(reply, out),
            Self::DeleteRange(reply) => codec::encode(reply, out),
            Self::Scan(page) => codec::encode(&page.to_wire(), out),
            Self::Children(names) => codec::encode(&names.to_wire(), out),
            Self::Txn(done) => codec::encode(&done.to_wire(), out),
            Self::Lease(reply) => codec::encode(reply, out),
            Self::LeaseRevoke(reply) => codec::encode(reply, out),
            Self::Leases(reply) => codec::encode(reply, out),
            Self::Locked(lock) => codec::encode(&**lock, out),
            Self::Encoded(encoded) => out.extend_from_slice(&encoded.body),
        }
    }

    /// At most how long the body is, in bytes, without writing it.
    pub fn body_bytes(&self) -> usize {
        match self {
            Self::Get(got) => entry_bytes(got.entry.as_ref()),
            Self::Put(written) | Self::Delete(written) => entry_bytes(written.entry.as_ref()),
            Self::Touch(_)
            | Self::Increment(_)
            | Self::DeleteRange(_)
            | Self::Lease(_)
            | Self::Locked(_)
            | Self::LeaseRevoke(_) => SMALL_BYTES,
            Self::Leases(reply) => SMALL_BYTES + reply.leases.len() * LEASE_BYTES,
            Self::Scan(page) => {
                let listed = |entry: &Entry| match page.keys_only {
                    true => LISTED_BYTES + entry.key().len(),
                    false => LISTED_BYTES + entry.key().len() + entry.value().len(),
                };
                SMALL_BYTES + page.entries.iter().map(listed).sum::<usize>()
            }
            Self::Children(names) => {
                SMALL_BYTES + names.names.iter().map(|(name, _)| name.len() + 6).sum::<usize>()
            }
            Self::Txn(done) => {
                SMALL_BYTES + done.results.iter().map(Reply::body_bytes).sum::<usize>()
            }
            Self::Encoded(encoded) => encoded.body.len(),
        }
    }

    /// What the answer to a write counts for in memory beside itself, in bytes. Sessions are forgotten
    /// by this count, so it is part of the log's meaning and stays what it is however entries are kept.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::Put(Written { entry, .. })
            | Self::Delete(Written { entry, .. })
            | Self::Get(Got { entry, .. }) => entry
                .as_ref()
                .map_or(0, |entry| (COUNTED_BYTES + entry.packed_len()).next_multiple_of(16)),
            Self::Touch(_)
            | Self::Increment(_)
            | Self::DeleteRange(_)
            | Self::Lease(_)
            | Self::Locked(_)
            | Self::LeaseRevoke(_) => 0,
            Self::Txn(done) => {
                let held = |reply: &Reply| size_of::<Reply>() + reply.held_bytes();
                done.results.iter().map(held).sum()
            }
            Self::Encoded(encoded) => encoded.body.len(),
            Self::Scan(_) | Self::Children(_) | Self::Leases(_) => self.body_bytes(),
        }
    }

    /// The kind of the request that it answers; 0 where several have such an answer, or it is not known.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Get(_) => op::Get::SPEC.kind,
            Self::Put(_) => op::Put::SPEC.kind,
            Self::Delete(_) => op::Delete::SPEC.kind,
            Self::Touch(_) => op::Touch::SPEC.kind,
            Self::Increment(_) => op::Increment::SPEC.kind,
            Self::DeleteRange(_) => op::DeleteRange::SPEC.kind,
            Self::Scan(_) => op::Scan::SPEC.kind,
            Self::Children(_) => op::Children::SPEC.kind,
            Self::Txn(_) => op::Txn::SPEC.kind,
            Self::LeaseRevoke(_) => op::LeaseRevoke::SPEC.kind,
            Self::Lease(_) | Self::Leases(_) | Self::Locked(_) => 0,
            Self::Encoded(encoded) => encoded.kind,
        }
    }

    /// The revision that this reply shows something of: it must be safe before the reply is.
    pub fn shows(&self) -> u64 {
        match self {
            Self::Get(got) => got.shows,
            Self::Scan(page) => page.revision,
            Self::Children(names) => names.revision,
            Self::Put(written) | Self::Delete(written) => written.revision,
            Self::Touch(reply) => reply.revision,
            Self::Increment(reply) => reply.revision,
            Self::DeleteRange(reply) => reply.revision,
            Self::Txn(done) => done.revision,
            Self::Lease(reply) => reply.revision,
            Self::LeaseRevoke(reply) => reply.revision,
            Self::Leases(reply) => reply.revision,
            Self::Locked(_) => 0,
            Self::Encoded(encoded) => encoded.shows,
        }
    }
}

/// More than the numbers of any reply take.
const SMALL_BYTES: usize = 96;

/// What an entry that an answer holds counts beside its packed bytes.
const COUNTED_BYTES: usize = 24;

/// More than the metadata and the lengths of an entry in a list take.
const LISTED_BYTES: usize = 66;

/// What the four numbers of a lease in a list take at most.
const LEASE_BYTES: usize = 40;

fn entry_bytes(entry: Option<&Entry>) -> usize {
    SMALL_BYTES + entry.map_or(0, |entry| entry.packed_len())
}

impl Got {
    fn to_wire(&self) -> GetReply<'_> {
        GetReply { revision: self.revision, entry: self.entry.as_ref().map(Entry::stored) }
    }
}

impl Written {
    fn to_wire(&self) -> WriteReply<'_> {
        WriteReply {
            revision: self.revision,
            status: self.status,
            entry: self.entry.as_ref().map(Entry::stored),
        }
    }
}

impl Page {
    fn to_wire(&self) -> ScanReply<'_> {
        let entries = self.entries.iter().map(|entry| {
            let mut wire = entry.to_wire();
            if self.keys_only {
                wire.stored.value = &[];
            }
            wire
        });
        ScanReply {
            revision: self.revision,
            count: self.count,
            more: self.more,
            entries: entries.collect(),
        }
    }
}

impl Names {
    fn to_wire(&self) -> ChildrenReply<'_> {
        let children = self.names.iter().map(|(name, branch)| Child { name, branch: *branch });
        ChildrenReply { revision: self.revision, more: self.more, children: children.collect() }
    }
}

impl TxnDone {
    fn to_wire(&self) -> TxnReply<'_> {
        let results = self.results.iter().filter_map(|reply| match reply {
            Reply::Get(got) => Some(TxnResult::Get(got.to_wire())),
            Reply::Put(written) => Some(TxnResult::Put(written.to_wire())),
            Reply::Delete(written) => Some(TxnResult::Delete(written.to_wire())),
            Reply::Touch(reply) => Some(TxnResult::Touch(**reply)),
            Reply::Increment(reply) => Some(TxnResult::Increment(*reply)),
            Reply::DeleteRange(reply) => Some(TxnResult::DeleteRange(*reply)),
            Reply::Scan(_)
            | Reply::Children(_)
            | Reply::Txn(_)
            | Reply::Lease(_)
            | Reply::LeaseRevoke(_)
            | Reply::Leases(_)
            | Reply::Locked(_)
            | Reply::Encoded(_) => None,
        });
        TxnReply { revision: self.revision, succeeded: self.succeeded, results: results.collect() }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use tidekeep_protocol::entry::Meta;

    use super::*;

    #[test]
    fn the_estimate_covers_the_longest_numbers() {
        let most = u64::MAX;
        let meta = Meta {
            created: most,
            modified: most,
            version: most,
            expires_at: Some(most - 1),
            lease: None,
        };
        let entry = Entry::new(&[7; 200], &[8; 300], meta, &mut Vec::new());
        for keys_only in [false, true] {
            let entries = vec![entry.clone(); 50];
            let page = Page { revision: most, count: most, more: true, keys_only, entries };
            let reply = Reply::Scan(page);
            let mut body = Vec::new();
            reply.encode(&mut body);
            assert!(body.len() <= reply.body_bytes());
            assert!(reply.body_bytes() < body.len() * 3 / 2, "values left out are not counted");
        }
    }
}
