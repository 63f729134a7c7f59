//! An opaque position in a store's order of changes. A client keeps it as bytes and hands it back to
//! resume a watch; only servers look inside.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::codec::{self, Malformed};

/// The most groups that one cursor names.
pub const GROUPS_MAX: usize = 256;

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
        let cursor: Self = codec::decode(bytes)?;
        if cursor.revisions.is_empty() || cursor.revisions.len() > GROUPS_MAX {
            return Err(Malformed);
        }
        Ok(cursor)
    }
}
