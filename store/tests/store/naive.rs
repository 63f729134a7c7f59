//! The operations' meaning once more, as plainly as it can be said: one map, cloned to undo. Written
//! from docs/protocol.md and not from the store.

use std::collections::{BTreeMap, BTreeSet};

use tidekeep_protocol::codec;
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::entry::{Meta, Stored};
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::{
    Delete, DeleteRange, DeleteRangeReply, GetReply, Increment, IncrementReply, LeaseReply,
    LeaseRevokeReply, Put, Request, Touch, TouchReply, Txn, TxnOp, TxnReply, TxnResult, WriteReply,
    WriteStatus,
};
use tidekeep_protocol::range::KeyRange;
use tidekeep_store::change::EventKind;

const DELETE_RANGE_DEFAULT: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) value: Vec<u8>,
    pub(crate) meta: Meta,
}

impl Kept {
    fn stored(&self) -> Stored<'_> {
        Stored { meta: self.meta, value: &self.value }
    }
}

/// What a watcher is told of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happened {
    pub(crate) kind: EventKind,
    pub(crate) key: Vec<u8>,
    /// The entry now, or as it was when it went.
    pub(crate) entry: Kept,
    pub(crate) previous: Option<Kept>,
}

#[derive(Debug, Default)]
pub(crate) struct Naive {
    pub(crate) map: BTreeMap<Vec<u8>, Kept>,
    pub(crate) revision: u64,
    pub(crate) leases: BTreeMap<u64, Lease>,
    now: u64,
    /// Whether a lease was changed itself.
    leased: bool,
    events: Vec<Happened>,
}

/// How long a lease lives, and when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) ttl_ms: u64,
    pub(crate) end: u64,
}

/// The result of one operation, with the revision that its reply bears.
enum Did {
    Get(u64, Option<Kept>),
    Put(u64, WriteStatus, Option<Kept>),
    Delete(u64, WriteStatus, Option<Kept>),
    Touch(TouchReply),
    Increment(IncrementReply),
    DeleteRange(DeleteRangeReply),
}

impl Naive {
    /// Does a write: the reply's body or the refusal, and what happened.
    pub(crate) fn write(
        &mut self,
        now: u64,
        request: &Request<'_>,
    ) -> (Result<Vec<u8>, Code>, Vec<Happened>) {
        let before = self.map.clone();
        self.now = now;
        let reply = match request {
            Request::Txn(txn) => self.txn(txn),
            Request::Put(put) => self.op(&TxnOp::Put(*put)).map(|did| did.body()),
            Request::Delete(delete) => self.op(&TxnOp::Delete(*delete)).map(|did| did.body()),
            Request::Touch(touch) => self.op(&TxnOp::Touch(*touch)).map(|did| did.body()),
            Request::Increment(add) => self.op(&TxnOp::Increment(*add)).map(|did| did.body()),
            Request::DeleteRange(range) => {
                self.op(&TxnOp::DeleteRange(*range)).map(|did| did.body())
            }
            Request::LeaseGrant(grant) => {
                let (lease, ttl_ms) = (self.revision + 1, grant.ttl_ms);
                self.leases.insert(lease, Lease { ttl_ms, end: now + ttl_ms });
                Ok(self.lease_reply(lease))
            }
            Request::LeaseKeepAlive(request) => {
                let kept = self.leases.get_mut(&request.lease).filter(|lease| lease.end > now);
                kept.map(|lease| lease.end = now + lease.ttl_ms)
                    .map(|()| self.lease_reply(request.lease))
                    .ok_or(Code::NotFound)
            }
            Request::LeaseRevoke(request) => {
                let live = self.leases.get(&request.lease).is_some_and(|lease| lease.end > now);
                match live {
                    true => {
                        let deleted = self.end(request.lease, EventKind::Delete);
                        Ok(encoded(&LeaseRevokeReply { revision: self.at(), deleted }))
                    }
                    false => Err(Code::NotFound),
                }
            }
            other => panic!("{other:?} is no write"),
        };
        if reply.is_err() {
            self.map = before;
            self.events.clear();
        }
        (reply, self.settle())
    }

