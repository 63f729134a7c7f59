//! `scan`: one page of a range in byte order. Each page is read at one revision; a key that is there
//! from the first page to the last is returned exactly once.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::error::Refusal;
use crate::limits::{Bounded, Limits};
use crate::range::Range;

/// Asks for the first entries of a range. The next page starts behind the last key returned:
/// its successor as the start, or, in descending order, the key itself as the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan<'a> {
    /// The keys to look at.
    #[serde(borrow)]
    pub range: Range<'a>,
    /// Most entries in the page; 0 leaves it to the server. With [`Projection::Count`], the number
    /// at which counting stops; 0 counts all.
    pub limit: u32,
    /// Most bytes of keys and values in the page; 0 leaves it to the server. A page has at least
    /// one entry if the range has.
    pub bytes: u32,
    /// Which end of the range comes first.
    pub order: Order,
    /// What of each entry is returned.
    pub projection: Projection,
}

/// Which end of a range comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Smallest key first.
    #[default]
    Ascending,
    /// Largest key first.
    Descending,
}

/// What a scan returns of each entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Projection {
    /// Key, value and metadata.
    #[default]
    Full,
    /// Key and metadata; the value is empty.
    Keys,
    /// Only how many there are.
    Count,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanReply<'a> {
    /// The group's revision at which the page was read.
    pub revision: u64,
    /// Entries in this page, or, with [`Projection::Count`], in the range.
    pub count: u64,
    /// Whether the range goes on behind this page.
    pub more: bool,
    /// The entries, in the order that was asked for.
    #[serde(borrow)]
    pub entries: Vec<Entry<'a>>,
}

impl Bounded for Scan<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        self.range.check(limits)?;
        match self.projection {
            Projection::Full | Projection::Keys => limits.check_page(self.limit),
            Projection::Count => Ok(()),
        }
    }
}
