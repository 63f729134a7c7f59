//! The leaves of a shard by their numbers, which the index names them by. A number stays a leaf's for as
//! long as there is the leaf, wherever in the order it stands.

use alloc::vec::Vec;
use core::ops;

use triomphe::Arc;

use crate::entry::Entry;
use crate::index::Place;
use crate::leaf::Leaf;
use crate::shards::{KeyHash, Spread};

/// Leaves by number.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    leaves: Vec<Option<Arc<Leaf>>>,
    /// Numbers that are no leaf's.
    free: Vec<u32>,
}

impl Leaves {
    pub(crate) fn get(&self, number: usize) -> Option<&Leaf> {
        self.leaves.get(number)?.as_deref()
    }

    /// The entry in a place.
    pub(crate) fn entry(&self, place: Place) -> Option<&Entry> {
        self.get(place.leaf())?.slot(place.slot())
    }

    /// The hash of the key in a place that is taken.
    pub(crate) fn hash(&self, place: Place, spread: &Spread) -> KeyHash {
        spread.hash(self.entry(place).expect("the index names places of entries").key())
    }

    /// A leaf as views share it.
    pub(crate) fn shared(&self, number: u32) -> &Arc<Leaf> {
        self.leaves[number as usize].as_ref().expect(THERE)
    }

    /// A leaf that nobody else has: a copy if a view has it.
    pub(crate) fn writable(&mut self, number: u32) -> &mut Leaf {
        Arc::make_mut(self.leaves[number as usize].as_mut().expect(THERE))
    }

    pub(crate) fn add(&mut self, leaf: Leaf) -> u32 {
        let leaf = Some(Arc::new(leaf));
        match self.free.pop() {
            Some(number) => {
                self.leaves[number as usize] = leaf;
                number
            }
            None => {
                self.leaves.push(leaf);
                (self.leaves.len() - 1) as u32
            }
        }
    }

    pub(crate) fn remove(&mut self, number: u32) -> Arc<Leaf> {
        self.free.push(number);
        self.leaves[number as usize].take().expect(THERE)
    }
}

const THERE: &str = "a fence names a leaf that is there";

impl ops::Index<u32> for Leaves {
    type Output = Leaf;

    fn index(&self, number: u32) -> &Leaf {
        self.shared(number)
    }
}
