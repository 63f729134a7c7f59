//! A leaf: a short sorted run of entries, and how to walk a row of them. Shards and views hold
//! leaves in `Arc`s; a leaf that a view shares is copied before it is written.

use alloc::sync::Arc;
use alloc::vec::Vec;

use tidekeep_protocol::range::Range;

use crate::access::Accesses;
use crate::entry::{Entry, allocated};

/// A leaf with more entries is split.
pub(crate) const ENTRIES_MAX: usize = 128;

/// A leaf with fewer entries is joined to its neighbour when both fit into one.
pub(crate) const ENTRIES_MIN: usize = ENTRIES_MAX / 4;

/// A sorted run of entries; never empty inside a shard.
#[derive(Debug, Clone, Default)]
pub struct Leaf {
    pub(crate) entries: Vec<Entry>,
    /// When each entry was last used, if that is remembered.
    pub(crate) accesses: Accesses,
}

impl Leaf {
    /// What the leaf costs in memory beside its entries, in bytes: itself, its places, the pointer to
    /// it.
    pub(crate) fn cost(&self) -> usize {
        let places = allocated(self.entries.capacity() * size_of::<Entry>());
        allocated(16 + size_of::<Self>()) + places + self.accesses.cost() + size_of::<usize>()
    }

    /// Puts an entry into its place, which is free.
    pub(crate) fn insert(&mut self, at: usize, entry: Entry, used: u32) {
        self.entries.insert(at, entry);
        self.accesses.insert(at, used);
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, at: usize) -> Entry {
        self.accesses.remove(at);
        self.entries.remove(at)
    }

    /// Takes off all entries from a place on, as a leaf of their own.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        Self { entries: self.entries.split_off(at), accesses: self.accesses.split_off(at) }
    }

    /// Adds the entries of the leaf behind this one.
    pub(crate) fn append(&mut self, next: &Self) {
        self.entries.extend(next.entries.iter().cloned());
        self.accesses.extend(&next.accesses);
    }

    /// The smallest key.
    pub(crate) fn first_key(&self) -> &[u8] {
        self.entries.first().map_or(&[], Entry::key)
    }

    /// Where `key` is, or where it belongs.
    pub(crate) fn position(&self, key: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.key().cmp(key))
    }
}

/// The leaf of a sorted row that holds `key`, or would.
pub(crate) fn leaf_of(leaves: &[Arc<Leaf>], key: &[u8]) -> usize {
    leaves.partition_point(|leaf| leaf.first_key() <= key).saturating_sub(1)
}

/// The entries of a row that lie in `range`, smallest key first.
pub(crate) fn ascending<'a>(
    leaves: &'a [Arc<Leaf>],
    range: Range<'a>,
) -> impl Iterator<Item = &'a Entry> + use<'a> {
    let first = leaf_of(leaves, range.start);
    let skip = match leaves.get(first) {
        Some(leaf) => leaf.position(range.start).unwrap_or_else(|at| at),
        None => 0,
    };
    leaves[first..]
        .iter()
        .flat_map(|leaf| &leaf.entries)
        .skip(skip)
        .take_while(move |entry| range.end.is_none_or(|end| entry.key() < end))
}

/// The entries of a row that lie in `range`, largest key first.
pub(crate) fn descending<'a>(
    leaves: &'a [Arc<Leaf>],
    range: Range<'a>,
) -> impl Iterator<Item = &'a Entry> + use<'a> {
    let (last, keep) = match range.end {
        None => (leaves.len(), usize::MAX),
        Some(end) => {
            let last = leaf_of(leaves, end);
            let keep =
                leaves.get(last).map_or(0, |leaf| leaf.position(end).unwrap_or_else(|at| at));
            (last + 1, keep)
        }
    };
    let (before, tail) = leaves.split_at(last.min(leaves.len()).saturating_sub(1));
    let tail = tail.first().map_or(&[][..], |leaf| &leaf.entries);
    let tail = &tail[..keep.min(tail.len())];
    tail.iter()
        .rev()
        .chain(before.iter().rev().flat_map(|leaf| leaf.entries.iter().rev()))
        .take_while(move |entry| entry.key() >= range.start)
}

/// The part of a row that may hold keys of `range`.
pub(crate) fn overlapping<'a>(leaves: &'a [Arc<Leaf>], range: Range<'_>) -> &'a [Arc<Leaf>] {
    let first = leaf_of(leaves, range.start);
    let last = match range.end {
        None => leaves.len(),
        Some(end) => leaves.partition_point(|leaf| leaf.first_key() < end),
    };
    leaves.get(first..last).unwrap_or(&[])
}
