//! A shard: the entries of the keys that hash to it, found by their hash and kept in order, with what
//! they cost and when they end. It is a plain structure; whoever owns it puts a lock around it.
//!
//! ```text
//! index: hash ─▶ place ─┐            fences: first key, leaf │ first key, leaf │ …
//!                       ▼                                ▼
//!         leaf 0: slots, order    leaf 1: slots, order    leaf 2 …
//! ```

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use tidekeep_protocol::entry::Meta;
use tidekeep_protocol::range::Range;

use crate::access::{self, Accesses};
use crate::entry::Entry;
use crate::fences::{Fence, Fences};
use crate::index::{Index, Place};
use crate::leaf::{self, ENTRIES_MAX, ENTRIES_MIN, Leaf, Row};
use crate::leaves::Leaves;
use crate::shards::{KeyHash, Spread};

/// Entries in leaves that views may share.
#[derive(Debug)]
pub struct Shard {
    spread: Spread,
    index: Index,
    leaves: Leaves,
    fences: Fences,
    due: BTreeSet<Due>,
    keys: usize,
    bytes: usize,
    payload: usize,
    leaf_bytes: usize,
    written: u64,
    scratch: Vec<u8>,
    /// Whether it is remembered when entries are used.
    remembers: bool,
    /// The access stamp of what is written now.
    used: u32,
}

/// What an end costs in the index of ends: a third of a node's places are free on average.
const DUE_BYTES: usize = 24;

/// An entry that ends, ordered by when.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: u64,
    entry: Entry,
}

impl Shard {
    /// An empty shard, one of those that keys are spread over.
    pub fn new(spread: Spread) -> Self {
        Self {
            spread,
            index: Index::default(),
            leaves: Leaves::default(),
            fences: Fences::default(),
            due: BTreeSet::new(),
            keys: 0,
            bytes: 0,
            payload: 0,
            leaf_bytes: 0,
            written: 0,
            scratch: Vec::new(),
            remembers: false,
            used: 0,
        }
    }

    /// An empty shard that remembers when its entries are used, as [`Self::sample`] needs it.
    pub fn remembering(spread: Spread) -> Self {
        Self { remembers: true, ..Self::new(spread) }
    }

    /// The entry of `key`, whether or not its time is over.
    pub fn get(&self, key: &[u8]) -> Option<&Entry> {
        let place = self.find(self.spread.hash(key), key)?;
        self.leaves.entry(place)
    }

    /// The entry of `key`, whose hash this is, whether or not its time is over; it counts as used at
    /// `now`, in milliseconds since the Unix epoch.
    pub fn used(&self, hash: KeyHash, key: &[u8], now: u64) -> Option<&Entry> {
        self.used_at(self.find(hash, key)?, now)
    }

    /// The entry in a place; it counts as used.
    pub(crate) fn used_at(&self, place: Place, now: u64) -> Option<&Entry> {
        if self.remembers {
            self.leaves.get(place.leaf())?.accesses.set(place.slot(), access::stamp_of(now));
        }
        self.leaves.entry(place)
    }

    /// The entry in a place.
    pub(crate) fn entry(&self, place: Place) -> Option<&Entry> {
        self.leaves.entry(place)
    }

    /// Entries written from here on count as used at `now`.
    pub(crate) fn set_time(&mut self, now: u64) {
        self.used = access::stamp_of(now);
    }

    /// An entry that `random` chooses, and how long it was not used at `now`; none of an empty shard.
    pub fn sample(&self, random: u64, now: u64) -> Option<(u32, &Entry)> {
        let (high, low) = ((random >> 32) as usize, random as u32 as usize);
        let row = self.row();
        if row.len() == 0 {
            return None;
        }
        let leaf = row.leaf(high % row.len());
        let slot = low % leaf.len().max(1);
        let age = access::age(access::stamp_of(now), leaf.accesses.get(slot));
        Some((age, leaf.slot(slot)?))
    }

    /// Makes and keeps an entry; gives it and what it displaced.
    pub fn put(&mut self, key: &[u8], value: &[u8], meta: Meta) -> (Entry, Option<Entry>) {
        let hash = self.spread.hash(key);
        self.put_at(hash, self.find(hash, key), key, value, meta)
    }