    /// Clears away the entries whose time is over and that are as they were.
    pub(crate) fn expire(&mut self, now: u64, expired: &[(Vec<u8>, u64)]) -> Vec<Happened> {
        for (key, modified) in expired {
            let Some(kept) = self.map.get(key) else { continue };
            if kept.meta.modified == *modified && kept.meta.expires_at.is_some_and(|at| at <= now) {
                self.remove(key, EventKind::Expire);
            }
        }
        self.settle()
    }

    /// Ends a lease if its time is over.
    pub(crate) fn end_lease(&mut self, now: u64, lease: u64) -> Vec<Happened> {
        if self.leases.get(&lease).is_some_and(|lease| lease.end <= now) {
            self.end(lease, EventKind::Expire);
        }
        self.settle()
    }

    fn end(&mut self, lease: u64, kind: EventKind) -> u64 {
        self.leases.remove(&lease);
        self.leased = true;
        let keys = self.keys_of(lease);
        for key in &keys {
            self.remove(key, kind);
        }
        keys.len() as u64
    }

    /// The keys that go with a lease.
    pub(crate) fn keys_of(&self, lease: u64) -> Vec<Vec<u8>> {
        let tied = self.map.iter().filter(|(_, kept)| kept.meta.lease == Some(lease));
        tied.map(|(key, _)| key.clone()).collect()
    }

    fn lease_reply(&mut self, lease: u64) -> Vec<u8> {
        self.leased = true;
        let Lease { ttl_ms, end } = self.leases[&lease];
        encoded(&LeaseReply { revision: self.at(), lease, ttl_ms, expires_at: end })
    }

    /// Whether an entry's time is not over, nor that of its lease.
    pub(crate) fn is_live(&self, kept: &Kept, now: u64) -> bool {
        let lease_ends = kept.meta.lease.map(|lease| self.leases[&lease].end);
        kept.meta.expires_at.or(lease_ends).is_none_or(|at| at > now)
    }

    /// What can be read of a range.
    pub(crate) fn live(&self, range: &KeyRange, now: u64) -> Vec<(Vec<u8>, Kept)> {
        self.map
            .iter()
            .filter(|(key, kept)| range.as_range().contains(key) && self.is_live(kept, now))
            .map(|(key, kept)| (key.clone(), kept.clone()))
            .collect()
    }

    /// The names below a prefix, and whether each is a branch.
    pub(crate) fn children(
        &self,
        prefix: &[u8],
        delimiter: &[u8],
        now: u64,
    ) -> Vec<(Vec<u8>, bool)> {
        let names: BTreeSet<(Vec<u8>, bool)> = self
            .map
            .iter()
            .filter(|(_, kept)| self.is_live(kept, now))
            .filter_map(|(key, _)| key.strip_prefix(prefix))
            .map(|rest| {
                let mut ends = delimiter.len()..=rest.len();
                match ends.find(|&end| rest[..end].ends_with(delimiter)) {
                    Some(end) => (rest[..end].to_vec(), true),
                    None => (rest.to_vec(), false),
                }
            })
            .collect();
        names.into_iter().collect()
    }

    fn settle(&mut self) -> Vec<Happened> {
        self.revision = self.at();
        self.leased = false;
        std::mem::take(&mut self.events)
    }

    fn at(&self) -> u64 {
        self.revision + u64::from(self.leased || !self.events.is_empty())
    }

    fn txn(&mut self, txn: &Txn<'_>) -> Result<Vec<u8>, Code> {
        let succeeded =
            txn.compares.iter().all(|compare| self.holds(compare.key, &compare.condition));
        let mut done = Vec::new();
        for op in if succeeded { &txn.then } else { &txn.otherwise } {
            let did = self.op(op)?;
            if did.status() == Some(WriteStatus::Refused) {
                return Err(Code::Conflict);
            }
            done.push(did);
        }
        let results = done.iter().map(Did::result).collect();
        Ok(encoded(&TxnReply { revision: self.at(), succeeded, results }))
    }

