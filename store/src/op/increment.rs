//! `increment`: adds to a number kept as decimal text.

use alloc::string::ToString;
use core::ops::DerefMut;

use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{Increment, IncrementReply};
use tidekeep_protocol::planted;

use crate::apply::Transition;
use crate::entry::Entry;
use crate::shard::Shard;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    increment: &Increment<'_>,
) -> Result<IncrementReply, Refusal> {
    let spot = transition.find(increment.key);
    let by = if planted::is_awake("update-lost") { 0 } else { increment.by };
    let value = number(transition.live(spot))?.checked_add(by).ok_or_else(|| {
        Refusal::new(Code::InvalidInput, "the sum is outside the range of a 64-bit number")
    })?;
    let text = value.to_string();
    transition.put(spot, increment.key, text.as_bytes(), increment.expiry)?;
    Ok(IncrementReply { revision: transition.revision(), value })
}

fn number(entry: Option<&Entry>) -> Result<i64, Refusal> {
    let Some(entry) = entry else { return Ok(0) };
    core::str::from_utf8(entry.value())
        .ok()
        .filter(|text| !text.starts_with('+'))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Refusal::new(Code::InvalidInput, "the value is no decimal number"))
}
