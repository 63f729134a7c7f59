//! Revisions that no answer names: every write that changed something has one of its own, so of the calls
//! without an answer at most as many can have had an effect, each after what was answered before it began.

use std::collections::BTreeMap;
use std::ops::Range;

use super::groups::{Group, Groups};
use super::history::{Call, End};

/// The revisions that writes without an answer can have, group by group.
#[derive(Default)]
pub(super) struct Holes(BTreeMap<Group, Known>);

/// What is known of a group.
#[derive(Default)]
struct Known {
    /// The revisions that are known to be of other writes, in rows.
    used: Vec<Range<u64>>,
    /// After each tick at which something was answered, the highest revision answered by then.
    answered: Vec<(u64, u64)>,
}

impl Holes {
    /// Of a whole history, and the revisions that are proven of calls without an answer.
    pub(super) fn of<'a>(
        groups: &Groups,
        history: impl Iterator<Item = &'a Call>,
        proven: Vec<(Group, u64)>,
    ) -> Self {
        let mut holes = Self::default();
        let mut revisions: BTreeMap<Group, Vec<u64>> = BTreeMap::new();
        for (group, revision) in proven {
            revisions.entry(group).or_default().push(revision);
        }
        for call in history {
            let End::Answered(at, answer) = &call.end else { continue };
            for told in groups.told(&call.operation, answer) {
                let known = holes.0.entry(told.group).or_default();
                known.answered.push((*at, told.revision));
                if told.changed {
                    revisions.entry(told.group).or_default().push(told.revision);
                }
            }
        }
        for known in holes.0.values_mut() {
            known.answered.sort_unstable();
            let mut newest = 0;
            for (_, revision) in &mut known.answered {
                newest = newest.max(*revision);
                *revision = newest;
            }
        }
        for (group, revisions) in revisions {
            holes.0.entry(group).or_default().used = rows(revisions);
        }
        holes
    }

    /// The highest revision of a group that was answered before this tick.
    pub(super) fn newest_before(&self, group: Group, tick: u64) -> u64 {
        let Some(known) = self.0.get(&group) else { return 0 };
        let count = known.answered.partition_point(|&(at, _)| at < tick);
        count.checked_sub(1).map_or(0, |last| known.answered[last].1)
    }

    /// The first one of a group after a revision that is not taken.
    pub(super) fn first_after(&self, group: Group, revision: u64, taken: &[(Group, u64)]) -> u64 {
        let used = self.0.get(&group).map_or(&[][..], |known| &known.used);
        let mut hole = revision.saturating_add(1);
        loop {
            let row = used.partition_point(|row| row.end <= hole);
            if let Some(row) = used.get(row)
                && row.contains(&hole)
            {
                hole = row.end;
            }
            if !taken.contains(&(group, hole)) {
                return hole;
            }
            hole = hole.saturating_add(1);
        }
    }
}

fn rows(mut revisions: Vec<u64>) -> Vec<Range<u64>> {
    revisions.sort_unstable();
    let mut rows: Vec<Range<u64>> = Vec::new();
    for revision in revisions {
        match rows.last_mut() {
            Some(row) if revision <= row.end => row.end = row.end.max(revision + 1),
            _ => rows.push(revision..revision + 1),
        }
    }
    rows
}
