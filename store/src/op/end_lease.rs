//! The end of a lease as a command: removes it and its keys, all at one revision, if its time is
//! over and nobody has kept it alive since the command was proposed.

use core::ops::DerefMut;

use crate::apply::Transition;
use crate::change::EventKind;
use crate::shard::Shard;
use tidekeep_protocol::planted;

pub(crate) fn run<G: DerefMut<Target = Shard>>(transition: &mut Transition<'_, '_, G>, lease: u64) {
    if !transition.leases().is_due(lease, transition.now()) || transition.is_lease_held(lease) {
        return;
    }
    let Some(entries) = transition.change_leases().take(lease) else { return };
    let most = if planted::is_awake("lease-leaves-keys") { 1 } else { usize::MAX };
    for entry in entries.into_iter().take(most) {
        transition.remove(&entry, EventKind::Expire);
    }
}
