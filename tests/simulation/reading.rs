//! Replies held against the history: what is read at a revision is what the store held there, no
//! more, no less, and nothing that had ended.

use tidekeep_log::Entry;
use tidekeep_protocol::codec;
use tidekeep_protocol::entry::Stored;
use tidekeep_protocol::op::{
    ChildrenReply, DeleteRangeReply, GetReply, IncrementReply, LeaseReply, LeaseRevokeReply,
    LeasesReply, Order, ScanReply, TouchReply, TxnReply, WriteReply, WriteStatus,
};

use crate::call::{If, Part, What};
use crate::history::History;
use crate::ledger::{End, Ledger, number_of};
use crate::ranges::{check_children, check_delete_range};

/// The times that the server's clock may have shown while something was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wall {
    pub(crate) earliest_ms: u64,
    pub(crate) latest_ms: u64,
}

impl Wall {
    /// Whether an entry of the state after a revision must have been readable.
    pub(crate) fn must_show(self, entry: &Entry, at: u64, history: &History) -> bool {
        history.is_over(entry, at, self.latest_ms) == Some(false)
    }

    /// Whether an entry of the state after a revision may have been readable.
    pub(crate) fn may_show(self, entry: &Entry, at: u64, history: &History) -> bool {
        history.is_over(entry, at, self.earliest_ms) != Some(true)
    }
}

/// Checks a reply and ends its call; the revision that the reply shows.
pub(crate) fn check_reply(
    ledger: &mut Ledger,
    history: &mut History,
    number: u64,
    body: &[u8],
    wall: Wall,
) -> Result<u64, String> {
    let call = ledger.call(number);
    let floor = call.floor;
    let told = |revision: u64| match revision {
        _ if revision > history.revision() => {
            Err(format!("call {number} was shown revision {revision}, which is not safe"))
        }
        _ if revision < floor => {
            Err(format!("call {number} was shown {revision} after others had seen {floor}"))
        }
        _ => Ok(revision),
    };
    let malformed = |_| format!("the reply to call {number} is malformed");
    match call.what.clone() {
        What::Ping => ledger.end(number, End::Replied(None)).map(|()| 0),
        What::Get { key } => {
            let reply: GetReply<'_> = codec::decode(body).map_err(malformed)?;
            let revision = told(reply.revision)?;
            check_entry(history, &key, revision, reply.entry, wall)
                .map_err(|why| format!("call {number} at {revision}: {why}"))?;
            ledger.end(number, End::Replied(None)).map(|()| revision)
        }
        What::Scan { range, limit, order } => {
            let reply: ScanReply<'_> = codec::decode(body).map_err(malformed)?;
            let revision = told(reply.revision)?;
            let mut content = history.content(&range, revision);
            if order == Order::Descending {
                content.reverse();
            }
            check_page(history, &content, &reply, limit, wall)
                .map_err(|why| format!("call {number} at {revision}: {why}"))?;
            ledger.end(number, End::Replied(None)).map(|()| revision)
        }
        What::Put { key, condition, previous, .. } | What::Delete { key, condition, previous } => {
            let reply: WriteReply<'_> = codec::decode(body).map_err(malformed)?;
            let revision = told(reply.revision)?;
            if reply.status != WriteStatus::Applied {
                check_refusal(history, &key, condition, revision, reply.status, wall)
                    .map_err(|why| format!("call {number} at {revision}: {why}"))?;
                let stood = history.state(&key, revision).map(Entry::modified);
                let refused = reply.status == WriteStatus::Refused;
                if refused && stood.is_some_and(|stood| ledger.must_follow(number, stood)) {
                    return Err(format!("call {number} was refused upon the edit before it"));
                }
                return ledger.end(number, End::Replied(None)).map(|()| revision);
            }
            ledger.acknowledge(number, revision, history)?;
            let change = history.change(revision).expect("it was acknowledged");
            let last = change.events.last().expect("a change has events");
            let before = last.previous.as_ref().filter(|_| previous);
            if before.map(Entry::stored) != reply.entry {
                return Err(format!("call {number} was told of another entry before it"));
            }
            Ok(revision)
        }
        What::Touch { key, condition, .. } => {
            let reply: TouchReply = codec::decode(body).map_err(malformed)?;
            let revision = told(reply.revision)?;
            if reply.status != WriteStatus::Applied {
                check_refusal(history, &key, condition, revision, reply.status, wall)
                    .map_err(|why| format!("call {number} at {revision}: {why}"))?;
                return ledger.end(number, End::Replied(None)).map(|()| revision);
            }
            ledger.acknowledge(number, revision, history).map(|()| revision)
        }
        What::Increment { key, .. } => {
            let reply: IncrementReply = codec::decode(body).map_err(malformed)?;
            let revision = told(reply.revision)?;
            if history.state(&key, revision).and_then(number_of) != Some(reply.value) {
                return Err(format!("call {number} was told another sum than {revision} made"));
            }
            ledger.acknowledge(number, revision, history).map(|()| revision)
        }
        what @ (What::Grant { .. } | What::KeepAlive { .. }) => {
            let reply: LeaseReply = codec::decode(body).map_err(malformed)?;
            let revision = told(reply.revision)?;
            history.leases.acknowledge(&what, &reply).map_err(|why| format!("{number}: {why}"))?;
            history.leases.decided(&what);
            ledger.acknowledge(number, revision, history).map(|()| revision)
        }
        what @ What::Revoke { lease } => {
            let reply: LeaseRevokeReply = codec::decode(body).map_err(malformed)?;
            let revision = told(reply.revision)?;
            history.revoke(lease, &reply).map_err(|why| format!("call {number}: {why}"))?;
            history.leases.decided(&what);
            ledger.acknowledge(number, revision, history).map(|()| revision)
        }
        What::Leases { limit } => {
            let reply: LeasesReply = codec::decode(body).map_err(malformed)?;
            let revision = told(reply.revision)?;
            let long = limit > 0 && reply.leases.len() > limit as usize;
            let checked = history.check_leases(&reply, wall);
            checked.map_err(|why| format!("call {number} at {revision}: {why}"))?;
            if long {
                return Err(format!("call {number} was told of too many leases"));
            }
            ledger.end(number, End::Replied(None)).map(|()| revision)
        }
        What::DeleteRange { range, limit } => {
            let reply: DeleteRangeReply = codec::decode(body).map_err(malformed)?;
            let revision = told(reply.revision)?;
            check_delete_range(history, &range, limit, &reply, wall)
                .map_err(|why| format!("call {number} at {revision}: {why}"))?;
            match reply.deleted {
                0 => ledger.end(number, End::Replied(None)).map(|()| revision),
                _ => ledger.acknowledge(number, revision, history).map(|()| revision),
            }
        }
        What::Children { prefix, limit } => {
            let reply: ChildrenReply<'_> = codec::decode(body).map_err(malformed)?;
            let revision = told(reply.revision)?;
            check_children(history, &prefix, limit, &reply, wall)
                .map_err(|why| format!("call {number} at {revision}: {why}"))?;
            ledger.end(number, End::Replied(None)).map(|()| revision)
        }
        What::Txn { otherwise, .. } => {
            let reply: TxnReply<'_> = codec::decode(body).map_err(malformed)?;
            let revision = told(reply.revision)?;
            let only_reads = otherwise.iter().all(|part| matches!(part, Part::Get { .. }));
            if !reply.succeeded && only_reads {
                return ledger.end(number, End::Replied(None)).map(|()| revision);
            }
            ledger.acknowledge(number, revision, history).map(|()| revision)
        }
    }
}

