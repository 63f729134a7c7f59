//! `put`: sets a value if the condition holds.

use core::ops::DerefMut;

use tidekeep_protocol::error::Refusal;
use tidekeep_protocol::op::{Put, WriteStatus};

use crate::apply::{Transition, holds};
use crate::change::EventKind;
use crate::reply::Written;
use crate::shard::Shard;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    put: &Put<'_>,
) -> Result<Written, Refusal> {
    let spot = transition.find(put.key);
    let before = transition.live(spot);
    if !holds(&put.condition, before) {
        let (revision, entry) = (transition.revision(), before.cloned());
        return Ok(Written { revision, status: WriteStatus::Refused, entry });
    }
    let entry = before.filter(|_| put.previous).cloned();
    transition.put(spot, put.key, put.value, put.expiry, EventKind::Put)?;
    Ok(Written { revision: transition.revision(), status: WriteStatus::Applied, entry })
}
