//! What clients ask for, owned, with a mark by which each write can be told from all others in what
//! the store did: a value that no other call writes, an addend or an end that no other call has.

use tidekeep_client_core::{CallId, CallOptions, Core, Millis, MutationId};
use tidekeep_protocol::codec;
use tidekeep_protocol::condition::{Condition, Expiry};
use tidekeep_protocol::op::{
    Children, Compare, Delete, DeleteRange, Get, Increment, LeaseGrant, LeaseKeepAlive,
    LeaseRevoke, Leases, Operation, Order, Projection, Put, Scan, Touch, Txn, TxnOp,
};
use tidekeep_protocol::range::KeyRange;

/// A condition that owns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum If {
    Always,
    Absent,
    Present,
    Revision(u64),
}

impl If {
    pub(crate) fn to_wire(self) -> Condition<'static> {
        match self {
            Self::Always => Condition::Always,
            Self::Absent => Condition::Absent,
            Self::Present => Condition::Present,
            Self::Revision(revision) => Condition::Revision(revision),
        }
    }

    /// Whether it holds of a key whose visible entry was last written at this revision.
    pub(crate) fn holds(self, modified: Option<u64>) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => modified.is_none(),
            Self::Present => modified.is_some(),
            Self::Revision(revision) => modified == Some(revision),
        }
    }
}

/// One operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Put { key: Vec<u8>, value: Vec<u8> },
    Increment { key: Vec<u8> },
    Delete { key: Vec<u8> },
    Get { key: Vec<u8> },
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Ping,
    Get { key: Vec<u8> },
    Scan { range: KeyRange, limit: u32, order: Order },
    Put { key: Vec<u8>, value: Vec<u8>, condition: If, expiry: Expiry, previous: bool },
    Delete { key: Vec<u8>, condition: If, previous: bool },
    Increment { key: Vec<u8>, expiry: Expiry },
    Touch { key: Vec<u8>, at: u64, condition: If },
    DeleteRange { range: KeyRange, limit: u32 },
    Children { prefix: Vec<u8>, limit: u32 },
    Grant { ttl_ms: u64 },
    KeepAlive { lease: u64 },
    Revoke { lease: u64 },
    Leases { limit: u32 },
    Txn { compare: Option<(Vec<u8>, If)>, then: Vec<Part>, otherwise: Vec<Part> },
}

impl What {
    /// Whether it may change the store.
    pub(crate) fn writes(&self) -> bool {
        let reads = matches!(self, Self::Get { .. } | Self::Scan { .. } | Self::Children { .. });
        !reads && !matches!(self, Self::Ping | Self::Leases { .. })
    }

    /// Whether what it does to the store bears no mark of its own, so that only a reply tells that
    /// it was this call.
    pub(crate) fn is_unmarked(&self) -> bool {
        let deletes = matches!(self, Self::Delete { .. } | Self::DeleteRange { .. });
        let leases = matches!(self, Self::KeepAlive { .. } | Self::Revoke { .. });
        deletes || leases || matches!(self, Self::Grant { .. })
    }

    /// Whether it may make the store larger.
    pub(crate) fn may_grow(&self) -> bool {
        let deletes = matches!(self, Self::Delete { .. } | Self::DeleteRange { .. });
        let keeps = matches!(self, Self::KeepAlive { .. } | Self::Revoke { .. });
        self.writes() && !deletes && !keeps
    }

    /// The lease that it names.
    pub(crate) fn lease(&self) -> Option<u64> {
        match self {
            Self::Put { expiry: Expiry::Lease(lease), .. }
            | Self::Increment { expiry: Expiry::Lease(lease), .. }
            | Self::KeepAlive { lease }
            | Self::Revoke { lease } => Some(*lease),
            _ => None,
        }
    }

    /// The key and the condition of what can go through a queue.
    pub(crate) fn edit(&self) -> Option<(&[u8], If)> {
        match self {
            Self::Put { key, condition, .. } | Self::Delete { key, condition, .. } => {
                Some((key, *condition))
            }
            Self::Increment { key, .. } => Some((key, If::Always)),
            _ => None,
        }
    }

    /// The same with another condition.
    pub(crate) fn under(&self, other: If) -> Self {
        let mut what = self.clone();
        if let Self::Put { condition, .. } | Self::Delete { condition, .. } = &mut what {
            *condition = other;
        }
        what
    }