fn check_entry(
    history: &History,
    key: &[u8],
    revision: u64,
    found: Option<Stored<'_>>,
    wall: Wall,
) -> Result<(), String> {
    let expected = history.state(key, revision);
    match (expected, found) {
        (Some(entry), Some(stored)) if entry.stored() != stored => {
            Err(format!("read {stored:?} where there was {entry:?}"))
        }
        (Some(entry), Some(_)) if !wall.may_show(entry, revision, history) => {
            Err(format!("read what had ended by {}: {entry:?}", wall.earliest_ms))
        }
        (Some(entry), None) if wall.must_show(entry, revision, history) => {
            Err(format!("did not see {entry:?}"))
        }
        (None, Some(stored)) => Err(format!("read {stored:?} where there was nothing")),
        _ => Ok(()),
    }
}

fn check_page(
    history: &History,
    content: &[&Entry],
    reply: &ScanReply<'_>,
    limit: u32,
    wall: Wall,
) -> Result<(), String> {
    if limit > 0 && reply.entries.len() > limit as usize {
        return Err("the page is longer than was asked for".to_owned());
    }
    let mut rest = content.iter();
    for found in &reply.entries {
        loop {
            let entry = rest.next().ok_or_else(|| format!("a page with {found:?}"))?;
            if entry.key() == found.key {
                if entry.to_wire() != *found {
                    return Err(format!("a page with {found:?} where there was {entry:?}"));
                }
                if !wall.may_show(entry, reply.revision, history) {
                    return Err(format!("a page with what had ended: {entry:?}"));
                }
                break;
            }
            if wall.must_show(entry, reply.revision, history) {
                return Err(format!("a page without {entry:?}"));
            }
        }
    }
    let missing = rest.find(|entry| wall.must_show(entry, reply.revision, history));
    match (reply.more, missing) {
        (false, Some(entry)) => Err(format!("the last page is without {entry:?}")),
        _ => Ok(()),
    }
}

/// A write says that it changed nothing: was that right?
fn check_refusal(
    history: &History,
    key: &[u8],
    condition: If,
    revision: u64,
    status: WriteStatus,
    wall: Wall,
) -> Result<(), String> {
    let entry = history.state(key, revision);
    let modified = entry.map(Entry::modified);
    let could_be_absent = entry.is_none_or(|entry| !wall.must_show(entry, revision, history));
    let right = match status {
        WriteStatus::NotFound => could_be_absent,
        _ => !condition.holds(modified) || (could_be_absent && !condition.holds(None)),
    };
    if right { Ok(()) } else { Err(format!("{status:?} although {condition:?} held of {entry:?}")) }
}
