//! `increment`: adds to a number that is kept as decimal text, so that `get` shows it.

use serde::{Deserialize, Serialize};

use crate::condition::Expiry;
use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// What an increment of a value that is no number is told.
pub const NOT_A_NUMBER: &str = "the value is no decimal number";

/// What an increment is told whose sum does not fit.
pub const OUT_OF_RANGE: &str = "the sum is outside the range of a 64-bit number";

/// Adds `by` to the number at `key`; an absent key counts from 0. A number is written as the server
/// writes it: decimal, a minus before it if need be, no zeros in front. A value that is none, or a
/// sum outside the range of `i64`, is refused as invalid input and nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Increment<'a> {
    /// The key.
    #[serde(borrow, with = "serde_bytes")]
    pub key: &'a [u8],
    /// What to add; may be negative.
    pub by: i64,
    /// When the key ends.
    pub expiry: Expiry,
}

/// The number after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncrementReply {
    /// The write's revision.
    pub revision: u64,
    /// The number after the addition.
    pub value: i64,
}

impl Bounded for Increment<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        limits.check_key(self.key)?;
        self.expiry.check(limits)
    }
}
