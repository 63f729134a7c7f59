//! `touch`: moves a key's end.

use alloc::boxed::Box;
use core::ops::DerefMut;

use tidekeep_protocol::error::Refusal;
use tidekeep_protocol::op::{Touch, TouchReply, WriteStatus};

use crate::apply::{Transition, holds};
use crate::change::EventKind;
use crate::entry::Entry;
use crate::shard::Shard;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    touch: &Touch<'_>,
) -> Result<Box<TouchReply>, Refusal> {
    let spot = transition.find(touch.key);
    let (status, meta) = match transition.live(spot) {
        before if !holds(&touch.condition, before) => {
            (WriteStatus::Refused, before.map(Entry::meta))
        }
        None => (WriteStatus::NotFound, None),
        Some(before) => {
            let before = before.clone();
            let meta =
                transition.put(spot, touch.key, before.value(), touch.expiry, EventKind::Touch)?;
            (WriteStatus::Applied, Some(meta))
        }
    };
    Ok(Box::new(TouchReply { revision: transition.revision(), status, meta }))
}
