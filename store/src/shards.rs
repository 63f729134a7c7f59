//! Which shard holds a key, which shards a command needs, and how the store reaches them through
//! whatever locks their owner put around them.

use alloc::vec::Vec;
use core::ops::DerefMut;

use tidekeep_protocol::codec;
use tidekeep_protocol::op::Request;

use crate::fingerprint::Fingerprint;
use crate::leases::Leases;
use crate::shard::Shard;
use crate::step::{Decide, Finish, Step};
use crate::tables::Tables;

/// Spreads keys over shards and over the places of their tables, by one hash for both. The seed differs
/// from process to process, so nobody outside can choose keys that all meet in one place.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    seeds: [u64; 3],
    shards: usize,
}

/// The keyed hash of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(pub(crate) u64);

impl Spread {
    /// Spreads over `shards` shards; at least one.
    pub fn new(seed: u64, shards: usize) -> Self {
        let mut last = seed;
        let seeds = core::array::from_fn(|_| {
            last = fold(last ^ ODD, ODD);
            last | 1
        });
        Self { seeds, shards: shards.max(1) }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// The hash of `key`: sixteen bytes at a time, each half hidden by a secret, folded by a 128-bit
    /// multiplication, as in wyhash and foldhash.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let [start, one, other] = self.seeds;
        let mut hash = start.rotate_left(key.len() as u32);
        let (pairs, rest) = key.as_chunks::<16>();
        for pair in pairs {
            let (low, high) = (word(pair[..8].as_array()), word(pair[8..].as_array()));
            hash = fold(hash ^ low, high ^ one);
        }
        if !rest.is_empty() {
            let mut pair = [0; 16];
            pair[..rest.len()].copy_from_slice(rest);
            let (low, high) = (word(pair[..8].as_array()), word(pair[8..].as_array()));
            hash = fold(hash ^ low, high ^ one);
        }
        KeyHash(fold(hash, other))
    }

    /// The shard of `key`.
    pub fn shard_of(&self, key: &[u8]) -> usize {
        self.shard_of_hash(self.hash(key))
    }

    /// The shard of keys with this fingerprint.
    pub fn shard_of_fingerprint(&self, fingerprint: Fingerprint) -> usize {
        self.shard_of_hash(fingerprint.hash())
    }

    /// The shard of a key with this hash, by bits that choose nothing else.
    #[inline]
    pub fn shard_of_hash(&self, hash: KeyHash) -> usize {
        ((hash.0 >> 40 & 0x1_FFFF) as usize * self.shards) >> 17
    }

    /// The shards that the end of a lease writes.
    pub fn of_lease(&self, leases: &Leases, lease: u64) -> Footprint {
        Footprint::of(leases.entries(lease).map(|entry| self.shard_of(entry.key())))
    }

    /// The shards that `step` reads or writes.
    pub fn of_step(&self, step: &Step, tables: &Tables) -> Footprint {
        let part = match step {
            Step::Prepare(prepare) => Some(prepare),
            Step::Decide(Decide { txn, .. }) | Step::Finish(Finish { txn, .. }) => {
                tables.intents.get(txn).map(|intent| &intent.prepare)
            }
            Step::AdoptLease(_)
            | Step::GrantLease(_)
            | Step::Resolve(_)
            | Step::Forget(_)
            | Step::Hold(_)
            | Step::Release(_) => None,
        };
        match part.map(|prepare| codec::decode(&prepare.part)) {
            Some(Ok(txn)) => self.footprint(&Request::Txn(txn), &tables.leases),
            Some(Err(_)) | None => Footprint::Some(Vec::new()),
        }
    }

    /// The shards that `request` reads or writes.
    pub fn footprint(&self, request: &Request<'_>, leases: &Leases) -> Footprint {
        match request {
            Request::Get(get) => Footprint::One(self.shard_of(get.key)),
            Request::Put(put) => Footprint::One(self.shard_of(put.key)),
            Request::Delete(delete) => Footprint::One(self.shard_of(delete.key)),
            Request::Touch(touch) => Footprint::One(self.shard_of(touch.key)),
            Request::Increment(increment) => Footprint::One(self.shard_of(increment.key)),
            Request::Txn(txn) => {
                let mut some = Vec::new();
                for compare in &txn.compares {
                    some.push(self.shard_of(compare.key));
                }
                for op in txn.then.iter().chain(&txn.otherwise) {
                    match op.key() {
                        Some(key) => some.push(self.shard_of(key)),
                        None => return Footprint::All,
                    }
                }
                Footprint::of(some)
            }
            Request::Scan(_) | Request::Children(_) | Request::DeleteRange(_) => Footprint::All,
            Request::LeaseRevoke(revoke) => self.of_lease(leases, revoke.lease),
            Request::Watch(_)
            | Request::Status(_)
            | Request::Backup(_)
            | Request::Sessions(_)
            | Request::Cluster(_)
            | Request::LeaseGrant(_)
            | Request::LeaseKeepAlive(_)
            | Request::Leases(_) => Footprint::Some(Vec::new()),
        }
    }
}