    fn op(&mut self, op: &TxnOp<'_>) -> Result<Did, Code> {
        match op {
            TxnOp::Get(get) => Ok(Did::Get(self.at(), self.read(get.key))),
            TxnOp::Put(put) => self.put(put),
            TxnOp::Delete(delete) => Ok(self.delete(delete)),
            TxnOp::Touch(touch) => self.touch(touch),
            TxnOp::Increment(increment) => self.increment(increment),
            TxnOp::DeleteRange(range) => Ok(self.delete_range(range)),
        }
    }

    fn put(&mut self, put: &Put<'_>) -> Result<Did, Code> {
        let before = self.read(put.key);
        if !self.holds(put.key, &put.condition) {
            return Ok(Did::Put(self.at(), WriteStatus::Refused, before));
        }
        self.set(put.key, put.value, put.expiry)?;
        Ok(Did::Put(self.at(), WriteStatus::Applied, before.filter(|_| put.previous)))
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Did {
        let before = self.read(delete.key);
        if !self.holds(delete.key, &delete.condition) {
            return Did::Delete(self.at(), WriteStatus::Refused, before);
        }
        if before.is_none() {
            return Did::Delete(self.at(), WriteStatus::NotFound, None);
        }
        self.remove(delete.key, EventKind::Delete);
        Did::Delete(self.at(), WriteStatus::Applied, before.filter(|_| delete.previous))
    }

    fn touch(&mut self, touch: &Touch<'_>) -> Result<Did, Code> {
        let before = self.read(touch.key);
        let (status, meta) = if !self.holds(touch.key, &touch.condition) {
            (WriteStatus::Refused, before.map(|kept| kept.meta))
        } else if let Some(before) = before {
            self.set(touch.key, &before.value, touch.expiry)?;
            self.events.last_mut().expect("a set is told").kind = EventKind::Touch;
            (WriteStatus::Applied, Some(self.map[touch.key].meta))
        } else {
            (WriteStatus::NotFound, None)
        };
        Ok(Did::Touch(TouchReply { revision: self.at(), status, meta }))
    }

    fn increment(&mut self, increment: &Increment<'_>) -> Result<Did, Code> {
        let number = match self.read(increment.key) {
            None => 0,
            Some(kept) => decimal(&kept.value).ok_or(Code::InvalidInput)?,
        };
        let sum = number + i128::from(increment.by);
        let value = i64::try_from(sum).map_err(|_| Code::InvalidInput)?;
        self.set(increment.key, value.to_string().as_bytes(), increment.expiry)?;
        Ok(Did::Increment(IncrementReply { revision: self.at(), value }))
    }

    fn delete_range(&mut self, request: &DeleteRange<'_>) -> Did {
        let range = KeyRange {
            start: request.range.start.to_vec(),
            end: request.range.end.map(<[u8]>::to_vec),
        };
        let limit = match request.limit {
            0 => DELETE_RANGE_DEFAULT,
            limit => limit as usize,
        };
        let found = self.live(&range, self.now);
        let doomed = &found[..limit.min(found.len())];
        for (key, _) in doomed {
            self.remove(key, EventKind::Delete);
        }
        Did::DeleteRange(DeleteRangeReply {
            revision: self.at(),
            deleted: doomed.len() as u64,
            more: doomed.len() < found.len(),
        })
    }

    fn read(&self, key: &[u8]) -> Option<Kept> {
        self.map.get(key).filter(|kept| self.is_live(kept, self.now)).cloned()
    }

    fn holds(&self, key: &[u8], condition: &Condition<'_>) -> bool {
        let kept = self.read(key);
        match condition {
            Condition::Always => true,
            Condition::Absent => kept.is_none(),
            Condition::Present => kept.is_some(),
            Condition::Revision(at) => kept.is_some_and(|kept| kept.meta.modified == *at),
            Condition::Value(value) => kept.is_some_and(|kept| kept.value == *value),
        }
    }

    fn set(&mut self, key: &[u8], value: &[u8], expiry: Expiry) -> Result<(), Code> {
        let previous = self.read(key);
        let modified = self.revision + 1;
        const LAST: u64 = (1 << 53) - 1;
        let (expires_at, lease) = match expiry {
            Expiry::Never => (None, None),
            Expiry::Keep => previous
                .as_ref()
                .map_or((None, None), |kept| (kept.meta.expires_at, kept.meta.lease)),
            Expiry::After(ms) => (Some(LAST.min(self.now.saturating_add(ms))), None),
            Expiry::At(at) => (Some(LAST.min(at)), None),
            Expiry::Lease(lease) => match self.leases.get(&lease) {
                Some(there) if there.end > self.now => (None, Some(lease)),
                _ => return Err(Code::NotFound),
            },
        };
        let meta = Meta {
            created: previous.as_ref().map_or(modified, |kept| kept.meta.created),
            modified,
            version: previous.as_ref().map_or(0, |kept| kept.meta.version) + 1,
            expires_at,
            lease,
        };
        if previous.is_none() && self.map.contains_key(key) {
            // What is over and was not cleared away yet ends before something comes in its place.
            self.remove(key, EventKind::Expire);
        }
        let entry = Kept { value: value.to_vec(), meta };
        self.map.insert(key.to_vec(), entry.clone());
        self.events.push(Happened { kind: EventKind::Put, key: key.to_vec(), entry, previous });
        Ok(())
    }

    fn remove(&mut self, key: &[u8], kind: EventKind) {
        let entry = self.map.remove(key).expect("only what is there is removed");
        let previous = Some(entry.clone());
        self.events.push(Happened { kind, key: key.to_vec(), entry, previous });
    }
}

impl Did {
    fn status(&self) -> Option<WriteStatus> {
        match self {
            Self::Put(_, status, _) | Self::Delete(_, status, _) => Some(*status),
            Self::Touch(reply) => Some(reply.status),
            Self::Get(..) | Self::Increment(_) | Self::DeleteRange(_) => None,
        }
    }

