//! What a watch has given out, so that content which comes anew can be told as a difference: what is
//! still the same is left out, and what is gone is told as deletes, before the caught-up message.
//!
//! ```text
//! from the server   content a b d · content e f · caught up 9
//! known before      a b(older) c d e
//! given out         content b     · content f   · events 9: delete c · caught up 9
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;

use tidekeep_protocol::codec::Malformed;
use tidekeep_protocol::op::WatchHead;
use tidekeep_protocol::op::watch_walk::{self, steps, stored};
use tidekeep_protocol::plain::{Reader, push_bytes, push_number};
use tidekeep_protocol::planted;

/// Keys in one leaf, at most. A leaf that is full is cut in two.
const LEAF_KEYS: usize = 256;

/// What a key counts beside its bytes: its place in a leaf that is half full, and what an allocator
/// adds to it.
const KEY_BYTES: usize = 96;

/// What becomes of a message of a watch that is tracked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Folded {
    /// It is given out as it came.
    AsItIs,
    /// It says nothing new.
    Nothing,
    /// This one is given out in its place.
    Instead(Vec<u8>),
    /// This one is given out before it.
    Before(Vec<u8>),
}

/// Keys that are not what they were, each with the revision that it is at now.
pub(crate) type Changed = Vec<(Vec<u8>, u64)>;

/// The keys that a watch has given out, in order, each with the revision of its last write.
#[derive(Debug, Default)]
pub(crate) struct Known {
    leaves: Vec<Vec<Key>>,
    bytes: usize,
    /// Counts the times that content began.
    pass: u32,
    /// Revisions that were noted in an earlier pass are those of another history.
    trusted: u32,
    incarnation: u64,
}

#[derive(Debug)]
struct Key {
    /// The key, and behind it for a view its encoded value with the metadata.
    item: Vec<u8>,
    key_bytes: u32,
    /// When the key was last seen.
    pass: u32,
    modified: u64,
}

impl Key {
    fn split(&self) -> (&[u8], &[u8]) {
        self.item.split_at(self.key_bytes as usize)
    }

    fn key(&self) -> &[u8] {
        self.split().0
    }
}

impl Known {
    /// What all of it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Content begins, at a store of this incarnation. It may have begun before and broken off.
    pub(crate) fn begin_pass(&mut self, incarnation: u64) {
        self.pass += 1;
        if self.incarnation != incarnation {
            self.incarnation = incarnation;
            self.trusted = self.pass;
        }
    }

    /// Whether something was given out before the present pass.
    pub(crate) fn is_difference(&self) -> bool {
        self.pass > 1
    }

    /// Takes a message, and says what to give out. `filling` says that content is on its way.
    pub(crate) fn fold(
        &mut self,
        head: &WatchHead<'_>,
        body: &[u8],
        filling: bool,
    ) -> Result<Folded, Malformed> {
        match head {
            WatchHead::Content => {
                let (mut kept, mut items) = (0, Vec::new());
                let steps = steps(body)?;
                let all = steps.left();
                for step in steps {
                    let step = step?;
                    if self.set(step.key, step.modified.unwrap_or_default(), &[]) {
                        kept += 1;
                        items.extend_from_slice(step.item);
                    }
                }
                Ok(match kept {
                    _ if kept == all => Folded::AsItIs,
                    0 => Folded::Nothing,
                    _ => Folded::Instead(watch_walk::content(kept, &items)),
                })
            }
            WatchHead::CaughtUp { revision, cursor } if filling => {
                let gone = self.sweep();
                if gone.is_empty() {
                    return Ok(Folded::AsItIs);
                }
                Ok(Folded::Before(watch_walk::deletes(*revision, cursor, &gone)))
            }
            WatchHead::CaughtUp { .. } | WatchHead::Bookmark { .. } => Ok(Folded::AsItIs),
            WatchHead::Events { .. } => {
                for step in steps(body)? {
                    let step = step?;
                    match step.modified {
                        Some(modified) => {
                            self.set(step.key, modified, &[]);
                        }
                        None => self.remove(step.key),
                    }
                }
                Ok(Folded::AsItIs)
            }
        }
    }

    /// Takes a message of a view, with its values, and says which keys are not what they were, each
    /// with the revision that it is at now. `revision` is that of the message; `complete` says that
    /// with it content is whole.
    pub(crate) fn keep(
        &mut self,
        revision: u64,
        body: &[u8],
        complete: bool,
    ) -> Result<Changed, Malformed> {
        let mut changed = Vec::new();
        for step in steps(body)? {
            let step = step?;
            match step.modified {
                Some(modified) => {
                    if self.set(step.key, modified, step.stored) {
                        changed.push((step.key.into(), modified));
                    }
                }
                None => {
                    self.remove(step.key);
                    changed.push((step.key.into(), revision));
                }
            }
        }
        if complete {
            for key in self.sweep() {
                changed.push((key, revision));
            }
        }
        Ok(changed)
    }

    /// The encoded value with metadata of a view's key.
    pub(crate) fn stored(&self, key: &[u8]) -> Option<&[u8]> {
        let (leaf, found) = self.find(key);
        found.ok().map(|place| self.leaves[leaf][place].split().1)
    }

    /// The first key at or behind `from`.
    pub(crate) fn next(&self, from: &[u8]) -> Option<&[u8]> {
        let (leaf, found) = self.find(from);
        let (Ok(place) | Err(place)) = found;
        let here = self.leaves.get(leaf)?.get(place);
        here.or_else(|| self.leaves.get(leaf + 1)?.first()).map(Key::key)
    }

