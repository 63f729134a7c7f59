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
    let spot = transition.find(delete.key);
    let (status, entry) = match transition.live(spot) {
        before if !holds(&delete.condition, before) => (WriteStatus::Refused, before.cloned()),
        None => (WriteStatus::NotFound, None),
        Some(before) => {
            let entry = delete.previous.then(|| before.clone());
            transition.remove_at(spot, EventKind::Delete);
            (WriteStatus::Applied, entry)
        }
    };
    Written { revision: transition.revision(), status, entry }
}
