//! `lease_grant`: makes a lease, named after the revision that made it.

use core::ops::DerefMut;

use tidekeep_protocol::op::{LeaseGrant, LeaseReply};

use crate::apply::Transition;
use crate::shard::Shard;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    grant: &LeaseGrant,
) -> LeaseReply {
    let (revision, now_ms) = (transition.next_revision(), transition.now());
    let expires_at = transition.change_leases().grant(revision, grant.ttl_ms, now_ms);
    LeaseReply { revision, lease: revision, ttl_ms: grant.ttl_ms, expires_at }
}