    /// Appends incarnation and every entry, as [`Known::restored`] reads them.
    pub(crate) fn save(&self, cursor: &[u8], out: &mut Vec<u8>) {
        push_number(out, self.incarnation);
        push_bytes(out, cursor);
        for leaf in &self.leaves {
            for known in leaf {
                let (key, stored) = known.split();
                push_bytes(out, key);
                out.extend_from_slice(stored);
            }
        }
    }

    /// What [`Known::save`] wrote, and its cursor.
    pub(crate) fn restored(saved: &[u8]) -> Option<(Box<Self>, Vec<u8>)> {
        let mut rest = Reader::new(saved);
        let mut known = Box::<Self>::default();
        known.begin_pass(rest.number());
        let cursor = rest.bytes().to_vec();
        while !rest.rest().is_empty() {
            let key = rest.bytes();
            let before = rest.rest();
            let modified = stored(&mut rest);
            known.set(key, modified, &before[..before.len() - rest.rest().len()]);
        }
        rest.so_far((known, cursor))
    }

    /// Notes a key; whether that is new.
    fn set(&mut self, key: &[u8], modified: u64, stored: &[u8]) -> bool {
        let (pass, trusted) = (self.pass, self.trusted);
        let (leaf, found) = self.find(key);
        let place = match found {
            Ok(place) => {
                let known = &mut self.leaves[leaf][place];
                let same = known.modified == modified && known.pass >= trusted;
                (known.modified, known.pass) = (modified, pass);
                if !same && !stored.is_empty() {
                    self.bytes -= known.item.len();
                    self.bytes += key.len() + stored.len();
                    known.item = item(key, stored);
                }
                return !same;
            }
            Err(place) => place,
        };
        self.bytes += key.len() + stored.len() + KEY_BYTES;
        if self.leaves.is_empty() {
            self.leaves.push(Vec::new());
        }
        let keys = &mut self.leaves[leaf];
        let (item, key_bytes) = (item(key, stored), key.len() as u32);
        keys.insert(place, Key { item, key_bytes, pass, modified });
        if keys.len() > LEAF_KEYS {
            // Content comes in order, so that a leaf which is added to at its end stays full.
            let at = if place + 1 == keys.len() { place } else { LEAF_KEYS / 2 };
            let upper = keys.split_off(at);
            self.leaves.insert(leaf + 1, upper);
        }
        true
    }

    fn remove(&mut self, key: &[u8]) {
        if let (leaf, Ok(place)) = self.find(key) {
            let known = self.leaves[leaf].remove(place);
            self.bytes -= known.item.len() + KEY_BYTES;
            if self.leaves[leaf].is_empty() {
                self.leaves.remove(leaf);
            }
        }
    }

    /// The leaf in which the key is or would be, and its place there.
    fn find(&self, key: &[u8]) -> (usize, Result<usize, usize>) {
        let begins_before = |leaf: &Vec<Key>| leaf.first().is_some_and(|first| first.key() <= key);
        let leaf = self.leaves.partition_point(begins_before).saturating_sub(1);
        let found = match self.leaves.get(leaf) {
            Some(keys) => keys.binary_search_by(|known| known.key().cmp(key)),
            None => Err(0),
        };
        (leaf, found)
    }

    /// Takes out the keys that the present pass has not seen, in their order.
    fn sweep(&mut self) -> Vec<Vec<u8>> {
        let mut gone: Vec<Vec<u8>> = Vec::new();
        for leaf in &self.leaves {
            for known in leaf {
                if known.pass != self.pass {
                    gone.push(known.key().into());
                }
            }
        }
        for key in &gone {
            self.remove(key);
        }
        if planted::is_awake("deletes-not-told") { Vec::new() } else { gone }
    }
}

/// A key and its value behind each other, in no more room than they take.
fn item(key: &[u8], stored: &[u8]) -> Vec<u8> {
    let mut item = Vec::with_capacity(key.len() + stored.len());
    item.extend_from_slice(key);
    item.extend_from_slice(stored);
    item
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn keys_are_found_whatever_order_they_came_and_went_in() {
        let mut rng = Rng::new(5);
        let mut known = Known::default();
        known.begin_pass(1);
        let mut expected: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for n in 0..20_000_u64 {
            let key = rng.up_to(4_000).to_be_bytes();
            if rng.up_to(2) > 0 {
                assert_eq!(known.set(&key, n, &[]), expected.insert(key.to_vec(), n) != Some(n));
                assert!(!known.set(&key, n, &[]));
            } else {
                known.remove(&key);
                expected.remove(&key[..]);
            }
        }
        assert_eq!(known.bytes(), expected.len() * (4 + KEY_BYTES));
        assert!(known.leaves.iter().all(|leaf| (1..=LEAF_KEYS).contains(&leaf.len())));
        known.begin_pass(1);
        let gone = known.sweep();
        assert_eq!(gone, expected.into_keys().collect::<Vec<_>>());
        assert_eq!((known.bytes(), known.leaves.len()), (0, 0));
    }

    #[test]
    fn keys_that_come_in_order_fill_their_leaves() {
        let mut known = Known::default();
        for n in 0..10_240_u32 {
            known.set(&n.to_be_bytes(), 1, &[]);
        }
        assert_eq!(known.leaves.len(), 10_240 / LEAF_KEYS);
    }

    #[test]
    fn revisions_of_another_history_are_not_believed() {
        let mut known = Known::default();
        known.begin_pass(1);
        assert!(known.set(b"a", 5, &[]) && known.set(b"b", 6, &[]));
        known.begin_pass(1);
        assert!(!known.set(b"a", 5, &[]));
        known.begin_pass(2);
        assert!(known.set(b"a", 5, &[]));
        known.begin_pass(2);
        assert!(!known.set(b"a", 5, &[]), "seen in this history, before it broke off");
        assert!(known.set(b"b", 6, &[]));
        assert!(known.sweep().is_empty());
    }
}
