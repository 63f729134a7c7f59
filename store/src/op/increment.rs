//! `increment`: adds to a number kept as decimal text.

use alloc::string::ToString;
use core::ops::DerefMut;

use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::increment::{NOT_A_NUMBER, OUT_OF_RANGE};
use tidekeep_protocol::op::{Increment, IncrementReply};
use tidekeep_protocol::planted;

use crate::apply::Transition;
use crate::change::EventKind;
use crate::entry::Entry;
use crate::shard::Shard;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    increment: &Increment<'_>,
) -> Result<IncrementReply, Refusal> {
    let spot = transition.find(increment.key);
    let by = if planted::is_awake("update-lost") { 0 } else { increment.by };
    let value = number(transition.live(spot))?
        .checked_add(by)
        .ok_or_else(|| Refusal::new(Code::InvalidInput, OUT_OF_RANGE))?;
    let text = value.to_string();
    transition.put(spot, increment.key, text.as_bytes(), increment.expiry, EventKind::Put)?;
    Ok(IncrementReply { revision: transition.revision(), value })
}

fn number(entry: Option<&Entry>) -> Result<i64, Refusal> {
    let Some(entry) = entry else { return Ok(0) };
    core::str::from_utf8(entry.value())
        .ok()
        .filter(|text| is_usual(text))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Refusal::new(Code::InvalidInput, NOT_A_NUMBER))
}

/// Whether a number is written as this operation writes it: no plus, no zeros in front.
fn is_usual(text: &str) -> bool {
    text == "0" || text.trim_start_matches('-').starts_with(|first| matches!(first, '1'..='9'))
}
