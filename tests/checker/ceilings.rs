//! How high a group's revision may be before calls that are still to come: the lowest ceiling of them all
//! bounds whatever is before them.

use std::collections::BTreeMap;

use super::groups::{Group, Told};
use super::history::Key;

/// For each call, the lowest ceiling of it and all that began later.
#[derive(Default)]
pub(super) struct Ceilings {
    of_groups: BTreeMap<Group, Vec<u64>>,
    /// Of calls on a key alone, in its group.
    of_keys: BTreeMap<Key, Vec<u64>>,
}

/// Which calls are meant.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// All that say something of this group.
    Group(Group),
    /// Those on these keys, a set of bits, that say something of this group.
    Keys(Group, u64),
}

impl Of {
    /// The ceiling that a call sets.
    pub(super) fn ceiling(self, told: &[Told], keys: u64) -> u64 {
        let (group, meant) = match self {
            Self::Group(group) => (group, true),
            Self::Keys(group, of) => (group, keys & of != 0),
        };
        let told = told.iter().find(|told| meant && told.group == group);
        told.map_or(u64::MAX, Told::ceiling)
    }
}

impl Ceilings {
    /// Of calls in the order of their beginnings: what they say, and their keys.
    pub(super) fn of(groups: impl Fn(Key) -> Group, calls: &[(&[Told], u64)]) -> Self {
        let lowest = |of: Of| {
            let mut lowest = u64::MAX;
            let mut row: Vec<u64> = calls
                .iter()
                .rev()
                .map(|(told, keys)| {
                    lowest = lowest.min(of.ceiling(told, *keys));
                    lowest
                })
                .collect();
            row.reverse();
            row
        };
        let mut all = Self::default();
        let used = calls.iter().fold(0, |keys, (_, more)| keys | more);
        for key in (0..64).filter(|key| used & (1 << key) != 0) {
            let group = groups(key);
            all.of_keys.insert(key, lowest(Of::Keys(group, 1 << key)));
            all.of_groups.entry(group).or_insert_with(|| lowest(Of::Group(group)));
        }
        all
    }

    /// The lowest of the calls from this one on.
    pub(super) fn from(&self, call: usize, of: Of) -> u64 {
        let at = |row: &Vec<u64>| row.get(call).copied();
        let lowest = match of {
            Of::Group(group) => self.of_groups.get(&group).and_then(at),
            Of::Keys(_, keys) => {
                let rows = self.of_keys.iter().filter(|(key, _)| keys & (1 << **key) != 0);
                rows.filter_map(|(_, row)| at(row)).min()
            }
        };
        lowest.unwrap_or(u64::MAX)
    }
}
