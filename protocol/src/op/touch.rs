//! `touch`: moves the time at which a key ends and leaves its value alone.

use serde::{Deserialize, Serialize};

use super::WriteStatus;
use crate::condition::{Condition, Expiry};
use crate::entry::Meta;
use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// Gives `key` another end: [`Expiry::Never`] takes its end away, [`Expiry::Keep`] only makes a new
/// revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch<'a> {
    /// The key.
    #[serde(borrow, with = "serde_bytes")]
    pub key: &'a [u8],
    /// The new end.
    pub expiry: Expiry,
    /// What must hold of the key before.
    #[serde(borrow)]
    pub condition: Condition<'a>,
}

/// What the touch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TouchReply {
    /// Applied: the write's own revision. Otherwise: the group's revision at which it was decided.
    pub revision: u64,
    /// Whether it applied.
    pub status: WriteStatus,
    /// The entry's metadata after the touch, or as it stood in the way; none when it is absent.
    pub meta: Option<Meta>,
}

impl Bounded for Touch<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        limits.check_key(self.key)?;
        self.expiry.check(limits)?;
        self.condition.check(limits)
    }
}
