//! Revisions that no answer names: every write that changed something has one of its own, so of the calls
//! without an answer at most as many can have had an effect, each after what was answered before it began.

use std::ops::Range;

use super::history::{Call, End};

/// The revisions that writes without an answer can have.
pub(super) struct Holes {
    /// Those that are known to be of other writes, in rows.
    used: Vec<Range<u64>>,
    /// After each tick at which something was answered, the highest revision answered by then.
    answered: Vec<(u64, u64)>,
}

impl Holes {
    /// Of a whole history, and the revisions that are proven of calls without an answer.
    pub(super) fn of<'a>(
        history: impl Iterator<Item = &'a Call>,
        proven: impl Iterator<Item = u64>,
    ) -> Self {
        let mut revisions: Vec<u64> = proven.collect();
        let mut answered = Vec::new();
        for call in history {
            let End::Answered(at, answer) = &call.end else { continue };
            let Some(revision) = answer.revision else { continue };
            answered.push((*at, revision));
            if answer.changed() {
                revisions.push(revision);
            }
        }
        answered.sort_unstable();
        let mut newest = 0;
        for (_, revision) in &mut answered {
            newest = newest.max(*revision);
            *revision = newest;
        }
        Self { used: rows(revisions), answered }
    }

    /// The highest revision that was answered before this tick.
    pub(super) fn newest_before(&self, tick: u64) -> u64 {
        let count = self.answered.partition_point(|&(at, _)| at < tick);
        count.checked_sub(1).map_or(0, |last| self.answered[last].1)
    }

    /// The first one after a revision that is not taken.
    pub(super) fn first_after(&self, revision: u64, taken: &[u64]) -> u64 {
        let mut hole = revision.saturating_add(1);
        loop {
            let row = self.used.partition_point(|row| row.end <= hole);
            if let Some(row) = self.used.get(row)
                && row.contains(&hole)
            {
                hole = row.end;
            }
            if !taken.contains(&hole) {
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