    /// Makes an entry and keeps it where [`Self::find`] has found its key.
    pub(crate) fn put_at(
        &mut self,
        hash: KeyHash,
        place: Option<Place>,
        key: &[u8],
        value: &[u8],
        meta: Meta,
    ) -> (Entry, Option<Entry>) {
        let entry = Entry::new(key, value, meta, &mut self.scratch);
        let displaced = self.keep(hash, place, &entry);
        (entry, displaced)
    }

    /// Keeps an entry; gives what it displaced.
    pub fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let hash = self.spread.hash(entry.key());
        self.keep(hash, self.find(hash, entry.key()), &entry)
    }

    /// Takes back a write: puts its key's entry back, or takes it out if it was not kept before,
    /// and with it the shard's newest revision.
    pub(crate) fn restore(&mut self, entry: Entry, kept: bool, written: u64) {
        if kept {
            self.insert(entry);
        } else {
            self.remove(entry.key(), written);
        }
        self.written = written;
    }

    /// Takes the entry of `key` out, as part of the write with this revision.
    pub fn remove(&mut self, key: &[u8], revision: u64) -> Option<Entry> {
        let hash = self.spread.hash(key);
        self.remove_at(hash, self.find(hash, key)?, revision)
    }

    /// Takes out the entry in a place.
    pub(crate) fn remove_at(
        &mut self,
        hash: KeyHash,
        place: Place,
        revision: u64,
    ) -> Option<Entry> {
        let leaf = self.leaves.get(place.leaf())?;
        let key = leaf.slot(place.slot())?.key();
        let edge = leaf.len() <= ENTRIES_MIN || leaf.first_key() == key;
        // Looked for while the leaf's first key is the one that its fence knows.
        let at = edge.then(|| self.row().leaf_of(key));
        let removed = self.take(hash, place);
        if let Some(at) = at {
            self.shrink(at);
        }
        self.forget(&removed);
        self.written = self.written.max(revision);
        Some(removed)
    }

    /// The entries of `range`, smallest key first, those whose time is over included.
    pub fn ascending<'a>(&'a self, range: Range<'a>) -> impl Iterator<Item = &'a Entry> + use<'a> {
        leaf::ascending(self.row(), range)
    }

    /// The entries of `range`, largest key first, those whose time is over included.
    pub fn descending<'a>(&'a self, range: Range<'a>) -> impl Iterator<Item = &'a Entry> + use<'a> {
        leaf::descending(self.row(), range)
    }

    /// Shares the leaves that may hold keys of `range`.
    pub fn freeze(&self, range: Range<'_>) -> Vec<Arc<Leaf>> {
        let part = leaf::overlapping(self.row(), range);
        self.fences.leaves(part).map(|number| Arc::clone(self.leaves.shared(number))).collect()
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

    /// Bytes of all keys and values. A write that makes these no more may still make [`Self::bytes`]
    /// more, by some bytes of metadata.
    pub(crate) fn payload(&self) -> usize {
        self.payload
    }

    /// What finding them costs in memory, in bytes: leaves, the index, and the index of ends.
    pub fn index_bytes(&self) -> usize {
        self.leaf_bytes + self.index.cost() + self.due.len() * DUE_BYTES
    }

    /// A sum over all entries' packed bytes that does not depend on the order in which they came. It
    /// is reckoned when it is asked for.
    pub fn digest(&self) -> u64 {
        digest(self.row().leaves(0).flat_map(Leaf::iter))
    }

    /// The newest revision that wrote to this shard.
    pub fn written(&self) -> u64 {
        self.written
    }

    fn row(&self) -> ShardRow<'_> {
        ShardRow(self)
    }

    /// Where the entry of `key` is, whose hash this is.
    pub(crate) fn find(&self, hash: KeyHash, key: &[u8]) -> Option<Place> {
        debug_assert!(hash == self.spread.hash(key), "it is the hash of this key in this store");
        let is_it = |place| self.leaves.entry(place).is_some_and(|entry| entry.key() == key);
        self.index.find(hash, is_it)
    }

    /// What is displaced is forgotten first: it can be the same entry in all its bytes, when a
    /// transaction writes a key twice that ends at once.
    fn keep(&mut self, hash: KeyHash, place: Option<Place>, entry: &Entry) -> Option<Entry> {
        let displaced = match place {
            Some(place) => {
                let leaf = self.leaves.writable(place.leaf() as u32);
                Some(leaf.replace(place.slot(), entry.clone(), self.used))
            }
            None => {
                let place = self.place(entry.clone());
                let (leaves, spread) = (&self.leaves, &self.spread);
                self.index.insert(hash, place, |place| leaves.hash(place, spread));
                None
            }
        };
        if let Some(displaced) = &displaced {
            self.forget(displaced);
        }
        self.account_for(entry);
        self.written = self.written.max(entry.modified());
        displaced
    }

    /// Finds a place for the entry of a new key.
    fn place(&mut self, entry: Entry) -> Place {
        if self.fences.is_empty() {
            let leaf = self.first_leaf(entry);
            return Place::new(leaf, 0);
        }
        let mut at = self.row().leaf_of(entry.key());
        let mut number = self.fences.leaf(at);
        let mut position = self.leaves[number].position(entry.key()).unwrap_or_else(|at| at);
        if self.leaves[number].len() == ENTRIES_MAX {
            // Keys that come in order would leave half-empty leaves if split in the middle.
            let appended = position == ENTRIES_MAX;
            let keep = if appended { ENTRIES_MAX - 8 } else { ENTRIES_MAX / 2 };
            let behind = self.split(at, keep);
            if let Some(there) = position.checked_sub(keep).filter(|&there| there > 0) {
                (at, number, position) = (at + 1, behind, there);
            }
        }
        if position == 0 {
            self.fences.set_key(at, entry.key());
        }
        let used = self.used;
        let slot = self.change_leaf(number, |leaf| leaf.insert(position, entry, used));
        Place::new(number, slot)
    }

    fn first_leaf(&mut self, entry: Entry) -> u32 {
        let accesses = Accesses::begin(self.remembers, self.used, 1);
        self.add_leaf(0, Leaf::of(alloc::vec![entry], accesses))
    }

    /// Takes a leaf into the row; gives its number.
    fn add_leaf(&mut self, at: usize, leaf: Leaf) -> u32 {
        self.leaf_bytes += leaf.cost() + size_of::<Fence>();
        let number = self.leaves.add(leaf);
        self.fences.insert(at, Fence::new(self.leaves[number].first_key(), number));
        number
    }

    /// Splits a full leaf before a place in its order; gives the number of the leaf behind.
    fn split(&mut self, at: usize, keep: usize) -> u32 {
        let number = self.fences.leaf(at);
        let mut moves = [(0, 0); ENTRIES_MAX];
        let mut moved = 0;
        let leaf = self.leaves.writable(number);
        let before = leaf.cost();
        let goes: Vec<(Entry, usize)> = leaf.slots_from(keep).collect();
        let behind = leaf.split_off(keep, |from, to| {
            moves[moved] = (from, to);
            moved += 1;
        });
        self.leaf_bytes = self.leaf_bytes - before + leaf.cost();
        let new = self.add_leaf(at + 1, behind);
        // Those that left first: their slots are the ones that others fill.
        for (slot, (entry, from)) in goes.iter().enumerate() {
            let (from, to) = (Place::new(number, *from), Place::new(new, slot));
            self.index.moved(self.spread.hash(entry.key()), from, to);
        }
        for &(from, to) in &moves[..moved] {
            let to = Place::new(number, to);
            let hash = self.leaves.hash(to, &self.spread);
            self.index.moved(hash, Place::new(number, from), to);
        }
        new
    }

    /// Takes an entry out of its place.
    fn take(&mut self, hash: KeyHash, place: Place) -> Entry {
        let number = place.leaf() as u32;
        let (leaves, spread) = (&self.leaves, &self.spread);
        self.index.remove(hash, place, |place| leaves.hash(place, spread));
        let removed = self.change_leaf(number, |leaf| leaf.remove(place.slot()));
        let last = Place::new(number, self.leaves[number].len());
        if last != place {
            // The last one has filled the gap.
            let hash = self.leaves.hash(place, &self.spread);
            self.index.moved(hash, last, place);
        }
        removed
    }

    /// Sees to a leaf that lost its first entry or has become small.
    fn shrink(&mut self, at: usize) {
        let len = self.leaves[self.fences.leaf(at)].len();
        if len == 0 {
            self.drop_leaf(at);
            return;
        }
        self.fences.set_key(at, self.leaves[self.fences.leaf(at)].first_key());
        if len < ENTRIES_MIN && !self.join(at) && at > 0 {
            self.join(at - 1);
        }
    }

    /// Makes one leaf of this one and the next if that leaves room to grow.
    fn join(&mut self, at: usize) -> bool {
        if at + 1 >= self.fences.len() {
            return false;
        }
        let number = self.fences.leaf(at);
        let start = self.leaves[number].len();
        if start + self.leaves[self.fences.leaf(at + 1)].len() > ENTRIES_MAX / 2 {
            return false;
        }
        let (gone, next) = self.drop_leaf(at + 1);
        self.change_leaf(number, |leaf| leaf.append(&next));
        for (at, (entry, from)) in next.slots_from(0).enumerate() {
            let (from, to) = (Place::new(gone, from), Place::new(number, start + at));
            self.index.moved(self.spread.hash(entry.key()), from, to);
        }
        true
    }

    /// Takes a leaf out of the row; gives its number, which is free then, and the leaf.
    fn drop_leaf(&mut self, at: usize) -> (u32, Arc<Leaf>) {
        let number = self.fences.remove(at);
        let leaf = self.leaves.remove(number);
        self.leaf_bytes -= leaf.cost() + size_of::<Fence>();
        (number, leaf)
    }

    fn change_leaf<T>(&mut self, number: u32, change: impl FnOnce(&mut Leaf) -> T) -> T {
        let leaf = self.leaves.writable(number);
        let before = leaf.cost();
        let done = change(leaf);
        self.leaf_bytes = self.leaf_bytes - before + leaf.cost();
        done
    }

    fn account_for(&mut self, entry: &Entry) {
        self.keys += 1;
        self.bytes += entry.cost();
        self.payload += entry.payload();
        if let Some(at) = entry.expires_at() {
            self.due.insert(Due { at, entry: entry.clone() });
        }
    }

    fn forget(&mut self, entry: &Entry) {
        self.keys -= 1;
        self.bytes -= entry.cost();
        self.payload -= entry.payload();
        if let Some(at) = entry.expires_at() {
            self.due.remove(&Due { at, entry: entry.clone() });
        }
    }
}

