//! Where the entry of a key is: a table of places by the keys' keyed hash, beside the leaves that keep
//! the order. A place is four bytes, not a pointer, and a leaf is its own page of slots: a write that
//! replaces an entry changes one slot, and neither the order nor this table.
//!
//! A shard has many small tables rather than one, so that none takes long to grow. They are meant to
//! hold unlike numbers of entries, the largest twice as many as the smallest: whatever the store's size,
//! some are nearly full and some have just grown, and neither memory nor time comes in steps.

use hashbrown::HashTable;

use crate::shards::KeyHash;

/// Tables of a shard.
const TABLES: usize = 32;

/// Where an entry is kept: its leaf's number, and its slot there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

const SLOT_BITS: u32 = 7;

impl Place {
    pub(crate) fn new(leaf: u32, slot: usize) -> Self {
        debug_assert!(leaf < 1 << (u32::BITS - SLOT_BITS) && slot < 1 << SLOT_BITS);
        Self(leaf << SLOT_BITS | slot as u32)
    }

    pub(crate) fn leaf(self) -> usize {
        (self.0 >> SLOT_BITS) as usize
    }

    pub(crate) fn slot(self) -> usize {
        self.0 as usize % (1 << SLOT_BITS)
    }
}

/// The places of a shard's entries.
#[derive(Debug)]
pub(crate) struct Index {
    tables: [HashTable<Place>; TABLES],
    bytes: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self { tables: [const { HashTable::new() }; TABLES], bytes: 0 }
    }
}

impl Index {
    /// The place with this hash of which `is_it` says that it holds the key.
    pub(crate) fn find(
        &self,
        hash: KeyHash,
        mut is_it: impl FnMut(Place) -> bool,
    ) -> Option<Place> {
        self.tables[table_of(hash)].find(hash.0, |&place| is_it(place)).copied()
    }

    /// Makes room in empty tables for keys with these hashes.
    pub(crate) fn reserve(&mut self, hashes: impl Iterator<Item = KeyHash>) {
        let mut counts = [0; TABLES];
        hashes.for_each(|hash| counts[table_of(hash)] += 1);
        for (table, count) in
            self.tables.iter_mut().zip(counts).filter(|(table, _)| table.is_empty())
        {
            self.bytes -= table.allocation_size();
            *table = HashTable::with_capacity(count);
            self.bytes += table.allocation_size();
        }
    }

    /// Adds the place of a key that has none.
    pub(crate) fn insert(
        &mut self,
        hash: KeyHash,
        place: Place,
        hash_of: impl Fn(Place) -> KeyHash,
    ) {
        let table = &mut self.tables[table_of(hash)];
        let before = table.allocation_size();
        table.insert_unique(hash.0, place, |&place| hash_of(place).0);
        self.bytes = self.bytes - before + table.allocation_size();
    }

    /// Takes a place out.
    pub(crate) fn remove(
        &mut self,
        hash: KeyHash,
        place: Place,
        hash_of: impl Fn(Place) -> KeyHash,
    ) {
        let table = &mut self.tables[table_of(hash)];
        let before = table.allocation_size();
        if let Ok(found) = table.find_entry(hash.0, |&found| found == place) {
            found.remove();
        }
        if table.len() * SPARSE < table.capacity() {
            table.shrink_to(table.len() * 2, |&place| hash_of(place).0);
        }
        self.bytes = self.bytes - before + table.allocation_size();
    }

    /// Notes that what was in one place is in another now.
    pub(crate) fn moved(&mut self, hash: KeyHash, from: Place, to: Place) {
        let found = self.tables[table_of(hash)].find_mut(hash.0, |&found| found == from);
        debug_assert!(found.is_some(), "every entry has a place");
        if let Some(place) = found {
            *place = to;
        }
    }

    /// What the tables cost in memory, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.bytes
    }
}

/// A table with fewer than a part of its places in use gives memory back.
const SPARSE: usize = 8;

/// The table for a hash, by bits that neither the shard nor the place in a table is chosen by.
fn table_of(hash: KeyHash) -> usize {
    PARTS[(hash.0 >> 32) as usize % PARTS.len()] as usize
}

/// A table for each of 256 equal parts of the hashes: the first tables get the fewest, the last ones
/// twice as many.
const PARTS: [u8; 256] = {
    let mut parts = [0; 256];
    let (mut part, mut table) = (0, 0);
    while part < parts.len() {
        // Up to the end of a table, the sum of shares that grow evenly from 2 × TABLES to 4 × TABLES.
        let end = 2 * TABLES * (table + 1) + (table + 1) * (table + 1);
        if part * (3 * TABLES * TABLES) >= end * parts.len() {
            table += 1;
            continue;
        }
        parts[part] = table as u8;
        part += 1;
    }
    parts
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_get_unlike_shares_of_all_hashes() {
        let share = |table: usize| PARTS.iter().filter(|&&part| usize::from(part) == table).count();
        let shares: [usize; TABLES] = core::array::from_fn(share);
        assert!(shares.iter().all(|share| (4..=12).contains(share)), "{shares:?}");
        let (small, large): (usize, usize) =
            (shares[..8].iter().sum(), shares[TABLES - 8..].iter().sum());
        assert!(large * 10 > small * 14, "{shares:?}");
    }

    #[test]
    fn places_are_found_moved_and_given_back() {
        let hash = |number: u32| KeyHash(u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let place = |number: u32| Place::new(number / 100, number as usize % 100);
        let number = |place: Place| (place.leaf() * 100 + place.slot()) as u32;
        let mut index = Index::default();
        for at in 0..10_000 {
            index.insert(hash(at), place(at), |place| hash(number(place)));
        }
        assert!((50_000..120_000).contains(&index.cost()), "{} bytes", index.cost());
        assert!(
            (0..10_000).all(|at| index.find(hash(at), |it| it == place(at)) == Some(place(at)))
        );
        index.moved(hash(7), place(7), place(20_007));
        assert_eq!(index.find(hash(7), |_| true), Some(place(20_007)));
        index.moved(hash(7), place(20_007), place(7));
        for at in 0..10_000 {
            index.remove(hash(at), place(at), |place| hash(number(place)));
            assert_eq!(index.find(hash(at), |it| it == place(at)), None);
        }
        assert_eq!(index.cost(), 0);
    }
}
