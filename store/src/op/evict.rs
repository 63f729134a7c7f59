//! Eviction as a command: removes entries to make room, if nothing has written to them since they
//! were chosen.

use core::ops::DerefMut;

use crate::apply::Transition;
use crate::change::EventKind;
use crate::record::Expired;
use crate::shard::Shard;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    evicted: &[Expired<'_>],
) {
    let now = transition.now();
    for candidate in evicted {
        if transition.is_locked(candidate.key) {
            continue;
        }
        let spot = transition.find(candidate.key);
        let Some(entry) = transition.kept(spot) else { continue };
        if entry.modified() == candidate.modified {
            let over = entry.expired(now) || transition.leases().is_over(entry, now);
            transition.remove_at(spot, if over { EventKind::Expire } else { EventKind::Evict });
        }
    }
}
