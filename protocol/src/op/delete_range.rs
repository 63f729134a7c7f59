//! `delete_range`: removes the keys of a range, in key order, as one write.

use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::limits::{Bounded, Limits};
use crate::range::Range;

/// Removes the first `limit` keys of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRange<'a> {
    /// The keys to remove.
    #[serde(borrow)]
    pub range: Range<'a>,
    /// Most keys to remove at once; 0 leaves it to the server's page size.
    pub limit: u32,
}

/// How many there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRangeReply {
    /// The write's revision, or the group's if nothing was removed.
    pub revision: u64,
    /// Keys removed.
    pub deleted: u64,
    /// Whether keys are left in the range.
    pub more: bool,
}

impl Bounded for DeleteRange<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        self.range.check(limits)?;
        limits.check_page(self.limit)
    }
}
