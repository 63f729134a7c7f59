//! `lease_revoke`: ends a lease whose time is not over, and removes its keys.

use core::ops::DerefMut;

use tidekeep_protocol::error::Refusal;
use tidekeep_protocol::op::{LeaseRevoke, LeaseRevokeReply};

use crate::apply::Transition;
use crate::change::EventKind;
use crate::leases::no_such_lease;
use crate::shard::Shard;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    request: &LeaseRevoke,
) -> Result<LeaseRevokeReply, Refusal> {
    if !transition.leases().is_live(request.lease, transition.now()) {
        return Err(no_such_lease());
    }
    let entries = transition.change_leases().take(request.lease).ok_or_else(no_such_lease)?;
    let deleted = entries.len() as u64;
    for entry in entries {
        transition.remove(&entry, EventKind::Delete);
    }
    Ok(LeaseRevokeReply { revision: transition.revision(), deleted })
}
