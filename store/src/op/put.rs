//! `put`: sets a value if the condition holds.

use core::ops::DerefMut;

use tidekeep_protocol::error::Refusal;
use tidekeep_protocol::op::{Put, WriteStatus};

use crate::apply::{Transition, holds};
use crate::reply::Written;
use crate::shard::Shard;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    put: &Put<'_>,
) -> Result<Written, Refusal> {
    let before = transition.live(put.key);
    if !holds(&put.condition, before.as_ref()) {
        let revision = transition.revision();
        return Ok(Written { revision, status: WriteStatus::Refused, entry: before });
    }
    let entry = before.clone().filter(|_| put.previous);
    transition.put(put.key, put.value, put.expiry, before)?;
    Ok(Written { revision: transition.revision(), status: WriteStatus::Applied, entry })
}