    fn result(&self) -> TxnResult<'_> {
        let write = |revision: &u64, status: &WriteStatus, entry| WriteReply {
            revision: *revision,
            status: *status,
            entry,
        };
        match self {
            Self::Get(revision, kept) => TxnResult::Get(GetReply {
                revision: *revision,
                entry: kept.as_ref().map(Kept::stored),
            }),
            Self::Put(revision, status, kept) => {
                TxnResult::Put(write(revision, status, kept.as_ref().map(Kept::stored)))
            }
            Self::Delete(revision, status, kept) => {
                TxnResult::Delete(write(revision, status, kept.as_ref().map(Kept::stored)))
            }
            Self::Touch(reply) => TxnResult::Touch(*reply),
            Self::Increment(reply) => TxnResult::Increment(*reply),
            Self::DeleteRange(reply) => TxnResult::DeleteRange(*reply),
        }
    }

    fn body(&self) -> Vec<u8> {
        match self.result() {
            TxnResult::Get(reply) => encoded(&reply),
            TxnResult::Put(reply) | TxnResult::Delete(reply) => encoded(&reply),
            TxnResult::Touch(reply) => encoded(&reply),
            TxnResult::Increment(reply) => encoded(&reply),
            TxnResult::DeleteRange(reply) => encoded(&reply),
        }
    }
}

/// An optional minus, then digits, within the range of i64.
fn decimal(text: &[u8]) -> Option<i128> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    let number = if digits.len() < text.len() { -number } else { number };
    i64::try_from(number).ok().map(i128::from)
}

fn encoded<T: serde::Serialize>(reply: &T) -> Vec<u8> {
    let mut body = Vec::new();
    codec::encode(reply, &mut body);
    body
}
