//! Where something stands that follows all groups: a revision for each of them, and which of them may
//! have news.

use std::sync::Arc;

use tidekeep_log::Feed;
use tidekeep_protocol::cursor::{Cursor, GROUPS_MAX};

/// A revision for each group. That of the first is at hand, so that a store of one group allocates nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Positions {
    first: u64,
    others: Box<[u64]>,
}

impl Positions {
    /// The revision that `of` gives for each feed.
    pub(crate) fn of(feeds: &[Arc<dyn Feed>], of: impl Fn(&dyn Feed) -> u64) -> Self {
        feeds.iter().map(|feed| of(&**feed)).collect()
    }

    /// How many groups there are.
    pub(crate) fn groups(&self) -> usize {
        1 + self.others.len()
    }

    /// The revision of a group.
    pub(crate) fn at(&self, group: usize) -> u64 {
        match group {
            0 => self.first,
            group => self.others[group - 1],
        }
    }

    /// Makes a group's revision at least this; whether it was less.
    pub(crate) fn reach(&mut self, group: usize, revision: u64) -> bool {
        let at = match group {
            0 => &mut self.first,
            group => &mut self.others[group - 1],
        };
        let moves = *at < revision;
        *at = revision.max(*at);
        moves
    }

    /// Names a revision for each of the groups that the only one was split into: every one goes on behind those of
    /// the one that it came from. Positions of several groups stay as they are, since those are not split.
    pub(crate) fn spread(&mut self, groups: usize) {
        if self.groups() == 1 {
            self.others = vec![self.first; groups.saturating_sub(1)].into();
        }
    }

    /// The revisions, in the order of the groups.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }

    /// The least of them: every group has come at least so far.
    pub(crate) fn least(&self) -> u64 {
        self.others.iter().fold(self.first, |least, at| least.min(*at))
    }

    /// The cursor of a watch that has come so far.
    pub(crate) fn cursor(&self, incarnation: u64) -> Cursor {
        Cursor { incarnation, revisions: self.iter().collect() }
    }

    /// Memory that they take beside themselves, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        size_of_val(&*self.others)
    }
}

impl FromIterator<u64> for Positions {
    fn from_iter<I: IntoIterator<Item = u64>>(revisions: I) -> Self {
        let mut revisions = revisions.into_iter();
        let first = revisions.next().unwrap_or_default();
        Self { first, others: revisions.collect() }
    }
}

/// The groups that may have news.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Due([u64; GROUPS_MAX / 64]);

impl Due {
    /// All of so many groups.
    pub(crate) fn all(groups: usize) -> Self {
        let mut due = Self::default();
        (0..groups).for_each(|group| due.note(group));
        due
    }

    /// Notes that a group may have news.
    pub(crate) fn note(&mut self, group: usize) {
        self.0[group / 64] |= 1 << (group % 64);
    }

    /// Notes that a group has none.
    pub(crate) fn clear(&mut self, group: usize) {
        self.0[group / 64] &= !(1 << (group % 64));
    }

    /// Whether a group may have news.
    pub(crate) fn has(&self, group: usize) -> bool {
        self.0[group / 64] & 1 << (group % 64) != 0
    }

    /// Whether any may.
    pub(crate) fn any(&self) -> bool {
        self.0 != [0; GROUPS_MAX / 64]
    }

    /// The first at or behind `from`, else the first at all: whoever goes on behind what came out the last
    /// time lets none wait for another.
    pub(crate) fn next(&self, from: usize) -> Option<usize> {
        self.first_from(from).or_else(|| self.first_from(0))
    }

    fn first_from(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = self.0.get(word)? & u64::MAX << (from % 64);
        while bits == 0 {
            word += 1;
            bits = *self.0.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_are_due_come_in_turn() {
        let mut due = Due::default();
        assert_eq!((due.next(0), due.any()), (None, false));
        for group in [0, 63, 64, 255] {
            due.note(group);
            assert!(due.has(group));
        }
        let next: Vec<_> = [0, 1, 64, 65, 255, 256].map(|from| due.next(from)).into();
        assert_eq!(next, [0, 63, 64, 255, 255, 0].map(Some));
        [0, 63, 64, 255].into_iter().for_each(|group| due.clear(group));
        assert!(!due.any());
        assert_eq!(Due::all(2).next(2), Some(0));
    }

    #[test]
    fn only_the_position_in_a_single_group_is_spread_over_several() {
        let mut positions: Positions = [5].into_iter().collect();
        positions.spread(1);
        assert_eq!(positions.iter().collect::<Vec<_>>(), [5]);
        positions.spread(3);
        assert_eq!(positions.iter().collect::<Vec<_>>(), [5, 5, 5]);
        positions.reach(1, 7);
        positions.spread(3);
        assert_eq!(positions.iter().collect::<Vec<_>>(), [5, 7, 5]);
    }

    #[test]
    fn positions_only_rise() {
        let mut positions: Positions = [5, 3, 9].into_iter().collect();
        assert!(positions.reach(1, 4) && !positions.reach(1, 4) && !positions.reach(2, 1));
        assert_eq!(positions.iter().collect::<Vec<_>>(), [5, 4, 9]);
        assert_eq!((positions.least(), positions.groups()), (4, 3));
        assert_eq!(positions.cursor(7), Cursor { incarnation: 7, revisions: vec![5, 4, 9] });
    }
}