/// The golden ratio's fraction, in 64 bits.
const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

fn word(bytes: Option<&[u8; 8]>) -> u64 {
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide >> 64) as u64 ^ wide as u64
}

/// The shards that a command needs, in ascending order, which is the order to lock them in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Footprint {
    /// Just this one.
    One(usize),
    /// These.
    Some(Vec<usize>),
    /// Every one.
    All,
}

impl Footprint {
    /// These shards, named in any order and any number of times.
    pub fn of(indexes: impl IntoIterator<Item = usize>) -> Self {
        let mut indexes: Vec<_> = indexes.into_iter().collect();
        indexes.sort_unstable();
        indexes.dedup();
        Self::Some(indexes)
    }

    /// The shards' numbers, of `count` that there are.
    pub fn indexes(&self, count: usize) -> impl Iterator<Item = usize> + '_ {
        let (one, some, all) = match self {
            Self::One(index) => (Some(*index), &[][..], 0),
            Self::Some(indexes) => (None, &indexes[..], 0),
            Self::All => (None, &[][..], count),
        };
        one.into_iter().chain(some.iter().copied()).chain(0..all)
    }
}

/// Shards at hand for writing, each behind a guard: those of one command's footprint at least.
pub struct Writing<'a, G> {
    spread: Spread,
    guards: &'a mut [(usize, G)],
    /// By how much the entries may grow; `u64::MAX` for as much as they like.
    room: u64,
}

impl<'a, G: DerefMut<Target = Shard>> Writing<'a, G> {
    /// The guards of shards by number, in ascending order.
    pub fn new(spread: Spread, guards: &'a mut [(usize, G)]) -> Self {
        debug_assert!(guards.is_sorted_by_key(|(index, _)| *index));
        Self { spread, guards, room: u64::MAX }
    }

    /// Lets a client's write make the entries larger by at most `room` bytes. One that makes keys and
    /// values no larger always fits.
    #[must_use]
    pub fn within(self, room: u64) -> Self {
        Self { room, ..self }
    }

    /// What the entries at hand may come to, if that is bounded.
    pub(crate) fn bound(&self) -> Option<Bound> {
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        (room < usize::MAX)
            .then(|| Bound { bytes: self.bytes().saturating_add(room), payload: self.payload() })
    }

    /// Whether the entries at hand keep within a bound.
    pub(crate) fn keeps(&self, bound: &Bound) -> bool {
        self.bytes() <= bound.bytes || self.payload() <= bound.payload
    }

    /// The hash of a key.
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        self.spread.hash(key)
    }

    /// Which of the shards at hand holds a key with this hash.
    pub(crate) fn at(&self, hash: KeyHash) -> usize {
        if let [_] = self.guards {
            // The way of nearly every command.
            return 0;
        }
        let index = self.spread.shard_of_hash(hash);
        let found = self.guards.binary_search_by_key(&index, |(index, _)| *index);
        found.expect("a command's footprint names the shards of all its keys")
    }

    /// One of the shards at hand.
    pub(crate) fn shard(&self, at: usize) -> &Shard {
        &self.guards[at].1
    }

    /// One of the shards at hand, to write to it.
    pub(crate) fn shard_mut(&mut self, at: usize) -> &mut Shard {
        &mut self.guards[at].1
    }

    /// What the entries at hand cost in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.all().map(Shard::bytes).sum()
    }

    fn payload(&self) -> usize {
        self.all().map(Shard::payload).sum()
    }

    /// Every shard at hand.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Shard> {
        self.guards.iter().map(|(_, guard)| &**guard)
    }
}

/// What entries may come to in a write: one of the two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// What the entries cost in memory, in bytes.
    pub(crate) bytes: usize,
    /// Bytes of keys and values before the write.
    payload: usize,
}
