//! What an entry looks like from outside: its key, its value and what the store knows about it.

use serde::{Deserialize, Serialize};

/// What the store keeps beside a value. Revisions are positions in the group's order of writes,
/// below 2^53 so that a JavaScript number holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Revision of the write that made the key appear.
    pub created: u64,
    /// Revision of the last write to the key, touches included.
    pub modified: u64,
    /// How many writes the key has had since it appeared; 1 when it is new.
    pub version: u64,
    /// When the key ends by itself, in milliseconds since the Unix epoch.
    pub expires_at: Option<u64>,
    /// The lease that the key goes with. Such a key has no end of its own.
    pub lease: Option<u64>,
}

/// A value with its metadata; the key is known from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored<'a> {
    /// What the store knows about the entry.
    pub meta: Meta,
    /// The value's bytes; empty when the request asked for keys only.
    #[serde(borrow, with = "serde_bytes")]
    pub value: &'a [u8],
}

/// A key with its value and metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// The key's bytes.
    #[serde(borrow, with = "serde_bytes")]
    pub key: &'a [u8],
    /// Value and metadata.
    #[serde(borrow)]
    pub stored: Stored<'a>,
}
