//! A shard: the entries of the keys that hash to it, found by their hash and kept in order, with what
//! they cost and when they end. It is a plain structure; whoever owns it puts a lock around it.
//!
//! ```text
//! index: hash ─▶ place ─┐            fences: first key, leaf │ first key, leaf │ …
//!                       ▼                                ▼
//!         leaf 0: slots, order    leaf 1: slots, order    leaf 2 …
//! ```

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cmp::Ordering;

use tidekeep_protocol::entry::Meta;
use tidekeep_protocol::range::Range;
use triomphe::Arc;

use crate::access::{self, Accesses};
use crate::approach::Near;
use crate::digest::digest;
use crate::entry::Entry;
use crate::fences::{Fence, Fences};
use crate::fingerprint::Fingerprint;
use crate::index::{Index, Place};
use crate::leaf::{self, ENTRIES_MAX, ENTRIES_MIN, Leaf, Row};
use crate::leaves::Leaves;
use crate::shards::{KeyHash, Spread};
use crate::sorted::sort;

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

/// Entries of a leaf that is laid out with its neighbours: some room is left.
const ENTRIES_FILLED: usize = ENTRIES_MAX - ENTRIES_MAX / 8;

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

    /// The entries of keys with this fingerprint: one nearly always, if its key is there. It takes about
    /// 40 µs, as each of the few dozen entries near that place is looked at.
    pub fn with_fingerprint(&self, fingerprint: Fingerprint) -> Vec<Entry> {
        let mut found = Vec::new();
        for hash in fingerprint.hashes() {
            // All places that may be meant are looked at, since none is taken.
            let _ = self.index.find(hash, |place| {
                if self.leaves.hash(place, &self.spread) == hash {
                    found.extend(self.leaves.entry(place).cloned());
                }
                false
            });
        }
        found
    }

    /// The entry of `key`, whose hash this is, whether or not its time is over; it counts as used at
    /// `now`, in milliseconds since the Unix epoch.
    pub fn used(&self, hash: KeyHash, key: &[u8], now: u64) -> Option<&Entry> {
        self.used_at(self.find(hash, key)?, now)
    }

    /// Like [`Self::used`], where it is known where the key probably is.
    pub(crate) fn used_near(
        &self,
        near: Near,
        hash: KeyHash,
        key: &[u8],
        now: u64,
    ) -> Option<&Entry> {
        self.used_at(self.find_near(near, hash, key)?, now)
    }

    /// Like [`Self::find`], where it is known where the key probably is.
    pub(crate) fn find_near(&self, near: Near, hash: KeyHash, key: &[u8]) -> Option<Place> {
        let is_it = |&place: &Place| self.leaves.entry(place).is_some_and(|it| it.key() == key);
        near.0.filter(is_it).or_else(|| self.find(hash, key))
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

    /// A place with this hash, which may be another key's.
    pub(crate) fn likely_place(&self, hash: KeyHash) -> Option<Place> {
        self.index.find(hash, |_| true)
    }

    /// The leaf that a key belongs into; none in an empty shard.
    pub(crate) fn leaf_for(&self, key: &[u8]) -> Option<&Leaf> {
        let row = self.row();
        (row.len() > 0).then(|| row.leaf(row.leaf_of(key)))
    }

    /// Loads a slot, and not what it leads to.
    pub(crate) fn look_at_slot(&self, place: Place) -> usize {
        self.leaves.entry(place).map_or(0, Entry::address)
    }

    /// Loads all of a short entry in a place.
    pub(crate) fn look_at_entry(&self, place: Place) -> usize {
        self.leaves.entry(place).map_or(0, Entry::look)
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

    /// Keeps many entries, in any order: an empty shard is laid out at once, which takes less time than
    /// to look for the place of each.
    pub fn fill(&mut self, entries: Vec<Entry>) {
        let entries = sort(entries);
        let once = entries.is_sorted_by(|one, other| one.key() < other.key());
        if !once || !self.fences.is_empty() {
            entries.into_iter().for_each(|entry| drop(self.insert(entry)));
            return;
        }
        let hashes = entries.iter().map(|entry| self.spread.hash(entry.key()));
        self.index.reserve(hashes);
        let mut rest = entries.into_iter();
        while rest.len() > 0 {
            let run: Vec<Entry> = rest.by_ref().take(ENTRIES_FILLED).collect();
            core::hint::black_box(run.iter().fold(0, |sum, entry| sum ^ entry.look()));
            let accesses = Accesses::begin(self.remembers, self.used, run.len());
            let number = self.add_leaf(self.fences.len(), Leaf::of(run.clone(), accesses));
            for (slot, entry) in run.iter().enumerate() {
                let (leaves, spread) = (&self.leaves, &self.spread);
                let (hash, place) = (spread.hash(entry.key()), Place::new(number, slot));
                self.index.insert(hash, place, |place| leaves.hash(place, spread));
                self.account_for(entry);
                self.written = self.written.max(entry.modified());
            }
        }
    }

    /// Takes back a write: puts its key's entry back, or takes it out if it was not kept before,
    /// and with it the shard's newest revision.
    pub(crate) fn restore(&mut self, entry: Entry, kept: bool, written: u64) {
        if kept {
            self.insert(entry);
        } else {
            let hash = self.spread.hash(entry.key());
            if let Some(place) = self.find(hash, entry.key()) {
                self.remove_at(hash, place, written);
                if self.leaves.get(place.leaf()).is_some() {
                    // What a refused write has made room for must not be missing to others.
                    self.change_leaf(place.leaf() as u32, Leaf::fit);
                }
            }
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
        // Counters are raised one after the other; looks at memory that is far away go on side by side.
        let leaves = self.fences.leaves(part.clone());
        let near = leaves.fold(0, |sum, number| sum ^ self.leaves[number].len());
        core::hint::black_box(near);
        self.fences.leaves(part).map(|number| Arc::clone(self.leaves.shared(number))).collect()
    }

    /// How many entries end by themselves.
    pub fn ending(&self) -> usize {
        self.due.len()
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

#[cfg(test)]
#[path = "shard_tests.rs"]
mod tests;
