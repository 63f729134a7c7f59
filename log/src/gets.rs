//! Many keys at once: gets that follow each other in a batch are answered with each of their shards
//! locked once, and what they look at, or what writes will look at, is brought near for all of them
//! together.

use tidekeep_protocol::op::Request;
use tidekeep_store::approach::{KEYS_MAX, Near, Wanted, approach};
use tidekeep_store::moment::Moment;
use tidekeep_store::read;
use tidekeep_store::shard::Shard;
use tidekeep_store::shards::KeyHash;

use crate::commit::{Answers, Call};
use crate::group::Group;
use crate::sync::RwLockReadGuard;
use crate::sync::atomic::Ordering;

/// Shards that one set of locks can hold.
const SHARDS_MAX: usize = 64;

/// Fewer keys are not worth the preparation.
const KEYS_MIN: usize = 3;

/// Shards locked for reading, from the first to the last.
struct Reading<'g>([Option<RwLockReadGuard<'g, Shard>>; SHARDS_MAX]);

/// Keys that were looked ahead for, in the order of their calls, and where they probably are.
pub(crate) struct Ahead<'a> {
    keys: Keys<'a>,
    near: [Near; KEYS_MAX],
    next: usize,
}

/// Keys, and where to look for them.
struct Keys<'a> {
    keys: [(&'a [u8], KeyHash, u8); KEYS_MAX],
    count: usize,
}

impl Group {
    /// Answers the gets that `calls` begin with, some of them at least if there are any; how many.
    pub(crate) fn get_all(
        &self,
        calls: &[Call<'_>],
        moment: &Moment,
        shows: &mut u64,
        answers: &mut dyn Answers,
    ) -> usize {
        if calls.len() < KEYS_MIN {
            return 0;
        }
        let gets = calls.iter().map_while(|call| match &call.request {
            Request::Get(get) => Some(get.key),
            _ => None,
        });
        let mut keys = self.no_keys();
        let Some(reading) = self.reach(gets, &mut keys) else { return 0 };
        let near = approach(reading.of(&keys));
        // The shards are locked: what is newest for one get is for all.
        let newest = self.revision.load(Ordering::Acquire);
        for (&(key, hash, shard), near) in keys.all().iter().zip(near) {
            if let Some(shard) = &reading.0[usize::from(shard)] {
                let found = read::get_near(shard, near, hash, key, moment, newest);
                self.give(found, newest, shows, answers);
            }
        }
        keys.count
    }

    /// Brings near what the first of `calls` will write over, and notes where that is.
    pub(crate) fn approach<'a>(&self, calls: &[Call<'a>], ahead: &mut Option<Ahead<'a>>) {
        if calls.len() < KEYS_MIN {
            return;
        }
        let keys = calls.iter().filter_map(|call| single_key(&call.request));
        // Filled where it lies: it is longer than what a few writes may spend on moving it.
        let ahead = ahead.get_or_insert_with(|| Ahead {
            keys: self.no_keys(),
            near: [Near::default(); KEYS_MAX],
            next: 0,
        });
        ahead.next = 0;
        if let Some(reading) = self.reach(keys, &mut ahead.keys) {
            ahead.near = approach(reading.of(&ahead.keys));
        }
    }

    /// Brings near what some keys lead to.
    pub(crate) fn bring_near<'a>(&self, all: impl Iterator<Item = &'a [u8]>) {
        let mut keys = self.no_keys();
        if let Some(reading) = self.reach(all, &mut keys) {
            approach(reading.of(&keys));
        }
    }

    fn no_keys<'a>(&self) -> Keys<'a> {
        let empty: &[u8] = &[];
        Keys { keys: [(empty, self.spread.hash(empty), 0); KEYS_MAX], count: 0 }
    }

    /// Takes some keys up and locks their shards; none for very few.
    fn reach<'a>(
        &self,
        all: impl Iterator<Item = &'a [u8]>,
        keys: &mut Keys<'a>,
    ) -> Option<Reading<'_>> {
        keys.count = 0;
        let mut wanted = 0_u64;
        for (place, key) in keys.keys.iter_mut().zip(all) {
            let hash = self.spread.hash(key);
            let shard = self.spread.shard_of_hash(hash);
            *place = (key, hash, shard as u8);
            wanted |= 1_u64.checked_shl(shard as u32).unwrap_or(0);
            keys.count += 1;
        }
        if keys.count < KEYS_MIN || self.shards.len() > SHARDS_MAX {
            return None;
        }
        let mut reading = Reading([const { None }; SHARDS_MAX]);
        let shards = self.shards.iter().enumerate();
        for (at, shard) in shards.filter(|(at, _)| wanted >> at & 1 == 1) {
            reading.0[at] = Some(shard.read());
        }
        Some(reading)
    }
}

impl Reading<'_> {
    /// Keys, whose shards these are, as they are looked ahead for.
    fn of<'r>(&'r self, keys: &'r Keys<'_>) -> impl Iterator<Item = Wanted<'r>> + Clone {
        keys.all().iter().filter_map(|&(key, hash, at)| {
            let shard = self.0[usize::from(at)].as_deref();
            shard.map(|shard| (key, hash, shard))
        })
    }
}

impl Ahead<'_> {
    /// The hash of a key and where it probably is, if it was looked ahead for: ask in the order of the
    /// calls. A key is known by where its bytes lie, which costs no comparison.
    pub(crate) fn take(&mut self, key: &[u8]) -> Option<(KeyHash, Near)> {
        while let Some(&(known, hash, _)) = self.keys.all().get(self.next) {
            let near = self.near[self.next];
            self.next += 1;
            if std::ptr::eq(known, key) {
                return Some((hash, near));
            }
        }
        None
    }
}

impl<'a> Keys<'a> {
    fn all(&self) -> &[(&'a [u8], KeyHash, u8)] {
        &self.keys[..self.count]
    }
}

/// The key of a request that is about one.
pub(crate) fn single_key<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
    match request {
        Request::Get(get) => Some(get.key),
        Request::Put(put) => Some(put.key),
        Request::Delete(delete) => Some(delete.key),
        Request::Touch(touch) => Some(touch.key),
        Request::Increment(increment) => Some(increment.key),
        _ => None,
    }
}
