//! Revisions against real time, over all keys of a group: it promises one order for everything, so a call
//! that began after another had been answered must be later in it.

use std::collections::HashMap;

use super::explain::Violation;
use super::groups::{Group, Groups, Told};
use super::history::{Call, End};

/// A call with what its answer says of one group, and when.
type Said<'a> = (&'a Call, u64, Told);

/// The first pair of calls whose revisions contradict the time at which they were made.
pub(super) fn violation(groups: &Groups, history: &[Call]) -> Option<Violation> {
    let mut answered: Vec<Said<'_>> = history
        .iter()
        .flat_map(|call| {
            let (at, told) = match &call.end {
                End::Answered(at, answer) => (*at, groups.told(&call.operation, answer)),
                End::Unknown | End::Failed => (0, Vec::new()),
            };
            told.into_iter().map(move |told| (call, at, told))
        })
        .collect();
    shared(&answered).or_else(|| {
        let mut by_end = answered.clone();
        by_end.sort_by_key(|&(_, at, _)| at);
        answered.sort_by_key(|&(call, ..)| call.invoked);
        let mut ended = by_end.into_iter().peekable();
        let mut newest: HashMap<Group, (&Call, u64)> = HashMap::new();
        for (call, _, told) in answered {
            while let Some((earlier, _, Told { group, revision, .. })) =
                ended.next_if(|&(_, at, _)| at < call.invoked)
            {
                if newest.get(&group).is_none_or(|&(_, known)| revision > known) {
                    newest.insert(group, (earlier, revision));
                }
            }
            if let Some(&(earlier, revision)) = newest.get(&told.group)
                && revision > told.ceiling()
            {
                let what = "a call began after another was answered and has an older revision";
                return Some(Violation::of_pair(what, earlier, call));
            }
        }
        None
    })
}

/// Two writes with one revision.
fn shared(answered: &[Said<'_>]) -> Option<Violation> {
    let mut writes = HashMap::new();
    answered.iter().filter(|(.., told)| told.changed).find_map(|(call, _, told)| {
        let other = writes.insert((told.group, told.revision), *call)?;
        Some(Violation::of_pair("two writes have the same revision", other, call))
    })
}
