//! `adopt_lease`: makes the lease that another group has granted. One that is there stays as it is.

use core::ops::DerefMut;

use tidekeep_protocol::op::LeaseReply;

use crate::apply::Transition;
use crate::shard::Shard;
use crate::step::AdoptLease;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    adopt: &AdoptLease,
) -> LeaseReply {
    let AdoptLease { lease, ttl_ms } = *adopt;
    let now_ms = transition.now();
    let expires_at = match transition.leases().end_of(lease) {
        Some(expires_at) => expires_at,
        None => transition.change_leases().grant(lease, ttl_ms, now_ms),
    };
    LeaseReply { revision: transition.revision(), lease, ttl_ms, expires_at }
}
