//! A leaf: a short run of entries in slots, and their order by key. Slots do not move when others are
//! written, so that the index can name them. Shards and views hold leaves in `Arc`s; a leaf that a view
//! shares is copied before it is written.

use alloc::vec::Vec;
use core::cmp::Ordering;

use tidekeep_protocol::range::Range;
use triomphe::Arc;

use crate::access::Accesses;
use crate::entry::{Entry, allocated};
use crate::hints::Hints;

/// A leaf with more entries is split.
pub(crate) const ENTRIES_MAX: usize = 128;

/// A leaf with fewer entries is joined to its neighbour when both fit into one.
pub(crate) const ENTRIES_MIN: usize = ENTRIES_MAX / 4;

/// Slots that are added at once.
const GROWTH: usize = 16;

/// A run of entries; never empty inside a shard.
#[derive(Debug)]
pub struct Leaf {
    /// The entries, in slots without a gap.
    entries: Vec<Entry>,
    /// When each entry was last used, if that is remembered, by slots.
    pub(crate) accesses: Accesses,
    /// The slots in the order of their keys, as many as there are entries.
    order: [u8; ENTRIES_MAX],
    /// What tells most keys apart without a look at their entries, in their order.
    hints: Hints,
}

impl Leaf {
    /// A leaf of entries that are sorted and follow each other, at most [`ENTRIES_MAX`].
    pub(crate) fn of(entries: Vec<Entry>, accesses: Accesses) -> Self {
        let hints = Hints::of(entries.iter().map(Entry::key));
        Self { entries, accesses, order: core::array::from_fn(|at| at as u8), hints }
    }

    /// What the leaf costs in memory beside its entries, in bytes: itself, its slots, the pointer to
    /// it.
    pub(crate) fn cost(&self) -> usize {
        let slots = allocated(self.entries.capacity() * size_of::<Entry>());
        let own = allocated(size_of::<usize>() + size_of::<Self>()) + size_of::<usize>();
        own + slots + self.accesses.cost() + self.hints.cost()
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry in a slot.
    pub(crate) fn slot(&self, slot: usize) -> Option<&Entry> {
        self.entries.get(slot)
    }

    /// Puts an entry of the same key into a slot; gives what was there.
    pub(crate) fn replace(&mut self, slot: usize, entry: Entry, used: u32) -> Entry {
        self.accesses.set(slot, used);
        core::mem::replace(&mut self.entries[slot], entry)
    }

    /// Adds an entry at its place in the order; gives its slot.
    pub(crate) fn insert(&mut self, at: usize, entry: Entry, used: u32) -> usize {
        let slot = self.entries.len();
        if slot == self.entries.capacity() {
            self.entries.reserve_exact(GROWTH.min(ENTRIES_MAX - slot));
        }
        let first = self.order[..slot].first().map(|&it| self.entries[usize::from(it)].key());
        let known = self.hints.insert(at, entry.key(), first.unwrap_or_default());
        self.entries.push(entry);
        self.accesses.push(used);
        self.order.copy_within(at..slot, at + 1);
        self.order[at] = slot as u8;
        if !known {
            self.hints = self.new_hints();
        }
        slot
    }

    /// Takes the entry in a slot out; the last one fills the gap.
    pub(crate) fn remove(&mut self, slot: usize) -> Entry {
        let last = self.entries.len() - 1;
        let at = self.place_of(slot);
        self.order.copy_within(at + 1..=last, at);
        self.hints.remove(at);
        if slot != last {
            let moved = self.order[..last].iter_mut().find(|it| usize::from(**it) == last);
            *moved.expect("every slot has a place in the order") = slot as u8;
        }
        self.accesses.swap_remove(slot);
        self.entries.swap_remove(slot)
    }

    /// Gives back what no entry takes.
    pub(crate) fn fit(&mut self) {
        self.entries.shrink_to_fit();
        self.accesses.fit();
        self.hints.fit();
    }

    /// Takes off all entries from a place in the order on, as a leaf of their own, whose slots are in
    /// order. The first entries that stay fill the gaps, which `moved` is told of: from where to where.
    pub(crate) fn split_off(&mut self, keep: usize, mut moved: impl FnMut(usize, usize)) -> Self {
        let len = self.entries.len();
        let accesses = self.accesses.picked(self.order[keep..len].iter().map(|&it| it.into()));
        let taken = self.order[keep..len].iter().map(|&it| self.entries[usize::from(it)].clone());
        let behind = Self::of(taken.collect(), accesses);
        // Those that stay and lie behind the new end go where those were that left.
        let mut gaps = self.order;
        let (_, gaps) = gaps[..len].split_at_mut(keep);
        gaps.sort_unstable();
        let mut gaps = gaps.iter().map(|&it| usize::from(it)).filter(|&slot| slot < keep);
        for at in 0..keep {
            let from = usize::from(self.order[at]);
            if from >= keep {
                let to = gaps.next().expect("as many leave from the front as stay behind it");
                self.entries.swap(from, to);
                self.accesses.swap(from, to);
                self.order[at] = to as u8;
                moved(from, to);
            }
        }
        self.entries.truncate(keep);
        self.entries.shrink_to(keep + GROWTH);
        self.accesses.truncate(keep);
        self.hints = self.new_hints();
        behind
    }

    /// Adds the entries of the leaf behind this one, in order.
    pub(crate) fn append(&mut self, next: &Self) {
        let start = self.entries.len();
        self.entries.reserve_exact(next.len());
        self.entries.extend(next.iter().cloned());
        let slots = next.order[..next.len()].iter().map(|&it| it.into());
        self.accesses.extend(&next.accesses.picked(slots));
        for slot in start..self.entries.len() {
            self.order[slot] = slot as u8;
        }
        self.hints = self.new_hints();
    }

    /// The entries in key order.
    pub(crate) fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator + Clone {
        self.order[..self.entries.len()].iter().map(|&slot| &self.entries[usize::from(slot)])
    }

    /// The entries from a place in the order on, and their slots.
    pub(crate) fn slots_from(&self, at: usize) -> impl Iterator<Item = (Entry, usize)> {
        let slots = self.order[at..self.entries.len()].iter().map(|&slot| usize::from(slot));
        slots.map(|slot| (self.entries[slot].clone(), slot))
    }

    /// The smallest key.
    pub(crate) fn first_key(&self) -> &[u8] {
        self.iter().next().map_or(&[], Entry::key)
    }

    /// The place in the order of `key`, or where it belongs.
    pub(crate) fn position(&self, key: &[u8]) -> Result<usize, usize> {
        let part = self.hints.part(key, self.first_key());
        let order = &self.order[part.clone()];
        let found = order.binary_search_by(|&slot| self.entries[usize::from(slot)].key().cmp(key));
        found.map(|at| part.start + at).map_err(|at| part.start + at)
    }

    /// Where the first entry lies in memory.
    pub(crate) fn first_address(&self) -> usize {
        self.iter().next().map_or(0, Entry::address)
    }

    fn new_hints(&self) -> Hints {
        Hints::of(self.iter().map(Entry::key))
    }

    /// The place in the order of a slot.
    fn place_of(&self, slot: usize) -> usize {
        let order = &self.order[..self.entries.len()];
        let at = order.iter().position(|&it| usize::from(it) == slot);
        at.expect("every slot has a place in the order")
    }
}

impl Clone for Leaf {
    /// Counts every entry once more. Each is looked at first: loads of memory that is far away go on
    /// beside each other, while counters are raised one after the other.
    fn clone(&self) -> Self {
        let near = self.entries.iter().fold(0_usize, |sum, entry| sum.wrapping_add(entry.cost()));
        core::hint::black_box(near);
        let mut entries = Vec::with_capacity(self.entries.capacity());
        entries.extend(self.entries.iter().cloned());
        let (accesses, hints) = (self.accesses.clone(), self.hints.clone());
        Self { entries, accesses, order: self.order, hints }
    }
}

/// Leaves in the order of their keys.
pub(crate) trait Row<'a>: Copy + 'a {
    /// How many there are.
    fn len(self) -> usize;

