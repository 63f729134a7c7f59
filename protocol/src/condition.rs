//! What a write may ask of the entry before it applies, and what it asks of the entry's lifetime.

use serde::{Deserialize, Serialize};

/// What must hold of a key for a write to apply. An expired key counts as absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition<'a> {
    /// No condition.
    #[default]
    Always,
    /// The key must not exist.
    Absent,
    /// The key must exist.
    Present,
    /// The key's last write must be this revision.
    Revision(u64),
    /// The key's value must be exactly these bytes.
    #[serde(borrow)]
    Value(#[serde(with = "serde_bytes")] &'a [u8]),
}

/// What a write does to the time at which the key ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// The key does not end by itself.
    #[default]
    Never,
    /// The key keeps the end it had; a new key gets none.
    Keep,
    /// The key ends this many milliseconds after the write is ordered; 0 ends it at once.
    After(u64),
    /// The key ends at this time, in milliseconds since the Unix epoch.
    At(u64),
}
