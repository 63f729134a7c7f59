//! A shard: the entries of the keys that hash to it, ordered, with what they cost and when they end.
//! It is a plain structure; whoever owns it puts a lock around it.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tidekeep_protocol::entry::Meta;
use tidekeep_protocol::range::Range;

use crate::access::{self, Accesses};
use crate::entry::Entry;
use crate::leaf::{self, ENTRIES_MAX, ENTRIES_MIN, Leaf};

/// Entries in key order, in leaves that views may share.
#[derive(Debug, Default)]
pub struct Shard {
    leaves: Vec<Arc<Leaf>>,
    due: BTreeSet<Due>,
    keys: usize,
    bytes: usize,
    leaf_bytes: usize,
    digest: u64,
    written: u64,
    scratch: Vec<u8>,
    /// Whether it is remembered when entries are used.
    remembers: bool,
    /// The access stamp of what is written now.
    used: u32,
}

/// What an end costs in the index of ends: a third of a node's places are free on average.
const DUE_BYTES: usize = 48;

/// An entry that ends, ordered by when.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: u64,
    entry: Entry,
}

impl Shard {
    /// An empty shard that remembers when its entries are used, as [`Self::sample`] needs it.
    pub fn remembering() -> Self {
        Self { remembers: true, ..Self::default() }
    }

    /// The entry of `key`, whether or not its time is over; it counts as used at `now`, in
    /// milliseconds since the Unix epoch.
    pub fn used(&self, key: &[u8], now: u64) -> Option<&Entry> {
        let leaf = self.leaves.get(leaf::leaf_of(&self.leaves, key))?;
        let at = leaf.position(key).ok()?;
        if self.remembers {
            leaf.accesses.set(at, access::stamp_of(now));
        }
        Some(&leaf.entries[at])
    }

    /// Entries written from here on count as used at `now`.
    pub(crate) fn set_time(&mut self, now: u64) {
        self.used = access::stamp_of(now);
    }

    /// An entry that `random` chooses, and how long it was not used at `now`; none of an empty shard.
    pub fn sample(&self, random: u64, now: u64) -> Option<(u32, &Entry)> {
        let (high, low) = ((random >> 32) as usize, random as u32 as usize);
        let leaf = self.leaves.get(high % self.leaves.len().max(1))?;
        let at = low % leaf.entries.len().max(1);
        let age = access::age(access::stamp_of(now), leaf.accesses.get(at));
        Some((age, leaf.entries.get(at)?))
    }

    /// The entry of `key`, whether or not its time is over.
    pub fn get(&self, key: &[u8]) -> Option<&Entry> {
        let leaf = self.leaves.get(leaf::leaf_of(&self.leaves, key))?;
        leaf.position(key).ok().map(|at| &leaf.entries[at])
    }

    /// Packs and keeps an entry; gives it and what it displaced.
    pub fn put(&mut self, key: &[u8], value: &[u8], meta: Meta) -> (Entry, Option<Entry>) {
        let entry = Entry::new(key, value, meta, &mut self.scratch);
        let displaced = self.keep(&entry);
        (entry, displaced)
    }

    /// Keeps an entry; gives what it displaced.
    pub fn insert(&mut self, entry: Entry) -> Option<Entry> {
        self.keep(&entry)
    }

    /// Takes back a write: puts its key's entry back, or takes it out if it was not kept before,
    /// and with it the shard's newest revision.
    pub(crate) fn restore(&mut self, entry: Entry, kept: bool, written: u64) {
        if kept {
            self.keep(&entry);
        } else {
            self.remove(entry.key(), written);
        }
        self.written = written;
    }

    /// Takes the entry of `key` out, as part of the write with this revision.
    pub fn remove(&mut self, key: &[u8], revision: u64) -> Option<Entry> {
        let index = leaf::leaf_of(&self.leaves, key);
        let at = self.leaves.get(index)?.position(key).ok()?;
        let before = self.leaves[index].cost();
        let removed = Arc::make_mut(&mut self.leaves[index]).remove(at);
        self.leaf_bytes = self.leaf_bytes - before + self.leaves[index].cost();
        self.shrink(index);
        self.forget(&removed);
        self.written = self.written.max(revision);
        Some(removed)
    }

