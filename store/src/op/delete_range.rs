//! `delete_range`: removes the first keys of a range.

use alloc::vec::Vec;
use core::ops::DerefMut;

use tidekeep_protocol::op::{DeleteRange, DeleteRangeReply};

use crate::apply::Transition;
use crate::change::EventKind;
use crate::entry::Entry;
use crate::merge::{Direction, merge};
use crate::shard::Shard;

/// How many keys go at once when the request leaves it open. Part of the log's meaning: replaying a
/// record must remove what it removed the first time.
const KEYS_DEFAULT: usize = 1000;

pub(crate) fn run<G: DerefMut<Target = Shard>>(
    transition: &mut Transition<'_, '_, G>,
    request: &DeleteRange<'_>,
) -> DeleteRangeReply {
    let moment = transition.moment();
    let limit = if request.limit == 0 { KEYS_DEFAULT } else { request.limit as usize };
    let (doomed, more) = {
        let runs = transition.all().map(|shard| shard.ascending(request.range));
        let mut live = merge(runs, Direction::Ascending).filter(|entry| !moment.is_over(entry));
        let doomed: Vec<Entry> = live.by_ref().take(limit).cloned().collect();
        (doomed, live.next().is_some())
    };
    let deleted = doomed.len() as u64;
    for entry in doomed {
        transition.remove(&entry, EventKind::Delete);
    }
    DeleteRangeReply { revision: transition.revision(), deleted, more }
}
