//! `backup`: the whole store at one revision, as the bytes of a backup file, piece by piece. A
//! connection has at most one backup under way; it ends with the connection.

use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// Asks for the next piece of the connection's backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// How many bytes of the file the client has: 0 cuts a new backup, and lets one that is under
    /// way go; else where the piece before ended.
    pub offset: u64,
}

/// A piece of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReply<'a> {
    /// The revision of the backup.
    pub revision: u64,
    /// Keys in it.
    pub keys: u64,
    /// About how many bytes the file will have, for those who show how far they are.
    pub size: u64,
    /// Where the piece stands in the file.
    pub offset: u64,
    /// Whether the file ends behind this piece.
    pub done: bool,
    /// The piece. Empty without being the end: what the backup holds is not safe on the server's
    /// disk yet; ask again.
    #[serde(borrow, with = "serde_bytes")]
    pub bytes: &'a [u8],
}

impl Bounded for Backup {
    fn check(&self, _: &Limits) -> Result<(), Refusal> {
        Ok(())
    }
}
