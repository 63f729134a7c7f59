//! `grant_lease`: makes a lease of a store of several groups. Its number is `revision · groups + home`: of each
//! group another one, whatever the others do.

use core::ops::DerefMut;

use tidekeep_protocol::codec;
use tidekeep_protocol::op::{LeaseGrant, LeaseReply, Operation};

use crate::apply::{Stamp, Transition};
use crate::change::Change;
use crate::reply::Reply;
use crate::sessions::Recall;
use crate::shard::Shard;
use crate::shards::Writing;
use crate::step::{GrantLease, Granted};
use crate::tables::Tables;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    writing: &mut Writing<'_, G>,
    tables: &mut Tables,
    stamp: Stamp,
    grant: &GrantLease,
) -> (Granted, Option<Change>) {
    let numbered = grant.number.map(|number| number.numbered());
    match numbered.map(|it| tables.sessions.recall(&it, LeaseGrant::SPEC.kind)) {
        None | Some(Recall::New) => {}
        Some(Recall::Answered(answer)) => {
            let granted = match answer.ok().as_ref().and_then(lease_of) {
                Some(reply) if tables.leases.is_live(reply.lease, stamp.now_ms) => {
                    Granted::Lease(reply)
                }
                Some(reply) => Granted::Over(reply),
                None => Granted::Reused,
            };
            return (granted, None);
        }
        Some(Recall::Forgotten) => return (Granted::Unknown, None),
        Some(Recall::Reused) => return (Granted::Reused, None),
    }
    let revision = stamp.next();
    let (groups, home) = (u64::from(grant.groups), u64::from(grant.home));
    let lease = revision.saturating_mul(groups).saturating_add(home);
    let mut transition = Transition::new(writing, tables, stamp);
    let expires_at = transition.change_leases().grant(lease, grant.ttl_ms, stamp.now_ms);
    let change = transition.into_change();
    let reply = LeaseReply { revision, lease, ttl_ms: grant.ttl_ms, expires_at };
    if let Some(numbered) = numbered {
        tables.sessions.remember(&numbered, stamp.now_ms, Ok(Reply::Lease(reply)));
    }
    (Granted::Lease(reply), change)
}

fn lease_of(reply: &Reply) -> Option<LeaseReply> {
    match reply {
        Reply::Lease(reply) => Some(*reply),
        Reply::Encoded(encoded) => codec::decode(&encoded.body).ok(),
        _ => None,
    }
}
