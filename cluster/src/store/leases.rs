//! Leases of a store of several groups: one lease is the same in all groups, so that keys of any group can go with
//! it, and each group ends it by its own time, with the keys that it has.
//!
//! ```text
//! grant       home makes the number ─▶ all others adopt the lease ─▶ the client is told
//! keep-alive  all groups ─▶ all have it: its time begins anew
//!                        └▶ one has it not: it is lost, and is ended in all others
//! revocation  all groups ─▶ the keys of all
//! ```
//! No end comes too early: a group counts the time from when it ran the grant or keep-alive, which is after the
//! client made it, and the client counts from then on. None stays away: what is kept alive anew is kept alive in
//! all groups or lost.

use tidekeep_log::{Answer, Call, Numbered, Reply};
use tidekeep_protocol::codec;
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{LeaseGrant, LeaseReply, LeaseRevoke, LeaseRevokeReply, Request};
use tidekeep_protocol::slot::{GroupId, hash64};
use tidekeep_store::step::{AdoptLease, Asks, GrantLease, GrantNumber, Granted};

use crate::raft::Runtime;
use crate::replicated::Calls;
use crate::store::batch::one;
use crate::store::doors::Doors;

/// The group that makes a lease's number: the same each time that a numbered grant comes.
pub(super) fn home<R: Runtime>(doors: &Doors<R>, number: Option<&Numbered>) -> GroupId {
    let drawn = match number {
        None => doors.draw(),
        Some(Numbered { session, number, .. }) => {
            let sequence = number.sequence.to_le_bytes();
            hash64(&[&session.0[..], &sequence[..]].concat())
        }
    };
    GroupId((drawn % u64::from(doors.groups().get())) as u16)
}

/// What a home is asked for a lease.
pub(super) fn grant_at<R: Runtime>(
    doors: &Doors<R>,
    home: GroupId,
    grant: LeaseGrant,
    number: Option<Numbered>,
) -> Calls {
    let (ttl_ms, groups) = (grant.ttl_ms, doors.groups().get());
    let number = number.map(GrantNumber::from);
    let mut calls = Calls::default();
    calls.push_step(&GrantLease { ttl_ms, groups, home: home.0, number }.step());
    calls
}

/// Has all groups adopt what the home has granted.
pub(super) async fn adopt<R: Runtime>(doors: &Doors<R>, home: GroupId, granted: Answer) -> Answer {
    let mut lease = match read::<Granted>(&granted?)? {
        Granted::Lease(lease) => lease,
        // Whoever asks for it again has been told, or will be, that it is lost.
        Granted::Over(lease) => return Ok(Reply::Lease(lease)),
        Granted::Unknown => return Err(refused(Code::OutcomeUnknown, FORGOTTEN)),
        Granted::Reused => return Err(refused(Code::InvalidInput, REUSED)),
    };
    let mut adopt = Calls::default();
    adopt.push_step(&AdoptLease { lease: lease.lease, ttl_ms: lease.ttl_ms }.step());
    let others = doors.groups().groups().filter(|group| *group != home);
    let asked: Vec<_> = others.map(|group| doors.ask(group, adopt.clone())).collect();
    for asked in asked {
        let adopted: LeaseReply = read(&one(&adopt, asked).await?)?;
        lease.expires_at = lease.expires_at.min(adopted.expires_at);
    }
    Ok(Reply::Lease(lease))
}

/// Makes one answer of those that all groups gave to a keep-alive.
pub(super) async fn kept_alive<R: Runtime>(
    doors: &Doors<R>,
    lease: u64,
    parts: Vec<Answer>,
) -> Answer {
    let lost = parts.iter().filter_map(|part| part.as_ref().err()).find(|it| is_not_there(it));
    if let Some(lost) = lost {
        let lost = lost.clone();
        end_in(doors, lease, &parts).await;
        return Err(lost);
    }
    let home = (lease % u64::from(doors.groups().get())) as usize;
    let mut kept: Option<LeaseReply> = None;
    for (place, part) in parts.into_iter().enumerate() {
        let part = read_lease(&part?)?;
        let known = kept.get_or_insert(part);
        if place == home {
            known.revision = part.revision;
        }
        known.expires_at = known.expires_at.min(part.expires_at);
    }
    kept.map(Reply::Lease).ok_or_else(unlike)
}

/// Ends a lost lease in the groups that still have it.
async fn end_in<R: Runtime>(doors: &Doors<R>, lease: u64, parts: &[Answer]) {
    let request = Request::LeaseRevoke(LeaseRevoke { lease });
    let revoke = Calls::of(&Call::new(request));
    let left = parts.iter().zip(doors.groups().groups()).filter(|(part, _)| part.is_ok());
    let asked: Vec<_> = left.map(|(_, group)| doors.ask(group, revoke.clone())).collect();
    for asked in asked {
        // A group that does not answer ends it by its own time.
        let _ = asked.await;
    }
}

/// Makes one answer of those that all groups gave to a revocation.
pub(super) fn revoked(parts: Vec<Answer>) -> Answer {
    let mut whole: Option<LeaseRevokeReply> = None;
    let mut not_there = None;
    for part in parts {
        match part {
            Err(refusal) if is_not_there(&refusal) => not_there = Some(refusal),
            part => {
                let part = read_revoked(&part?)?;
                let known = whole.get_or_insert(LeaseRevokeReply { deleted: 0, ..part });
                known.deleted += part.deleted;
                known.revision = known.revision.max(part.revision);
            }
        }
    }
    match (whole, not_there) {
        (Some(whole), _) => Ok(Reply::LeaseRevoke(whole)),
        (None, refusal) => Err(refusal.unwrap_or_else(unlike)),
    }
}

fn is_not_there(refusal: &Refusal) -> bool {
    refusal.code == Code::NotFound
}

/// The reply to a step.
fn read<T: for<'a> serde::Deserialize<'a>>(reply: &Reply) -> Result<T, Refusal> {
    match reply {
        Reply::Encoded(encoded) => codec::decode(&encoded.body).map_err(|_| unlike()),
        _ => Err(unlike()),
    }
}

fn read_lease(reply: &Reply) -> Result<LeaseReply, Refusal> {
    match reply {
        Reply::Lease(lease) => Ok(*lease),
        // As it is remembered in a snapshot.
        other => read(other),
    }
}

fn read_revoked(reply: &Reply) -> Result<LeaseRevokeReply, Refusal> {
    match reply {
        Reply::LeaseRevoke(revoked) => Ok(*revoked),
        other => read(other),
    }
}

const FORGOTTEN: &str = "the grant may have been made before, and nobody remembers it";
const REUSED: &str = "the number is that of another write";

fn refused(code: Code, why: &'static str) -> Refusal {
    Refusal::new(code, why)
}

fn unlike() -> Refusal {
    Refusal::new(Code::Internal, "a group answered something else than it was asked")
}
