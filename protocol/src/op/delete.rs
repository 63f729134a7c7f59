//! `delete`: removes a key, if its condition holds.

use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// Removes `key`. The reply is a [`super::WriteReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete<'a> {
    /// The key.
    #[serde(borrow, with = "serde_bytes")]
    pub key: &'a [u8],
    /// What must hold of the key before.
    #[serde(borrow)]
    pub condition: Condition<'a>,
    /// Whether the reply shall bear the entry that was removed.
    pub previous: bool,
}

impl Bounded for Delete<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        limits.check_key(self.key)?;
        self.condition.check(limits)
    }
}
