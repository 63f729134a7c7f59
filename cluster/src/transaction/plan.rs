//! What a transaction asks of each group, and how their answers make one.

use std::collections::BTreeMap;

use tidekeep_protocol::codec;
use tidekeep_protocol::op::{DeleteRangeReply, Request, Txn, TxnOp, TxnReply, TxnResult};
use tidekeep_protocol::slot::{GroupCount, GroupId, slot_of};
use tidekeep_store::step::{Outcome, Part};

/// A transaction, in parts.
pub(super) struct Plan {
    /// Each group's part, as the body of a transaction.
    pub(super) parts: BTreeMap<GroupId, Vec<u8>>,
    then: Vec<Place>,
    otherwise: Vec<Place>,
    /// Whether it is the delete of a range alone.
    is_range: bool,
}

/// Who runs an operation.
enum Place {
    One(GroupId),
    /// A range lies in all groups.
    All,
}

impl Plan {
    /// None of a request that is neither a transaction nor the delete of a range.
    pub(super) fn of(request: &Request<'_>, groups: GroupCount) -> Option<Self> {
        match request {
            Request::Txn(txn) => Some(Self::of_txn(txn, groups, false)),
            Request::DeleteRange(delete) => {
                let txn = Txn { then: vec![TxnOp::DeleteRange(*delete)], ..Txn::default() };
                Some(Self::of_txn(&txn, groups, true))
            }
            _ => None,
        }
    }

    fn of_txn(txn: &Txn<'_>, groups: GroupCount, is_range: bool) -> Self {
        let of = |key: &[u8]| groups.group_of(slot_of(key));
        let mut parts: BTreeMap<GroupId, Txn<'_>> = BTreeMap::new();
        for compare in &txn.compares {
            parts.entry(of(compare.key)).or_default().compares.push(*compare);
        }
        let mut place = |op: &TxnOp<'_>| match op.key() {
            Some(key) => Place::One(of(key)),
            None => Place::All,
        };
        let then: Vec<_> = txn.then.iter().map(&mut place).collect();
        let otherwise: Vec<_> = txn.otherwise.iter().map(&mut place).collect();
        for (op, place) in txn.then.iter().zip(&then) {
            for group in place.groups(groups) {
                parts.entry(group).or_default().then.push(*op);
            }
        }
        for (op, place) in txn.otherwise.iter().zip(&otherwise) {
            for group in place.groups(groups) {
                parts.entry(group).or_default().otherwise.push(*op);
            }
        }
        let encoded = |(group, part): (GroupId, Txn<'_>)| {
            let mut body = Vec::new();
            codec::encode(&part, &mut body);
            (group, body)
        };
        Self { parts: parts.into_iter().map(encoded).collect(), then, otherwise, is_range }
    }

    /// The group that decides.
    pub(super) fn home(&self) -> GroupId {
        self.parts.keys().next().copied().unwrap_or(GroupId(0))
    }

    /// Which operation of the whole list is a group's operation `at`.
    pub(super) fn operation(&self, succeeded: bool, group: GroupId, at: u32) -> usize {
        let places = if succeeded { &self.then } else { &self.otherwise };
        let own = places.iter().enumerate().filter(|(_, place)| place.has(group));
        own.map(|(whole, _)| whole).nth(at as usize).unwrap_or(usize::MAX)
    }

    /// The body of the reply that the parts' replies make, and the newest revision in it; none if they do not
    /// belong to this transaction.
    pub(super) fn merge(&self, done: &BTreeMap<GroupId, Part>) -> Option<(Vec<u8>, u64)> {
        let mut rows = BTreeMap::new();
        let (mut home, mut shows, mut succeeded) = (None, 0, true);
        for (group, part) in done {
            let reply: TxnReply<'_> = codec::decode(&part.body).ok()?;
            home.get_or_insert(reply.revision);
            shows = reply.revision.max(shows);
            succeeded = part.outcome == Outcome::Then;
            rows.insert(*group, reply.results.into_iter());
        }
        let places = if succeeded { &self.then } else { &self.otherwise };
        let mut results = Vec::with_capacity(places.len());
        for place in places {
            results.push(match place {
                Place::One(group) => rows.get_mut(group)?.next()?,
                Place::All => {
                    let parts: Option<Vec<_>> = rows.values_mut().map(Iterator::next).collect();
                    TxnResult::DeleteRange(sum(&parts?)?)
                }
            });
        }
        let revision = home?;
        let mut body = Vec::new();
        match (self.is_range, &results[..]) {
            (true, [TxnResult::DeleteRange(reply)]) => codec::encode(reply, &mut body),
            _ => codec::encode(&TxnReply { revision, succeeded, results }, &mut body),
        }
        Some((body, shows))
    }
}

impl Place {
    fn groups(&self, all: GroupCount) -> Vec<GroupId> {
        match self {
            Self::One(group) => vec![*group],
            Self::All => all.groups().collect(),
        }
    }

    fn has(&self, group: GroupId) -> bool {
        match self {
            Self::One(one) => *one == group,
            Self::All => true,
        }
    }
}

/// What all groups together deleted of a range.
fn sum(parts: &[TxnResult<'_>]) -> Option<DeleteRangeReply> {
    let mut parts = parts.iter().map(|part| match part {
        TxnResult::DeleteRange(reply) => Some(*reply),
        _ => None,
    });
    let first = parts.next()??;
    parts.try_fold(first, |all, part| {
        let part = part?;
        let (deleted, more) = (all.deleted + part.deleted, all.more || part.more);
        Some(DeleteRangeReply { revision: all.revision, deleted, more })
    })
}
