//! Hints: the four bytes of each key of a leaf that follow what all its keys begin with. A search for the
//! place of a new key looks at these, side by side in memory, rather than at one far entry after the
//! other; only where hints are alike do the keys decide.

use alloc::vec::Vec;
use core::ops::Range;

use crate::entry::allocated;

/// Hints that are added at once.
const GROWTH: usize = 16;

/// The hints of a leaf, in the order of its keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hints {
    /// How many bytes at the beginning of all keys are the same, at least.
    skip: usize,
    hints: Vec<u32>,
}

impl Hints {
    /// The hints of sorted keys.
    pub(crate) fn of<'a>(
        keys: impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + Clone,
    ) -> Self {
        let ends = (keys.clone().next(), keys.clone().next_back());
        // What the first and the last key of a sorted row begin with, all do.
        let skip = match ends {
            (Some(first), Some(last)) if keys.len() > 1 => common(first, last),
            _ => 0,
        };
        let mut hints = Vec::with_capacity(keys.len());
        hints.extend(keys.map(|key| hint(key, skip)));
        Self { skip, hints }
    }

    /// What they cost in memory, in bytes.
    pub(crate) fn cost(&self) -> usize {
        allocated(self.hints.capacity() * size_of::<u32>())
    }

    /// Adds the hint of a key at its place. False, with nothing added, if the key begins otherwise than
    /// those there are, of which `first` is one: then all hints must be made anew.
    #[must_use]
    pub(crate) fn insert(&mut self, at: usize, key: &[u8], first: &[u8]) -> bool {
        let fits = self.fits(key, first);
        if fits {
            if self.hints.len() == self.hints.capacity() {
                self.hints.reserve_exact(GROWTH);
            }
            self.hints.insert(at, hint(key, self.skip));
        }
        fits
    }

    /// Gives back what no hint takes.
    pub(crate) fn fit(&mut self) {
        self.hints.shrink_to_fit();
    }

    pub(crate) fn remove(&mut self, at: usize) {
        self.hints.remove(at);
    }

    /// The part of the order that `key` is in or belongs into, of a leaf that begins with `first`.
    pub(crate) fn part(&self, key: &[u8], first: &[u8]) -> Range<usize> {
        if !self.fits(key, first) {
            return 0..self.hints.len();
        }
        let wanted = hint(key, self.skip);
        let start = self.hints.partition_point(|&hint| hint < wanted);
        let alike = self.hints[start..].iter().take_while(|&&hint| hint == wanted).count();
        start..start + alike
    }

    fn fits(&self, key: &[u8], first: &[u8]) -> bool {
        self.skip == 0
            || key.get(..self.skip).is_some_and(|start| first.get(..self.skip) == Some(start))
    }
}

/// Four bytes of a key as a number that orders alike; zeros behind its end.
fn hint(key: &[u8], skip: usize) -> u32 {
    let rest = key.get(skip..).unwrap_or_default();
    let mut bytes = [0; size_of::<u32>()];
    let known = rest.len().min(bytes.len());
    bytes[..known].copy_from_slice(&rest[..known]);
    u32::from_be_bytes(bytes)
}

/// How many bytes two keys have in common at their beginning.
fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn the_part_of_any_key_holds_its_place() {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for stem in
            [&b"key"[..], b"key-", b"key-aaaa", b"key-aaaaa", b"key-b", b"key-\0", b"key-\xff"]
        {
            for end in [&b""[..], b"\0", b"a", b"aaaa", b"zzzz9"] {
                keys.push([stem, end].concat());
            }
        }
        keys.sort();
        keys.dedup();
        let others = [b"".to_vec(), b"a".to_vec(), b"ke".to_vec(), b"kez".to_vec(), b"z".to_vec()];
        for from in 0..keys.len() {
            for to in from + 1..=keys.len() {
                let row = &keys[from..to];
                let hints = Hints::of(row.iter().map(Vec::as_slice));
                for key in keys.iter().chain(&others) {
                    let part = hints.part(key, &row[0]);
                    let at = row.partition_point(|it| it < key);
                    assert!((part.start..=part.end).contains(&at), "{key:?} in {row:?}");
                    assert!(!row.contains(key) || part.contains(&at));
                }
            }
        }
    }

    #[test]
    fn a_key_that_begins_otherwise_makes_all_anew() {
        let mut hints = Hints::of([&b"aab"[..], b"aac"].into_iter());
        assert!(hints.insert(2, b"aad", b"aab") && !hints.insert(0, b"ab", b"aab"));
        assert_eq!(hints.part(b"aac", b"aab"), 1..2);
        assert_eq!(hints.part(b"b", b"aab"), 0..3);
        hints.remove(1);
        assert_eq!(vec![hints.part(b"aac", b"aab"), hints.part(b"aad", b"aab")], [1..1, 1..2]);
    }
}
