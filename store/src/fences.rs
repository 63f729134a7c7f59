//! The order of a shard's leaves: for each the beginning of its first key and its number, side by side,
//! so that finding a leaf touches no leaf unless two begin alike.

use alloc::vec::Vec;
use core::cmp::Ordering;

/// Bytes of a key that a fence knows.
const BYTES: usize = 16;

/// Where a leaf begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fence {
    /// The first bytes of the first key, as numbers that order alike; zeros behind its end.
    start: [u64; 2],
    leaf: u32,
}

impl Fence {
    pub(crate) fn new(first_key: &[u8], leaf: u32) -> Self {
        Self { start: start_of(first_key), leaf }
    }
}

/// Leaves in the order of their keys.
#[derive(Debug, Default)]
pub(crate) struct Fences(Vec<Fence>);

impl Fences {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of a leaf.
    pub(crate) fn leaf(&self, at: usize) -> u32 {
        self.0[at].leaf
    }

    /// The numbers of some leaves.
    pub(crate) fn leaves(&self, part: core::ops::Range<usize>) -> impl Iterator<Item = u32> {
        self.0[part].iter().map(|fence| fence.leaf)
    }

    pub(crate) fn insert(&mut self, at: usize, fence: Fence) {
        self.0.insert(at, fence);
    }

    pub(crate) fn remove(&mut self, at: usize) -> u32 {
        self.0.remove(at).leaf
    }

    /// Notes that a leaf begins with another key.
    pub(crate) fn set_key(&mut self, at: usize, first_key: &[u8]) {
        self.0[at].start = start_of(first_key);
    }

    /// How the first key of a leaf compares with `key`, if its beginning says so. Zeros behind an end
    /// are right wherever the beginnings differ: there one key has ended and the other goes on, or
    /// neither has.
    pub(crate) fn compare(&self, at: usize, key: &[u8]) -> Option<Ordering> {
        Some(self.0[at].start.cmp(&start_of(key))).filter(|order| order.is_ne())
    }
}

fn start_of(key: &[u8]) -> [u64; 2] {
    let mut start = [0; BYTES];
    let known = key.len().min(BYTES);
    start[..known].copy_from_slice(&key[..known]);
    let (high, low) = start.split_at(8);
    [high, low].map(|half| half.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_order_as_their_keys_or_say_nothing() {
        let keys: [&[u8]; 9] = [
            b"a",
            b"a\0",
            b"a\0\0b",
            b"aa",
            b"abcdefgh",
            b"abcdefgh\xff",
            b"abcdefghijklmnop",
            b"abcdefghijklmnopq",
            b"b",
        ];
        for one in keys {
            let fences = Fences(alloc::vec![Fence::new(one, 0)]);
            for other in keys {
                let said = fences.compare(0, other);
                assert!(said.is_none_or(|said| said == one.cmp(other)), "{one:?} {other:?}");
            }
        }
        let fences = Fences(alloc::vec![Fence::new(b"abc", 0)]);
        assert_eq!(fences.compare(0, b"abd"), Some(Ordering::Less));
        assert_eq!(fences.compare(0, b"abc"), None);
    }
}
