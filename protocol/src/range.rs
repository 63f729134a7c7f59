//! A run of keys in byte order: what scans, watches and range deletes are about.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::limits::{Bounded, Limits};

/// The keys from `start` (included) to `end` (left out); no `end` means to the last key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range<'a> {
    /// First key of the range; empty for the very first key.
    #[serde(borrow, with = "serde_bytes")]
    pub start: &'a [u8],
    /// First key behind the range.
    #[serde(borrow, with = "serde_bytes")]
    pub end: Option<&'a [u8]>,
}

impl Range<'_> {
    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start && self.end.is_none_or(|end| key < end)
    }
}

impl Bounded for Range<'_> {
    fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        limits.check_bound(self.start)?;
        limits.check_bound(self.end.unwrap_or_default())
    }
}

/// A range that owns its bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// First key of the range.
    pub start: Vec<u8>,
    /// First key behind the range; none means to the last key.
    pub end: Option<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self::default()
    }

    /// Just `key`.
    pub fn key(key: &[u8]) -> Self {
        Self { start: key.to_vec(), end: Some(successor(key)) }
    }

    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self { start: prefix.to_vec(), end: prefix_end(prefix) }
    }

    /// The range with borrowed bounds, as requests carry it.
    pub fn as_range(&self) -> Range<'_> {
        Range { start: &self.start, end: self.end.as_deref() }
    }
}

/// The first key behind every key that begins with `prefix`; none when there is no such key (the
/// prefix is empty or all 0xFF).
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let keep = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=keep].to_vec();
    end[keep] += 1;
    Some(end)
}

/// The very next key after `key` in byte order.
pub fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_range_holds_the_prefix_and_everything_below_it() {
        let range = KeyRange::prefix(b"a\xff");
        let range = range.as_range();
        assert!(range.contains(b"a\xff"));
        assert!(range.contains(b"a\xff\xff\xff"));
        assert!(!range.contains(b"b"));
        assert!(!range.contains(b"a\xfe"));
    }

    #[test]
    fn prefixes_without_an_end_reach_the_last_key() {
        assert_eq!(prefix_end(b""), None);
        assert_eq!(prefix_end(b"\xff\xff"), None);
        assert_eq!(prefix_end(b"a\xff").as_deref(), Some(&b"b"[..]));
    }

    #[test]
    fn single_key_range_holds_only_that_key() {
        let range = KeyRange::key(b"k");
        assert!(range.as_range().contains(b"k"));
        assert!(!range.as_range().contains(b"k\0"));
    }
}