/// The leaves of a shard in the order of their keys.
#[derive(Clone, Copy)]
struct ShardRow<'a>(&'a Shard);

impl<'a> Row<'a> for ShardRow<'a> {
    fn len(self) -> usize {
        self.0.fences.len()
    }

    fn leaf(self, at: usize) -> &'a Leaf {
        &self.0.leaves[self.0.fences.leaf(at)]
    }

    fn compare(self, at: usize, key: &[u8]) -> Ordering {
        self.0.fences.compare(at, key).unwrap_or_else(|| self.leaf(at).first_key().cmp(key))
    }
}

/// A sum over packed bytes that does not depend on the order in which they come.
pub(crate) fn digest<'a>(entries: impl Iterator<Item = &'a Entry>) -> u64 {
    let mut packed = Vec::new();
    entries.fold(0, |sum: u64, entry| {
        packed.clear();
        entry.pack(&mut packed);
        sum.wrapping_add(fnv(&packed))
    })
}

/// FNV-1a: equal states have equal sums, and a sum is no proof against malice.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
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
        let mut shard = empty();
        for number in numbers {
            shard.put(&key(number), b"v", meta(1, None));
            in_order(&shard);
        }
        all_found(&shard);
        shard
    }

    /// 0..`count` in an order without neighbours.
    fn scattered(count: u32) -> impl Iterator<Item = u32> {
        (0..count).map(move |number| number * 7919 % count)
    }

    fn empty() -> Shard {
        Shard::new(Spread::new(11, 1))
    }

    fn in_order(shard: &Shard) {
        let sizes = leaves(shard).map(Leaf::len);
        assert!(sizes.clone().all(|size| (1..=ENTRIES_MAX).contains(&size)));
        assert_eq!(sizes.sum::<usize>(), shard.keys());
        let cost: usize = leaves(shard).map(|leaf| leaf.cost() + size_of::<Fence>()).sum();
        let index_bytes = cost + shard.index.cost() + shard.due.len() * DUE_BYTES;
        assert_eq!(shard.index_bytes(), index_bytes);
        for (at, leaf) in leaves(shard).enumerate() {
            assert_eq!(shard.fences.compare(at, leaf.first_key()), None);
        }
    }

    /// The index names every entry, and so does the order.
    fn all_found(shard: &Shard) {
        for entry in leaves(shard).flat_map(Leaf::iter) {
            assert_eq!(shard.get(entry.key()), Some(entry));
            let key = entry.key();
            assert!(leaves(shard).any(|leaf| leaf.position(key).is_ok()));
        }
    }

    fn leaves(shard: &Shard) -> impl DoubleEndedIterator<Item = &Leaf> + Clone {
        let row = shard.row();
        (0..row.len()).map(move |at| row.leaf(at))
    }

    fn leaf(shard: &Shard, at: usize) -> *const Leaf {
        shard.row().leaf(at)
    }

    fn sorted(shard: &Shard) -> bool {
        shard.ascending(ALL).is_sorted_by(|a, b| a.key() < b.key())
    }

    fn same_leaves(shard: &Shard, view: &[Arc<Leaf>]) -> usize {
        leaves(shard).zip(view).filter(|(mine, its)| core::ptr::eq(*mine, &***its)).count()
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
        assert!(shard.fences.len() <= least + least / 10, "{} leaves", shard.fences.len());
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
            all_found(&shard);
            assert!(sorted(&shard));
            assert!(shard.fences.len() <= 10, "{} leaves of 100 keys", shard.fences.len());
        }
    }

    #[test]
    fn a_leaf_is_copied_only_while_it_is_shared() {
        let mut shard = filled(0..1000);
        let first = leaf(&shard, 0);
        shard.put(&key(0), b"in place", meta(2, None));
        assert!(core::ptr::eq(first, leaf(&shard, 0)));

        let view = shard.freeze(ALL);
        let leaves = shard.fences.len();
        assert_eq!(same_leaves(&shard, &view), leaves);
        shard.put(&key(0), b"copied", meta(3, None));
        assert_eq!(same_leaves(&shard, &view), leaves - 1);
        let copy = leaf(&shard, 0);
        shard.remove(&key(1), 4);
        assert!(core::ptr::eq(copy, leaf(&shard, 0)), "the copy is the shard's own");
        let kept: Vec<_> = view[0].iter().take(2).cloned().collect();
        assert_eq!((kept[0].value(), kept[1].key()), (&b"in place"[..], &key(1)[..]));
        drop(view);
        let last = leaf(&shard, leaves - 1);
        shard.put(&key(999), b"in place", meta(5, None));
        assert!(core::ptr::eq(last, leaf(&shard, leaves - 1)));
    }

    #[test]
    fn a_frozen_range_holds_its_own_leaves_alone() {
        let shard = filled(0..6000);
        let (start, end) = (key(3000), key(3001));
        assert_eq!(shard.freeze(Range { start: &start, end: Some(&end) }).len(), 1);
        assert_eq!(shard.freeze(Range { start: &end, end: Some(&start) }).len(), 0);
        assert_eq!(shard.freeze(ALL).len(), shard.fences.len());
        assert!(empty().freeze(ALL).is_empty());
    }

    #[test]
    fn what_ends_first_is_due_first() {
        let mut shard = empty();
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
        let mut shard = empty();
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
            if number % 50 == 0 {
                all_found(&shard);
            }
        }
        assert_eq!((shard.keys(), shard.bytes(), shard.digest()), (0, 0, 0));
        assert_eq!(shard.payload(), 0);
        assert_eq!(shard.index_bytes(), 0);
        assert_eq!((shard.next_due(), shard.fences.len(), shard.written()), (None, 0, 3));
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
