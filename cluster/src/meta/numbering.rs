//! Under which number a group goes among the groups of a node's log and between nodes. The groups that a store was
//! founded with have their own; those that a split has made have others, so that whoever does not know of the split
//! asks a group that is no more, and is refused.

use tidekeep_protocol::slot::GroupId;

/// Which of a cluster's groups are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Numbering {
    /// Those that it was founded with.
    #[default]
    Founded,
    /// Those that a split has made.
    Split,
}

/// What a number has that a split has made.
const SPLIT: u32 = 1 << 16;

impl Numbering {
    /// The number of a group.
    pub fn number(self, group: GroupId) -> u32 {
        match self {
            Self::Founded => u32::from(group.0),
            Self::Split => SPLIT | u32::from(group.0),
        }
    }

    /// Which group has this number; none if it is no data group's.
    pub fn group(number: u32) -> Option<(Self, GroupId)> {
        let group = GroupId(number as u16);
        match number & !u32::from(u16::MAX) {
            0 => Some((Self::Founded, group)),
            SPLIT => Some((Self::Split, group)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::META_GROUP;

    #[test]
    fn numbers_bring_groups_back_and_none_has_two() {
        for numbering in [Numbering::Founded, Numbering::Split] {
            for group in [0, 1, 255].map(GroupId) {
                let number = numbering.number(group);
                assert_eq!(Numbering::group(number), Some((numbering, group)));
            }
        }
        assert_eq!(Numbering::group(META_GROUP), None);
    }
}
