//! `touch`: moves a key's end.

use alloc::boxed::Box;
use core::ops::DerefMut;

use tidekeep_protocol::error::Refusal;
use tidekeep_protocol::op::{Touch, TouchReply, WriteStatus};

use crate::apply::{Transition, holds};
use crate::entry::Entry;
use crate::shard::Shard;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    touch: &Touch<'_>,
) -> Result<Box<TouchReply>, Refusal> {
    let before = transition.live(touch.key);
    let (status, meta) = match before {
        before if !holds(&touch.condition, before.as_ref()) => {
            (WriteStatus::Refused, before.as_ref().map(Entry::meta))
        }
        None => (WriteStatus::NotFound, None),
        Some(before) => {
            let value = before.clone();
            let entry = transition.put(touch.key, value.value(), touch.expiry, Some(before))?;
            (WriteStatus::Applied, Some(entry.meta()))
        }
    };
    Ok(Box::new(TouchReply { revision: transition.revision(), status, meta }))
}
