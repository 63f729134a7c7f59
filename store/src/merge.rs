//! Several sorted runs of entries as one: keys are spread over shards by their hash, and scans and
//! views put them back in order.

use alloc::collections::BinaryHeap;
use core::cmp::Ordering;

use crate::entry::Entry;

/// Which key comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

/// Merges runs that are sorted in `direction` and share no key.
pub(crate) fn merge<'a, I: Iterator<Item = &'a Entry>>(
    runs: impl IntoIterator<Item = I>,
    direction: Direction,
) -> impl Iterator<Item = &'a Entry> {
    let mut heads: BinaryHeap<Head<'a, I>> = runs
        .into_iter()
        .filter_map(|mut rest| Some(Head { entry: rest.next()?, rest, direction }))
        .collect();
    core::iter::from_fn(move || {
        let mut top = heads.peek_mut()?;
        match top.rest.next() {
            Some(next) => Some(core::mem::replace(&mut top.entry, next)),
            None => Some(alloc::collections::binary_heap::PeekMut::pop(top).entry),
        }
    })
}

struct Head<'a, I> {
    entry: &'a Entry,
    rest: I,
    direction: Direction,
}

impl<I> Ord for Head<'_, I> {
    /// The heap gives its greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.entry.key().cmp(other.entry.key());
        match self.direction {
            Direction::Ascending => order.reverse(),
            Direction::Descending => order,
        }
    }
}

impl<I> PartialOrd for Head<'_, I> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<I> PartialEq for Head<'_, I> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<I> Eq for Head<'_, I> {}
