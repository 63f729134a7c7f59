//! `get`: one entry by its key.

use serde::{Deserialize, Serialize};

use crate::entry::Stored;
use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// Asks for the entry of `key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get<'a> {
    /// The key.
    #[serde(borrow, with = "serde_bytes")]
    pub key: &'a [u8],
}

/// The entry, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetReply<'a> {
    /// The group's revision at which this was read.
    pub revision: u64,
    /// The entry; none when the key is absent or expired.
    #[serde(borrow)]
    pub entry: Option<Stored<'a>>,
}

impl Bounded for Get<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        limits.check_key(self.key)
    }
}