    /// The entries of `range`, smallest key first, those whose time is over included.
    pub fn ascending<'a>(&'a self, range: Range<'a>) -> impl Iterator<Item = &'a Entry> + use<'a> {
        leaf::ascending(&self.leaves, range)
    }

    /// The entries of `range`, largest key first, those whose time is over included.
    pub fn descending<'a>(&'a self, range: Range<'a>) -> impl Iterator<Item = &'a Entry> + use<'a> {
        leaf::descending(&self.leaves, range)
    }

    /// Shares the leaves that may hold keys of `range`.
    pub fn freeze(&self, range: Range<'_>) -> Vec<Arc<Leaf>> {
        leaf::overlapping(&self.leaves, range).to_vec()
    }

    /// The entries whose time is over at `now`, the most overdue first.
    pub fn due(&self, now: u64) -> impl Iterator<Item = &Entry> {
        self.due.iter().take_while(move |due| due.at <= now).map(|due| &due.entry)
    }

    /// The entries that end, the next one first, and when they end, in milliseconds since the Unix
    /// epoch.
    pub fn ends(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.due.iter().map(|due| (due.at, &due.entry))
    }

    /// When the next entry ends, in milliseconds since the Unix epoch.
    pub fn next_due(&self) -> Option<u64> {
        self.due.first().map(|due| due.at)
    }

    /// How many entries there are.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// What the entries cost in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What finding them costs in memory, in bytes: leaves, and the index of ends.
    pub fn index_bytes(&self) -> usize {
        self.leaf_bytes + self.due.len() * DUE_BYTES
    }

    /// A sum over all entries' bytes that does not depend on the order in which they came.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The newest revision that wrote to this shard.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// What is displaced is forgotten first: it can be the same entry in all its bytes, when a
    /// transaction writes a key twice that ends at once.
    fn keep(&mut self, entry: &Entry) -> Option<Entry> {
        let displaced = self.place(entry.clone());
        if let Some(displaced) = &displaced {
            self.forget(displaced);
        }
        self.account_for(entry);
        self.written = self.written.max(entry.modified());
        displaced
    }

    fn place(&mut self, entry: Entry) -> Option<Entry> {
        let index = leaf::leaf_of(&self.leaves, entry.key());
        let Some(shared) = self.leaves.get_mut(index) else {
            let accesses = Accesses::begin(self.remembers, self.used);
            let leaf = Leaf { entries: alloc::vec![entry], accesses };
            self.leaf_bytes += leaf.cost();
            self.leaves.push(Arc::new(leaf));
            return None;
        };
        let before = shared.cost();
        let leaf = Arc::make_mut(shared);
        let at = leaf.position(entry.key());
        let mut right = None;
        let displaced = match at {
            Ok(at) => {
                leaf.accesses.set(at, self.used);
                Some(core::mem::replace(&mut leaf.entries[at], entry))
            }
            Err(at) if leaf.entries.len() < ENTRIES_MAX => {
                leaf.insert(at, entry, self.used);
                None
            }
            Err(at) => {
                // Keys that come in order would leave half-empty leaves if split in the middle.
                let appended = at == ENTRIES_MAX;
                let keep = if appended { ENTRIES_MAX - 8 } else { ENTRIES_MAX / 2 };
                let mut behind = leaf.split_off(keep);
                match at.checked_sub(keep) {
                    Some(at) if at > 0 => behind.insert(at, entry, self.used),
                    _ => leaf.insert(at, entry, self.used),
                }
                right = Some(behind);
                None
            }
        };
        self.leaf_bytes = self.leaf_bytes - before + leaf.cost();
        if let Some(right) = right {
            self.leaf_bytes += right.cost();
            self.leaves.insert(index + 1, Arc::new(right));
        }
        displaced
    }

    fn shrink(&mut self, index: usize) {
        let len = self.leaves[index].entries.len();
        if len == 0 {
            let empty = self.leaves.remove(index);
            self.leaf_bytes -= empty.cost();
            return;
        }
        if len < ENTRIES_MIN && !self.join(index) && index > 0 {
            self.join(index - 1);
        }
    }

    /// Makes one leaf of this one and the next if that leaves room to grow.
    fn join(&mut self, index: usize) -> bool {
        let Some(next) = self.leaves.get(index + 1) else { return false };
        if self.leaves[index].entries.len() + next.entries.len() > ENTRIES_MAX / 2 {
            return false;
        }
        let next = self.leaves.remove(index + 1);
        let before = self.leaves[index].cost() + next.cost();
        let leaf = Arc::make_mut(&mut self.leaves[index]);
        leaf.append(&next);
        self.leaf_bytes = self.leaf_bytes - before + leaf.cost();
        true
    }

    fn account_for(&mut self, entry: &Entry) {
        self.keys += 1;
        self.bytes += entry.cost();
        self.digest = self.digest.wrapping_add(digest(entry));
        if let Some(at) = entry.expires_at() {
            self.due.insert(Due { at, entry: entry.clone() });
        }
    }

    fn forget(&mut self, entry: &Entry) {
        self.keys -= 1;
        self.bytes -= entry.cost();
        self.digest = self.digest.wrapping_sub(digest(entry));
        if let Some(at) = entry.expires_at() {
            self.due.remove(&Due { at, entry: entry.clone() });
        }
    }
}

