//! `children`: what stands directly below a prefix, as a folder lists its content. The server seeks
//! past each branch, so the cost follows the number of children and not the number of keys.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::{Code, Refusal};
use crate::limits::{Bounded, Limits};

/// Asks for the names below `prefix`, up to and with the next `delimiter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Children<'a> {
    /// What every key shares; usually ends with the delimiter.
    #[serde(borrow, with = "serde_bytes")]
    pub prefix: &'a [u8],
    /// What parts a name from what is below it; at least one byte.
    #[serde(borrow, with = "serde_bytes")]
    pub delimiter: &'a [u8],
    /// The last name of the page before; none for the first page.
    #[serde(borrow, with = "serde_bytes")]
    pub after: Option<&'a [u8]>,
    /// Most names in the page; 0 leaves it to the server.
    pub limit: u32,
}

/// One page of names, in byte order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildrenReply<'a> {
    /// The group's revision at which the page was read.
    pub revision: u64,
    /// Whether there are names behind this page.
    pub more: bool,
    /// The names.
    #[serde(borrow)]
    pub children: Vec<Child<'a>>,
}

/// A name directly below the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child<'a> {
    /// The key without the prefix; a branch's name ends with the delimiter.
    #[serde(borrow, with = "serde_bytes")]
    pub name: &'a [u8],
    /// Whether keys lie below this name, rather than it being a key.
    pub branch: bool,
}

impl Bounded for Children<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        if self.delimiter.is_empty() {
            return Err(Refusal::new(Code::InvalidInput, "a delimiter has at least one byte"));
        }
        limits.check_bound(self.prefix)?;
        limits.check_bound(self.delimiter)?;
        limits.check_bound(self.after.unwrap_or_default())?;
        limits.check_page(self.limit)
    }
}