    /// One of them.
    fn leaf(self, at: usize) -> &'a Leaf;

    /// How a leaf's first key compares with `key`.
    fn compare(self, at: usize, key: &[u8]) -> Ordering {
        self.leaf(at).first_key().cmp(key)
    }

    /// How many leaves begin before `key`; one that begins with it counts as `with_it` says.
    fn beginning_before(self, key: &[u8], with_it: Ordering) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.compare(middle, key).then(with_it).is_lt() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The leaf that holds `key`, or would.
    fn leaf_of(self, key: &[u8]) -> usize {
        self.beginning_before(key, Ordering::Less).saturating_sub(1)
    }

    /// The leaves from one on.
    fn leaves(self, from: usize) -> impl DoubleEndedIterator<Item = &'a Leaf> {
        (from..self.len()).map(move |at| self.leaf(at))
    }
}

impl<'a> Row<'a> for &'a [Arc<Leaf>] {
    fn len(self) -> usize {
        <[_]>::len(self)
    }

    fn leaf(self, at: usize) -> &'a Leaf {
        &self[at]
    }
}

/// The entries of a row that lie in `range`, smallest key first.
pub(crate) fn ascending<'a, R: Row<'a>>(
    row: R,
    range: Range<'a>,
) -> impl Iterator<Item = &'a Entry> + use<'a, R> {
    let first = row.leaf_of(range.start);
    let skip = match first < row.len() {
        true => row.leaf(first).position(range.start).unwrap_or_else(|at| at),
        false => 0,
    };
    row.leaves(first)
        .flat_map(Leaf::iter)
        .skip(skip)
        .take_while(move |entry| range.end.is_none_or(|end| entry.key() < end))
}

/// The entries of a row that lie in `range`, largest key first.
pub(crate) fn descending<'a, R: Row<'a>>(
    row: R,
    range: Range<'a>,
) -> impl Iterator<Item = &'a Entry> + use<'a, R> {
    let last = match range.end {
        None => row.len().saturating_sub(1),
        Some(end) => row.leaf_of(end),
    };
    let keep = match range.end {
        Some(end) if last < row.len() => row.leaf(last).position(end).unwrap_or_else(|at| at),
        _ => usize::MAX,
    };
    let tail = (last < row.len()).then(|| row.leaf(last).iter().take(keep).rev());
    tail.into_iter()
        .flatten()
        .chain((0..last).rev().flat_map(move |at| row.leaf(at).iter().rev()))
        .take_while(move |entry| entry.key() >= range.start)
}

/// The leaves of a row that may hold keys of `range`: from one up to another.
pub(crate) fn overlapping<'a>(row: impl Row<'a>, range: Range<'_>) -> core::ops::Range<usize> {
    let first = row.leaf_of(range.start);
    let last = match range.end {
        None => row.len(),
        Some(end) => row.beginning_before(end, Ordering::Greater),
    };
    first..last.max(first)
}
