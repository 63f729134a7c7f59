//! `delete`: removes a key if the condition holds.

use core::ops::DerefMut;

use tidekeep_protocol::op::{Delete, WriteStatus};

use crate::apply::{Transition, holds};
use crate::change::EventKind;
use crate::reply::Written;
use crate::shard::Shard;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    delete: &Delete<'_>,
) -> Written {
    let before = transition.live(delete.key);
    let (status, entry) = match before {
        before if !holds(&delete.condition, before.as_ref()) => (WriteStatus::Refused, before),
        None => (WriteStatus::NotFound, None),
        Some(before) => {
            transition.remove(before.clone(), EventKind::Delete);
            (WriteStatus::Applied, Some(before).filter(|_| delete.previous))
        }
    };
    Written { revision: transition.revision(), status, entry }
}
