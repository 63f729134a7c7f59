//! Revisions against real time, over all keys: the store promises one order for everything, so a call
//! that began after another had been answered must be later in it.

use std::collections::HashMap;

use super::explain::Violation;
use super::history::{Answer, Call, End};

/// The first pair of calls whose revisions contradict the time at which they were made.
pub(super) fn violation(history: &[Call]) -> Option<Violation> {
    let mut answered: Vec<(&Call, u64, &Answer, u64)> = history
        .iter()
        .filter_map(|call| match &call.end {
            End::Answered(at, answer) => Some((call, *at, answer, answer.revision?)),
            End::Unknown | End::Failed => None,
        })
        .collect();
    shared(&answered).or_else(|| {
        let mut by_end = answered.clone();
        by_end.sort_by_key(|&(_, at, ..)| at);
        answered.sort_by_key(|&(call, ..)| call.invoked);
        let mut ended = by_end.into_iter().peekable();
        let mut newest: Option<(&Call, u64)> = None;
        for (call, _, answer, _) in answered {
            while let Some((earlier, _, _, revision)) =
                ended.next_if(|&(_, at, ..)| at < call.invoked)
            {
                if newest.is_none_or(|(_, known)| revision > known) {
                    newest = Some((earlier, revision));
                }
            }
            if let Some((earlier, revision)) = newest
                && revision > answer.ceiling()
            {
                let what = "a call began after another was answered and has an older revision";
                return Some(Violation::of_pair(what, earlier, call));
            }
        }
        None
    })
}

/// Two writes with one revision.
fn shared(answered: &[(&Call, u64, &Answer, u64)]) -> Option<Violation> {
    let mut writes = HashMap::new();
    answered.iter().filter(|(_, _, answer, _)| answer.changed()).find_map(
        |(call, _, _, revision)| {
            let other = writes.insert(*revision, *call)?;
            Some(Violation::of_pair("two writes have the same revision", other, call))
        },
    )
}