    /// Gives it to the queue. Its number is what increments add.
    pub(crate) fn enqueue(&self, core: &mut Core, now: Millis, number: u64) -> MutationId {
        let mut body = Vec::new();
        let kind = match self {
            Self::Put { key, value, condition, expiry, previous } => {
                let (condition, expiry, previous) = (condition.to_wire(), *expiry, *previous);
                codec::encode(&Put { key, value, condition, expiry, previous }, &mut body);
                Put::SPEC.kind
            }
            Self::Delete { key, condition, previous } => {
                let (condition, previous) = (condition.to_wire(), *previous);
                codec::encode(&Delete { key, condition, previous }, &mut body);
                Delete::SPEC.kind
            }
            Self::Increment { key, expiry } => {
                let increment = Increment { key, by: number as i64, expiry: *expiry };
                codec::encode(&increment, &mut body);
                Increment::SPEC.kind
            }
            _ => unreachable!("only edits of one key are queued"),
        };
        core.enqueue(now, kind, &body)
    }

    /// Makes the call. Its number is what increments add.
    pub(crate) fn make(
        &self,
        core: &mut Core,
        now: Millis,
        number: u64,
        options: CallOptions,
    ) -> CallId {
        match self {
            Self::Ping => core.ping(now, options),
            Self::Get { key } => core.call(now, &Get { key }, options),
            Self::Scan { range, limit, order } => {
                let (limit, order, projection) = (*limit, *order, Projection::Full);
                let scan = Scan { range: range.as_range(), limit, bytes: 0, order, projection };
                core.call(now, &scan, options)
            }
            Self::Put { key, value, condition, expiry, previous } => {
                let (condition, expiry, previous) = (condition.to_wire(), *expiry, *previous);
                core.call(now, &Put { key, value, condition, expiry, previous }, options)
            }
            Self::Delete { key, condition, previous } => {
                let (condition, previous) = (condition.to_wire(), *previous);
                core.call(now, &Delete { key, condition, previous }, options)
            }
            Self::Increment { key, expiry } => {
                core.call(now, &Increment { key, by: number as i64, expiry: *expiry }, options)
            }
            Self::Touch { key, at, condition } => {
                let touch = Touch { key, expiry: Expiry::At(*at), condition: condition.to_wire() };
                core.call(now, &touch, options)
            }
            Self::DeleteRange { range, limit } => {
                let range = range.as_range();
                core.call(now, &DeleteRange { range, limit: *limit }, options)
            }
            Self::Children { prefix, limit } => {
                let (delimiter, after, limit) = (&b"/"[..], None, *limit);
                core.call(now, &Children { prefix, delimiter, after, limit }, options)
            }
            Self::Grant { ttl_ms } => core.call(now, &LeaseGrant { ttl_ms: *ttl_ms }, options),
            Self::KeepAlive { lease } => core.call(now, &LeaseKeepAlive { lease: *lease }, options),
            Self::Revoke { lease } => core.call(now, &LeaseRevoke { lease: *lease }, options),
            Self::Leases { limit } => core.call(now, &Leases { after: 0, limit: *limit }, options),
            Self::Txn { compare, then, otherwise } => {
                let compare = compare
                    .iter()
                    .map(|(key, condition)| Compare { key, condition: condition.to_wire() });
                let txn = Txn {
                    compares: compare.collect(),
                    then: then.iter().map(|part| part.to_wire(number)).collect(),
                    otherwise: otherwise.iter().map(|part| part.to_wire(number)).collect(),
                };
                core.call(now, &txn, options)
            }
        }
    }
}

impl Part {
    fn to_wire(&self, number: u64) -> TxnOp<'_> {
        let condition = Condition::Always;
        match self {
            Self::Put { key, value } => {
                TxnOp::Put(Put { key, value, condition, expiry: Expiry::Never, previous: false })
            }
            Self::Increment { key } => {
                TxnOp::Increment(Increment { key, by: number as i64, expiry: Expiry::Keep })
            }
            Self::Delete { key } => TxnOp::Delete(Delete { key, condition, previous: false }),
            Self::Get { key } => TxnOp::Get(Get { key }),
        }
    }
}
