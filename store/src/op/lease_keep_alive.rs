//! `lease_keep_alive`: gives a lease its whole time again.

use core::ops::DerefMut;

use tidekeep_protocol::error::Refusal;
use tidekeep_protocol::op::{LeaseKeepAlive, LeaseReply};

use crate::apply::Transition;
use crate::leases::no_such_lease;
use crate::shard::Shard;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    request: &LeaseKeepAlive,
) -> Result<LeaseReply, Refusal> {
    let (revision, now_ms, lease) = (transition.next_revision(), transition.now(), request.lease);
    if !transition.leases().is_live(lease, now_ms) {
        return Err(no_such_lease());
    }
    let kept = transition.change_leases().keep_alive(lease, now_ms);
    let (ttl_ms, expires_at) = kept.ok_or_else(no_such_lease)?;
    Ok(LeaseReply { revision, lease, ttl_ms, expires_at })
}
