//! A shard: the entries of the keys that hash to it, ordered, with what they cost and when they end.
//! It is a plain structure; whoever owns it puts a lock around it.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tidekeep_protocol::entry::Meta;
use tidekeep_protocol::range::Range;

use crate::entry::Entry;
use crate::leaf::{self, ENTRIES_MAX, ENTRIES_MIN, Leaf};

/// Entries in key order, in leaves that views may share.
#[derive(Debug, Default)]
pub struct Shard {
    leaves: Vec<Arc<Leaf>>,
    due: BTreeSet<Due>,
    keys: usize,
    bytes: usize,
    digest: u64,
    written: u64,
    scratch: Vec<u8>,
}

/// An entry that ends, ordered by when.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: u64,
    entry: Entry,
}

impl Shard {
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
        let removed = Arc::make_mut(&mut self.leaves[index]).entries.remove(at);
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
            self.leaves.push(Arc::new(Leaf { entries: alloc::vec![entry] }));
            return None;
        };
        let leaf = Arc::make_mut(shared);
        let at = match leaf.position(entry.key()) {
            Ok(at) => return Some(core::mem::replace(&mut leaf.entries[at], entry)),
            Err(at) => at,
        };
        leaf.entries.insert(at, entry);
        if leaf.entries.len() > ENTRIES_MAX {
            // Keys that come in order would leave half-empty leaves behind if split in the middle.
            let appended = at == ENTRIES_MAX;
            let keep = if appended { ENTRIES_MAX - 8 } else { ENTRIES_MAX / 2 };
            let right = Leaf { entries: leaf.entries.split_off(keep) };
            self.leaves.insert(index + 1, Arc::new(right));
        }
        None
    }

    fn shrink(&mut self, index: usize) {
        let len = self.leaves[index].entries.len();
        if len == 0 {
            self.leaves.remove(index);
            return;
        }
        let Some(next) = self.leaves.get(index + 1) else { return };
        if len < ENTRIES_MIN && len + next.entries.len() <= ENTRIES_MAX / 2 {
            let next = self.leaves.remove(index + 1);
            let leaf = Arc::make_mut(&mut self.leaves[index]);
            leaf.entries.extend(next.entries.iter().cloned());
        }
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