/// FNV-1a over an entry's bytes: equal states have equal sums, and a sum is no proof against malice.
fn digest(entry: &Entry) -> u64 {
    entry.as_bytes().iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const ALL: Range<'static> = Range { start: b"", end: None };

    fn meta(modified: u64, expires_at: Option<u64>) -> Meta {
        Meta { created: 1, modified, version: 1, expires_at, lease: None }
    }

    fn key(number: u32) -> [u8; 4] {
        number.to_be_bytes()
    }

    fn filled(numbers: impl IntoIterator<Item = u32>) -> Shard {
        let mut shard = Shard::default();
        for number in numbers {
            shard.put(&key(number), b"v", meta(1, None));
            in_order(&shard);
        }
        shard
    }

    /// 0..`count` in an order without neighbours.
    fn scattered(count: u32) -> impl Iterator<Item = u32> {
        (0..count).map(move |number| number * 7919 % count)
    }

    fn in_order(shard: &Shard) {
        let sizes = shard.leaves.iter().map(|leaf| leaf.entries.len());
        assert!(sizes.clone().all(|size| (1..=ENTRIES_MAX).contains(&size)));
        assert_eq!(sizes.sum::<usize>(), shard.keys());
        let cost: usize = shard.leaves.iter().map(|leaf| leaf.cost()).sum();
        assert_eq!(shard.index_bytes(), cost + shard.due.len() * DUE_BYTES);
    }

    fn sorted(shard: &Shard) -> bool {
        shard.ascending(ALL).is_sorted_by(|a, b| a.key() < b.key())
    }

    fn same_leaves(shard: &Shard, view: &[Arc<Leaf>]) -> usize {
        shard.leaves.iter().zip(view).filter(|(mine, its)| Arc::ptr_eq(mine, its)).count()
    }

    #[test]
    fn leaves_stay_sorted_bounded_and_never_empty_in_any_order_of_keys() {
        const COUNT: u32 = 3000;
        for shard in [filled(0..COUNT), filled((0..COUNT).rev()), filled(scattered(COUNT))] {
            assert_eq!(shard.keys(), COUNT as usize);
            assert!(sorted(&shard));
            assert!((0..COUNT).all(|number| shard.get(&key(number)).is_some()));
            assert!(shard.get(b"").is_none() && shard.get(&key(COUNT)).is_none());
            let mut back: Vec<_> = shard.descending(ALL).cloned().collect();
            back.reverse();
            assert!(shard.ascending(ALL).eq(&back));
        }
    }

    #[test]
    fn keys_that_come_in_order_fill_their_leaves() {
        let shard = filled(0..6000);
        let least = 6000_usize.div_ceil(ENTRIES_MAX);
        assert!(shard.leaves.len() <= least + least / 10, "{} leaves", shard.leaves.len());
    }

    #[test]
    fn leaves_that_become_sparse_are_joined() {
        for sparse_first in [true, false] {
            let mut shard = filled(0..6000);
            let mut doomed: Vec<u32> = (0..6000).filter(|number| number % 60 != 0).collect();
            if !sparse_first {
                doomed.reverse();
            }
            for number in doomed {
                assert!(shard.remove(&key(number), 2).is_some());
                in_order(&shard);
            }
            assert!(sorted(&shard));
            assert!(shard.leaves.len() <= 10, "{} leaves of 100 keys", shard.leaves.len());
        }
    }

    #[test]
    fn a_leaf_is_copied_only_while_it_is_shared() {
        let mut shard = filled(0..1000);
        let first: *const Leaf = &*shard.leaves[0];
        shard.put(&key(0), b"in place", meta(2, None));
        assert!(core::ptr::eq(first, &*shard.leaves[0]));

        let view = shard.freeze(ALL);
        let leaves = shard.leaves.len();
        assert_eq!(same_leaves(&shard, &view), leaves);
        shard.put(&key(0), b"copied", meta(3, None));
        assert_eq!(same_leaves(&shard, &view), leaves - 1);
        let copy: *const Leaf = &*shard.leaves[0];
        shard.remove(&key(1), 4);
        assert!(core::ptr::eq(copy, &*shard.leaves[0]), "the copy is the shard's own");
        assert_eq!(view[0].entries[0].value(), b"in place");
        assert_eq!(view[0].entries[1].key(), key(1));
        drop(view);
        let last: *const Leaf = &*shard.leaves[leaves - 1];
        shard.put(&key(999), b"in place", meta(5, None));
        assert!(core::ptr::eq(last, &*shard.leaves[leaves - 1]));
    }

    #[test]
    fn a_frozen_range_holds_its_own_leaves_alone() {
        let shard = filled(0..6000);
        let (start, end) = (key(3000), key(3001));
        assert_eq!(shard.freeze(Range { start: &start, end: Some(&end) }).len(), 1);
        assert_eq!(shard.freeze(Range { start: &end, end: Some(&start) }).len(), 0);
        assert_eq!(shard.freeze(ALL).len(), shard.leaves.len());
        assert!(Shard::default().freeze(ALL).is_empty());
    }

    #[test]
    fn what_ends_first_is_due_first() {
        let mut shard = Shard::default();
        for (number, at) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
            shard.put(&key(number), b"", meta(1, Some(at)));
        }
        shard.put(&key(5), b"", meta(1, None));
        let due = |shard: &Shard, now| -> Vec<Vec<u8>> {
            shard.due(now).map(|entry| entry.key().to_vec()).collect()
        };
        assert_eq!(due(&shard, 9), Vec::<Vec<u8>>::new());
        assert_eq!(due(&shard, 20), vec![key(2), key(4), key(3)]);
        assert_eq!(shard.next_due(), Some(10));

        shard.put(&key(2), b"", meta(2, Some(40)));
        shard.put(&key(4), b"", meta(2, None));
        shard.remove(&key(3), 3);
        assert_eq!(due(&shard, 100), vec![key(1), key(2)]);
        assert_eq!(shard.next_due(), Some(30));
    }

    #[test]
    fn the_same_entry_once_more_stays_due() {
        let mut shard = Shard::default();
        let (entry, _) = shard.put(b"k", b"v", meta(1, Some(5)));
        let digest = shard.digest();
        assert_eq!(shard.insert(entry.clone()), Some(entry));
        assert_eq!((shard.next_due(), shard.keys(), shard.digest()), (Some(5), 1, digest));
    }

    #[test]
    fn accounts_are_at_nothing_when_nothing_is_left() {
        let mut shard = filled(scattered(1000));
        for number in 0..1000 {
            let at = Some(u64::from(number)).filter(|at| at % 3 == 0);
            shard.put(&key(number), &vec![0; number as usize], meta(2, at));
        }
        let cost: usize = shard.ascending(ALL).map(Entry::cost).sum();
        assert_eq!((shard.keys(), shard.bytes()), (1000, cost));
        for number in scattered(1000) {
            shard.remove(&key(number), 3);
            in_order(&shard);
        }
        assert_eq!((shard.keys(), shard.bytes(), shard.digest()), (0, 0, 0));
        assert_eq!(shard.index_bytes(), 0);
        assert_eq!((shard.next_due(), shard.leaves.len(), shard.written()), (None, 0, 3));
        assert!(shard.remove(&key(0), 9).is_none() && shard.written() == 3);
    }

    #[test]
    fn what_is_taken_back_leaves_nothing_behind() {
        let mut shard = filled(0..10);
        let (written, digest) = (shard.written(), shard.digest());
        let (entry, displaced) = shard.put(&key(3), b"new", meta(8, Some(1)));
        assert_eq!(shard.written(), 8);
        assert!(entry.value() == b"new");
        shard.restore(displaced.expect("it was there before"), true, written);
        let (entry, _) = shard.put(&key(99), b"new", meta(9, Some(1)));
        shard.restore(entry, false, written);
        assert_eq!((shard.written(), shard.digest(), shard.keys()), (written, digest, 10));
        assert_eq!(shard.next_due(), None);
    }
}
