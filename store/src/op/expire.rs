//! Expiry as a command: removes entries whose time is over, if nothing has written to them since it
//! was proposed.

use core::ops::DerefMut;

use crate::apply::Transition;
use crate::change::EventKind;
use crate::record::Expired;
use crate::shard::Shard;
use tidekeep_protocol::planted;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    expired: &[Expired<'_>],
) {
    let now = transition.now();
    for candidate in expired {
        if transition.is_locked(candidate.key) {
            continue;
        }
        let spot = transition.find(candidate.key);
        let Some(entry) = transition.kept(spot) else { continue };
        if entry.modified() == candidate.modified && entry.expired(now) {
            let deleted = planted::is_awake("expiry-told-as-delete");
            transition.remove_at(spot, if deleted { EventKind::Delete } else { EventKind::Expire });
        }
    }
}
