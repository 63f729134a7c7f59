//! An opaque position in a store's order of changes. A client keeps it as bytes and hands it back to
//! resume a watch; only servers look inside.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::codec::{self, Malformed};

/// The most groups that one cursor names.
pub const GROUPS_MAX: usize = 256;

/// The longest cursor, in bytes: an incarnation, the number of groups and a revision for each.
pub const CURSOR_BYTES_MAX: usize = 10 + 2 + 10 * GROUPS_MAX;

/// Where a watch has got to: the store's incarnation and one revision for each group. One group
/// today may become many without a change for those who hold cursors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Changes whenever the store's history is replaced, as by a restore.
    pub incarnation: u64,
    /// The last revision seen, for each group in order.
    pub revisions: Vec<u64>,
}

impl Cursor {
    /// The position `revision` in a store of one group.
    pub fn single(incarnation: u64, revision: u64) -> Self {
        Self { incarnation, revisions: alloc::vec![revision] }
    }

    /// The cursor's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(20);
        codec::encode(self, &mut bytes);
        bytes
    }

    /// Reads a cursor that a client gave back.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > CURSOR_BYTES_MAX {
            return Err(Malformed);
        }
        let cursor: Self = codec::decode(bytes)?;
        if cursor.revisions.is_empty() || cursor.revisions.len() > GROUPS_MAX {
            return Err(Malformed);
        }
        Ok(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_bring_the_cursor_back() {
        let cursor = Cursor { incarnation: u64::MAX, revisions: alloc::vec![u64::MAX; GROUPS_MAX] };
        assert_eq!(cursor.to_bytes().len(), CURSOR_BYTES_MAX);
        assert_eq!(Cursor::from_bytes(&cursor.to_bytes()), Ok(cursor));
    }

    #[test]
    fn no_group_too_many_groups_and_trailing_bytes_are_malformed() {
        let empty = Cursor { incarnation: 1, revisions: Vec::new() };
        assert_eq!(Cursor::from_bytes(&empty.to_bytes()), Err(Malformed));
        let crowded = Cursor { incarnation: 1, revisions: alloc::vec![1; GROUPS_MAX + 1] };
        assert_eq!(Cursor::from_bytes(&crowded.to_bytes()), Err(Malformed));
        let mut long = Cursor::single(1, 2).to_bytes();
        long.push(0);
        assert_eq!(Cursor::from_bytes(&long), Err(Malformed));
        assert_eq!(Cursor::from_bytes(b""), Err(Malformed));
    }
}
