//! `put`: sets a key's value, if its condition holds.

use serde::{Deserialize, Serialize};

use crate::condition::{Condition, Expiry};
use crate::entry::Stored;
use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// Sets `key` to `value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put<'a> {
    /// The key.
    #[serde(borrow, with = "serde_bytes")]
    pub key: &'a [u8],
    /// The new value.
    #[serde(borrow, with = "serde_bytes")]
    pub value: &'a [u8],
    /// What must hold of the key before.
    #[serde(borrow)]
    pub condition: Condition<'a>,
    /// When the key ends.
    pub expiry: Expiry,
    /// Whether the reply shall bear the entry that was replaced.
    pub previous: bool,
}

/// What a put or a delete did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteReply<'a> {
    /// Applied: the write's own revision. Otherwise: the group's revision at which it was decided.
    pub revision: u64,
    /// Whether it applied.
    pub status: WriteStatus,
    /// Applied: the entry before, if it was asked for. Refused: the entry that stood in the way.
    #[serde(borrow)]
    pub entry: Option<Stored<'a>>,
}

/// Whether a write applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteStatus {
    /// It did; the entry is as the request says.
    Applied,
    /// There was nothing to change: the key is absent.
    NotFound,
    /// Its condition did not hold; nothing changed.
    Refused,
}

impl Bounded for Put<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        limits.check_key(self.key)?;
        limits.check_value(self.value)?;
        self.condition.check(limits)?;
        self.expiry.check(limits)
    }
}
